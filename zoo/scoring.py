"""Each field's metric, from the library that the field trusts."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn import metrics

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
    confidence = probabilities.max(1)
    bins = np.minimum((confidence * 10).astype(int), 9)
    calibration = [
        {
            "confidence": float(confidence[bins == b].mean()),
            "accuracy": float(right[bins == b].mean()),
            "count": int((bins == b).sum()),
        }
        for b in range(10)
        if (bins == b).any()
    ]
    error = sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in calibration) / len(right)
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
        "calibration_error": float(error),
        "calibration": calibration,
        "by_length": by_length(right, lengths),
    }


def by_length(right: np.ndarray, lengths: np.ndarray) -> list[dict]:
    """Accuracy in classes of sequence length, in words."""
    rows = []
    for low, high in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        chosen = (lengths >= low) & (lengths < (high or np.inf))
        if chosen.any():
            words = f"{low}-{high - 1}" if high else f"{low}+"
            rows.append({"words": words, "examples": int(chosen.sum()), "accuracy": float(right[chosen].mean())})
    return rows
