"""Running text: one text file, or a split each, in pieces that are read as they are needed.

A raw example is `{"text": tf.string}`, a piece of the text; the pieces of a split follow each other.
"""

from __future__ import annotations

import codecs
import functools
import pathlib
from collections.abc import Iterator

import tensorflow as tf

from zoo.errors import ZooError
from zoo.files import splits_among

BLOCK = 2**18  # bytes of a piece, about
TEST, DEV = 0.10, 0.10  # of a single file: its end, and what is before that
LEAST = 100  # characters
NAMES = {"train": ("train",), "dev": ("dev", "val", "valid", "validation"), "test": ("test",)}
MARK = codecs.BOM_UTF8


def read(path: pathlib.Path) -> dict[str, tf.data.Dataset]:
    """Split -> pieces of text, from a UTF-8 file, or a folder with `train.txt` and maybe `dev.txt` and `test.txt`.

    Of one file the last 10% is test, as is usual, and the 10% before it dev; what a folder lacks is cut off likewise.

    Raises:
        ZooError: there is no such file, too little text, or what is no UTF-8; names file and line.
    """
    files = {"train": path} if path.is_file() else _files(path)
    for file in files.values():
        check(file)
    train, start = files["train"], _after_mark(files["train"])
    end, kept = train.stat().st_size, 1.0
    size = end - start
    spans = {split: (file, _after_mark(file), file.stat().st_size) for split, file in files.items()}
    for split, share in (("test", TEST), ("dev", DEV)):
        if split not in spans and not (split == "test" and len(files) > 1):  # a folder may do without test
            kept -= share  # the place is rounded as nanoGPT does it, so that its splits are the same
            cut = _boundary(train, start + int(kept * size))
            spans[split], end = (train, cut, end), cut
    spans["train"] = (train, start, end)
    order = [split for split in NAMES if split in spans]
    return {split: _pieces(functools.partial(_blocks, *spans[split])) for split in order}


def check(path: pathlib.Path) -> int:
    """The number of characters of a UTF-8 text file; `ZooError` naming the line where it is none, or too short."""
    decoder, characters, line = codecs.getincrementaldecoder("utf-8")(), 0, 1
    for block in _blocks(path, _after_mark(path), path.stat().st_size, whole=False):
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise ZooError(f"{path}, line {line}: not UTF-8 text (byte 0x{error.object[error.start]:02x})") from None
        if "\0" in text:
            line += text[: text.index("\0")].count("\n")
            raise ZooError(f"{path}, line {line}: has a NUL character; expected a text file")
        line += text.count("\n")
        characters += len(text)
    if decoder.getstate()[0]:
        raise ZooError(f"{path}, line {line}: not UTF-8 text: ends within a character")
    if characters < LEAST:
        raise ZooError(f"{path}: {characters} character{'s' * (characters != 1)}; expected at least {LEAST}")
    return characters


def _files(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    files = {
        split: file for split, names in NAMES.items() for name in names if (file := folder / f"{name}.txt").is_file()
    }
    if "train" not in files:
        texts = sorted(folder.glob("*.txt"))
        if len(texts) == 1 and not files:
            return {"train": texts[0]}
        raise ZooError(f"{folder}: expected one .txt file, or train.txt and maybe dev.txt and test.txt")
    return files


def _after_mark(path: pathlib.Path) -> int:
    """Where the text begins: after a byte order mark."""
    with open(path, "rb") as file:
        return len(MARK) if file.read(len(MARK)) == MARK else 0


def _boundary(path: pathlib.Path, place: int) -> int:
    """The first place from there on where a character begins."""
    with open(path, "rb") as file:
        file.seek(place)
        after = file.read(4)
        return place + next((i for i, byte in enumerate(after) if byte & 0xC0 != 0x80), len(after))


def _blocks(path: pathlib.Path, start: int, end: int, whole: bool = True) -> Iterator[bytes]:
    """The bytes of a span in blocks, cut between characters if `whole`."""
    with open(path, "rb") as file:
        while start < end:
            cut = min(end, start + BLOCK)
            cut = min(end, _boundary(path, cut)) if whole and cut < end else cut
            file.seek(start)
            yield file.read(cut - start)
            start = cut


def _pieces(blocks) -> tf.data.Dataset:
    texts = tf.data.Dataset.from_generator(blocks, output_signature=tf.TensorSpec([], tf.string))
    return texts.map(lambda text: {"text": text})


def from_tfds(builder) -> dict[str, tf.data.Dataset]:
    """Split -> pieces of text, from a prepared TFDS builder with one text feature, such as tiny_shakespeare.

    Each example is a piece; where one does not end with a newline, it gets one.
    """
    features = {name: f for name, f in builder.info.features.items() if f.tf_dtype == tf.string and f.shape == ()}
    name = "text" if "text" in features else next(iter(features), None)
    if name is None or (len(features) > 1 and name != "text"):
        raise ZooError(
            f"TFDS {builder.info.full_name}: expected one text feature, or one named text; it has "
            f"{', '.join(builder.info.features)}"
        )

    def piece(row):
        text = tf.strings.unicode_transcode(row[name], "UTF-8", "UTF-8", errors="replace")
        return {"text": tf.strings.regex_replace(text, r"\n?\z", "\n", replace_global=False)}

    return {
        split: builder.as_dataset(split=own, shuffle_files=False).map(piece, tf.data.AUTOTUNE)
        for split, own in splits_among(builder.info.splits).items()
    }
