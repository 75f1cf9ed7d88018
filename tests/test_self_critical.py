"""Self-critical training against the sum over all sentences, of a vocabulary of four words and at most two of them."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from zoo.layers import AttentionDecoder
from zoo.self_critical import SelfCritical, by_reference, folded, repeated
from zoo.subwords import END_ID, START_ID

VOCABULARY, UNITS, LIMIT = 8, 5, 2
WORDS = range(END_ID + 1, VOCABULARY)
ALL = np.array([(END_ID, 0), *((w, END_ID) for w in WORDS), *itertools.product(WORDS, WORDS)], np.int32)
SOURCES = np.random.default_rng(0).normal(size=(2, 3, UNITS)).astype("float32")
PRIZES = np.random.default_rng(1).random([VOCABULARY, VOCABULARY]).astype("float32")
REFERENCES = np.array([[[4, 5, 3], [6, 3, 0]], [[7, 3, 0], [0, 0, 0]]], np.int32)  # [inputs, references, time]
Y = REFERENCES.transpose(0, 2, 1)
X = {"source": SOURCES, "target": np.where(Y > 0, np.pad(Y, [(0, 0), (1, 0), (0, 0)])[:, :-1], 0)}
X["target"][:, 0] = np.where(Y[:, 0] > 0, START_ID, 0)


class Toy(SelfCritical):
    """Its memory is its input; its first state, the mean of it."""

    def __init__(self, attention="none", **options):
        decoder = AttentionDecoder(UNITS, cell="rnn", attention=attention)
        super().__init__(decoder, keras.layers.Embedding(VOCABULARY, 4), max_length=LIMIT, **options)

    def encode(self, source, training=False):
        return source, None, [tf.reduce_mean(source, 1)]


def prize(said, references):
    """Of its first two tokens; it counts for more the higher the first word of the first reference is."""
    said = tf.ensure_shape(tf.pad(said, [[0, 0], [0, 2]])[:, :2], [None, 2])
    return tf.gather_nd(PRIZES, said) * tf.cast(references[:, 0, 0] - 3, tf.float32)


def made(**options):
    """A model, built, its weights far enough from 0 for all to count."""
    keras.utils.set_random_seed(2)
    model = Toy(**options)
    model.reward = prize
    model(X)
    for variable in model.weights:
        variable.assign(variable + 0.6 * tf.random.normal(variable.shape))
    model.compile(keras.optimizers.SGD(0.0), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def model():
    return made(critical=True, samples=len(ALL))


def log_probabilities(model, sentences=ALL):
    """Of sentences of two tokens, for every input: `[inputs, sentences]`, step by step."""
    state, step = model.stepper(model.encode(tf.constant(SOURCES)))
    inputs, count = len(SOURCES), len(sentences)
    state = [tf.repeat(part, count, 0) for part in state]
    token, total = tf.fill([inputs * count], START_ID), 0.0
    for column in np.tile(sentences, (inputs, 1)).T:
        logits, state, _ = step(state, token)
        total += tf.where(column > 0, tf.gather(tf.nn.log_softmax(logits), column, batch_dims=1), 0.0)
        token = column
    return tf.reshape(total, [inputs, count])


def prizes():
    """Of all sentences for every input."""
    return np.stack([prize(ALL, np.repeat(r[None], len(ALL), 0)) for r in REFERENCES])


def greedy_prizes(model):
    """The best first word, then the best after it; by their probabilities."""
    p, found = np.exp(log_probabilities(model).numpy()), []
    for row, prizes_ in zip(p, prizes(), strict=True):
        first = max([END_ID, *WORDS], key=lambda w: row[ALL[:, 0] == w].sum())
        chosen = np.flatnonzero(ALL[:, 0] == first)
        found.append(prizes_[chosen[row[chosen].argmax()]])
    return np.array(found)


def gradients(model, total):
    """The value of `total()`, and the gradient of each weight."""
    with tf.GradientTape() as tape:
        value = total()
    found = tape.gradient(value, model.trainable_variables, unconnected_gradients="zero")
    return float(value), [tf.convert_to_tensor(gradient).numpy() for gradient in found]


def critical(model):
    return model.compute_loss(X, Y, model(X, training=True), training=True)


# Sampling -------------------------------------------------------------------------------------------------------------


def test_probabilities_of_all_sentences_sum_to_one(model):
    np.testing.assert_allclose(np.exp(log_probabilities(model)).sum(1), 1, rtol=1e-5)


def test_what_is_sampled_has_the_models_probabilities():
    model = made(critical=True, samples=4000)
    said = model._sampled(model.encode(tf.constant(SOURCES))).numpy()[:, :LIMIT].reshape(2, 4000, LIMIT)
    for rows, p in zip(said, np.exp(log_probabilities(model).numpy().astype(float)), strict=True):
        counts = (rows[:, None] == ALL).all(2).sum(0)
        assert counts.sum() == 4000  # nothing else is said
        often = p * 4000 > 5
        pool = lambda values, often=often: [*values[often], values[~often].sum()] if (~often).any() else values
        assert stats.chisquare(pool(counts), pool(p / p.sum() * 4000)).pvalue > 1e-3


def test_sentences_that_are_cut_off_have_no_end(model):
    said = model._sampled(model.encode(tf.constant(SOURCES))).numpy()
    lengths = (said > 0).sum(1)
    assert (said[np.arange(said.shape[1]) >= lengths[:, None]] == 0).all() and lengths.max() == LIMIT
    ended = (said == END_ID).any(1)
    assert ended.any() and not ended.all()
    assert (said[np.arange(len(said)), lengths - 1] == END_ID).tolist() == ended.tolist()
    assert (lengths[~ended] == LIMIT).all() and set(said[said > 0]) <= {END_ID, *WORDS}


def test_every_step_draws_others_and_the_seed_decides(model):
    draw = lambda: model._sampled(model.encode(tf.constant(SOURCES))).numpy().tolist()
    model.draws.state.assign([0, 7])
    first, second = draw(), draw()
    model.draws.state.assign([0, 7])
    assert first != second and first == draw()


# Loss -----------------------------------------------------------------------------------------------------------------


def said_of_all(model, monkeypatch):
    """Has it sample every sentence once for every input."""
    monkeypatch.setattr(model, "_sampled", lambda encoded: tf.tile(ALL, [len(SOURCES), 1]))


@pytest.mark.parametrize("attention", ["none", "additive"])
def test_the_loss_and_its_gradient_are_those_of_the_equation(attention, monkeypatch):
    """-(r - r*) log p, the mean over words; r and r* are no part of the gradient."""
    model = made(attention=attention, critical=True, samples=len(ALL))
    said_of_all(model, monkeypatch)
    advantage = prizes() - greedy_prizes(model)[:, None]
    words = 2 * (ALL > 0).sum()
    by_hand = lambda: -tf.reduce_sum(advantage * log_probabilities(model)) / words
    (loss, found), (expected_loss, expected) = (gradients(model, f) for f in (lambda: critical(model), by_hand))
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    for variable, one, other in zip(model.trainable_variables, found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4, err_msg=variable.path)
        assert np.abs(other).max() > 1e-3
    assert np.abs(advantage).max() > 0.1


def test_no_gradient_goes_through_the_reward(model, monkeypatch):
    """One that depends on the model's weights has but its value."""
    said_of_all(model, monkeypatch)
    _, expected = gradients(model, lambda: 2 * critical(model))
    monkeypatch.setattr(model, "reward", lambda *given: prize(*given) * 2 * model.bias[4] / float(model.bias[4]))
    _, found = gradients(model, lambda: critical(model))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_its_expectation_is_the_gradient_of_the_expected_reward():
    """That is what it is for: sampled often enough, it is the slope of the sum over all sentences of p r."""
    model = made(critical=True, samples=6000)
    said = []

    def loss():
        vectors, drawn = model(X, training=True)
        said.append(drawn)
        return model.compute_loss(X, Y, (vectors, drawn), training=True)

    _, found = gradients(model, loss)
    expected_reward = lambda: -tf.reduce_mean(tf.reduce_sum(tf.exp(log_probabilities(model)) * prizes(), 1))
    _, expected = gradients(model, expected_reward)
    words = np.count_nonzero(said[0]) / len(said[0])  # the loss is a mean over words
    flat = lambda parts: np.concatenate([part.ravel() for part in parts])
    one, other = words * flat(found), flat(expected)
    assert np.linalg.norm(one - other) < 0.1 * np.linalg.norm(other)


