"""SequencePooling against NumPy, row by row without the masked steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import LSTM, SequencePooling
from zoo.layers.pooling import KINDS

FEATURES = 6
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
EMPTY = 4  # the row of MASK without any step
X = np.random.default_rng(1).normal(-3, 1, (*MASK.shape, FEATURES)).astype("float32")
every_kind = pytest.mark.parametrize("kind", [*KINDS, ("max", "last"), KINDS], ids=str)


def attention(steps, kernel, bias, query):
    scores = np.exp(np.tanh(steps @ kernel + bias) @ query[:, 0])
    return scores / scores.sum() @ steps


def reference(kind, x, mask, weights=(), bidirectional=False):
    half = x.shape[-1] // 2 if bidirectional else x.shape[-1]
    pools = {
        "last": lambda steps: np.concatenate([steps[-1, :half], steps[0, half:]]),
        "mean": lambda steps: steps.mean(0),
        "max": lambda steps: steps.max(0),
        "attention": lambda steps: attention(steps, *weights),
    }
    kinds = [kind] if isinstance(kind, str) else kind
    zeros = np.zeros(x.shape[-1])
    rows = [row[m] for row, m in zip(x, mask, strict=True)]
    return np.stack([np.concatenate([pools[k](steps) if len(steps) else zeros for k in kinds]) for steps in rows])


def build(kind, **options):
    keras.utils.set_random_seed(1)
    layer = SequencePooling(kind, **options)
    layer.build((None, None, FEATURES))
    for weight in layer.weights:
        weight.assign(keras.random.normal(weight.shape))
    return layer, [w.numpy() for w in layer.weights]


@every_kind
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_equals_numpy(kind, bidirectional, compiled):
    layer, weights = build(kind, bidirectional=bidirectional)

    def call(x):
        return layer(x), layer(x, mask=MASK)

    if compiled:
        call = tf.function(call, input_signature=[tf.TensorSpec((None, None, FEATURES))])
    for actual, mask in zip(call(X), (np.ones_like(MASK), MASK), strict=True):
        expected = reference(kind, X, mask, weights, bidirectional)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)
        assert actual.shape == layer.compute_output_shape(X.shape)


@every_kind
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 0.03), ("mixed_float16", 0.004)])
def test_mixed_precision(kind, policy, tolerance):
    layer, weights = build(kind, dtype=policy)
    actual = layer(X, mask=MASK)
    assert actual.dtype == layer.compute_dtype
    np.testing.assert_allclose(
        np.array(actual, "float32"), reference(kind, X, MASK, weights), rtol=tolerance, atol=tolerance
    )


def test_long_sum_does_not_overflow_in_float16():
    x = np.full((1, 3000, FEATURES), 40.0)  # their sum is 120,000, a float16 is at most 65,504
    np.testing.assert_allclose(SequencePooling(("mean", "attention"), dtype="mixed_float16")(x), 40.0, rtol=1e-3)


@every_kind
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("padding", [0.0, 6e4, np.inf, np.nan])
def test_padding_has_no_part(kind, policy, padding):
    """Not in the result nor in its gradient, whatever it holds; and a row of padding alone gives zeros."""
    layer, _ = build(kind, dtype=policy)
    x = tf.constant(np.where(MASK[:, :, None], X, padding).astype("float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        pooled = layer(x, mask=MASK)
    gradients = tape.gradient(pooled, [x, *[w.value for w in layer.weights]])
    np.testing.assert_array_equal(pooled, layer(X, mask=MASK))
    np.testing.assert_array_equal(pooled[EMPTY], np.zeros(pooled.shape[1]))
    assert all(np.isfinite(g).all() for g in gradients)
    assert not gradients[0].numpy()[~MASK].any()


def test_gradient_of_attention_is_numeric():
    layer, weights = build("attention", dtype="float64")
    x, direction = X.astype("float64"), np.random.default_rng(2).normal(size=X.shape)
    with tf.GradientTape() as tape:
        value = tf.constant(x)
        tape.watch(value)
        loss = tf.reduce_sum(layer(value, mask=MASK) ** 2)
    ends = [np.sum(reference("attention", x + e * direction, MASK, weights) ** 2) for e in (1e-6, -1e-6)]
    np.testing.assert_allclose(np.sum(tape.gradient(loss, value) * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-6)


def test_last_of_bidirectional_layer_is_its_final_states():
    inner = LSTM(3, return_sequences=True, return_state=True)
    y, forward, _, backward, _ = keras.layers.Bidirectional(inner)(X, mask=tf.constant(MASK))
    pooled = SequencePooling("last", bidirectional=True)(y, mask=MASK)
    np.testing.assert_allclose(pooled, np.concatenate([forward, backward], 1), rtol=1e-5, atol=1e-6)


@every_kind
def test_consumes_mask_and_round_trips(kind, tmp_path):
    words = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(words)
    layer = SequencePooling(kind, bidirectional=True)
    model = keras.Model(words, layer(embedded))
    assert SequencePooling.from_config(layer.get_config()).get_config() == layer.get_config()
    assert layer.compute_mask(X, MASK) is None
    ids = np.array([[1, 2, 3], [4, 5, 0], [0, 0, 0]])
    pooled = model(ids)
    assert getattr(pooled, "_keras_mask", None) is None
    assert not np.any(pooled[2])
    model.save(tmp_path / "model.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "model.keras")(ids), pooled)


@pytest.mark.parametrize("kind", ["first", (), ("mean", "median")], ids=str)
def test_unknown_kind(kind):
    with pytest.raises(ValueError, match="last, mean, max, attention"):
        SequencePooling(kind)


def test_odd_halves():
    with pytest.raises(ValueError, match="two halves"):
        SequencePooling(bidirectional=True).build((None, None, 5))
