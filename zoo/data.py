"""Where examples come from, and how they become batches.

`DATA=` names a source: nothing (the task's built-in corpus), a TFDS name, or a path to a person's own files. All three
become a `Corpus`: splits of raw examples, dictionaries of tensors with the same keys whatever the source.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import itertools
import logging
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import requests
import tensorflow as tf

from zoo.errors import ZooError, causes

# Lengths at which a new bucket begins: the padding wastes less than half of a batch, usually a tenth.
BOUNDARIES = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
DEV_SHARE = 10  # one training example in so many is set aside where the source has no dev split


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Splits of raw examples.

    Attributes:
        name: short, fit for a folder's name.
        source: where it comes from, for the model card.
        splits: `train`, `dev`, `test` (those there are) -> datasets of dictionaries of tensors.
        dev_from_train: whether `dev` was cut out of the training split.
    """

    name: str
    source: str
    splits: Mapping[str, tf.data.Dataset]
    dev_from_train: bool = False

    def split(self, name: str) -> tf.data.Dataset:
        if name not in self.splits:
            raise ZooError(f"{self.source} has no {name} split; it has: {', '.join(self.splits)}")
        return self.splits[name]

    def strings(self, split: str, *names: str) -> list[list[str]]:
        """The string features of these names of all examples of a split, a list each; invalid UTF-8 is replaced."""
        rows = [
            [example[n].decode("utf-8", "replace") for n in names] for example in self.split(split).as_numpy_iterator()
        ]
        return [[row[i] for row in rows] for i in range(len(names))]


def open_corpus(task, data: str = "", cache: pathlib.Path = pathlib.Path("runs/tfds")) -> Corpus:
    """Open what `DATA=` names.

    Args:
        task: a `zoo.task.Task` class; its `builtin`, `from_tfds` and `from_files` say how it reads each source.
        data: empty, a TFDS name, or a path. A path that exists wins over a TFDS name.
        cache: where TFDS keeps the built-in corpus.

    Raises:
        ZooError: the name is unknown, the download can't be reached, or the files are malformed.
    """
    if not data:
        builder = task.builtin()(data_dir=cache)
        with _quietly():  # it is a matter of seconds
            _prepare(builder)
            splits = task.from_tfds(builder)
        return _with_dev(task, "builtin", f"built-in corpus ({builder.info.full_name})", splits)
    path = pathlib.Path(data).expanduser()
    if path.exists():
        absolute = path.resolve()
        name = f"{absolute.name}-{hashlib.sha256(str(absolute).encode()).hexdigest()[:6]}"
        return _with_dev(task, name, f"files in {data}", task.from_files(path))
    if os.sep in data and not _is_tfds(data):
        raise ZooError(f"{data}: no such file or folder, and no TFDS data set of that name")
    builder = _tfds_builder(data)
    _prepare(builder)
    return _with_dev(task, data.replace("/", "-"), f"TFDS {builder.info.full_name}", task.from_tfds(builder))


def _is_tfds(name: str) -> bool:
    import tensorflow_datasets as tfds

    return name.split("/")[0].split(":")[0] in tfds.list_builders(with_community_datasets=False)


def _tfds_builder(name: str):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, try_gcs=False)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError):
        raise ZooError(
            f"{name}: neither a path nor a TFDS data set (https://www.tensorflow.org/datasets/catalog)"
        ) from None


def _prepare(builder) -> None:
    """Download and build, with a clear word where the network can't be reached."""
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        if not builder.data_path.exists():
            _knock(builder)
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=config)
    except Exception as error:
        if any(map(_network, causes(error))):
            raise _unreachable(builder, error) from error
        raise


@contextlib.contextmanager
def _quietly():
    """TFDS without bars, and without warnings of what it does itself."""
    import tensorflow_datasets as tfds

    log = logging.getLogger("absl")
    level = log.level
    tfds.disable_progress_bar()
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
        tfds.enable_progress_bar()


def _knock(builder) -> None:
    """Ask the server of the first file for its head: TFDS itself would try for minutes, with a warning at every try."""
    for url in itertools.islice(builder.url_infos or (), 1):  # a corpus made from code has none
        requests.head(url, timeout=20)


