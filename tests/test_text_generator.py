"""What a character model says and scores through its SavedModel, and what it refuses.

Held against the LSTM's equations in NumPy, in float64; of weights drawn at random, as nothing here needs to make sense.
"""

import dataclasses
import itertools
import random

import numpy as np
import pytest
import tensorflow as tf

from tasks.language import START, UNKNOWN, Config, Language
from zoo import generation, serving, text_generator, training
from zoo.errors import ZooError
from zoo.generation import Session
from zoo.text_generator import TextGenerator

UNITS = 24
NAMES = ["Ana", "Bob", "Zoë", "Öre"]
VERBS = ["sees", "asks", "likes", "feeds"]
ENDS = [".", "!", "?", " \U0001d11e"]  # a clef, of four bytes


def corpus(count: int, seed: int = 0) -> str:
    draw, text = random.Random(seed), ""
    while len(text) < count:
        text += f"{draw.choice(NAMES)} {draw.choice(VERBS)} {draw.choice(NAMES)}{draw.choice(ENDS)}\n"
    return text[:count]


TEXT = corpus(20_000)


@pytest.fixture(scope="module")
def task():
    return Language(Config(units=UNITS, depth=2, embedding_dim=12, cache=0), {"symbols": sorted(set(TEXT))})


@pytest.fixture(scope="module")
def network(task):
    draw, network = np.random.default_rng(4), task.build()
    for weight in network.weights:
        weight.assign(draw.normal(0, 0.6, weight.shape))
    return network


def served(task, network, folder):
    serving.write_saved_model(task.signatures(network), task.resources, folder)
    return TextGenerator(folder, {"symbols": task.assets["symbols"]}, tf.saved_model.load(str(folder)))


@pytest.fixture(scope="module")
def model(task, network, tmp_path_factory):
    return served(task, network, tmp_path_factory.mktemp("model"))


# The reference --------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Reference:
    """The equations, character by character."""

    def __init__(self, path, symbols, config: Config):
        """Of what `zoo.training.save_weights` wrote, with a network as here."""
        self.config = config
        with np.load(path) as arrays:
            weights = [arrays[f"arr_{i}"].astype(float) for i in range(len(arrays))]
        self.table, *layers, self.kernel, self.bias = weights
        self.layers = [layers[:3], layers[3:]]
        self.symbols = symbols

    def ids(self, text):
        return [2 + self.symbols.index(c) if c in self.symbols else UNKNOWN for c in text]

    def after(self, text):
        """The log-probabilities `[characters + 1, 2 + symbols]` of what follows each beginning of a text."""
        states, found, past = [[np.zeros(UNITS)] * 2 for _ in self.layers], [], []
        for token in [START, *self.ids(text)]:
            x, new = self.table[token], []
            for (kernel, recurrent, bias), (h, c) in zip(self.layers, states, strict=True):
                i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                x = sigmoid(o) * np.tanh(c)
                new.append((x, c))
            states, logits = new, x @ self.kernel + self.bias
            p = np.exp(logits) / np.exp(logits).sum()
            if self.config.cache:
                past = [*past[:-1], (past[-1][0], token)] if past else []
                p = self.looked_up(p, x, past[-self.config.cache :])
                past.append((x, None))
            found.append(np.log(p))
        return np.array(found)

    def looked_up(self, p, x, past):
        """The network's probabilities and those of what came after outputs like x: pairs of an output and a token."""
        cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        c = self.config
        likes = [np.exp(c.cache_sharpness * (cosine(x, y) - c.cache_likeness)) for y, _ in past]
        weights = c.cache_share * np.array(likes) / (1 + sum(likes))
        p = (1 - weights.sum()) * p
        for weight, (_, token) in zip(weights, past, strict=True):
            p[token] += weight
        return p

    def score(self, text):
        return self.after(text)[np.arange(len(text)), self.ids(text)]

    def next(self, text):
        """The probabilities of what is said next, `[symbols]`: neither START nor an unknown character is."""
        p = np.exp(self.after(text)[-1][2:])
        return p / p.sum()

    def most_probable(self, text, count):
        for _ in range(count):
            text += self.symbols[self.next(text).argmax()]
        return text


