"""Clips with a label for every frame: npz files, folders of images, videos, TFDS corpora; frames in the graph.

A raw example is `{"frames", "labels", "name"}`: uint8 `[T, H, W, C]` with C 1 or 3, or given features (poses of a body,
say) float32 `[T, F]`; `tf.string` `[T]`; `tf.string`. People's labels are a list, one for each frame, or intervals
`start <= t < end`: a frame has the label of the interval that its midpoint lies in, and `none` where there is no such.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from zoo import frame_labels, video_files
from zoo.errors import ZooError, note
from zoo.files import splits_among
from zoo.frame_labels import NONE, Intervals, Lines
from zoo.video_files import IMAGES, VIDEOS, camera, npz_array

__all__ = ["NONE", "Clip", "camera", "convert", "from_tfds", "load", "read"]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
KINDS = (
    f"NAME.npz, a folder NAME/ of images ({' '.join(IMAGES)}) with labels.txt or labels.csv, "
    f"or a video ({' '.join(VIDEOS)}) with NAME.txt or NAME.csv beside it"
)


class Clip(NamedTuple):
    """Frames uint8 `[T, H, W, C]` or features float32 `[T, F]`; a label for each; frames a second; where known."""

    frames: np.ndarray
    labels: list[str] | None
    fps: float | None
    name: str


def read(path) -> dict[str, tf.data.Dataset]:
    """Split -> raw examples, from the folders `train`, `dev`, `test` (see `zoo.files.SPLITS`) or a single one: train.

    Every entry of such a folder is a clip. Other files are left alone.

    - `NAME.npz` with `frames`, uint8 `[T, H, W]` (grey) or `[T, H, W, C]`, C 1, 3 or 4 (alpha is dropped), or
      `features` `[T, F]`; and with `labels` `[T]` (strings, or integers that number the strings in `classes` or
      `names`) or intervals `starts`, `ends` (or `start_seconds`, `end_seconds` and `fps`), `interval_labels`, `[N]`.
    - `NAME/` with images in the order of their numbers, and `labels.txt`, a line for each frame, or `labels.csv`,
      intervals with the header `start,end,label`, in frames, the end exclusive.
    - a video, with such a `NAME.txt` or `NAME.csv` (or with the header `start_seconds,end_seconds,label`) beside it.

    Images and videos of more than 320 pixels are made smaller as they are decoded. Frames that no interval covers are
    labelled "none". Intervals that end past the last frame are cut off there, with a note. Frames are decoded when the
    dataset is iterated, all else is checked at once.

    Raises:
        ZooError: a file is malformed; it is named with the line or frame. One that is found in decoding comes through
            TensorFlow's exceptions: `zoo.errors.explain` finds it there.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        raise ZooError(f"{path}: expected a folder of clips, or of the folders train, dev and test with clips")
    folders = splits_among({entry.name for entry in path.iterdir() if entry.is_dir()})
    splits = {split: _listed(path / name) for split, name in folders.items()} or {"train": _listed(path)}
    sources = [source for listed in splits.values() for source in listed]
    _check_widths(sources)
    if "train" in splits:
        _check_known(splits["train"], [source for split in splits if split != "train" for source in splits[split]])
    _note_cut([end for source in sources for end in source.labels.cut(source.count)])
    return {split: _dataset(listed) for split, listed in splits.items()}


