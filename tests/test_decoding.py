"""Decoding against the enumeration of all sequences, a beam search in plain Python, and expected frequencies."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from zoo import decoding

SYMBOLS, UNITS, START, END = 5, 3, 2, 3  # 0 is padding, which the toy decoder forbids
INFINITY = float("inf")
INPUTS, SEED = tf.TensorSpec([None, UNITS]), tf.TensorSpec([2], tf.int32)
WHOLE, NUMBER = tf.TensorSpec([], tf.int32), tf.TensorSpec([])


def toy(seed, bias_of_end=0.0):
    """Weights of a decoder whose logits depend on the input and on every token before."""
    draw = np.random.default_rng(seed)
    shapes = [(UNITS, UNITS), (SYMBOLS, UNITS), (UNITS, SYMBOLS)]
    return [*(np.float32(draw.normal(0, 1.5, s)) for s in shapes), np.float32([-INFINITY, 0, 0, bias_of_end, 0])]


def inputs(seed, batch):
    return np.random.default_rng(seed).normal(0, 1, [batch, UNITS]).astype(np.float32)


def toy_step(weights, context):
    """The toy in TensorFlow. The input is no part of its state, which is two tensors of different ranks."""
    recurrent, embedding, output, bias = weights

    def step(state, token):
        h = state["h"][:, :, 0]
        width = tf.shape(h)[0] // tf.maximum(tf.shape(context)[0], 1)
        h = tf.tanh(h @ recurrent + tf.gather(embedding, token) + tf.repeat(context, width, axis=0))
        return h @ output + bias, {"h": h[:, :, None], "read": state["read"] + 1}

    return step


def toy_state(context):
    batch = tf.shape(context)[0]
    return {"h": tf.zeros([batch, UNITS, 1]), "read": tf.zeros([batch], tf.int32)}


def next_log_probabilities(weights, context, tokens):
    """The toy in NumPy: of what may follow `START` and these tokens."""
    recurrent, embedding, output, bias = map(np.float64, weights)
    h = np.zeros(UNITS)
    for token in (START, *tokens):
        h = np.tanh(h @ recurrent + embedding[token] + context)
    logits = h @ output + bias
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def score(tokens, log_probability, ended, alpha):
    return log_probability / ((5 + len(tokens) + ended) / 6) ** alpha


def continuations(weights, context, tokens, log_probability):
    for token, gain in enumerate(next_log_probabilities(weights, context, tokens)):
        if gain > -INFINITY:
            yield tokens if token == END else (*tokens, token), log_probability + gain, token == END


def plain_beam(weights, context, limit, width, alpha):
    """(tokens, log-probability, ended), best first; all that there are, if the width is None."""
    slots = [((), 0.0, False)]
    for _ in range(limit):
        ended = [slot for slot in slots if slot[2]]
        offers = [new for slot in slots if not slot[2] for new in continuations(weights, context, *slot[:2])]
        offers.sort(key=lambda slot: -slot[1])
        slots = ended + (offers if width is None else offers[: width - len(ended)])
    return sorted(slots, key=lambda slot: -score(*slot, alpha))


def graph_of(name, *options):
    """A decoder of the toy's weights, inputs, their limits and options, for any batch; it answers in NumPy."""

    def decode(weights, context, limits, *options):
        step = toy_step(weights, context)
        return getattr(decoding, name)(step, toy_state(context), START, END, limits, *options)

    weights = [tf.TensorSpec(w.shape) for w in toy(0)]
    graph = tf.function(decode, input_signature=[weights, INPUTS, tf.TensorSpec([None], tf.int32), *options])
    return lambda weights, *arguments: tf.nest.map_structure(
        lambda x: x.numpy(), graph([*map(tf.constant, weights)], *map(tf.constant, arguments))
    )


search = graph_of("beam_search", WHOLE, NUMBER)
greedy = graph_of("greedy")
sample = graph_of("sample", SEED, NUMBER, WHOLE, NUMBER)


