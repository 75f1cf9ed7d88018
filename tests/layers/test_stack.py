"""RecurrentStack: what it builds, and that padding, residuals, norms, dropout and states act as they say."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import RecurrentStack
from zoo.layers import stack as stacks
from zoo.layers.stack import CELLS

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
X = np.random.default_rng(1).normal(size=(BATCH, TIME, FEATURES)).astype("float32")
LENGTHS = [6, 3, 1]
MASK = np.arange(TIME) < np.array(LENGTHS)[:, None]
FULL = {"depth": 2, "residual": True, "dropout": 0.3, "layer_norm": True}
every_cell = pytest.mark.parametrize("cell", CELLS)
directions = pytest.mark.parametrize("bidirectional", [False, True], ids=["one way", "two ways"])
trainings = pytest.mark.parametrize("training", [False, True])


def stack(*arguments, **options):
    """A stack with the same weights whenever the options are the same, and none of them zero."""
    keras.utils.set_random_seed(1)
    layer = RecurrentStack(*arguments, **options)
    layer.build(X.shape)
    for weight in layer.trainable_weights:
        weight.assign_add(keras.random.normal(weight.shape, stddev=0.1))
    return layer


def close(actual, expected, tolerance=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@every_cell
@directions
@trainings
@pytest.mark.parametrize("pooling", [None, ("last", "mean", "max", "attention")], ids=str)
def test_padding_changes_nothing(cell, bidirectional, training, pooling):
    """Each sequence of a padded batch comes out as it does alone, at both values of training."""
    layer = stack(UNITS, cell=cell, bidirectional=bidirectional, pooling=pooling, **{**FULL, "dropout": 0})
    padded = np.where(MASK[:, :, None], X, 9)
    together = layer(padded, mask=tf.constant(MASK), training=training)
    for row, length in enumerate(LENGTHS):
        alone = layer(X[row : row + 1, :length], training=training)[0]
        close(together[row] if pooling else together[row, :length], alone)


@every_cell
@trainings
def test_two_halves_make_a_whole(cell, training):
    layer = stack(UNITS, depth=2, cell=cell, residual=True, layer_norm=True, return_state=True)
    whole, states = layer(X, training=training)
    first, between = layer(X[:, :2], training=training)
    second, end = layer(X[:, 2:], initial_state=between, training=training)
    close(np.concatenate([first, second], 1), whole)
    assert len(end) == len(states) == 2 * (2 if cell == "lstm" else 1)
    close(np.stack(end), np.stack(states))


def test_mask_counts_when_states_are_given():
    """Keras hands over an input's mask only where the input is the one tensor; a decoder is given states as well."""
    ids, width = np.where(MASK, 1 + np.arange(TIME), 0), 2 * UNITS
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(ids)
    layer = stack(UNITS, bidirectional=True, return_state=True)
    zeros = [tf.zeros((BATCH, UNITS))] * 4
    given, given_states = layer(embedded, initial_state=zeros)
    alone, alone_states = layer(embedded)
    assert given.shape == (BATCH, TIME, width)
    close(given, alone)
    close(np.stack(given_states), np.stack(alone_states))
    np.testing.assert_array_equal(given._keras_mask, MASK)


@directions
@every_cell
def test_residual_adds(cell, bidirectional):
    plain = stack(UNITS, depth=2, cell=cell, bidirectional=bidirectional)
    layer = stack(UNITS, depth=2, cell=cell, bidirectional=bidirectional, residual=True)
    for part, whole in zip(plain.recurrent_layers, layer.recurrent_layers, strict=True):
        part.set_weights(whole.get_weights())
    first = plain.recurrent_layers[0](X) + X @ layer.projection.kernel.numpy()
    close(layer(X), plain.recurrent_layers[1](first) + first)


def test_residual_without_projection_where_widths_agree():
    layer = stack(FEATURES, residual=True)
    assert not any("projection" in w.path for w in layer.weights)
    close(layer(X), layer.recurrent_layers[0](X) + X)


def test_layer_norm_statistics():
    """Before its learned scale, each step has mean 0 and variance 1 over the features."""
    keras.utils.set_random_seed(1)
    layer = RecurrentStack(64, depth=2, residual=True, layer_norm=True)
    y = np.array(layer(10 * X))
    close(y.mean(-1), 0)
    close(y.var(-1), 1, 0.02)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("variational", [True, False])
