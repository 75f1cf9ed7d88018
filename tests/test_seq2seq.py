"""Encoder-decoders: whole sentences against single steps, search against all sentences, sampling against the truth."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import training
from zoo.layers import AttentionDecoder
from zoo.seq2seq import EncoderDecoder, alternatives
from zoo.subwords import END_ID, START_ID

VOCABULARY, DIM, UNITS = 8, 4, 6
WORDS = range(END_ID + 1, VOCABULARY)
INFINITY = float("inf")
SOURCES = np.array([[4, 5, 6, 3, 0], [7, 3, 0, 0, 0], [5, 5, 4, 7, 3]], np.int32)
TARGETS = np.array([[2, 7, 4, 5, 0, 0], [2, 6, 6, 4, 5, 7], [2, 0, 0, 0, 0, 0]], np.int32)
SHAPES = {
    "additive": dict(),
    "general, tied": dict(attention="general", width=DIM, tied=True),
    "scaled, projected": dict(attention="scaled", input_feeding=False, cell="rnn", tied=True),
    "none, projected": dict(attention="none", cell="gru", depth=2, tied=True),
}
IDS = tf.TensorSpec([None, None], tf.int32)


class Bag(EncoderDecoder):
    """Its memory is the embedded words; its first state, their mean."""

    def __init__(self, tied=False, dropout=0.0, scheduled_sampling=0.0, label_smoothing=0.0, width=5, **options):
        decoder, target = AttentionDecoder(UNITS, width, **options), keras.layers.Embedding(VOCABULARY, DIM)
        super().__init__(decoder, target, tied, dropout, scheduled_sampling, label_smoothing)
        self.source_embedding = keras.layers.Embedding(VOCABULARY, UNITS)

    def encode(self, source, training=False):
        mask, memory = tf.not_equal(source, 0), self.source_embedding(source)
        there = tf.cast(mask, memory.dtype)[..., None]
        mean = tf.reduce_sum(memory * there, 1) / tf.reduce_sum(there, 1)
        return memory, mask, [mean, *self.decoder.zero_state(tf.shape(source)[0])[1:]]


def made(**options):
    """A model, built, its weights far enough from 0 for every word to count; it seldom ends at once."""
    keras.utils.set_random_seed(3)
    model = Bag(**options)
    model({"source": SOURCES, "target": TARGETS})
    for variable in model.weights:
        variable.assign(variable + 0.7 * tf.random.normal(variable.shape))
    model.bias.assign(model.bias - tf.one_hot(END_ID, VOCABULARY, 2.0))
    return model


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES)
def model(request):
    return made(**request.param)


def forced(model, source, target, **options):
    """The logits of each next word."""
    return model.logits(model({"source": source, "target": target}, **options)).numpy()


def permitted(logits):
    """Log-probabilities of what may be said: not padding, unknown, start."""
    logits = np.where(np.arange(VOCABULARY) < END_ID, -INFINITY, np.float64(logits))
    return logits - np.logaddexp.reduce(logits, -1, keepdims=True)


# Logits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_a_call_builds_all_weights(options):
    """A task saves them, and builds their optimizer, before there are any logits."""
    model = Bag(**options)
    model({"source": SOURCES, "target": TARGETS})
    before = len(model.weights)
    forced(model, SOURCES, TARGETS)
    assert len(model.weights) == before


def test_teacher_forcing_is_the_steps_one_by_one(model):
    memory, mask, state = model.encode(SOURCES)
    prepared, steps = model.decoder.prepare(memory, mask), []
    for token in TARGETS.T:
        vector, state, _ = model.decoder.step(model.target_embedding(token), state, prepared)
        steps.append(model.logits(vector))
    logits = forced(model, SOURCES, TARGETS)
    assert logits.dtype == np.float32 and logits.shape == (*TARGETS.shape, VOCABULARY)
    np.testing.assert_allclose(logits, np.stack(steps, 1), atol=1e-4)


def test_a_sentence_alone_without_padding(model):
    together = forced(model, SOURCES, TARGETS)
    for i, (source, target) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        n = (target > 0).sum()
        alone = forced(model, source[None, source > 0], target[None, :n])
        np.testing.assert_allclose(together[i, :n], alone[0], atol=1e-4)


def test_the_softmax_has_a_matrix_of_its_own_or_the_embedding(model):
    vectors = model.speak(model.encode(SOURCES), TARGETS)[0].numpy()
    table, bias, width = model.target_embedding.embeddings.numpy(), model.bias.numpy(), model.decoder.width
    if not model.tied:
        assert model.projection is None and model.softmax.shape == (VOCABULARY, width)
        expected = vectors @ model.softmax.numpy().T
    elif width == DIM:
        assert model.softmax is None and model.projection is None
        expected = vectors @ table.T
    else:
        assert model.softmax is None and model.projection.kernel.shape == (width, DIM)
        assert model.projection.bias is None
        expected = vectors @ model.projection.kernel.numpy() @ table.T
    np.testing.assert_allclose(forced(model, SOURCES, TARGETS), expected + bias, atol=1e-4)
    parts = [
        model.source_embedding,
        model.target_embedding,
        model.decoder,
        *([model.projection] * bool(model.projection)),
    ]
    own = VOCABULARY * width * (not model.tied)
    assert model.count_params() == VOCABULARY + own + sum(part.count_params() for part in parts)


@pytest.mark.parametrize("options", [dict(), dict(tied=True)], ids=str)
def test_mixed_precision_is_near_and_gives_float32(options):
    whole = made(**options)
    with training.precision("mixed_bfloat16"):
        half = made(**options)
    half.set_weights(whole.get_weights())
    logits = forced(half, SOURCES, TARGETS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, forced(whole, SOURCES, TARGETS), atol=0.3)


def test_dropout_of_words_has_one_mask_for_all_steps():
    zeros = Bag(dropout=0.5).dropout(tf.ones([20, 6, DIM]), training=True).numpy() == 0
    assert 0.2 < zeros.mean() < 0.8 and (zeros == zeros[:, :1]).all()


# Search ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search(model):
    """In a graph of unknown sizes, as it is exported."""
    number, limits = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32)
    graph = tf.function(model.search, [IDS, limits, number, tf.TensorSpec([])])
    return lambda *arguments: tf.nest.map_structure(lambda x: x.numpy(), graph(*map(tf.constant, arguments)))


def sentences(model, source, limit):
    """(words, log-probability, ended) of every sentence, by teacher forcing."""
    beginnings = np.array(list(itertools.product(WORDS, repeat=limit - 1)), np.int32)
    targets = np.pad(beginnings, [(0, 0), (1, 0)], constant_values=START_ID)
    log_p = permitted(forced(model, np.tile(source, (len(targets), 1)), targets))
    found = {}
    for words, steps in zip(map(tuple, beginnings.tolist()), log_p, strict=True):
        sums = np.cumsum([0, *(step[word] for step, word in zip(steps, words, strict=False))])
        for n in range(limit):
            found[words[:n]] = sums[n] + steps[n, END_ID], True
        for word in WORDS:
            found[(*words, word)] = sums[-1] + steps[-1, word], False
    return [(words, *rest) for words, rest in found.items()]


@pytest.mark.parametrize("alpha", [0.0, 0.6])
def test_a_wide_beam_finds_every_sentence(model, search, alpha):
    limits = np.array([3, 1, 3], np.int32)
    found = search(SOURCES, limits, 100, np.float32(alpha))
    for i, (source, limit) in enumerate(zip(SOURCES, limits, strict=True)):
        score = lambda words, log_p, ended: log_p / ((5 + len(words) + ended) / 6) ** alpha
        expected = sorted(sentences(model, source[source > 0], limit), key=lambda each: -score(*each))
        n = len(expected)
        assert n == (85 if limit == 3 else 5) and sum(np.exp(each[1]) for each in expected) == pytest.approx(1)
        words = [tuple(row[:length]) for row, length in zip(found.tokens[i], found.lengths[i], strict=True)]
        assert words[:n] == [each[0] for each in expected]
        np.testing.assert_allclose(found.log_probabilities[i, :n], [each[1] for each in expected], atol=1e-3)
        np.testing.assert_allclose(found.scores[i, :n], [score(*each) for each in expected], atol=1e-3)
        assert found.ended[i, :n].tolist() == [each[2] for each in expected]
        assert not any(words[n:]) and (found.scores[i, n:] == -INFINITY).all()  # nothing else can be said


def test_a_narrow_beam_says_only_words_and_tells_their_probability(model, search):
    found = search(SOURCES, [6, 4, 6], 3, np.float32(1))
    assert (found.lengths[:, 0] > 0).any() and set(found.tokens[found.tokens > 0]) <= {*WORDS}
    for i, source in enumerate(SOURCES):
        for words, length, log_p, ended in zip(
            found.tokens[i], found.lengths[i], found.log_probabilities[i], found.ended[i], strict=True
        ):
            said = [*words[:length], *[END_ID] * int(ended)]
            steps = permitted(forced(model, source[None], np.array([[START_ID, *said[:-1]]], np.int32))[0])
            np.testing.assert_allclose(log_p, sum(steps[range(len(said)), said]), atol=1e-3)


def test_a_beam_of_one_is_greedy(model, search):
    limits = [6, 6, 2]
    found = search(SOURCES, limits, 1, np.float32(1))
    for i, (source, limit) in enumerate(zip(SOURCES, limits, strict=True)):
        said = [START_ID]
        while said[-1] != END_ID and len(said) <= limit:
            said.append(int(permitted(forced(model, source[None], np.array([said], np.int32))[0, -1]).argmax()))
        words = [token for token in said[1:] if token != END_ID]
        assert found.tokens[i, 0, : found.lengths[i, 0]].tolist() == words
        assert found.ended[i, 0] == (said[-1] == END_ID)


# Attention ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["additive", "general, tied", "scaled, projected"])
def test_what_it_looks_at_are_the_weights_of_the_decoder(shape):
    model = made(**SHAPES[shape])
    memory, mask, state = model.encode(SOURCES)
    twin = AttentionDecoder.from_config({**model.decoder.get_config(), "return_attention": True})
    twin(model.target_embedding(TARGETS), memory, state, mask)
    twin.set_weights(model.decoder.get_weights())
    vectors, expected = twin(model.target_embedding(TARGETS), memory, state, mask)
    said, unknown = model.speak((memory, mask, state), TARGETS)
    np.testing.assert_allclose(said, vectors, atol=1e-5)
    assert unknown is None
    telling = made(**SHAPES[shape], return_attention=True)
    np.testing.assert_allclose(telling.speak((memory, mask, state), TARGETS)[1], expected, atol=1e-5)
    np.testing.assert_allclose(forced(telling, SOURCES, TARGETS), forced(model, SOURCES, TARGETS), atol=1e-5)
    weights = tf.function(model.look, [IDS, IDS])(SOURCES, TARGETS).numpy()
    assert weights.shape == (*TARGETS.shape, SOURCES.shape[1])
    np.testing.assert_allclose(weights, expected, atol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert not weights[np.broadcast_to(~mask.numpy()[:, None], weights.shape)].any()


# What a task adds -----------------------------------------------------------------------------------------------------


class Hooked(Bag):
    """The words are fed backwards, beside the memory's mean; and what comes out is turned around at every place."""

    def mean(self, memory, like):
        mean = tf.reduce_mean(memory, 1)
        return tf.repeat(mean, tf.shape(like)[0] // tf.shape(mean)[0], 0)[:, None]

    def before(self, words, memory):
        mean = tf.broadcast_to(self.mean(memory, words), [*tf.unstack(tf.shape(words)[:2]), UNITS])
        return tf.concat([words[..., ::-1], mean], -1)

    def after(self, vectors, memory, training=False):
        return vectors[..., ::-1] * tf.reduce_sum(self.mean(memory, vectors), -1, keepdims=True)


def test_hooks_before_and_after_the_decoder_are_in_every_way_to_speak():
    """All at once, step by step, with several sentences of one memory, and in search."""
    keras.utils.set_random_seed(5)
    model = Hooked()
    x = {"source": SOURCES, "target": TARGETS}
    model(x)
    memory, mask, state = model.encode(SOURCES)
    words = model.target_embedding(TARGETS).numpy()[..., ::-1]
    mean = np.repeat(memory.numpy().mean(1)[:, None], TARGETS.shape[1], 1)
    vectors = model.decoder(np.concatenate([words, mean], -1), memory, state, mask).numpy()
    expected = vectors[..., ::-1] * mean.sum(-1, keepdims=True)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)

    both = np.repeat(TARGETS, 2, 0)
    both[1::2, 1:] = 4  # other sentences about the same
    alone = [forced(model, SOURCES, both[i::2]) for i in range(2)]
    states, step = model.stepper(model.encode(SOURCES))
    states, found = [tf.repeat(part, 2, 0) for part in states], []
    for token in both.T:
        logits, states, weights = step(states, token)
        assert weights.shape == (6, SOURCES.shape[1])
        found.append(logits)
    found = np.stack(found, 1)
    assert (found[..., :END_ID] == -INFINITY).all()
    for i in range(2):
        np.testing.assert_allclose(found[i::2, :, END_ID:], alone[i][..., END_ID:], atol=1e-4)

    best = model.search(SOURCES, 4, 1, 1.0)
    first = forced(model, SOURCES, np.full([3, 1], START_ID, np.int32))[:, 0, END_ID:].argmax(-1) + END_ID
    said = np.where(best.lengths[:, 0] > 0, np.pad(best.tokens[:, 0], [(0, 0), (0, 1)])[:, 0], END_ID)
    assert said.tolist() == first.tolist()


