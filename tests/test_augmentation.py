"""Changed clips against NumPy, SciPy and the random numbers that they were changed by."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from zoo import augmentation

DRAW = np.random.default_rng(0)
CLIP = DRAW.integers(0, 256, (5, 12, 16, 3)).astype("float32")
FEATURES = DRAW.normal(size=(5, 7)).astype("float32")
SEEDS = np.stack([np.arange(200), DRAW.integers(2**62, size=200)], 1)
SHIFT, ZOOM, ROTATE = 0.2, 0.3, 25.0


def moved(frames, seed, shift=0.0, zoom=0.0, rotate=0.0, flip=False):
    return augmentation.move(frames, seed, shift, zoom, rotate, flip)


def warped(frames, seed, amount):
    return tf.gather(frames, augmentation.warp(tf.shape(frames)[0], seed, amount))


CHANGES = {
    "move": functools.partial(moved, shift=SHIFT, zoom=ZOOM, rotate=ROTATE, flip=True),
    "light": functools.partial(augmentation.light, amount=0.5),
    "warp": functools.partial(warped, amount=0.5),
    "blink": functools.partial(augmentation.blink, longest=3),
}
IDENTITIES = {
    "move": moved,
    "light": functools.partial(augmentation.light, amount=0.0),
    "warp": functools.partial(warped, amount=0.0),
    "blink": functools.partial(augmentation.blink, longest=0),
}
every_change = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


def numbers(seed, *which):
    return [float(augmentation.uniform(seed, number)) for number in which]


def for_all(change, seeds=SEEDS):
    """What a change gives for each of many seeds, in one graph."""
    return tf.function(lambda: tf.map_fn(change, seeds, fn_output_signature=tf.float32))().numpy()


def blob(height, width, y, x, size=2.5):
    """A clip of one frame with a bright spot."""
    rows, columns = np.mgrid[:height, :width]
    return 255 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * size**2)).astype("float32")[None, ..., None]


def place(frames):
    """Row and column of the spot's centre."""
    return np.array(ndimage.center_of_mass(np.asarray(frames)[0, ..., 0]))


def test_random_numbers_are_apart_and_in_range():
    rows = np.stack([augmentation.uniform(seed, 3, -2.0, 5.0, [50]) for seed in SEEDS[:40]])
    assert rows.shape == (40, 50) and rows.min() >= -2 and rows.max() < 5
    assert abs(rows.mean() - 1.5) < 0.2 and abs(rows.std() - 7 / math.sqrt(12)) < 0.1
    assert len({tuple(numbers(SEEDS[0], n))[0] for n in range(10)}) == 10


@every_change
def test_the_same_seed_gives_the_same_and_others_others(change):
    changed = [change(CLIP, seed).numpy().tobytes() for seed in SEEDS[:12]]
    assert changed == [change(CLIP, tf.constant(seed)).numpy().tobytes() for seed in SEEDS[:12]]
    assert len(set(changed)) > 4  # there are few ways to blink in five frames


@pytest.mark.parametrize("change", IDENTITIES.values(), ids=IDENTITIES)
@pytest.mark.parametrize("frames", [CLIP, CLIP[:1], CLIP[:, :11, :13, :1]], ids=lambda frames: str(frames.shape))
def test_amounts_of_zero_change_nothing(change, frames):
    for seed in SEEDS[:5]:
        np.testing.assert_allclose(change(frames, seed), frames, rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS[:4], ids=range(4))
def test_all_frames_are_changed_alike(seed):
    alone = [CHANGES["move"](frame[None], seed)[0] for frame in CLIP]
    np.testing.assert_array_equal(CHANGES["move"](CLIP, seed), alone)
    for name in ("move", "light"):
        still = CHANGES[name](np.repeat(CLIP[:1], 4, 0), seed).numpy()
        np.testing.assert_array_equal(still, np.repeat(still[:1], 4, 0))


@every_change
def test_in_tf_data_with_unknown_time(change):
    clips = [CLIP, CLIP[:1], CLIP[2:]]
    spec = tf.TensorSpec([None, *CLIP.shape[1:]])
    data = tf.data.Dataset.from_generator(lambda: iter(clips), output_signature=spec)
    data = tf.data.Dataset.zip(data, tf.data.Dataset.from_tensor_slices(SEEDS[:3])).map(change)
    assert data.element_spec.shape.rank == 4
    for found, clip, seed in zip(data, clips, SEEDS, strict=False):
        np.testing.assert_allclose(found, change(clip, seed), atol=1e-3)


