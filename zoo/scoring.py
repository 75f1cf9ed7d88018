"""Each field's metric, from the library that the field trusts."""

from __future__ import annotations

import warnings

import numpy as np
import seqeval.metrics
from scipy import stats
from seqeval.scheme import IOB2
from sklearn import metrics

from zoo import conll

LENGTHS = (0, 50, 100, 200, 400, 800)


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


def bootstrap_f1(counts: np.ndarray, draws: int = 1000) -> list[float]:
    """95% interval of micro-averaged F1, sentences drawn anew; counts int `[sentences, 3]`: right, true, predicted."""
    chosen = np.random.default_rng(0).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=draws)
    right, true, predicted = (chosen @ counts).T
    return np.percentile(2 * right / np.maximum(1, true + predicted), [2.5, 97.5]).tolist()