def test_alternatives_are_those_that_differ_from_the_best_and_from_each_other():
    texts = [["a b", "a b", "", "c", "c"], ["", "d", "e", "d", "f"], ["", "", "", "", ""], ["g", "h", "i", "j", "k"]]
    scores = np.array([[-1, -2, -3, -4, -5], [-1, -2, -3, -4, -INFINITY], [-1] * 5, [-1, -2, -3, -4, -5]], np.float32)
    found = {name: value.numpy() for name, value in alternatives(tf.constant(texts), scores).items()}
    assert found["text"].tolist() == [b"a b", b"d", b"", b"g"] and found["score"].tolist() == [-1, -2, -1, -1]
    assert found["alternatives_count"].tolist() == [1, 1, 0, 4]
    shown = [
        list(zip(row[:n].tolist(), values[:n].tolist(), strict=True))
        for row, values, n in zip(
            found["alternatives_text"], found["alternatives_score"], found["alternatives_count"], strict=True
        )
    ]
    assert shown == [[(b"c", -4)], [(b"e", -3)], [], [(b"h", -2), (b"i", -3), (b"j", -4), (b"k", -5)]]
    alone = alternatives(tf.constant([["a"], [""]]), tf.constant([[-1.0], [-2.0]]))
    assert alone["alternatives_text"].shape == (2, 0) and alone["alternatives_count"].numpy().tolist() == [0, 0]


