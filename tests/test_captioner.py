"""The captioner: every way from a picture to words against its equations in NumPy, and against itself step by step."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tasks.captioning import Captioner, Config, doubly_stochastic
from zoo import training
from zoo.layers.grids import GridEncoder
from zoo.seq2seq import MANY
from zoo.subwords import END_ID, START_ID

WORDS, DIM, UNITS, PLACES, FEATURES = 9, 4, 6, 5, 3
TINY = Config(embedding_dim=DIM, units=UNITS, dropout=0, label_smoothing=0, max_length=6)
SHAPES = {
    "inject": dict(way="inject", cell="rnn"),  # the lectures' equation
    "init": dict(way="init", cell="gru", depth=2),
    "merge": dict(way="merge", embedding_dim=UNITS),
    "attend": dict(way="attend"),
    "attend, scaled": dict(way="attend", attention="scaled", cell="gru", depth=2),
}
DRAW = np.random.default_rng(0)
SOURCES = DRAW.normal(size=(2, PLACES, FEATURES)).astype("float32")
CAPTIONS = np.array([[[2, 7, 4, 5], [2, 6, 0, 0], [0, 0, 0, 0]], [[2, 8, 8, 4], [2, 4, 5, 0], [2, 0, 0, 0]]], np.int32)
TRUTH = np.array([[[7, 4, 5, 3], [6, 3, 0, 0], [0, 0, 0, 0]], [[8, 8, 4, 3], [4, 5, 3, 0], [3, 0, 0, 0]]], np.int32)
by_time = lambda captions: captions.transpose(0, 2, 1)  # [pictures, captions, time] <-> [pictures, time, captions]
INPUTS = {"source": SOURCES, "target": by_time(CAPTIONS)}


def made(eye=None, places=PLACES, features=FEATURES, **options):
    """A model, built, its weights far enough from 0 for all to count; it seldom ends at once."""
    keras.utils.set_random_seed(4)
    model = Captioner(dataclasses.replace(TINY, **options), WORDS, eye, places, features)
    model({"source": np.zeros([1, places, features], "float32"), "target": by_time(CAPTIONS)[:1]})
    frozen = {id(weight) for weight in eye.weights} if eye else ()
    for variable in model.weights:
        if id(variable) not in frozen:
            variable.assign(variable + 0.5 * tf.random.normal(variable.shape))
    model.bias.assign(model.bias - tf.one_hot(END_ID, WORDS, 2.0))
    return model


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES)
def model(request):
    return made(**request.param)


@pytest.fixture(scope="module")
def attending():
    return made(way="attend", doubly_stochastic=0.5)


def forced(model, inputs=INPUTS, **options):
    """The logits of each next word, `[pictures, captions, time, words]`."""
    logits = model.logits(model(inputs, **options)[0]).numpy()
    count, time, captions = inputs["target"].shape
    return logits.reshape(count, captions, time, WORDS)


def encoded(model, source=SOURCES):
    return model.encode(tf.constant(source))


def stepped(model, inputs=INPUTS):
    """The same by single steps: a tensor, and the weights of the attention, `[pictures * captions, time, places]`."""
    count, time, captions = inputs["target"].shape
    state, step = model.stepper(encoded(model, inputs["source"]))
    state = tf.nest.map_structure(lambda x: tf.repeat(x, captions, 0), state)
    logits, weights = [], []
    for token in np.transpose(inputs["target"], (1, 0, 2)).reshape(time, -1):
        scores, state, looked = step(state, token)
        logits.append(scores)
        weights.append(looked)
    weights = None if weights[0] is None else tf.stack(weights, 1)
    return tf.reshape(tf.stack(logits, 1), [count, captions, time, WORDS]), weights


# The equations --------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell_of(kind, z, u, states):
    if kind == "rnn":
        return [np.tanh(z + u)]
    if kind == "gru":
        (za, zr, zn), (ua, ur, un) = np.split(z, 3), np.split(u, 3)
        a, r = sigmoid(za + ua), sigmoid(zr + ur)
        return [a * states[0] + (1 - a) * np.tanh(zn + r * un)]
    i, f, g, o = np.split(z + u, 4)
    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


class Reference:
    """One caption of one picture, word by word, in float64."""

    def __init__(self, model):
        self.model, self.kind = model, model.decoder.cell
        self.w = {w.path.removeprefix("captioner/").removeprefix("decoder/"): w.numpy() for w in model.weights}
        self.w = {name: value.astype(float) for name, value in self.w.items()}

    def dense(self, name, x):
        return x @ self.w[f"{name}/kernel"] + self.w[f"{name}/bias"]

    def layers(self, x, states, fed=None):
        """All recurrent layers at one step: the new states of each, and the last one's h."""
        w, new = self.w, []
        for i, before in enumerate(states):
            z = x @ w[f"kernel_{i}" if i else "kernel"] + w[f"bias_{i}"]
            z = z + fed @ w["fed_kernel"] if i == 0 and fed is not None else z
            u = before[0] @ w[f"recurrent_kernel_{i}"] + w.get(f"recurrent_bias_{i}", 0)
            new.append(cell_of(self.kind, z, u, before))
            x = new[-1][0]
        return new, x

    def attended(self, h, grid):
        w, query = self.w, h @ self.w["query_kernel"]
        if self.model.decoder.attention == "additive":
            scores = [np.tanh(query + place @ w["key_kernel"]) @ w["score"] for place in grid]
        else:
            scores = [query @ place / UNITS**0.5 for place in grid]
        weights = np.exp(scores) / np.exp(scores).sum()
        return np.tanh(np.concatenate([h, weights @ grid]) @ w["output_kernel"])

    def __call__(self, features, tokens):
        model, w, depth = self.model, self.w, self.model.decoder.depth
        grid = np.maximum(0, self.dense("places", features.astype(float)) + w["positions"])
        v, table = grid.mean(0), w["target_embedding/embeddings"]
        parts = 2 if self.kind == "lstm" else 1
        states = [[np.zeros(UNITS)] * parts for _ in range(depth)]
        if model.way == "init":
            states, _ = self.layers(np.tanh(self.dense("first", v)), states)
        fed, logits = None, []
        if model.way == "attend":
            flat = [np.tanh(self.dense(f"bridge_{i}", v)) for i in range(depth * parts)]
            states = [flat[i * parts : (i + 1) * parts] for i in range(depth)]
            fed = np.zeros(model.decoder.width)
        for token in tokens:
            x = np.concatenate([table[token], v]) if model.way == "inject" else table[token]
            states, vector = self.layers(x, states, fed)
            if model.way == "attend":
                vector = fed = self.attended(vector, grid)
            if model.way == "merge":
                vector = np.tanh(self.dense("merged", np.concatenate([vector, v])))
            vector = vector @ w["projection/kernel"] if "projection/kernel" in w else vector
            logits.append(vector @ table.T + w["bias"])
        return np.array(logits)


