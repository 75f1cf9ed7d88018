"""The parallel recurrences against their equations taken step by step in NumPy, and against their own step mode."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.parallel import LRU, MinGRU, MinLSTM, linear_scan

LAYERS = {"mingru": MinGRU, "minlstm": MinLSTM, "lru": LRU}
every_layer = pytest.mark.parametrize("name", LAYERS)
BATCH, FEATURES, UNITS = 3, 4, 5


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def one_by_one(a, b, h0):
    h, states = h0, []
    for t in range(a.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return np.stack(states, 1)


def coefficients(name, x, weights):
    """a and b in NumPy, from the papers' equations."""
    if name == "lru":
        nu, theta, log_gamma, b, _, _ = weights
        lam = np.exp(-np.exp(nu) + 1j * np.exp(theta))
        b = x @ (b[:, :UNITS] + 1j * b[:, UNITS:])
        return np.broadcast_to(lam, b.shape), np.exp(log_gamma) * b
    kernel, bias = weights
    parts = np.split(x @ kernel + bias, kernel.shape[1] // UNITS, axis=-1)
    if name == "mingru":
        return 1 - sigmoid(parts[0]), sigmoid(parts[0]) * parts[1]
    f, i = sigmoid(parts[0]), sigmoid(parts[1])
    return f / (f + i), i / (f + i) * parts[2]


def read_out(name, h, x, weights):
    if name != "lru":
        return h
    *_, c, d = weights
    return np.real(h @ (c[:UNITS] - 1j * c[UNITS:])) + x @ d


def built(name, **options):
    keras.utils.set_random_seed(3)
    layer = LAYERS[name](UNITS, return_sequences=True, return_state=True, **options)
    layer.build((None, None, FEATURES))
    random = np.random.default_rng(4)
    layer.set_weights([w + 0.1 * random.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def sequence(steps):
    return np.random.default_rng(steps).normal(size=(BATCH, steps, FEATURES)).astype("float32")


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("steps", [1, 2, 15, 16, 17, 100, 257])
def test_the_scan_and_its_gradients_are_those_of_the_loop(steps, dtype):
    random = np.random.default_rng(steps)

    def draw(*shape):
        return random.normal(size=shape) + (1j * random.normal(size=shape) if dtype == "complex128" else 0)

    a, b, h0 = 0.6 * draw(2, steps, 3), draw(2, steps, 3), draw(2, 3)
    np.testing.assert_allclose(linear_scan(a, b, h0), one_by_one(a, b, h0), rtol=1e-9, atol=1e-9)

    def loop(a, b, h0):
        h, states = h0, []
        for t in range(steps):
            h = a[:, t] * h + b[:, t]
            states.append(h)
        return tf.stack(states, 1)

    weights = tf.constant(draw(2, steps, 3))

    def gradients(function):
        inputs = [tf.constant(v) for v in (a, b, h0)]
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(tf.math.real(function(*inputs) ** 2 * weights))
            first = inner.gradient(loss, inputs)
            total = tf.add_n([tf.reduce_sum(tf.math.real(g * g)) for g in first])
        return [*first, *outer.gradient(total, inputs)]

    for ours, loops in zip(gradients(linear_scan), gradients(loop), strict=True):
        np.testing.assert_allclose(ours, loops, rtol=1e-7, atol=1e-7 * np.abs(loops).max())


@every_layer
@pytest.mark.parametrize("steps", [1, 40])
def test_equations(name, steps):
    layer, x = built(name), sequence(steps)
    weights = [w.astype("float64") for w in layer.get_weights()]
    start = np.random.default_rng(0).normal(size=(BATCH, layer.state_size)).astype("float32")
    h0 = start[:, :UNITS] + 1j * start[:, UNITS:] if name == "lru" else start
    h = one_by_one(*coefficients(name, x, weights), h0)
    y, state = layer(x, initial_state=[start])
    np.testing.assert_allclose(y, read_out(name, h, x, weights), rtol=1e-4, atol=1e-5)
    last = np.concatenate([h.real, h.imag], -1)[:, -1] if name == "lru" else h[:, -1]
    np.testing.assert_allclose(state, last, rtol=1e-4, atol=1e-5)


@every_layer
@pytest.mark.parametrize("steps", [1, 33, 200])
def test_streaming_gives_what_the_scan_gives(name, steps):
    layer, x = built(name), sequence(steps)
    scanned, final = layer(x)
    states, streamed = [tf.zeros([BATCH, layer.state_size])], []
    for t in range(steps):
        y, states = layer.step(x[:, t], states)
        streamed.append(y)
    np.testing.assert_allclose(tf.stack(streamed, 1), scanned, atol=1e-4)
    np.testing.assert_allclose(states[0], final, atol=1e-4)


@every_layer
def test_a_sequence_in_two_halves(name):
    layer, x = built(name), sequence(50)
    whole, final = layer(x)
    first, state = layer(x[:, :21])
    second, state = layer(x[:, 21:], initial_state=[state])
    np.testing.assert_allclose(tf.concat([first, second], 1), whole, atol=1e-5)
    np.testing.assert_allclose(state, final, atol=1e-5)


@every_layer
def test_masked_steps_are_as_if_they_were_not_there(name):
    layer, x = built(name), sequence(6)
    mask = np.array([[0, 1, 1, 0, 1, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], bool)
    y, state = layer(x, mask=tf.constant(mask))
    alone, last = layer(x[:1, mask[0]])
    zeros = np.zeros(UNITS)
    expected = [zeros, alone[0, 0], alone[0, 1], alone[0, 1], alone[0, 2], alone[0, 2]]
    np.testing.assert_allclose(y[0], expected, atol=1e-5)
    np.testing.assert_allclose(state[:1], last, atol=1e-5)
    np.testing.assert_allclose(y[1], layer(x[1:2])[0][0], atol=1e-5)
    np.testing.assert_array_equal(y[2], np.zeros((6, UNITS)))


@every_layer
def test_in_both_directions_with_a_mask(name):
    x, mask = sequence(5), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
    layer = keras.layers.Bidirectional(LAYERS[name](UNITS, return_sequences=True))
    y = layer(x, mask=tf.constant(mask))
    forward, backward = layer.forward_layer, layer.backward_layer
    alone = tf.concat([forward(x[:1, :3]), tf.reverse(backward(x[:1, :3]), [1])], -1)
    np.testing.assert_allclose(y[0, :3], alone[0], atol=1e-5)
    np.testing.assert_array_equal(y[0, 3:], np.zeros((2, 2 * UNITS)))


@pytest.mark.slow
@every_layer
def test_a_model_saves_loads_and_learns(name, tmp_path):
    """To recall the sign that was shown once, twelve steps long."""
    random = np.random.default_rng(1)
    sign, place = random.choice([-1.0, 1.0], 256), random.integers(12, size=256)
    x = np.zeros((256, 12, 2), "float32")
    x[np.arange(256), place] = np.stack([np.ones(256), sign], 1)
    model = keras.Sequential([keras.layers.Input((None, 2)), LAYERS[name](16), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, sign > 0, epochs=15, batch_size=64, verbose=0)
    assert model.evaluate(x, sign > 0, verbose=0)[1] > 0.95
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again(x), model(x), atol=1e-6)


@every_layer
def test_one_graph_for_every_length_and_mixed_precision(name):
    layer, traces = built(name, dtype="mixed_bfloat16"), []

    @tf.function(input_signature=[tf.TensorSpec([None, None, FEATURES])])
    def run(x):
        traces.append(1)
        return layer(x)[0]

    for steps in (1, 16, 70):
        y = run(sequence(steps))
        assert y.shape == (BATCH, steps, UNITS)
        assert y.dtype == tf.bfloat16
        exact = built(name)(sequence(steps))[0]
        np.testing.assert_allclose(tf.cast(y, tf.float32), exact, atol=0.1)
    assert len(traces) == 1
