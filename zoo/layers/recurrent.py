"""The recurrent layers: `SimpleRNN`, `LSTM` and `GRU`, Keras's own with faster time loops.

README.md beside this file has the equations and pictures of what the loops do.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo.layers import cells
from zoo.layers.inference_loop import infer
from zoo.layers.training_loop import Weights, train


class FastLoop:
    """Replaces the time loop of a Keras layer, on a CPU, wherever its options are those of `equations`.

    Args:
        recompute: whether the way back computes the gates again in place of keeping them: about a third of the memory
            for long sequences, and one more forward pass.
        weight_dropout: the rate at which weights of the recurrent kernel are dropped in training, one mask for all rows
            and steps of a call (Wan et al. 2013; Merity et al. 2018). Keras's loop has none.
        others: those of the Keras layer.
    """

    equations = None  # a class of `zoo.layers.cells`

    def __init__(self, *args, recompute=False, weight_dropout=0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.recompute, self.weight_dropout = recompute, weight_dropout
        # So that `model.compile` by itself does not have XLA compile the whole step, for every length anew.
        self.supports_jit = False

    def explain(self):
        """Says, in a sentence or two, which time loop this layer takes, and why."""
        obstacle = self._obstacle()
        if obstacle:
            return f"{self.name} takes Keras's loop: {obstacle}"
        kept = "keeps every 32nd state and computes the rest again" if self.recompute else "keeps the gates"
        return (
            f"{self.name} takes the zoo's loops: in training one with its own gradient, which {kept}, compiled by XLA; "
            "else one of TensorFlow's standard kernels"
        )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        obstacle = self._obstacle()
        if obstacle and self.weight_dropout:
            raise ValueError(f"weight_dropout={self.weight_dropout}: expected 0, as {obstacle}")
        if obstacle:
            return super().inner_loop(sequences, initial_state, mask=mask, training=training)
        states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = None if mask is None else tf.cast(mask, tf.bool)
        x = sequences
        if training and self.dropout:
            x *= self.cell.get_dropout_mask(x[:, 0, :])[:, None]
        if self.go_backwards:
            x = tf.reverse(x, [1])
            mask = None if mask is None else tf.reverse(mask, [1])
        if training:
            weights = self._weights()
            if self.weight_dropout:
                dropped = keras.random.dropout(weights.recurrent, self.weight_dropout, seed=self.cell.seed_generator)
                weights = weights._replace(recurrent=dropped)
            h, states = train(self.equations, x, mask, states, weights, self.recompute, self._parts())
        else:
            h, states = infer(self.equations, x, mask, states, self._weights(), self._parts())
        # Which the loops don't tell.
        h = tf.ensure_shape(h, [*x.shape[:2], self.units])
        states = [tf.ensure_shape(state, [x.shape[0], self.units]) for state in states]
        last = states[0]
        if mask is not None:
            # Keras puts out zeros until the first step that the mask lets through; in a `Bidirectional`, which
            # sets this option, at every step that it does not.
            visible = mask if self.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32), axis=1) > 0
            h *= tf.cast(visible, h.dtype)[:, :, None]
            last *= tf.cast(visible[:, -1:], last.dtype)
        return last, h, states

    def _weights(self):
        weights = [self.cell.kernel, self.cell.recurrent_kernel]
        weights = [tf.cast(tf.convert_to_tensor(w), self.compute_dtype) for w in weights]
        zeros = tf.zeros([weights[1].shape[1]], self.compute_dtype)
        if not self.use_bias:
            return Weights(*weights, zeros, zeros)
        bias = tf.cast(tf.convert_to_tensor(self.cell.bias), self.compute_dtype)
        return Weights(*weights, *(tf.unstack(bias) if self.equations.separate else (bias, zeros)))

    def _parts(self):
        """1 where two halves of the batch would not run side by side, or where something else does; only a matter of
        speed. A `Bidirectional`, whose two directions do, can be told by the names that it gives to its layers."""
        return 1 if tf.executing_eagerly() or self.name.startswith(("forward_", "backward_")) else 2

    def _obstacle(self):
        """Why the zoo's loops can't be taken; None if they can."""
        if tf.config.list_logical_devices("GPU") and not self.weight_dropout:
            return "there is a GPU, where cuDNN is faster"
        if self.activation is not keras.activations.tanh:
            return f"the activation is {_name(self.activation)}, not tanh"
        if getattr(self, "recurrent_activation", keras.activations.sigmoid) is not keras.activations.sigmoid:
            return f"the recurrent activation is {_name(self.recurrent_activation)}, not sigmoid"
        if self.recurrent_dropout:
            return f"there is recurrent dropout, of {self.recurrent_dropout}"
        if self.unroll:
            return "unroll=True"
        if not getattr(self, "reset_after", True):
            return "reset_after=False"
        return None

    def get_config(self):
        # Left out where it is not set, so that Keras's own layer takes the configuration too.
        own = {"recompute": self.recompute, "weight_dropout": self.weight_dropout}
        return {**super().get_config(), **{name: value for name, value in own.items() if value}}


def _name(activation):
    return getattr(activation, "__name__", str(activation))


@keras.saving.register_keras_serializable("zoo")
class SimpleRNN(FastLoop, keras.layers.SimpleRNN):
    """`keras.layers.SimpleRNN`, faster: the vanilla RNN (Elman 1990), h_t = tanh(x_t W + b + h_{t-1} R).

    Arguments, weights, masks and states are Keras's, and `recompute` (see `FastLoop`); a model saved with one loads
    with the other. `explain()` says which time loop is taken: activations other than tanh, recurrent dropout, unrolling
    and GPUs take Keras's.
    """

    equations = cells.RNN


@keras.saving.register_keras_serializable("zoo")
class LSTM(FastLoop, keras.layers.LSTM):
    """`keras.layers.LSTM`, faster (Hochreiter & Schmidhuber 1997; equations in `zoo.layers.cells`).

    Arguments, weights, masks and states are Keras's, and `recompute` (see `FastLoop`); a model saved with one loads
    with the other. `explain()` says which time loop is taken: activations other than the default ones, recurrent
    dropout, unrolling and GPUs take Keras's.

    >>> layer = LSTM(8, return_sequences=True)
    >>> layer(tf.zeros([2, 5, 3])).shape
    TensorShape([2, 5, 8])
    """

    equations = cells.LSTM


@keras.saving.register_keras_serializable("zoo")
class GRU(FastLoop, keras.layers.GRU):
    """`keras.layers.GRU`, faster (Cho et al. 2014; equations in `zoo.layers.cells`).

    Arguments, weights, masks and states are Keras's, and `recompute` (see `FastLoop`); a model saved with one loads
    with the other. `explain()` says which time loop is taken: activations other than the default ones,
    reset_after=False, recurrent dropout, unrolling and GPUs take Keras's.
    """

    equations = cells.GRU