# Scheduled sampling ---------------------------------------------------------------------------------------------------

STEPS = 100


@pytest.fixture(scope="module")
def sampling():
    """A model that says what it thinks most probable: its logits are far apart."""
    model = made()
    model.softmax.assign(1e5 * model.softmax)
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    model.steps = STEPS
    return model


def at(model, step, rate):
    model.optimizer.iterations.assign(step)
    model.scheduled_sampling = rate
    return model


def close(logits, expected):
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())


def said_after_the_truth(model):
    """What it is fed at last: start, what it says after each true word (never 0, 1, 2), and the padding."""
    best = forced(model, SOURCES, TARGETS)[..., 3:].argmax(-1) + 3
    return np.where(TARGETS > 0, np.concatenate([TARGETS[:, :1], best[:, :-1]], 1), 0).astype(np.int32)


def test_without_sampling_it_is_fed_the_truth(sampling):
    truth = forced(sampling, SOURCES, TARGETS)
    for step, rate in ((0, 0.0), (STEPS, 0.0), (0, 1.0)):
        close(forced(at(sampling, step, rate), SOURCES, TARGETS, training=True), truth)
    close(forced(at(sampling, STEPS, 1.0), SOURCES, TARGETS, training=False), truth)


@pytest.mark.parametrize("step", [STEPS, 3 * STEPS])
def test_at_last_it_is_fed_what_it_says_after_the_truth(sampling, step):
    fed = said_after_the_truth(sampling)
    assert (fed != TARGETS).any() and (fed[:, 0] == START_ID).all() and ((fed == 0) == (TARGETS == 0)).all()
    expected = forced(sampling, SOURCES, fed)
    assert np.abs(expected - forced(sampling, SOURCES, TARGETS)).max() > 1
    close(forced(at(sampling, step, 1.0), SOURCES, TARGETS, training=True), expected)