def load(path, labelled: bool = True) -> Clip:
    """One clip, of any kind that `read` takes; its labels are optional, and not looked for unless `labelled`.

    Raises:
        ZooError: there is no such clip, or it is malformed.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ZooError(f"{path}: no such file or folder; expected a clip: {KINDS}")
    source = _open(path, labelled)
    if source is None:
        raise ZooError(f"{path}: no clip; expected {KINDS}")
    frames = source.decode()
    if source.labels:
        _note_cut(source.labels.cut(len(frames)))
    return Clip(frames, source.labels and source.labels.of(len(frames)), source.fps, source.name)


def _listed(folder: pathlib.Path) -> list[_Source]:
    opened = (_open(path) for path in video_files.in_order(folder.iterdir()))
    sources = [source for source in opened if source]
    if not sources:
        raise ZooError(f"{folder}: no clips found; expected {KINDS}")
    for source in sources:
        if source.labels is None:
            raise ZooError(f"{source.path}: a clip without labels; expected {source.wanted}")
        source.labels.check(source.count)
    return sources


def _check_widths(sources: list[_Source]) -> None:
    kind = lambda source: f"features of width {source.width}" if source.width else "frames"
    for source in sources:
        if source.width != sources[0].width:
            raise ZooError(f"{source.path}: {kind(source)}; expected {kind(sources[0])}, as in {sources[0].path}")


def _check_known(train: list[_Source], others: list[_Source]) -> None:
    known = {label for source in train for label in source.labels.used()} | {NONE}
    for source in others:
        for label in sorted(source.labels.used() - known):
            there = ", ".join(sorted(known - {NONE})[:10])
            raise ZooError(f"{source.labels.path}: label {label!r} is that of no training clip; theirs are: {there}")


def _note_cut(ends: list[str]) -> None:
    if ends:
        what = "interval ends" if len(ends) == 1 else "intervals end"
        note(f"{ends[0]}: {len(ends)} {what} past the last frame; cut off there")


def _dataset(sources: list[_Source]) -> tf.data.Dataset:
    width = sources[0].width
    signature = {
        "frames": tf.TensorSpec([None, width], tf.float32) if width else tf.TensorSpec([None] * 4, tf.uint8),
        "labels": tf.TensorSpec([None], tf.string),
        "name": tf.TensorSpec([], tf.string),
    }

    def examples():
        for source in sources:
            frames = source.decode()
            yield {"frames": frames, "labels": source.labels.of(len(frames)), "name": source.name}

    data = tf.data.Dataset.from_generator(examples, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(len(sources)))


# Kinds of clips -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Source:
    """A clip on disk, whose frames are still to be decoded.

    Attributes:
        count: of frames; what a video's container promises may be off by a few.
        width: of given features; 0 for frames.
        wanted: where labels are looked for.
    """

    path: pathlib.Path
    name: str
    count: int
    width: int
    fps: float | None
    labels: Lines | Intervals | None
    wanted: str
    decode: Callable[[], np.ndarray]


def _open(path: pathlib.Path, labelled: bool = True) -> _Source | None:
    """The clip at a path; None if there isn't any of the known kinds."""
    if path.is_dir():
        return _images(path, labelled)
    if path.suffix.lower() == ".npz":
        return _npz(path, labelled)
    return _video(path, labelled) if path.suffix.lower() in VIDEOS else None


def _images(path: pathlib.Path, labelled: bool) -> _Source:
    images = video_files.images(path)
    if not images:
        raise ZooError(f"{path}: no frames; expected images ({' '.join(IMAGES)}) in a folder of a clip")
    labels = frame_labels.from_text(path / "labels", None) if labelled else None
    decode = functools.partial(video_files.decode_images, images)
    return _Source(path, path.name, len(images), 0, None, labels, "labels.txt or labels.csv in it", decode)


def _video(path: pathlib.Path, labelled: bool) -> _Source:
    count, fps = video_files.measure(path)
    stem = path.with_suffix("")
    labels = frame_labels.from_text(stem, fps) if labelled else None
    if labels and not labels.fit(count):  # before blaming the labels, count in earnest
        count = video_files.count_frames(path)
    decode = functools.partial(video_files.decode_video, path)
    return _Source(path, stem.name, count, 0, fps, labels, f"{stem.name}.txt or {stem.name}.csv beside it", decode)


def _npz(path: pathlib.Path, labelled: bool) -> _Source:
    headers = video_files.npz_headers(path)
    given = [name for name in ("frames", "features") if name in headers]
    if len(given) != 1:
        raise ZooError(f"{path}: expected one of the arrays frames and features; found {', '.join(headers) or 'none'}")
    (shape, dtype), fps = headers[given[0]], None
    if "fps" in headers:
        fps = npz_array(path, "fps")
        if fps.size != 1 or fps.dtype.kind not in "iuf" or not 0 < fps.item() < math.inf:
            raise ZooError(f"{path}: fps is {fps.dtype} of shape {fps.shape}; expected a number above 0")
        fps = float(fps.item())
    found = f"{path}: {given[0]} are {dtype} of shape {list(shape)}"
    if given == ["frames"]:
        if dtype != np.uint8 or not (len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3, 4))):
            raise ZooError(f"{found}; expected uint8 [T, H, W] or [T, H, W, C] with C 1, 3 or 4")
    elif dtype.kind not in "iuf" or len(shape) != 2:
        raise ZooError(f"{found}; expected numbers [T, F]")
    if not math.prod(shape):
        raise ZooError(f"{found}: no frames; expected at least one")
    width, decode = (shape[1], _decode_features) if given == ["features"] else (0, _decode_frames)
    labels = frame_labels.from_npz(path, headers, fps) if labelled else None
    wanted = "an array labels, or starts, ends and interval_labels"
    return _Source(path, path.stem, shape[0], width, fps, labels, wanted, functools.partial(decode, path))


