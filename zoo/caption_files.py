"""Pictures, or features of them, with captions: folders of people's own, and TFDS corpora.

A raw example is `{"image", "captions", "name"}`: uint8 `[H, W, 3]`; `tf.string` `[N]`, the sentences that describe it;
`tf.string`. Given features take the place of the image: `"features"`, float32 `[places, F]`, where a vector for the
whole picture is one place.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from zoo import pictures
from zoo.errors import ZooError, note
from zoo.files import REPLACEMENT, SPLITS, opened, report_replaced, splits_among, table
from zoo.parallel_text import read_lines
from zoo.pictures import IMAGES
from zoo.video_files import npz_array, npz_headers

CAPTIONS = re.compile(r"(captions\.(txt|tsv|csv)|.*\.token(\.txt)?)(\.gz)?", re.IGNORECASE)
HEADER = re.compile(r"(image|name|file_?name|image_name)\tcaptions?", re.IGNORECASE)
LIST = re.compile(
    r"(train|training|dev|val|valid|validation|test)\.txt|.*(train|dev|val|test)Images\.txt", re.IGNORECASE
)
Captions = dict[str, list[str]]  # key of a picture -> its captions; for annotations
LAYOUT = (
    f"pictures ({' '.join(IMAGES)}) or features.npz, and captions.txt with lines name<TAB>caption (or captions.tsv, "
    "captions.csv with the header image,caption, *.token.txt)"
)


def read(path) -> dict[str, tf.data.Dataset]:
    """Split -> raw examples, from a folder of pictures (at any depth) or features, and captions.

    - captions: `captions.txt`, `captions.tsv` or `*.token.txt`, a line `name<TAB>caption` for each, where a name may
      end in `#0`, `#1` etc.; or CSV with the header `image,caption`, in `captions.csv` or `captions.txt` (`.gz` too).
      Names are those of files, with or without folders and suffix.
    - splits: `train.txt`, `dev.txt` (or `val.txt`), `test.txt`, or `*trainImages.txt` etc., a name on each line. What
      no list names is left alone. Without lists, all is the training split. Or folders `train`, `dev`, `test`, each
      with captions and pictures of its own; or features, and then other splits may have pictures all the same.
    - features: `features.npz` (or the only npz file of a folder) with the arrays `names` (or `ids`) `[N]` and
      `features`, numbers `[N, F]`, `[N, places, F]` or `[N, rows, columns, F]`. They are kept in memory.

    Pictures are decoded when the dataset is iterated, all else is checked at once.

    Raises:
        ZooError: a file is malformed or missing; it is named with its line. A picture that cannot be decoded comes
            through TensorFlow's exceptions: `zoo.errors.explain` finds it there.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise ZooError(f"{path}: not a folder; expected one with {LAYOUT}")
    folders = splits_among({entry.name for entry in path.iterdir() if entry.is_dir()})
    if not _captions_files(path.iterdir()) and any(_captions_files((path / f).iterdir()) for f in folders.values()):
        splits = {split: _folder(path / name, lists=False)["train"] for split, name in folders.items()}
    else:
        splits = _folder(path)
    first, *others = splits
    for split in others:
        if splits[split][0].width not in (0, splits[first][0].width):
            raise ZooError(
                f"{path}: {split} has {splits[split][0].kind}; expected {splits[first][0].kind}, as {first} has"
            )
    return {split: _dataset(*splits[split]) for split in SPLITS if split in splits}


def _folder(path: pathlib.Path, lists: bool = True) -> dict[str, tuple[_Source, Captions]]:
    """Split -> where its pictures come from, and their captions in the order of the list."""
    files = list(_walk(path))
    found = _captions_files(files)
    if not found:
        names = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise ZooError(f"{path}: no captions file; expected {LAYOUT}; found {names}")
    file = _first(found, "the captions file")
    lines = _read_captions(file)
    beside = [other for other in files if other.parent in (path, file.parent)]
    source = _features(path, files, beside) or _pictures(path, files)
    named = _lists(beside) if lists else {}
    whole: Captions = {}
    strange: dict[str, int] = {}
    for number, name, caption in lines:
        key = source.find(name, f"{file}: line {number}", required=not named)
        if key is None:
            strange[name] = strange.get(name, 0) + 1
        else:
            whole.setdefault(key, []).append(caption)
    splits = _split(named, source, whole, file) if named else {"train": whole}
    used = {key for split in splits.values() for key in split}
    unused = {name: len(captions) for name, captions in whole.items() if name not in used} | strange
    if unused:
        note(f"{file}: {sum(unused.values())} captions of {len(unused)} pictures that are in no split; left alone")
    nameless = len(set(source.keys) - set(whole))
    if nameless:
        note(f"{source.where}: {nameless} {source.what} without captions; left alone")
    return {split: (source, captions) for split, captions in splits.items()}


