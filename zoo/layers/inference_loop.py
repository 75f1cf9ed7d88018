"""The time loop that the recurrent layers predict with: of kernels that every TensorFlow has, so that an export needs
no XLA.

As in `zoo.layers.training_loop`, the inputs' product is taken over all steps at once, and the two halves of the
batch run side by side. A few steps are written out, since it costs TensorFlow as much to go round a loop as to take a
small product. Few sequences of a small LSTM are run by `BlockLSTMV2`, one kernel for the whole loop.
"""

from __future__ import annotations

import functools

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from zoo.layers import cells
from zoo.layers.training_loop import Weights, shaped

UNROLL = 4  # steps each time round the loop
FEW = 2  # sequences for which one kernel is faster than several; measured, as are the next two
SMALL = 2**18  # the most weights for which it is: they must fit into a core's cache
MANY = 6  # sequences from which on two halves are faster than one loop


def infer(cell, x, mask, states, weights, parts=2):
    """Run a cell over a sequence. Arguments and results are those of `zoo.layers.training_loop.train`.

    It may be differentiated as often as one likes, as slowly as Keras's loop.
    """
    # XLA has no `BlockLSTMV2`, and no gradient of a `tf.cond` with loops in it.
    xla = control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    sizes = (*weights.kernel.shape, weights.recurrent.shape[0])
    function = _function(cell, *sizes, x.dtype, mask is not None, parts, xla)
    return function(x, [] if mask is None else [mask], states, *weights)


@functools.cache
def _function(cell, features, width, units, dtype, masked, parts, xla):
    """`infer` as a graph: also where TensorFlow executes eagerly, which would run a loop step by step in Python."""
    batch_major = [
        tf.TensorSpec([None, None, features], dtype),
        [tf.TensorSpec([None, None], tf.bool)] * masked,
        [tf.TensorSpec([None, units], dtype)] * cell.states,
        *(tf.TensorSpec(shape, dtype) for shape in ([features, width], [units, width], [width], [width])),
    ]

    # Not inlined, so that where it is not called TensorFlow has a single node to skip.
    @tf.function(input_signature=batch_major, autograph=False, experimental_attributes={"_noinline": True})
    def loop(x, masks, states, *weights):
        return _loop(cell, x, masks, states, Weights(*weights))

    # A function, as a custom gradient has trouble with tensors from outside of the branch of a `tf.cond`.
    @tf.function(input_signature=batch_major, autograph=False)
    def kernel(x, masks, states, *weights):
        return _one_kernel(loop, x, masks, states, weights)

    def halves(x, masks, states, *weights):
        middle = (tf.shape(x)[0] + 1) // 2
        parts = [
            loop(x[rows], [mask[rows] for mask in masks], [s[rows] for s in states], *weights)
            for rows in (slice(None, middle), slice(middle, None))
        ]
        return [tf.concat(both, 0) for both in zip(*parts, strict=True)]

    @tf.function(input_signature=batch_major, autograph=False)
    def run(x, masks, states, *weights):
        inputs, batch = (x, masks, states, *weights), tf.shape(x)[0]

        def by_loop():
            if xla or parts == 1:
                return loop(*inputs)
            return tf.cond(batch < MANY, lambda: loop(*inputs), lambda: halves(*inputs))

        fits = cell is cells.LSTM and (features + units) * width <= SMALL and dtype == tf.float32 and not xla
        h, *last = tf.cond(batch <= FEW, lambda: kernel(*inputs), by_loop) if fits else by_loop()
        return h, last

    return run


def _loop(cell, x, masks, states, weights):
    """masks: a list of one or none -> [h after each step, *last states]"""
    kernel, recurrent, bias, recurrent_bias = weights
    rows, steps, units = tf.shape(x)[0], tf.shape(x)[1], recurrent.shape[0]
    x = tf.transpose(x, [1, 0, 2])
    z = tf.reshape(tf.reshape(x, [-1, kernel.shape[0]]) @ kernel + bias, [steps, rows, kernel.shape[1]])
    keep = [tf.transpose(mask)[:, :, None] for mask in masks]

    def run(first, end, count, states):
        """From step to step, `count` at a time."""

        def body(t, states, h):
            outputs = []
            for i in [t + k for k in range(count)]:
                u = states[0] @ recurrent
                new, _ = cell.step(z[i], u + recurrent_bias if cell.separate else u, states)
                if keep:
                    new = [tf.where(keep[0][i], n, s) for n, s in zip(new, states, strict=True)]
                states = shaped(new, states)
                outputs.append(states[0])
            return t + count, states, h.write((t - first) // count + 1, tf.stack(outputs))

        rounds = (end - first) // count
        h = tf.TensorArray(z.dtype, rounds + 1, element_shape=[count, None, units])
        h = h.write(0, tf.zeros([count, rows, units], z.dtype))  # as TensorFlow can't stack an empty array
        _, states, h = tf.while_loop(lambda t, *_: t < end, body, (first, states, h), maximum_iterations=rounds)
        return tf.reshape(h.stack()[1:], [end - first, rows, units]), states

    whole = steps // UNROLL * UNROLL
    blocks, states = run(0, whole, UNROLL, states)
    rest, states = run(whole, steps, 1, states)
    return [tf.transpose(tf.concat([blocks, rest], 0), [1, 0, 2]), *states]


def _one_kernel(loop, x, masks, states, weights):
    """As `_loop`, for an LSTM. Its gradient is that of `loop`, a function of `_loop`: the kernel's own is wrong."""

    @tf.custom_gradient
    def run(*inputs):
        x, kernel, recurrent, bias, _, *states = inputs

        def gradient(*d):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                results = loop(inputs[0], masks, list(inputs[5:]), *inputs[1:5])
            return tape.gradient(results, inputs, list(d), unconnected_gradients="zero")

        return _block_lstm(x, masks, states, tf.concat([kernel, recurrent], 0), bias), gradient

    return run(x, *weights, *states)


def _block_lstm(x, masks, states, weights, bias):
    """The steps that a mask skips are moved to the end, where nothing looks at them."""
    for mask in masks:
        x = tf.gather(x, tf.argsort(tf.cast(~mask, tf.int32), stable=True), batch_dims=1)
    unused = tf.zeros([states[0].shape[1]], x.dtype)  # the weights of peepholes
    result = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.cast(tf.shape(x)[1], tf.int64),
        x=tf.transpose(x, [1, 0, 2]),
        h_prev=states[0],
        cs_prev=states[1],
        w=weights,
        b=bias,
        wci=unused,
        wcf=unused,
        wco=unused,
        cell_clip=-1.0,
        use_peephole=False,
    )
    if not masks:
        return [tf.transpose(result.h, [1, 0, 2]), result.h[-1], result.cs[-1]]
    h, c = (
        tf.concat([state[:, None], tf.transpose(history, [1, 0, 2])], 1)
        for state, history in zip(states, (result.h, result.cs), strict=True)
    )
    latest = tf.cumsum(tf.cast(masks[0], tf.int32), axis=1)  # how many steps there have been
    last = latest[:, -1]
    return [tf.gather(h, latest, batch_dims=1), tf.gather(h, last, batch_dims=1), tf.gather(c, last, batch_dims=1)]