def test_cross_entropy_has_the_mean_over_the_words_of_all_references():
    model, losses = made(), []
    table, bias = model.softmax.numpy(), model.bias.numpy()
    for source, references in zip(SOURCES, REFERENCES, strict=True):
        for reference in references:
            h, before = source.mean(0), START_ID
            for word in filter(None, reference):  # an Elman network
                x = model.target_embedding.embeddings.numpy()[before]
                kernel, recurrent, b = (w.numpy() for w in model.decoder.weights)
                h = np.tanh(x @ kernel + h @ recurrent + b)
                logits = table @ h + bias
                losses.append(np.logaddexp.reduce(logits) - logits[word])
                before = word
    assert len(losses) == 7
    assert float(model.compute_loss(X, Y, model(X, training=True))) == pytest.approx(np.mean(losses), rel=1e-4)


# Training and measuring -----------------------------------------------------------------------------------------------


def test_it_raises_the_expected_reward():
    model = made(critical=True, samples=8)
    expected = lambda: float((np.exp(log_probabilities(model)) * prizes()).sum(1).mean())
    model.compile(keras.optimizers.Adam(0.05), jit_compile=False)
    before, best = expected(), prizes().max(1).mean()
    logs = model.fit(tf.data.Dataset.from_tensors((X, Y)).repeat(60), shuffle=False, verbose=0).history
    assert set(logs) == {"loss", "reward"} and before < 0.8 * best
    assert expected() > before + 0.7 * (best - before)
    assert before < logs["reward"][0] < best  # the mean of what was sampled on the way