@pytest.fixture(scope="module")
def reference(task, network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "best.npz"
    training.save_weights(network, path)
    return Reference(path, task.assets["symbols"], task.config)


CACHE = dict(cache=30, cache_share=0.7, cache_sharpness=8.0, cache_likeness=0.6)


@pytest.fixture(scope="module")
def cached(task, network, reference, tmp_path_factory):
    """A model with a cache shorter than the texts, and its equations."""
    task = Language(dataclasses.replace(task.config, **CACHE), task.assets)
    other = task.build()
    other.set_weights(network.get_weights())
    path = tmp_path_factory.mktemp("weights") / "best.npz"
    training.save_weights(other, path)
    return served(task, other, tmp_path_factory.mktemp("model")), Reference(path, task.assets["symbols"], task.config)


def test_a_model_with_a_cache_scores_by_it(cached, model):
    found, reference = cached
    text = TEXT[:200]
    np.testing.assert_allclose(found.score(text), reference.score(text), atol=2e-4)
    assert np.abs(found.score(text) - model.score(text)).max() > 0.1
    session = found.session(text[:70])
    np.testing.assert_allclose(session.read(text[70:]), reference.score(text)[70:], atol=2e-4)


def test_a_model_with_a_cache_writes_by_it(cached):
    """More than the cache holds, and in pieces."""
    found, reference = cached
    assert found.generate("Ana ", 50, temperature=0) == reference.most_probable("Ana ", 50)
    options = dict(length=50, temperature=0.9, seed=2)
    text = found.generate("Ana sees", **options)
    assert "Ana sees" + "".join(found.stream("Ana sees", piece=7, **options)) == text
    session = found.session("Ana ")
    session.write(50, temperature=0)  # what was written is in the cache, too
    after = reference.most_probable("Ana ", 50)
    np.testing.assert_allclose(session.read("Bob asks"), reference.score(after + "Bob asks")[len(after) :], atol=2e-4)


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", "Z", "Ana sees Zoë \U0001d11e\nBob "])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"temperature": 3.0}, {"top_k": 3}, {"top_p": 0.7}])
def test_the_prompt_and_so_many_characters_that_it_knows(model, prompt, options):
    for length in (0, 1, 77):
        text = model.generate(prompt, length, seed=1, **options)
        assert text.startswith(prompt) and len(text) == len(prompt) + length
        assert set(text) <= set(TEXT)


def test_the_seed_decides(model):
    texts = [model.generate("Ana ", 60, seed=seed) for seed in (1, 1, 2, -1, 2**40, 2**40)]
    assert texts[0] == texts[1] and texts[4] == texts[5] and len(set(texts)) == 4
    assert model.generate("Ana ", 60) != model.generate("Ana ", 60)  # without one, another each time


@pytest.mark.parametrize("options", [{"temperature": 0.8}, {"top_k": 5, "top_p": 0.9}, {"temperature": 0}])
def test_pieces_are_the_whole(model, options):
    """A stream in pieces of any size, and a session's reading and writing."""
    prompt, length = "Öre likes ", 50
    whole = model.generate(prompt, length, seed=5, **options)
    for piece in (1, 7, 16, 50, 99):
        assert prompt + "".join(model.stream(prompt, length, seed=5, piece=piece, **options)) == whole
    endless = model.stream(prompt, seed=5, **options)
    assert prompt + "".join(itertools.chain.from_iterable(itertools.islice(endless, 4)))[:length] == whole
    session = model.session()
    session.read(prompt[:4]), session.read(""), session.read(prompt[4:])
    assert prompt + "".join(session.write(n, seed=5, **options) for n in (3, 0, 40, 7)) == whole


def test_what_it_has_written_counts_as_read(model):
    session = model.session("Ana sees ")
    written = session.write(30, seed=3)
    np.testing.assert_allclose(session.read("Bob.\n"), model.score(f"Ana sees {written}Bob.\n")[-5:], atol=1e-5)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6}, {"top_p": 0}])
