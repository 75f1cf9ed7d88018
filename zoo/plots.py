"""Pictures: learning curves, confusion matrices, calibration. Written to a temporary file, then renamed."""

from __future__ import annotations

import pathlib

import numpy as np

from zoo.files import replacing


def _figure(width=6.4, height=4.0):
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure, path: pathlib.Path) -> pathlib.Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    return path


def learning_curves(history: list[dict], path: pathlib.Path) -> pathlib.Path:
    """Training and dev curves by epoch, a panel for each measure."""
    names = [k for k in history[0] if f"dev_{k}" in history[0]]
    figure = _figure(4.2 * len(names), 3.4)
    epochs = [row["epoch"] for row in history]
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        axes.plot(epochs, [row[name] for row in history], marker=".", label="train")
        axes.plot(epochs, [row[f"dev_{name}"] for row in history], marker=".", label="dev")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return _save(figure, path)


def confusion(matrix, names: list[str], path: pathlib.Path) -> pathlib.Path:
    """A confusion matrix with counts; shades are shares of the true class."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(3.6, 0.6 * len(names) + 2)
    figure = _figure(size, size)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true")
    for i, j in np.ndindex(matrix.shape):
        colour = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, f"{matrix[i, j]}\n{share[i, j]:.1%}", ha="center", va="center", color=colour)
    return _save(figure, path)


def calibration(rows: list[dict], error: float, path: pathlib.Path) -> pathlib.Path:
    """A reliability diagram: accuracy against confidence."""
    figure = _figure(4.2, 4.0)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfect")
    sizes = np.array([row["count"] for row in rows], float)
    x, y = [row["confidence"] for row in rows], [row["accuracy"] for row in rows]
    axes.plot(x, y, color="C0")
    axes.scatter(x, y, s=20 + 180 * sizes / sizes.max(initial=1), color="C0", label="examples (area)")
    axes.set(xlabel="confidence", ylabel="accuracy", title=f"expected calibration error {error:.3f}")
    axes.set(xlim=(max(0, min(x, default=0) - 0.05), 1.01), ylim=(max(0, min(y, default=0) - 0.1), 1.01))
    axes.grid(alpha=0.3)
    axes.legend()
    return _save(figure, path)


def entities(report: dict, path: pathlib.Path) -> pathlib.Path:
    """F1 by type, what went wrong, and recall of seen and unseen entities."""
    novelty = report["novelty"]
    figure = _figure(11 if novelty else 7.5, 3.4)
    panels = [
        ("F1", {name: row["f1"] for name, row in report["classes"].items()}),
        ("errors", report["errors"]),
        *([("recall", {name: row["recall"] for name, row in novelty.items()})] if novelty else []),
    ]
    for i, (title, values) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), i)
        bars = axes.barh(list(values)[::-1], list(values.values())[::-1])
        axes.bar_label(bars, fmt="%.3f" if title != "errors" else "%d", padding=2)
        axes.set(title=title)
        axes.margins(x=0.3)
    return _save(figure, path)