def test_no_word_is_true_where_all_are_sampled(sampling, monkeypatch):
    """And with a share of them, about as many as that, growing with the steps."""
    monkeypatch.setattr(sampling, "logits", lambda vectors: tf.one_hot(tf.fill(vectors.shape[:-1], 7), VOCABULARY, 1e6))
    fed, speak, truth = [], sampling.speak, np.tile([2, 4, 5, 6, 0, 0], (3, 1)).astype(np.int32)

    def listened(encoded, target, training=False):
        fed.extend([target.numpy()] if training else [])
        return speak(encoded, target, training)

    monkeypatch.setattr(sampling, "speak", listened)
    for step, rate, share in ((STEPS, 1.0, 1.0), (STEPS // 2, 0.8, 0.4), (2 * STEPS, 0.5, 0.5)):
        fed.clear()
        for _ in range(1 if share == 1 else 40):
            forced(at(sampling, step, rate), SOURCES, truth, training=True)
        found = np.stack(fed)
        assert (found[..., 0] == START_ID).all() and not found[..., 4:].any()
        sampled = found[..., 1:4] == 7
        assert (sampled | (found == truth)[..., 1:4]).all()
        assert abs(sampled.mean() - share) <= 5 * (share * (1 - share) / sampled.size) ** 0.5


def test_no_gradient_goes_through_what_is_sampled(sampling):
    def gradients(target):
        with tf.GradientTape() as tape:
            vectors = sampling({"source": SOURCES, "target": target}, training=True)
            loss = tf.reduce_mean(sampling.logits(vectors) ** 2)
        return tape.gradient(loss, sampling.trainable_variables)

    at(sampling, STEPS, 1.0)
    found = gradients(TARGETS)
    at(sampling, STEPS, 0.0)
    expected = gradients(said_after_the_truth(sampling))
    assert len(found) == len(sampling.trainable_variables) > 5
    for one, other in zip(found, expected, strict=True):
        one, other = (tf.convert_to_tensor(each).numpy() for each in (one, other))  # of an embedding, by row
        assert one.any()
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


# Training -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_over_words(smoothing):
    """However they are spread over sentences; padding counts for nothing."""
    model = made(label_smoothing=smoothing)
    model.compile(jit_compile=False)
    truth = np.array([[7, 4, 5, 3, 0, 0], [6, 6, 4, 5, 7, 3], [3, 0, 0, 0, 0, 0]], np.int32)
    log_p = forced(model, SOURCES, TARGETS).astype(float)
    log_p -= np.logaddexp.reduce(log_p, -1, keepdims=True)
    each = -(1 - smoothing) * np.take_along_axis(log_p, truth[..., None], 2)[..., 0] - smoothing * log_p.mean(-1)
    found = model.evaluate({"source": SOURCES, "target": TARGETS}, truth, batch_size=3, return_dict=True, verbose=0)
    assert found["loss"] == pytest.approx(each[truth > 0].mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((log_p.argmax(-1) == truth)[truth > 0].mean())


@pytest.mark.slow
def test_it_learns_to_copy():
    """Words in alphabetical order: all that a bag of words can tell."""
    words = np.sort(np.random.default_rng(0).choice(WORDS, (64, 3)), 1).astype(np.int32)
    edge = lambda before, after, value: np.pad(words, [(0, 0), (before, after)], constant_values=value)
    x, y = {"source": edge(0, 1, END_ID), "target": edge(1, 0, START_ID)}, edge(0, 1, END_ID)
    keras.utils.set_random_seed(1)
    model = Bag(scheduled_sampling=0.2, label_smoothing=0.01)
    model.steps = 60
    model.compile(keras.optimizers.Adam(0.03), jit_compile=False)
    score = lambda: model.evaluate(x, y, batch_size=64, return_dict=True, verbose=0)
    before = score()
    assert before["loss"] == pytest.approx(np.log(VOCABULARY), abs=0.3)
    model.fit(x, y, batch_size=64, verbose=0)  # a single step
    assert score()["loss"] < before["loss"]
    model.fit(x, y, batch_size=64, epochs=60, verbose=0)
    after = score()
    assert after["loss"] < 0.4 * before["loss"] and after["accuracy"] > 0.85
    found = model.search(x["source"], 4, 2, 1.0).tokens[:, 0].numpy()
    assert (np.pad(found, [(0, 0), (0, 4 - found.shape[1])])[:, :3] == words).all(1).mean() > 0.7
