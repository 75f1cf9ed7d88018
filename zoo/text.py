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
UNKNOWN_ID = 1


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


_CUT = "\x1f"  # between the pieces of a text; no text has it
# What is one token of running text, in order of preference; as newswire is cut up for tagging (Penn Treebank, CoNLL).
_TOKENS = (
    r"https?://[^\s\x1f]+|www\.[^\s\x1f]+",
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[@#][\p{L}\p{M}\p{N}_]+",  # addresses, handles, hashtags
    r"(?:\p{L}\.){2,}(?:-[\p{L}\p{N}]+)*|\p{Lu}\.|\p{Lu}{1,2}\$",  # U.S., U.S.-led, the J. of J. Smith, US$
    r"(?i:mr|mrs|ms|dr|prof|st|jr|sr|inc|corp|ltd|co|bros|vs|gen|col|capt|lt|sgt|sen|rep|gov|rev|hon|vol|jan|feb|aug|sept|"
    r"oct|nov|dec)\.",
    r"['\x{2019}](?i:s|re|ve|ll|d|m)\b",
    # Words and numbers, with what joins them: 1996-08-22, 1,500, 3.5, O'Brien, left-wing, AT&T, 1/2.
    r"[\p{L}\p{M}\p{N}_]+(?:[-'\x{2019}&/][\p{L}\p{M}\p{N}_]+|[.,:]\p{N}+)*",
    r"\.{2,}|-{2,}|[^\s\p{Z}\x1f]",
)


def tokenize(text: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Cut running text into tokens, and say where they were.

    Args:
        text: `tf.string` `[batch]`, UTF-8; bytes that are not count as U+FFFD.

    Returns:
        The text, as valid UTF-8; its tokens, ragged `tf.string` `[batch, (tokens)]`; and for each where it starts and
        where it ends, ragged int32: offsets in characters (code points), so that `text[start:end]` is the token.
    """
    whole = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.regex_replace(whole, r"[\x00\x1f]", " ")
    text = tf.strings.regex_replace(text, r"(\p{L})(['\x{2019}](?i:s|re|ve|ll|d|m)\b)", rf"\1{_CUT}\2")
    text = tf.strings.regex_replace(text, r"(?i)(n['\x{2019}]t)\b", rf"{_CUT}\1")
    text = tf.strings.regex_replace(text, f"({'|'.join(_TOKENS)})", rf"{_CUT}\1{_CUT}")
    pieces = tf.strings.split(text, _CUT)
    ends = tf.cumsum(tf.strings.length(pieces.flat_values, unit="UTF8_CHAR"))
    before = tf.gather(tf.pad(ends, [[1, 0]]), tf.gather(pieces.row_splits, pieces.value_rowids()))  # in earlier texts
    ends = pieces.with_flat_values(ends - before)
    kept = pieces.with_flat_values(~tf.strings.regex_full_match(pieces.flat_values, r"[\s\p{Z}]*"))
    tokens, ends = tf.ragged.boolean_mask(pieces, kept), tf.ragged.boolean_mask(ends, kept)
    return whole, tokens, ends - _lengths(tokens), ends


def joined(tokens: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """As `tokenize`, of tokens already cut, `[batch, time]` padded with "": of the text they are with single spaces."""
    tokens = tf.strings.unicode_transcode(tokens, "UTF-8", "UTF-8", errors="replace")
    tokens = tf.RaggedTensor.from_tensor(tokens, tf.reduce_sum(tf.cast(tf.not_equal(tokens, ""), tf.int32), 1))
    lengths = _lengths(tokens)
    ends = tf.RaggedTensor.from_tensor(tf.cumsum(lengths.to_tensor() + 1, 1) - 1, tokens.row_lengths())
    return tf.strings.reduce_join(tokens, axis=1, separator=" "), tokens, ends - lengths, ends


def _lengths(tokens):
    return tf.ragged.map_flat_values(tf.strings.length, tokens, unit="UTF8_CHAR")


def passages(text: tf.Tensor, limit: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Cut running text at the ends of its sentences, and sentences of more than `limit` words into even parts.

    A sentence ends with a full stop, or the like, after a word of at least three letters or digits: not after "Mr.".

    Args:
        text: `tf.string` `[batch]`, with single spaces (`zoo.subwords.normalize`).

    Returns:
        Passages, `tf.string` `[passages]`, and the text that each is of, int32 `[passages]`; of an empty text none.
    """
    text = tf.strings.regex_replace(text, r"([\p{L}\p{N}]{3}[.!?]+[\p{Pe}\p{Pf}'\"]*) ", "\\1\n")
    sentences = tf.strings.split(text, "\n")
    words = tf.strings.split(sentences.flat_values)
    counts = tf.maximum(words.row_lengths(), 1)
    parts, sentence = (counts + limit - 1) // limit, words.value_rowids()
    place = tf.ragged.range(words.row_lengths()).flat_values
    part = place * tf.gather(parts, sentence) // tf.gather(counts, sentence)
    first = tf.concat([[True], (sentence[1:] != sentence[:-1]) | (part[1:] != part[:-1])], 0)[: tf.size(part)]
    number = tf.cumsum(tf.cast(first, tf.int32)) - 1
    joined_ = tf.strings.unsorted_segment_join(words.flat_values, number, tf.reduce_sum(tf.cast(first, tf.int32)), " ")
    rows = tf.gather(sentences.value_rowids(), tf.boolean_mask(sentence, first))
    return joined_, tf.cast(rows, tf.int32)


def learn_vocabulary(texts: tf.data.Dataset, size: int) -> list[str]:
    """The `size` most frequent words of `texts` (a dataset of scalar strings), padding and unknown included.

    Sorted by falling frequency, ties by spelling: the same texts in any order give the same list.
    """
    counts: collections.Counter[bytes] = collections.Counter()
    for batch in texts.batch(512).map(lambda t: tf.strings.split(words(t)).flat_values, tf.data.AUTOTUNE).prefetch(2):
        counts.update(batch.numpy())
    return ranked(counts, size)


def vectorizer(vocabulary: list[str]) -> keras.layers.TextVectorization:
    """Strings `[batch]` -> ragged int64 ids `[batch, (words)]`; `vocabulary` as from `learn_vocabulary`."""
    layer = keras.layers.TextVectorization(
        standardize=words, split="whitespace", ragged=True, vocabulary=vocabulary[2:], name="words"
    )
    layer(tf.constant([""]))  # built, so that it can be exported
    return layer


class TokenVectorizer(tf.Module):
    """Tokens -> what `zoo.layers.tokens.TokenEncoder` reads: of each its word, form and characters, as numbers.

    The word is looked up in lower case with all digits 0 (as in Collobert et al. 2011), the characters as they are: to
    tell case and digits is up to them. The form, a hash of the token, says which tokens are the same.

    Args:
        words, characters: vocabularies, padding and unknown first.
        length: characters of a token; longer ones are cut in the middle.

    Inputs: ragged `tf.string` `[batch, (tokens)]`.
    Outputs: ragged int32 `[batch, (tokens), 2 + length]`.
    """

    def __init__(self, words: list[str], characters: list[str], length: int = 24):
        super().__init__()
        self.length = length
        self.words, self.characters = (
            tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(names[2:], tf.string), tf.range(2, len(names), dtype=tf.int64)
                ),
                UNKNOWN_ID,
            )
            for names in (words, characters)
        )

    def __call__(self, tokens):
        flat = tokens.flat_values
        words = tf.cast(self.words.lookup(normalize(flat)), tf.int32)
        forms = tf.cast(tf.strings.to_hash_bucket_fast(flat, 2**31 - 1), tf.int32)
        letters = head_and_tail(tf.strings.unicode_split(flat, "UTF-8"), self.length)
        letters = letters.with_flat_values(self.characters.lookup(letters.flat_values))
        letters = tf.cast(letters.to_tensor(shape=[None, self.length]), tf.int32)
        return tokens.with_flat_values(tf.concat([words[:, None], forms[:, None], letters], 1))


