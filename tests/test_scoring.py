"""Scores against numbers counted by hand, and the pictures of them."""

import math

import matplotlib.image
import numpy as np
import pytest

from zoo import plots, scoring, tables

NAMES = ["negative", "positive"]
#               P(positive)  true  words
EXAMPLES = [
    (0.05, 0, 10),  # right, confidence 0.95
    (0.05, 1, 49),  # wrong, 0.95
    (0.35, 0, 50),  # right, 0.65
    (0.65, 1, 99),  # right, 0.65
    (0.65, 0, 100),  # wrong, 0.65
    (0.95, 1, 5000),  # right, 0.95
    (1.00, 1, 5000),  # right, 1.00
]


@pytest.fixture(scope="module")
def report():
    p, labels, lengths = map(np.array, zip(*EXAMPLES, strict=True))
    return scoring.classification(np.stack([1 - p, p], axis=1), labels, NAMES, lengths)


def test_accuracy_and_f1(report):
    assert report["examples"] == 7
    assert report["accuracy"] == pytest.approx(5 / 7)
    assert report["confusion"] == [[2, 1], [1, 3]]
    negative, positive = (report["classes"][name] for name in NAMES)
    assert negative == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "examples": 3})
    assert positive == pytest.approx({"precision": 3 / 4, "recall": 3 / 4, "f1": 3 / 4, "examples": 4})
    assert report["macro_f1"] == pytest.approx((2 / 3 + 3 / 4) / 2)


def test_log_loss(report):
    of_truth = [0.95, 0.05, 0.65, 0.65, 0.35, 0.95, 1.0]
    assert report["log_loss"] == pytest.approx(-sum(map(math.log, of_truth)) / 7)


def test_calibration(report):
    assert [row["count"] for row in report["calibration"]] == [3, 4]
    low, high = report["calibration"]
    assert low == pytest.approx({"confidence": 0.65, "accuracy": 2 / 3, "count": 3})
    assert high == pytest.approx({"confidence": 0.9625, "accuracy": 3 / 4, "count": 4})
    assert report["calibration_error"] == pytest.approx((3 * (2 / 3 - 0.65) + 4 * (0.9625 - 0.75)) / 7)


def test_accuracy_by_length(report):
    assert [(row["words"], row["examples"]) for row in report["by_length"]] == [
        ("0-49", 2),
        ("50-99", 2),
        ("100-199", 1),
        ("800+", 2),
    ]
    assert [row["accuracy"] for row in report["by_length"]] == [0.5, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(("right", "total"), [(5, 7), (0, 10), (10, 10), (940, 1000)])
def test_the_interval_is_wilsons(right, total):
    z, p = 1.959963984540054, right / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    labels = np.arange(total) >= right  # everything is called the first class
    found = scoring.classification(np.tile([0.9, 0.1], (total, 1)), labels.astype(int), NAMES, np.ones(total))
    assert found["accuracy_95"] == pytest.approx([centre - half, centre + half], abs=1e-9)


def test_a_class_that_is_never_seen_scores_zero():
    found = scoring.classification(np.array([[0.8, 0.1, 0.1]] * 2), np.array([0, 0]), ["a", "b", "c"], np.ones(2))
    assert found["classes"]["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0}


def test_tables_show_every_class_and_bin(report, capsys):
    tables.classification(report)
    shown = capsys.readouterr().out
    for part in ("0.7143", "true negative", "positive", "0.96", "100-199"):
        assert part in shown


def test_pictures(report, tmp_path):
    history = [{"epoch": e, "loss": 1 / e, "dev_loss": 1.0, "accuracy": 0.5, "dev_accuracy": 0.5} for e in (1, 2)]
    pictures = [
        plots.confusion(report["confusion"], NAMES, tmp_path / "confusion.png"),
        plots.calibration(report["calibration"], report["calibration_error"], tmp_path / "calibration.png"),
        plots.learning_curves(history, tmp_path / "curves.png"),
        plots.learning_curves(history[:1], tmp_path / "one.png"),
    ]
    assert sorted(tmp_path.iterdir()) == sorted(pictures)
    for picture in pictures:
        pixels = matplotlib.image.imread(picture)
        assert min(pixels.shape[:2]) > 200 and pixels[..., :3].std() > 0.01


def test_entities_by_hand():
    tokens = [["Ana", "Silva", "left", "Porto"], ["New", "York", "and", "Bank", "of", "Lisbon"], ["no", "one"]]
    true = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "I-LOC", "O", "B-ORG", "I-ORG", "I-ORG"], ["O", "O"]]
    found = [["B-PER", "I-PER", "O", "B-ORG"], ["O", "B-LOC", "O", "O", "O", "B-LOC"], ["B-PER", "O"]]
    report = scoring.entities(tokens, true, found, [[0.9, 0.4], [0.6, 0.3], [0.2]], {"Ana Silva", "Porto"})
    assert (report["sentences"], report["tokens"], report["entities"]) == (3, 12, 4)
    assert (report["precision"], report["recall"], report["f1"]) == pytest.approx((1 / 5, 1 / 4, 2 / 9))
    low, high = report["f1_95"]
    assert 0 <= low < report["f1"] < high <= 1
    assert report["classes"]["PER"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "entities": 1}
    assert report["errors"] == {
        "wrong type": 1,  # Porto
        "wrong boundaries": 1,  # York
        "wrong type and boundaries": 1,  # Lisbon
        "missed": 0,
        "invented": 1,  # no
    }
    assert report["confusion"]["LOC"] == {"LOC": 1, "ORG": 1, "PER": 0, "none": 0}
    assert report["confusion"]["ORG"]["LOC"] == report["confusion"]["none"]["PER"] == 1
    assert report["novelty"] == {"known": {"recall": 0.5, "entities": 2}, "new": {"recall": 0.0, "entities": 2}}
    assert report["calibration_error"] == pytest.approx((0.1 + 0.4 + 0.6 + 0.3 + 0.2) / 5)


def test_entities_where_there_are_none(recwarn):
    report = scoring.entities([["no"]], [["O"]], [["O"]], [[]])
    assert (report["f1"], report["entities"], report["classes"], report["token_accuracy"]) == (
        0,
        0,
        {},
        1,
    ) and not recwarn
