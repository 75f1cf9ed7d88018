"""generation, characters: text so far -> the next character

A recurrent network reads a character at a time and tells the probabilities of the next one; one is drawn, and is the
next input (Graves 2013; Karpathy's min-char-rnn). It is trained by truncated backpropagation through time on one long
text.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from zoo import decoding, generation, plots, serving, tables, text_files, text_likelihood, training
from zoo.config import TrainingConfig, setting
from zoo.layers.cache import ContinuousCache
from zoo.layers.stack import CELLS, RecurrentStack
from zoo.losses import token_losses
from zoo.task import Task
from zoo.text_generator import DEFAULTS

START, UNKNOWN = 0, 1  # ids: nothing before; a character that training did not have. Neither is ever said.
UNKNOWN_SIGN = "\ufffd"


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    vocabulary_size: int = setting(5_000, "characters, at most: the most frequent ones", minimum=2)
    k1: int = setting(128, "characters between two updates", minimum=1)
    k2: int = setting(128, "characters that a gradient goes back through; at least k1", minimum=1)
    embedding_dim: int = setting(64, "width of a character's vector", minimum=1)
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(512, "cells of a recurrent layer", minimum=1)
    depth: int = setting(2, "recurrent layers", minimum=1)
    dropout: float = setting(0.4, "between and after the layers", minimum=0.0, maximum=0.95)
    weight_dropout: float = setting(0.2, "of weights of the recurrent kernels", minimum=0.0, maximum=0.95)
    cache: int = setting(2000, "characters of its past that the exported model looks up; 0 for none", minimum=0)
    cache_share: float = setting(
        0.6, "of the probability, at most, that comes from the cache", minimum=0.0, maximum=0.99
    )
    cache_sharpness: float = setting(
        20.0, "what the likeness of two outputs, a cosine, is multiplied by", minimum=0.0, maximum=50.0
    )
    cache_likeness: float = setting(0.95, "from which on a place in the cache counts for more than the network")
    half: bool = setting(False, "store the exported weights as float16")

    def __post_init__(self):
        training.check_truncation(self.k1, self.k2)


class CharacterModel(training.TruncatedBPTT):
    """Windows of character ids -> the logits of each next character."""

    def __init__(self, config: Config, symbols: int):
        super().__init__(config.k1, name="language")
        options = {name: getattr(config, name) for name in ("depth", "cell", "dropout", "weight_dropout")}
        self.embedding = keras.layers.Embedding(symbols, config.embedding_dim, name="embedding")
        self.stack = RecurrentStack(config.units, return_state=True, name="stack", **options)
        self.softmax = keras.layers.Dense(symbols, dtype="float32", name="softmax")
        self.embedding.build(None)
        self.stack.build((None, None, config.embedding_dim))
        self.softmax.build((None, None, self.stack.width))
        zeros, _ = self.stack.stepper()
        self.carry([state.shape[1] for state in zeros(1)])
        self.cache = None
        if config.cache:
            self.cache = ContinuousCache(
                config.cache, self.stack.width, config.cache_share, config.cache_sharpness, config.cache_likeness
            )
            self.widths = [*self.widths, *self.cache.widths]

    def inputs_of(self, symbols, begin):
        symbols = tf.cast(symbols, tf.int32)
        return tf.concat([tf.where(begin[:, None], START, symbols[:, :1]), symbols[:, 1:]], 1)

    def read(self, inputs, states, training=False, mask=None):
        vectors, states = self.stack(self.embedding(inputs), initial_state=states, mask=mask, training=training)
        return self.softmax(vectors), states

    def losses(self, outputs, targets):
        return token_losses(outputs, tf.cast(targets, tf.int32))

    def predict_next(self, inputs, states, lengths):
        """For scoring: log-probabilities of each next symbol, with the cache if there is one, and the states after.

        Args:
            inputs: ids int32 `[rows, time]`, of which `lengths`, int32 `[rows]`, count.
        """
        states, memory = self._with_memory(states)
        mask = tf.sequence_mask(lengths, tf.shape(inputs)[1])
        vectors, states = self.stack(self.embedding(inputs), initial_state=states, mask=mask)
        log_p = tf.nn.log_softmax(self.softmax(vectors))
        if self.cache:
            log_p, memory = self.cache.read(tf.cast(vectors, tf.float32), inputs, lengths, log_p, memory)
        return log_p, [*states, *memory]

    def stepper(self):
        """For writing: states as `step` takes them, `step` as of `zoo.decoding`, and states as they came."""
        _, run = self.stack.stepper()
        table, kernel, bias = map(tf.convert_to_tensor, (self.embedding.embeddings, *self.softmax.weights))
        never = tf.reduce_sum(tf.one_hot([START, UNKNOWN], bias.shape[0], on_value=-float("inf")), 0)
        cache = self.cache

        def begin(states):
            states, memory = self._with_memory(states)
            return states, cache.opened(memory) if cache else memory

        def step(state, token):
            states, memory = state
            vector, states = run(tf.gather(table, token), states)
            logits = vector @ kernel + bias
            if cache:
                logits, memory = cache.step(vector, token, tf.nn.log_softmax(logits), memory)
            return logits + never, (states, memory)

        def end(state):
            states, memory = state
            return [*states, *(cache.closed(memory) if cache else memory)]

        return begin, step, end

    def _with_memory(self, states):
        """The network's states, and the cache's."""
        count = len(self.widths) - (len(self.cache.widths) if self.cache else 0)
        return list(states[:count]), list(states[count:])


class Language(Task):
    Config = Config
    presets = {
        "small": dict(
            units=128, depth=1, embedding_dim=32, dropout=0.1, weight_dropout=0.0, batch_size=16, k1=64, k2=64
        )
        | dict(epochs=12, learning_rate=8e-3),
        "base": dict(epochs=20, learning_rate=2e-3),
        "shakespeare": dict(epochs=20, batch_size=32, learning_rate=2e-3, averaging=0.998, patience=0)
        | dict(weight_dropout=0.3),
    }
    monitor = ("nats", "min")
    streamed = True
    intended_use = "Writing text like that which it was trained on, and telling how probable a text is."
    limits = (
        "It knows the characters, words and manners of its training text, and no facts: what it says means nothing.",
        "It may repeat passages of its training text.",
    )
    demo = "The "

    # Data ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def builtin():
        from tasks.corpora.plays import Plays

        return Plays

    @classmethod
    def from_tfds(cls, builder):
        return text_files.from_tfds(builder)

    @classmethod
    def from_files(cls, path: pathlib.Path):
        return text_files.read(path)

    @staticmethod
    def key(example):
        return example["text"]

    @classmethod
    def size(cls, examples):
        lengths = examples.map(lambda e: tf.strings.length(e["text"], unit="UTF8_CHAR"))
        return int(lengths.reduce(np.int64(0), lambda total, n: total + tf.cast(n, tf.int64)))

    def learn(self, train):
        counts = collections.Counter()
        for example in train.as_numpy_iterator():
            counts.update(example["text"].decode())
        self.assets["symbols"] = sorted(c for c, _ in counts.most_common(self.config.vocabulary_size))

    def encoded(self, examples):
        kind = tf.uint16 if len(self.assets["symbols"]) < 2**16 - 2 else tf.int32
        return examples.map(lambda e: tf.cast(self._ids(e["text"]), kind), tf.data.AUTOTUNE)

    @functools.cached_property
    def _codepoints(self) -> np.ndarray:
        return np.array([0, ord(UNKNOWN_SIGN), *map(ord, self.assets["symbols"])], np.int32)

    def _ids(self, text):
        """A string -> ids int32 `[characters]`; or strings `[batch]`, ragged."""
        table = np.full(self._codepoints.max() + 2, UNKNOWN, np.int32)
        table[self._codepoints[2:]] = np.arange(2, len(self._codepoints))
        found = tf.strings.unicode_decode(text, "UTF-8")
        look = lambda points: tf.gather(table, tf.minimum(points, len(table) - 1))
        return found.with_flat_values(look(found.flat_values)) if isinstance(found, tf.RaggedTensor) else look(found)

    # Model --------------------------------------------------------------------------------------------------------

    def build(self):
        model = CharacterModel(self.config, len(self.assets["symbols"]) + 2)
        model({"symbols": tf.zeros([1, 2], tf.int32), "begin": tf.ones([1], tf.bool)})
        return model

    def loss(self):
        return None  # the model has its own

    # Serving ------------------------------------------------------------------------------------------------------

    def signatures(self, model):
        def read(text, state, last):
            ids = self._ids(text)
            lengths, padded = tf.cast(ids.row_lengths(), tf.int32), ids.to_tensor()
            padded = tf.pad(padded, [[0, 0], [0, tf.cast(tf.shape(padded)[1] == 0, tf.int32)]])  # at least one step
            inputs = tf.concat([last[:, None], padded], 1)
            log_p, states = model.predict_next(inputs[:, :-1], generation.unpacked(model, state), lengths)
            mask = tf.sequence_mask(lengths, tf.shape(padded)[1])
            return {
                "log_probabilities": tf.where(mask, tf.gather(log_p, padded, batch_dims=2), 0.0),
                "right": mask & (tf.argmax(log_p, -1, tf.int32) == padded),
                "steps": lengths,
                "state": generation.packed(states),
                "last": tf.gather(inputs, lengths, batch_dims=1),
            }

        def write(state, last, length, first, seed, temperature, top_k, top_p):
            begin, step, end = model.stepper()
            states = begin(generation.unpacked(model, state))
            found = decoding.sample(step, states, last, None, length, seed, temperature, top_k, top_p, first)
            text = tf.strings.unicode_encode(tf.gather(self._codepoints, found.tokens), "UTF-8")
            newest = tf.concat([last[:, None], found.tokens], 1)[:, -1]
            return {"text": text, "state": generation.packed(end(found.state)), "last": newest}

        def answer(prompt):
            state, last = (tf.zeros([tf.size(prompt), *spec.shape[1:]], spec.dtype) for spec in state_specs)
            found = read(prompt, state, last)
            options = generation.default_options(DEFAULTS)
            return {"text": prompt + write(found["state"], found["last"], **options)["text"]}

        state_specs = generation.state_specs(model)
        functions = {
            "serving_default": (answer, [tf.TensorSpec([None], tf.string, "prompt")]),
            "read": (read, [tf.TensorSpec([None], tf.string, "text"), *state_specs]),
            "write": (write, [*state_specs, *generation.draw_specs()]),
        }
        return serving.in_half(model, functions) if self.config.half else functions

    # Measuring ----------------------------------------------------------------------------------------------------

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        pieces = lambda part: "".join(row["text"].decode() for row in part.as_numpy_iterator())
        return text_likelihood.report(model, pieces(examples), pieces(train) if train else "", progress)

    @classmethod
    def show(cls, report):
        tables.language(report)

    @classmethod
    def draw(cls, report, folder: pathlib.Path, examples=None):
        return [plots.surprise(report["_surprise"], folder / "surprise.png")]

    @classmethod
    def search_space(cls, hp):
        return {
            "units": hp.Choice("units", [128, 256, 512]),
            "depth": hp.Int("depth", 1, 3),
            "dropout": hp.Float("dropout", 0.0, 0.6, step=0.1),
            "weight_dropout": hp.Float("weight_dropout", 0.0, 0.5, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        }
