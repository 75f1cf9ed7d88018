"""Pretraining the embedding and the recurrent layers as a language model on unlabelled text.

The recipe of Dai & Le 2015 ("Semi-supervised sequence learning"), in both directions at once as in Peters et
al. 2018 (ELMo): the forward states predict the next word, the backward states the previous one. What is kept
is the encoder; the task that continues from it loads it by `init`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib

import keras
import numpy as np
import tensorflow as tf

from zoo import text, training
from zoo.config import TrainingConfig, setting
from zoo.errors import ZooError
from zoo.files import replacing
from zoo.layers import LSTM


@keras.saving.register_keras_serializable("zoo")
class BidirectionalLanguageModel(keras.Model):
    """Predicts every word from the words before it, and from the words after it.

    The softmax shares the embedding's matrix (Press & Wolf 2017) and is sampled: each batch scores the true
    words against `negatives` others drawn from a log-uniform distribution over frequency ranks (Jean et al.
    2015), so ids must be sorted by falling frequency. Outside training the softmax is over all words.

    Args:
        embedding: `keras.layers.Embedding` of the words, whose matrix the softmax shares.
        recurrent: `keras.layers.Bidirectional`, `merge_mode="concat"`, returning sequences.
        negatives: number of sampled words that a batch shares.
        dropout: on the recurrent outputs.
        encoder: what makes vectors of the input. By default the embedding, of ids `[batch, time]`; or a `TokenEncoder`
            around it, of `[batch, time, features]`, of which the first are the words' ids.
    """

    def __init__(self, embedding, recurrent, negatives=1024, dropout=0.1, encoder=None, **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.recurrent, self.negatives = embedding, recurrent, negatives
        self.encoder = encoder or embedding
        self.forward_query = keras.layers.Dense(embedding.output_dim, name="forward_query")
        self.backward_query = keras.layers.Dense(embedding.output_dim, name="backward_query")
        self.dropout = keras.layers.Dropout(dropout)
        self.bias = self.add_weight(shape=(embedding.input_dim,), initializer="zeros", name="bias")

    def call(self, x, training=False):
        """Input `[batch, time, ...]` -> queries `[batch, time - 1, dim]` for the next and the previous word."""
        h = self.recurrent(self.encoder(x, training=training), training=training)
        h = self.dropout(h, training=training)
        forward, backward = tf.split(h, 2, axis=-1)
        return self.forward_query(forward[:, :-1]), self.backward_query(backward[:, 1:])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean negative log-likelihood of a word, in nats (an estimate while training)."""
        forward, backward = y_pred
        x = x if len(x.shape) == 2 else x[:, :, 0]
        table, bias = tf.convert_to_tensor(self.embedding.embeddings), tf.convert_to_tensor(self.bias)
        losses = []
        for query, target in ((forward, x[:, 1:]), (backward, x[:, :-1])):
            query, target = tf.reshape(query, [-1, query.shape[-1]]), tf.reshape(target, [-1])
            if training:
                # The products in the queries' precision, the softmax in float32.
                loss = self._sampled(query, target, table, bias)
            else:
                logits = tf.matmul(tf.cast(query, tf.float32), table, transpose_b=True) + bias
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(target, logits)
            losses.append(tf.reduce_mean(loss))
        return tf.add_n(losses) / 2

    def _sampled(self, query, target, table, bias):
        vocabulary = self.embedding.input_dim
        draw = tf.random.log_uniform_candidate_sampler(
            tf.cast(target, tf.int64)[:, None], 1, self.negatives, True, vocabulary
        )
        negative = tf.cast(draw.sampled_candidates, tf.int32)
        true_row = tf.cast(tf.gather(table, target), query.dtype)
        true = tf.reduce_sum(tf.cast(query * true_row, tf.float32), -1)
        true += tf.gather(bias, target) - tf.math.log(draw.true_expected_count[:, 0])
        rows = tf.cast(tf.gather(table, negative), query.dtype)
        offset = tf.gather(bias, negative) - tf.math.log(draw.sampled_expected_count)
        return _softmax_loss(true, tf.matmul(query, rows, transpose_b=True), offset, target, negative)