def test_every_way_is_its_equation(model):
    reference = Reference(model)
    expected = [
        [reference(features, tokens) for tokens in of_one] for features, of_one in zip(SOURCES, CAPTIONS, strict=True)
    ]
    assert np.ptp(expected, axis=(0, 1)).min() > 1e-3  # pictures and words count
    np.testing.assert_allclose(forced(model), expected, atol=1e-4)


def test_training_is_single_steps_and_so_are_its_gradients(model):
    """Without dropout. Of every weight: of the picture's part, of both ends, and of the decoder."""
    direction = tf.random.stateless_normal([*CAPTIONS.shape, WORDS - END_ID], [1, 2])
    variables = model.trainable_variables

    def gradients(logits_of):
        with tf.GradientTape() as tape:
            logits = logits_of()[..., END_ID:]  # the others are never said
            total = tf.reduce_sum(logits * direction)
        found = tape.gradient(total, variables, unconnected_gradients="zero")
        return logits, [tf.convert_to_tensor(gradient).numpy() for gradient in found]

    shape = [*CAPTIONS.shape, WORDS]
    trained, found = gradients(lambda: tf.reshape(model.logits(model(INPUTS, training=True)[0]), shape))
    expected_logits, expected = gradients(lambda: stepped(model)[0])
    np.testing.assert_allclose(trained, expected_logits, atol=1e-4)
    np.testing.assert_allclose(forced(model)[..., END_ID:], expected_logits, atol=1e-4)
    for variable, one, other in zip(variables, found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * max(1, np.abs(other).max()), err_msg=variable.path)
        assert np.abs(other).max() > 1e-4, variable.path


# Search ---------------------------------------------------------------------------------------------------------------


def said(model, features, limit):
    """Greedily, each next word by teacher forcing of those before it."""
    words = [START_ID]
    while words[-1] != END_ID and len(words) <= limit:
        inputs = {"source": features[None], "target": np.array(words, np.int32)[None, :, None]}
        words.append(int(forced(model, inputs)[0, 0, -1, END_ID:].argmax()) + END_ID)
    return words[1:]


def test_a_beam_of_one_is_greedy(model):
    found = model.search(tf.constant(SOURCES), 5, 1, 1.0)
    ends = model._greedy(encoded(model)).numpy()
    for i, features in enumerate(SOURCES):
        words = said(model, features, 5)
        assert found.tokens[i, 0, : found.lengths[i, 0]].numpy().tolist() == [w for w in words if w != END_ID]
        assert bool(found.ended[i, 0]) == (words[-1] == END_ID)
        words = said(model, features, TINY.max_length)
        assert ends[i, : len(words)].tolist() == words and not ends[i, len(words) :].any()


