"""Chord charts as pictures: four bars a line, symbols where they sound, set smaller where a bar is crowded."""

from __future__ import annotations

import functools
import math
import pathlib
import re
import warnings

from zoo.charts import Tune
from zoo.chords import Chord
from zoo.errors import note
from zoo.plots import save
from zoo.voicing import pulse

COLUMNS = 4
MOST = 1000  # bars; what is longer makes no picture that a program would show
WIDTH, MARGIN, ROW, HEAD = 10.0, 0.5, 0.82, 1.15  # inches
BAR = (WIDTH - 2 * MARGIN) / COLUMNS
LARGEST, CROWDED = 19, 13  # points: of a symbol; below the latter, symbols rather leave their places than shrink
GAP, INDENT = 0.09, 0.09  # inches between symbols, and before the first
RISE, UPPER = 0.36, 0.22  # inches from a symbol's foot up to the end of the bar lines, and to the upper line
INK, PALE = "black", "0.62"


def draw(tune: Tune, path: pathlib.Path, tempo: float) -> pathlib.Path:
    """Write a PNG of a tune's chart: title, key, meter, tempo and bars; a note says if there are too many."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a title in a script that the font lacks
        return _draw(tune, path, tempo)


def _draw(tune: Tune, path: pathlib.Path, tempo: float) -> pathlib.Path:
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    bars = math.ceil(tune.bars)
    shown = min(bars, MOST)
    if shown < bars:
        note(f"{path}: the picture has the first {shown} of {bars} bars")
    height = HEAD + ROW * math.ceil(shown / COLUMNS) + MARGIN / 2
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    _header(axes, tune, tempo)
    starting: list[list[tuple[float, Chord]]] = [[] for _ in range(bars)]
    for event, bar, place in tune.spans():
        starting[bar].append((float(place / tune.bar_beats), event.chord))
    lines, dots = [], []  # drawn together at the end: thousands of artists take their time
    for i in range(shown):
        row, column = divmod(i, COLUMNS)
        left, base = MARGIN + BAR * column, HEAD + ROW * row + 0.42
        _bar(axes, lines, dots, tune, starting[i], left, base)
        if not column:
            axes.text(MARGIN - 0.1, base, str(i + 1), ha="right", color=PALE, fontsize=8)
        if i + 1 == bars:
            lines += [_bar_line(left + BAR - 0.06, base), _bar_line(left + BAR - 0.01, base, 3)]
        elif column + 1 == COLUMNS or i + 1 == shown:
            lines.append(_bar_line(left + BAR, base))
    paths, widths, colours = zip(*lines, strict=True)
    axes.add_collection(LineCollection(paths, linewidths=widths, colors=colours, zorder=2), autolim=False)
    axes.plot(*zip(*dots, strict=True), ".", color=PALE, ms=3, zorder=1, scalex=False, scaley=False)
    return save(figure, path)


def _bar_line(x: float, base: float, width: float = 1):
    return [(x, base - RISE), (x, base + 0.2)], width, INK


def _header(axes, tune: Tune, tempo: float) -> None:
    title, room = tune.title.strip() or "Untitled", (WIDTH - 2 * MARGIN) / 1.2  # bold letters are wider
    while _width(title) * 11 > room and len(title) > 1:
        title = title[:-2] + "\u2026"
    size = min(22, room / _width(title))
    plain = dict(va="baseline", parse_math=False, color=INK)
    axes.text(WIDTH / 2, 0.52, title, ha="center", fontsize=size, weight="bold", **plain)
    key = f"{_signs(tune.key.removesuffix('m'))} {'minor' if tune.key.endswith('m') else 'major'}" if tune.key else ""
    facts = [key, "{}/{}".format(*tune.meter), f"\u2669 = {tempo:.5g}"]
    axes.text(MARGIN, 0.9, "   \u00b7   ".join(filter(None, facts)), ha="left", fontsize=11, **plain)


def _bar(
    axes, lines: list, dots: list, tune: Tune, chords: list[tuple[float, Chord]], left: float, base: float
) -> None:
    """A bar line, the symbols, a pale line while the chord of the bar before goes on; below, a dot for every beat and a
    stroke where each chord begins."""
    lines.append(_bar_line(left, base))
    at = lambda place: left + INDENT + place * (BAR - INDENT)
    unit = float(pulse(tune.meter) / tune.bar_beats)
    dots += [(at(i * unit) + 0.02, base + 0.17) for i in range(math.ceil(1 / unit - 1e-9))]
    held = chords[0][0] if chords else 1
    if held:
        lines.append(([(at(0), base - 0.07), (max(at(0), at(held) - GAP), base - 0.07)], 2, PALE))
    pieces = [_pieces(chord) for _, chord in chords]
    size, places = layout([place for place, _ in chords], [_wide(symbol) for symbol in pieces])
    for (place, _), symbol, (x, raised) in zip(chords, pieces, places, strict=True):
        stroke = at(place) + 0.02
        lines.append(([(stroke, base + 0.12), (stroke, base + 0.22)], 1.5, INK))
        x, foot = x + left, base - raised * UPPER
        for text, share, up in symbol:
            axes.text(x, foot - up * size / 72, text, fontsize=size * share, color=INK, parse_math=False)
            x += _width(text) * size * share


def layout(places: list[float], wide: list[float]) -> tuple[float, list[tuple[float, bool]]]:
    """The size of a bar's symbols, in points, and where each begins, in inches, and whether that is on an upper line.

    Symbols are where their chords begin, or pushed aside where they would touch; if that doesn't help, they are set
    smaller, or every other one on an upper line.

    Args:
        places: where the chords begin, as shares of the bar, ascending.
        wide: of the symbols, in inches, at a size of 1 point.
    """
    wanted = [INDENT + place * (BAR - INDENT) for place in places]
    size = _size(wanted, wide, LARGEST)
    lines = [(wanted, wide)]
    if size < CROWDED:
        two = [(wanted[i::2], wide[i::2]) for i in (0, 1)]
        lower = min(_size(*line, CROWDED) for line in two)
        size, lines = (lower, two) if lower > 1.1 * size else (size, lines)
    found = [_pushed(*line, size) for line in lines]
    return size, [(found[i % len(found)][i // len(found)], bool(i % len(found))) for i in range(len(places))]


def _size(wanted: list[float], wide: list[float], largest: float) -> float:
    """At which symbols fit: where they are wanted if they needn't be small for it, or anywhere in the bar."""
    if not wide:
        return largest
    rooms = [b - a - GAP for a, b in zip(wanted, [*wanted[1:], BAR], strict=True)]
    loose = min(room / width for room, width in zip(rooms, wide, strict=True))
    tight = (BAR - INDENT - GAP * len(wide)) / sum(wide)
    return min(largest, max(loose, min(CROWDED, tight)))


