"""One to many recurrent layers, with what goes between them: `RecurrentStack`."""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo.layers.parallel import LRU, LinearRecurrence, MinGRU, MinLSTM
from zoo.layers.pooling import SequencePooling
from zoo.layers.recurrent import GRU, LSTM, SimpleRNN

CELLS = {"rnn": SimpleRNN, "lstm": LSTM, "gru": GRU, "mingru": MinGRU, "minlstm": MinLSTM, "lru": LRU}
LARGE, PIECE = 2**19, 256  # weights of a matrix that is multiplied in pieces when one step is taken, and their columns


@keras.saving.register_keras_serializable("zoo")
class RecurrentStack(keras.layers.Layer):
    """The recurrent part of every model of the zoo: layers on top of each other, then maybe a pooling.

    With x the input of a layer, and the parts that were not asked for left out, its output is

        norm(x + layer(dropout(x)))

    where the first layer's input is not dropped out, while the last one's output is. The dropout is on the
    layers' path and not on the residual one, which carries x as it is (Wu et al. 2016), or through a linear
    projection where the first layer's input is not as wide as its output.

    Args:
        units: the width of a layer, in each direction.
        depth: the number of layers.
        cell: "rnn", "lstm" or "gru"; or, without a loop over time, "mingru", "minlstm" or "lru"
            (`zoo.layers.parallel`).
        bidirectional: whether each layer reads in both directions; the results are concatenated (Schuster &
            Paliwal 1997).
        residual: whether a layer's input is added to its output (He et al. 2016).
        dropout: the rate between the layers and after the last one (Zaremba et al. 2014).
        variational: whether the dropout has one mask for all steps (Gal & Ghahramani 2016), or one for each.
        recurrent_dropout: the cells' rate, on the state; with it the layers take Keras's slower loop, and the cells
            without a loop have none.
        weight_dropout: the rate at which weights of the recurrent kernels are dropped (Merity et al. 2018), in the
            zoo's loops alone.
        layer_norm: whether each layer's result is normalised, step by step (Ba et al. 2016).
        pooling: None for the sequence, or the `kind` of a `SequencePooling` of it.
        return_state: whether to return the final states too.

    Inputs: float `[batch, time, features]`; `initial_state`, a flat list, as it is returned;
        `mask`, bool `[batch, time]`, by default the input's.
    Outputs: `[batch, time, width]` with the input's mask, or `[batch, width * number of poolings]`; width is
        `units`, or twice that if bidirectional. With `return_state`, a pair of this and the flat list of final
        states: layer by layer, forward before backward, h before an LSTM's c; of the shape `[batch, units]`, an LRU's
        `[batch, 2 * units]`. All of the compute dtype.

    Raises:
        ValueError: for an unknown cell or pooling, a depth below 1, a wrong number of initial states, or recurrent
            or weight dropout of a cell that has none.
    """

    def __init__(
        self,
        units,
        depth=1,
        cell="lstm",
        bidirectional=False,
        residual=False,
        dropout=0.0,
        variational=True,
        recurrent_dropout=0.0,
        layer_norm=False,
        pooling=None,
        return_state=False,
        weight_dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}; got {cell!r}")
        if depth < 1:
            raise ValueError(f"depth must be at least 1; got {depth}")
        if recurrent_dropout and issubclass(CELLS[cell], LinearRecurrence):
            raise ValueError(f"cell {cell!r} has no recurrent dropout; got {recurrent_dropout}")
        if weight_dropout and issubclass(CELLS[cell], LinearRecurrence):
            raise ValueError(f"cell {cell!r} has no recurrent kernel to drop weights of; got {weight_dropout}")
        self.units, self.depth, self.cell = units, depth, cell
        self.bidirectional, self.residual, self.layer_norm = bidirectional, residual, layer_norm
        self.dropout, self.variational, self.recurrent_dropout = dropout, variational, recurrent_dropout
        self.weight_dropout = weight_dropout
        self.pooling = pooling if pooling is None or isinstance(pooling, str) else tuple(pooling)
        self.return_state = return_state
        self.supports_masking = True

        dtype = self.dtype_policy
        self.width = units * (2 if bidirectional else 1)
        self.recurrent_layers = [self._recurrent_layer(f"layer_{i}") for i in range(depth)]
        self.projection = None
        if residual:  # built, and used, only where the widths differ
            self.projection = keras.layers.Dense(self.width, use_bias=False, dtype=dtype, name="projection")
        self.norms = [
            keras.layers.LayerNormalization(dtype=dtype, name=f"norm_{i}") for i in range(depth if layer_norm else 0)
        ]
        noise = (None, 1, None) if variational else None
        self.dropouts = [
            keras.layers.Dropout(dropout, noise_shape=noise, dtype=dtype, name=f"dropout_{i}") for i in range(depth)
        ]
        self.pool = None
        if pooling is not None:
            self.pool = SequencePooling(pooling, bidirectional, dtype=dtype, name="pooling")

    def _recurrent_layer(self, name):
        options = {"return_sequences": True, "return_state": self.return_state, "dtype": self.dtype_policy}
        if self.recurrent_dropout:
            options["recurrent_dropout"] = self.recurrent_dropout
        if self.weight_dropout:
            options["weight_dropout"] = self.weight_dropout
        layer = CELLS[self.cell](self.units, name=name, **options)
        if not self.bidirectional:
            return layer
        return keras.layers.Bidirectional(layer, merge_mode="concat", dtype=self.dtype_policy, name=name)

    def build(self, inputs_shape):
        shape = tuple(inputs_shape)
        if self.residual and shape[-1] != self.width:
            self.projection.build(shape)
        for layer in self.recurrent_layers:
            layer.build(shape)
            shape = (*shape[:-1], self.width)
        for layer in (*self.norms, *self.dropouts, *([self.pool] if self.pool else [])):
            layer.build(shape)

    def call(self, inputs, initial_state=None, mask=None, training=False):
        if mask is None:
            # Keras hands over the input's mask by itself, but not when the states are given too.
            mask = getattr(inputs, "_keras_mask", None)
        states, final_states = self._states_by_layer(initial_state), []
        x = inputs
        for i, layer in enumerate(self.recurrent_layers):
            dropped = self.dropouts[i - 1](x, training=training) if i else x
            y = layer(dropped, initial_state=states[i], mask=mask, training=training)
            if self.return_state:
                y, *state = y
                final_states += state
            if self.residual:
                y += x if i or not self.projection.built else self.projection(x)
            x = self.norms[i](y) if self.layer_norm else y
        x = self.dropouts[-1](x, training=training)
        if self.pool:
            x = self.pool(x, mask=mask)
        return (x, final_states) if self.return_state else x

    def stepper(self):
        """For generation: the states of nothing read, and one step, with the weights prepared once for all steps.

        Returns:
            zeros(rows) -> a flat list of states as `return_state` gives it; step(x, states) -> (output, states), of x
            float `[rows, features]`, in float32.
        """
        if self.bidirectional or self.pool:
            raise ValueError("stepper: expected a stack in one direction, without pooling")
        cast = lambda weight: tf.cast(tf.convert_to_tensor(weight), tf.float32)
        cells = [_step(layer, cast) for layer in self.recurrent_layers]
        project = cast(self.projection.kernel) if self.residual and self.projection.built else None

        def step(x, states):
            new = []
            for i, (run, before) in enumerate(zip(cells, self._states_by_layer(states), strict=True)):
                y, after = run(x, before)
                new += after
                if self.residual:
                    y += x @ project if i == 0 and project is not None else x
                x = tf.cast(self.norms[i](y), tf.float32) if self.layer_norm else y
            return x, new

        sizes = self._state_sizes() * self.depth
        return lambda rows: [tf.zeros([rows, size]) for size in sizes], step

    def _states_by_layer(self, states):
        if states is None:
            return [None] * self.depth
        states, size = list(states), self._states_per_layer()
        if len(states) != self.depth * size:
            raise ValueError(f"initial_state must have {self.depth} x {size} tensors; got {len(states)}")
        return [states[i : i + size] for i in range(0, len(states), size)]

    def _states_per_layer(self):
        return len(self._state_sizes())

    def _state_sizes(self):
        layer = self.recurrent_layers[0]
        if self.bidirectional:
            return keras.tree.flatten(layer.forward_layer.state_size) * 2
        return keras.tree.flatten(layer.state_size)

    def compute_mask(self, inputs, mask=None):
        mask = None if self.pool else mask
        return (mask, [None] * (self.depth * self._states_per_layer())) if self.return_state else mask

    def compute_output_shape(self, inputs_shape):
        shape = (*inputs_shape[:-1], self.width)
        if self.pool:
            shape = self.pool.compute_output_shape(shape)
        if not self.return_state:
            return shape
        return shape, [(inputs_shape[0], size) for size in self._state_sizes()] * self.depth

    def get_config(self):
        names = "units depth cell bidirectional residual dropout variational recurrent_dropout layer_norm pooling"
        names = (*names.split(), "return_state", "weight_dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _step(layer, cast):
    """One step of a layer: (x, states) -> (output, states)."""
    if isinstance(layer, LinearRecurrence):

        def run(x, states):
            y, *after = layer(x[:, None], initial_state=states)
            return tf.cast(y[:, 0], tf.float32), [tf.cast(each, tf.float32) for each in after]

        return run
    cell, kernel, recurrent = layer.equations, cast(layer.cell.kernel), cast(layer.cell.recurrent_kernel)
    bias = cast(layer.cell.bias)
    if cell.separate:
        of_input, of_state = _product(kernel), _product(recurrent)

        def run(x, states):
            after, _ = cell.step(of_input(x) + bias[0], of_state(states[0]) + bias[1], states)
            return after[0], after

        return run
    product = _product(tf.concat([kernel, recurrent], 0))

    def run(x, states):
        after, _ = cell.step(product(tf.concat([x, states[0]], 1)), bias, states)
        return after[0], after

    return run


def _product(matrix):
    """x -> x @ matrix, for x of few rows: TensorFlow takes one core for a row, but several products side by side."""
    rows, columns = matrix.shape
    if rows * columns < LARGE:
        return lambda x: x @ matrix
    parts = tf.split(matrix, _pieces(columns), 1)
    return lambda x: tf.concat([x @ part for part in parts], 1)


def _pieces(columns: int) -> list[int]:
    return [min(PIECE, columns - start) for start in range(0, columns, PIECE)]