def test_on_dev_the_reward_is_that_of_what_is_said_greedily():
    for critical_ in (False, True):
        model = made(critical=critical_, samples=2)
        found = model.evaluate(X, Y, batch_size=2, return_dict=True, verbose=0)
        assert found["reward"] == pytest.approx(greedy_prizes(model).mean(), rel=1e-4)
        assert set(found) == {"loss", "accuracy", "reward"} and found["loss"] > 0


def test_without_a_reward_there_is_none_to_measure():
    model = made()
    model.reward = None
    assert set(model.fit(X, Y, batch_size=2, verbose=0).history) == {"loss", "accuracy"}
    assert model.evaluate(X, Y, batch_size=2, return_dict=True, verbose=0)["loss"] > 0


# Shapes ---------------------------------------------------------------------------------------------------------------


def test_references_are_rows():
    target = np.arange(24).reshape(2, 4, 3)  # [batch, time, references]
    rows = [target[i, :, j] for i in range(2) for j in range(3)]
    np.testing.assert_array_equal(folded(target), rows)
    np.testing.assert_array_equal(by_reference(target), np.reshape(rows, [2, 3, 4]))
    graph = tf.function(folded, [tf.TensorSpec([None, None, None], tf.int32)])
    np.testing.assert_array_equal(graph(target), rows)


def test_sentences_about_one_input_share_its_memory():
    memory, states = tf.ones([2, 3, 4]), [tf.constant([[1.0], [2.0]]), tf.constant([[3.0], [4.0]])]
    again, mask, found = repeated((memory, None, states), 2)
    assert again is memory and mask is None
    assert [part.numpy().ravel().tolist() for part in found] == [[1, 1, 2, 2], [3, 3, 4, 4]]
