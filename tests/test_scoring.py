"""Scores against numbers counted by hand, and the pictures of them."""

import json
import math

import matplotlib.image
import numpy as np
import pytest
import sklearn.metrics

from zoo import plots, scoring, tables
from zoo.errors import ZooError

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


FRAME_NAMES = ["sil", "a", "b", "c", "d", "e"]
CLIPS = [  # true and predicted, a letter a frame; - is silence
    ("-aaacc--", "-aabc---"),
    ("bbbbdd", "bccdcc"),
    ("c-", "cc"),
]
TRAIN = [*("--ac-", "bbd", "a-dd"), "", "ax"]  # the last has a label that the model does not know


def labelled(letters):
    return ["sil" if letter == "-" else letter for letter in letters]


def outputs(letters, p=0.6):
    """Probabilities whose highest is p, of these labels."""
    rest = (1 - p) / (len(FRAME_NAMES) - 1)
    rows = np.eye(len(FRAME_NAMES))[[FRAME_NAMES.index(label) for label in labelled(letters)]]
    return (rest + (p - rest) * rows).astype(np.float32).reshape(-1, len(FRAME_NAMES))


@pytest.fixture(scope="module")
def frames_report():
    true, probabilities = zip(*((labelled(a), outputs(b)) for a, b in CLIPS), strict=True)
    return scoring.frames(true, probabilities, FRAME_NAMES, {"sil"}, [labelled(clip) for clip in TRAIN])


