"""Clips changed at random for training, in the graph: what a camera or a person might as well have done.

Every function takes a `seed`, int64 `[2]`, and is the same for the same seed; a clip's frames are all changed alike.
"""

from __future__ import annotations

import math

import tensorflow as tf

KNOTS = 4  # of a clip's changing speed


def uniform(seed, number: int, low: float = -1.0, high: float = 1.0, shape=()):
    """The random number of that number under a seed."""
    return tf.random.stateless_uniform(shape, tf.random.fold_in(seed, number), low, high)


def move(frames, seed, shift: float, zoom: float, rotate: float, flip: bool):
    """Frames `[time, height, width, channels]` shifted, zoomed, rotated and mirrored; the borders are repeated.

    Args:
        shift: at most, as a share of height and width; zoom: at most, as a share; rotate: at most, in degrees;
        flip: whether every second clip is mirrored.
    """
    height, width = (tf.cast(n, tf.float32) for n in (tf.shape(frames)[1], tf.shape(frames)[2]))
    scale = tf.exp(math.log1p(zoom) * uniform(seed, 0))
    angle = math.radians(rotate) * uniform(seed, 1)
    mirror = tf.where(uniform(seed, 2) < 0, -1.0, 1.0) if flip else 1.0
    a, b = tf.cos(angle) * scale, tf.sin(angle) * scale
    x, y = (width - 1) / 2, (height - 1) / 2  # the centre stays where it is, but for the shift
    dx, dy = x + shift * width * uniform(seed, 3), y + shift * height * uniform(seed, 4)
    # Where a pixel of the output comes from: [[a * mirror, -b], [b * mirror, a]] (output - centre) + centre + shift.
    transform = [a * mirror, -b, dx - a * mirror * x + b * y, b * mirror, a, dy - b * mirror * x - a * y, 0.0, 0.0]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=frames,
        transforms=tf.stack(transform)[None],
        output_shape=tf.shape(frames)[1:3],
        interpolation="BILINEAR",
        fill_mode="NEAREST",
        fill_value=0.0,
    )


def light(frames, seed, amount: float):
    """Contrast and brightness changed by at most this share; float frames of 0 to 255."""
    mean = tf.reduce_mean(frames)
    contrast, brightness = 1 + amount * uniform(seed, 5), 1 + amount * uniform(seed, 6)
    return tf.clip_by_value((frames - mean) * contrast + mean * brightness, 0.0, 255.0)


def warp(steps, seed, amount: float):
    """Which frames to show, int32 `[new time]`, of a clip of `steps` frames at a speed that changes as it goes on.

    Args:
        amount: the speed is at most this share higher or lower.
    """
    knots = uniform(seed, 7, shape=[KNOTS])
    places = tf.linspace(0.0, KNOTS - 1.0, steps)
    left = tf.minimum(tf.cast(places, tf.int32), KNOTS - 2)
    share = places - tf.cast(left, tf.float32)
    slowness = (1 - share) * tf.gather(knots, left) + share * tf.gather(knots, left + 1)
    ends = tf.cumsum(tf.exp(math.log1p(amount) * slowness))  # when each frame has been shown
    total = tf.maximum(1, tf.cast(tf.round(ends[-1]), tf.int32))
    found = tf.searchsorted(ends, tf.range(tf.cast(total, tf.float32)) + 0.5)
    return tf.minimum(found, steps - 1)


def blink(frames, seed, longest: int):
    """Up to `longest` frames in a row blanked, with the clip's mean brightness; features with the mean of each."""
    steps = tf.shape(frames)[0]
    size = tf.cast(uniform(seed, 8, 0.0, longest + 1.0), tf.int32)
    start = tf.cast(uniform(seed, 9, 0.0) * tf.cast(steps, tf.float32), tf.int32)
    place = tf.range(steps)
    hidden = (place >= start) & (place < start + size)
    rank = len(frames.shape)
    mean = tf.reduce_mean(frames, 0 if rank == 2 else None)
    return tf.where(tf.reshape(hidden, [-1] + [1] * (rank - 1)), mean, frames)


def splice(first, second, seed, share: float):
    """The beginning of a clip and the end of another, joined where both go on from their n-th segment to the next.

    So the words of sentences of one form come in other company, and can't be learnt by heart.

    Args:
        first, second: `(sequence, target)`, of parts `[time, ...]`; segments are runs of one target.
        share: of the clips, if they have as many segments; the others, and the rest, are the first as it is.
    """
    starts = lambda target: tf.concat([tf.where(target[1:] != target[:-1])[:, 0] + 1, [0]], 0)
    ends, begins = starts(first[1]), starts(second[1])
    joins = tf.size(ends) - 1
    fit = (uniform(seed, 10, 0.0) < share) & (joins == tf.size(begins) - 1) & (joins > 0)
    place = tf.cast(uniform(seed, 11, 0.0) * tf.cast(joins, tf.float32), tf.int32)
    end = tf.where(fit, ends[tf.minimum(place, joins)], tf.size(first[1], tf.int64))
    begin = tf.where(fit, tf.gather(begins, tf.minimum(place, tf.size(begins) - 1)), tf.size(second[1], tf.int64))
    return tf.nest.map_structure(lambda x, y: tf.concat([x[:end], y[begin:]], 0), first, second)