def test_dropout_mask_over_time(variational, depth):
    """Zero weights and biases of 1 make the last layer's outputs all tanh(1): the zeros are the dropout's."""
    layer = stack(50, depth=depth, cell="rnn", dropout=0.5, variational=variational)
    last = layer.recurrent_layers[-1]
    last.set_weights([0 * w for w in last.get_weights()[:2]] + [np.ones(50)])

    def train(x):
        return layer(x, training=True)

    for run in (train, tf.function(train, input_signature=[tf.TensorSpec((None, None, FEATURES))])):
        dropped = np.array(run(X)) == 0
        assert 0.3 < dropped.mean() < 0.7
        assert (dropped == dropped[:, :1]).all() == variational
        assert (dropped[0] != dropped[1]).any()
    assert np.all(layer(X))


def test_dropout_is_not_on_the_input():
    """A single layer's dropout is all on its output: what is left is the layer's, scaled up."""
    layer = stack(UNITS, dropout=0.5)
    y, dropped = np.array(layer(X)), np.array(layer(X, training=True))
    close(dropped[dropped != 0], 2 * y[dropped != 0])


def test_recurrent_dropout():
    layer = stack(UNITS, recurrent_dropout=0.5)
    assert not np.allclose(layer(X, training=True), layer(X))


@directions
@every_cell
@pytest.mark.parametrize("pooling", [None, "last", ["mean", "attention"]], ids=str)
@pytest.mark.parametrize("return_state", [False, True])
def test_shapes_names_and_config(cell, bidirectional, pooling, return_state):
    options = {"cell": cell, "bidirectional": bidirectional, "pooling": pooling, "return_state": return_state}
    layer = RecurrentStack(UNITS, **options, **FULL)
    inputs = keras.Input((None, FEATURES))
    outputs = keras.tree.flatten(layer(inputs))
    actual = keras.tree.flatten(layer(X, mask=tf.constant(MASK)))
    assert [(BATCH, *y.shape[1:]) for y in outputs if len(y.shape) == 2] == [y.shape for y in actual if y.ndim == 2]
    width = UNITS * (2 if bidirectional else 1)
    expected = {"None": (BATCH, TIME, width), "last": (BATCH, width)}.get(str(pooling), (BATCH, 2 * width))
    assert actual[0].shape == expected
    assert len(actual) == 1 + return_state * 2 * (2 if cell == "lstm" else 1) * (2 if bidirectional else 1)
    parts = {w.path.split("/")[1] for w in layer.trainable_weights}
    expected = {"layer_0", "layer_1", "norm_0", "norm_1", "projection"}
    assert parts == expected | ({"pooling"} if pooling == ["mean", "attention"] else set())
    assert RecurrentStack.from_config(layer.get_config()).get_config() == layer.get_config()


def encoder_decoder(pooling):
    """A stack's states start another; the second is pooled."""
    words = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, FEATURES, mask_zero=True)(words)
    _, states = RecurrentStack(UNITS, depth=2, return_state=True, name="encoder")(embedded)
    decoded = RecurrentStack(UNITS, pooling=pooling, **FULL, name="decoder")(embedded, initial_state=states)
    return keras.Model(words, keras.layers.Dense(1)(decoded))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "pooling"),
    [("float32", None), ("mixed_bfloat16", ("max", "attention")), ("mixed_float16", ("last", "mean"))],
    ids=str,
)
def test_fit_save_load(pooling, policy, tmp_path):
    keras.utils.set_random_seed(1)
    ids = np.where(MASK, 1 + np.arange(TIME), 0)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = encoder_decoder(pooling)
        model.compile(keras.optimizers.Adam(0.02), "mse")
        losses = model.fit(np.tile(ids, (32, 1)), np.ones(32 * BATCH), epochs=4, verbose=0).history["loss"]
        assert np.isfinite(losses).all()
        assert losses[-1] < losses[0]
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy(before)
    np.testing.assert_array_equal(again.predict(ids, verbose=0), model.predict(ids, verbose=0))
    model.save_weights(tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.01)])
