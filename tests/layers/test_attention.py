"""The attentional decoder: against its equations in NumPy, its loops against single steps, as a Keras layer."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import AttentionDecoder

BATCH, TIME, PLACES, FEATURES, WIDTH = 5, 7, 6, 4, 3
LENGTHS = [6, 3, 1, 5, 2]
SHAPES = [
    dict(),
    dict(attention="general"),
    dict(attention="scaled", cell="gru", depth=2),
    dict(attention="none", depth=2),
    dict(attention="additive", input_feeding=False, cell="rnn", depth=3),
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(z, c):
    i, f, g, o = np.split(z, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(1)
    x, memory = draw.normal(size=(BATCH, TIME, 2)), draw.normal(size=(BATCH, PLACES, FEATURES))
    return tf.constant(x, tf.float32), tf.constant(memory, tf.float32), tf.sequence_mask(LENGTHS, PLACES)


def made(data, units=8, rows=BATCH, **options):
    """A decoder, built, and a first state that is not zero."""
    keras.utils.set_random_seed(2)
    x, memory, mask = data
    layer = AttentionDecoder(units, WIDTH, **options)
    state = [tf.random.normal(part.shape) for part in layer.zero_state(rows)]
    layer(x, memory, state, mask)
    for variable in layer.weights:
        variable.assign(variable + 0.3 * tf.random.normal(variable.shape))
    return layer, state


def stepped(layer, x, memory, state, mask):
    """Outputs and weights, a step at a time."""
    prepared, outputs = layer.prepare(memory, mask), []
    for t in range(x.shape[1]):
        vector, state, weights = layer.step(x[:, t], state, prepared)
        outputs.append((vector, weights))
    vectors, weights = zip(*outputs, strict=True)
    return tf.stack(vectors, 1), weights


@pytest.mark.parametrize("attention", ["additive", "general", "scaled"])
def test_against_the_equations(data, attention):
    layer, (h, c, a) = made(data, attention=attention)
    x, memory, mask = (np.asarray(part, float) for part in data)
    w = {v.name: v.numpy().astype(float) for v in layer.weights}
    h, c, a, expected = (*(part.numpy().astype(float) for part in (h, c, a)), [])
    for t in range(TIME):
        z = x[:, t] @ w["kernel"] + a @ w["fed_kernel"] + h @ w["recurrent_kernel_0"] + w["bias_0"]
        h, c = lstm(z, c)
        query = h @ w["query_kernel"]
        if attention == "additive":
            scores = np.tanh(query[:, None] + memory @ w["key_kernel"]) @ w["score"]
        else:
            scores = np.einsum("bf,bsf->bs", query, memory) / (FEATURES**0.5 if attention == "scaled" else 1)
        weights = np.exp(scores) * mask
        weights /= weights.sum(1, keepdims=True)
        summary = np.einsum("bs,bsf->bf", weights, memory)
        a = np.tanh(np.concatenate([h, summary], 1) @ w["output_kernel"])
        expected.append((a, weights))
    vectors, found = stepped(layer, data[0], data[1], made(data, attention=attention)[1], data[2])
    np.testing.assert_allclose(vectors, np.stack([v for v, _ in expected], 1), atol=1e-5)
    np.testing.assert_allclose(np.stack(found), [weights for _, weights in expected], atol=1e-5)


@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_all_steps_in_one_call_and_their_gradients(data, options):
    layer, state = made(data, **options)
    x, memory, mask = data
    direction = tf.random.normal([BATCH, TIME, layer.width])

    def gradients(run):
        with tf.GradientTape() as tape:
            tape.watch([x, memory, *state])
            y = run()
            total = tf.reduce_sum(y * direction)
        inputs = [x, memory, *state, *layer.trainable_variables]
        return y, tape.gradient(total, inputs, unconnected_gradients="zero")

    y, expected = gradients(lambda: stepped(layer, x, memory, state, mask)[0])
    trained, found = gradients(lambda: layer(x, memory, state, mask, training=True))
    np.testing.assert_allclose(trained, y, atol=1e-5)
    np.testing.assert_allclose(layer(x, memory, state, mask), y, atol=1e-5)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_weights_are_returned_and_have_a_gradient(data):
    layer, state = made(data, return_attention=True)
    x, memory, mask = data

    def spread(run):
        with tf.GradientTape() as tape:
            weights = run()
            total = tf.reduce_sum((1 - tf.reduce_sum(weights, 1)) ** 2)  # doubly stochastic (Xu et al. 2015)
        return weights, tape.gradient(total, layer.trainable_variables, unconnected_gradients="zero")

    weights, expected = spread(lambda: tf.stack(stepped(layer, x, memory, state, mask)[1], 1))
    trained, found = spread(lambda: layer(x, memory, state, mask, training=True)[1])
    assert trained.shape == (BATCH, TIME, PLACES)
    np.testing.assert_allclose(trained, weights, atol=1e-5)
    np.testing.assert_allclose(tf.reduce_sum(weights * tf.cast(~mask, tf.float32)[:, None]), 0)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_hypotheses_of_a_beam_share_their_memory(data):
    layer, state = made(data)
    x, memory, mask = data
    prepared, repeated = layer.prepare(memory, mask), layer.prepare(tf.repeat(memory, 3, 0), tf.repeat(mask, 3, 0))
    rows = tf.random.normal([3 * BATCH, 2])
    state = [tf.random.normal([3 * BATCH, part.shape[1]]) for part in state]
    for one, other in zip(
        tf.nest.flatten(layer.step(rows, state, prepared)),
        tf.nest.flatten(layer.step(rows, state, repeated)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("memories", "sentences", "options"),
    [
        (5, 3, dict()),
        (1, 3, dict(return_attention=True)),
        (20, 2, dict(input_feeding=False, cell="rnn")),  # more rows than are left as they are
        (3, 2, dict(attention="scaled", cell="gru", depth=2)),
        (3, 3, dict(attention="none")),
    ],
    ids=str,
)
def test_sentences_after_each_other_share_a_row_of_the_memory(memories, sentences, options):
    """Outputs and gradients are those of the memory repeated; in training, too."""
    draw = np.random.default_rng(5)
    rows, normal = memories * sentences, lambda *shape: tf.constant(draw.normal(size=shape), tf.float32)
    x, memory = normal(rows, TIME, 2), normal(memories, PLACES, FEATURES)
    mask = tf.sequence_mask(draw.integers(1, PLACES + 1, memories), PLACES)
    layer, _ = made((x, tf.repeat(memory, sentences, 0), tf.repeat(mask, sentences, 0)), units=4, rows=rows, **options)
    state, directions = [normal(*part.shape) for part in layer.zero_state(rows)], {}

    def gradients(memory_of, mask, **training):
        inputs = [x, memory, *state]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.nest.flatten(layer(x, memory_of(), state, mask, **training))
            parts = [directions.setdefault(i, normal(*part.shape)) for i, part in enumerate(outputs)]
            total = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(outputs, parts, strict=True)])
        found = tape.gradient(total, [*inputs, *layer.trainable_variables], unconnected_gradients="zero")
        return [*outputs, *found]

    expected = gradients(lambda: tf.repeat(memory, sentences, 0), tf.repeat(mask, sentences, 0))
    for training in (False, True):
        found = gradients(lambda: memory, mask, training=training)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-4 * max(1, np.abs(other).max()))


def test_sentences_that_share_a_memory_do_not_share_their_dropout(data):
    """With masks of other sentences it would not be an example of its own."""
    layer, _ = made(data, dropout=0.5)
    x, memory, mask = data
    zeros = np.asarray(layer(tf.repeat(x, 3, 0), memory, memory_mask=mask, training=True)) == 0
    assert 0.3 < zeros.mean() < 0.7 and (zeros == zeros[:, :1]).all()
    rows = zeros[:, 0].reshape(BATCH, 3, WIDTH)
    assert any((rows[:, i] != rows[:, 0]).any() for i in (1, 2))


def test_dropout_has_one_mask_for_all_steps(data):
    layer, state = made(data, dropout=0.5)
    x, memory, mask = data
    zeros = np.asarray(layer(x, memory, state, mask, training=True)) == 0
    assert zeros.any() and not zeros.all()
    assert all((zeros[:, t] == zeros[:, 0]).all() for t in range(TIME))
    assert (np.asarray(layer(x, memory, state, mask)) != 0).all()


@pytest.mark.slow
def test_padding_and_batch_mates_change_nothing(data):
    layer, state = made(data)
    x, memory, mask = data
    alone = [
        layer(x[i : i + 1], memory[i : i + 1, :n], [s[i : i + 1] for s in state], training=training)
        for (i, n), training in itertools.product(enumerate(LENGTHS), (False, True))
    ]
    for training in (False, True):
        together = layer(x, memory, state, mask, training=training)
        for i in range(BATCH):
            np.testing.assert_allclose(together[i], alone[2 * i + training][0], atol=1e-5)


@pytest.mark.slow
def test_in_a_graph_of_unknown_sizes(data):
    layer, state = made(data)
    x, memory, mask = data

    @tf.function(input_signature=[tf.TensorSpec([None, None, 2]), tf.TensorSpec([None, None, FEATURES])])
    def gradient(x, memory):
        with tf.GradientTape() as tape:
            y = layer(x, memory, training=True)
            total = tf.reduce_sum(y)
        return y, tape.gradient(total, layer.trainable_variables)

    for batch, time, places in ((5, 7, 6), (2, 1, 1), (1, 3, 4)):
        y, _ = gradient(x[:batch, :time], memory[:batch, :places])
        np.testing.assert_allclose(y, layer(x[:batch, :time], memory[:batch, :places]), atol=1e-5)


def test_mixed_precision_is_near(data):
    layer, state = made(data)
    half = AttentionDecoder(8, WIDTH, dtype="mixed_bfloat16")
    x, memory, mask = data
    half(x, memory, state, mask)
    half.set_weights(layer.get_weights())
    for training in (False, True):
        y = half(x, memory, state, mask, training=training)
        assert y.dtype == tf.float32
        np.testing.assert_allclose(y, layer(x, memory, state, mask), atol=0.05)


def test_as_a_layer_of_a_functional_model(data, tmp_path):
    x, memory, _ = data
    inputs = keras.Input((None, 2)), keras.Input((None, FEATURES))
    model = keras.Model(inputs, AttentionDecoder(8, WIDTH, depth=2, cell="gru", attention="general")(*inputs))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.output_shape == (None, None, WIDTH)
    np.testing.assert_allclose(again([x, memory]), model([x, memory]), atol=1e-6)


@pytest.mark.parametrize("options", [dict(cell="lru"), dict(attention="soft")])
def test_what_it_does_not_have(options):
    with pytest.raises(ValueError, match="must be one of"):
        AttentionDecoder(8, **options)
