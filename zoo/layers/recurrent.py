"""The recurrent layers: `SimpleRNN`, `LSTM` and `GRU`, one family.

They are Keras's own layers: same arguments, weights and masks. `LSTM` trains through a time loop with a
hand-written gradient (`_lstm_sequence`); `SimpleRNN` and `GRU` run Keras's loop.
"""

from __future__ import annotations

import keras
import tensorflow as tf

SimpleRNN = keras.layers.SimpleRNN
GRU = keras.layers.GRU


@keras.saving.register_keras_serializable("zoo")
class LSTM(keras.layers.LSTM):
    """`keras.layers.LSTM`, faster to train on a CPU.

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000; gates in Keras's order i, f, g, o:

        z_t = x_t W + h_{t-1} R + b
        c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    A drop-in subclass: a model saved with one loads with the other. While training, and where the options
    allow (the default activations, no recurrent dropout, no unrolling, no GPU), the time loop has its own
    gradient; everything else is Keras's loop.
    """

    def inner_loop(self, sequences, initial_state, mask, training=False):
        if not (training and self._has_default_equations() and not _gpu()):
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        if self.dropout:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0, :])[:, None]
        x = tf.transpose(sequences, [1, 0, 2])  # time first: a step is one contiguous slice
        keep = None if mask is None else tf.cast(tf.transpose(mask)[:, :, None], tf.float32)
        if self.go_backwards:
            x = tf.reverse(x, [0])
            keep = keep if keep is None else tf.reverse(keep, [0])
        kernel, recurrent, bias = (
            tf.convert_to_tensor(w) for w in (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        )
        steps = tf.ones([tf.shape(x)[0], 1, 1]) if keep is None else keep
        h, last_h, last_c = _lstm_sequence(x, steps, *initial_state, kernel, recurrent, bias)
        h.set_shape([*x.shape[:2], h.shape[2]])  # which the loop does not know
        if keep is not None:
            # Keras puts out zeros until the first step that the mask lets through; in a `Bidirectional`, which
            # sets this option, at every step that it does not.
            visible = keep if self.zero_output_for_mask else tf.cumsum(keep, axis=0)
            h *= tf.cast(visible > 0, h.dtype)
        return h[-1], tf.transpose(h, [1, 0, 2]), [last_h, last_c]

    def _has_default_equations(self):
        return (
            self.activation is keras.activations.tanh
            and self.recurrent_activation is keras.activations.sigmoid
            and self.use_bias
            and not self.recurrent_dropout
            and not self.unroll
            and self.compute_dtype != "float64"  # the cell state of the fast loop is float32
        )


def _gpu():
    return bool(tf.config.list_logical_devices("GPU"))


@tf.function(jit_compile=True)
def _cell(z, c):
    """One step without its matrix product: gates' sums and old cell state -> h, c and the gates."""
    i, f, g, o = tf.split(tf.cast(z, tf.float32), 4, axis=-1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    c = f * c + i * g
    return tf.cast(o * tf.tanh(c), z.dtype), c, tf.cast(tf.concat([i, f, g, o], -1), z.dtype)


@tf.function(jit_compile=True)
def _cell_gradient(dh, dc, gates, c, c_before):
    """The gradient of `_cell`: with respect to z and to the old cell state."""
    i, f, g, o = tf.split(tf.cast(gates, tf.float32), 4, axis=-1)
    tanh_c = tf.tanh(c)
    dc += dh * o * (1 - tanh_c * tanh_c)
    dz = [dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)]
    return tf.cast(tf.concat(dz, -1), gates.dtype), dc * f


@tf.custom_gradient
def _lstm_sequence(x, keep, h0, c0, kernel, recurrent, bias):
    """A whole sequence, with a backward loop that carries only the gradient of the state.

    The products with x (forward) and all weight gradients (backward) are taken over all steps at once,
    outside the loops. The cell state is float32 even where the products are 16 bit.

    Args:
        x: `[time, batch, features]`; keep: float32 `[time, batch or 1, 1]`, 0 where a step is to be skipped;
        h0, c0: `[batch, units]`; kernel, recurrent, bias: as in `keras.layers.LSTM`.

    Returns:
        h `[time, batch, units]`, and the last h and c.
    """
    dtype, units = x.dtype, recurrent.shape[0]
    steps, batch = tf.shape(x)[0], tf.shape(x)[1]
    c0_32 = tf.cast(c0, tf.float32)
    z_x = tf.reshape(tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel) + bias, [steps, batch, 4 * units])
    z_x = _array(z_x)
    kept = _array(keep)

    def forward(t, h, c, hs, cs, gates):
        new_h, new_c, gate = _cell(z_x.read(t) + tf.matmul(h, recurrent), c)
        k = kept.read(t)
        c = k * new_c + (1 - k) * c
        h = tf.cast(k, dtype) * new_h + tf.cast(1 - k, dtype) * h
        return t + 1, h, c, hs.write(t, h), cs.write(t, c), gates.write(t, gate)

    outputs = [
        _array(size=steps, dtype=d, width=w) for d, w in ((dtype, units), (tf.float32, units), (dtype, 4 * units))
    ]
    _, h_last, c_last, hs, cs, gates = tf.while_loop(
        lambda t, *_: t < steps, forward, (0, h0, c0_32, *outputs), maximum_iterations=steps
    )
    hs, cs, gates = hs.stack(), cs.stack(), gates.stack()

    def gradient(dhs, dh_last, dc_last):
        dh_in = _array(dhs)
        cell_states = _array(tf.concat([c0_32[None], cs], 0))
        gate = _array(gates)
        recurrent_t = tf.transpose(recurrent)

        def backward(t, dh, dc, dzs):
            dh += tf.cast(dh_in.read(t), tf.float32)
            k = kept.read(t)
            dz, dc_before = _cell_gradient(k * dh, k * dc, gate.read(t), cell_states.read(t + 1), cell_states.read(t))
            dh = tf.cast(tf.matmul(dz, recurrent_t), tf.float32) + (1 - k) * dh
            return t - 1, dh, dc_before + (1 - k) * dc, dzs.write(t, dz)

        _, dh0, dc0, dzs = tf.while_loop(
            lambda t, *_: t >= 0,
            backward,
            (
                steps - 1,
                tf.cast(dh_last, tf.float32),
                tf.cast(dc_last, tf.float32),
                _array(size=steps, dtype=dtype, width=4 * units),
            ),
            maximum_iterations=steps,
        )
        dz = tf.reshape(dzs.stack(), [-1, 4 * units])
        h_before = tf.reshape(tf.concat([h0[None], hs[:-1]], 0), [-1, units])
        flat_x = tf.reshape(x, [-1, x.shape[-1]])
        return (
            tf.reshape(tf.matmul(dz, kernel, transpose_b=True), tf.shape(x)),
            None,
            tf.cast(dh0, dtype),
            tf.cast(dc0, c0.dtype),
            tf.matmul(flat_x, dz, transpose_a=True),
            tf.matmul(h_before, dz, transpose_a=True),
            tf.cast(tf.reduce_sum(tf.cast(dz, tf.float32), 0), dtype),
        )

    return (hs, h_last, tf.cast(c_last, c0.dtype)), gradient


def _array(value=None, size=None, dtype=None, width=None):
    """A `TensorArray` over time: of the steps of `value`, or empty."""
    if value is not None:
        array = tf.TensorArray(value.dtype, tf.shape(value)[0], element_shape=value.shape[1:], clear_after_read=False)
        return array.unstack(value)
    return tf.TensorArray(dtype, size, element_shape=(None, width))