@pytest.mark.parametrize("shape", ["inject", "attend"])
def test_a_picture_among_others_is_answered_as_alone(shape):
    """Also in two halves."""
    model = made(**SHAPES[shape])
    sources = np.random.default_rng(1).normal(size=(MANY + 1, PLACES, FEATURES)).astype("float32")
    search = tf.function(lambda source: model.search(source, 5, 3, 1.0))
    together = search(tf.constant(sources))
    assert np.ptp(together.log_probabilities[:, 0]) > 0.1  # they differ
    for i in range(len(sources)):
        alone = search(tf.constant(sources[i : i + 1]))
        time = alone.tokens.shape[2]
        np.testing.assert_array_equal(together.tokens[i, :, :time], alone.tokens[0])
        assert not np.any(together.tokens[i, :, time:])
        np.testing.assert_allclose(together.log_probabilities[i], alone.log_probabilities[0], atol=1e-4)


def test_what_it_looks_at(attending):
    """In training as in search; the weights are shares of the picture."""
    weights = attending(INPUTS, training=True)[1].numpy()
    np.testing.assert_allclose(weights, stepped(attending)[1], atol=1e-5)
    np.testing.assert_allclose(weights, attending(INPUTS)[1], atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    looked = attending.look(tf.constant(SOURCES), CAPTIONS[:, 0]).numpy()
    np.testing.assert_allclose(looked, weights.reshape(2, 3, -1, PLACES)[:, 0], atol=1e-5)
    assert np.ptp(looked, axis=1).max() > 0.01


# What goes in ---------------------------------------------------------------------------------------------------------


def test_the_captions_of_a_picture_do_not_influence_each_other(model):
    whole = forced(model)
    for training_ in (False, True):
        for j in range(3):
            inputs = {"source": SOURCES, "target": by_time(CAPTIONS[:, j : j + 1])}
            np.testing.assert_allclose(forced(model, inputs, training=training_)[:, 0], whole[:, j], atol=1e-4)


def test_features_may_be_float16(attending):
    inputs = {**INPUTS, "source": SOURCES.astype("float16")}
    np.testing.assert_allclose(forced(attending, inputs), forced(attending), atol=0.02)


@pytest.fixture(scope="module", params=["built-in", "frozen"])
def seeing(request):
    """A model with an eye of four places, and pictures."""
    keras.utils.set_random_seed(5)
    own = request.param == "built-in"
    size = 8 if own else 64
    eye = GridEncoder((4, 6), name="eye") if own else GridEncoder(network="MobileNet", trainable=False, name="eye")
    eye.build((None, size, size, 3))
    for layer in eye.base.layers if eye.base else ():  # whose random weights would give next to nothing
        if layer.weights:
            layer.kernel.assign(0.03**-0.5 * layer.kernel)
    pictures = np.random.default_rng(2).integers(0, 256, (2, size, size, 3), np.uint8)
    return made(eye, *eye.compute_output_shape((None,))[1:]), pictures


def test_pictures_are_seen_by_the_eye(seeing):
    model, pictures = seeing
    seen = model.eye(pictures)
    assert seen.shape[1:] == (4, 1024 if model.eye.network else 6)
    logits = forced(model, {**INPUTS, "source": pictures})
    np.testing.assert_allclose(logits, forced(model, {**INPUTS, "source": seen}), atol=1e-4)


def test_a_step_trains_all_but_a_frozen_eye(seeing):
    model, pictures = seeing
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    before = {w.path: w.numpy() for w in model.weights}
    model.fit({**INPUTS, "source": pictures}, by_time(TRUTH), batch_size=2, verbose=0)
    eyes = {w.path for w in model.eye.weights}
    changed = {w.path for w in model.weights if not np.array_equal(w.numpy(), before[w.path])}
    assert len(eyes) == len(model.eye.weights) == (54 if model.eye.network else 10)
    assert changed & eyes == (set() if model.eye.frozen else eyes)
    assert {"captioner/positions", "captioner/bias"} <= changed
    assert any(path.endswith("target_embedding/embeddings") for path in changed)


# Loss -----------------------------------------------------------------------------------------------------------------


def losses(model, captions=CAPTIONS, truth=TRUTH, training=True):
    inputs, y = {"source": SOURCES, "target": by_time(captions)}, by_time(truth)
    return float(model.compute_loss(inputs, y, model(inputs, training=training), training=training))


def entropy(model):
    """The mean over words, all captions together."""
    log_p = forced(model).astype(float)
    log_p -= np.logaddexp.reduce(log_p, -1, keepdims=True)
    return -np.take_along_axis(log_p, TRUTH[..., None], -1)[..., 0][TRUTH > 0].mean()


def test_a_caption_that_is_padding_does_not_count():
    model = made(way="attend")
    assert losses(model) == pytest.approx(entropy(model), rel=1e-4)
    padded = lambda x: np.pad(x, [(0, 0), (0, 2), (0, 3)])  # two captions and three steps more
    for training_ in (False, True):
        assert losses(model, padded(CAPTIONS), padded(TRUTH), training_) == pytest.approx(entropy(model), rel=1e-4)


def test_all_of_the_picture_is_to_be_looked_at(attending):
    """(Xu et al. 2015, eq. 14), the mean over captions; it is part of the loss, in training alone."""
    weights = stepped(attending)[1].numpy().astype(float)
    expected, count = 0.0, 0
    for looked, words in zip(weights, TRUTH.reshape(6, -1), strict=True):
        if words.any():
            expected += sum((1 - sum(looked[t, p] for t in range(4) if words[t])) ** 2 for p in range(PLACES))
            count += 1
    assert count == 5
    np.testing.assert_allclose(doubly_stochastic(weights, TRUTH.reshape(6, -1)), expected / count, rtol=1e-5)
    assert losses(attending) == pytest.approx(entropy(attending) + 0.5 * expected / count, rel=1e-4)
    assert losses(attending, training=False) == pytest.approx(entropy(attending), rel=1e-4)
    assert float(doubly_stochastic(weights, np.zeros([6, 4], np.int32))) == 0


def test_the_share_of_the_picture_has_a_gradient(attending):
    def gradients(total):
        with tf.GradientTape() as tape:
            value = total()
        return [tf.convert_to_tensor(g).numpy() for g in tape.gradient(value, attending.decoder.trainable_variables)]

    def loss(share):
        attending.doubly_stochastic = share
        y = by_time(TRUTH)
        return attending.compute_loss(INPUTS, y, attending(INPUTS, training=True), training=True)

    by_hand = lambda: tf.reduce_sum(
        tf.boolean_mask(
            (1 - tf.einsum("bt,btp->bp", tf.cast(TRUTH.reshape(6, 4) > 0, tf.float32), stepped(attending)[1])) ** 2,
            TRUTH.reshape(6, 4).any(1),
        )
    )
    with tf.GradientTape() as tape:
        value = by_hand()
    extra = tape.gradient(value, attending.decoder.trainable_variables, unconnected_gradients="zero")
    without, with_ = gradients(lambda: loss(0.0)), gradients(lambda: loss(0.5))
    for variable, a, b, c in zip(attending.decoder.trainable_variables, without, with_, extra, strict=True):
        np.testing.assert_allclose(b - a, 0.5 * c / 5, atol=2e-4, err_msg=variable.path)
    assert max(np.abs(b - a).max() for a, b in zip(without, with_, strict=True)) > 0.01


@pytest.mark.parametrize("shape", ["init", "attend"])
def test_mixed_precision_is_near(shape):
    whole = made(**SHAPES[shape])
    with training.precision("mixed_bfloat16"):
        half = made(**SHAPES[shape])
    half.set_weights(whole.get_weights())
    expected = forced(whole)
    logits = forced(half, training=shape == "attend")
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=0.05 * np.ptp(expected))
    assert half.search(tf.constant(SOURCES), 5, 2, 1.0).lengths.numpy().any()


