"""generation, two experts: chords and durations so far -> the next chord and the next duration

Two sub-networks, as in Atzberger's lecture on recurrent networks: one gives the probability of the next chord, the
other of the next duration, given the chord that was just chosen; the pair that is drawn is the next input of both. A
tune ends by an end symbol, by a stop output that is drawn at every step, or after a number of bars that is drawn in
advance.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib

import numpy as np
import tensorflow as tf

from zoo import generation, serving, tables, training, tune_examples, tune_likelihood
from zoo.config import TrainingConfig, setting
from zoo.events import COLUMNS, DURATION, METER, Vocabulary, transposed
from zoo.layers.stack import CELLS
from zoo.task import Task
from zoo.tune_generator import DEFAULTS
from zoo.tune_network import TuneNetwork

EXPERTS, STOPS, KEYS = ("absolute", "motion"), ("symbol", "bernoulli", "length"), ("all", "tonic")


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    experts: tuple[str, ...] = setting(("absolute",), "of the chord; several are multiplied", choices=EXPERTS)
    stop: str = setting("length", "how a tune ends", choices=STOPS)
    count_steps: bool = setting(False, "tell the number of the step")
    keys: str = setting("all", "each tune in all keys by turns, or brought to C by its key", choices=KEYS)
    copies: int = setting(12, "times that the tunes stand in a pass, in other keys and another order", minimum=1)
    least: int = setting(20, "times that a type of chord or a duration occurs, to be told apart", minimum=1)
    k1: int = setting(64, "events between two updates", minimum=1)
    k2: int = setting(64, "events that a gradient goes back through; at least k1", minimum=1)
    embedding_dim: int = setting(96, "width of what is read of an event", minimum=1)
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(256, "cells of a recurrent layer", minimum=1)
    depth: int = setting(1, "recurrent layers of each expert", minimum=1)
    dropout: float = setting(0.3, "between and after the layers", minimum=0.0, maximum=0.95)
    weight_dropout: float = setting(0.2, "of weights of the recurrent kernels", minimum=0.0, maximum=0.95)
    half: bool = setting(False, "store the exported weights as float16")

    def __post_init__(self):
        training.check_truncation(self.k1, self.k2)


class Jazz(Task):
    Config = Config
    presets = {
        "small": dict(units=96, embedding_dim=48, copies=6, least=5, epochs=6, batch_size=32, learning_rate=8e-3)
        | dict(dropout=0.1, weight_dropout=0.0, patience=0),
        "base": dict(epochs=6, batch_size=64, learning_rate=3e-3),
        "motion": dict(experts=("motion",), epochs=6, learning_rate=3e-3),
        "product": dict(experts=("absolute", "motion"), epochs=6, learning_rate=3e-3),
        "standards": dict(experts=("absolute", "motion"), epochs=3, batch_size=64, learning_rate=3e-3, half=True),
    }
    monitor = ("nats", "min")
    streamed = True
    restart = 0  # tunes begin everywhere in a stream
    intended_use = "Writing chord progressions like those that it was trained on, and telling how probable one is."
    limits = (
        "It knows what comes after what in its training tunes; it knows no melody, and no rule for what sounds well.",
        "It may repeat passages of its training tunes.",
    )
    demo = "Dm7:4 G7:4"

    # Data ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def builtin():
        from tasks.corpora.standards import Standards

        return Standards

    @classmethod
    def from_tfds(cls, builder):
        return tune_examples.from_tfds(builder)

    @classmethod
    def from_files(cls, path: pathlib.Path):
        return tune_examples.from_files(path)

    @staticmethod
    def key(example):
        return example["title"]

    def learn(self, train):
        self.assets |= Vocabulary.learn(tune_examples.tunes(train), self.config.least).as_assets()

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary.from_assets(self.assets)

    def encoded(self, examples, copies: int = 1):
        """Rows of tunes, one by one; of `copies`, each in another order and, if keys are not told, in another key."""
        rows = [self.vocabulary.rows(tune) for tune in tune_examples.tunes(examples, self.config.keys == "tonic")]
        rows = [row for row in rows if len(row) > 1]  # of a tune without events nothing is to be learnt
        draw, whole = np.random.default_rng(self.config.seed), self.config.keys == "all"
        shifts = draw.permuted(np.tile(np.arange(12), (len(rows), 1)), axis=1)

        def several():
            for copy in range(copies):
                for i in draw.permutation(len(rows)) if copies > 1 else range(len(rows)):
                    yield transposed(rows[i], int(shifts[i, copy % 12])) if whole and copies > 1 else rows[i]

        spec = tf.TensorSpec([None, len(COLUMNS)], tf.int32)
        return tf.data.Dataset.from_generator(several, output_signature=spec)

    def encoded_for_training(self, examples):
        return self.encoded(examples, self.config.copies)

    # Model --------------------------------------------------------------------------------------------------------

    def build(self):
        model = TuneNetwork(self.config, self.vocabulary)
        model({"symbols": tf.zeros([1, 2, len(COLUMNS)], tf.int32), "begin": tf.ones([1], tf.bool)})
        return model

    def loss(self):
        return None  # the model has its own

    # Serving ------------------------------------------------------------------------------------------------------

    def signatures(self, model):
        kinds, meters = self.vocabulary, tf.constant(self.vocabulary.meters, tf.int32)
        shown = tf.constant(["", "N.C.", *itertools.chain(*kinds.symbols())])
        beats = tf.constant([float(duration) for duration in kinds.durations])

        def begin(bars, meter, seed):
            number = tf.argmin(tf.reduce_sum(tf.abs(meters - meter[:, None]), 2), 1, tf.int32)  # it is one of these
            return {"last": model.begun(bars, number, tf.fill([2], seed))}

        def read(rows, state, last):
            """Rows as `zoo.events` has them: what they are of is the caller's to tell."""
            lengths = tf.reduce_sum(tf.cast(rows[:, :, METER] >= 0, tf.int32), 1)  # padding has -1 everywhere
            both = tf.maximum(tf.concat([last[:, None], rows], 1), 0)
            rows = both[:, 1:]
            mask = tf.sequence_mask(lengths, tf.shape(rows)[1])
            outputs, states = model.read(both[:, :-1], generation.unpacked(model, state), mask=mask)
            flat = lambda x: tf.reshape(x, [-1, x.shape[-1]])
            vectors, before, after = [flat(v) for v in outputs["vectors"]], flat(both[:, :-1]), flat(rows)
            found, right = model.log_probabilities(vectors, before, after)
            found |= {f"top_{k}": each for k, each in zip((1, 3, 5), right, strict=True)}
            found = {name: tf.reshape(value, tf.shape(mask)) for name, value in found.items()}
            state, last = generation.packed(states), tf.gather(both, lengths, batch_dims=1)
            return {**found, "steps": lengths, "state": state, "last": last}

        def write(state, last, length, first, seed, temperature, top_k, top_p):
            drawn = (length, first, seed, temperature, top_k, top_p)
            rows, count, states, last, done = model.write(generation.unpacked(model, state), last, *drawn)
            return {
                "chords": tf.gather(shown, model.classes_of(rows)),
                "beats": tf.gather(beats, rows[:, :, DURATION]),
                "count": count,
                "ended": done,
                "state": generation.packed(states),
                "last": last,
            }

        def answer(bars, meter):
            options = generation.default_options(DEFAULTS)
            last = begin(bars, meter, options["seed"])["last"]
            found = write(tf.zeros([tf.size(bars), state.shape[1]]), last, **options)
            return {name: found[name] for name in ("chords", "beats", "count")}

        state, last = generation.state_specs(model, len(COLUMNS))
        tune = [tf.TensorSpec([None], tf.int32, "bars"), tf.TensorSpec([None, 2], tf.int32, "meter")]
        functions = {
            "serving_default": (answer, tune),
            "begin": (begin, [*tune, tf.TensorSpec([], tf.int64, "seed")]),
            "read": (read, [tf.TensorSpec([None, None, len(COLUMNS)], tf.int32, "rows"), state, last]),
            "write": (write, [state, last, *generation.draw_specs()]),
        }
        return serving.in_half(model, functions) if self.config.half else functions

    # Measuring ----------------------------------------------------------------------------------------------------

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        in_c = model.card["training"]["config"]["keys"] == "tonic"
        known = tune_examples.tunes(train, in_c) if train else []
        return tune_likelihood.report(model, tune_examples.tunes(examples, in_c), known, progress)

    @classmethod
    def show(cls, report):
        tables.jazz(report)

    @classmethod
    def draw(cls, report, folder: pathlib.Path, examples=None):
        return tune_likelihood.draw(report, folder)

    @classmethod
    def search_space(cls, hp):
        return {
            "units": hp.Choice("units", [128, 192, 256, 384]),
            "embedding_dim": hp.Choice("embedding_dim", [48, 96, 128]),
            "dropout": hp.Float("dropout", 0.1, 0.6, step=0.1),
            "weight_dropout": hp.Float("weight_dropout", 0.0, 0.5, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        }