def _network(error: BaseException) -> bool:
    return (
        type(error).__module__.split(".")[0] in ("requests", "urllib3", "urllib", "http", "socket", "ssl")
        or isinstance(error, (ConnectionError, TimeoutError))
        or type(error).__name__ == "DownloadError"
        or getattr(error, "errno", None) in (errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH)
    )


def _unreachable(builder, error) -> ZooError:
    reason = " ".join(str(error).split()).partition(" (Caused by")[0][:160]
    return ZooError(
        f"TFDS {builder.info.full_name} is not on this machine ({builder.data_path}) and its download can't be "
        f"reached: {reason}; connect to the network, or give DATA= a path to files of your own"
    )


def _with_dev(task, name: str, source: str, splits: Mapping[str, tf.data.Dataset]) -> Corpus:
    splits = dict(splits)
    cut = "dev" not in splits and "train" in splits
    if cut:
        whole = splits["train"]
        dev = whole.filter(lambda example: in_dev(task.key(example)))
        rest = whole.filter(lambda example: not in_dev(task.key(example)))
        if not all(any(True for _ in part.take(1)) for part in (dev, rest)):
            raise ZooError(
                f"{source}: too few training examples to set a dev split aside (1 in {DEV_SHARE}); "
                "add more, or a dev split"
            )
        splits |= {"train": rest, "dev": dev}
    return Corpus(name, source, splits, cut)


def in_dev(key: tf.Tensor) -> tf.Tensor:
    """Whether a training example belongs to the dev slice: by its content, so that copies of it do too."""
    return tf.strings.to_hash_bucket_fast(key, DEV_SHARE) == 0


def encoded(examples: tf.data.Dataset, encode: Callable) -> tf.data.Dataset:
    """Raw examples -> `(sequence, target)`, one by one; `encode` gets many at a time, as ragged tensors."""
    data = examples.ragged_batch(512).map(encode, tf.data.AUTOTUNE).unbatch()
    return data.map(lambda *example: tf.nest.map_structure(tf.identity, example))  # a ragged row is dense


def batches(
    examples: tf.data.Dataset,
    batch_size: int,
    max_length: int,
    seed: int | None = None,
    augment: Callable | None = None,
    mixed: int = 1,
    shuffle: int = 50_000,
) -> tf.data.Dataset:
    """Batch sequences of about the same length together.

    Args:
        examples: `(sequence, target)`; a sequence `[time, ...]`, or a dictionary of such, a target `[...]`. Parts of
            one fixed size, pictures say, are no sequences.
        batch_size: of every batch but the last of each bucket.
        max_length: of a sequence.
        seed: shuffles anew at each pass and repeats without end; None gives one pass, in bucket order.
        augment: a function, in the graph, that makes a new example of `mixed` examples, a tuple of them, and a seed,
            int64 `[2]`; the seeds follow from `seed`.
        shuffle: number of examples to draw the next one from.

    Returns:
        `(sequences, targets)` padded with zeros to the longest in the batch.
    """
    if seed is not None:
        shuffled = lambda i: examples.shuffle(shuffle, seed=seed + i, reshuffle_each_iteration=True).repeat()
        if augment:
            seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=False).batch(2)
            examples = tf.data.Dataset.zip(tuple(shuffled(i) for i in range(mixed)), seeds)
            examples = examples.map(augment, tf.data.AUTOTUNE, deterministic=True)
        else:
            examples = shuffled(0)
    boundaries = [b for b in BOUNDARIES if b <= max_length]
    return examples.bucket_by_sequence_length(
        lambda sequence, target: tf.reduce_max([tf.shape(part)[0] for part in _sequences(sequence)]),
        [b + 1 for b in boundaries],
        [batch_size] * (len(boundaries) + 1),
    ).prefetch(tf.data.AUTOTUNE)


def _sequences(parts) -> list:
    """Those of unknown length; all where there is no such."""
    parts = tf.nest.flatten(parts)
    return [part for part in parts if part.shape[0] is None] or parts


def count(examples: tf.data.Dataset) -> int:
    """Number of examples."""
    known = examples.cardinality()
    return int(known if known >= 0 else examples.reduce(np.int64(0), lambda total, *example: total + 1))
