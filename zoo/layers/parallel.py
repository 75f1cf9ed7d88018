"""Recurrences without a loop over time: `MinGRU`, `MinLSTM` and `LRU`.

In a GRU or an LSTM the gates look at the state before, so step t has to wait for step t - 1: O(T) however many cores
there are. If they look at the input alone, a step is linear in the state,

    h_t = a_t h_{t-1} + b_t

and two such steps make one of the same form, (a, b) then (a', b') being (a' a, a' b + b'). That operation is
associative, so all the states can be had by combining in a tree: O(log T) (Blelloch 1990). See `linear_scan`.

The price: a gate sees one input, not what came before it, so one layer can't tell "not good" from "good"; depth can.
On the built-in reviews `make train SET="cell=mingru epochs=4"` reaches 62% on dev, and
`SET="cell=mingru depth=3 epochs=8"` 96%.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf

BLOCK = 16  # steps that are taken one after the other, in all blocks at once


@tf.custom_gradient
def linear_scan(a, b, h0):
    """All states of h_t = a_t h_{t-1} + b_t, by a scan in blocks.

    The sequence is cut into blocks of 16 steps. Each is run from a zero state, all side by side; the states at
    their ends are put right by combining neighbours 1, 2, 4... blocks apart (Hillis & Steele 1986); and what a block
    started from, times the product of its a's so far, is added to its states.

    Its gradient is the same scan backwards in time, so gradients of gradients are right as well:
    with g_t the gradient of h_t by all ways, g_t = dh_t + conj(a_{t+1}) g_{t+1}.

    Args:
        a, b: float or complex `[batch, time, units]`, of one shape; h0: `[batch, units]`.

    Returns:
        h `[batch, time, units]`.
    """
    h = _scan(a, tf.concat([b[:, :1] + a[:, :1] * h0[:, None], b[:, 1:]], 1))

    def gradient(dh):
        after = tf.math.conj(tf.concat([a[:, 1:], tf.zeros_like(a[:, :1])], 1))
        g = tf.reverse(linear_scan(tf.reverse(after, [1]), tf.reverse(dh, [1]), tf.zeros_like(h0)), [1])
        before = tf.concat([h0[:, None], h[:, :-1]], 1)
        return g * tf.math.conj(before), g, tf.reduce_sum(g[:, :1] * tf.math.conj(a[:, :1]), 1)

    return h, gradient


def _scan(a, b):
    """`linear_scan` from a zero state, without a gradient."""
    batch, steps, units = tf.shape(a)[0], tf.shape(a)[1], a.shape[-1]
    blocks = (steps + BLOCK - 1) // BLOCK
    padding = [[0, 0], [0, blocks * BLOCK - steps], [0, 0]]

    def cut(x):
        return tf.unstack(tf.reshape(tf.pad(x, padding), [batch, blocks, BLOCK, units]), axis=2)

    product, state = [], []  # at each place of a block: of the a's so far; from a zero state
    for a_t, b_t in zip(cut(a), cut(b), strict=True):
        product.append(a_t * product[-1] if product else a_t)
        state.append(a_t * state[-1] + b_t if state else b_t)

    def combine(distance, a_block, h_block):
        def earlier(x):
            return tf.pad(x, [[0, 0], [distance, 0], [0, 0]])[:, :blocks]

        # Where there is no earlier block its state counts as 0, and it no longer matters what its product is.
        return distance * 2, a_block * earlier(a_block), h_block + a_block * earlier(h_block)

    unknown = tf.TensorShape([None, None, units])
    _, _, ends = tf.while_loop(
        lambda distance, *_: distance < blocks,
        combine,
        (1, product[-1], state[-1]),
        shape_invariants=(tf.TensorShape([]), unknown, unknown),
    )
    start = tf.pad(ends, [[0, 0], [1, 0], [0, 0]])[:, :blocks]
    h = tf.stack([s + p * start for p, s in zip(product, state, strict=True)], axis=2)
    h = tf.reshape(h, [batch, blocks * BLOCK, units])[:, :steps]
    return tf.ensure_shape(h, a.shape)


class LinearRecurrence(keras.layers.Layer):
    """What the layers of this module share: masks, states and direction, as Keras's recurrent layers have them.

    Subclasses give the coefficients of h_t = a_t h_{t-1} + b_t and read the output from h.

    Args:
        units: width of the output.
        return_sequences, return_state, go_backwards: as in `keras.layers.LSTM`. `Bidirectional` takes these layers too.

    Inputs: float `[batch, time, features]`; `mask` bool `[batch, time]`: a masked step keeps the state and repeats the
        output; `initial_state`, the list of one float `[batch, state_size]`.
    Outputs: `[batch, units]`, or with `return_sequences` `[batch, time, units]`, of the compute dtype; with
        `return_state` also the final state. The scan itself is in float32 at least.
    """

    stateful, states = False, None  # `keras.layers.Bidirectional` asks for both

    def __init__(
        self,
        units,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        zero_output_for_mask=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.return_sequences, self.return_state, self.go_backwards = return_sequences, return_state, go_backwards
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True

    @property
    def state_size(self):
        return self.units

    def coefficients(self, x):
        """x `[..., features]` -> a, b `[..., state]`."""
        raise NotImplementedError

    def output(self, h, x):
        """h `[..., state]` -> `[..., units]`."""
        return h

    def to_scan(self, state):
        """The state as users see it -> as the scan has it."""
        return state

    def from_scan(self, h):
        return h

    def step(self, x, states):
        """One step, for streaming: x `[batch, features]`, states as from `return_state` -> output, states."""
        a, b = self.coefficients(tf.convert_to_tensor(x))
        h = a * self.to_scan(tf.cast(states[0], self._scan_dtype())) + b
        return tf.cast(self.output(h, x), self.compute_dtype), [tf.cast(self.from_scan(h), self.compute_dtype)]

    def call(self, sequences, initial_state=None, mask=None, training=False):
        x = tf.reverse(sequences, [1]) if self.go_backwards else sequences
        a, b = self.coefficients(x)
        state = initial_state[0] if isinstance(initial_state, (list, tuple)) else initial_state
        if state is None:
            state = tf.zeros([tf.shape(x)[0], self.state_size])
        state = self.to_scan(tf.cast(state, self._scan_dtype()))
        if mask is not None:
            mask = tf.reverse(mask, [1]) if self.go_backwards else mask
            kept = tf.cast(mask, a.dtype)[:, :, None]
            a, b = kept * a + (1 - kept), kept * b
        h = linear_scan(a, b, state)
        y = self.output(h, x)
        if mask is not None:
            y = self._masked(y, mask)
        y = tf.cast(y, self.compute_dtype)
        result = y if self.return_sequences else y[:, -1]
        if not self.return_state:
            return result
        return result, tf.cast(self.from_scan(h[:, -1]), self.compute_dtype)

    def _scan_dtype(self):
        return "float64" if self.compute_dtype == "float64" else "float32"

    def _masked(self, y, mask):
        """A masked step repeats the output before it, or is zero, as is what comes before the first step."""
        if self.zero_output_for_mask:
            return tf.where(mask[:, :, None], y, 0)
        seen = tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
        return tf.where(seen[:, :, None], self.repeated(y, mask), 0)

    def repeated(self, y, mask):
        """y, at masked steps that of the last one which is not masked; by itself where y is h, which a mask keeps."""
        return y

    def compute_mask(self, inputs, mask=None):
        kept = mask if self.return_sequences else None
        return [kept, None] if self.return_state else kept

    def compute_output_shape(self, shape):
        result = (*shape[:-1], self.units) if self.return_sequences else (shape[0], self.units)
        return (result, (shape[0], self.state_size)) if self.return_state else result

    def get_config(self):
        names = ("units", "return_sequences", "return_state", "go_backwards", "zero_output_for_mask")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


class _Gated(LinearRecurrence):
    """Gates and candidate from one product with the input, kept in one kernel as Keras's layers do."""

    parts = 0

    def build(self, shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(shape[-1], self.parts * self.units), initializer="glorot_uniform"
        )
        self.bias = self.add_weight(name="bias", shape=(self.parts * self.units,), initializer="zeros")

    def coefficients(self, x):
        z = tf.matmul(tf.cast(x, self.compute_dtype), tf.convert_to_tensor(self.kernel)) + self.bias
        return self.gates(*tf.split(tf.cast(z, self._scan_dtype()), self.parts, axis=-1))

    def gates(self, *parts):
        """The parts of the product -> a, b."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("zoo")
class MinGRU(_Gated):
    """The GRU whose gate looks at the input only (Feng et al. 2024, "Were RNNs all we needed?").

        z_t = sigmoid(x_t W_z + b_z)
        h_t = (1 - z_t) h_{t-1} + z_t (x_t W_h + b_h)

    A third of the weights of a GRU with as many features as units, and no product with the state: arguments, inputs and
    outputs as in `LinearRecurrence`.
    """

    parts = 2

    def gates(self, z, candidate):
        z = tf.sigmoid(z)
        return 1 - z, z * candidate


@keras.saving.register_keras_serializable("zoo")
class MinLSTM(_Gated):
    """The LSTM whose gates look at the input only, normalised to sum to one (Feng et al. 2024).

        f_t, i_t = sigmoid(x_t W_f + b_f), sigmoid(x_t W_i + b_i)
        h_t = f_t / (f_t + i_t) h_{t-1} + i_t / (f_t + i_t) (x_t W_h + b_h)

    Arguments, inputs and outputs as in `LinearRecurrence`; there is one state, h.
    """

    parts = 3

    def gates(self, forget, let_in, candidate):
        # f / (f + i) as a sigmoid of the difference of logarithms: no quotient of two numbers near zero.
        share = tf.sigmoid(tf.math.log_sigmoid(forget) - tf.math.log_sigmoid(let_in))
        return share, (1 - share) * candidate


@keras.saving.register_keras_serializable("zoo")
class LRU(LinearRecurrence):
    """The linear recurrent unit, a diagonal complex recurrence (Orvieto et al. 2023).

        h_t = lambda h_{t-1} + gamma (x_t B),    lambda = exp(-exp(nu) + i exp(theta)),    gamma = sqrt(1 - |lambda|^2)
        y_t = Re(h_t C) + x_t D

    |lambda| < 1 whatever nu is, so it is stable; gamma, which is trained on its own, starts where h has the variance of
    x B. There are `units` complex states; `return_state` gives them as `[batch, 2 * units]`, real parts first.

    Args:
        units: as in `LinearRecurrence`, which has the other arguments.
        r_min, r_max: lambda starts evenly spread over the ring between these radii, 0 to 1.
        max_phase: and at angles, in radians, from 0 to this.
    """

    def __init__(self, units, r_min=0.0, r_max=0.99, max_phase=2 * math.pi, **kwargs):
        super().__init__(units, **kwargs)
        if not 0 <= r_min < r_max < 1:
            raise ValueError(f"expected 0 <= r_min < r_max < 1; got {r_min} and {r_max}")
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase

    @property
    def state_size(self):
        return 2 * self.units

    def build(self, shape):
        features, n = shape[-1], self.units

        def ring(shape, dtype=None):
            u = keras.random.uniform(shape, 1e-4, 1.0, dtype)
            return keras.ops.log(-0.5 * keras.ops.log(u * (self.r_max**2 - self.r_min**2) + self.r_min**2))

        def angle(shape, dtype=None):
            return keras.ops.log(self.max_phase * keras.random.uniform(shape, 1e-4, 1.0, dtype))

        def variance(_, dtype=None):
            return 0.5 * keras.ops.log(1 - keras.ops.exp(-2 * keras.ops.exp(self.nu)))

        self.nu = self.add_weight(name="nu", shape=(n,), initializer=ring)
        self.theta = self.add_weight(name="theta", shape=(n,), initializer=angle)
        self.log_gamma = self.add_weight(name="log_gamma", shape=(n,), initializer=variance)
        normal = keras.initializers.RandomNormal
        self.b = self.add_weight(name="b", shape=(features, 2 * n), initializer=normal(stddev=(2 * features) ** -0.5))
        self.c = self.add_weight(name="c", shape=(2 * n, n), initializer=normal(stddev=n**-0.5))
        self.d = self.add_weight(name="d", shape=(features, n), initializer="glorot_uniform")

    def coefficients(self, x):
        dtype = self._scan_dtype()
        nu, theta, log_gamma = (tf.cast(tf.convert_to_tensor(w), dtype) for w in (self.nu, self.theta, self.log_gamma))
        radius, phase = tf.exp(-tf.exp(nu)), tf.exp(theta)
        b = tf.matmul(tf.cast(x, self.compute_dtype), tf.convert_to_tensor(self.b))
        b = self.to_scan(tf.cast(b, dtype) * tf.tile(tf.exp(log_gamma), [2]))
        a = tf.complex(radius * tf.cos(phase), radius * tf.sin(phase))
        return tf.broadcast_to(a, tf.shape(b)), b

    def output(self, h, x):
        # Re(h C) with C = C_r - i C_i, as one real product.
        y = tf.matmul(tf.cast(self.from_scan(h), self.compute_dtype), tf.convert_to_tensor(self.c))
        return y + tf.matmul(tf.cast(x, self.compute_dtype), tf.convert_to_tensor(self.d))

    def repeated(self, y, mask):
        order = tf.argsort(tf.cast(~mask, tf.int32), stable=True)  # the steps that count, then the others
        latest = tf.cumsum(tf.cast(mask, tf.int32), axis=1)  # how many of them there were by now
        return tf.gather(y, tf.gather(order, tf.maximum(latest - 1, 0), batch_dims=1), batch_dims=1)

    def to_scan(self, state):
        return tf.complex(*tf.split(state, 2, axis=-1))

    def from_scan(self, h):
        return tf.concat([tf.math.real(h), tf.math.imag(h)], -1)

    def get_config(self):
        return {**super().get_config(), "r_min": self.r_min, "r_max": self.r_max, "max_phase": self.max_phase}