def _split(named, source: _Source, whole: Captions, file: pathlib.Path) -> dict[str, Captions]:
    splits: dict[str, Captions] = {}
    seen: dict[str, str] = {}
    for split, path in named.items():
        splits[split] = {}
        for number, name in enumerate(read_lines(path), 1):
            if not name:
                continue
            where = f"{path}: line {number}"
            key = source.find(name, where)
            if key in seen:
                raise ZooError(f"{where}: {name!r} is also in {seen[key]}; expected each picture in one split, once")
            if key not in whole:
                raise ZooError(f"{where}: no caption of {name!r} in {file}; expected at least one")
            seen[key] = where
            splits[split][key] = whole[key]
        if not splits[split]:
            raise ZooError(f"{path}: no names of pictures; expected one on each line")
    return splits


def _dataset(source: _Source, captions: Captions) -> tf.data.Dataset:
    spec = tf.TensorSpec([None, source.width], tf.float32) if source.width else tf.TensorSpec([None, None, 3], tf.uint8)
    given = "features" if source.width else "image"
    signature = {given: spec, "captions": tf.TensorSpec([None], tf.string), "name": tf.TensorSpec([], tf.string)}

    def examples():
        for key, texts in captions.items():
            yield {given: source.decode(key), "captions": texts, "name": source.name(key)}

    data = tf.data.Dataset.from_generator(examples, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(len(captions)))


# Files ----------------------------------------------------------------------------------------------------------------