# Moved ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_a_move_equals_scipy(flip):
    height, width = CLIP.shape[1:3]
    middle = np.array([height - 1, width - 1]) / 2
    output = np.stack(np.mgrid[:height, :width], -1) - middle  # rows, columns
    for seed in SEEDS[:8]:
        zoom, turn, mirror, right, down = numbers(seed, 0, 1, 2, 3, 4)
        angle, scale = math.radians(ROTATE * turn), (1 + ZOOM) ** zoom
        rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        mirrored = output * [1, -1] if flip and mirror < 0 else output
        source = scale * mirrored @ rotation.T + middle + [SHIFT * height * down, SHIFT * width * right]
        source = np.clip(source, 0, [height - 1, width - 1])  # the borders are repeated
        found = moved(CLIP, seed, SHIFT, ZOOM, ROTATE, flip)
        for frame, expected in zip(CLIP, found, strict=True):
            for channel in range(3):
                sampled = ndimage.map_coordinates(frame[..., channel], np.moveaxis(source, -1, 0), order=1)
                np.testing.assert_allclose(expected[..., channel], sampled, atol=0.05)


def test_a_flip_mirrors_every_second_clip_exactly():
    mirrored = 0
    for found in for_all(lambda seed: moved(CLIP[:2], seed, flip=True)):
        as_it_was, as_in_a_mirror = (np.array_equal(found, clip) for clip in (CLIP[:2], CLIP[:2, :, ::-1]))
        assert as_it_was != as_in_a_mirror
        mirrored += as_in_a_mirror
    assert 75 <= mirrored <= 125


@pytest.mark.parametrize("height, width", [(41, 61), (48, 48)])
def test_a_shift_moves_a_spot_by_what_the_random_numbers_say(height, width):
    for seed in SEEDS[:10]:
        found = place(moved(blob(height, width, 20, 30), seed, shift=0.2))
        right, down = numbers(seed, 3, 4)
        np.testing.assert_allclose(found, [20 - 0.2 * height * down, 30 - 0.2 * width * right], atol=0.05)
        assert np.all(np.abs(found - [20, 30]) <= [0.2 * height + 0.1, 0.2 * width + 0.1])


def test_rotation_and_zoom_keep_the_centre_where_it_is():
    frames = CLIP[:, :11, :15]
    for seed in SEEDS[:10]:
        for options in (dict(rotate=180.0), dict(zoom=1.0), dict(rotate=90.0, zoom=0.5, flip=True)):
            np.testing.assert_allclose(moved(frames, seed, **options)[:, 5, 7], frames[:, 5, 7], atol=0.01)


def test_rotation_keeps_distances_and_zoom_directions():
    centre, start = np.array([30, 40]), np.array([30, 52])  # twelve pixels to the right
    for seed in SEEDS[:10]:
        y, x = place(moved(blob(61, 81, *start), seed, rotate=60.0)) - centre
        assert abs(math.hypot(x, y) - 12) < 0.1
        assert abs(abs(math.degrees(math.atan2(y, x))) - 60 * abs(numbers(seed, 1)[0])) < 0.5
        y, x = place(moved(blob(61, 81, *start), seed, zoom=0.5)) - centre
        assert abs(y) < 0.05 and 12 / 1.5 - 0.1 < x < 12 * 1.5 + 0.1
        assert abs(x - 12 * 1.5 ** -numbers(seed, 0)[0]) < 0.1


# Lit ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [0.1, 1.0])
def test_light_equals_numpy_and_stays_in_range(amount):
    dim, frames = CLIP * 0.2 + 100, CLIP  # one that is nowhere cut off, and one that is
    for seed in SEEDS[:30]:
        contrast, brightness = (1 + amount * number for number in numbers(seed, 5, 6))
        assert 1 - amount <= contrast <= 1 + amount
        for x in (dim, frames):
            found = augmentation.light(x, seed, amount).numpy()
            expected = (x.astype(float) - x.mean()) * contrast + x.mean() * brightness
            np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=1e-3)
            assert found.min() >= 0 and found.max() <= 255


# Warped ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warp():
    """Once traced for all lengths and amounts."""
    signature = [tf.TensorSpec([], tf.int32), tf.TensorSpec([2], tf.int64)]
    made = {a: tf.function(functools.partial(augmentation.warp, amount=a), input_signature=signature) for a in AMOUNTS}
    return lambda steps, seed, amount: made[amount](steps, seed).numpy()


AMOUNTS = (0.0, 0.2, 1.0)


