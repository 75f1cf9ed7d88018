"""Tags and spans in the graph, against the same in Python."""

import random

import numpy as np
import pytest
import seqeval.metrics
import tensorflow as tf
from seqeval.scheme import IOB2

from zoo import conll, spans, text

LABELS = ["LOC", "PER"]
TAGS = spans.bioes(LABELS)


def random_tags(count, seed=0, names=TAGS):
    draw = random.Random(seed)
    return [draw.choices(names, k=draw.randint(1, 9)) for _ in range(count)]


def ids_of(rows):
    return tf.ragged.constant([[TAGS.index(tag) for tag in row] for row in rows]).to_tensor()


def test_tags_to_ids_and_back_by_hand():
    rows = [["O", "B-PER", "I-PER", "I-PER", "B-PER", "O"], ["B-LOC", "B-LOC", "I-LOC"], ["O", "B-DATE", "I-DATE"], []]
    ids = spans.tag_ids(tf.ragged.constant(rows), LABELS).to_list()
    named = [[TAGS[i] for i in row] for row in ids]
    assert named == [
        ["O", "B-PER", "I-PER", "E-PER", "S-PER", "O"],
        ["S-LOC", "B-LOC", "E-LOC"],
        ["O", "O", "O"],  # a type that training has not seen
        [],
    ]


def test_any_sequence_of_tags_has_the_reading_of_conlleval():
    rows = random_tags(200)
    begins, ends = (x.numpy() for x in spans.bounds(ids_of(rows)))
    for row, begin, end in zip(rows, begins, ends, strict=True):
        expected = conll.entities(conll.to_iob2(row))
        found = list(zip(np.flatnonzero(begin), np.flatnonzero(end) + 1, strict=True))
        assert found == [(a, b) for _, a, b in expected]


def test_entity_f1_is_that_of_seqeval():
    true, predicted = random_tags(60, seed=1), random_tags(60, seed=2)
    predicted = [(p * 9)[: len(t)] for t, p in zip(true, predicted, strict=True)]
    metric = spans.EntityF1()
    for part in (slice(0, 20), slice(20, 60)):
        scores = tf.one_hot(ids_of(predicted[part]), len(TAGS))
        metric.update_state(ids_of(true[part]), scores)
    rows = [[conll.to_iob2(row) for row in side] for side in (true, predicted)]
    assert float(metric.result()) == pytest.approx(seqeval.metrics.f1_score(*rows, mode="strict", scheme=IOB2))


def test_answer_gives_spans_with_offsets_and_the_probability_of_the_whole():
    whole, tokens, starts, ends = text.tokenize(tf.constant(["Zo\u00eb  Silva met \U0001f600 Ana.", "", "no"]))
    rows = [["B-PER", "E-PER", "O", "O", "S-PER", "O"], ["O"], ["O"]]
    probability = tf.constant([[0.5, 0.9, 1, 1, 0.25, 1], [1] * 6, [1] * 6], tf.float32)
    conditional = tf.constant([[0.5, 0.8, 1, 1, 0.125, 1], [1] * 6, [1] * 6], tf.float32)
    found = spans.answer(whole, tokens, starts, ends, ids_of(rows), probability, conditional, LABELS)
    found = {name: value.numpy() for name, value in found.items()}
    assert found["steps"].tolist() == [6, 0, 1] and found["entities_count"].tolist() == [2, 0, 0]
    assert found["tags"][0].tolist() == [b"B-PER", b"I-PER", b"O", b"O", b"B-PER", b"O"]
    assert [t.decode() for t in found["entities_text"][0]] == ["Zo\u00eb  Silva", "Ana"]
    assert found["entities_start"][0].tolist() == [0, 17] and found["entities_end"][0].tolist() == [10, 20]
    assert found["entities_label"][0].tolist() == [b"PER", b"PER"]
    np.testing.assert_allclose(found["entities_confidence"][0], [0.5 * 0.8, 0.25], rtol=1e-6)
