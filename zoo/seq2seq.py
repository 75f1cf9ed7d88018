"""An encoder and a decoder that speaks: what translation and captioning share.

A task says how its input is read (`encode`); the rest is here: teacher forcing for training, scheduled sampling, beam
search, and what the decoder looked at.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo import decoding
from zoo.losses import token_losses
from zoo.subwords import END_ID, START_ID, UNKNOWN_ID

MANY = 8  # inputs from which on two halves are faster than one batch
NEVER = (0, UNKNOWN_ID, START_ID)  # padding, unknown and start are not said


def distinct(texts, scores):
    """Hypotheses `[batch, width]` without the empty and the repeated, in the same order: pieces can be joined to the
    same text in several ways.

    Returns:
        Texts and scores, those that were dropped moved to the end; and how many are left, int32 `[batch]`.
    """
    place = tf.range(tf.shape(texts)[1])
    repeated = tf.equal(texts[:, :, None], texts[:, None]) & (place[:, None] > place)
    dropped = tf.reduce_any(repeated, 2) | tf.equal(texts, "") | (scores == -float("inf"))
    order = tf.argsort(tf.cast(dropped, tf.int32), stable=True)
    left = tf.reduce_sum(tf.cast(~dropped, tf.int32), 1)
    return tf.gather(texts, order, batch_dims=1), tf.gather(scores, order, batch_dims=1), left


def alternatives(texts, scores):
    """What a signature answers, of hypotheses `[batch, width]`, best first: the best, and the others that differ."""
    texts, scores, left = distinct(texts, scores)
    return {
        "text": texts[:, 0],
        "score": scores[:, 0],
        "alternatives_text": texts[:, 1:],
        "alternatives_score": scores[:, 1:],
        "alternatives_count": tf.maximum(left - 1, 0),
    }


class EncoderDecoder(keras.Model):
    """Speaks a sentence about what an encoder has read (Sutskever et al. 2014, Bahdanau et al. 2015).

    Args:
        decoder: `zoo.layers.attention.AttentionDecoder`.
        embedding: `keras.layers.Embedding` of the words to be said.
        tied: whether the softmax has the embedding's matrix (Press & Wolf 2017).
        dropout: of the embedded words, with one mask for all steps.
        scheduled_sampling: share of the words that training takes from the model in place of the truth, at the end of
            `steps` steps; it grows linearly (Bengio et al. 2015). The words are drawn in a pass of their own, from what
            the model says after the truth (Mihaylova & Martins 2019), so that each pass is one recurrent call.
        label_smoothing: of the loss (`zoo.losses.token_losses`).

    Called with {"source": what `encode` takes, "target": int32 `[batch, time]`, the sentence after the start symbol,
    padded with 0}; gives what `logits` makes the scores of each next word of. The loss is its own, the mean over words,
    in nats, as the softmax is only taken where there is a word.
    """

    steps = 1

    def __init__(
        self, decoder, embedding, tied=False, dropout=0.0, scheduled_sampling=0.0, label_smoothing=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.decoder, self.target_embedding, self.tied = decoder, embedding, tied
        self.dropout = keras.layers.Dropout(dropout, noise_shape=(None, 1, None))
        self.scheduled_sampling, self.label_smoothing = scheduled_sampling, label_smoothing
        self.accuracy = keras.metrics.Mean("accuracy")
        words, width = embedding.input_dim, embedding.output_dim
        self.projection = self.softmax = None
        if tied and decoder.width != width:
            self.projection = keras.layers.Dense(width, use_bias=False, name="projection")
            self.projection.build((None, decoder.width))  # `call` does not reach it
        if not tied:
            self.softmax = self.add_weight(shape=(words, decoder.width), initializer="glorot_uniform", name="softmax")
        self.bias = self.add_weight(shape=(words,), initializer="zeros", name="bias")
        self.draws = keras.random.SeedGenerator()

    def encode(self, source, training=False):
        """-> memory `[batch, places, features]`, its mask `[batch, places]`, and the decoder's first state."""
        raise NotImplementedError

    def call(self, inputs, training=False):
        encoded, target = self.encode(inputs["source"], training), inputs["target"]
        if training and self.scheduled_sampling:
            target = self._partly_sampled(encoded, target)
        return self.speak(encoded, target, training)[0]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        words = tf.where(tf.not_equal(y, 0))
        logits = self.logits(tf.gather_nd(y_pred, words))
        losses, right = token_losses(logits, tf.gather_nd(y, words), self.label_smoothing)
        self.accuracy.update_state(tf.cast(right, tf.float32))
        return tf.reduce_mean(losses)

    def speak(self, encoded, target, training=False):
        """All steps in one call: the decoder's outputs before each next word; and what it looked at, `[batch, time,
        places]`, or None unless the decoder returns that."""
        memory, mask, state = encoded
        words = self.dropout(self.target_embedding(target), training=training)
        given = dict(initial_state=state, memory_mask=mask, training=training)
        found = self.decoder(self.before(words, memory), memory, **given)
        vectors, weights = found if self.decoder.return_attention else (found, None)
        return self.after(vectors, memory, training), weights

    def before(self, words, memory):
        """What the decoder is fed for embedded words `[rows, time, width]`; `memory` has as many rows, or fewer."""
        return words

    def after(self, vectors, memory, training=False):
        """What the softmax is given for the decoder's outputs `[rows, time, width]`."""
        return vectors

    def logits(self, vectors):
        """Decoder outputs `[..., width]` -> float32 `[..., vocabulary]`."""
        return self._logits(vectors, *self._head())

    def _head(self):
        """The softmax's matrix, and its bias."""
        table = self.target_embedding.embeddings if self.tied else self.softmax
        return tf.cast(tf.convert_to_tensor(table), self.compute_dtype), tf.convert_to_tensor(self.bias)

    def _logits(self, vectors, table, bias):
        vectors = tf.cast(self.projection(vectors) if self.projection else vectors, self.compute_dtype)
        flat = tf.reshape(vectors, [-1, table.shape[1]])
        logits = tf.cast(tf.matmul(flat, table, transpose_b=True), tf.float32) + bias
        return tf.reshape(logits, tf.concat([tf.shape(vectors)[:-1], [table.shape[0]]], 0))

    def _never(self):
        """To add to logits: -inf for what is not said."""
        return tf.reduce_sum(tf.one_hot(NEVER, self.bias.shape[0], on_value=-float("inf")), 0)

    def _partly_sampled(self, encoded, target):
        logits = tf.reshape(self.logits(self.speak(encoded, target)[0]) + self._never(), [-1, self.bias.shape[0]])
        said = keras.random.categorical(logits, 1, dtype="int32", seed=self.draws)
        said = tf.reshape(said, tf.shape(target))
        said = tf.concat([target[:, :1], said[:, :-1]], 1)
        share = self.scheduled_sampling * tf.minimum(1.0, tf.cast(self.optimizer.iterations, tf.float32) / self.steps)
        chosen = keras.random.uniform(tf.shape(target), seed=self.draws) < share
        return tf.where(chosen & tf.not_equal(target, 0), tf.stop_gradient(said), target)

    def search(self, source, max_length, width, length_penalty):
        """Beam search, arguments as of `zoo.decoding.beam_search`: `zoo.decoding.Hypotheses`.

        The halves of a batch run side by side: one loop by itself leaves the cores idle between its products.
        """
        batch = tf.shape(tf.nest.flatten(source)[0])[0]
        limits = tf.broadcast_to(tf.cast(max_length, tf.int32), [batch])

        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def some(source, limits):
            return tuple(self._search(source, limits, width, length_penalty))

        def halves():
            middle = batch // 2
            parts = [
                some(*tf.nest.map_structure(lambda x, rows=rows: x[rows], (source, limits)))
                for rows in (slice(None, middle), slice(middle, None))
            ]
            time = tf.reduce_max([tf.shape(tokens)[2] for tokens, *_ in parts])
            longest = lambda tokens: tf.pad(tokens, [[0, 0], [0, 0], [0, time - tf.shape(tokens)[2]]])
            parts = [(longest(tokens), *others) for tokens, *others in parts]
            return tuple(tf.concat(both, 0) for both in zip(*parts, strict=True))

        return decoding.Hypotheses(*tf.cond(batch < MANY, lambda: some(source, limits), halves))

    def stepper(self, encoded):
        """The first state, and `step` as `zoo.decoding` takes it; the step also gives what it looked at, or None.

        The step's rows are those that were encoded; or more, then several after each other belong to one.
        """
        memory, mask, state = encoded
        prepared, (table, bias) = self.decoder.prepare(memory, mask), self._head()
        bias += self._never()

        def step(state, token):
            words = self.before(self.target_embedding(token)[:, None], memory)[:, 0]
            vector, state, weights = self.decoder.step(words, state, prepared)
            return self._logits(self.after(vector[:, None], memory)[:, 0], table, bias), state, weights

        return self.decoder.first_state(tf.shape(memory)[0], state), step

    def _search(self, source, limits, width, length_penalty):
        state, step = self.stepper(self.encode(source))
        return decoding.beam_search(lambda *now: step(*now)[:2], state, START_ID, END_ID, limits, width, length_penalty)

    def look(self, source, target):
        """The attention weights before each next word, `[batch, time, places]`."""
        encoded = self.encode(source)
        state, step = self.stepper(encoded)

        def one(carried, token):
            _, state, weights = step(carried[0], token)
            return state, weights

        places = tf.shape(encoded[0])[1]
        weights = tf.zeros([tf.shape(target)[0], places])
        return tf.transpose(tf.scan(one, tf.transpose(target), (state, weights))[1], [1, 0, 2])
