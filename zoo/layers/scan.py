"""Any recurrence over a whole sequence in one call, with a gradient of its own: `Scan`.

The layers of `zoo.layers.recurrent` have a loop made for their equations (`training_loop`). Where more than a cell is
in the recurrence, an attention say, its step is written once as a function

    step(dot, x, states, context, small) -> (outputs, states)

of the inputs of this step, the states before it, and what is the same at every step. Each matrix product with weights
goes through `dot(i, value)`, which is `value @ kernels[i]`. For training, the products are kept as they are computed.
On the way back a step's element-wise work is done again, on a tape, with the products taken from there; what went into
each of them, and the gradient of what came out, are kept, so that a kernel's gradient is one large product after the
loop:

    forward     u_t = value_t K
    backward    d value_t = du_t K^T in the loop;  dK = sum over t of value_t^T du_t, over all steps at once

Otherwise as in `training_loop`: both loops are compiled by XLA, for padded lengths, and the halves of a batch run side
by side.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import tensorflow as tf

from zoo.layers.training_loop import bucket, few_rows, wide

PARTS = 2  # of a batch, which run side by side


class Inputs(NamedTuple):
    """What a recurrence reads.

    Attributes:
        x: float `[batch, time, width]` each: a step sees `[batch, width]`.
        states: float `[batch, width]` each.
        context: float `[batch, ...]` each, the same at every step; or of fewer rows, if several of x after each other
            share one: `[batch / n, ...]`.
        fixed: likewise, without a gradient; a step sees them after those of `context`.
        small: weights that are not kernels, of any shape; their gradient is summed up step by step.
        kernels: matrices for `dot`.
    """

    x: list
    states: list
    context: list
    fixed: list
    small: list
    kernels: list


class Scan:
    """A recurrence: a step, and the loops compiled for it.

    Args:
        step: as above. It must depend on nothing else that has a gradient.
    """

    def __init__(self, step):
        self.step = step
        self._infer = tf.function(self._infer_loop, reduce_retracing=True, autograph=False)
        self._forward = tf.function(self._forward_loop, autograph=False, jit_compile=True, reduce_retracing=True)
        self._backward = tf.function(self._backward_loop, autograph=False, jit_compile=True, reduce_retracing=True)

    def infer(self, inputs: Inputs):
        """Runs over all steps with TensorFlow's standard kernels -> outputs `[batch, time, ...]` each."""
        return self._infer(inputs)

    def _infer_loop(self, given: Inputs):
        x = [tf.transpose(each, [1, 0, 2]) for each in given.x]
        time = tf.shape(x[0])[0]
        dot = lambda i, value: value @ given.kernels[i]
        run = lambda t, states: self.step(
            dot, [each[t] for each in x], states, given.context + given.fixed, given.small
        )

        def body(t, states, arrays):
            outputs, new = run(t, states)
            return t + 1, new, _write(arrays, t, outputs)

        arrays = _arrays(time, run(0, given.states)[0])  # only the shapes: TensorFlow leaves out what nothing reads
        *_, arrays = tf.while_loop(lambda t, *_: t < time, body, (0, given.states, arrays))
        return [tf.einsum("tb...->bt...", array.stack()) for array in arrays]

    def train(self, inputs: Inputs, dtype=None):
        """The same outputs, for training: differentiable once, by loops of its own, in float32.

        The large products of the kernels' gradients are in `dtype`.
        """
        sizes = [len(part) for part in inputs]
        fixed = inputs.fixed
        kernels_product = functools.partial(_rows_product, dtype=dtype)

        @tf.custom_gradient
        def run(*arguments):
            # No tape is to look into the loops: TensorFlow would prepare a gradient of its own, and fail.
            given = _unflat(map(tf.stop_gradient, arguments), sizes)._replace(fixed=fixed)
            rows = _rows(given)
            pieces, steps = _pieces(given, rows)
            results = [self._forward(piece, steps) for piece in pieces]
            results = tf.nest.map_structure(tf.stop_gradient, results)
            batch, time = tf.shape(given.x[0])[0], tf.shape(given.x[0])[1]
            outputs = [_join(parts, batch, time) for parts in zip(*(o for o, *_ in results), strict=True)]

            def gradient(*d_outputs):
                d_pieces, _ = _pieces(Inputs(list(d_outputs), [], [], [], [], []), rows)
                found = [
                    self._backward(piece, d.x, steps, history, products)
                    for piece, d, (_, history, products) in zip(pieces, d_pieces, results, strict=True)
                ]
                d_x = [_join(parts, batch, time) for parts in zip(*(f[0] for f in found), strict=True)]
                d_rows = [
                    [
                        tf.concat(parts, 0)[: tf.shape(each)[0]]
                        for each, *parts in zip(part, *(f[i] for f in found), strict=True)
                    ]
                    for i, part in ((1, given.states), (2, given.context))
                ]
                d_small = [tf.add_n(parts) for parts in zip(*(f[3] for f in found), strict=True)]
                d_kernels = [
                    tf.add_n([kernels_product(v, d) for v, d in parts])
                    for parts in zip(*(f[4] for f in found), strict=True)
                ]
                return *d_x, *d_rows[0], *d_rows[1], *d_small, *d_kernels

            return tuple(outputs), gradient

        flat = [wide(each) for part in inputs._replace(fixed=[]) for each in part]
        sizes[Inputs._fields.index("fixed")] = 0
        return list(run(*flat))

    def _forward_loop(self, given: Inputs, steps):
        """Time-major x -> outputs, states before and after each step, the products of each; all `[time, rows, ...]`."""
        time = tf.shape(given.x[0])[0]

        def run(t, states):
            products = []

            def dot(i, value):
                products.append((i, value @ given.kernels[i]))
                return products[-1][1]

            outputs, new = self.step(
                dot, [each[t] for each in given.x], states, given.context + given.fixed, given.small
            )
            return outputs, new, [product for _, product in sorted(products, key=lambda pair: pair[0])]

        def body(t, states, outputs, history, products):
            out, new, made = run(t, states)
            return (
                t + 1,
                new,
                _write(outputs, t, out),
                _write(history, t + 1, new),
                _write(products, t, made),
            )

        outputs, states, products = (_arrays(time, like) for like in run(0, given.states))
        history = _write(_arrays(time + 1, given.states), 0, given.states)
        _, _, outputs, history, products = tf.while_loop(
            lambda t, *_: t < steps, body, (0, given.states, outputs, history, products)
        )
        return _stacked(outputs), _stacked(history), _stacked(products)

    def _backward_loop(self, given: Inputs, d_outputs, steps, history, products):
        """-> gradients of x, states, context, small; and for each kernel (values, gradients of the products)."""
        time = tf.shape(given.x[0])[0]
        across = [tf.transpose(kernel) for kernel in given.kernels]

        def run(t, d_states):
            """The gradients of step t, and what went into its products."""
            x, before = [each[t] for each in given.x], [each[t] for each in history]
            made, values = [each[t] for each in products], [None] * len(across)
            leaves = [x, before, given.context, given.small, made]

            def dot(i, value):
                values[i] = value
                return _replay(across[i])(value, made[i])

            with tf.GradientTape() as tape:
                tape.watch(leaves)
                outputs, after = self.step(dot, x, before, given.context + given.fixed, given.small)
            d = tape.gradient(
                [outputs, after], leaves, [[each[t] for each in d_outputs], d_states], unconnected_gradients="zero"
            )
            return *d, values

        def body(t, d_states, d_x, d_context, d_small, d_products, values):
            dx, before, context, small, dp, into = run(t, d_states)
            add = lambda total, more: [a + b for a, b in zip(total, more, strict=True)]
            return (
                t - 1,
                before,
                _write(d_x, t, dx),
                add(d_context, context),
                add(d_small, small),
                _write(d_products, t, dp),
                _write(values, t, into),
            )

        zeros = lambda parts: [tf.zeros_like(part) for part in parts]
        states = zeros([each[0] for each in history])
        *_, values = run(0, states)
        loop = (
            steps - 1,
            states,
            [_array(each) for each in given.x],
            zeros(given.context),
            zeros(given.small),
            [_array(each) for each in products],
            _arrays(time, values),
        )
        _, d_states, d_x, d_context, d_small, d_products, values = tf.while_loop(lambda t, *_: t >= 0, body, loop)
        pairs = list(zip(_stacked(values), _stacked(d_products), strict=True))
        return _stacked(d_x), d_states, d_context, d_small, pairs