def assert_hypotheses(found, i, expected, alpha):
    """The hypotheses of input i are these, in this order, and no others."""
    tokens, lengths, log_probabilities, scores, ended = (x[i] for x in found)
    n = len(expected)
    assert [tuple(row[:length]) for row, length in zip(tokens, lengths, strict=True)][:n] == [e[0] for e in expected]
    assert ended[:n].tolist() == [e[2] for e in expected]
    np.testing.assert_allclose(log_probabilities[:n], [e[1] for e in expected], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores[:n], [score(*e, alpha) for e in expected], rtol=1e-4, atol=1e-5)
    assert not tokens[np.arange(tokens.shape[1]) >= lengths[:, None]].any()  # padded with 0
    assert not lengths[n:].any() and not ended[n:].any()
    assert (log_probabilities[n:] == -INFINITY).all() and (scores[n:] == -INFINITY).all()


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
def test_a_wide_beam_finds_every_sequence(alpha):
    weights, context, limits = toy(1), inputs(2, 5), [4, 1, 0, 3, 4]
    found = search(weights, context, limits, 150, alpha)
    assert found.tokens.shape == (5, 150, 4)
    for i, limit in enumerate(limits):
        everything = plain_beam(weights, context[i], limit, None, alpha)
        assert len(everything) == sum(3**n for n in range(limit)) + 3**limit  # ended by then, and cut off
        assert sum(np.exp(e[1]) for e in everything) == pytest.approx(1)
        assert_hypotheses(found, i, everything, alpha)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.integers(1, 7), st.lists(st.integers(0, 9), min_size=1, max_size=4), st.data())
def test_a_narrow_beam_keeps_what_ended_and_continues_the_best(seed, width, limits, data):
    alpha = data.draw(st.sampled_from([0.0, 0.6, 1.0]))
    weights, context = toy(seed, data.draw(st.sampled_from([-1.0, 0.0, 2.0]))), inputs(seed + 1, len(limits))
    found = search(weights, context, limits, width, alpha)
    for i, limit in enumerate(limits):
        assert_hypotheses(found, i, plain_beam(weights, context[i], limit, width, alpha), alpha)


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_of_one_is_greedy(seed):
    weights, context, limits = toy(seed), inputs(seed, 4), [9, 2, 30, 0]
    beam, best = search(weights, context, limits, 1, 0.6), greedy(weights, context, limits)
    for name in ("tokens", "lengths", "ended"):
        np.testing.assert_array_equal(getattr(beam, name)[:, 0], getattr(best, name), name)
    np.testing.assert_allclose(beam.log_probabilities[:, 0], best.log_probabilities, rtol=1e-6)


def test_a_batch_is_as_its_inputs_one_by_one():
    weights, context, limits = toy(5), inputs(6, 6), np.array([12, 3, 7, 1, 0, 20], np.int32)
    together, best = search(weights, context, limits, 4, 0.6), greedy(weights, context, limits)
    assert len({*map(tuple, together.lengths)}) > 3 and together.ended.any() and not together.ended.all()
    for i in range(6):
        alone = search(weights, context[i : i + 1], limits[i : i + 1], 4, 0.6)
        time = alone.tokens.shape[2]
        np.testing.assert_array_equal(together.tokens[i, :, :time], alone.tokens[0])
        assert not together.tokens[i, :, time:].any()
        for name in ("lengths", "log_probabilities", "scores", "ended"):
            np.testing.assert_allclose(getattr(together, name)[i], getattr(alone, name)[0], rtol=1e-5)
        alone = greedy(weights, context[i : i + 1], limits[i : i + 1])
        assert (best.lengths[i], best.ended[i]) == (alone.lengths[0], alone.ended[0])
        for name, state in alone.state.items():  # of a sequence that is over, it stays as it was
            np.testing.assert_allclose(best.state[name][i], state[0], rtol=1e-5)
        assert best.state["read"][i] == best.lengths[i] + best.ended[i]


def test_no_inputs():
    nothing = toy(0), np.zeros([0, UNITS], np.float32), np.zeros([0], np.int32)
    assert search(*nothing, 4, 0.6).tokens.shape == (0, 4, 0)
    assert greedy(*nothing).tokens.shape == (0, 0)


@pytest.mark.parametrize("vocabulary", [1200, 1201, 4096])  # 1201 is prime
def test_large_vocabularies(vocabulary):
    draw = np.random.default_rng(vocabulary)
    values = draw.normal(size=[6, vocabulary]).astype(np.float32)
    values[3, 5:-1] = -INFINITY
    values[4] = values[4].round(1)  # ties
    values[5] = np.sort(values[5])[::-1]
    for k in (1, 4, 90, 700):
        found, tokens = (x.numpy() for x in decoding._top_k(tf.constant(values), tf.constant(k)))
        np.testing.assert_array_equal(found, -np.sort(-values)[:, :k])
        np.testing.assert_array_equal(np.take_along_axis(values, tokens, 1)[:3], found[:3])
        assert ((tokens >= 0) & (tokens < vocabulary)).all()
        for i in (0, 1, 2, 4, 5):
            assert len({*tokens[i]}) == k and (values[i, tokens[i]] == found[i]).all()


