"""SimpleRNN, LSTM and GRU against their equations in NumPy, and against Keras's layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import GRU, LSTM, SimpleRNN

BATCH, TIME, FEATURES, UNITS = 3, 6, 4, 5
LAYERS = {"rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}
STOCK = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
MASKS = {
    "none": None,
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1]],
    "empty row": [[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]],
}
every_layer = pytest.mark.parametrize("name", LAYERS)
every_mask = pytest.mark.parametrize("mask", MASKS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def rnn_step(x, states, kernel, recurrent, bias):
    (h,) = states
    return [np.tanh(h @ recurrent + x @ kernel + bias)]


def lstm_step(x, states, kernel, recurrent, bias):
    h, c = states
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru_step(x, states, kernel, recurrent, bias):
    (h,) = states
    z_x, r_x, n_x = np.split(x @ kernel + bias[0], 3, axis=-1)
    z_h, r_h, n_h = np.split(h @ recurrent + bias[1], 3, axis=-1)
    z = sigmoid(z_x + z_h)
    return [z * h + (1 - z) * np.tanh(n_x + sigmoid(r_x + r_h) * n_h)]


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


def unroll(step, x, states, weights, mask=None):
    """The sequence and final states; a masked step repeats the output (at first zeros) and keeps the states."""
    output, outputs = np.zeros_like(states[0]), []
    for t in range(x.shape[1]):
        new = step(x[:, t], states, *weights)
        keep = np.ones((len(x), 1), bool) if mask is None else mask[:, t, None]
        output = np.where(keep, new[0], output)
        states = [np.where(keep, n, s) for n, s in zip(new, states, strict=True)]
        outputs.append(output)
    return np.stack(outputs, 1), states


def problem(name, mask="none", dtype="float64"):
    """Random input, states and mask, and weights with no zeros among them."""
    random = np.random.default_rng(1)
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[name] * UNITS
    bias = (2, gates) if name == "gru" else (gates,)
    shapes = [(BATCH, TIME, FEATURES), (FEATURES, gates), (UNITS, gates), bias]
    shapes += [(BATCH, UNITS)] * (2 if name == "lstm" else 1)
    x, kernel, recurrent, bias, *states = (random.normal(0, 0.7, shape).astype(dtype) for shape in shapes)
    mask = None if MASKS[mask] is None else np.array(MASKS[mask], bool)
    return x, states, [kernel, recurrent, bias], mask


def build(cls, weights, **options):
    layer = cls(UNITS, return_sequences=True, return_state=True, **options)
    layer.build((None, None, FEATURES))
    layer.set_weights(weights)
    return layer


def run(layer, x, states, mask, training, compiled=None):
    """Outputs and states, and the gradients with respect to x, the states and the weights, of a weighted sum.

    compiled: None for eager execution, or whether the graph is compiled by XLA.
    """
    x, states = tf.constant(x), [tf.constant(s) for s in states]
    mask = None if mask is None else tf.constant(mask)

    def compute():  # also in a graph the layers keep the static shapes, of which the weighting is made
        with tf.GradientTape() as tape:
            tape.watch([x, *states])
            outputs = layer(x, initial_state=states or None, mask=mask, training=training)
            loss = sum(tf.reduce_sum(y * tf.cast(weighting(y.shape), y.dtype)) for y in outputs)
        return outputs, tape.gradient(loss, [x, *states, *[w.value for w in layer.trainable_weights]])

    outputs, gradients = (compute if compiled is None else tf.function(compute, jit_compile=compiled))()
    return [y.numpy() for y in outputs], [g.numpy() for g in gradients]


def weighting(shape):
    return np.cos(np.arange(np.prod(shape))).reshape(shape)


def assert_close(actual, expected, tolerance):
    """For arrays, or lists or pairs of lists of them."""
    for a, e in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


@every_mask
@every_layer
@pytest.mark.parametrize("training", [False, True])
def test_equations(name, mask, training):
    x, states, weights, mask = problem(name, mask)
    expected, expected_states = unroll(STEPS[name], x, states, weights, mask)
    layer = build(LAYERS[name], weights)
    actual, *actual_states = layer(
        x.astype("float32"), initial_state=[s.astype("float32") for s in states], mask=mask, training=training
    )
    assert_close([actual, *actual_states], [expected, *expected_states], 1e-5)


@every_layer
def test_float64_is_float64(name):
    x, states, weights, _ = problem(name)
    layer = build(LAYERS[name], weights, dtype="float64")
    expected, expected_states = unroll(STEPS[name], x, states, weights)
    actual = layer(x, initial_state=states, training=True)
    assert_close(actual, [expected, *expected_states], 1e-12)


@pytest.mark.parametrize("mask", ["none", "holes", "empty row"])
@every_layer
def test_gradient_through_time(name, mask):
    """Central differences on the equations: 6 steps back to the first input and to the initial states."""
    x, states, weights, mask = problem(name, mask)
    values = [x, *states, *weights]

    def loss():
        outputs, last = unroll(STEPS[name], x, states, weights, mask)
        return sum(np.sum(y * weighting(y.shape)) for y in [outputs, *last])

    def slope(value, index, step=1e-5):
        before, ends = value[index], []
        for end in (before + step, before - step):
            value[index] = end
            ends.append(loss())
        value[index] = before
        return (ends[0] - ends[1]) / (2 * step)

    numeric = [np.reshape([slope(v, i) for i in np.ndindex(v.shape)], v.shape) for v in values]
    single = [v.astype("float32") for v in states]
    _, gradients = run(build(LAYERS[name], weights), x.astype("float32"), single, mask, training=True)
    assert_close(gradients, numeric, 5e-5)


OPTIONS = [{}, {"go_backwards": True}, {"zero_output_for_mask": True}]


@every_layer
@pytest.mark.parametrize(
    ("mask", "options", "training"),
    [(mask, {}, True) for mask in MASKS]
    + [(mask, options, True) for mask in ("left", "holes") for options in OPTIONS[1:]]
    + [(mask, options, False) for mask, options in zip(["none", "left", "empty row"], OPTIONS, strict=True)],
)
def test_equals_keras(name, mask, options, training):
    x, states, weights, mask = problem(name, mask, "float32")
    expected = run(build(STOCK[name], weights, **options), x, states, mask, training)
    actual = run(build(LAYERS[name], weights, **options), x, states, mask, training)
    assert_close(actual, expected, 2e-5)


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("compiled", "given_state"), [(False, False), (False, True), (True, True)])
def test_equals_keras_in_a_graph(name, training, compiled, given_state):
    x, states, weights, mask = problem(name, "holes", "float32")
    arguments = x, states if given_state else [], mask, training
    expected = run(build(STOCK[name], weights), *arguments)
    assert_close(run(build(LAYERS[name], weights), *arguments, compiled), expected, 2e-5)


@pytest.mark.parametrize("mask", ["none", "left", "empty row"])
@pytest.mark.parametrize("return_sequences", [False, True])
@every_layer
def test_equals_keras_in_bidirectional(name, mask, return_sequences):
    x, states, weights, mask = problem(name, mask, "float32")
    results = []
    for cls in (STOCK[name], LAYERS[name]):
        inner = cls(UNITS, return_sequences=return_sequences, return_state=True)
        layer = keras.layers.Bidirectional(inner)
        layer.build(x.shape)
        layer.set_weights(weights + [w / 2 for w in weights])
        assert type(layer.backward_layer) is cls
        results.append(run(layer, x, states + [s / 2 for s in states], mask, training=True))
    assert_close(results[1], results[0], 2e-5)


@every_layer
@pytest.mark.parametrize("options", [{"use_bias": False}, {"activation": "relu"}, {"unroll": True}], ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_equals_keras_with_other_options(name, options, training):
    x, states, weights, _ = problem(name, dtype="float32")
    weights = weights[:2] if not options.get("use_bias", True) else weights
    expected, actual = (
        run(build(cls, weights, **options), x, states, None, training) for cls in (STOCK[name], LAYERS[name])
    )
    assert_close(actual, expected, 2e-5)


@every_layer
@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_dropout_equals_keras(name, rate):
    """With the same seed the masks are the same; without training there are none."""
    x, states, weights, mask = problem(name, "holes", "float32")
    for training in (True, False):
        expected, actual = (
            run(build(cls, weights, **{rate: 0.5, "seed": 3}), x, states, mask, training)
            for cls in (STOCK[name], LAYERS[name])
        )
        assert_close(actual, expected, 2e-5)
        undropped = run(build(LAYERS[name], weights), x, states, mask, training)
        assert np.allclose(actual[0][0], undropped[0][0], atol=1e-5) is not training


@every_layer
@pytest.mark.parametrize("compiled", [None, False], ids=["eager", "graph"])
def test_weight_dropout_is_one_mask_for_all_rows_and_steps(name, compiled):
    """Every draw is what the layer gives with some weights of the recurrent kernel zero and the others scaled up."""
    x, states, weights, mask = problem(name, "holes", "float32")
    rate = 0.4
    layer = build(LAYERS[name], weights, weight_dropout=rate, seed=7)
    seeds = keras.random.SeedGenerator(7)
    masks = []
    for _ in range(3):
        kept = keras.random.dropout(tf.ones_like(weights[1]), rate, seed=seeds).numpy()
        np.testing.assert_allclose(np.unique(kept), [0, 1 / (1 - rate)], rtol=1e-6)
        expected = run(build(LAYERS[name], [weights[0], weights[1] * kept, weights[2]]), x, states, mask, True)
        actual = run(layer, x, states, mask, True, compiled)
        kernel = 1 + len(states) + 1  # where its gradient is: through the mask, too
        expected[1][kernel] *= kept
        assert_close(actual, expected, 2e-5)
        masks.append(kept)
    assert (masks[0] != masks[1]).any() and (masks[1] != masks[2]).any()


@every_layer
def test_weight_dropout_of_equal_rows(name):
    x, _, weights, _ = problem(name, dtype="float32")
    layer = build(LAYERS[name], weights, weight_dropout=0.5)
    same = np.repeat(x[:1], 8, 0)
    found = [layer(same, training=True)[0].numpy() for _ in range(2)]
    for draw in found:
        np.testing.assert_allclose(draw, np.repeat(draw[:1], 8, 0), atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3
    assert_close(layer(same)[0], build(LAYERS[name], weights)(same)[0], 1e-6)  # none at inference


def test_weight_dropout_keeps_the_mean():
    """So small that tanh is its argument, the state after two steps is linear in the dropped weights."""
    x, _, weights, _ = problem("rnn", dtype="float32")
    x, weights[2] = 1e-2 * x, 0 * weights[2]
    layer = build(LAYERS["rnn"], weights, weight_dropout=0.5, seed=1)
    exact = build(LAYERS["rnn"], weights)(x[:, :2])[0].numpy()[:, 1]
    draw = tf.function(lambda: layer(x[:, :2], training=True)[0][:, 1])
    draws = np.stack([draw().numpy() for _ in range(400)])
    error = draws.std(0) / np.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - exact) < 4.5 * error + 1e-4 * np.abs(exact)).all()
    assert (draws.std(0) > 0.05 * np.abs(exact)).all()


def test_weight_dropout_is_refused_where_keras_loop_is_taken():
    x, _, weights, _ = problem("gru", dtype="float32")
    for options, why in (
        ({"unroll": True}, "unroll=True"),
        ({"activation": "relu"}, "the activation is relu, not tanh"),
    ):
        layer = build(LAYERS["gru"], weights, weight_dropout=0.3, **options)
        with pytest.raises(ValueError, match=f"weight_dropout=0.3: expected 0, as .*{why}"):
            layer(x)


@every_layer
def test_stateful_layer_carries_on(name):
    x, states, weights, _ = problem(name, dtype="float32")
    whole = build(LAYERS[name], weights)(x, training=True)[0]
    layer = LAYERS[name](UNITS, return_sequences=True, stateful=True)
    layer.build(x[:, :2].shape)
    layer.set_weights(weights)
    parts = [layer(x[:, t : t + 2], training=True) for t in range(0, TIME, 2)]
    assert_close(np.concatenate(parts, 1), whole, 1e-5)


@every_layer
def test_config_round_trip(name):
    layer = LAYERS[name](UNITS, return_sequences=True, go_backwards=True, dropout=0.1, recurrent_dropout=0.2)
    copy = LAYERS[name].from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    copy = LAYERS[name].from_config(LAYERS[name](UNITS, weight_dropout=0.25, recompute=True).get_config())
    assert (copy.weight_dropout, copy.recompute) == (0.25, True)
    assert STOCK[name].from_config(LAYERS[name](UNITS).get_config()).units == UNITS  # where they are not set


def sequential_classifier(name):
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(20, 8, mask_zero=True),
            LAYERS[name](UNITS),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def functional_classifier(name):
    words = keras.Input((TIME,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(words)
    x, *states = LAYERS[name](UNITS, return_sequences=True, return_state=True)(x)
    x = keras.layers.Bidirectional(LAYERS[name](UNITS))(x, initial_state=states * 2)
    return keras.Model(words, keras.layers.Dense(1, activation="sigmoid")(x))


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("functional", [False, True])
def test_fit_save_load(name, functional, tmp_path):
    """Learns whether a text begins with a low word, and predicts the same after a round trip to disk."""
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(2).integers(1, 20, (64, TIME))
    x[::3, 4:] = 0
    y = (x[:, 0] < 10).astype("float32")[:, None]
    model = functional_classifier(name) if functional else sequential_classifier(name)
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy")
    losses = model.fit(x, y, batch_size=32, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), 1e-6)


@pytest.mark.slow
@every_layer
def test_a_model_saved_with_one_loads_with_the_other(name, tmp_path, script):
    """Each one's file as the weights of the other; configurations; and the zoo's file as a model where no zoo is."""
    x, path = tf.constant(problem(name, dtype="float32")[0]), tmp_path / "model.keras"
    stock, ours = (keras.Sequential([keras.Input(x.shape[1:]), which[name](UNITS)]) for which in (STOCK, LAYERS))
    stock.save(path)
    ours.load_weights(path)
    assert_close(ours(x), stock(x), 1e-6)
    assert LAYERS[name].from_config(stock.layers[0].get_config()).get_config() == stock.layers[0].get_config()
    ours.set_weights([w + 0.1 for w in ours.get_weights()])
    ours.save(path)
    stock.load_weights(path)
    assert_close(stock(x), ours(x), 1e-6)
    program = """if True:
        import sys, keras, numpy as np
        path, layer, x, y = sys.argv[1:]
        model = keras.saving.load_model(path, custom_objects={f"zoo>{layer}": getattr(keras.layers, layer)})
        np.save(y, model(np.load(x)))
    """
    np.save(tmp_path / "x.npy", x)
    script(program, path, STOCK[name].__name__, tmp_path / "x.npy", tmp_path / "y.npy")
    assert_close(np.load(tmp_path / "y.npy"), ours(x), 1e-6)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 0.1), ("mixed_float16", 0.02)])
@pytest.mark.parametrize("mask", ["none", "holes", "empty row"])
@every_layer
def test_mixed_precision(name, mask, policy, tolerance):
    x, states, weights, mask = problem(name, mask, "float32")
    expected = run(build(LAYERS[name], weights), x, states, mask, training=True)
    layer = build(LAYERS[name], weights, dtype=policy)
    actual = run(layer, x, states, mask, training=True)
    assert layer(x, initial_state=states)[0].dtype == layer.compute_dtype
    for a, e in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        assert np.isfinite(a.astype("float32")).all()
        assert np.linalg.norm(a.astype("float32") - e) < tolerance * np.linalg.norm(e)