def normalize(tokens: tf.Tensor) -> tf.Tensor:
    """Tokens in lower case, all digits 0."""
    return tf.strings.regex_replace(tf.strings.lower(tokens, encoding="utf-8"), r"\p{Nd}", "0")


def ranked(counts: collections.Counter, size: int) -> list[str]:
    """A vocabulary: padding, unknown, and the most frequent of what was counted; ties by spelling."""
    names = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [PADDING, UNKNOWN] + [name.decode("utf-8") for name, _ in names[: size - 2]]


def head_and_tail(ids: tf.RaggedTensor, length: int) -> tf.RaggedTensor:
    """Cut what is longer than `length` in the middle: a text names its subject first and its verdict last."""
    head = length // 2
    return tf.concat([ids[:, :head], ids[:, head:][:, -(length - head) :]], axis=1)


def pad(ids: tf.RaggedTensor) -> tf.Tensor:
    """Ragged ids -> int32 `[batch, time, ...]`, padded with 0; at least one step, even if every row is empty."""
    dense = tf.cast(ids.to_tensor(), tf.int32)
    missing = tf.maximum(0, 1 - tf.shape(dense)[1])
    return tf.pad(dense, [[0, 0], [0, missing], *[[0, 0]] * (len(dense.shape) - 2)])
