"""What is told of a text's likelihood: the interval, what is copied, and the picture."""

import itertools
import math
import random

import numpy as np
import pytest
from PIL import Image

from zoo import plots, text_likelihood
from zoo.text_likelihood import longest_shared


class Told:
    """A model whose log-probabilities are given, and which writes one text."""

    symbols = frozenset("ab \n")

    def __init__(self, log_p, written="ab"):
        self.log_p, self.written = np.asarray(log_p, np.float32), written

    def score_long(self, text, progress=None):
        return self.log_p, np.arange(len(self.log_p)) % 4 == 0

    def generate(self, prompt, length, temperature, seed):
        self.asked = prompt, length, temperature, seed
        return prompt + (self.written * length)[:length]


def report(log_p, train="", text=None, **options):
    return text_likelihood.report(Told(log_p, **options), "a" * len(log_p) if text is None else text, train)


# The interval ---------------------------------------------------------------------------------------------------------


def test_measures():
    nats = np.random.default_rng(0).exponential(1.3, 5_000).astype(np.float32)
    found = report(-nats)
    assert found["nats_per_character"] == pytest.approx(float(nats.mean(dtype=float)), rel=1e-6)
    assert found["bits_per_character"] == pytest.approx(float(np.log2(np.exp(nats)).mean()), rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats.mean()), rel=1e-5)
    assert (found["accuracy"], found["characters"], found["unknown"]) == (0.25, 5_000, 0)
    assert found["nats_95"][0] < found["nats_per_character"] < found["nats_95"][1]
    assert [bits for _, bits in found["_surprise"]] == pytest.approx((nats[:400] / math.log(2)).tolist())


def test_the_interval_of_blocks_that_differ_is_that_of_their_means():
    """Neighbours are alike: a block's level is drawn once; so the error is that of so many blocks, not characters."""
    levels = np.random.default_rng(1).normal(2.0, 0.3, 300)
    low, high = report(-np.repeat(levels, 1_000))["nats_95"]
    error = levels.std(ddof=1) / math.sqrt(300)
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    assert (high + low) / 2 == pytest.approx(levels.mean(), abs=0.3 * error)


def test_the_interval_of_independent_characters_is_the_normal_one():
    nats = np.random.default_rng(2).normal(2.0, 1.0, 400_000)
    low, high = report(-nats)["nats_95"]
    assert (high - low) / 2 == pytest.approx(1.96 / math.sqrt(400_000), rel=0.15)


@pytest.mark.parametrize("count", [0, 1, 999, 1_000, 1_999])
def test_one_block_has_no_width(count):
    found = report(np.full(count, -1.5))
    assert found["nats_95"] == pytest.approx([1.5 * (count > 0)] * 2)


def test_the_same_figures_each_time():
    nats = np.random.default_rng(3).normal(2.0, 1.0, 20_000)
    assert report(-nats)["nats_95"] == report(-nats)["nats_95"]


# What is copied -------------------------------------------------------------------------------------------------------


def brute_force(text, other):
    spans = itertools.combinations(range(len(text) + 1), 2)
    return max((b - a for a, b in spans if text[a:b] in other), default=0)


@pytest.mark.parametrize("seed", range(20))
def test_the_longest_shared_run_is_that_of_all_spans(seed):
    draw = random.Random(seed)
    text, other = ("".join(draw.choices("abc"[: 2 + seed % 2], k=draw.randint(0, 40))) for _ in range(2))
    assert longest_shared(text, other) == brute_force(text, other)


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [("", "", 0), ("abc", "", 0), ("", "abc", 0), ("abc", "abc", 3), ("xabc", "abcx", 3), ("abc", "xyz", 0)],
)
def test_shared_runs_at_the_edges(text, other, expected):
    assert longest_shared(text, other) == expected


def test_what_is_copied_is_told_of_the_sample_without_its_opening():
    """The opening is of the text that is scored: what of it training has too, is no copy of the model's."""
    opening = "a line of\nab ab ab ab b\n"
    model = Told(-np.ones(40), written="ab\n")
    found = text_likelihood.report(model, opening + "b" * 16, opening * 3)
    prompt, length, temperature, _ = model.asked
    assert prompt == "".join(c for c in opening if c in model.symbols)  # of what it knows
    assert (length, temperature) == (2_000, 0.8)
    assert found["longest_copied"] == brute_force("ab\n" * 9, opening * 3)
    assert found["unknown"] == sum(c not in model.symbols for c in opening)
    assert found["_sample"].startswith(prompt + "ab\nab\n") and len(found["_sample"]) == len(prompt) + 400
    assert "longest_copied" not in report(-np.ones(40))


# The picture ----------------------------------------------------------------------------------------------------------


def pixels(path):
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(float)


@pytest.mark.parametrize(
    "text", ["", "a", "\n\n", "one\ntwo $x_1$ \\frac{1}{2} \t\0\u0301 né \u4e2d \U0001d11e", "word " * 80]
)
def test_a_picture_of_any_text(tmp_path, text):
    draw = random.Random(0)
    path = plots.surprise([(c, draw.uniform(0, 12)) for c in text], tmp_path / "surprise.png")
    image = pixels(path)
    assert path == tmp_path / "surprise.png" and min(image.shape[:2]) > 30


def test_the_more_surprising_is_darker(tmp_path):
    spread = []
    for bits in (0.0, 4.0, 8.0, 30.0):
        image = pixels(plots.surprise([(" ", bits)] * 256, tmp_path / "surprise.png"))
        spread.append(image[40:-40, 100:-100].mean())
    assert spread[0] > spread[1] + 20 > spread[2] + 40
    assert spread[3] == pytest.approx(spread[2])


def test_lines_break_where_the_text_does(tmp_path):
    height = lambda text: pixels(plots.surprise([(c, 1.0) for c in text], tmp_path / "surprise.png")).shape[0]
    assert height("a" * 64) == height("a") < height("a" * 65) == height("a\na") < height("a\na\na")
