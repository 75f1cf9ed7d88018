"""A recurrent decoder that attends to what it is to speak of: `AttentionDecoder`."""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo.layers import cells
from zoo.layers.scan import Inputs, Scan
from zoo.layers.training_loop import bucket

CELLS = {"rnn": cells.RNN, "lstm": cells.LSTM, "gru": cells.GRU}
KINDS = ("additive", "general", "scaled", "none")
MASKED = -1e9  # finite: a row of -inf has no softmax


@keras.saving.register_keras_serializable("zoo")
class AttentionDecoder(keras.layers.Layer):
    """The decoder of an encoder-decoder: recurrent layers, attention over a memory, and the result fed back.

    With x_t the input, M the memory (an encoder's outputs, a grid of features), h_t the last layer's state:

        h_t = layers([x_t, a_{t-1}], h_{t-1})
        score_s = v . tanh(W_q h_t + W_k M_s)    "additive" (Bahdanau et al. 2015)
                  (W_q h_t) . M_s                "general" (Luong et al. 2015); "scaled": divided by sqrt(width of M)
        c_t = sum_s softmax(score)_s M_s
        a_t = tanh(W_a [h_t, c_t])

    a_t, the attentional vector, is the output, and the next step's input with `input_feeding` (Luong et al. 2015). With
    "none" the output is h_t, and the memory is of no use: all that is known of it is in the first state (Sutskever et
    al. 2014).

    The whole target is one call (`zoo.layers.scan`); `step` does one step, for decoding.

    Args:
        units: width of the recurrent layers.
        width: of the output; with attention "none" it is `units`.
        depth: number of recurrent layers.
        cell: "lstm", "gru" or "rnn".
        attention: "additive", "general", "scaled" or "none".
        input_feeding: whether the output is fed back.
        dropout: of the layers' inputs after the first, and of the output, with one mask for all steps (Gal & Ghahramani
            2016); what is fed back has it too.
        recurrent_dropout: of h_{t-1}, likewise.
        return_attention: whether to return the weights, too.

    Inputs: float `[batch, time, features]`; memory, float `[batch, places, features]`, or of fewer rows, if several
        sentences after each other are of one; `initial_state`, a list as `zero_state` makes it; `memory_mask`, bool
        `[batch, places]`, False for places to leave out.
    Output: `[batch, time, width]`, float32; with `return_attention` also the weights `[batch, time, places]`.

    Raises:
        ValueError: for an unknown cell or attention.
    """

    def __init__(
        self,
        units,
        width=None,
        depth=1,
        cell="lstm",
        attention="additive",
        input_feeding=True,
        dropout=0.0,
        recurrent_dropout=0.0,
        return_attention=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}; got {cell!r}")
        if attention not in KINDS:
            raise ValueError(f"attention must be one of {', '.join(KINDS)}; got {attention!r}")
        self.units, self.depth, self.cell, self.attention = units, depth, cell, attention
        self.width = units if attention == "none" or width is None else width
        self.input_feeding = input_feeding and attention != "none"
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.return_attention = return_attention
        self.equations = CELLS[cell]
        self.seed_generator = keras.random.SeedGenerator()
        self.scan = Scan(self._step)
        self._memories = {"none": 0, "additive": 3}.get(attention, 2)  # tensors that a step reads of the memory

    def build(self, inputs_shape, memory_shape=None):
        units, wide = self.units, self.equations.parts * self.units
        features = None if memory_shape is None else memory_shape[-1]
        weight = lambda name, shape, initializer="glorot_uniform": self.add_weight(
            name=name, shape=shape, initializer=initializer
        )
        fed = self.width if self.input_feeding else 0
        self.kernel = weight("kernel", (inputs_shape[-1], wide))
        self.fed_kernel = weight("fed_kernel", (fed, wide)) if fed else None
        self.upper_kernels = [weight(f"kernel_{i}", (units, wide)) for i in range(1, self.depth)]
        self.recurrent_kernels = [
            weight(f"recurrent_kernel_{i}", (units, wide), "orthogonal") for i in range(self.depth)
        ]
        self.biases = [weight(f"bias_{i}", (wide,), self._bias) for i in range(self.depth)]
        self.recurrent_biases = [
            weight(f"recurrent_bias_{i}", (wide,), "zeros") for i in range(self.depth * self.equations.separate)
        ]
        self.query_kernel = self.key_kernel = self.score = self.output_kernel = None
        if self.attention != "none":
            keys = units if self.attention == "additive" else features
            self.query_kernel = weight("query_kernel", (units, keys))
            if self.attention == "additive":
                self.key_kernel = weight("key_kernel", (features, keys))
                self.score = weight("score", (keys,), keras.initializers.RandomNormal(stddev=keys**-0.5))
            self.output_kernel = weight("output_kernel", (units + features, self.width))

    def _bias(self, shape, dtype=None):
        """Zeros; of an LSTM's forget gate ones (Jozefowicz et al. 2015)."""
        parts = [keras.ops.zeros(self.units, dtype)] * self.equations.parts
        if self.cell == "lstm":
            parts[1] = keras.ops.ones(self.units, dtype)
        return keras.ops.concatenate(parts)

    def zero_state(self, batch):
        """The state before the first step, of zeros: each layer's states `[batch, units]`, and what is fed back."""
        sizes = [self.units] * (self.depth * self.equations.states) + [self.width] * self.input_feeding
        return [tf.zeros([batch, size]) for size in sizes]

    def first_state(self, batch, state=None):
        """The state to start from, float32; of what is given, the layers' states or all of it, the rest is zeros."""
        given = [] if state is None else [tf.cast(each, tf.float32) for each in state]
        return [*given, *self.zero_state(batch)[len(given) :]]

    def call(self, inputs, memory=None, initial_state=None, memory_mask=None, training=False):
        x = tf.convert_to_tensor(inputs)
        places = 0 if memory is None else memory.shape[1] or tf.shape(memory)[1]
        if training and tf.is_tensor(places):  # XLA compiles for a shape: let there be few
            missing = [[0, 0], [0, bucket(places) - places]]
            memory_mask = tf.ones(tf.shape(memory)[:2], tf.bool) if memory_mask is None else memory_mask
            memory, memory_mask = tf.pad(memory, [*missing, [0, 0]]), tf.pad(memory_mask, missing)
        context, fixed, small, kernels = self._shared(memory, memory_mask)
        inputs = Inputs(
            [tf.cast(self._product(x, self.kernel), tf.float32)],
            self.first_state(tf.shape(x)[0], initial_state),
            context,
            fixed + self._masks(tf.shape(x)[0], training),
            small,
            kernels,
        )
        outputs = self.scan.train(inputs, self.compute_dtype) if training else self.scan.infer(inputs)
        vectors = tf.ensure_shape(outputs[0], [x.shape[0], x.shape[1], self.width])
        return (vectors, outputs[1][:, :, :places]) if self.return_attention else vectors

    def prepare(self, memory, mask=None):
        """What `step` reads of a memory and of the weights, computed once for all steps."""
        context, fixed, small, kernels = self._shared(memory, mask)
        first = tf.cast(tf.convert_to_tensor(self.kernel), tf.float32)
        if self._joint:
            first = tf.concat([kernels.pop(0), first], 0)
            return context + fixed, small, [first, *kernels], None
        return context + fixed, small, kernels, first

    def _shared(self, memory, mask):
        """What all steps read: of a memory what has a gradient, and what has not; and the weights, as of `_weights`."""
        if self.attention == "none":
            return [], [], *self._weights()
        memory = tf.convert_to_tensor(memory)
        additive = tf.zeros(tf.shape(memory)[:2]) if mask is None else tf.where(mask, 0.0, MASKED)
        context = [tf.cast(memory, tf.float32)]
        if self.key_kernel is not None:
            context.append(tf.cast(self._product(memory, self.key_kernel), tf.float32))
        return context, [additive], *self._weights()

    def step(self, x, state, prepared):
        """One step.

        Args:
            x: `[rows, features]`; state: as of `zero_state`, of as many rows.
            prepared: from `prepare`, of as many rows, or of fewer: then several rows after each other belong to one of
                the memory's, as the hypotheses of a beam do.

        Returns:
            The output `[rows, width]`, the new state, and the weights `[rows, places]` (None without attention).
        """
        context, small, kernels, first = prepared
        x = tf.cast(x, tf.float32)
        dot = lambda i, value: value @ kernels[i]
        x = x if self._joint else x @ first
        (vector, *weights), state = self._step(dot, [x], list(state), context, small, True)
        return vector, state, weights[0] if weights else None

    def _product(self, x, kernel):
        """Of all rows at once: TensorFlow's own of more than two axes is slow on the way back."""
        flat = tf.reshape(tf.cast(x, self.compute_dtype), [-1, kernel.shape[0]])
        shape = tf.concat([tf.shape(x)[:-1], [kernel.shape[1]]], 0)
        return tf.reshape(flat @ tf.cast(kernel, self.compute_dtype), shape)

    def _masks(self, batch, training):
        """Of dropout: of h_{t-1} for each layer, then of each layer's output; none where nothing is dropped."""
        if not training or not (self.dropout or self.recurrent_dropout):
            return []
        drop = lambda width, rate: keras.random.dropout(tf.ones([batch, width]), rate, seed=self.seed_generator)
        outputs = [self.units] * (self.depth - 1) + [self.width]
        return [drop(self.units, self.recurrent_dropout) for _ in outputs] + [drop(w, self.dropout) for w in outputs]

    def _weights(self):
        """Those that are not kernels of products in the loop, and those that are; in the order of `_step`."""
        small = [*self.biases, *self.recurrent_biases, *([] if self.score is None else [self.score])]
        optional = (self.fed_kernel, self.query_kernel, self.output_kernel)
        kernels = [*self.recurrent_kernels, *self.upper_kernels, *(k for k in optional if k is not None)]
        small, kernels = ([tf.cast(tf.convert_to_tensor(w), tf.float32) for w in g] for g in (small, kernels))
        if self._joint:
            kernels[0] = tf.concat([kernels[0], kernels.pop(2 * self.depth - 1)], 0)
        return small, kernels

    @property
    def _joint(self):
        """Whether the first layer has one product of its state and of what is fed back."""
        return self.input_feeding and not self.equations.separate

    def _step(self, dot, x, states, context, small, alone=False):
        """`Scan`'s; or, `alone`, also the weights, and for a joint product x is the input, not yet multiplied."""
        cell, depth = self.equations, self.depth
        memory, masks = context[: self._memories], context[self._memories :] or [1.0] * (2 * depth)
        fed = 2 * depth - 1  # the numbers of the kernels, as `_weights` has them
        query = fed + (self.input_feeding and not self._joint)
        new, h = [], None
        for i in range(depth):
            before = states[i * cell.states : (i + 1) * cell.states]
            z = dot(depth + i - 1, h * masks[depth + i - 1]) if i else x[0]
            value = before[0] * masks[i]
            if i == 0 and self._joint and alone:
                value, z = tf.concat([value, states[-1], x[0]], -1), 0.0
            elif i == 0 and self._joint:
                value = tf.concat([value, states[-1]], -1)
            elif i == 0 and self.input_feeding:
                z += dot(fed, states[-1])
            u = dot(i, value)
            after, _ = cell.step(z + small[i], u + small[depth + i] if cell.separate else u, before)
            new, h = new + after, after[0]
        if self.attention == "none":
            return [h * masks[-1]], new
        weights, summary = self._attend(dot(query, h), memory, small)
        vector = tf.tanh(dot(query + 1, tf.concat([h, summary], -1))) * masks[-1]
        return [vector, weights] if alone or self.return_attention else [vector], [
            *new,
            *[vector] * self.input_feeding,
        ]

    def _attend(self, query, memory, small):
        """query `[rows, width]` -> weights `[rows, places]`, their sum of the memory `[rows, features]`."""
        values, *keys, additive = memory
        keys = keys[0] if keys else values
        batch, places, features = tf.shape(values)[0], tf.shape(values)[1], values.shape[-1]
        query = tf.reshape(query, [batch, -1, keys.shape[-1]])  # the rows of one memory are side by side
        if self.attention == "additive":
            hidden = tf.tanh(query[:, :, None] + keys[:, None])
            scores = tf.reshape(tf.reshape(hidden, [-1, keys.shape[-1]]) @ small[-1][:, None], [batch, -1, places])
        else:
            scores = tf.matmul(query, keys, transpose_b=True)
            scores *= features**-0.5 if self.attention == "scaled" else 1.0
        scores += additive[:, None]
        weights = tf.exp(scores - tf.reduce_max(scores, -1, keepdims=True))
        weights /= tf.reduce_sum(weights, -1, keepdims=True)  # tf.nn.softmax is slow on few rows
        return tf.reshape(weights, [-1, places]), tf.reshape(weights @ values, [-1, features])

    def compute_output_shape(self, inputs_shape, memory_shape=None):
        vectors = (*inputs_shape[:-1], self.width)
        return (vectors, (*inputs_shape[:-1], memory_shape[1])) if self.return_attention else vectors

    def get_config(self):
        names = "units width depth cell attention input_feeding dropout recurrent_dropout return_attention"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}