def test_a_beam_over_a_large_vocabulary(monkeypatch):
    weights, context = toy(11), inputs(11, 2)
    expected = search(weights, context, [5, 3], 4, 0.6)
    monkeypatch.setattr(decoding, "LARGE", 2)
    step = toy_step(weights, context)
    found = decoding.beam_search(step, toy_state(context), START, END, [5, 3], 4)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


def counted(decode, step, *arguments):
    """What `decode` finds, in a graph, and how many steps it took."""
    calls = tf.Variable(0)

    def counting(state, token):
        calls.assign_add(1)
        return step(state, token)

    return tf.function(lambda: decode(counting, *arguments))(), int(calls)


def test_it_stops_when_all_have_ended():
    lengths = np.int32([2, 6, 4])  # of all sequences of an input: only `end` may follow so many tokens
    last, others = np.float32([[-INFINITY, -INFINITY, -INFINITY, 0, -INFINITY], [-INFINITY, 0, 1, -INFINITY, 2]])

    def step(state, token):
        over = tf.repeat(lengths, tf.shape(state)[0] // 3) <= state
        return tf.where(over[:, None], last, others), state + 1

    state = tf.zeros([3], tf.int32)
    for width in (1, 4):
        found, steps = counted(decoding.beam_search, step, state, START, END, 50, width)
        assert steps == 7 and found.tokens.shape == (3, width, 6) and found.ended.numpy().all()
        np.testing.assert_array_equal(found.lengths, np.repeat(lengths[:, None], width, 1))
    found, steps = counted(decoding.greedy, step, state, START, END, 50)
    assert steps == 7 and found.lengths.numpy().tolist() == [2, 6, 4]


@pytest.mark.parametrize(("limit", "longest"), [(5, 5), ([3, 8, 0], 8), (0, 0)])
@pytest.mark.parametrize("name", ["greedy", "sample", "beam_search"])
def test_never_more_steps_than_the_limit(name, limit, longest):
    context, weights = inputs(0, 3), toy(0, bias_of_end=-INFINITY)
    options = {"greedy": (), "sample": (1,), "beam_search": (4,)}[name]
    arguments = toy_step(weights, context), toy_state(context), START, END, limit, *options
    found, steps = counted(getattr(decoding, name), *arguments)
    assert steps == longest and not found.ended.numpy().any()
    np.testing.assert_array_equal(found.lengths.numpy().reshape(3, -1)[:, 0], np.broadcast_to(limit, [3]))


def assert_frequencies(counts, p):
    assert not counts[p == 0].any()
    counts, p = counts[p > 0], np.float64(p[p > 0])
    assert len(p) == 1 or stats.chisquare(counts, counts.sum() * p / p.sum()).pvalue > 1e-3


def test_a_sampled_chain_has_its_transition_probabilities():
    table = np.random.default_rng(0).normal(0, 1, [SYMBOLS, SYMBOLS]).astype(np.float32)
    table[:, 0] = table[4, 1] = -INFINITY
    step = lambda state, token: (tf.gather(table, token), state)
    found = tf.function(lambda: decoding.sample(step, tf.zeros([400]), START, None, 60, 5))()
    tokens, p = found.tokens.numpy(), np.exp(table) / np.exp(table).sum(1, keepdims=True)
    assert tokens.shape == (400, 60) and (found.lengths.numpy() == 60).all() and not found.ended.numpy().any()
    chains = np.concatenate([np.full([400, 1], START), tokens], 1)
    for before in range(1, SYMBOLS):
        after = chains[:, 1:][chains[:, :-1] == before]
        assert_frequencies(np.bincount(after, minlength=SYMBOLS), p[before])
    expected = np.log(p, where=p > 0, out=np.zeros_like(p))[chains[:, :-1], chains[:, 1:]].sum(1)
    np.testing.assert_allclose(found.log_probabilities, expected, rtol=1e-4)
    assert len({*map(tuple, tokens)}) == 400  # rows are drawn independently,
    first = np.bincount(tokens[:, 0] * SYMBOLS + tokens[:, 1], minlength=SYMBOLS**2)
    assert_frequencies(first, (p[START][:, None] * p).ravel())  # and so are steps


LOGITS = np.float32([1.0, -INFINITY, 2.5, 0.2, 2.0, -1.0, 2.0, 0.9])


def kept(temperature, top_k, top_p):
    """The distribution to draw from, by the definitions."""
    p = np.exp(np.float64(LOGITS) / temperature)
    p /= p.sum()
    best = np.argsort(-p, kind="stable")[: top_k or None]
    q, left = np.zeros_like(p), p[best].sum()
    for token in best:
        if q.sum() < top_p * left - 1e-12:
            q[token] = p[token]
    return q / q.sum()


# temperature, top_k, top_p, and how many tokens that leaves
FILTERS = """1.0 0 1.0 7, 0.5 0 1.0 7, 2.0 0 1.0 7, 1.0 3 1.0 3, 1.0 2 1.0 2, 1.0 50 1.0 7, 1.0 0 0.3 1, 1.0 0 0.65 3,
1.0 0 0.9 5, 3.0 0 0.9 6, 0.7 5 0.8 3, 1.0 1 0.5 1, 1.0 0 0.0 1"""


@pytest.mark.parametrize("options", FILTERS.split(","))
def test_what_is_drawn_from(options):
    temperature, top_k, top_p, size = (float(x) if "." in x else int(x) for x in options.split())
    expected = kept(temperature, top_k, top_p or 1e-9)
    assert np.count_nonzero(expected) == size
    draw = lambda *options: decoding.choose(tf.tile(LOGITS[None], [6000, 1]), [3, 4], *options).numpy()
    tokens = draw(temperature, top_k, top_p)
    assert_frequencies(np.bincount(tokens, minlength=8), expected)
    np.testing.assert_array_equal(draw(*map(tf.constant, (temperature, top_k, top_p))), tokens)


def test_the_seed_decides():
    weights, context, limits = toy(0, -2.0), inputs(0, 5), [30] * 5
    draw = lambda *seed: sample(weights, context, limits, seed, 1.0, 0, 1.0)
    first, again = draw(1, 2), draw(1, 2)
    np.testing.assert_array_equal(first.tokens, again.tokens)
    np.testing.assert_array_equal(first.log_probabilities, again.log_probabilities)
    for other in ((1, 3), (2, 2), (2, 1), (0, 0), (-1, 2)):
        assert draw(*other).tokens.tolist() != first.tokens.tolist()
    few = sample(weights, context[:2], [30, 4], (1, 2), 1.0, 0, 1.0)  # a row's noise is its own
    np.testing.assert_array_equal(few.tokens[0][: few.lengths[0]], first.tokens[0][: first.lengths[0]])
    np.testing.assert_array_equal(few.tokens[1][: few.lengths[1]], first.tokens[1][: few.lengths[1]])
    noise = lambda state, token: (tf.zeros([1, 50]), state)
    one, same, next_one = (
        decoding.sample(noise, tf.zeros([1]), START, None, 20, seed).tokens[0].numpy() for seed in (6, [6, 6], 7)
    )
    assert one.tolist() == same.tolist() and (one[1:] == next_one[:-1]).sum() < 5  # not the same, a step apart


def test_sampled_sequences_are_scored_by_the_decoder():
    weights, context, limits = toy(3, -1.0), inputs(3, 12), [8] * 12
    found = sample(weights, context, limits, (5, 5), 0.7, 3, 0.9)
    assert found.ended.any() and not found.ended.all()
    for i in range(12):
        tokens, expected = found.tokens[i, : found.lengths[i]].tolist(), 0.0
        for n, token in enumerate([*tokens, END] if found.ended[i] else tokens):
            expected += next_log_probabilities(weights, context[i], tokens[:n])[token]
        assert found.log_probabilities[i] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_temperature_zero_is_greedy(seed):
    weights, context, limits = toy(seed), inputs(seed, 5), [15] * 5
    weights[2] = weights[2].round()
    weights[2][:, 4] = weights[2][:, 1]  # two symbols are equals
    found = sample(weights, context, limits, (seed, 1), 0.0, 0, 1.0)
    best = greedy(weights, context, limits)
    np.testing.assert_array_equal(found.tokens, best.tokens)
    np.testing.assert_array_equal(found.log_probabilities, best.log_probabilities)


def test_going_on_from_a_state():
    weights, context = toy(4), inputs(4, 3)
    step = toy_step(weights, context)
    whole = decoding.greedy(step, toy_state(context), START, None, 10)
    first = decoding.greedy(step, toy_state(context), START, None, 4)
    rest = decoding.greedy(step, first.state, first.tokens[:, -1], None, 6)
    np.testing.assert_array_equal(whole.tokens, np.concatenate([first.tokens, rest.tokens], 1))
    np.testing.assert_allclose(whole.log_probabilities, first.log_probabilities + rest.log_probabilities, rtol=1e-5)
    np.testing.assert_allclose(whole.state["h"], rest.state["h"], rtol=1e-5)
    assert (whole.tokens.numpy() == END).any()
    draw = lambda state, token, length, first: decoding.sample(step, state, token, None, length, 9, 0.9, 3, 0.95, first)
    whole, first = (draw(toy_state(context), START, length, 0) for length in (10, 4))
    rest = draw(first.state, first.tokens[:, -1], 6, tf.constant(4))  # one seed for both: a step's number decides
    np.testing.assert_array_equal(whole.tokens, np.concatenate([first.tokens, rest.tokens], 1))


def test_half_precision():
    weights, context = toy(8), inputs(8, 3)

    def rounded(dtype):
        def step(state, token):
            logits, state = toy_step(weights, context)(state, token)
            return tf.cast(tf.cast(logits, tf.float16), dtype), state

        return step

    for decode in (lambda *a: decoding.beam_search(*a, 4), decoding.greedy, lambda *a: decoding.sample(*a, 1)):
        found, expected = (decode(rounded(x), toy_state(context), START, END, 6) for x in (tf.float16, tf.float32))
        assert found.log_probabilities.dtype == tf.float32
        for x, y in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
            np.testing.assert_array_equal(x, y)


def test_a_dead_end():
    table = np.float32([[0, 1, 2, 3, 4]] * SYMBOLS)
    table[:, 0], table[4] = -INFINITY, -INFINITY  # nothing may follow 4, the most probable symbol
    step = lambda state, token: (tf.gather(table, token), state)
    for decode in (decoding.greedy, lambda *a: decoding.sample(*a, 1, 0.0)):
        found, steps = counted(decode, step, tf.zeros([2]), [2, 4], END, 30)
        assert steps == 2
        assert found.lengths.numpy().tolist() == [0, 0] and (found.log_probabilities.numpy() == -INFINITY).all()
    found = decoding.beam_search(step, tf.zeros([2]), [2, 4], END, 2, 10, 0.0)
    p = np.log(np.exp([1, 2, 3, 4]) / np.exp([1, 2, 3, 4]).sum())
    expected = sorted([p[2], *(a + b for a in p[:2] for b in p)], reverse=True)
    np.testing.assert_allclose(found.scores[0], [*expected, -INFINITY], rtol=1e-5)
    assert (found.scores[1].numpy() == -INFINITY).all() and not found.lengths[1].numpy().any()


def test_a_saved_model_with_options(tmp_path):
    weights, context = toy(9), inputs(9, 3)

    class Decoder(tf.Module):
        def __init__(self):
            self.weights = [tf.Variable(w) for w in weights]

        @tf.function(input_signature=[INPUTS, WHOLE, NUMBER])
        def beam(self, context, width, alpha):
            limits = tf.fill([tf.shape(context)[0]], 7)
            step = toy_step(self.weights, context)
            return decoding.beam_search(step, toy_state(context), START, END, limits, width, alpha)._asdict()

        @tf.function(input_signature=[INPUTS, SEED, NUMBER, WHOLE, NUMBER])
        def sample(self, context, *options):
            step = toy_step(self.weights, context)
            return decoding.sample(step, toy_state(context), START, END, 7, *options)._asdict()

    tf.saved_model.save(Decoder(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for width, alpha in ((1, 0.6), (5, 0.0), (12, 1.0)):
        found, expected = loaded.beam(context, width, alpha), search(weights, context, [7] * 3, width, alpha)
        for name, values in expected._asdict().items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
    found = loaded.sample(context, [1, 2], 0.8, 3, 0.9)
    expected = sample(weights, context, [7] * 3, (1, 2), 0.8, 3, 0.9)
    np.testing.assert_array_equal(found["tokens"], expected.tokens)