@pytest.mark.parametrize("prompt", ["", "Bob asks "])
def test_the_most_probable_text(model, reference, prompt, options):
    for seed in (1, 2):
        assert model.generate(prompt, 40, seed=seed, **options) == reference.most_probable(prompt, 40)


def drawn(model, prompt, draws, **options):
    """How often each symbol comes after a prompt, of so many draws of each of 10 seeds."""
    session = Session(model, draws)
    if prompt:
        session.call("read", text=tf.constant([prompt] * draws))
    counts = dict.fromkeys(model.card["symbols"], 0)
    state, last = session.state, session.last
    for seed in range(10):
        session.state, session.last, session.drawn = state, last, 0
        given = dict(length=1, temperature=1.0, top_k=0, top_p=1.0, seed=seed) | options
        for text in session.draw(1, generation.draw_options(**given))["text"]:
            counts[text.decode()] += 1
    return np.array(list(counts.values()))


def misfit(counts, p):
    """The p-value of a chi-square test; what is expected less than 5 times is taken together."""
    from scipy import stats

    expected = counts.sum() * (p / p.sum())
    rare = expected < 5
    groups = [[*each[~rare], each[rare].sum()] for each in (counts, expected)]
    return stats.chisquare(*(group[: len(group) - (groups[1][-1] == 0)] for group in groups)).pvalue


@pytest.mark.parametrize("prompt", ["", "Ana", "Bob feeds "])
def test_draws_are_as_frequent_as_their_scores_say(model, prompt):
    p = np.exp([float(model.score(prompt + symbol)[-1]) for symbol in model.card["symbols"]])
    counts = drawn(model, prompt, 400)
    assert misfit(counts, p) > 1e-3
    assert misfit(np.roll(counts, 1), p) < 1e-6  # the test can tell


def test_temperature_sharpens_and_nuclei_cut_off(model, reference):
    prompt, p = "Zoë ", reference.next("Zoë ")
    assert misfit(drawn(model, prompt, 400, temperature=0.5), p**2) > 1e-3
    best = np.sort(p)[::-1]
    third, nucleus = p >= best[2], p >= best[np.searchsorted(np.cumsum(best), 0.8)]
    for kept, options in ((third, {"top_k": 3}), (nucleus, {"top_p": 0.8})):
        counts = drawn(model, prompt, 400, **options)
        assert 1 < kept.sum() < len(p) and not counts[~kept].any()
        assert misfit(counts, np.where(kept, p, 0)) > 1e-3


def test_lists_and_bytes(model):
    prompts = ["Ana ", "", "Zoë "]
    assert model(prompts) == [{"text": model.generate(p, 200, temperature=0.8, seed=0)} for p in prompts]
    assert model("Ana ", length=5, seed=2) == {"text": model.generate("Ana ", 5, temperature=0.8, seed=2)}
    assert model("Zoë ".encode(), length=5) == model("Zoë ", length=5)


# Scores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 40, 2048, 2049, 2300])
def test_scores_are_those_of_the_equations(model, reference, length):
    text = corpus(length, seed=9)
    found = model.score(text)
    assert found.dtype == np.float32 and found.shape == (length,)
    np.testing.assert_allclose(found, reference.score(text), atol=2e-4)


def test_a_long_prompt_is_read_to_its_end(model, reference):
    prompt = corpus(generation.READ + 500, seed=4)
    written = model.generate(prompt, 12, temperature=0)
    assert written == reference.most_probable(prompt, 12)


