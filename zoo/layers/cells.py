"""The equations of the vanilla RNN, the LSTM and the GRU: a step forward, and its gradient.

All of them are of the form

    z_t = x_t W + b,    u_t = h_{t-1} R + b_r,    states_t = cell(z_t, u_t, states_{t-1})

where h is the first of the states. Only u_t has to wait for the step before it, which is what the loops of
`zoo.layers.training_loop` and `zoo.layers.inference_loop` live on. The parts of z and u, and the weights, are in
Keras's order.

A cell is a class that is not instantiated, with

    parts: how many blocks of `units` columns z and u have; states: how many states; saved: the widths, in units, of
        what else the gradient needs of a step; separate: whether du is not dz.
    step(z, u, before) -> (the new states, the list of what is to be saved)
    back(d, saved, before, after) -> (dz, du, d_before): from the gradients of the new states, those of z and u
        `[batch, parts * units]`, and of the old states, but for what flows into h through u.

States are `[batch, units]`.
"""

from __future__ import annotations

import tensorflow as tf


class RNN:
    """Elman 1990.  h_t = tanh(z_t + u_t)"""

    parts, states, saved, separate = 1, 1, (), False

    @staticmethod
    def step(z, u, before):
        return [tf.tanh(z + u)], []

    @staticmethod
    def back(d, saved, before, after):
        dz = d[0] * (1 - after[0] * after[0])
        return dz, dz, [tf.zeros_like(dz)]


class LSTM:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.  [i, f, g, o] = z_t + u_t,

    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
    h_t = sigmoid(o) tanh(c_t)
    """

    parts, states, saved, separate = 4, 2, (1, 1, 1, 1, 1), False

    @staticmethod
    def step(z, u, before):
        i, f, g, o = tf.split(z + u, 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        c = f * before[1] + i * g
        tanh_c = tf.tanh(c)
        return [o * tanh_c, c], [i, f, g, o, tanh_c]

    @staticmethod
    def back(d, saved, before, after):
        (dh, dc), (i, f, g, o, tanh_c) = d, saved
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        di, df, dg, do = dc * g, dc * before[1], dc * i, dh * tanh_c
        dz = tf.concat([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], -1)
        return dz, dz, [tf.zeros_like(dh), dc * f]


class GRU:
    """Cho et al. 2014, with the reset gate after the product with the state.  [a, r, n] the parts of z_t and u_t,

    a, r = sigmoid(z_a + u_a), sigmoid(z_r + u_r)
    n = tanh(z_n + r u_n)
    h_t = a h_{t-1} + (1 - a) n
    """

    parts, states, saved, separate = 3, 1, (2, 1, 1), True

    @staticmethod
    def step(z, u, before):
        units = before[0].shape[-1]
        gates, u_n = tf.sigmoid(z[:, : 2 * units] + u[:, : 2 * units]), u[:, 2 * units :]
        a, r = tf.split(gates, 2, axis=-1)
        n = tf.tanh(z[:, 2 * units :] + r * u_n)
        return [a * before[0] + (1 - a) * n], [gates, n, u_n]

    @staticmethod
    def back(d, saved, before, after):
        (dh,), (gates, n, u_n) = d, saved
        a, r = tf.split(gates, 2, axis=-1)
        da = dh * (before[0] - n) * a * (1 - a)
        dn = dh * (1 - a) * (1 - n * n)
        dr = dn * u_n * r * (1 - r)
        return tf.concat([da, dr, dn], -1), tf.concat([da, dr, dn * r], -1), [dh * a]
