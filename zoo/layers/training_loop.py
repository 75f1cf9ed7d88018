"""The time loop that the recurrent layers train with: a gradient of its own, in XLA, on two halves of the batch.

With z, u and the cells as in `zoo.layers.cells`, and D_t the gradient of the states after step t by all ways:

    forward     z = x W + b, one product over all steps;  u_t = h_{t-1} R + b_r,  states_t = cell(z_t, u_t, ...)
    backward    dz_t, du_t and D_{t-1} from D_t by the cell's `back`, and dh_{t-1} += du_t R^T
    after it    dx = dz W^T,  dW = x^T dz,  dR = h_before^T du,  db and db_r the sums of dz and du

so a step of either loop has one product, and the gradients of the weights, which automatic differentiation would add up
step by step, are a large product each.

Both loops are compiled by XLA, which makes few passes of a step's element-wise work. XLA compiles for a shape; so that
few shapes come up, sequences are padded to one of few lengths (`bucket`), and the loops are told where to stop.

The two halves of the batch depend on each other in nothing, so TensorFlow runs their loops side by side. One loop
by itself can't use two cores: its products are small, and each waits for the one before.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import tensorflow as tf

SEGMENT = 32  # steps between two states that are kept, where the rest is computed again

# Multiples of 8 up to 64, then four an octave: at most a quarter of the steps is padding. Up to 65,536 steps.
LENGTHS = [8 * i for i in range(1, 9)] + [2**k * i for k in range(4, 14) for i in (5, 6, 7, 8)]


def bucket(steps):
    """The length, int32, that a sequence of `steps` steps is padded to: the least of `LENGTHS` that it fits in."""
    place = tf.reduce_sum(tf.cast(tf.constant(LENGTHS) < steps, tf.int32))
    return tf.gather(tf.stack([*LENGTHS, tf.maximum(steps, LENGTHS[-1])]), place)


def few_rows(rows):
    """The number of rows, int32, that a part of a batch is padded to: from 8 on a multiple of 4."""
    return tf.where(rows > 8, (rows + 3) // 4 * 4, rows)


class Weights(NamedTuple):
    """Keras's kernel `[features, parts * units]`, recurrent kernel `[units, parts * units]` and bias; the bias of u."""

    kernel: tf.Tensor
    recurrent: tf.Tensor
    bias: tf.Tensor
    recurrent_bias: tf.Tensor


def train(cell, x, mask, states, weights, recompute=False, parts=2):
    """Run a cell over a sequence, for training.

    Args:
        cell: one of the classes of `zoo.layers.cells`.
        x: float `[batch, time, features]`; mask: bool `[batch, time]` or None, False where a step is to be skipped.
        states: a list of float `[batch, units]`; weights: `Weights`.
        recompute: keep only the outputs, and the states every 32 steps, for the way back, and compute the rest again
            there: less memory, one more forward pass.
        parts: 2 to run two halves of the batch side by side; 1 where something else keeps the cores busy.

    Returns:
        h after each step, `[batch, time, units]`, and the list of last states. If x is of 16 bits, the products over
        all steps are; the loops, and what they return, are in float32.

    Raises:
        NotImplementedError: when the gradient of its gradient is asked for; in a graph, `InvalidArgumentError`.
    """

    @tf.custom_gradient
    def run(*arguments):
        # No tape is to look into the loops, from either end: TensorFlow would prepare a gradient of its own, and fail.
        x, kernel, recurrent, bias, recurrent_bias, *states = map(tf.stop_gradient, arguments)
        weights = Weights(kernel, recurrent, bias, recurrent_bias)
        pieces = _pieces(x, [] if mask is None else [mask], states, parts, SEGMENT if recompute else None)
        forward, backward = (_by_segments if recompute else _at_once)(cell, weights)
        results = tf.nest.map_structure(tf.stop_gradient, [forward(piece) for piece in pieces])
        h = _join([h for h, _, _ in results], x)
        last = [tf.concat(both, 0)[: tf.shape(x)[0]] for both in zip(*(last for _, last, _ in results), strict=True)]

        def gradient(*d):
            @tf.custom_gradient
            def once(*arguments):
                dh, *d_last = map(tf.stop_gradient, arguments[: 1 + cell.states])
                d_pieces = _pieces(dh, [], d_last, parts, SEGMENT if recompute else None)
                found = [
                    backward(piece, d_piece, kept)
                    for piece, d_piece, (_, _, kept) in zip(pieces, d_pieces, results, strict=True)
                ]
                dx = _join([dx for dx, _, _ in found], x)
                d_weights = [sum(both) for both in zip(*(d for _, d, _ in found), strict=True)]
                d_states = zip(*(d for _, _, d in found), strict=True)
                d_states = [tf.concat(both, 0)[: tf.shape(x)[0]] for both in d_states]
                d_states = [tf.cast(d, s.dtype) for d, s in zip(d_states, states, strict=True)]
                return (dx, *d_weights, *d_states), _refuse(*arguments)

            # All that the result depends on is an argument, so that no second gradient is silently left out.
            return once(*d, *arguments)

        return (h, *last), gradient

    h, *last = run(x, *weights, *states)
    return h, last


