"""Pictures with their captions: a contact sheet, what each word looked at, a single one.

Everything is placed in inches by hand: captions are wrapped by the measured width of their words, so that the height of
a figure follows from its texts.
"""

from __future__ import annotations

import bisect
import pathlib
import warnings
from collections.abc import Iterable, Sequence

import numpy as np

from zoo.plots import new_figure, save

WIDTH = 12.0  # inches of a contact sheet
GAP = 0.12  # inches between cells
SIZE = 8  # points of the texts on a contact sheet
LINE = 1.35 / 72  # inches of a line of text, for each point of its size
REFERENCES, REFERENCE_LINES, CAPTION_LINES = 2, 3, 5  # on a contact sheet, at most
COLUMNS = 5  # panels of words beside each other
DARK = 0.25  # brightness of what was not looked at
PIXELS = 180  # of a picture in a figure, about, for each inch of its place
LONGEST = 2000  # characters of a text, at most


def choose(scores: Sequence[float], best: int = 7, middling: int = 6, worst: int = 7) -> dict[str, list[int]]:
    """Places of the best, middling (about the median) and worst scores, each from high to low, none of them twice.

    Of fewer scores than are asked for, all are given, shared out in proportion.
    """
    order = np.argsort(-np.asarray(scores, float), kind="stable").tolist()
    wanted = best + middling + worst
    if len(order) < wanted:
        middling = round(len(order) * middling / wanted)
        rest = len(order) - middling
        best = -(-rest * best // max(1, best + worst))
        worst = rest - best
    between = order[best : len(order) - worst]
    start = (len(between) - middling) // 2
    return {
        "best": order[:best],
        "middling": between[start : start + middling],
        "worst": order[len(order) - worst :],
    }


def best_to_worst(pictures: Iterable[np.ndarray], captions, references, scores, path: pathlib.Path) -> pathlib.Path:
    """A contact sheet of 20 pictures: those with the best, middling and worst scores (CIDEr-D).

    Args:
        pictures: uint8 `[height, width, 3]`, all of them, one after the other.
        captions, references, scores: one of each for every picture.
        path: a `.png`.
    """
    groups = choose(scores)
    chosen: dict = {i: None for places in groups.values() for i in places}
    for i, picture in enumerate(pictures):
        if i in chosen:
            chosen[i] = picture
    rows = [
        {"group": group, "caption": captions[i], "score": scores[i], "references": references[i]}
        for group, places in groups.items()
        for i in places
    ]
    return contact_sheet(list(chosen.values()), rows, path)


def contact_sheet(pictures: Sequence[np.ndarray], rows: Sequence[dict], path: pathlib.Path) -> pathlib.Path:
    """Pictures in groups, with the model's captions, their scores, and one or two references below each.

    Args:
        pictures: uint8 `[height, width, 3]`, of any sizes.
        rows: one for each picture: `{"group": "best", "caption": ..., "score": CIDEr-D, "references": [...]}`; each
            group begins a line of pictures, in the order in which they come.
        path: a `.png`.
    """
    groups: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        groups.setdefault(row["group"], []).append(i)
    columns = max(4, min(7, max(map(len, groups.values()), default=0)))
    cell = (WIDTH - GAP * (columns + 1)) / columns
    lines = [
        (name, members[i : i + columns]) for name, members in groups.items() for i in range(0, len(members), columns)
    ]
    with warnings.catch_warnings():  # of scripts that the font lacks; they show as boxes
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        texts = [_below(row, cell) for row in rows]
        tall = [max(len(texts[i]) for i in members) for _, members in lines]
        heading = 0.35
        height = sum(heading + cell + count * SIZE * LINE + 2 * GAP for count in tall) + GAP
        sheet = _Sheet(WIDTH, height)
        top = GAP
        for (name, members), count in zip(lines, tall, strict=True):
            sheet.text(GAP, top + heading / 2, name, 12, weight="bold", va="center")
            for k, i in enumerate(members):
                left = GAP + k * (cell + GAP)
                sheet.picture(pictures[i], left, top + heading, cell, cell)
                for j, (line, style) in enumerate(texts[i]):
                    sheet.text(left, top + heading + cell + 0.05 + j * SIZE * LINE, line, SIZE, **style)
            top += heading + cell + count * SIZE * LINE + 2 * GAP
        return sheet.save(path)


def attention_maps(picture: np.ndarray, pieces: list[str], weights: np.ndarray, path: pathlib.Path) -> pathlib.Path:
    """The picture with its caption, then what was looked at for each word: bright there, as in Xu et al. 2015, fig. 3.

    Args:
        picture: uint8 `[height, width, 3]`.
        pieces: words; what stands behind the last word, `</s>`, is not drawn.
        weights: `[words, rows, columns]` of a grid that covers the picture. Each map is brightest at its own maximum.
        path: a `.png`.
    """
    words = [piece for piece in pieces if piece != "</s>"]
    columns = min(COLUMNS, len(words) + 1)
    width, line = 2.2, 13 * LINE
    height = width * min(2.0, max(0.4, picture.shape[0] / picture.shape[1]))
    total = max(6.0, GAP + columns * (width + GAP))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        caption = wrapped(" ".join(words), total - 2 * GAP, 13) or [""]
        top = GAP + len(caption) * line + GAP
        panel = height + 10 * LINE + 2 * GAP
        sheet = _Sheet(total, top + -(-(len(words) + 1) // columns) * panel)
        for j, text in enumerate(caption):
            sheet.text(GAP, GAP + j * line, text, 13, weight="bold")
        small = _fitted(picture, max(width, height))
        for i in range(len(words) + 1):
            left, at = GAP + i % columns * (width + GAP), top + i // columns * panel
            if i:
                title = wrapped(words[i - 1], width, 10, lines=1)
                sheet.text(left + width / 2, at, "".join(title), 10, ha="center")
            shown = lit(small, weights[i - 1]) if i else small
            sheet.picture(shown, left, at + 10 * LINE + 0.03, width, height)
        return sheet.save(path)


def lit(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A picture, uint8 `[H, W, 3]`, bright where a map `[rows, columns]`, spread smoothly over it, has its maximum."""
    from PIL import Image

    shape = picture.shape[1], picture.shape[0]
    spread = np.asarray(Image.fromarray(np.asarray(weights, np.float32)).resize(shape, Image.Resampling.BICUBIC))
    light = np.clip(spread / max(float(spread.max()), 1e-12), 0, 1)[..., None]
    return np.round(picture * (DARK + (1 - DARK) * light)).astype(np.uint8)


def captioned(picture: np.ndarray, text: str, path: pathlib.Path) -> pathlib.Path:
    """A picture, uint8 `[height, width, 3]`, with its caption below."""
    width, size = 6.4, 13
    height = (width - 2 * GAP) * min(1.4, max(0.1, picture.shape[0] / picture.shape[1]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        lines = wrapped(text, width - 2 * GAP, size)
        sheet = _Sheet(width, height + 3 * GAP + len(lines) * size * LINE)
        sheet.picture(picture, GAP, GAP, width - 2 * GAP, height)
        for j, line in enumerate(lines):
            sheet.text(width / 2, height + 2 * GAP + j * size * LINE, line, size, ha="center")
        return sheet.save(path)


class _Sheet:
    """A figure on which things are placed in inches from the top left."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.figure = new_figure(width, height)
        self.figure.set_layout_engine("none")

    def text(self, left, top, text: str, size: float, va="top", **style) -> None:
        place = left / self.width, 1 - top / self.height
        self.figure.text(*place, text, fontsize=size, va=va, parse_math=False, **style)  # a dollar is no formula

    def picture(self, picture: np.ndarray, left, top, width, height) -> None:
        """As large as fits, in the middle of the place."""
        x, y = left / self.width, 1 - (top + height) / self.height
        axes = self.figure.add_axes([x, y, width / self.width, height / self.height])
        axes.imshow(_fitted(picture, max(width, height)), interpolation="antialiased")
        axes.axis("off")

    def save(self, path: pathlib.Path) -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        return save(self.figure, path)


def _fitted(picture: np.ndarray, inches: float) -> np.ndarray:
    """The picture, its longer side brought to as many pixels as `inches` ask for, if it is far from that."""
    from PIL import Image

    height, width = picture.shape[:2]
    scale = PIXELS * inches / max(height, width)
    if 0.5 < scale < 3:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def _below(row: dict, inches: float) -> list[tuple[str, dict]]:
    """Lines of text below a picture of the contact sheet, and how each is written."""
    caption = [(line, {"weight": "bold"}) for line in wrapped(row["caption"], inches, SIZE, CAPTION_LINES, bold=True)]
    lines = [*caption, (f"CIDEr-D {row['score']:.2f}", {"color": "tab:blue"})]
    for reference in row["references"][:REFERENCES]:
        lines += [(line, {"color": "dimgrey"}) for line in wrapped(f"- {reference}", inches, SIZE, REFERENCE_LINES)]
    return lines


def wrapped(text: str, inches: float, size: float, lines: int = 12, bold: bool = False) -> list[str]:
    """Text in lines that are no wider, written in `size` points; what is too much for `lines` ends in "...".

    Words too long for a line are broken.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width = lambda line: text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] / 72
    found, words = [""], text[:LONGEST].split()
    while words and len(found) <= lines:
        longer = f"{found[-1]} {words[0]}" if found[-1] else words[0]
        if width(longer) <= inches:
            found[-1] = longer
            words.pop(0)
        elif found[-1]:
            found.append("")
        else:
            part = words[0]
            cut = max(1, bisect.bisect(range(1, len(part)), inches, key=lambda n: width(part[:n])))
            found[-1], words[0] = part[:cut], part[cut:]
            words = words if words[0] else words[1:]
    if len(found) > lines:
        last = found[lines - 1]
        while last and width(f"{last}...") > inches:
            last = last[:-1]
        found = [*found[: lines - 1], last + "..."]
    return found if found[0] else []
