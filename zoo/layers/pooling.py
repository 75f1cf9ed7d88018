"""From a sequence to one vector: `SequencePooling`."""

from __future__ import annotations

import keras
from keras import ops

KINDS = ("last", "mean", "max", "attention")


@keras.saving.register_keras_serializable("zoo")
class SequencePooling(keras.layers.Layer):
    """Pools a sequence over time, over the steps that its mask lets through.

    `"last"` takes the last step, `"mean"` and `"max"` go feature by feature, and `"attention"` is a mean whose
    weights are learned: each step is scored by a query (Yang et al. 2016, Hierarchical Attention Networks; the
    additive form of Bahdanau et al. 2015):

        score_t = q . tanh(W x_t + b)
        output = sum_t softmax(score)_t x_t

    A sequence without any step pools to zeros. The sums are taken in float32 where the layer computes in 16 bit.

    Args:
        kind: one of "last", "mean", "max" and "attention", or several, whose results are concatenated in order.
        bidirectional: whether the features are the two halves that `keras.layers.Bidirectional` concatenates.
            The backward half is complete at the first step, so "last" takes it from there.

    Inputs: float `[batch, time, features]`; a mask, bool `[batch, time]`, with padding anywhere.
    Output: `[batch, features * number of kinds]`, of the compute dtype; without a mask.

    Raises:
        ValueError: for an unknown kind or none, and, if bidirectional, for an odd number of features.
    """

    def __init__(self, kind="last", bidirectional=False, **kwargs):
        super().__init__(**kwargs)
        self.kinds = (kind,) if isinstance(kind, str) else tuple(kind)
        if not self.kinds or not set(self.kinds) <= set(KINDS):
            raise ValueError(f"kind must be one or several of {', '.join(KINDS)}; got {kind!r}")
        self.bidirectional = bidirectional
        self.supports_masking = True

    def build(self, input_shape):
        features = input_shape[-1]
        if self.bidirectional and features % 2:
            raise ValueError(f"a bidirectional layer's features come in two halves; got {features} features")
        if "attention" in self.kinds:
            self.kernel = self.add_weight(shape=(features, features), initializer="glorot_uniform", name="kernel")
            self.bias = self.add_weight(shape=(features,), initializer="zeros", name="bias")
            # Dotted in float32, unlike the product with the kernel: it is a sum that goes through an exponential.
            self.query = self.add_weight(
                shape=(features, 1), initializer="glorot_uniform", autocast=False, name="query"
            )

    def call(self, inputs, mask=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        mask = ops.ones(ops.shape(inputs)[:2], "bool") if mask is None else ops.cast(mask, "bool")
        x = ops.cast(inputs, dtype)
        # Not even an infinity may come through from padding, and zero times infinity is not zero.
        x = ops.where(mask[:, :, None], x, ops.zeros_like(x))
        pooled = [getattr(self, f"_{kind}")(x, mask) for kind in self.kinds]
        return ops.cast(ops.concatenate(pooled, axis=-1), self.compute_dtype)

    def _last(self, x, mask):
        last = _weighted(x, _first_step(mask, reverse=True))
        if not self.bidirectional:
            return last
        half = x.shape[-1] // 2
        return ops.concatenate([last[:, :half], _weighted(x, _first_step(mask))[:, half:]], axis=-1)

    def _mean(self, x, mask):
        steps = ops.sum(ops.cast(mask, x.dtype), axis=1, keepdims=True)
        return ops.sum(x, axis=1) / ops.maximum(steps, 1)

    def _max(self, x, mask):
        highest = ops.max(ops.where(mask[:, :, None], x, -float("inf")), axis=1)
        return ops.where(ops.any(mask, axis=1, keepdims=True), highest, ops.zeros_like(highest))

    def _attention(self, x, mask):
        hidden = ops.tanh(ops.matmul(ops.cast(x, self.compute_dtype), self.kernel) + self.bias)
        scores = ops.matmul(ops.cast(hidden, x.dtype), ops.cast(self.query, x.dtype))[:, :, 0]
        # Finite, because a row of -inf has no softmax; the product takes care of the rows without a step. (Keras's
        # softmax warns of a sequence of one step.)
        scores = ops.where(mask, scores, -1e9)
        weights = ops.exp(scores - ops.logsumexp(scores, axis=1, keepdims=True))
        return _weighted(x, weights * ops.cast(mask, x.dtype))

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1] * len(self.kinds))

    def get_config(self):
        kind = self.kinds[0] if len(self.kinds) == 1 else list(self.kinds)
        return {**super().get_config(), "kind": kind, "bidirectional": self.bidirectional}


def _first_step(mask, reverse=False):
    """Marks the first (or the last) true step of each row of a bool `[batch, time]`, if it has one."""
    mask = ops.flip(mask, axis=1) if reverse else mask
    first = ops.logical_and(mask, ops.cumsum(ops.cast(mask, "int32"), axis=1) == 1)
    return ops.flip(first, axis=1) if reverse else first


def _weighted(x, weights):
    """The sum over time of x `[batch, time, features]` by weights `[batch, time]`."""
    return ops.sum(x * ops.cast(weights, x.dtype)[:, :, None], axis=1)