def _walk(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """All files, those of a folder before those of its subfolders; links are followed, hidden files left out."""
    seen = set()
    for folder, below, files in os.walk(path, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        real = os.path.realpath(folder)
        if real in seen:  # a link to a folder above it
            below.clear()
            continue
        seen.add(real)
        yield from (pathlib.Path(folder, name) for name in sorted(files) if not name.startswith("."))


def _captions_files(files) -> list[pathlib.Path]:
    """By preference: near the top, `captions.*`, unpacked; lemmas are no sentences that anyone wrote."""
    rank = lambda p: (len(p.parts), "lemma" in p.name, not p.name.lower().startswith("captions."), p.suffix == ".gz", p)
    found = [p for p in files if CAPTIONS.fullmatch(p.name) and not p.name.startswith(".") and p.is_file()]
    return sorted(found, key=rank)


def _first(found: Sequence[pathlib.Path], what: str) -> pathlib.Path:
    first, *others = found
    others = [str(p.relative_to(first.parent)) for p in others if p.parent == first.parent]
    others = [name for name in others if name.removesuffix(".gz") != first.name]
    if others:
        note(f"{first} is taken as {what}; not read: {', '.join(others)}")
    return first


def _read_captions(path: pathlib.Path) -> list[tuple[int, str, str]]:
    """Line, name of a picture, caption; all of a file."""
    with opened(path, "rb") as file:
        text = file.read().decode("utf-8-sig", "replace")
    lines = text.removesuffix("\n").split("\n")
    head, columns = lines[0].strip(), ("image", "caption")
    if "\t" not in head and (".csv" in path.suffixes or {*columns} <= {*head.split(",")}):
        rows = [(number, name.strip(), caption.strip()) for number, (name, caption) in table(path, columns)]
    else:
        report_replaced(path, sum(REPLACEMENT in line for line in lines), "lines")
        rows = []
        for number, line in enumerate(lines, 1):
            if not line.strip() or (number == 1 and HEADER.fullmatch(head)):
                continue
            name, tab, caption = line.partition("\t")
            if not tab:
                raise ZooError(f"{path}: line {number}: no tab in {line.strip()[:80]!r}; expected name<TAB>caption")
            rows.append((number, name.strip(), caption.strip()))
    if not rows:
        raise ZooError(f"{path}: the file is empty; expected lines name<TAB>caption")
    for number, name, caption in rows:
        if not name or not caption:
            what = "caption" if name else "name"
            raise ZooError(f"{path}: line {number}: the {what} is empty; expected name<TAB>caption")
    return [(number, re.sub(r"#\d+$", "", name), caption) for number, name, caption in rows]


def _lists(files: Sequence[pathlib.Path]) -> dict[str, pathlib.Path]:
    """Split -> the list of its pictures."""
    found: dict[str, list[pathlib.Path]] = {}
    for file in files:
        match = LIST.fullmatch(file.name)
        if match and not CAPTIONS.fullmatch(file.name):
            name = (match[1] or match[2]).lower()
            split = next(split for split, usual in SPLITS.items() if name in usual)
            found.setdefault(split, []).append(file)
    found = {
        split: sorted(found[split], key=lambda p: (len(p.parts), len(p.name), p)) for split in SPLITS if split in found
    }
    return {split: _first(files, f"the list of {split}") for split, files in found.items()}


# Pictures and features ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Source:
    """Pictures or features, by key: the path below `where`, or a name in the array `names`.

    Attributes:
        what: these are, in words.
        width: of given features; 0 for pictures.
        by_name: file name, with and without suffix -> keys.
    """

    where: pathlib.Path
    what: str
    keys: Sequence[str]
    width: int
    decode: Callable[[str], np.ndarray]
    by_name: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for key in self.keys:
            for name in {_tail(key), _stem(_tail(key))}:
                self.by_name.setdefault(name, []).append(key)

    @property
    def kind(self) -> str:
        return f"features of width {self.width}" if self.width else "pictures"

    def find(self, name: str, where: str, required: bool = True) -> str | None:
        """The key of a name, which may have a suffix and folders or not; None if there is none and none is needed."""
        given = name.replace("\\", "/")
        found = self.by_name.get(_tail(given)) or self.by_name.get(_stem(_tail(given))) or []
        if len(found) > 1:  # of one name in several folders, or with several suffixes
            exact = [key for key in found if f"/{key}".endswith(f"/{given}")]
            found = exact or [key for key in found if f"/{_stem(key)}".endswith(f"/{given}")] or found
        if len(found) > 1:
            raise ZooError(
                f"{where}: {name!r} may be {found[0]} or {found[1]} in {self.where}; expected one of that name"
            )
        if not found and required:
            raise ZooError(
                f"{where}: {name!r} is not among the {len(self.keys)} {self.what} in {self.where}; expected one of them"
            )
        return found[0] if found else None

    def name(self, key: str) -> str:
        """Of an example: the file's name, with its folders only where that says too little."""
        return _tail(key) if len(self.by_name[_tail(key)]) == 1 else key


def _tail(key: str) -> str:
    return key.rpartition("/")[2]


def _stem(key: str) -> str:
    stem, suffix = os.path.splitext(key)
    return stem if suffix.lower() in IMAGES else key


def _pictures(path: pathlib.Path, files: Sequence[pathlib.Path]) -> _Source:
    keys = [file.relative_to(path).as_posix() for file in files if file.suffix.lower() in IMAGES]
    if not keys:
        raise ZooError(f"{path}: no pictures; expected {LAYOUT}")
    return _Source(path, "pictures", keys, 0, lambda key: pictures.load(path / key))


def _features(path: pathlib.Path, files, beside: Sequence[pathlib.Path]) -> _Source | None:
    """The features of a folder, if it has any."""
    found = [file for file in beside if file.suffix.lower() == ".npz"]
    found = [file for file in found if file.name == "features.npz"] or found
    count = sum(file.suffix.lower() in IMAGES for file in files)
    if not found or (count and found[0].name != "features.npz"):
        return None
    if len(found) > 1:
        raise ZooError(f"{path}: {len(found)} npz files; expected a single one, or features.npz")
    if count:
        note(f"{found[0]} is read; the {count} pictures in {path} are left alone")
    return _npz(found[0])


def _npz(path: pathlib.Path) -> _Source:
    headers = npz_headers(path)
    ids = next((name for name in ("names", "ids") if name in headers), None)
    if ids is None or "features" not in headers:
        raise ZooError(f"{path}: expected the arrays names and features; found {', '.join(headers) or 'none'}")
    (count, kind), (shape, dtype) = headers[ids], headers["features"]
    if len(count) != 1 or kind.kind not in "US":
        raise ZooError(f"{path}: {ids} are {kind} of shape {list(count)}; expected strings [N], names of pictures")
    if dtype.kind not in "iuf" or len(shape) not in (2, 3, 4) or not math.prod(shape):
        expected = "numbers [N, F], [N, places, F] or [N, rows, columns, F], all of one width"
        raise ZooError(f"{path}: features are {dtype} of shape {list(shape)}; expected {expected}")
    if shape[0] != count[0]:
        raise ZooError(f"{path}: {count[0]} {ids} and {shape[0]} features; expected as many")
    names = npz_array(path, ids)
    names = [name.decode("utf-8", "replace") if kind.kind == "S" else name for name in names.tolist()]
    rows = {}
    for row, name in enumerate(names):
        if name in rows:
            raise ZooError(f"{path}: {ids}: {name!r} is there twice; expected each picture once")
        rows[name] = row
    features = npz_array(path, "features")

    def row(name: str) -> np.ndarray:
        with np.errstate(over="ignore"):  # what is too large for float32 is not finite
            return features[rows[name]].reshape(-1, shape[-1]).astype(np.float32)

    for name in names:
        if not np.isfinite(row(name)).all():
            raise ZooError(f"{path}: features of {name!r} are not finite; expected finite float32 numbers")
    return _Source(path, "names", names, shape[-1], row)


# TFDS -----------------------------------------------------------------------------------------------------------------


def from_tfds(builder) -> dict[str, tf.data.Dataset]:
    """Split -> raw examples, from a prepared TFDS builder with an image, and texts below a key such as `captions`.

    A text feature `name`, `image/filename` or `filename` is the example's name, else "train-0" etc. Grey becomes RGB,
    what is transparent white.

    Raises:
        ZooError: it has no such features, or several images. An example without captions comes through TensorFlow's
            exceptions: `zoo.errors.explain` finds it there.
    """
    import tensorflow_datasets as tfds

    features, where = dict(builder.info.features.items()), f"TFDS {builder.info.full_name}"
    images = [name for name, f in features.items() if isinstance(f, tfds.features.Image) and f.dtype == np.uint8]
    texts = _texts(features)
    if len(images) != 1 or not texts:
        raise ZooError(
            f"{where} is no corpus of captions: expected one image and texts below a key such as captions among its "
            f"features, found {', '.join(features)}"
        )
    image, channels = images[0], features[images[0]].shape[-1]
    named = [key for key in ("name", "image/filename", "filename", "file_name") if key in features]
    named = [key for key in named if features[key].tf_dtype == tf.string]

    def some(split, found):
        if not len(found):
            raise ZooError(f"{where}, {split}: an example without captions; expected at least one")
        return found

    def example(split, index, row):
        found = [tf.reshape(functools.reduce(lambda part, key: part[key], way, row), [-1]) for way in texts]
        found = tf.strings.strip(tf.concat(found, 0))
        found = tf.boolean_mask(found, tf.strings.length(found) > 0)
        found = tf.ensure_shape(tf.numpy_function(functools.partial(some, split), [found], tf.string), [None])
        name = row[named[0]] if named else tf.strings.join([split, tf.strings.as_string(index)], "-")
        pixels = pictures.on_white(row[image]) if channels == 4 else tf.repeat(row[image], 3 // channels, -1)
        return {"image": tf.ensure_shape(pixels, [None, None, 3]), "captions": found, "name": name}

    splits = {}
    for split, name in splits_among(builder.info.splits).items():
        rows = builder.as_dataset(split=name, shuffle_files=False).enumerate()
        splits[split] = rows.map(functools.partial(example, split), tf.data.AUTOTUNE)
    return splits


def _texts(features: dict) -> list[tuple[str, ...]]:
    """The ways to the captions among features: below a key with "caption", else "text", the leaves named so, if any."""
    for word in ("caption", "text"):
        below = [way for key, f in features.items() if word in key for way in _strings(f, (key,))]
        if below:
            return [way for way in below if re.search("caption|text", way[-1])] or below
    return []


def _strings(feature, way: tuple[str, ...], depth: int = 0) -> Iterator[tuple[str, ...]]:
    """The ways to the strings, and lists of strings, in a feature."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Sequence):
        yield from _strings(feature.feature, way, depth + 1)
    elif isinstance(feature, tfds.features.FeaturesDict):
        for key, inner in feature.items():
            yield from _strings(inner, (*way, key), depth)
    elif feature.tf_dtype == tf.string and depth + len(feature.shape) < 2:  # lists of lists come as ragged tensors
        yield way