def test_frames_by_hand(frames_report):
    report = frames_report
    assert (report["clips"], report["clips_without_frames"], report["frames"]) == (3, 0, 16)
    assert report["accuracy"] == pytest.approx((6 + 1 + 1) / 16)
    assert report["accuracy_foreground"] == pytest.approx((3 + 1 + 1) / 12)
    assert report["confusion"] == [
        [3, 0, 0, 1, 0, 0],
        [0, 2, 1, 0, 0, 0],
        [0, 0, 1, 2, 1, 0],
        [1, 0, 0, 2, 0, 0],
        [0, 0, 0, 2, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    assert report["classes"]["b"] == pytest.approx({"precision": 1 / 2, "recall": 1 / 4, "f1": 1 / 3, "frames": 4})
    assert report["classes"]["c"] == pytest.approx({"precision": 2 / 7, "recall": 2 / 3, "f1": 2 / 5, "frames": 3})
    assert report["macro_f1"] == pytest.approx((3 / 4 + 4 / 5 + 1 / 3 + 2 / 5 + 0) / 5)  # e does not occur
    assert report["calibration_error"] == pytest.approx(0.6 - 0.5)
    assert [row["count"] for row in report["calibration"]] == [16]


def test_frames_classes_are_those_of_scikit_learn(frames_report):
    true = [label for a, _ in CLIPS for label in labelled(a)]
    predicted = [label for _, b in CLIPS for label in labelled(b)]
    table = sklearn.metrics.classification_report(
        true, predicted, labels=FRAME_NAMES, output_dict=True, zero_division=0
    )
    for name, row in frames_report["classes"].items():
        assert list(row.values()) == pytest.approx(list(table[name].values()))


def test_segmentation_by_hand(frames_report):
    report = frames_report
    assert report["segments"] == 5  # a c, b d, c
    assert report["edit"] == pytest.approx(((1 - 1 / 3) + (1 - 2 / 4) + 1) / 3)  # of abc, bcdc, c
    # Overlaps: 2/3 of a, 1/2 of c; 1/4 of b, none of d; 1/2 of c. Predicted: 3 + 4 + 1.
    assert report["f1_10"] == report["f1_25"] == pytest.approx(2 * 4 / (5 + 8))
    assert report["f1_50"] == pytest.approx(2 * 3 / (5 + 8))
    assert report["segment_error_rate"] == pytest.approx((1 + 2 + 0) / 5)
    assert report["segment_error_rate_decoded"] == pytest.approx((0 + 1 + 1) / 5)  # ac, bc, and a word too many


def test_segments_given_their_boundaries_by_hand(frames_report):
    report = frames_report
    assert report["segment_accuracy"] == pytest.approx(3 / 5)  # bccd is taken for c, as is cc
    assert report["segment_accuracy_in_place"] == pytest.approx(4 / 5)  # of a and b it is b
    assert report["segment_accuracy_by_place"] == [
        {"place": 1, "labels": ["a", "b"], "segments": 2, "accuracy": 1.0},
        {"place": 2, "labels": ["c", "d"], "segments": 2, "accuracy": 0.5},
    ]


def test_intervals_of_frames_draw_whole_clips(frames_report):
    """Of 27 draws of three clips one is three times the worst and one three times the best: more than 2.5% each."""
    assert frames_report["accuracy_95"] == pytest.approx([1 / 6, 6 / 8])
    assert frames_report["accuracy_foreground_95"] == pytest.approx([1 / 6, 1])
    assert frames_report["segment_accuracy_95"] == pytest.approx([0, 1])
    assert frames_report["segment_accuracy_in_place_95"] == pytest.approx([1 / 2, 1])


def test_frames_all_right():
    true = [labelled("-aaacc--"), labelled("bd-")]
    report = scoring.frames(true, [outputs("-aaacc--", 0.999), outputs("bd-", 0.999)], FRAME_NAMES, ["sil"], true)
    ones = "accuracy accuracy_foreground macro_f1 edit f1_10 f1_25 f1_50 segment_accuracy segment_accuracy_in_place"
    assert {name: report[name] for name in ones.split()} == dict.fromkeys(ones.split(), 1)
    assert report["segment_error_rate"] == report["segment_error_rate_decoded"] == 0
    assert report["accuracy_95"] == report["segment_accuracy_95"] == [1, 1]
    assert report["calibration_error"] == pytest.approx(0.001, abs=1e-6)


def test_frames_without_background_or_places(frames_report):
    report = scoring.frames([list("aabb")], [outputs("abbb")], FRAME_NAMES)
    assert set(frames_report) - set(report) == {
        "accuracy_foreground",
        "accuracy_foreground_95",
        "segment_error_rate_decoded",
        "segment_accuracy_in_place",
        "segment_accuracy_in_place_95",
        "segment_accuracy_by_place",
    }
    assert (report["accuracy"], report["segments"], report["edit"]) == (0.75, 2, 1)
    assert json.loads(json.dumps(report)) == report


def test_a_label_in_a_place_where_training_never_had_it_is_an_error():
    report = scoring.frames([list("ec")], [outputs("ec")], FRAME_NAMES, (), [list("ac"), list("bd")])
    assert (report["segment_accuracy"], report["segment_accuracy_in_place"]) == (1, 0.5)


@pytest.mark.parametrize("clips", [[], [""], ["", "-ac-"], ["--"]])
def test_clips_without_frames_or_segments(clips, recwarn, capsys):
    report = scoring.frames(
        [labelled(clip) for clip in clips], [outputs(clip) for clip in clips], FRAME_NAMES, {"sil"}, [list("ac")]
    )
    frames = sum(map(len, clips))
    assert (report["clips"], report["clips_without_frames"]) == (sum(map(bool, clips)), clips.count(""))
    assert (report["frames"], report["accuracy"]) == (frames, float(frames > 0))
    tables.frames(json.loads(json.dumps(report)))
    assert "frame accuracy" in capsys.readouterr().out and not recwarn


def test_frames_that_do_not_fit_the_model():
    with pytest.raises(ZooError, match=r"^clip 2, frame 3: .*'x'; expected one of sil, a, b, c, d, e$"):
        scoring.frames([list("ab"), list("abx")], [outputs("ab"), outputs("abc")], FRAME_NAMES)
    names = [f"n{i}" for i in range(53)]
    with pytest.raises(ZooError, match=r"clip 1, frame 1: .* n0, n1, .*, n9 \.\.\. \(53 in all\)$"):
        scoring.frames([["x"]], [np.ones([1, 53])], names)
    with pytest.raises(ZooError, match="clip 1: 2 labels for 3 frames"):
        scoring.frames([list("ab")], [outputs("abc")], FRAME_NAMES)


def test_the_bootstrap_is_that_of_drawing_sequences():
    counts = np.random.default_rng(1).integers(1, 20, (30, 2))
    picked = np.random.default_rng(2).integers(0, 30, (4000, 30))
    quotients = [counts[rows, 0].sum() / counts[rows, 1].sum() for rows in picked]
    assert scoring.bootstrap(*counts.T) == pytest.approx(np.percentile(quotients, [2.5, 97.5]), rel=0.03)
    same = np.full(30, 7)
    assert scoring.bootstrap(same, 2 * same) == [0.5, 0.5]
    assert scoring.bootstrap_f1(np.array([[3, 4, 5]] * 8)) == pytest.approx([6 / 9] * 2)


def many_classes():
    """A report over 53 classes in two places, of which the first is never recognised."""
    names = [f"word{i:02}" for i in range(53)]
    true = [[names[i], names[i + 26]] for i in range(26)]
    rows = np.eye(53)[[i or 40 for pair in range(26) for i in (pair, pair + 26)]].reshape(26, 2, 53)
    return scoring.frames(true, list(rows * 0.9 + 0.1 / 53), names, (), true)


def test_tables_of_frames(frames_report, capsys):
    tables.frames(frames_report)
    shown = capsys.readouterr().out
    for part in ("0.5000  (95%: 0.1667 to 0.7500)", "true sil", "1: a, b", "3 / 16 / 5", "error rate"):
        assert part in shown
    tables.frames(many_classes())
    shown = capsys.readouterr().out
    assert "of 53" in shown and "true" not in shown and "word00, word01, word02, word03 ..." in shown
    rows = shown[shown.index("by class") : shown.index("by place, ")].splitlines()
    assert sum("word" in row for row in rows) == 15 and "word00" in next(row for row in rows if "word" in row)


def test_pictures_of_frames(frames_report, tmp_path):
    many = many_classes()
    for report, name in ((frames_report, "few"), (many, "many")):
        matrix, names = report["confusion"], list(report["classes"])
        pixels = matplotlib.image.imread(plots.confusion(matrix, names, tmp_path / f"{name}.png"))
        assert min(pixels.shape[:2]) > 300 and max(pixels.shape[:2]) < 1600 and pixels[..., :3].std() > 0.01
