"""Each field's metric, from the library that the field trusts."""

from __future__ import annotations

import warnings

import numpy as np
import seqeval.metrics
from scipy import stats
from seqeval.scheme import IOB2
from sklearn import metrics

from zoo import conll, segments
from zoo.errors import ZooError

LENGTHS = (0, 50, 100, 200, 400, 800)
OVERLAPS = {"f1_10": 0.10, "f1_25": 0.25, "f1_50": 0.50}


def classification(probabilities: np.ndarray, labels: np.ndarray, names: list[str], lengths: np.ndarray) -> dict:
    """Accuracy and what is behind it, for one label per sequence.

    Args:
        probabilities: float `[examples, classes]`; labels: int `[examples]`; names: of the classes;
        lengths: int `[examples]`, white-space separated words.

    Returns:
        A report of plain values: accuracy with a 95% interval (Wilson), F1 per class and macro, confusion matrix (rows
        are the truth), expected calibration error over 10 equal bins of confidence, and accuracy by length.
    """
    predicted = probabilities.argmax(1)
    right = predicted == labels
    interval = stats.binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="wilson")
    index = list(range(len(names)))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=index, zero_division=0
    )
    bins, error = calibration(probabilities.max(1), right)
    return {
        "examples": len(right),
        "accuracy": float(right.mean()),
        "accuracy_95": [float(interval.low), float(interval.high)],
        "macro_f1": float(f1.mean()),
        "classes": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "examples": int(n)}
            for name, p, r, f, n in zip(names, precision, recall, f1, support, strict=True)
        },
        "confusion": metrics.confusion_matrix(labels, predicted, labels=index).tolist(),
        "log_loss": float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12)).mean()),
        "calibration_error": error,
        "calibration": bins,
        "by_length": by_length(right, lengths),
    }