def _replay(across):
    """A product whose result is known: of (value, result) -> result, with the gradient of the product for value."""

    @tf.custom_gradient
    def replay(value, result):
        return tf.identity(result), lambda d: (d @ across, d)

    return replay


def _rows(given: Inputs):
    """The number of rows that each part of a batch has: those that share a row of the context stay together."""
    batch = tf.shape(given.x[0])[0]
    shared = batch // tf.maximum(1, tf.shape(given.context[0])[0]) if given.context else 1
    shared = tf.maximum(1, shared)
    return shared * few_rows((batch // shared + PARTS - 1) // PARTS)


def _pieces(given: Inputs, rows):
    """The parts of a batch in the shapes that the loops are compiled for, x time-major; and the number of steps."""
    batch, steps = tf.shape(given.x[0])[0], tf.shape(given.x[0])[1]
    padding = bucket(steps) - steps
    x = [tf.pad(each, [[0, PARTS * rows - batch], [0, padding], [0, 0]]) for each in given.x]

    def parts(each):
        size = rows * tf.shape(each)[0] // tf.maximum(batch, 1)
        each = tf.pad(each, [[0, PARTS * size - tf.shape(each)[0]], *[[0, 0]] * (each.shape.rank - 1)])
        return [each[number * size : (number + 1) * size] for number in range(PARTS)]

    by_row = [[parts(each) for each in part] for part in (given.states, given.context, given.fixed)]

    def piece(number):
        part = slice(number * rows, (number + 1) * rows)
        return Inputs(
            [tf.transpose(each[part], [1, 0, 2]) for each in x],
            *([each[number] for each in group] for group in by_row),
            given.small,
            given.kernels,
        )

    return [piece(number) for number in range(PARTS)], steps


def _join(parts, batch, time):
    """`[time, rows, width]` of all parts -> `[batch, time, width]`."""
    return tf.concat([tf.transpose(part[:time], [1, 0, 2]) for part in parts], 0)[:batch]


def _rows_product(values, d, dtype):
    """The sum over time and rows of value^T d."""
    values, d = (tf.cast(tf.reshape(each, [-1, each.shape[-1]]), dtype or each.dtype) for each in (values, d))
    return wide(tf.matmul(values, d, transpose_a=True))


def _unflat(flat, sizes):
    flat = iter(flat)
    return Inputs(*([next(flat) for _ in range(size)] for size in sizes))


def _array(each):
    """For the steps of a time-major tensor."""
    return tf.TensorArray(each.dtype, tf.shape(each)[0], element_shape=each.shape[1:])


def _arrays(time, elements):
    return [tf.TensorArray(e.dtype, time, element_shape=e.shape) for e in elements]


def _write(arrays, t, values):
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]


def _stacked(arrays):
    return [array.stack() for array in arrays]