@pytest.mark.parametrize("amount", AMOUNTS)
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_a_warp_goes_forward_at_a_speed_within_bounds(warp, steps, amount):
    lengths = set()
    for seed in SEEDS[:40]:
        shown = warp(steps, seed, amount)
        assert shown.dtype == np.int32 and shown.min() >= 0 and shown.max() < steps
        jumps, times = np.diff(shown), np.bincount(shown)
        assert (jumps >= 0).all() and jumps.max(initial=0) <= math.ceil(1 + amount)
        assert times.max() <= math.ceil(1 + amount)
        shortest, longest = max(1, round(steps / (1 + amount))), round(steps * (1 + amount))
        assert shortest <= len(shown) <= longest
        lengths.add(len(shown))
    if amount and steps == 100:
        assert min(lengths) < 100 < max(lengths)


@pytest.mark.parametrize("steps", [1, 5, 60])
def test_a_warp_equals_numpy(warp, steps):
    for seed in SEEDS[:20]:
        knots = augmentation.uniform(seed, 7, shape=[4]).numpy().astype(float)
        slowness = 2.0 ** np.interp(np.linspace(0, 3, steps), range(4), knots)  # frames shown, for each frame
        ends = slowness.cumsum()
        shown = [(ends < t + 0.5).sum() for t in range(max(1, round(ends[-1])))]
        np.testing.assert_array_equal(warp(steps, seed, 1.0), np.minimum(shown, steps - 1))


# Blanked --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [np.repeat(CLIP, 2, 0), np.repeat(FEATURES, 2, 0)], ids=["pictures", "features"])
@pytest.mark.parametrize("longest", [1, 4, 50])
def test_a_blink_blanks_some_frames_in_a_row(frames, longest):
    frames = frames + np.arange(len(frames)).reshape(-1, *[1] * (frames.ndim - 1)).astype("float32")
    sizes, starts = set(), set()
    for found in for_all(lambda seed: augmentation.blink(frames, seed, longest)):
        hidden = np.flatnonzero((found != frames).any(tuple(range(1, frames.ndim))))
        assert len(hidden) <= longest and (np.diff(hidden) == 1).all()
        mean = frames.mean(None if frames.ndim == 4 else 0)
        np.testing.assert_allclose(found[hidden], np.broadcast_to(mean, found[hidden].shape), rtol=1e-4)
        sizes.add(len(hidden))
        starts.update(hidden[:1])
    assert sizes >= set(range(min(longest, 4) + 1)) and starts == set(range(len(frames)))


def test_a_blink_may_blank_the_only_frame():
    found = {len(np.unique(augmentation.blink(CLIP[:1], seed, 2))) > 1 for seed in SEEDS[:20]}
    assert found == {True, False}


# Spliced --------------------------------------------------------------------------------------------------------------


def marked(targets, offset):
    """A clip whose frames are numbered from an offset on."""
    numbers = np.arange(offset, offset + len(targets))
    return {"frames": tf.constant(numbers[:, None]), "mask": tf.ones([len(targets)], tf.bool)}, tf.constant(targets)


def spliced(first, second, share):
    """Splices by each of many seeds."""
    change = lambda seed: augmentation.splice(marked(first, 0), marked(second, 100), seed, share)
    return tf.data.Dataset.from_tensor_slices(SEEDS).map(change).as_numpy_iterator()


def test_a_splice_goes_on_with_the_next_segment_of_the_other():
    """All the places where two clips of four segments can be joined, and no others, by enumeration."""
    first, second = [1, 1, 2, 3, 3, 3, 1], [5, 6, 6, 6, 7, 8]
    expected = {(*first[:a], *second[b:]) for a, b in ((2, 1), (3, 4), (6, 5))}
    found = set()
    for x, y in spliced(first, second, 1.0):
        y = np.asarray(y)
        numbers, cut = x["frames"][:, 0], int((y < 5).sum())
        assert np.array_equal(numbers[:cut], np.arange(cut)) and np.array_equal(
            numbers[cut:], np.arange(106 - len(y) + cut, 106)
        )
        assert x["mask"].shape == y.shape
        found.add(tuple(y.tolist()))
    assert found == expected


@pytest.mark.parametrize(("second", "share"), [([5, 6, 7], 1.0), ([5], 1.0), ([5, 6, 7, 8], 0.0)])
def test_a_splice_of_clips_that_do_not_fit_is_the_first(second, share):
    first = [1, 1, 2, 3, 3, 3, 1]
    for x, y in spliced(first, second, share):
        assert np.asarray(y).tolist() == first and x["frames"][-1, 0] == 6


def test_a_splice_of_clips_of_one_segment_is_the_first():
    for _, y in spliced([3, 3], [4], 1.0):
        assert np.asarray(y).tolist() == [3, 3]
