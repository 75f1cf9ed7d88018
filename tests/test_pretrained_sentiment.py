"""The shipped sentiment model, on short reviews that no corpus holds."""

import numpy as np
import pytest

import zoo
from zoo import serving

POSITIVE = [
    "What a joy this film is from the first scene to the last.",
    "I went in with low expectations and came out with tears in my eyes. Beautiful.",
    "The plot is nothing new, but the cast is so charming that I didn't mind at all.",
    "One of the best thrillers of the decade; I could not look away.",
    "Not a single dull moment in two and a half hours.",
    "My only complaint is that it wasn't longer.",
    "A quiet, tender story told with great skill. I highly recommend it.",
    "Hilarious! My whole family laughed until it hurt.",
    "The critics were wrong about this one: it is a small masterpiece.",
    "Superb photography, a wonderful score and a script that respects its audience.",
]
NEGATIVE = [
    "This is a terrible product.",
    "Two hours of my life that I will never get back.",
    "The trailer was great. The movie was not.",
    "I really wanted to like it, but the script is lazy and the jokes fall flat.",
    "Boring, predictable and far too long.",
    "Not even a cast this good can save such an awful screenplay.",
    "The acting is wooden and the special effects look cheap.",
    "It isn't funny, it isn't scary, and it makes no sense at all.",
    "Don't waste your money on this mess.",
    "I fell asleep after half an hour, and I did not miss anything.",
]


@pytest.fixture(scope="module")
def model():
    return zoo.load("sentiment")


def test_at_least_eighteen_of_twenty_short_reviews_are_read_right(model):
    answers = [answer["label"] for answer in model(POSITIVE + NEGATIVE)]
    right = sum(a == b for a, b in zip(answers, ["positive"] * 10 + ["negative"] * 10, strict=True))
    assert right >= 18, list(zip(answers, POSITIVE + NEGATIVE, strict=True))


def test_answers_are_as_documented(model):
    (answer,) = model(["This is a terrible product."])
    assert answer["label"] == "negative"
    assert 0.5 < answer["probability"] <= 1
    assert model("This is a terrible product.") == answer


@pytest.mark.parametrize("text", ["", "   ", "\U0001f600", b"\xff\xfe\x00", "word " * 100_000])
def test_odd_inputs_get_an_answer(model, text):
    (answer,) = model([text])
    assert answer["label"] in ("negative", "positive")
    assert np.isfinite(answer["probability"])


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    together = model(POSITIVE + NEGATIVE + ["word " * 300])
    alone = [model(review) for review in POSITIVE]
    for a, b in zip(together, alone, strict=False):
        assert a["probability"] == pytest.approx(b["probability"], abs=1e-5)


def test_the_model_is_small_and_its_card_complete(model):
    assert sum(size for size, _ in model.card["files"].values()) <= 24_000_000
    report = model.card["metrics"]["test"]["report"]
    assert report["examples"] == 25_000
    assert report["accuracy"] >= 0.92
    card = (model.path / "MODEL_CARD.md").read_text()
    for fact in (f"{report['accuracy']:.4f}", model.card["data"]["licence"], model.card["metrics"]["test"]["command"]):
        assert fact in card


def test_it_loads_with_nothing_but_tensorflow(script):
    path = serving.locate("sentiment")
    code = (
        "import sys, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(path)!r})\n"
        "out = model.signatures['serving_default'](tf.constant(['A wonderful film.', 'An awful film.']))\n"
        "assert out['label'].numpy().tolist() == [b'positive', b'negative'], out\n"
        "assert 'zoo' not in sys.modules\n"
    )
    script(code)