def _pushed(wanted: list[float], wide: list[float], size: float) -> list[float]:
    """Where symbols begin: as wanted, or right of the one before, and so that the ones behind them have room."""
    found, free, last = [], 0.0, BAR - sum(width * size + GAP for width in wide)
    for want, width in zip(wanted, wide, strict=True):
        found.append(min(max(want, free), max(last, free)))
        step = width * size + GAP
        free, last = found[-1] + step, last + step
    return found


def _pieces(chord: Chord) -> list[tuple[str, float, float]]:
    """What a symbol is set of: text, its size and its height above the line, as shares of the symbol's size."""
    if not chord.root:
        return [("N.C.", 0.8, 0)]
    pieces = [(chord.root[0], 1, 0), (_signs(chord.root[1:]), 0.75, 0.28), (_signs(suffix(chord)), 0.68, 0.12)]
    pieces += [("/" + chord.bass[0], 0.85, 0), (_signs(chord.bass[1:]), 0.65, 0.2)] if chord.bass else []
    return [piece for piece in pieces if piece[0]]


def _wide(pieces: list[tuple[str, float, float]]) -> float:
    return sum(_width(text) * share for text, share, _ in pieces)


def suffix(chord: Chord) -> str:
    """What a symbol has between root and bass; all of it, if it is no chord."""
    return chord.symbol[len(chord.root) :].removesuffix(f"/{chord.bass}" if chord.bass else "")


def _signs(text: str) -> str:
    """With flats and sharps as signs: b and # before a number, or alone behind a note's letter."""
    return re.sub(r"b(?=\d|b|$)", "\u266d", text).replace("#", "\u266f")


@functools.lru_cache(4096)
def _width(text: str) -> float:
    """Of a text of 1 point, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, *_ = text_to_path.get_text_width_height_descent(text, FontProperties(size=100), ismath=False)
    return width / 7200