@every_cell
@directions
def test_mixed_precision(cell, bidirectional, policy, tolerance):
    options = {"cell": cell, "bidirectional": bidirectional, "pooling": ("last", "max", "attention"), **FULL}
    expected = stack(UNITS, **options)(X, mask=tf.constant(MASK))
    layer = stack(UNITS, dtype=policy, **options)
    actual = layer(X, mask=tf.constant(MASK))
    assert actual.dtype == layer.compute_dtype
    close(np.array(actual, "float32"), expected, tolerance)


@every_cell
@pytest.mark.parametrize("options", [{}, {"residual": True, "layer_norm": True, "dropout": 0.4}], ids=["plain", "full"])
@pytest.mark.parametrize("units", [UNITS, FEATURES])  # a residual path with a projection, and without
def test_a_stepper_takes_the_layers_steps(cell, options, units):
    """The outputs and final states of the whole sequence, step by step, from nothing and from states."""
    layer = stack(units, depth=2, cell=cell, return_state=True, **options)
    zeros, step = layer.stepper()
    states, outputs = zeros(BATCH), []
    run = tf.function(step)
    for t in range(TIME):
        y, states = run(tf.constant(X[:, t]), states)
        outputs.append(y)
    expected, last = layer(X)
    close(np.stack(outputs, 1), expected)
    assert [state.shape for state in zeros(BATCH)] == [state.shape for state in last]
    close(np.stack(states), np.stack(last))
    expected, last = layer(X[:, :1], initial_state=states)
    y, after = step(tf.constant(X[:, 0]), states)
    close(y, expected[:, 0])
    close(np.stack(after), np.stack(last))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_stepper_with_large_matrices_takes_the_same_steps(cell, monkeypatch):
    """They are multiplied in pieces, the last one smaller."""
    layer = stack(UNITS, depth=2, cell=cell)
    zeros, step = layer.stepper()
    expected, _ = step(tf.constant(X[:, 0]), zeros(BATCH))
    monkeypatch.setattr(stacks, "LARGE", 1)
    monkeypatch.setattr(stacks, "PIECE", UNITS // 2 + 1)
    close(layer.stepper()[1](tf.constant(X[:, 0]), zeros(BATCH))[0], expected)


@pytest.mark.parametrize("cell", ["lstm", "mingru"])
def test_a_stepper_is_in_float32(cell):
    layer = stack(UNITS, depth=2, cell=cell, dtype="mixed_bfloat16", return_state=True, residual=True, layer_norm=True)
    zeros, step = layer.stepper()
    y, states = step(tf.constant(X[:, 0]), zeros(BATCH))
    assert {each.dtype for each in (y, *states, *zeros(1))} == {tf.float32}
    close(y, np.array(layer(X[:, :1])[0][:, 0], "float32"), 0.1)


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"pooling": "last"}], ids=str)
def test_what_has_no_stepper(options):
    with pytest.raises(ValueError, match="one direction, without pooling"):
        stack(UNITS, **options).stepper()


def test_weight_dropout():
    """In the layers, in training alone; and there it is part of the configuration."""
    layer = stack(UNITS, depth=2, weight_dropout=0.5)
    assert {each.weight_dropout for each in layer.recurrent_layers} == {0.5}
    assert not np.allclose(layer(X, training=True), layer(X))
    close(layer(X), stack(UNITS, depth=2)(X))
    assert RecurrentStack.from_config(layer.get_config()).weight_dropout == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "qrnn"}, "rnn, lstm, gru"),
        ({"cell": "mingru", "recurrent_dropout": 0.1}, "'mingru' has no recurrent dropout"),
        ({"cell": "lru", "weight_dropout": 0.1}, "'lru' has no recurrent kernel to drop weights of"),
        ({"depth": 0}, "at least 1"),
        ({"pooling": "sum"}, "last, mean, max"),
    ],
    ids=str,
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        RecurrentStack(UNITS, **options)


def test_wrong_number_of_states():
    with pytest.raises(ValueError, match="2 x 2 tensors; got 3"):
        stack(UNITS, depth=2)(X, initial_state=[tf.zeros((BATCH, UNITS))] * 3)
