"""CIDEr-D (Vedantam et al. 2015) in the TensorFlow graph: of token ids, for reports and as a reward in training."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from zoo.errors import ZooError

ORDERS = 4  # n-grams of one to four tokens
SIGMA = 6.0  # of the penalty for a difference of length, in tokens


class CiderD:
    """CIDEr-D as the coco-caption code defines it, of each sentence, in 0..10; papers report 100 times the mean.

    Tf-idf vectors of a candidate's and of a reference's n-grams are compared by cosine, with the candidate's counts
    clipped to the reference's and a Gaussian penalty for a difference of length; the mean is over the orders of n-grams
    and over references. It is all operations of TensorFlow on integers, without Python and without state, so it can be
    the reward of a step of self-critical training (Rennie et al. 2017) inside `tf.function`; no gradient goes through.

    Args:
        corpus: the references whose document frequencies make the idf, as token ids: int `[pictures, captions, time]`
            padded with 0 at the end, or a list of captions, which are lists of ids, for each picture. A document is a
            picture. An end symbol is a token like others: it is in all the sentences here, or in none.

    Called with candidates, int32 `[rows, time]`, and their references, int32 `[rows, captions, time_r]`, padded
    likewise, gives float32 `[rows]`. A reference without tokens is none; rows without any score 0, as do empty
    candidates. With but one picture in the corpus every idf, and so every score, is 0.

    Raises:
        ZooError: the corpus has no pictures.
    """

    def __init__(self, corpus: np.ndarray | list[list[list[int]]]):
        self.pictures = len(corpus)
        if not self.pictures:
            raise ZooError("CIDEr: there are no pictures to take document frequencies from; expected at least one")
        tokens, owners = _captions(corpus)
        self.log_pictures = float(np.log(self.pictures))
        self.tables = [self._table(hashes, tokens, owners) for hashes in _hashes(tokens, np)]

    def _table(self, hashes: np.ndarray, tokens: np.ndarray, owners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The n-grams of one order that are in two pictures or more: hashes int64 `[n]`, ascending; idf float32 `[n]`.

        One that is in a single picture counts like one that is in none, so it is left out. The last row is no n-gram:
        all hashes have a place at or before it.
        """
        there = tokens[:, tokens.shape[1] - hashes.shape[1] :] > 0  # the last token of each
        found, pictures = hashes[there], np.repeat(owners, there.sum(1))
        order = np.lexsort((pictures, found))
        found, pictures = found[order], pictures[order]
        first = np.ones(len(found), bool)  # of an n-gram in a picture
        first[1:] = (found[1:] != found[:-1]) | (pictures[1:] != pictures[:-1])
        known, frequencies = np.unique(found[first], return_counts=True)
        known, frequencies = known[frequencies > 1], frequencies[frequencies > 1]
        idf = np.append(self.log_pictures - np.log(frequencies), self.log_pictures)
        return np.append(known, np.iinfo(np.int64).max), idf.astype(np.float32)

    def __call__(self, candidates: tf.Tensor, references: tf.Tensor) -> tf.Tensor:
        candidates, references = tf.cast(candidates, tf.int32), tf.cast(references, tf.int32)
        here, there = candidates > 0, references > 0
        difference = tf.cast(_lengths(here)[:, None] - _lengths(there), tf.float32)  # [rows, captions]
        penalty = tf.exp(-(difference**2) / (2 * SIGMA**2))

        # Whether n-grams that begin at two positions are the same: n of their tokens are. Counts are sums of that, and
        # a sum over different n-grams is one over positions, each with its part of the n-gram's count.
        own = (candidates[:, :, None] == candidates[:, None]) & here[:, None]
        owns = (references[..., None] == references[..., None, :]) & there[..., None, :]
        both = (candidates[:, None, :, None] == references[:, :, None]) & there[:, :, None]
        own_n, owns_n, both_n, scores = own, owns, both, 0.0
        grams = zip(self.tables, _hashes(candidates, tf), _hashes(references, tf), strict=True)
        for n, (table, hash_c, hash_r) in enumerate(grams):
            if n:
                own_n, owns_n, both_n = (_longer(a, b, n) for a, b in ((own_n, own), (owns_n, owns), (both_n, both)))
            idf_c, idf_r = self._idf(hash_c, *table) ** 2, self._idf(hash_r, *table) ** 2
            in_c, in_r = _count(own_n), _count(both_n)  # [rows, time], [rows, captions, time]: of the candidate's
            norm_c = tf.reduce_sum(in_c * idf_c, -1)[:, None]
            norm_r = tf.reduce_sum(_count(owns_n) * idf_r, -1)
            part = tf.math.divide_no_nan(idf_c, in_c)[:, None]
            product = tf.reduce_sum(tf.minimum(in_c[:, None], in_r) * in_r * part, -1)
            scores += tf.math.divide_no_nan(product, tf.sqrt(norm_c * norm_r))
        counted = tf.reduce_sum(tf.cast(tf.reduce_any(there, -1), tf.float32), -1)
        return 10 / ORDERS * tf.math.divide_no_nan(tf.reduce_sum(scores * penalty, -1), counted)

    def _idf(self, hashes: tf.Tensor, known: np.ndarray, idf: np.ndarray) -> tf.Tensor:
        flat = tf.reshape(hashes, [-1])
        place = tf.searchsorted(tf.constant(known), flat)
        found = tf.where(tf.gather(known, place) == flat, tf.gather(idf, place), self.log_pictures)
        return tf.reshape(found, tf.shape(hashes))


