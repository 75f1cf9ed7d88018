"""Pictures: learning curves, confusion matrices, calibration. Written to a temporary file, then renamed."""

from __future__ import annotations

import pathlib
import warnings

import numpy as np

from zoo.files import replacing


def new_figure(width=6.4, height=4.0):
    from matplotlib.figure import Figure  # not pyplot: no display, no global state

    return Figure(figsize=(width, height), layout="constrained")


def save(figure, path: pathlib.Path) -> pathlib.Path:
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # of scripts that the font lacks; they show as boxes
        figure.savefig(temporary, dpi=120, format="png")
    return path


def learning_curves(history: list[dict], path: pathlib.Path) -> pathlib.Path:
    """Training and dev curves by epoch, a panel for each measure."""
    names = [k for k in history[0] if f"dev_{k}" in history[0]]
    figure = new_figure(4.2 * len(names), 3.4)
    epochs = [row["epoch"] for row in history]
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        axes.plot(epochs, [row[name] for row in history], marker=".", label="train")
        axes.plot(epochs, [row[f"dev_{name}"] for row in history], marker=".", label="dev")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return save(figure, path)


def confusion(matrix, names: list[str], path: pathlib.Path) -> pathlib.Path:
    """A confusion matrix; shades are shares of the true class. Counts are written in it up to 15 classes."""
    matrix = np.asarray(matrix)
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    few = len(names) <= 15
    cell, point = (0.6, None) if few else (0.17, 7)  # inches, size of the names
    size = max(3.6, cell * len(names) + 2)
    figure = new_figure(size if few else size + 0.8, size)
    axes = figure.add_subplot()
    shade = share if few else np.sqrt(share)  # where no number tells of them, the rare confusions should be seen
    image = axes.imshow(shade, cmap="Blues", vmin=0, vmax=1)
    upright = 0.1 * max(map(len, names), default=0) * len(names) > size - 1.5  # names would touch
    axes.set_xticks(range(len(names)), names, fontsize=point, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), names, fontsize=point)
    axes.set(xlabel="predicted", ylabel="true")
    if not few:
        scale = figure.colorbar(image, shrink=0.4, label="share of the true class")
        scale.set_ticks(np.sqrt([0, 0.01, 0.05, 0.2, 0.5, 1]), labels=["0", "1%", "5%", "20%", "50%", "100%"])
        axes.set_xticks(np.arange(len(names)) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(names)) + 0.5, minor=True)
        axes.tick_params(which="minor", length=0)
        axes.grid(which="minor", linewidth=0.3, alpha=0.5)
        return save(figure, path)
    for i, j in np.ndindex(matrix.shape):
        colour = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, f"{matrix[i, j]}\n{share[i, j]:.1%}", ha="center", va="center", color=colour)
    return save(figure, path)


def calibration(rows: list[dict], error: float, path: pathlib.Path) -> pathlib.Path:
    """A reliability diagram: accuracy against confidence."""
    figure = new_figure(4.2, 4.0)
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
    return save(figure, path)


def quality(report: dict, folder: pathlib.Path) -> list[pathlib.Path]:
    """`confusion.png` and `calibration.png` of a report by classes: what is taken for what, and how sure it is."""
    return [
        confusion(report["confusion"], list(report["classes"]), folder / "confusion.png"),
        calibration(report["calibration"], report["calibration_error"], folder / "calibration.png"),
    ]


def entities(report: dict, path: pathlib.Path) -> pathlib.Path:
    """F1 by type, what went wrong, and recall of seen and unseen entities."""
    novelty = report["novelty"]
    figure = new_figure(11 if novelty else 7.5, 3.4)
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
    return save(figure, path)


