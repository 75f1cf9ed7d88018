"""The shipped character model, on text that no play holds."""

import numpy as np
import pytest

import zoo

SCENE = """MORVANE:
My lord, the ships are burning in the bay.

TIBERAND:
Then let them burn, Morvane. Where is the queen?

MORVANE:
"""


@pytest.fixture(scope="module")
def model():
    return zoo.load("language")


def test_it_prefers_sentences_to_their_words_in_another_order(model):
    sentence = "My lord, the ships are burning in the bay."
    assert model.score(sentence).sum() > 20 + model.score("The bay my in lord are, burning ships the.").sum()
    assert model.score(sentence).mean() > 1 + model.score(sentence[::-1]).mean()


def test_a_name_that_it_never_read_is_known_when_it_comes_again(model):
    name = len("MORVANE:")
    scores = model.score(SCENE)
    assert scores[-name - 1 :].sum() > 10 + scores[:name].sum()


def test_it_writes_a_scene(model):
    """Speakers in capitals, each on a line, and then what they say; mostly in words that it has read."""
    text = model.generate("ROMEO:\n", length=1000, temperature=0.8, seed=1)
    speakers = [line for line in text.split("\n") if line.isupper() and line.endswith(":")]
    assert text.startswith("ROMEO:\n") and len(text) == 1007 and len(speakers) >= 5
    assert text == model.generate("ROMEO:\n", length=1000, temperature=0.8, seed=1)
    common = {"the", "and", "to", "I", "of", "my", "you", "a", "that", "not", "with", "is", "your", "me", "for"}
    assert np.mean([word in common for word in text.split()]) > 0.15


def test_its_card_says_how_good_it_is(model):
    (report,) = (part["report"] for part in model.card["metrics"].values())
    assert report["nats_per_character"] < 1.4697  # nanoGPT's
    assert model.card["bytes"] < 16e6
