"""Sentences <-> subwords, inside the graph: a unigram language model of pieces (Kudo 2018).

A piece x has a probability p(x), learnt by the library sentencepiece (Kudo & Richardson 2018); a segmentation of a
sentence has the product of those of its pieces. U+2581 at the start of a piece stands for the space before a word, and
is found nowhere else in one, so that a sentence is cut up word by word and its pieces joined are the sentence again.

Cutting up is standard TensorFlow operations only, in the tf.data pipeline that trains as in the SavedModel that serves.
The pieces of a word that may end at its t-th character, of every length k up to the longest piece's, form a lattice:

    f(t) = max_k f(t - k) + log p(characters t - k + 1 .. t)

Viterbi's algorithm follows the best choices back from the end. With log-sum-exp for the maximum, and a choice drawn in
proportion to what it contributes, the way back is a segmentation drawn from p(segmentation)^alpha: forward filtering,
backward sampling, which regularises training (Kudo 2018).
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from zoo.errors import ZooError

UNKNOWN_ID, START_ID, END_ID = 1, 2, 3  # 0 is padding
FIRST_PIECE = 4
UNKNOWN = "\u2047"  # two question marks in one
SPACE = "\u2581"  # before a word
RESERVED = "\u2585"  # sentencepiece would leave out a sentence that has it
LONGEST = 16  # characters of a piece
COVERAGE = 0.99999  # share of the text whose characters become pieces; sentencepiece's 0.9995 costs capitals and digits
PENALTY = 10  # by how much an unknown character scores below the worst piece, as in sentencepiece
BLOCK = 100  # characters of a word that are cut up at once, its space included
FORBIDDEN = -1e30  # a score rather than minus infinity, whose differences would be NaN


def learn(texts: Iterable[str | bytes], size: int) -> tuple[list[str], list[str]]:
    """The subwords of some texts; the same for the same texts in any order.

    Args:
        texts: sentences, UTF-8.
        size: how many, with the four special ones; small texts have fewer.

    Returns:
        The pieces by id: "<pad>", "<unk>", "<s>", "</s>" and then the others by falling score; and their scores, the
        logarithms of their probabilities, as text.

    Raises:
        ZooError: there is no text, or its characters alone are more than `size`.
    """
    import sentencepiece

    texts = tf.strings.regex_replace(tf.constant(list(texts), tf.string), RESERVED, " ")
    texts = sorted(filter(None, normalize(texts).numpy()))
    if not texts:
        raise ZooError("no text to learn subwords from; expected at least one word")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=max(size, FIRST_PIECE + 1),
            hard_vocab_limit=False,
            pad_id=0,
            unk_id=UNKNOWN_ID,
            bos_id=START_ID,
            eos_id=END_ID,
            normalization_rule_name="identity",
            character_coverage=COVERAGE,
            required_chars=SPACE,
            max_sentencepiece_length=LONGEST,
            max_sentence_length=2**30,  # bytes; longer ones would be left out in silence
            num_threads=1,  # the order of sums is part of the result
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        few = re.search(r"smaller than required_chars\. \d+ vs (\d+)", reason)
        if few:
            raise ZooError(f"{size} subwords can't hold the text's characters; expected at least {few[1]}") from None
        raise ZooError(f"sentencepiece can't learn subwords from the text: {reason}") from None
    learnt = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(learnt.vocab_size())
    return [learnt.id_to_piece(i) for i in ids], [str(np.float32(learnt.get_score(i))) for i in ids]


def normalize(text: tf.Tensor) -> tf.Tensor:
    """Text as its subwords tell it: single spaces for runs of white space, none at the ends.

    Unicode's white space and NUL count as such. Bytes that are not UTF-8 become U+FFFD, and U+2581, which stands for a
    space among pieces, becomes a low line.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.regex_replace(text, SPACE, "_")
    return tf.strings.strip(tf.strings.regex_replace(text, r"[\s\x00\x0b\x{85}\p{Z}]+", " "))


def ended(rows: tf.RaggedTensor, value=END_ID) -> tf.RaggedTensor:
    """Ragged rows with a value behind each."""
    return tf.concat([rows, tf.fill([rows.nrows(), 1], value)], 1)


