"""Parallel streams: a corpus that is one long sequence, cut for truncated backpropagation through time.

The symbols stand in a file, which is read where a batch needs it, so that a corpus may be larger than the memory. Row r
of a batch reads on where it stopped in the batch before; at the end of the corpus it goes on at its beginning.

    corpus      a b c d e f g h i j k l            rows = 2, k1 = 2, k2 = 3
    batch 0     a b c | g h i                      (a window has k2 symbols, and the one to predict after the last)
    batch 1     c d e | i j k                      its loss is of the last k1 symbols
    batch 2     e f g | k l a
"""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow as tf

from zoo.errors import ZooError
from zoo.files import replacing


def write(pieces: tf.data.Dataset, path: pathlib.Path) -> np.ndarray:
    """The pieces' symbols after each other, in a file, mapped into memory.

    Args:
        pieces: each a tensor `[n]`, or `[n, columns]`, integers of one type.
        path: of the file, which holds these numbers and nothing else.

    Raises:
        ZooError: there are fewer than two symbols.
    """
    spec, count = pieces.element_spec, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        for piece in pieces.as_numpy_iterator():
            file.write(np.ascontiguousarray(piece).tobytes())
            count += len(piece)
        if count < 2:
            raise ZooError(f"a corpus of {count} symbol{'s' * (count != 1)}; expected at least two to learn from")
    return np.memmap(path, spec.dtype.as_numpy_dtype, "r", shape=(count, *spec.shape[1:]))


def fitting_rows(symbols: int, rows: int, k2: int) -> int:
    """So many rows, or fewer where the corpus is too short for windows of k2 symbols in each."""
    return max(1, min(rows, symbols // (k2 + 1)))


def steps_per_pass(symbols: int, rows: int, k1: int) -> int:
    """Batches until each symbol has been predicted, about once."""
    return max(1, round((symbols - 1) / (rows * k1)))


def training(symbols: np.ndarray, rows: int, k1: int, k2: int, seed: int, restart: int) -> tf.data.Dataset:
    """Endless batches ({"symbols" `[rows, k2 + 1, ...]`, "begin" bool `[rows]`}, weights float32 `[rows, k2]`).

    The weights are 1 for the predictions that count: the last k1 of a window, and all in one that begins anew. One row
    in `restart` does in every batch, as from a prompt, too, one begins with nothing before it; 0: only the first batch.
    The batch of step n is the same in every run.
    """
    rows = fitting_rows(len(symbols), rows, k2)
    starts = np.arange(rows) * (len(symbols) // rows)
    late = (np.arange(k2) >= k2 - k1)[None]

    def batch(step):
        begin = (np.random.default_rng((seed, int(step))).integers(max(1, restart), size=rows) == 0) & (restart > 0)
        begin |= step == 0
        places = (starts + step * k1)[:, None] + np.arange(k2 + 1)
        return symbols[places % len(symbols)], begin, (late | begin[:, None]).astype(np.float32)

    return _batches(tf.data.Dataset.range(2**40), batch, symbols, rows, k2)


def once(symbols: np.ndarray, rows: int, k2: int) -> tf.data.Dataset:
    """The same, of one pass in which each symbol but the first is predicted exactly once."""
    rows = fitting_rows(len(symbols), rows, k2)
    each = -(-len(symbols) // rows)  # symbols of a row
    ends = np.minimum((np.arange(rows) + 1) * each, len(symbols) - 1)  # the last symbols to predict

    def batch(step):
        places = (np.arange(rows) * each + step * k2)[:, None] + np.arange(k2 + 1)
        counted = (places[:, 1:] <= ends[:, None]).astype(np.float32)
        return symbols[np.minimum(places, len(symbols) - 1)], np.full(rows, step == 0), counted

    return _batches(tf.data.Dataset.range(-(-each // k2)), batch, symbols, rows, k2)


def _batches(steps, batch, symbols, rows, k2):
    types = [tf.as_dtype(symbols.dtype), tf.bool, tf.float32]

    def one(step):
        window, begin, weights = tf.numpy_function(batch, [step], types)
        window = tf.ensure_shape(window, [rows, k2 + 1, *symbols.shape[1:]])
        return {"symbols": window, "begin": tf.ensure_shape(begin, [rows])}, tf.ensure_shape(weights, [rows, k2])

    return steps.map(one).prefetch(tf.data.AUTOTUNE)
