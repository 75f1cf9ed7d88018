"""The shipped captioner, on photographs that come with matplotlib and scikit-learn."""

import io
import re

import matplotlib.cbook
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

import zoo
from zoo import serving


@pytest.fixture(scope="module")
def model():
    return zoo.load("captioning")


@pytest.fixture(scope="module")
def portrait():
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return np.asarray(Image.open(file))


def test_a_person_is_seen(model, portrait):
    assert re.search(r"\b(wo)?man\b|\bperson\b|\bgirl\b|\bboy\b", model(portrait)["text"]), model(portrait)


def test_another_picture_another_caption(model, portrait):
    temple = load_sample_image("china.jpg")
    answers = model([portrait, temple, portrait])
    assert answers[0] == answers[2] and answers[0]["text"] != answers[1]["text"]
    assert all(3 <= len(answer["text"].split()) <= 25 and answer["score"] < 0 for answer in answers)


def test_of_any_size_and_kind(model, portrait):
    small = portrait[::4, ::4]
    for picture in (small, small[..., :1], small[..., 0], portrait[:1, :1], np.full([30, 900, 3], 255, np.uint8)):
        assert model(picture)["text"]
    data = io.BytesIO()
    Image.fromarray(small).save(data, "PNG")
    assert model(data.getvalue())["text"] == model(small)["text"]


def test_options(model, portrait):
    answer = model(portrait, beam_width=10)
    texts = [answer["text"], *(other["text"] for other in answer["alternatives"])]
    assert 3 <= len(texts) == len(set(texts)) <= 10
    assert len(model(portrait, max_length=4)["text"].split()) <= 4
    assert model(portrait, beam_width=1)["alternatives"] == []


def test_it_looks_somewhere_for_every_word(model, portrait):
    words, weights = model.attention(portrait)
    assert " ".join(words[:-1]) == model(portrait)["text"] and words[-1] == "</s>"
    np.testing.assert_allclose(weights.sum((1, 2)), 1, atol=1e-4)
    assert weights.shape == (len(words), 7, 7) and weights.max() > 2 / 49


def test_the_model_is_small_and_its_card_complete(model):
    assert sum(size for size, _ in model.card["files"].values()) <= 24_000_000
    metrics = model.card["metrics"]
    report = metrics["test"]["report"]
    assert report["pictures"] == 1_000 and report["bleu_4"] >= 18
    assert {row["search"] for row in report["searches"]} == {"greedy", "beam 3", "beam 5"}
    assert not [key for key in report if key.startswith("_")]
    assert model.card["training"]["test_looked_at"] == "once, for this version"
    card = (model.path / "MODEL_CARD.md").read_text()
    for fact in (f"{report['cider']:.4f}", model.card["data"]["licence"]):
        assert fact in card
    assert metrics["dev"]["report"].keys() == report.keys()


def test_it_loads_with_nothing_but_tensorflow(script):
    code = (
        "import sys, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(serving.locate('captioning'))!r})\n"
        "data = tf.io.encode_jpeg(tf.fill([60, 80, 3], tf.constant(200, tf.uint8)))\n"
        "out = model.signatures['files'](tf.stack([data, data]))\n"
        "assert len(out['text'].numpy()[1]) > 3, out\n"
        "assert not {'zoo', 'sentencepiece'} & set(sys.modules)\n"
    )
    script(code)
