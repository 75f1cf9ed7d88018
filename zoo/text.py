"""Strings <-> ids, inside the graph.

Everything here is TensorFlow operations, so that the same code cuts up the text in the tf.data pipeline that
trains a model and in the SavedModel that serves it: there is no second tokeniser to keep in step.
"""

from __future__ import annotations

import collections

import keras
import tensorflow as tf

PADDING = ""  # id 0: after the end of a sequence, and between the texts of a running stream
UNKNOWN = "[UNK]"  # id 1: a word outside the vocabulary


@keras.saving.register_keras_serializable("zoo")
def words(text: tf.Tensor) -> tf.Tensor:
    """Standardise text so that splitting it at white space gives its words.

    Lower-cases, drops HTML tags, sets every punctuation mark and symbol off as a word of its own, and
    splits English clitics the way the Penn Treebank does ("didn't" -> "did n't"), so that a negation is
    one word whatever verb it hangs on. Bytes that are not UTF-8 become U+FFFD.

    Args:
        text: `tf.string` of any shape.

    Returns:
        `tf.string` of the same shape.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.regex_replace(text, r"\x00", " ")  # tf.strings.lower ends a string at a NUL
    text = tf.strings.lower(text, encoding="utf-8")
    for pattern, replacement in (
        (r"</?[a-z][^<>]*>", " "),
        (r"[\x{2018}\x{2019}`]", "'"),
        (r"([^\p{L}\p{M}\p{N}'\s])", r" \1 "),
        (r"(^|\s)'+(\w)", r"\1' \2"),
        (r"'+(\s|$)", r" '\1"),
        (r"n't\b", " n't"),
        (r"(\w)'(s|re|ve|ll|d|m)\b", r"\1 '\2"),
    ):
        text = tf.strings.regex_replace(text, pattern, replacement)
    return text


def learn_vocabulary(texts: tf.data.Dataset, size: int) -> list[str]:
    """The `size` most frequent words of `texts` (a dataset of scalar strings), padding and unknown included.

    Sorted by falling frequency, ties by spelling: the same texts in any order give the same list.
    """
    counts: collections.Counter[bytes] = collections.Counter()
    for batch in texts.batch(512).map(lambda t: tf.strings.split(words(t)).flat_values, tf.data.AUTOTUNE).prefetch(2):
        counts.update(batch.numpy())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [PADDING, UNKNOWN] + [word.decode("utf-8") for word, _ in ranked[: size - 2]]


def vectorizer(vocabulary: list[str]) -> keras.layers.TextVectorization:
    """Strings `[batch]` -> ragged int64 ids `[batch, (words)]`; `vocabulary` as from `learn_vocabulary`."""
    layer = keras.layers.TextVectorization(
        standardize=words, split="whitespace", ragged=True, vocabulary=vocabulary[2:], name="words"
    )
    layer(tf.constant([""]))  # built, so that it can be exported
    return layer


def head_and_tail(ids: tf.RaggedTensor, length: int) -> tf.RaggedTensor:
    """Cut what is longer than `length` in the middle: a text names its subject first and its verdict last."""
    head = length // 2
    return tf.concat([ids[:, :head], ids[:, head:][:, -(length - head) :]], axis=1)


def pad(ids: tf.RaggedTensor) -> tf.Tensor:
    """Ragged ids -> int32 `[batch, time]`, padded with 0; at least one step, even if every row is empty."""
    dense = tf.cast(ids.to_tensor(), tf.int32)
    return tf.pad(dense, [[0, 0], [0, tf.maximum(0, 1 - tf.shape(dense)[1])]])
