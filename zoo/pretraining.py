"""Pretraining the embedding and the recurrent layers as a language model on unlabelled text.

The recipe of Dai & Le 2015 ("Semi-supervised sequence learning"), in both directions at once as in Peters et
al. 2018 (ELMo): the forward states predict the next word, the backward states the previous one. What is kept
is the encoder; the task that continues from it loads it by `init`.
"""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import tensorflow as tf

from zoo import text
from zoo.errors import ZooError


@keras.saving.register_keras_serializable("zoo")
class BidirectionalLanguageModel(keras.Model):
    """Predicts every word from the words before it, and from the words after it.

    The softmax shares the embedding's matrix (Press & Wolf 2017) and is sampled: each batch scores the true
    words against `negatives` others drawn from a log-uniform distribution over frequency ranks (Jean et al.
    2015), so ids must be sorted by falling frequency. Outside training the softmax is over all words.

    Args:
        embedding: `keras.layers.Embedding`.
        recurrent: `keras.layers.Bidirectional`, `merge_mode="concat"`, returning sequences.
        negatives: number of sampled words that a batch shares.
        dropout: on the recurrent outputs.
    """

    def __init__(self, embedding, recurrent, negatives=1024, dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        self.embedding, self.recurrent, self.negatives = embedding, recurrent, negatives
        self.forward_query = keras.layers.Dense(embedding.output_dim, name="forward_query")
        self.backward_query = keras.layers.Dense(embedding.output_dim, name="backward_query")
        self.dropout = keras.layers.Dropout(dropout)
        self.bias = self.add_weight(shape=(embedding.input_dim,), initializer="zeros", name="bias")

    def call(self, ids, training=False):
        """ids int32 `[batch, time]` -> queries `[batch, time - 1, dim]` for the next and the previous word."""
        h = self.dropout(self.recurrent(self.embedding(ids), training=training), training=training)
        forward, backward = tf.split(h, 2, axis=-1)
        return self.forward_query(forward[:, :-1]), self.backward_query(backward[:, 1:])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean negative log-likelihood of a word, in nats (an estimate while training)."""
        forward, backward = y_pred
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


def chunks(ids: np.ndarray, length: int, batch_size: int, seed: int) -> tf.data.Dataset:
    """Cut one long stream of ids in pieces of `length`, shuffled anew and shifted at every pass; endless."""
    stream = tf.constant(ids.astype("int32"))
    count = len(ids) // length - 1

    def one_pass(number):
        shift = tf.random.stateless_uniform([], [seed, number], maxval=length, dtype=tf.int32)
        starts = tf.range(count) * length + shift
        order = tf.random.experimental.stateless_shuffle(starts, [seed, number])
        return tf.data.Dataset.from_tensor_slices(order)

    starts = tf.data.Dataset.range(2**31 - 1).map(lambda n: tf.cast(n, tf.int32)).flat_map(one_pass)
    cut = starts.map(lambda s: stream[s : s + length], num_parallel_calls=2)
    return cut.batch(batch_size, drop_remainder=True).prefetch(4)


def load_vocabulary(folder: str) -> list[str]:
    """The vocabulary that a pretrained encoder in `folder` was trained with."""
    path = pathlib.Path(folder) / "vocabulary.txt"
    if not path.is_file():
        raise ZooError(f"{path}: not found; expected a folder that zoo.pretraining wrote")
    return [text.PADDING, *path.read_text(encoding="utf-8").split("\n")[1:-1]]


def load_encoder(folder: str, embedding: keras.layers.Embedding, recurrent: keras.layers.Layer) -> None:
    """Put pretrained weights into a built embedding and recurrent layer of the same sizes."""
    path = pathlib.Path(folder) / "encoder.npz"
    with np.load(path, allow_pickle=False) as arrays:
        weights = [arrays[f"recurrent_{i}"] for i in range(len(arrays) - 1)]
        try:
            embedding.set_weights([arrays["embedding"]])
            recurrent.set_weights(weights)
        except ValueError as error:
            raise ZooError(f"{path}: weights of other sizes than the configuration's: {error}") from None