@tf.function(jit_compile=True)  # one fused pass over [words, negatives] instead of ten
def _softmax_loss(true, sampled, offset, target, negative):
    sampled = tf.cast(sampled, tf.float32) + offset
    sampled = tf.where(tf.equal(target[:, None], negative), -1e9, sampled)  # the true word, drawn by accident
    largest = tf.stop_gradient(tf.maximum(tf.reduce_max(sampled, -1), true))
    total = tf.exp(true - largest) + tf.reduce_sum(tf.exp(sampled - largest[:, None]), -1)
    return tf.math.log(total) + largest - true


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    """An epoch is `steps` batches, not a pass over the text."""

    vocabulary_size: int = setting(30_000, "words, padding and unknown included", minimum=3)
    embedding_dim: int = setting(256, "width of a word's vector", minimum=1)
    units: int = setting(384, "cells in each direction", minimum=1)
    negatives: int = setting(1024, "sampled words that a batch's softmax shares", minimum=1)
    length: int = setting(128, "words in a piece of the running text", minimum=2)
    dropout: float = setting(0.1, "on the recurrent outputs", minimum=0.0, maximum=0.95)
    steps: int = setting(400, "batches between two looks at dev", minimum=1)


def pretrain(train: list[str], dev: list[str], config: Config, folder: pathlib.Path, say=print) -> None:
    """Train a language model on the words of `train`; keep its vocabulary and encoder in `folder`.

    `vocabulary.txt` (a word a line) and `encoder.npz` (embedding and recurrent weights) are what a task's `init` takes.
    Killed and called again, it goes on from its last checkpoint.
    """
    keras.utils.set_random_seed(config.seed)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = text.learn_vocabulary(tf.data.Dataset.from_tensor_slices(train), config.vocabulary_size)
    (folder / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    order = np.random.default_rng(config.seed).permutation(len(train))
    ids, dev_ids = running_text([train[i] for i in order], vocabulary), running_text(dev, vocabulary)
    say(f"{len(ids):,} words to train on, {len(dev_ids):,} to measure on; results in {folder}/")
    with training.precision(config.precision):
        model = BidirectionalLanguageModel(
            keras.layers.Embedding(len(vocabulary), config.embedding_dim, name="embedding"),
            keras.layers.Bidirectional(LSTM(config.units, return_sequences=True), name="recurrent"),
            config.negatives,
            config.dropout,
        )
        model(tf.zeros([1, config.length], tf.int32))
    model.compile(training.optimizer(config, config.epochs * config.steps), jit_compile=False)
    pieces = dev_ids[: len(dev_ids) // config.length * config.length].reshape(-1, config.length)[:160]
    measured = tf.data.Dataset.from_tensor_slices(pieces).batch(16).map(lambda x: (x, x))
    fingerprint = f"{config} {len(ids)} {ids[:1000].sum()}"
    batches = chunks(ids, config.length, config.batch_size, config.seed)
    training.fit(model, batches, measured, config, folder, config.steps, ("loss", "min"), fingerprint, say)
    weights = {f"recurrent_{i}": w for i, w in enumerate(model.recurrent.get_weights())}
    with replacing(folder / "encoder.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, embedding=model.embedding.get_weights()[0], **weights)


def running_text(texts: list[str], vocabulary: list[str]) -> np.ndarray:
    """All texts as one stream of int32 ids, 0 before each."""
    lookup = text.vectorizer(vocabulary)
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(512)
    rows = batches.map(lambda t: tf.pad(tf.cast(lookup(t), tf.int32).to_tensor(-1), [[0, 0], [1, 0]]), tf.data.AUTOTUNE)
    return np.concatenate([ids[ids >= 0] for ids in rows.as_numpy_iterator()])


def chunks(ids: np.ndarray, length: int, batch_size: int, seed: int) -> tf.data.Dataset:
    """Cut one long stream of ids in pieces of `length`, shuffled anew and shifted at every pass; endless.

    Returns:
        Pairs of the same int32 `[batch_size, length]`: what is read is what is to be predicted.
    """
    stream = tf.constant(ids)
    count = len(ids) // length - 1

    def one_pass(number):
        shift = tf.random.stateless_uniform([], [seed, number], maxval=length, dtype=tf.int32)
        starts = tf.range(count) * length + shift
        order = tf.random.experimental.stateless_shuffle(starts, [seed, number])
        return tf.data.Dataset.from_tensor_slices(order)

    starts = tf.data.Dataset.range(2**31 - 1).map(lambda n: tf.cast(n, tf.int32)).flat_map(one_pass)
    cut = starts.map(lambda s: stream[s : s + length], num_parallel_calls=2)
    return cut.batch(batch_size, drop_remainder=True).map(lambda x: (x, x)).prefetch(4)


def load_vocabulary(folder: str) -> list[str]:
    """The vocabulary of the pretrained encoder, or of the run, in `folder`."""
    path, run = pathlib.Path(folder) / "vocabulary.txt", pathlib.Path(folder) / "assets" / "vocabulary.json"
    if run.is_file():
        return json.loads(run.read_text(encoding="utf-8"))
    if not path.is_file():
        raise ZooError(f"{path}: not found; expected a folder that zoo.pretraining wrote, or that of a run")
    return [text.PADDING, *path.read_text(encoding="utf-8").split("\n")[1:-1]]


def warm_start(folder: str, model: keras.Model, embedding: keras.layers.Embedding, recurrent) -> None:
    """Start a built model from the weights in `folder`: all of them (a run's), or the first two layers' (an encoder's).

    Raises:
        ZooError: the weights are of other sizes than the model's.
    """
    encoder = pathlib.Path(folder) / "encoder.npz"
    if not encoder.is_file():
        load_run(folder, model)
        return
    with _fitting(folder), np.load(encoder, allow_pickle=False) as arrays:  # beside the language model's own best.npz
        embedding.set_weights([arrays["embedding"]])
        recurrent.set_weights([arrays[f"recurrent_{i}"] for i in range(len(arrays) - 1)])


def load_run(folder: str, model: keras.Model) -> None:
    """Start a built model from the best weights of the run in `folder`.

    Raises:
        ZooError: there are none, or they are of other sizes than the model's.
    """
    path = pathlib.Path(folder) / "best.npz"
    if not path.is_file():
        raise ZooError(f"{path}: not found; expected the folder of a run")
    with _fitting(folder):
        training.load_weights(model, path)


@contextlib.contextmanager
def _fitting(folder: str):
    try:
        yield
    except ValueError as error:
        raise ZooError(f"{folder}: weights of other sizes than the configuration's: {error}") from None


def load_vocabularies(folder: str, *names: str) -> dict[str, list[str]]:
    """Vocabularies that a pretrained encoder came with: `<name>.txt`, an entry a line, padding and unknown first."""
    found = {}
    for name in names:
        path = pathlib.Path(folder) / f"{name}.txt"
        if not path.is_file():
            raise ZooError(f"{path}: not found; expected a folder with a pretrained encoder (recipes/ner)")
        found[name] = path.read_text(encoding="utf-8").split("\n")[:-1]
    return found


def load_encoder(folder: str, *layers: keras.layers.Layer) -> None:
    """Set the weights of built layers, in this order, to those in `folder`."""
    with np.load(pathlib.Path(folder) / "encoder.npz", allow_pickle=False) as arrays:
        weights = [arrays[f"arr_{i}"] for i in range(len(arrays))]
    with _fitting(folder):
        for layer in layers:
            count = len(layer.get_weights())
            layer.set_weights(weights[:count])
            weights = weights[count:]
