"""Files: readers for people's own, and the way to write one whole or not at all.

What is malformed is named with its file and line; nothing is skipped in silence.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import os
import pathlib
import zlib
from collections.abc import Sequence

from zoo.errors import ZooError, note

SPLITS = {"train": ("train", "training"), "dev": ("dev", "val", "valid", "validation"), "test": ("test",)}
REPLACEMENT = "\ufffd"

csv.field_size_limit(2**31 - 1)  # a book is a legitimate field


def splits_among(names) -> dict[str, str]:
    """Split -> the first of its usual names that is among these; those that there are."""
    found = {split: next((name for name in usual if name in names), None) for split, usual in SPLITS.items()}
    return {split: name for split, name in found.items() if name}


@contextlib.contextmanager
def replacing(path: pathlib.Path):
    """A temporary path beside `path`, to write to; it takes the place of `path` if the block comes to its end."""
    temporary = path.with_name("writing-" + path.name)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def labelled_texts(path: pathlib.Path) -> dict[str, tuple[list[str], list[str]]]:
    """Split -> (texts, labels), from CSV files (`train.csv`, `test.csv`; `.gz` too) or folders (`train/<label>/*.txt`).

    A single CSV file is a training split. Files that are no split by their name are left alone.
    """
    if path.is_file():
        return {"train": labelled_table(path)}
    splits = {}
    for split, names in SPLITS.items():
        for name in names:
            table = next((p for p in (path / f"{name}.csv", path / f"{name}.csv.gz") if p.is_file()), None)
            if table:
                splits[split] = labelled_table(table)
            elif (path / name).is_dir():
                splits[split] = labelled_folder(path / name)
    if not splits:
        raise ZooError(
            f"{path}: no split found; expected train.csv and test.csv (or .csv.gz) with columns text,label, "
            "or folders train/<label>/*.txt and test/<label>/*.txt"
        )
    return splits


def labelled_table(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a CSV file with columns `text` and `label`."""
    texts, labels = [], []
    for line, (text, label) in table(path, ("text", "label")):
        if not label.strip():
            raise ZooError(f"{path}: line {line}: the label is empty")
        texts.append(text)
        labels.append(label.strip())
    return texts, labels


@contextlib.contextmanager
def opened(path: pathlib.Path, mode: str, **options):
    """A file to read from, unpacked if its name ends in `.gz`; a `ZooError` where that is damaged."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, mode, **options) as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ZooError(f"{path}: damaged or cut-off gzip file: {error}") from None


def table(path: pathlib.Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Line number and the named columns of every row of a CSV file (RFC 4180, UTF-8, a header; `.gz` too)."""
    rows, replaced = [], 0
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise ZooError(
                    f"{path}: the file is empty; expected a header line with the columns {','.join(columns)}"
                )
            for column in columns:
                if column not in header:
                    found = ", ".join(header)
                    raise ZooError(
                        f"{path}: line 1: no column {column!r} among {found!r}; expected {','.join(columns)}"
                    )
            places = [header.index(column) for column in columns]
            for row in reader:
                if not row:
                    continue  # a blank line is no row
                if len(row) != len(header):
                    raise ZooError(f"{path}: line {reader.line_num}: {len(row)} fields, expected {len(header)}")
                rows.append((reader.line_num, [row[place] for place in places]))
                replaced += any(REPLACEMENT in row[place] for place in places)
        except csv.Error as error:
            raise ZooError(f"{path}: line {reader.line_num}: not valid CSV: {error}") from None
    if not rows:
        raise ZooError(f"{path}: no rows below the header; expected {','.join(columns)} in each")
    report_replaced(path, replaced, "rows")
    return rows


def labelled_folder(path: pathlib.Path) -> tuple[list[str], list[str]]:
    """Texts and labels of `path/<label>/*.txt`, in the order of their names; a folder `unsup` is left alone."""
    texts, labels, replaced = [], [], 0
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and p.name != "unsup"):
        for file in sorted(folder.glob("*.txt")):
            text = file.read_text(encoding="utf-8", errors="replace")
            replaced += REPLACEMENT in text
            texts.append(text)
            labels.append(folder.name)
    if not texts:
        raise ZooError(f"{path}: no text files; expected {path}/<label>/*.txt, a folder for each label")
    report_replaced(path, replaced, "files")
    return texts, labels


def report_replaced(path: pathlib.Path, count: int, what: str) -> None:
    if count:
        note(f"{path}: {count} {what} with bytes that are not UTF-8, read as {REPLACEMENT}")