def alignment(source_pieces: list[str], target_pieces: list[str], weights, path: pathlib.Path) -> pathlib.Path:
    """Attention weights `[target, source]`, white for 1, as in figure 3 of Bahdanau et al. 2015."""
    cell, letter = 0.24, 0.09  # inches
    longest = lambda pieces: letter * max(map(len, pieces), default=0)
    width = cell * len(source_pieces) + longest(target_pieces) + 0.4
    height = cell * len(target_pieces) + longest(source_pieces) + 0.4
    figure = new_figure(max(2.0, width), max(2.0, height))
    axes = figure.add_subplot()
    axes.imshow(weights, cmap="gray", vmin=0, vmax=1)
    axes.xaxis.tick_top()
    plain = dict(fontsize=9, parse_math=False)  # a dollar sign is a piece like others
    axes.set_xticks(range(len(source_pieces)), source_pieces, rotation=90, **plain)
    axes.set_yticks(range(len(target_pieces)), target_pieces, **plain)
    axes.tick_params(length=0)
    return save(figure, path)


def by_length(curves: dict[str, list[dict]], path: pathlib.Path) -> pathlib.Path:
    """BLEU by words of the source, a curve for each model; the rows are `by_length` of `zoo.text_scores`."""
    sentences = {row["words"]: row["sentences"] for rows in curves.values() for row in rows}
    classes = sorted(sentences, key=lambda words: int(words.rstrip("+").split("-")[0]))
    figure = new_figure(5.6, 3.6)
    axes = figure.add_subplot()
    for name, rows in curves.items():
        places = [classes.index(row["words"]) for row in rows]
        axes.plot(places, [row["bleu"] for row in rows], marker=".", label=name)
    axes.set_xticks(range(len(classes)), [f"{words}\n({sentences[words]})" for words in classes])
    axes.set(xlabel="words of the source (sentences)", ylabel="BLEU")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    return save(figure, path)


def distributions(kinds: dict[str, dict[str, dict[str, float]]], path: pathlib.Path) -> pathlib.Path:
    """Shares of values, a panel for each kind, the sides beside each other."""
    figure = new_figure(4.6 * len(kinds), 3.6)
    for i, (kind, sides) in enumerate(kinds.items()):
        axes = figure.add_subplot(1, len(kinds), i + 1)
        names = list(dict.fromkeys(name for shares in sides.values() for name in shares))
        for number, (side, shares) in enumerate(sides.items()):
            places = np.arange(len(names)) + 0.4 * number
            axes.bar(places, [shares.get(name, 0.0) for name in names], 0.4, label=side)
        axes.set_xticks(np.arange(len(names)) + 0.2, names, rotation=90, fontsize=8)
        axes.set(title=kind, ylabel="share")
        axes.legend()
    return save(figure, path)


def surprise(characters: list[tuple[str, float]], path: pathlib.Path, columns: int = 64, most: float = 8.0):
    """A text with a shade behind each character: how many bits it took, given those before it."""
    from matplotlib import colormaps

    rows, line = [], []
    for character, bits in characters:
        line.append((character, bits))
        if character == "\n" or len(line) == columns:
            rows, line = [*rows, line], []
    rows = [*rows, line] if line else rows
    figure = new_figure(0.13 * columns + 0.6, 0.24 * max(1, len(rows)) + 0.5)
    axes, shades = figure.add_subplot(), colormaps["YlOrRd"]
    for y, line in enumerate(rows):
        for x, (character, bits) in enumerate(line):
            colour = shades(0.75 * min(bits, most) / most)
            axes.add_patch(_square(x, y, colour))
            shown = "\u21b5" if character == "\n" else character if character.isprintable() else "\ufffd"
            axes.text(
                x + 0.5,
                y + 0.5,
                shown,
                ha="center",
                va="center_baseline",
                family="monospace",
                fontsize=9,
                parse_math=False,
            )
    axes.set(xlim=(0, columns), ylim=(max(1, len(rows)), 0))
    axes.axis("off")
    axes.set_title(f"bits that each character took; darkest: {most:g} or more", fontsize=9, loc="left")
    return save(figure, path)


def _square(x, y, colour):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 1, 1, facecolor=colour, edgecolor="none")
