"""Parallel text: a sentence and its translation, from a person's own files or a TFDS builder.

Files are named after a split and a language, `train.en` and `train.de`, `val.*` (or `dev`, `valid`, `validation`),
`test.*` or `test_2016_flickr.*` (`.gz` too), with a sentence a line: line n of the one is the translation of line n of
the other. Lines end with a line feed, alone or after a carriage return, and with nothing else: text from the web has
U+2028 and form feeds inside sentences.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping, Sequence

import tensorflow as tf

from zoo.errors import ZooError, note
from zoo.files import REPLACEMENT, SPLITS, opened, report_replaced, splits_among

LAYOUT = "a folder with two files for each split, train.<source> and train.<target>, say train.en and train.de"
LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]+)*")  # en, pt_br; not: text, document
NAME = re.compile(rf"(?P<set>{'|'.join([*SPLITS['train'], *SPLITS['dev']])}|test.*)\.(?P<language>(?!gz$)[^.]+)(\.gz)?")


def read(path: pathlib.Path) -> dict[str, tf.data.Dataset]:
    """The splits (train, dev, test) of a folder: examples language -> `tf.string`, ends stripped.

    Languages are in alphabetical order, but for English, which is the first. A line that one of them leaves empty
    teaches nothing and is left out of train and dev, with a note. A test set keeps its length, so that its scores can
    be set beside published ones. Of several test sets the first by name is read.

    Args:
        path: a folder; see above.

    Raises:
        ZooError: there are no such files, or they are malformed; the message names file and line.
    """
    sets = _sets(path)
    if len({language for files in sets.values() for language in files}) < 2:
        names = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise ZooError(f"{path}: no parallel text; expected {LAYOUT}; found {names}")
    splits = {}
    for split, usual in SPLITS.items():
        names = [name for name in usual if name in sets]
        if split == "test":  # a set of one language may be of another pair of them
            names = sorted((n for n in sets if n.startswith("test")), key=lambda n: (len(sets[n]) < 2, n))
            names = [name for name in names if len(sets[name]) > 1] or names
        if len(names) > 1:
            note(f"{path}: {names[0]} is taken as the {split} split; not read: {', '.join(names[1:])}")
        if names:
            splits[split] = _split(split, path / names[0], sets[names[0]])
    if "train" not in splits:
        raise ZooError(f"{path}: no train.* among {', '.join(sorted(sets))}; expected {LAYOUT}")
    return splits


def _sets(path: pathlib.Path) -> dict[str, dict[str, pathlib.Path]]:
    """Name of a set of sentences (train, test_2016_flickr) -> language -> file; a plain one goes before its `.gz`."""
    if not path.is_dir():
        raise ZooError(f"{path}: a single file, or none; expected {LAYOUT}")
    sets: dict[str, dict[str, pathlib.Path]] = {}
    for file in sorted(path.iterdir()):
        match = NAME.fullmatch(file.name)
        if match and file.is_file():
            sets.setdefault(match["set"], {}).setdefault(match["language"], file)
    return sets


def direction(found: Sequence[str], source: str = "", target: str = "") -> tuple[str, str]:
    """The languages to translate from and into. Of two, what is not said is found out: the other one; from the first.

    Raises:
        ZooError: there is no such language among those found, or more than one way.
    """
    for name in filter(None, (source, target)):
        if name not in found:
            raise ZooError(f"no language {name!r} in this corpus; there are: {', '.join(found)}")
    if source and source == target:
        raise ZooError(f"source and target are both {source!r}; expected two of: {', '.join(found)}")
    others = [name for name in found if name not in (source, target)]
    if len(found) > 2 and not (source and target):
        first, second = source or others[0], target or others[0 if source else 1]
        raise ZooError(
            f"the corpus has {', '.join(found)}; say from which into which language to translate, for example "
            f'SET="source={first} target={second}"'
        )
    if not (source or target):
        note(f'translating from {found[0]} into {found[1]}; the other way: SET="source={found[1]} target={found[0]}"')
    source = source or others.pop(0)
    return source, target or others[0]


def _split(split: str, name: pathlib.Path, files: Mapping[str, pathlib.Path]) -> tf.data.Dataset:
    """The lines of all files of a split, side by side."""
    if len(files) < 2:
        (only,) = files.values()
        raise ZooError(f"{only}: no file {name.name}.* of another language beside it; expected both sides")
    languages = sorted(files, key=lambda language: (language != "en", language))
    sides = {language: read_lines(files[language]) for language in languages}
    first, *others = languages
    for other in others:
        if len(sides[first]) != len(sides[other]):
            raise ZooError(
                f"{files[first]} has {len(sides[first])} lines and {files[other]} has {len(sides[other])}; expected a "
                f"translation on the same line of the other file "
                f"(line {min(len(sides[first]), len(sides[other])) + 1} has none)"
            )
    rows = list(zip(*sides.values(), strict=True))
    empty = [number for number, row in enumerate(rows, 1) if not all(row)]
    if empty:
        what = "kept, for the scores of the whole set" if split == "test" else "left out"
        note(f"{name}.*: lines with an empty side: {len(empty)}, the first is line {empty[0]}; {what}")
    if len(empty) == len(rows):
        raise ZooError(f"{', '.join(map(str, files.values()))}: no line has text in all; expected a sentence a line")
    rows = rows if split == "test" else [row for row in rows if all(row)]
    return tf.data.Dataset.from_tensor_slices(
        {language: tf.constant(side) for language, side in zip(languages, zip(*rows, strict=True), strict=True)}
    )


def read_lines(path: pathlib.Path) -> list[str]:
    """The lines of a text file (UTF-8, with or without a byte order mark; `.gz` too), white space at their ends off."""
    with opened(path, "rb") as file:
        text = file.read().decode("utf-8-sig", "replace")
    if not text:
        raise ZooError(f"{path}: the file is empty; expected a sentence a line")
    lines = text.removesuffix("\n").split("\n")
    report_replaced(path, sum(REPLACEMENT in line for line in lines), "lines")
    return [line.strip() for line in lines]


def from_tfds(builder) -> dict[str, tf.data.Dataset]:
    """The splits of a prepared TFDS builder with a text feature for each language (`ted_hrlr_translate`, `wmt14_...`).

    As from `read`; the languages are in the order of the builder's `supervised_keys`.

    Raises:
        ZooError: it has no such features.
    """
    import tensorflow_datasets as tfds

    info, where = builder.info, f"TFDS {builder.info.full_name}"
    found = [n for n, f in info.features.items() if isinstance(f, tfds.features.Text) and LANGUAGE.fullmatch(n)]
    if len(found) < 2:
        raise ZooError(
            f"{where} is no parallel text: expected texts named after their languages (en, de) among its features, "
            f"found {', '.join(info.features)}"
        )
    usual = [key for key in info.supervised_keys or () if key in found]
    languages = [*usual, *sorted(set(found) - set(usual))]
    splits = {}
    for split, name in splits_among(info.splits).items():
        raw = builder.as_dataset(split=name, shuffle_files=False)
        rows = raw.map(lambda row: {language: tf.strings.strip(row[language]) for language in languages})
        splits[split] = rows if split == "test" else _without_empty(rows, f"{where}, {name}")
    return splits


def _without_empty(rows: tf.data.Dataset, where: str) -> tf.data.Dataset:
    full = lambda row: tf.reduce_all([tf.strings.length(text) > 0 for text in row.values()])
    empty = int(rows.reduce(tf.constant(0, tf.int64), lambda n, row: n + tf.cast(~full(row), tf.int64)))
    if not empty:
        return rows
    note(f"{where}: rows with an empty side: {empty}; left out")
    return rows.filter(full)
