"""Labels of every frame of a clip: a list, one for each, or intervals, from text files, CSV files and npz files."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from zoo import files, video_files
from zoo.errors import ZooError
from zoo.video_files import npz_array

NONE = "none"  # the label of frames that no interval covers
FRAMES, SECONDS = ("start", "end", "label"), ("start_seconds", "end_seconds", "label")


class Lines(NamedTuple):
    """A label for each frame, as `path` lists them."""

    path: pathlib.Path
    labels: list[str]

    def fit(self, count: int) -> bool:
        return len(self.labels) == count

    def check(self, count: int) -> None:
        if not self.fit(count):
            raise ZooError(f"{self.path}: {len(self.labels)} labels for {count} frames; expected one for each")

    def cut(self, count: int) -> list[str]:
        return []

    def of(self, count: int) -> list[str]:
        """The labels of so many frames."""
        self.check(count)
        return self.labels

    def used(self) -> set[str]:
        return set(self.labels)


class Interval(NamedTuple):
    start: float
    end: float
    label: str
    where: str  # the line, or the number of the interval


class Intervals(NamedTuple):
    """Intervals in the order of their starts; `rate`: frames to the unit that these are measured in."""

    path: pathlib.Path
    intervals: list[Interval]
    rate: float

    def fit(self, count: int) -> bool:
        return not self.intervals or self.intervals[-1].start * self.rate < count

    def check(self, count: int) -> None:
        if not self.fit(count):
            start, *_, where = self.intervals[-1]
            raise ZooError(
                f"{self.path}: {where}: starts at {start:g}; expected a start before the end of the clip, at "
                f"{count / self.rate:g} ({count} frames)"
            )

    def cut(self, count: int) -> list[str]:
        """Where the intervals are that end past the last frame; half a frame is forgiven to ends in seconds."""
        return [f"{self.path}: {row.where}" for row in self.intervals if row.end * self.rate > count + 0.5]

    def used(self) -> set[str]:
        return {interval.label for interval in self.intervals}

    def of(self, count: int) -> list[str]:
        """The labels of so many frames."""
        self.check(count)
        middles = (np.arange(count) + 0.5) / self.rate
        labels = [NONE] * count
        for start, end, label, _ in self.intervals:
            first, last = np.searchsorted(middles, (start, end))
            labels[first:last] = [label] * (last - first)
        return labels


def _intervals(path, rows: Iterable[tuple], rate: float, whole: bool) -> Intervals:
    """Checked intervals from (where, start, end, label) rows; `whole`: they start and end at numbers of frames."""
    intervals = []
    for where, *ends, label in rows:
        for name, value in zip(("start", "end"), ends, strict=True):
            if not _is_number(value, whole):
                kind = "a whole number of frames" if whole else "a number of seconds"
                raise ZooError(f"{path}: {where}: {name} is {str(value)!r}; expected {kind}, 0 or more")
        start, end = map(float, ends)
        if end <= start:
            raise ZooError(f"{path}: {where}: from {start:g} to {end:g}; expected an end after the start")
        intervals.append(Interval(start, end, _label(path, where, label), where))
    intervals.sort(key=lambda row: row.start)
    for before, row in zip(intervals, intervals[1:], strict=False):
        if row.start < before.end:
            raise ZooError(
                f"{path}: {row.where}: starts at {row.start:g}, inside the interval of {before.where} "
                f"({before.start:g} to {before.end:g}); expected intervals that don't overlap"
            )
    return Intervals(path, intervals, rate)


def _is_number(value, whole: bool) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return math.isfinite(number) and number >= 0 and (not whole or number.is_integer())


def _label(path, where: str, label: str) -> str:
    if not label.strip():
        raise ZooError(f"{path}: {where}: the label is empty; expected a name")
    return label.strip()


def from_text(stem: pathlib.Path, fps: float | None) -> Lines | Intervals | None:
    """The labels in `stem`.txt or `stem`.csv, if there is one of them."""
    lines, table = stem.with_name(stem.name + ".txt"), stem.with_name(stem.name + ".csv")
    if lines.is_file() and table.is_file():
        raise ZooError(f"{lines}: {table.name} is there as well; expected one of them")
    if lines.is_file():
        with video_files.readable(lines, "a text file in UTF-8, a label a line"):
            rows = lines.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
        return Lines(lines, [_label(lines, f"line {n}", row) for n, row in enumerate(rows, 1)])
    if not table.is_file():
        return None
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        seconds = SECONDS[0] in file.readline()
    if seconds and not fps:
        raise ZooError(f"{table}: line 1: seconds, of a clip whose frame rate is unknown; expected {','.join(FRAMES)}")
    rows = ((f"line {line}", *row) for line, row in files.table(table, SECONDS if seconds else FRAMES))
    return _intervals(table, rows, fps if seconds else 1.0, whole=not seconds)


def from_npz(path: pathlib.Path, headers, fps: float | None) -> Lines | Intervals | None:
    """The labels among the arrays of an npz file (`headers`: `zoo.video_files.npz_headers`), if there are any."""
    if "labels" in headers and "interval_labels" in headers:
        raise ZooError(f"{path}: labels and interval_labels; expected one of them")
    if "labels" in headers:
        return Lines(path, _npz_list(path, headers))
    if "interval_labels" not in headers:
        return None
    seconds = "start_seconds" in headers
    names = ("start_seconds", "end_seconds") if seconds else ("starts", "ends")
    missing = [name for name in names if name not in headers]
    if missing or (seconds and not fps):
        raise ZooError(f"{path}: interval_labels without {', '.join(missing) or 'fps'}; expected it among the arrays")
    labels = _npz_strings(path, "interval_labels")
    columns = [npz_array(path, name) for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.shape != (len(labels),) or column.dtype.kind not in "iuf":
            found = f"{column.dtype} of shape {list(column.shape)}"
            raise ZooError(f"{path}: {name} are {found}; expected {len(labels)} numbers, as there are interval_labels")
    where = (f"interval {i}" for i in range(len(labels)))
    rows = zip(where, *(column.tolist() for column in columns), labels, strict=True)
    return _intervals(path, rows, fps if seconds else 1.0, whole=not seconds)


def _npz_list(path: pathlib.Path, headers) -> list[str]:
    labels = npz_array(path, "labels")
    if labels.dtype.kind not in "iu":
        return [_label(path, f"frame {t}", label) for t, label in enumerate(_npz_strings(path, "labels"))]
    if labels.ndim != 1:
        raise ZooError(f"{path}: labels are of shape {list(labels.shape)}; expected [T]")
    names = next((name for name in ("classes", "names") if name in headers), None)
    if names is None:
        return [str(label) for label in labels.tolist()]
    classes = [_label(path, f"{names}, {k}", label) for k, label in enumerate(_npz_strings(path, names))]
    odd = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if odd.size:
        raise ZooError(f"{path}: frame {odd[0]}: label {labels[odd[0]]}; expected 0 to {len(classes) - 1}, in {names}")
    return [classes[label] for label in labels.tolist()]


def _npz_strings(path: pathlib.Path, name: str) -> list[str]:
    strings = npz_array(path, name)
    if strings.ndim != 1 or strings.dtype.kind not in "US":
        raise ZooError(f"{path}: {name} are {strings.dtype} of shape {list(strings.shape)}; expected a list of strings")
    with video_files.readable(path, f"{name} in UTF-8"):
        if strings.dtype.kind == "S":
            return [value.decode() for value in strings.tolist()]
        return [value.encode().decode() for value in strings.tolist()]  # lone surrogates are no UTF-8