# Learning -------------------------------------------------------------------------------------------------------------


def test_it_learns_what_is_on_five_pictures():
    """Each has a noun of its own; two captions of each, one of them longer."""
    pictures = np.random.default_rng(3).normal(size=(5, PLACES, FEATURES)).astype("float32")
    nouns = np.arange(4, 9)
    truth = np.stack([[[n, 3, 0], [4, n, 3]] for n in nouns]).astype(np.int32)
    captions = np.stack([[[2, n, 0], [2, 4, n]] for n in nouns]).astype(np.int32)
    keras.utils.set_random_seed(6)
    config = dataclasses.replace(TINY, way="attend", units=16, embedding_dim=8, doubly_stochastic=0.01)
    model = Captioner(config, WORDS, None, PLACES, FEATURES)
    x, y = {"source": pictures, "target": by_time(captions)}, by_time(truth)
    model(x)
    model.compile(keras.optimizers.Adam(0.03), jit_compile=False)
    batch = tf.data.Dataset.from_tensors((x, y))
    before = model.evaluate(batch, return_dict=True, verbose=0)
    assert before["loss"] == pytest.approx(np.log(WORDS), abs=0.4)
    model.fit(batch.repeat(60), shuffle=False, verbose=0)
    assert model.evaluate(batch, return_dict=True, verbose=0)["loss"] < 0.5 * before["loss"]
    found = model.search(tf.constant(pictures), 4, 3, 0.0)
    assert [set(row) - {0, 4} for row in found.tokens[:, 0].numpy().tolist()] == [set(), {5}, {6}, {7}, {8}]
    assert found.ended.numpy()[:, 0].all() and found.lengths.numpy()[:, 0].max() <= 2
