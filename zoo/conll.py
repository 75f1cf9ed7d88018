"""CoNLL column files: a token a line, its tag last, blank lines between sentences; and the schemes of tags.

    IOB1    I-X inside a span; B-X only where a span of X follows another one immediately (CoNLL-2003 as published)
    IOB2    B-X on the first token of every span, I-X on the others
    BIOES   S-X on a span of one token, else B-X, I-X ..., E-X; also written with L for E and U for S

Tags leave this module in IOB2; those of the models are numbered in `zoo.spans`.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from zoo.errors import ZooError, note
from zoo.files import REPLACEMENT, report_replaced

OTHER_FILES = {".csv", ".gz", ".json", ".md", ".npz", ".pdf", ".png", ".py", ".sh", ".zip"}
SPLITS = {"dev": r"testa|dev|val", "train": r"train", "test": r"test"}  # the first that a name has
TAG = re.compile(r"O|([BIESLU])-(\S.*)")
SLIPS = 1000  # so many spans as they should be excuse a B- that IOB1 would not write
SAME = str.maketrans("LU", "ES")


class Sentence(NamedTuple):
    """A token's line number is that of the first, plus its index."""

    tokens: list[str]
    tags: list[str]
    line: int


def read(path: pathlib.Path) -> dict[str, list[Sentence]]:
    """Split -> sentences, tags in IOB2, of a folder with files named after their splits, or of one file: train.

    Raises:
        ZooError: no file or several for a split, or a malformed file; the message names file and line.
    """
    if path.is_file():
        return {"train": read_file(path)}
    found: dict[str, pathlib.Path] = {}
    for file in sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() not in OTHER_FILES):
        split = next((s for s, pattern in SPLITS.items() if re.search(pattern, file.name.lower())), None)
        if split in found:
            raise ZooError(
                f"{path}: two files for the {split} split: {found[split].name} and {file.name}; expected one"
            )
        if split:
            found[split] = file
    if "train" not in found:
        names = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise ZooError(f"{path}: no file for the train split; expected train in a file's name, found {names}")
    return {split: read_file(found[split]) for split in ("train", "dev", "test") if split in found}


def read_file(path: pathlib.Path) -> list[Sentence]:
    """The sentences of one file, tags in IOB2; `-DOCSTART-` lines are left out."""
    sentences, tokens, tags, columns, replaced = [], [], [], 0, 0
    with open(path, encoding="utf-8-sig", errors="replace") as file:  # any line ends
        for number, line in enumerate([*file, ""], 1):
            line = line.rstrip()
            fields = line.split("\t") if "\t" in line else line.split()
            if not line or fields[0] == "-DOCSTART-":
                if tokens:
                    sentences.append(Sentence(tokens, tags, number - len(tokens)))
                    tokens, tags = [], []
                continue
            columns = columns or len(fields)
            if len(fields) < 2:
                raise ZooError(f"{path}: line {number}: one column; expected a token and, last, its tag")
            if len(fields) != columns:
                raise ZooError(
                    f"{path}: line {number}: {len(fields)} columns; expected {columns}, as in the lines before"
                )
            token, tag = fields[0].strip(), fields[-1].strip()
            if not token:
                raise ZooError(f"{path}: line {number}: the token is empty")
            if not TAG.fullmatch(tag):
                raise ZooError(f"{path}: line {number}: {tag!r} is no tag; expected O, or B-, I-, E- or S- and a type")
            replaced += REPLACEMENT in line
            tokens.append(token)
            tags.append(tag)
    if not sentences:
        raise ZooError(f"{path}: no sentences; expected a token and its tag a line, blank lines between sentences")
    report_replaced(path, replaced, "lines")
    return unify(path, sentences)


def unify(path: pathlib.Path, sentences: list[Sentence]) -> list[Sentence]:
    """Find out the scheme, check that every tag follows it, and rewrite the tags in IOB2."""
    prefixes = {tag[0] for sentence in sentences for tag in sentence.tags}
    schemes = ["BIOES"] if prefixes & set("ESLU") else ["IOB2", "IOB1"]
    faults = {scheme: [fault for s in sentences for fault in _faults(s, scheme)] for scheme in schemes}
    scheme = min(schemes, key=lambda name: len(faults[name]))
    slips = faults[scheme]
    if slips and scheme == "IOB1" and len(slips) * SLIPS < len(faults["IOB2"]):
        # What such a B- means is clear; the published CoNLL-2003 training file has two.
        note(f"{path}: line {slips[0][0]}: {slips[0][1]}, in IOB1; read as a beginning")
    elif slips:
        line, what = slips[0]
        raise ZooError(
            f"{path}: line {line}: {what}; {scheme}, the scheme of the rest of the file, does not allow that"
        )
    return [sentence._replace(tags=to_iob2(sentence.tags)) for sentence in sentences]


def _faults(sentence: Sentence, scheme: str):
    """Line and description of every tag that the scheme does not allow after the one before it."""
    tags = [tag.translate(SAME) if tag[1:2] == "-" else tag for tag in sentence.tags]
    for i, (before, tag) in enumerate(zip(["O", *tags], [*tags, "O"], strict=True)):
        same = before[2:] == tag[2:]
        if scheme == "IOB1":
            wrong = tag[0] == "B" and not same
        elif scheme == "IOB2":
            wrong = tag[0] == "I" and not same
        else:
            inside = before[0] in "BI"  # of a span that has to go on
            wrong = inside != (tag[0] in "IE") or (inside and not same)
        if wrong:
            after = f"after {sentence.tags[i - 1]}" if i else "at the beginning of a sentence"
            if i == len(tags):
                yield sentence.line + i - 1, f"a sentence ends with {sentence.tags[-1]}"
            else:
                yield sentence.line + i, f"{sentence.tags[i]} {after}"


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Tags of any scheme in IOB2. What no scheme allows is read as conlleval does: a span begins where none goes on."""
    result, before = [], "O"
    for tag in tags:
        prefix, kind = tag[0].translate(SAME), tag[2:]
        goes_on = prefix in "IE" and before[0].translate(SAME) in "BI" and before[2:] == kind
        result.append("O" if tag == "O" else f"{'I' if goes_on else 'B'}-{kind}")
        before = tag
    return result


def entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, first token, token after the last) of every span of IOB2 tags."""
    found: list[tuple[str, int, int]] = []
    for i, tag in enumerate(tags):
        if tag[0] == "B":
            found.append((tag[2:], i, i + 1))
        elif tag[0] == "I":
            found[-1] = (*found[-1][:2], i + 1)
    return found
