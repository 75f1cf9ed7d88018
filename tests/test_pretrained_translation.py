"""The shipped translator, on sentences that no corpus holds."""

import pytest
from sacrebleu.metrics import CHRF

import zoo
from zoo import serving

EXPECTED = {
    "A dog runs through the deep snow.": "Ein Hund läuft durch den tiefen Schnee.",
    "Two children are playing in the sand.": "Zwei Kinder spielen im Sand.",
    "A woman in a red dress is reading a book.": "Eine Frau in einem roten Kleid liest ein Buch.",
    "Three men are sitting at a table and drinking beer.": "Drei Männer sitzen an einem Tisch und trinken Bier.",
    "The girl jumps into the water.": "Das Mädchen springt ins Wasser.",
}


@pytest.fixture(scope="module")
def model():
    return zoo.load("translation")


def test_plain_sentences_come_out_in_german(model):
    found = [answer["text"] for answer in model(list(EXPECTED))]
    assert CHRF().corpus_score(found, [list(EXPECTED.values())]).score > 65, found
    assert sum(map(str.__eq__, found, EXPECTED.values())) >= 2, found


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    together = model([*EXPECTED, "word " * 300])
    for text, answer in zip(EXPECTED, together, strict=False):
        alone = model(text)
        assert alone["text"] == answer["text"] and alone["score"] == pytest.approx(answer["score"], abs=1e-3)


def test_options(model):
    text = "A woman in a red dress is reading a book on a bench."
    answer = model(text, beam_width=10)
    texts = [answer["text"], *(other["text"] for other in answer["alternatives"])]
    assert 5 <= len(texts) == len(set(texts)) <= 10 and answer["score"] < 0
    assert len(model(text, max_length=4)["text"].split()) <= 4
    assert model(text, beam_width=1)["alternatives"] == []


def test_what_it_cannot_read_is_handed_back(model):
    answer = model("Мама мыла раму")
    assert answer["text"] == "Мама мыла раму" and answer["unknown"] > 0


def test_attention_finds_the_noun(model):
    source, target, weights = model.attention("A dog runs.")
    assert source[weights[target.index("▁Hund")].argmax()] == "▁dog", (source, target, weights)


def test_the_model_is_small_and_its_card_complete(model):
    assert sum(size for size, _ in model.card["files"].values()) <= 24_000_000
    metrics = model.card["metrics"]
    report = metrics["test"]["report"]
    assert report["sentences"] == 1_000 and report["bleu"] >= 34
    assert {row["search"] for row in report["searches"]} == {"greedy", "beam 5", "beam 10"}
    assert model.card["training"]["test_looked_at"] == "once, for this version"
    card = (model.path / "MODEL_CARD.md").read_text()
    for fact in (f"{report['bleu']:.2f}", report["bleu_signature"], model.card["data"]["licence"]):
        assert fact in card
    assert metrics["dev"]["report"].keys() == report.keys()


def test_it_loads_with_nothing_but_tensorflow(script):
    code = (
        "import sys, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(serving.locate('translation'))!r})\n"
        "out = model.signatures['serving_default'](tf.constant(['Two children are playing in the sand.']))\n"
        "assert out['text'].numpy()[0].decode() == 'Zwei Kinder spielen im Sand.', out\n"
        "assert not {'zoo', 'tensorflow_text', 'sentencepiece'} & set(sys.modules)\n"
    )
    script(code)
