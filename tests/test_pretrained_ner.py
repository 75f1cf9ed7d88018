"""The shipped tagger, on sentences that no corpus holds."""

import pytest
import tensorflow as tf

import zoo
from zoo import serving

EXPECTED = {
    "Lucas Ferreira is a professor at UFV": {("Lucas Ferreira", "PER"), ("UFV", "ORG")},
    "Angela Merkel met Emmanuel Macron in Berlin on Tuesday .": {
        ("Angela Merkel", "PER"),
        ("Emmanuel Macron", "PER"),
        ("Berlin", "LOC"),
    },
    "Shares of IBM rose 3 percent in New York .": {("IBM", "ORG"), ("New York", "LOC")},
    "The French government said on Monday it would not sign .": {("French", "MISC")},
    "Bayern Munich beat Ajax 2-1 in Amsterdam .": {("Bayern Munich", "ORG"), ("Ajax", "ORG"), ("Amsterdam", "LOC")},
    "There is nothing to see here .": set(),
}


@pytest.fixture(scope="module")
def model():
    return zoo.load("ner")


def test_most_names_of_plain_sentences_are_found(model):
    answers = model(list(EXPECTED))
    found = [{(e["text"], e["label"]) for e in answer["entities"]} for answer in answers]
    right = sum(len(a & b) for a, b in zip(found, EXPECTED.values(), strict=True))
    assert right >= 9 and sum(map(len, found)) <= 13, found  # of eleven
    for text, answer in zip(EXPECTED, answers, strict=True):
        for entity in answer["entities"]:
            assert text[entity["start"] : entity["end"]] == entity["text"] and 0 < entity["confidence"] <= 1


def test_a_string_and_its_tokens_get_one_answer(model):
    text = "Shares of IBM rose 3 percent in New York ."
    assert model([text.split()])[0] == model(text)


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    together = model([*EXPECTED, "word " * 300])
    for text, answer in zip(EXPECTED, together, strict=False):
        assert model(text)["tags"] == answer["tags"]


def test_the_model_is_small_and_its_card_complete(model):
    assert sum(size for size, _ in model.card["files"].values()) <= 16_000_000
    report = model.card["metrics"]["test"]["report"]
    assert report["sentences"] == 3_453 and report["entities"] == 5_648
    assert report["f1"] >= 0.85
    card = (model.path / "MODEL_CARD.md").read_text()
    for fact in (f"{report['f1']:.4f}", model.card["data"]["licence"], model.card["metrics"]["test"]["command"]):
        assert fact in card


def test_it_loads_with_nothing_but_tensorflow(script):
    code = (
        "import sys, tensorflow as tf\n"
        f"model = tf.saved_model.load({str(serving.locate('ner'))!r})\n"
        "out = model.signatures['serving_default'](tf.constant(['Bill Clinton flew to Moscow .']))\n"
        "assert out['entities_text'].numpy().tolist() == [[b'Bill Clinton', b'Moscow']], out\n"
        "assert 'zoo' not in sys.modules\n"
    )
    script(code)


def test_signatures_take_any_batch_and_length(model):
    for batch, time in ((1, 1), (7, 3), (2, 200)):
        out = model.signature("tokens")(tf.fill([batch, time], "Paris"))
        assert out["tags"].shape == out["confidences"].shape == (batch, time)