class Subwords(tf.Module):
    """Cuts sentences into the pieces of `learn`, and joins pieces to sentences.

    The best segmentation is sentencepiece's own, but for words of `BLOCK` characters or more, which are cut up block by
    block, and for words with several that are equally probable.

    Args:
        pieces, scores: as from `learn`.
    """

    def __init__(self, pieces: list[str], scores: list[str]):
        super().__init__()
        self.size, self.longest = len(pieces), max(map(len, pieces[FIRST_PIECE:]))
        scores = np.array(scores, np.float32)
        scores[UNKNOWN_ID] = scores[FIRST_PIECE:].min() - PENALTY
        names = ["", UNKNOWN, *pieces[START_ID:]]
        with tf.init_scope():  # these outlive the graph that first asks for them
            self.scores, self.names = tf.constant(scores), tf.constant(names, tf.string)
            keys, ids = self.names[FIRST_PIECE:], tf.range(FIRST_PIECE, self.size, dtype=tf.int64)
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, ids), 0)

    def encode(self, text: tf.Tensor, alpha=None, seed=None) -> tf.RaggedTensor:
        """The pieces of sentences; see `segment`, whose first result this is."""
        return self.segment(text, alpha, seed)[0]

    def segment(self, text: tf.Tensor, alpha=None, seed=None) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Cut sentences into pieces.

        Args:
            text: `tf.string` `[batch]`.
            alpha: None for the most probable segmentation; or a number, for one that is drawn, for every word by
                itself, with probability in proportion to p(segmentation)^alpha.
            seed: int `[2]`, for drawing: the same for the same batch.

        Returns:
            Ids of the pieces, ragged int32 `[batch, (pieces)]`, without start and end; and what each stands for in the
            normalised text, ragged `tf.string`, U+2581 being a space: also of the unknown. Unknown characters in a row
            are one piece.
        """
        words = _words(text)
        unique, index = tf.unique(words.flat_values)
        lattice = _Lattice(self, unique, 1.0 if alpha is None else alpha)
        steps, count = tf.shape(lattice.scores)[0], tf.size(index)
        if alpha is None:
            cumulative, noise = lattice.best(), tf.zeros([steps, count])
        else:
            cumulative, noise = lattice.shares(), tf.random.stateless_uniform([steps, count], seed)
        bounds = _backward(cumulative, index, tf.gather(lattice.lengths, index), noise)

        starts, ends = bounds[:, :-1], bounds[:, 1:]
        places = tf.where(ends > 0)  # word by word, in the order of the text
        starts, ends = tf.gather_nd(starts, places), tf.gather_nd(ends, places)
        word, row = tf.gather(index, places[:, 0]), tf.gather(words.value_rowids(), places[:, 0])
        ids, surfaces = lattice.ids_of(word, starts, ends), _substrings(unique, word, starts, ends)

        unknown = tf.equal(ids, UNKNOWN_ID)
        again = unknown[1:] & unknown[:-1] & tf.equal(row[1:], row[:-1])
        first = tf.concat([tf.ones_like(unknown[:1]), ~again], 0)
        runs = tf.cumsum(tf.cast(first, tf.int32))
        surfaces = tf.strings.unsorted_segment_join(surfaces, runs - 1, tf.reduce_max(tf.pad(runs, [[1, 0]])))
        ids, row = tf.boolean_mask(ids, first), tf.boolean_mask(row, first)
        ids = tf.RaggedTensor.from_value_rowids(ids, row, words.nrows(), validate=False)
        return ids, ids.with_flat_values(surfaces)

    def pieces(self, ids: tf.Tensor) -> tf.Tensor:
        """The names of ids of any shape, `tf.string`: "" of padding, "<s>" and "</s>" of start and end."""
        return tf.gather(self.names, ids)

    def decode(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.Tensor:
        """Join pieces to sentences.

        Args:
            ids: int `[batch, time]`, padded with 0; start and end count as padding.
            unknown: `tf.string` `[batch, time]`, what stands for the unknown pieces, such as what `segment` found where
                the attention of each was (Luong et al. 2015); by default U+2047.

        Returns:
            Sentences, `tf.string` `[batch]`.
        """
        special = tf.equal(ids, START_ID) | tf.equal(ids, END_ID)
        names = self.pieces(tf.where(special, tf.zeros_like(ids), ids))
        if unknown is not None:
            names = tf.where(tf.equal(ids, UNKNOWN_ID), unknown, names)
        return tf.strings.strip(tf.strings.regex_replace(tf.strings.reduce_join(names, 1), f"{SPACE}+", " "))


def _words(text):
    """Words with `SPACE` in front, ragged `[batch, (words)]`; a long one in blocks, the first of them with it."""
    text = tf.strings.regex_replace(normalize(text), r"([^ ]+)", rf"{SPACE}\1")
    return tf.strings.split(tf.strings.regex_replace(text, rf"([^ ]{{{BLOCK}}})", r"\1 "))


def _substrings(words, word, starts, ends):
    return tf.strings.substr(tf.gather(words, word), starts, ends - starts, unit="UTF8_CHAR")


class _Lattice:
    """All ways to cut up some words.

    Of a character, t-th of its word, and a place j below K, the longest piece's length: the piece that ends with it and
    starts after t - K + j characters, so that the longest is the first. `ids` int32 `[characters, K]`, 0 where there is
    no such piece; `scores` float32 `[time, words, K]`.
    """

    def __init__(self, subwords: Subwords, words, alpha):
        self.width = subwords.longest
        self.lengths = tf.strings.length(words, unit="UTF8_CHAR")
        characters = tf.ragged.range(1, self.lengths + 1)
        self.offsets = tf.cast(characters.row_starts(), tf.int32)
        word, ends = tf.cast(characters.value_rowids(), tf.int32), characters.flat_values
        starts = ends[:, None] - tf.range(self.width, 0, -1)

        places = tf.where(starts >= 0)
        character = places[:, 0]
        text = _substrings(words, tf.gather(word, character), tf.gather_nd(starts, places), tf.gather(ends, character))
        found = tf.cast(subwords.table.lookup(text), tf.int32)
        ids = tf.scatter_nd(places, found, tf.shape(starts, tf.int64))
        single = tf.equal(tf.range(self.width), self.width - 1)
        self.ids = tf.where(single & tf.equal(ids, 0), UNKNOWN_ID, ids)

        scores = tf.where(self.ids > 0, alpha * tf.gather(subwords.scores, self.ids), FORBIDDEN)
        steps = tf.reduce_max(tf.pad(self.lengths, [[1, 0]], constant_values=1))  # one at least, for an empty batch
        scores = characters.with_flat_values(scores).to_tensor(FORBIDDEN, shape=tf.stack([-1, steps, self.width]))
        self.scores = tf.transpose(scores, [1, 0, 2])

    def best(self):
        """The best place of every character as the draw that is certain: see `shares`."""
        through = _forward_max(self.scores) + self.scores
        return tf.cast(tf.range(self.width) >= tf.argmax(through, 2, tf.int32)[:, :, None], tf.float32)

    def shares(self):
        """Cumulative probabilities, `[time, words, K]`, of the places of the piece that ends with a character."""
        return tf.cumsum(tf.nn.softmax(_forward_sum(self.scores) + self.scores), 2)

    def ids_of(self, word, starts, ends):
        character = tf.gather(self.offsets, word) + ends - 1
        return tf.gather_nd(self.ids, tf.stack([character, self.width + starts - ends], 1))


def _loop(*specs):
    """A graph also in eager mode, which would run a loop over time in Python."""
    return lambda function: tf.function(function, autograph=False, input_signature=specs)


def _forward(scores, total):
    """Before every character, f at the last K boundaries, `[time, words, K]`; `total` is a maximum or a log-sum."""
    steps, words, width = tf.unstack(tf.shape(scores))

    def body(t, window, windows):
        reached = total(window + scores[t], 1)[:, None]
        return t + 1, tf.concat([window[:, 1:], reached], 1), windows.write(t, window)

    start = tf.concat([tf.fill([words, width - 1], FORBIDDEN), tf.zeros([words, 1])], 1)
    windows = tf.TensorArray(tf.float32, steps, element_shape=[None, None])
    loop = (0, start, windows)
    *_, windows = tf.while_loop(lambda t, *_: t < steps, body, loop)
    return windows.stack()


@_loop(tf.TensorSpec([None, None, None], tf.float32))
def _forward_max(scores):
    return _forward(scores, tf.reduce_max)


@_loop(tf.TensorSpec([None, None, None], tf.float32))
def _forward_sum(scores):
    return _forward(scores, tf.reduce_logsumexp)


@_loop(
    tf.TensorSpec([None, None, None], tf.float32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None, None], tf.float32),
)
def _backward(cumulative, words, lengths, noise):
    """From the ends of words to their starts, piece by piece.

    Args:
        cumulative: `[time, different words, K]`, of the places of a piece, by where it ends.
        words, lengths: `[words]`, which of those each is, and of how many characters.
        noise: uniform, `[time, words]`.

    Returns:
        Boundaries, int32 `[words, pieces + 1]`, in rising order, with zeros in front of those of shorter words.
    """
    _, count, width = tf.unstack(tf.shape(cumulative))
    rows = tf.reshape(cumulative, [-1, width])

    def body(s, end, path):
        row = tf.gather(rows, tf.maximum(end - 1, 0) * count + words)
        level = noise[s] * row[:, -1]  # which is 1 but for rounding
        place = tf.reduce_sum(tf.cast(row <= level[:, None], tf.int32), 1)
        end = tf.where(end > 0, end - width + place, 0)
        return s + 1, end, path.write(s + 1, end)

    path = tf.TensorArray(tf.int32, 1, dynamic_size=True, element_shape=[None]).write(0, lengths)
    *_, path = tf.while_loop(lambda s, end, _: tf.reduce_any(end > 0), body, (0, lengths, path))
    return tf.transpose(path.stack()[::-1])
