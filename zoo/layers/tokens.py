"""Tokens as vectors, from what they are and how they are spelt: `TokenEncoder`."""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo.layers.recurrent import LSTM
from zoo.layers.training_loop import bucket
from zoo.text import UNKNOWN_ID


@keras.saving.register_keras_serializable("zoo")
class TokenEncoder(keras.layers.Layer):
    """A word's embedding beside what a bidirectional LSTM makes of its characters (Lample et al. 2016).

    The characters of a form that occurs several times in a batch are read once.

    Args:
        words, characters: sizes of the vocabularies.
        word_dim, character_dim: widths of the embeddings.
        character_units: cells in each direction over the characters; 0 leaves the characters out.
        word_dropout: share of words that training takes for unknown, which leaves their spelling to go by.

    Inputs: int32 `[batch, time, 2 + length]`, as from `zoo.text.TokenVectorizer`.
    Outputs: `[batch, time, word_dim + 2 * character_units]`, with a mask: true where there is a token.
    """

    def __init__(
        self, words, characters, word_dim=100, character_dim=25, character_units=25, word_dropout=0.0, **kwargs
    ):
        super().__init__(**kwargs)
        self.words, self.characters, self.word_dim = words, characters, word_dim
        self.character_dim, self.character_units, self.word_dropout = character_dim, character_units, word_dropout
        self.supports_masking = True
        self.seeds = keras.random.SeedGenerator()
        dtype = self.dtype_policy
        self.embedding = keras.layers.Embedding(words, word_dim, dtype=dtype, name="words")
        if character_units:
            self.letters = keras.layers.Embedding(
                characters, character_dim, mask_zero=True, dtype=dtype, name="characters"
            )
            self.reader = keras.layers.Bidirectional(LSTM(character_units, dtype=dtype), dtype=dtype, name="reader")

    def build(self, inputs_shape):
        self.embedding.build(inputs_shape[:-1])
        if self.character_units:
            self.letters.build((None, None))
            self.reader.build((None, None, self.character_dim))

    def call(self, inputs, training=False):
        words = inputs[:, :, 0]
        if training and self.word_dropout:
            dropped = keras.random.uniform(tf.shape(words), seed=self.seeds) < self.word_dropout
            words = tf.where(dropped & (words > 0), UNKNOWN_ID, words)
        vectors = self.embedding(words)
        if not self.character_units:
            return vectors
        return tf.concat([vectors, self._spelling(inputs, training)], -1)

    def _spelling(self, inputs, training):
        rows = tf.reshape(inputs, [-1, inputs.shape[-1]])
        forms, place = tf.unique(rows[:, 1])
        first = tf.math.unsorted_segment_min(tf.range(tf.shape(rows)[0]), place, tf.shape(forms)[0])
        letters = tf.gather(rows[:, 2:], first)
        longest = tf.reduce_max(tf.reduce_sum(tf.cast(letters > 0, tf.int32), 1))
        letters = letters[:, : tf.maximum(longest, 1)]
        if training:  # the recurrent layer is compiled for every number of rows
            letters = tf.pad(letters, [[0, bucket(tf.shape(forms)[0]) - tf.shape(forms)[0]], [0, 0]])
        read = self.reader(self.letters(letters), mask=letters > 0, training=training)
        return tf.reshape(tf.gather(read, place), [*tf.unstack(tf.shape(inputs)[:2]), 2 * self.character_units])

    def compute_mask(self, inputs, mask=None):
        return tf.not_equal(inputs[:, :, 0], 0)

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.word_dim + 2 * self.character_units)

    def get_config(self):
        names = "words characters word_dim character_dim character_units word_dropout"
        return {**super().get_config(), **{name: getattr(self, name) for name in names.split()}}