@pytest.mark.parametrize("chunks", [1, 3, 64])
@pytest.mark.parametrize("read", [5, 2048])
def test_a_score_is_the_sum_over_a_session(model, monkeypatch, chunks, read):
    text = TEXT[:200]
    whole = model.score(text)
    monkeypatch.setattr(generation, "READ", read)
    session = model.session()
    parts = [session.read("".join(part)) for part in np.array_split(list(text), chunks)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert sum(float(part.sum()) for part in parts) == pytest.approx(float(whole.sum()), rel=1e-5)


def test_an_empty_text(model):
    assert model.score("").shape == (0,) and model.score_long("")[0].shape == (0,)
    assert model.session("").read("").tolist() == []
    assert Language.evaluate(model, tf.data.Dataset.from_tensor_slices({"text": [""]}))["characters"] == 0


@pytest.mark.parametrize("count", [1, 31, 32, 33, 500])
def test_a_text_in_two_parts_has_the_same_scores(model, monkeypatch, count):
    """The second part is read from the beginning of the text, too."""
    monkeypatch.setattr(text_generator, "WARM", -(-count // 2))
    text = corpus(count, seed=2)
    ticks = []
    log_p, right = model.score_long(text, lambda *tick: ticks.append(tick))
    np.testing.assert_allclose(log_p, model.score(text), atol=1e-5)
    assert ticks[-1][0] == ticks[-1][1]
    if count < 50:
        expected = [model.generate(text[:i], 1, temperature=0)[-1] == text[i] for i in range(count)]
        assert right.tolist() == expected
    monkeypatch.setattr(generation, "READ", 20)
    np.testing.assert_allclose(model.score_long(text)[0], log_p, atol=1e-5)


def test_unknown_characters_of_a_long_text_are_scored_as_unknown(model, reference):
    text = "Ana sees \u4e2d and \U0010ffff.\nBob asks Zoë!\n"
    np.testing.assert_allclose(model.score_long(text)[0], reference.score(text), atol=2e-4)


def test_half_precision_scores_alike(task, network, model, tmp_path):
    """Weights stored as float16, and as many bytes fewer."""
    halved = Language(dataclasses.replace(task.config, half=True), task.assets)
    half = served(halved, network, tmp_path)
    np.testing.assert_allclose(half.score(TEXT[:300]), model.score(TEXT[:300]), atol=0.05)
    assert len(half.generate("Ana ", 20, seed=1)) == 24
    size = lambda folder: (folder / "variables/variables.data-00000-of-00001").stat().st_size
    assert size(tmp_path) < 0.6 * size(model.path)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["generate", "stream", "session", "score", "read"])
def test_unknown_characters_are_named_with_their_place(model, call):
    function = model.session().read if call == "read" else getattr(model, call)
    with pytest.raises(ZooError) as error:
        function("Ana \u4e2d Zoë X\u4e2d")
    line = str(error.value)
    assert f"'\u4e2d' at character 4 is not among the {len(set(TEXT))} symbols" in line and "nor 'X'" in line
    assert "\n" not in line


@pytest.mark.parametrize("text", [7, None, ["Ana"]])
def test_what_is_no_text(model, text):
    with pytest.raises(ZooError, match="expected a string, got"):
        model.score(text)


BAD = [
    ({"length": -1}, "length=-1: expected a whole number from 0"),
    ({"length": 2.5}, "length=2.5: expected a whole number"),
    ({"length": "9"}, "length='9': expected a whole number"),
    ({"length": 2**31}, "length=2147483648"),
    ({"temperature": -0.1}, "temperature=-0.1: expected a number from 0"),
    ({"temperature": float("nan")}, "temperature=nan"),
    ({"temperature": float("inf")}, "temperature=inf"),
    ({"temperature": "hot"}, "temperature='hot'"),
    ({"top_k": -1}, "top_k=-1: expected a whole number from 0"),
    ({"top_k": 1.0}, "top_k=1.0"),
    ({"top_p": -0.1}, "top_p=-0.1: expected a number from 0 to 1"),
    ({"top_p": 1.1}, "top_p=1.1: expected a number from 0 to 1"),
    ({"seed": "x"}, "seed='x': expected a whole number"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_refused(model, options, message):
    for call in (model.generate, model.stream, model.session().write):
        with pytest.raises(ZooError) as error:
            call(**options)
        assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("piece", [0, -1, 2.0, "a"])
def test_bad_pieces_are_refused(model, piece):
    with pytest.raises(ZooError, match="expected a whole number, at least 1"):
        model.stream("Ana", 5, piece=piece)