def calibration(confidence: np.ndarray, right: np.ndarray) -> tuple[list[dict], float]:
    """Confidence and accuracy in ten equal bins of confidence, and the expected calibration error."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    rows = [
        {
            "confidence": float(confidence[bins == b].mean()),
            "accuracy": float(right[bins == b].mean()),
            "count": int((bins == b).sum()),
        }
        for b in range(10)
        if (bins == b).any()
    ]
    error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / max(1, len(right))
    return rows, float(error)


def by_length(right: np.ndarray, lengths: np.ndarray) -> list[dict]:
    """Accuracy in classes of sequence length, in words."""
    rows = []
    for low, high in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        chosen = (lengths >= low) & (lengths < (high or np.inf))
        if chosen.any():
            words = f"{low}-{high - 1}" if high else f"{low}+"
            rows.append({"words": words, "examples": int(chosen.sum()), "accuracy": float(right[chosen].mean())})
    return rows


def entities(tokens, true, predicted, confidences, known=frozenset()) -> dict:
    """Entity F1 and what is behind it, for a tag per token.

    Args:
        tokens, true, predicted: a list for each sentence; tags in IOB2.
        confidences: a list for each sentence, of the predicted entities in their order.
        known: texts of entities (tokens, a space between) that the model may have seen; empty if there are none.

    Returns:
        A report of plain values: precision, recall and F1 by seqeval (strict, micro-averaged) with a 95% interval of F1
        (bootstrap over sentences), the same by type, kinds of errors, types of overlapping entities (rows are the
        truth, "none" is no entity), recall of known and of new entities, and the calibration of the confidences.
    """
    options = dict(mode="strict", scheme=IOB2, zero_division=0)
    with warnings.catch_warnings():  # of a mean over no types, where nothing is an entity
        warnings.simplefilter("ignore", RuntimeWarning)
        table = seqeval.metrics.classification_report(true, predicted, output_dict=True, **options)
    micro = table.pop("micro avg")
    types = sorted(name for name in table if not name.endswith(" avg"))
    confusion = {row: dict.fromkeys([*types, "none"], 0) for row in [*types, "none"]}
    errors = dict.fromkeys(("wrong type", "wrong boundaries", "wrong type and boundaries", "missed", "invented"), 0)
    novelty = {"known": [], "new": []}
    counts, right = [], []
    for words, gold, found in zip(tokens, map(conll.entities, true), map(conll.entities, predicted), strict=True):
        same = set(gold) & set(found)
        counts.append((len(same), len(gold), len(found)))
        right += [entity in same for entity in found]
        for entity in gold:
            kind, start, end = entity
            novelty["known" if " ".join(words[start:end]) in known else "new"].append(entity in same)
            partner = _partner(entity, found)
            confusion[kind][partner[0] if partner else "none"] += 1
            if not partner:
                errors["missed"] += 1
            elif partner != entity:
                moved, renamed = partner[1:] != entity[1:], partner[0] != kind
                errors["wrong" + " type" * renamed + " and" * (moved and renamed) + " boundaries" * moved] += 1
        for entity in found:
            if not _partner(entity, gold):
                confusion["none"][entity[0]] += 1
                errors["invented"] += 1
    bins, error = calibration(np.array([c for row in confidences for c in row]), np.array(right))
    flat = [(a, b) for row, other in zip(true, predicted, strict=True) for a, b in zip(row, other, strict=True)]
    return {
        "sentences": len(tokens),
        "tokens": len(flat),
        "entities": int(micro["support"]),
        "precision": float(micro["precision"]),
        "recall": float(micro["recall"]),
        "f1": float(micro["f1-score"]),
        "f1_95": bootstrap_f1(np.array(counts)),
        "token_accuracy": sum(a == b for a, b in flat) / len(flat),
        "classes": {
            name: {
                "precision": float(table[name]["precision"]),
                "recall": float(table[name]["recall"]),
                "f1": float(table[name]["f1-score"]),
                "entities": int(table[name]["support"]),
            }
            for name in types
        },
        "confusion": confusion,
        "errors": errors,
        "novelty": {n: {"recall": float(np.mean(r)), "entities": len(r)} for n, r in novelty.items() if r and known},
        "calibration_error": error,
        "calibration": bins,
    }


def _partner(entity, others):
    """The one of these that shares most tokens with an entity, one of the same type first; None if none does."""
    shared = lambda other: min(entity[2], other[2]) - max(entity[1], other[1])
    overlapping = [other for other in others if shared(other) > 0]
    return max(overlapping, key=lambda other: (other == entity, shared(other), other[0] == entity[0]), default=None)


def bootstrap_f1(counts: np.ndarray) -> list[float]:
    """95% interval of micro-averaged F1, sentences drawn anew; counts int `[sentences, 3]`: right, true, predicted."""
    right, true, predicted = counts.T
    return bootstrap(2 * right, true + predicted)


def bootstrap(parts: np.ndarray, totals: np.ndarray, draws: int = 1000) -> list[float]:
    """95% interval of the quotient of two sums over sequences, int `[sequences]` each; whole sequences are drawn anew.

    What is counted (tokens, frames) is not independent within a sequence, so it is not drawn by itself.
    """
    n = len(totals)
    if not n:
        return [0.0, 0.0]
    chosen = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=draws)
    return np.percentile(chosen @ parts / np.maximum(1, chosen @ totals), [2.5, 97.5]).tolist()


def frames(true, probabilities, names: list[str], background=(), train=()) -> dict:
    """Accuracy of frames, the measures of temporal action segmentation, and of words, for a label per frame.

    Args:
        true: the labels of every clip's frames; probabilities: float32 `[frames, classes]` for every clip.
        names: of the classes; background: those of them that are no segments (silence, nothing going on).
        train: the labels of the training clips' frames, to learn the places of words from; empty if there are none.

    Returns:
        A report of plain values, all of them shares of 1. Of frames: accuracy, of all and of those whose true label is
        not background; precision, recall and F1 by class, and macro F1 over the classes that occur in truth or
        prediction; confusion matrix (rows are the truth); calibration of the highest probability. Of segments: see
        `_segmentation`. Given their true boundaries: see `_given_boundaries`. Intervals are 95%, by bootstrap over
        clips. Clips without frames are left out, and counted.

    Raises:
        ZooError: a true label is not among the names, or a clip has not as many labels as frames.
    """
    index = {name: i for i, name in enumerate(names)}
    for number, (labels, p) in enumerate(zip(true, probabilities, strict=True), 1):
        _check_clip(number, labels, p, index)
    clips = [(list(labels), np.asarray(p)) for labels, p in zip(true, probabilities, strict=True) if len(labels)]
    background, lengths = set(background), np.array([len(labels) for labels, _ in clips], int)
    flat = np.concatenate([np.zeros([0, len(names)], np.float32), *(p for _, p in clips)])
    truth = np.array([index[label] for labels, _ in clips for label in labels], int)
    predicted = flat.argmax(1)
    right = predicted == truth
    bins, error = calibration(flat.max(1), right)
    by_clip = lambda values: np.array([part.sum() for part in np.split(values, lengths.cumsum())[:-1]], int)
    scores = {
        "clips": len(clips),
        "clips_without_frames": len(true) - len(clips),
        "frames": len(right),
        **_share("accuracy", by_clip(right), lengths),
    }
    if background:
        inside = ~np.isin(truth, [index[label] for label in background & set(index)])
        scores |= _share("accuracy_foreground", by_clip(right & inside), by_clip(inside))
    scores |= _classes(truth, predicted, names)

    familiar = (labels for labels in train if len(labels) and set(labels) <= set(index))
    places = segments.Places.learn(familiar, background)
    scores |= _segmentation(clips, names, background, places)
    scores |= _given_boundaries(clips, names, background, places)
    return scores | {"calibration_error": error, "calibration": bins}


def _check_clip(number: int, labels, probabilities, index: dict[str, int]) -> None:
    if len(labels) != len(probabilities):
        raise ZooError(f"clip {number}: {len(labels)} labels for {len(probabilities)} frames; expected one a frame")
    place = next((i for i, label in enumerate(labels, 1) if label not in index), None)
    if place:
        names = ", ".join([*index][:10]) + (f" ... ({len(index)} in all)" if len(index) > 10 else "")
        raise ZooError(
            f"clip {number}, frame {place}: the model has no class {labels[place - 1]!r}; expected one of {names}"
        )


def _share(name: str, right, totals) -> dict:
    """A quotient of sums over clips under its name, and its interval; int `[clips]` each."""
    right, totals = np.asarray(right, int), np.asarray(totals, int)
    return {name: float(right.sum() / max(1, totals.sum())), f"{name}_95": bootstrap(right, totals)}


def _classes(true: np.ndarray, predicted: np.ndarray, names: list[str]) -> dict:
    """Macro F1, figures by class, and the confusion matrix, of class ids int `[frames]`."""
    n = len(names)
    confusion = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    hits, support, claims = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    f1 = 2 * hits / np.maximum(1, support + claims)
    return {
        "macro_f1": float(f1.sum() / max(1, np.count_nonzero(support + claims))),
        "classes": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "frames": int(s)}
            for name, p, r, f, s in zip(
                names, hits / np.maximum(1, claims), hits / np.maximum(1, support), f1, support, strict=True
            )
        },
        "confusion": confusion.tolist(),
    }


def _segmentation(clips, names, background, places) -> dict:
    """Of the segments that the most probable label of every frame makes, in clips (labels, probabilities).

    Edit score (mean over clips; Lea et al. 2016), F1 at three overlaps (counts of all clips; Lea et al. 2017), and the
    error rate of the sequence of segments, WER where labels are words: as it is, and as `places` decodes it.
    """
    words = lambda labels: [segment.label for segment in segments.foreground(labels, background)]
    edits, overlaps, errors, errors_decoded, total = [], {name: np.zeros(3, int) for name in OVERLAPS}, 0, 0, 0
    for labels, p in clips:
        predicted = [names[i] for i in p.argmax(1)]
        edits.append(segments.edit_score(labels, predicted, background) / 100)
        for name, threshold in OVERLAPS.items():
            overlaps[name] += segments.overlap_counts(labels, predicted, threshold, background)
        total += len(words(labels))
        errors += segments.errors(words(labels), words(predicted))
        if places:
            errors_decoded += segments.errors(words(labels), places.decode(_log(p), names))
    return {
        "edit": sum(edits) / max(1, len(edits)),
        **{name: float(2 * tp / max(1, 2 * tp + fp + fn)) for name, (tp, fp, fn) in overlaps.items()},
        "segments": total,
        "segment_error_rate": errors / max(1, total),
        **({"segment_error_rate_decoded": errors_decoded / max(1, total)} if places else {}),
    }


def _given_boundaries(clips, names, background, places) -> dict:
    """Accuracy of segments' labels given their true boundaries, in clips (labels, probabilities).

    A label competes with all that are not background; with `places`, also with those of its place only, in clips that
    have a segment for each.
    """
    index = {name: i for i, name in enumerate(names)}
    everything = [i for name, i in index.items() if name not in background]
    of_places = [[index[label] for label in place] for place in places.labels] if places else []
    alone, in_place, by_place = [], [], []  # a list of right and wrong for each clip
    for labels, p in clips:
        scores, there = _log(p), segments.foreground(labels, background)
        alone.append(_recognised(scores, there, [everything] * len(there), names))
        if places and len(there) == len(of_places):
            by_place.append(_recognised(scores, there, of_places, names))
            in_place.append(by_place[-1])
        else:
            in_place.append(alone[-1])
    totals = [*map(len, alone)]
    report = _share("segment_accuracy", [*map(sum, alone)], totals)
    if places:
        report |= _share("segment_accuracy_in_place", [*map(sum, in_place)], totals)
        report["segment_accuracy_by_place"] = [
            {
                "place": i + 1,
                "labels": labels,
                "segments": len(by_place),
                "accuracy": sum(clip[i] for clip in by_place) / max(1, len(by_place)),
            }
            for i, labels in enumerate(places.labels)
        ]
    return report


def _recognised(scores, there, allowed, names) -> list[bool]:
    """Of each of these segments, whether its label is the most probable one of its list of allowed class ids."""
    best = (segments.given_boundaries(scores, s.start, s.end, ids) for s, ids in zip(there, allowed, strict=True))
    return [names[i] == segment.label for i, segment in zip(best, there, strict=True)]


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(probabilities, 1e-12, dtype=np.float64))