def _refuse(*inputs):
    """The gradient of a gradient. In a graph it fails when it is run: TensorFlow also builds gradients that it may not
    need."""
    message = (
        "the gradient of a gradient through the training loop of a recurrent layer of the zoo, which has none: "
        "call the layer with training=False, or use that of keras.layers, which has the same weights"
    )

    def gradient(*_):
        if tf.executing_eagerly():
            raise NotImplementedError(message)
        failure = tf.raw_ops.CheckNumerics(tensor=tf.constant(float("nan")), message=message)
        return [tf.zeros_like(x) + tf.cast(failure, x.dtype) for x in inputs]

    return gradient


class Piece(NamedTuple):
    """Some rows: x `[time, rows, features]`, padded; the steps to run; a keep `[time, rows, 1]` or none; states."""

    x: tf.Tensor
    steps: tf.Tensor
    keep: list
    states: list


def _pieces(x, masks, states, parts, multiple):
    """The parts of a batch, in the shapes that the loops are compiled for. One without true rows has no steps."""
    batch, steps = tf.shape(x)[0], tf.shape(x)[1]
    rows = few_rows((batch + parts - 1) // parts)
    missing = parts * rows - batch
    padding = (bucket(steps) if multiple is None else (steps + multiple - 1) // multiple * multiple) - steps
    x = tf.pad(x, [[0, missing], [0, 0], [0, 0]])
    masks = [tf.pad(mask, [[0, missing], [0, 0]]) for mask in masks]
    states = [tf.pad(s, [[0, missing], [0, 0]]) for s in states]

    def piece(first):
        part = slice(first, first + rows)
        x_part = tf.pad(tf.transpose(x[part], [1, 0, 2]), [[0, padding], [0, 0], [0, 0]])
        keep = [tf.pad(tf.transpose(mask[part]), [[0, padding], [0, 0]])[:, :, None] for mask in masks]
        return Piece(x_part, tf.where(first < batch, steps, 0), keep, [s[part] for s in states])

    return [piece(number * rows) for number in range(parts)]


def _join(parts, x):
    """One or two `[time, rows, width]` -> `[batch, time, width]`, of the batch and time of x."""
    return tf.concat([tf.transpose(h[: tf.shape(x)[1]], [1, 0, 2]) for h in parts], 0)[: tf.shape(x)[0]]


def _at_once(cell, weights):
    """How a `Piece` is run forward, and back, as one segment.

    forward(piece) -> (h after each step, last states, what the way back needs); backward(piece, d_piece, kept), with
    the gradients of h and of the last states in d_piece, -> (dx, d_weights, d_states).
    """

    def forward(piece):
        history, saved, last = _forward(cell, piece, weights)
        return history[0][1:], last, (history, saved)

    def backward(piece, d_piece, kept):
        return _backward(cell, piece, weights, *kept, d_piece.x, d_piece.states)

    return forward, backward


def _by_segments(cell, weights):
    """As `_at_once`, but segment by segment; between them only the states are kept for the way back."""

    def segment(piece, i, states):
        part = slice(i * SEGMENT, (i + 1) * SEGMENT)
        keep = [k[part] for k in piece.keep]
        return Piece(piece.x[part], tf.clip_by_value(piece.steps - i * SEGMENT, 0, SEGMENT), keep, states)

    def forward(piece):
        count = tf.shape(piece.x)[0] // SEGMENT

        def step(i, states, starts, h):
            history, _, last = _forward(cell, segment(piece, i, states), weights)
            starts = [array.write(i, state) for array, state in zip(starts, states, strict=True)]
            return i + 1, shaped(last, states), starts, h.write(i, history[0][1:])

        states = [wide(s) for s in piece.states]
        units = weights.recurrent.shape[0]
        starts = [_array(count, s.dtype, units) for s in states]
        h = tf.TensorArray(states[0].dtype, count, element_shape=[SEGMENT, None, units])
        _, last, starts, h = tf.while_loop(lambda i, *_: i < count, step, (0, states, starts, h))
        h = tf.reshape(h.stack(), [-1, tf.shape(piece.x)[1], units])
        return h, last, [a.stack() for a in starts]

    def backward(piece, d_piece, starts):
        count = tf.shape(piece.x)[0] // SEGMENT

        def step(i, d, dx, d_weights):
            part = segment(piece, i, [s[i] for s in starts])
            history, saved, _ = _forward(cell, part, weights)
            dh = d_piece.x[i * SEGMENT : (i + 1) * SEGMENT]
            dx_i, more, d_before = _backward(cell, part, weights, history, saved, dh, d)
            return (
                i - 1,
                shaped(d_before, d),
                dx.write(i, dx_i),
                Weights(*(a + b for a, b in zip(d_weights, more, strict=True))),
            )

        zeros = Weights(*(tf.zeros_like(w) for w in weights))
        states = [wide(s) for s in d_piece.states]
        dx = tf.TensorArray(piece.x.dtype, count, element_shape=[SEGMENT, *piece.x.shape[1:]])
        _, d, dx, d_weights = tf.while_loop(lambda i, *_: i >= 0, step, (count - 1, states, dx, zeros))
        return tf.reshape(dx.stack(), tf.shape(piece.x)), d_weights, d

    return forward, backward


# One segment, of all the steps of a piece or of some ------------------------------------------------------------------


def _forward(cell, piece, weights):
    """-> the states before and after each step, a list of `[time + 1, rows, units]`; what else the way back needs of
    each step; the last states."""
    shape = tf.shape(piece.x)
    z = tf.reshape(_rows(piece.x) @ weights.kernel + weights.bias, [shape[0], shape[1], weights.bias.shape[0]])
    loop, _ = _loops(cell, weights, piece)
    states, recurrent, bias = [wide(s) for s in piece.states], wide(weights.recurrent), wide(weights.recurrent_bias)
    return loop(wide(z), piece.steps, piece.keep, states, recurrent, bias)


def _backward(cell, piece, weights, history, saved, dh, d_last):
    """The gradients of h after each step `[time, rows, units]` and of the last states -> (dx, d_weights, d_states)."""
    _, loop = _loops(cell, weights, piece)
    d_last = [wide(d) for d in d_last]
    dz, du, d_states = loop(wide(dh), piece.steps, piece.keep, history, saved, d_last, wide(weights.recurrent))
    dz, *du = (tf.cast(_rows(d), piece.x.dtype) for d in (dz, *du))
    du = du[0] if cell.separate else dz
    db = _sum(dz)
    d_weights = Weights(
        tf.matmul(_rows(piece.x), dz, transpose_a=True),
        tf.matmul(tf.cast(_rows(history[0][:-1]), du.dtype), du, transpose_a=True),
        db,
        _sum(du) if cell.separate else tf.zeros_like(db),
    )
    dx = tf.matmul(dz, weights.kernel, transpose_b=True)
    return tf.reshape(dx, tf.shape(piece.x)), d_weights, d_states


def _loops(cell, weights, piece):
    dtype = wide(weights.recurrent_bias).dtype
    return _compiled(cell, weights.recurrent.shape[0], dtype, bool(piece.keep))


@functools.cache
def _compiled(cell, units, dtype, masked):
    """The two loops of a cell: (forward, backward), traced once, and compiled for each shape that comes up."""
    width = cell.parts * units

    def forward(z, steps, keep, states, recurrent, bias):
        time = tf.shape(z)[0]
        history = [_array(time + 1, dtype, units).write(0, s) for s in states]
        saved = [_array(time, dtype, width * units) for width in cell.saved]

        def step(t, states, history, saved):
            new, more = cell.step(z[t], states[0] @ recurrent + bias, states)
            if keep:
                new = [tf.where(keep[0][t], n, s) for n, s in zip(new, states, strict=True)]
            history = [array.write(t + 1, state) for array, state in zip(history, new, strict=True)]
            saved = [array.write(t, value) for array, value in zip(saved, more, strict=True)]
            return t + 1, new, history, saved

        _, last, history, saved = tf.while_loop(lambda t, *_: t < steps, step, (0, states, history, saved))
        return [h.stack() for h in history], [s.stack() for s in saved], last

    def backward(dh, steps, keep, history, saved, d, recurrent):
        across, time = tf.transpose(recurrent), tf.shape(dh)[0]

        def step(t, d, dz, du):
            before, after = ([h[i] for h in history] for i in (t, t + 1))
            d = [d[0] + dh[t], *d[1:]]
            inner = d
            if keep:
                k = tf.cast(keep[0][t], dtype)
                inner = [k * g for g in d]
            dz_t, du_t, new = cell.back(inner, [s[t] for s in saved], before, after)
            if keep:
                new = [n + (1 - k) * g for n, g in zip(new, d, strict=True)]
            new[0] += du_t @ across
            return t - 1, new, dz.write(t, dz_t), [array.write(t, du_t) for array in du]

        dz, du = _array(time, dtype, width), [_array(time, dtype, width)] if cell.separate else []
        _, d, dz, du = tf.while_loop(lambda t, *_: t >= 0, step, (steps - 1, d, dz, du))
        return dz.stack(), [array.stack() for array in du], d

    def over_time(width, dtype=dtype):
        return tf.TensorSpec([None, None, width], dtype)

    steps, states = tf.TensorSpec([], tf.int32), [tf.TensorSpec([None, units], dtype)] * cell.states
    keep = [over_time(1, tf.bool)] if masked else []
    recurrent, bias = tf.TensorSpec([units, width], dtype), tf.TensorSpec([width], dtype)
    history, saved = [over_time(units)] * cell.states, [over_time(part * units) for part in cell.saved]
    return (
        tf.function(forward, [over_time(width), steps, keep, states, recurrent, bias], jit_compile=True),
        tf.function(backward, [over_time(units), steps, keep, history, saved, states, recurrent], jit_compile=True),
    )


def wide(x):
    """In the dtype of the loops: XLA has no fast products of 16 bits on a CPU, as TensorFlow has."""
    return tf.cast(x, tf.float32) if x.dtype.size < 4 else x


def shaped(new, old):
    """With the static shapes of the old ones, which compiled functions don't tell."""
    return [tf.ensure_shape(n, o.shape) for n, o in zip(new, old, strict=True)]


def _array(size, dtype, width):
    """For as many `[rows, width]`."""
    return tf.TensorArray(dtype, size, element_shape=[None, width], infer_shape=False)


def _sum(rows):
    """Of all rows, as a product, which is several times as fast as TensorFlow's sum."""
    return tf.matmul(tf.ones([1, tf.shape(rows)[0]], rows.dtype), rows)[0]


def _rows(x):
    """`[time, rows, width]` -> `[time * rows, width]`"""
    return tf.reshape(x, [-1, x.shape[-1]])
