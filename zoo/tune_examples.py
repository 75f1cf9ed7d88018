"""Tunes as raw examples of a corpus, and back.

A raw example is `{"title", "key": tf.string, "meter": int32 [2], "tempo": float32, "chords": tf.string [N], "beats":
float32 [N]}`: canonical chord symbols, and their durations in quarter notes.
"""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterator
from fractions import Fraction

import tensorflow as tf

from zoo import chords, tune_reading
from zoo.charts import GRID, Event, Tune
from zoo.errors import ZooError
from zoo.files import splits_among

SPEC = {
    "title": tf.TensorSpec([], tf.string),
    "key": tf.TensorSpec([], tf.string),
    "meter": tf.TensorSpec([2], tf.int32),
    "tempo": tf.TensorSpec([], tf.float32),
    "chords": tf.TensorSpec([None], tf.string),
    "beats": tf.TensorSpec([None], tf.float32),
}


def dataset(tunes: list[Tune]) -> tf.data.Dataset:
    def rows() -> Iterator[dict]:
        for tune in tunes:
            beats = [float(event.beats) for event in tune.events]
            symbols = [event.chord.symbol for event in tune.events]
            facts = {"title": tune.title, "key": tune.key, "meter": tune.meter, "tempo": tune.tempo or 0.0}
            yield {**facts, "chords": symbols, "beats": beats}

    return tf.data.Dataset.from_generator(rows, output_signature=SPEC).apply(
        tf.data.experimental.assert_cardinality(len(tunes))
    )


def tunes(examples: tf.data.Dataset, in_c: bool = False) -> list[Tune]:
    """The tunes of raw examples; `in_c`: those whose key is told are brought to C, or C minor."""
    found = []
    for row in examples.as_numpy_iterator():
        symbols = [symbol.decode() for symbol in row["chords"]]
        beats = [Fraction(round(float(b) * GRID), GRID) for b in row["beats"]]
        events = [Event(chords.parse(symbol), b) for symbol, b in zip(symbols, beats, strict=True)]
        key = row["key"].decode()
        tune = Tune(row["title"].decode(), events, tuple(map(int, row["meter"])), key, float(row["tempo"]))
        found.append(tune.transposed(-chords.parse(key.removesuffix("m")).pitch_class % 12) if in_c and key else tune)
    return found


def from_files(path: pathlib.Path) -> dict[str, tf.data.Dataset]:
    """Split -> raw examples, of what `zoo.tune_reading.read` reads."""
    return {split: dataset(found) for split, found in tune_reading.read(path).items()}


def from_tfds(builder) -> dict[str, tf.data.Dataset]:
    """Split -> raw examples, from a prepared TFDS builder with features `chords` and `beats`; the others may lack."""
    features = builder.info.features
    if not {"chords", "beats"} <= set(features):
        raise ZooError(
            f"TFDS {builder.info.full_name}: expected features chords and beats; it has {', '.join(features)}"
        )
    usual = {"title": "", "key": "", "meter": [4, 4], "tempo": 0.0}

    def example(split, index, row):
        row = {**usual, **{name: row[name] for name in SPEC if name in features}}
        if "title" not in features:
            row["title"] = tf.strings.join([split, tf.strings.as_string(index)], "-")
        return {name: tf.ensure_shape(tf.cast(row[name], spec.dtype), spec.shape) for name, spec in SPEC.items()}

    return {
        split: builder.as_dataset(split=own, shuffle_files=False).enumerate().map(functools.partial(example, split))
        for split, own in splits_among(builder.info.splits).items()
    }