def _captions(corpus) -> tuple[np.ndarray, np.ndarray]:
    """Token ids `[captions, time]` padded with 0, and the number of each caption's picture."""
    if isinstance(corpus, np.ndarray):
        return corpus.reshape([-1, corpus.shape[-1]]), np.repeat(np.arange(len(corpus)), corpus.shape[1])
    captions = [caption for picture in corpus for caption in picture]
    tokens = np.zeros([len(captions), max(map(len, captions), default=0)], np.int32)
    for row, caption in zip(tokens, captions, strict=True):
        row[: len(caption)] = caption
    return tokens, np.repeat(np.arange(len(corpus)), [len(picture) for picture in corpus])


def _lengths(there: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(there, tf.int32), -1)


def _count(same: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(same, tf.float32), -1)


def _longer(same: tf.Tensor, token: tf.Tensor, n: int) -> tf.Tensor:
    """From which n-grams are the same, and which tokens are, which (n + 1)-grams are."""
    return same[..., :-1, :-1] & token[..., n:, n:]


def _hashes(tokens, module) -> list:
    """64-bit hashes of the 1- to 4-grams at every position, int64 `[..., time - n + 1]`, by numpy or tensorflow."""
    if module is np:
        tokens = tokens.astype(np.int64)
        shift = lambda x, bits: x >> bits & (1 << 64 - bits) - 1  # no copies of the sign
        xor = np.bitwise_xor
    else:
        tokens = tf.cast(tokens, tf.int64)
        constant = lambda value: tf.constant(value, tf.int64)
        shift = lambda x, bits: tf.bitwise.bitwise_and(
            tf.bitwise.right_shift(x, constant(bits)), constant((1 << 64 - bits) - 1)
        )
        xor = tf.bitwise.bitwise_xor

    def mix(x):  # the finaliser of MurmurHash3: every bit of it depends on every bit of x
        x = xor(x, shift(x, 33)) * _signed(0xFF51AFD7ED558CCD)
        x = xor(x, shift(x, 33)) * _signed(0xC4CEB9FE1A85EC53)
        return xor(x, shift(x, 33))

    found = [mix(tokens)]
    for n in range(1, ORDERS):
        found.append(mix(found[-1][..., :-1] * _signed(0x9E3779B97F4A7C15) + tokens[..., n:]))
    return found


def _signed(constant: int) -> int:
    """The 64-bit number with the same bits, below 2^63."""
    return constant - (1 << 64 if constant >> 63 else 0)