def _decode_frames(path: pathlib.Path) -> np.ndarray:
    frames = npz_array(path, "frames")
    return frames[..., None] if frames.ndim == 3 else frames[..., :3]


def _decode_features(path: pathlib.Path) -> np.ndarray:
    with np.errstate(over="ignore"):  # too large for float32 is not finite, as is said below
        features = npz_array(path, "features").astype(np.float32)
    odd = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if odd.size:
        raise ZooError(f"{path}: frame {odd[0]}: a feature is not finite; expected finite float32 numbers")
    return features


# In the graph ---------------------------------------------------------------------------------------------------------


def convert(frames: tf.Tensor, height: int, width: int, channels: int) -> tf.Tensor:
    """Frames `[N, H, W, C]`, uint8 or float in 0..255, C 1, 3 or 4 -> float32 `[N, height, width, channels]`, 0..255.

    All dimensions may be unknown until the graph runs. Alpha is dropped; colour becomes grey by its luma (BT.601),
    grey becomes colour by repetition. Frames of another size are resized, bilinearly and with antialiasing; those of
    this size keep their values to the last bit.
    """
    frames = tf.ensure_shape(frames, [None] * 4)
    count, rows, columns, depth = tf.unstack(tf.shape(frames))
    frames = tf.cond(
        (rows == height) & (columns == width),
        lambda: tf.cast(frames, tf.float32),
        lambda: tf.cast(tf.image.resize(frames, [height, width], antialias=True), tf.float32),
    )[..., :3]
    if channels == 1:
        frames = tf.cond(depth == 1, lambda: frames, lambda: tf.reduce_sum(frames * LUMA, -1, keepdims=True))
    return tf.broadcast_to(frames, tf.stack([count, height, width, channels]))


# TFDS -----------------------------------------------------------------------------------------------------------------


def from_tfds(builder) -> dict[str, tf.data.Dataset]:
    """Split -> raw examples, from a prepared TFDS builder with a video, or features of its frames, and their classes.

    One class for the clip is that of every frame. A text feature `name` is the example's name, else "train-0" etc.

    Raises:
        ZooError: it has no such features, or more than one.
    """
    import tensorflow_datasets as tfds

    features = {name: f for name, f in builder.info.features.items() if isinstance(f.tf_dtype, tf.DType)}
    video = [n for n, f in features.items() if f.tf_dtype == tf.uint8 and len(f.shape) == 4 and f.shape[3] in (1, 3, 4)]
    vectors = [n for n, f in features.items() if f.tf_dtype.is_floating and len(f.shape) == 2 and f.shape[1]]
    classes = [n for n, f in features.items() if isinstance(getattr(f, "feature", f), tfds.features.ClassLabel)]
    classes = [n for n in classes if n in ("labels", "label")][:1] or classes
    if len(video or vectors) != 1 or len(classes) != 1:
        raise ZooError(
            f"TFDS {builder.info.full_name} is no corpus of labelled clips: expected one video [T, H, W, C] (or floats "
            f"[T, F]) and one class label among its features, found {', '.join(builder.info.features)}"
        )
    frames, labels = (video or vectors)[0], classes[0]
    names = getattr(features[labels], "feature", features[labels]).names
    named = isinstance(features.get("name"), tfds.features.Text)

    def example(split, index, row):
        clip = row[frames][..., :3] if video else tf.cast(row[frames], tf.float32)
        label = tf.gather(tf.constant(names), row[labels])
        if not label.shape.rank:
            label = tf.repeat(label, tf.shape(clip)[0])
        tf.debugging.assert_equal(tf.shape(label)[0], tf.shape(clip)[0], f"{labels}: expected one for each frame")
        name = row["name"] if named else tf.strings.join([split, tf.strings.as_string(index)], "-")
        return {"frames": clip, "labels": label, "name": name}

    splits = {}
    for split, name in splits_among(builder.info.splits).items():
        rows = builder.as_dataset(split=name, shuffle_files=False).enumerate()
        splits[split] = rows.map(functools.partial(example, split), tf.data.AUTOTUNE)
    return splits
