"""From one step of a decoder to a whole sequence, in the graph: greedy, at random, and by beam search.

All three are one `tf.while_loop` of standard kernels over a function of the task's,

    step(state, token) -> (logits, state)

that reads a token of every row, int32 `[rows]`, and scores those that may come next, float `[rows, vocabulary]`. The
state is any nest of tensors whose first axis is `rows`. What all hypotheses of an input share, an encoder's output say,
is no part of it: the step closes over that, and sees `rows = batch * width`, those of the first input first.

A token whose logit is -inf is never produced; so a step can forbid padding. A row whose logits are all -inf cannot go
on: its log-probability becomes -inf, and its length 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

INFINITY = float("inf")
LOWEST = tf.float32.min  # stands in for -inf, whose differences would be NaN
TINY = 1e-30
LARGE = 1000  # a vocabulary; from there on `_top_k` is faster than TensorFlow's kernel, at 8,000 three to seven times


class Sequences(NamedTuple):
    """A sequence for each input.

    Attributes:
        tokens: int32 `[batch, time]`, without `end`, padded with 0; time is the greatest length.
        lengths: int32 `[batch]`, without `end`.
        log_probabilities: float32 `[batch]`, under the decoder, with `end`.
        ended: bool `[batch]`: `end` came; otherwise the sequence was cut off at its limit.
        state: the step's, after every token but the last, which is the `start` to go on with from there.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    log_probabilities: tf.Tensor
    ended: tf.Tensor
    state: Any


class Hypotheses(NamedTuple):
    """The hypotheses for each input, best first.

    Attributes:
        tokens: int32 `[batch, width, time]`, without `end`, padded with 0; time is the greatest length.
        lengths: int32 `[batch, width]`, without `end`.
        log_probabilities: float32 `[batch, width]`, with `end`.
        scores: float32 `[batch, width]`, the log-probabilities divided by a norm of the length.
        ended: bool `[batch, width]`: `end` came; otherwise the hypothesis was cut off at its limit.

    Where there are fewer than `width` hypotheses, the last have length 0 and the score -inf.
    """

    tokens: tf.Tensor
    lengths: tf.Tensor
    log_probabilities: tf.Tensor
    scores: tf.Tensor
    ended: tf.Tensor


def greedy(step, state, start, end, max_length) -> Sequences:
    """The most probable token at every step.

    Args:
        step: as above.
        state: what the first step is given, tensors `[batch, ...]`.
        start: the token that it is given, int, or int32 `[batch]`.
        end: the token that ends a sequence, int; None if nothing but its limit does.
        max_length: the limit in tokens, `end` counted, int, or int32 `[batch]` with one for each input.
    """
    return _sequences(step, lambda i, logits: tf.argmax(logits, 1, tf.int32), state, start, end, max_length)


def sample(step, state, start, end, max_length, seed, temperature=1.0, top_k=0, top_p=1.0, first=0) -> Sequences:
    """Every token drawn at random, by its probability; the same tokens for the same seed.

    Args:
        step, state, start, end, max_length: as for `greedy`.
        seed: int, or int `[2]`.
        first: the number of the first step, to go on from a state with the same seed: it is how many steps there were.
        temperature, top_k, top_p: as for `choose`. The log-probabilities of the result are as without them.
    """
    seed = tf.broadcast_to(tf.cast(seed, tf.int64), [2])
    seed = tf.random.stateless_uniform([2], seed, minval=None, maxval=None, dtype=tf.int64)  # far from seed + 1's
    seed += tf.cast(first, tf.int64)
    pick = lambda i, logits: choose(logits, seed + tf.cast(i, tf.int64), temperature, top_k, top_p)
    return _sequences(step, pick, state, start, end, max_length)


def choose(logits, seed, temperature=1.0, top_k=0, top_p=1.0) -> tf.Tensor:
    """A token for each row of logits, float `[rows, vocabulary]`, drawn at random: int32 `[rows]`.

    Args:
        seed: int `[2]`. A row's token depends on it, on the row's logits and on its place, not on the other rows.
        temperature: what the logits are divided by, a scalar; at 0 the best token is taken.
        top_k: how many of the best tokens are left to draw from, a scalar; 0 for all.
        top_p: of these, only the fewest are left that together have this probability, a scalar: the nucleus (Holtzman
            et al. 2020). 1 for all.

    All may be tensors. Of equal tokens, the one with the lower id counts as better.
    """
    top_k, temperature, top_p = tf.cast(top_k, tf.int32), tf.cast(temperature, tf.float32), tf.cast(top_p, tf.float32)
    logits = tf.maximum(tf.cast(logits, tf.float32), LOWEST)
    mark = tf.random.stateless_uniform([tf.shape(logits)[0], 1], seed)
    probabilities = lambda values, best: tf.nn.softmax((values - best) / tf.maximum(temperature, TINY))

    def of_all():
        sums = tf.cumsum(probabilities(logits, tf.reduce_max(logits, 1, keepdims=True)), 1)
        return tf.searchsorted(sums, mark * sums[:, -1:], "right")[:, 0]

    def of_the_best():
        vocabulary = tf.shape(logits)[1]
        n = tf.where((top_k > 0) & (top_k < vocabulary), top_k, vocabulary)
        best, tokens = tf.math.top_k(logits, tf.where(temperature > 0, n, 1))
        p = probabilities(best, best[:, :1])
        sums = tf.cumsum(p, 1)
        nucleus = sums - p < tf.where(top_p < 1, tf.maximum(top_p, TINY), INFINITY)
        total = tf.reduce_max(tf.where(nucleus, sums, 0.0), 1, keepdims=True)
        place = tf.searchsorted(sums, total * mark, "right")  # rounded, too, the mark is below the total
        return tf.gather(tokens, place, batch_dims=1)[:, 0]

    return tf.cond((top_k <= 0) & (top_p >= 1) & (temperature > 0), of_all, of_the_best)  # sorting takes long


def beam_search(step, state, start, end, max_length, width, length_penalty=0.6) -> Hypotheses:
    """The most probable sequences, as far as a shrinking beam finds them (Sutskever et al. 2014).

    An input has `width` slots. A hypothesis that has ended keeps one of them for good; the others go to the best
    continuations of those that have not. So a width of 1 is greedy, and one of as many as there are sequences finds the
    best. The search is over when all have ended or are at their limit; there they are cut off and compete as they are.

    Args:
        step, state, start, end, max_length: as for `greedy`. The state is repeated for the slots.
        width: slots, a scalar; it may be a tensor.
        length_penalty: alpha in the score, log p / ((5 + length) / 6)^alpha with `end` counted (Wu et al. 2016); it may
            be a tensor. 0 for log p itself, which favours short hypotheses.
    """
    width = tf.convert_to_tensor(width)

    def follow(i, logits, total, done):
        n = tf.minimum(width, tf.shape(logits)[1])
        best, tokens = _top_k(logits, n)
        highest = tf.gather(tf.nn.softmax(logits), tokens[:, :1], batch_dims=1)  # faster than log_softmax of all
        gains = best - best[:, :1] + tf.math.log(highest)
        itself = tf.one_hot(0, n, INFINITY, -INFINITY)  # all that is offered by one that is done, and always taken
        values = tf.where(done[:, None], itself, _not_nan(total[:, None] + gains))
        values, places = tf.math.top_k(tf.reshape(values, [-1, width * n]), width)
        places = tf.reshape(places + width * n * tf.range(tf.shape(places)[0])[:, None], [-1])
        values, parents = tf.reshape(values, [-1]), places // n
        done = values == INFINITY
        total = tf.where(done, tf.gather(total, parents), values)
        return tf.gather(tf.reshape(tokens, [-1]), places), total, done, parents

    tokens, lengths, total, ended, _ = _decode(step, follow, state, start, end, max_length, width)
    norm = (tf.cast(5 + lengths + tf.cast(ended, tf.int32), tf.float32) / 6) ** length_penalty
    by_input = lambda x: tf.reshape(x, tf.concat([[tf.size(lengths) // width, width], tf.shape(x)[1:]], 0))
    scores, order = tf.math.top_k(by_input(total / norm), width)
    tokens, lengths, total, ended = (
        tf.gather(by_input(x), order, batch_dims=1) for x in (tokens, lengths, total, ended)
    )
    return Hypotheses(tokens, lengths, total, scores, ended)


def _sequences(step, pick, state, start, end, max_length) -> Sequences:
    """One sequence for each input; `pick(i, logits)` tells the tokens of step i, int32 `[batch]`."""

    def follow(i, logits, total, done):
        tokens = pick(i, logits)
        gains = tf.gather(tf.nn.log_softmax(logits), tokens[:, None], batch_dims=1)[:, 0]
        return tokens, tf.where(done, total, _not_nan(total + gains)), done, None

    return Sequences(*_decode(step, follow, state, start, end, max_length, 1))


def _decode(step, follow, state, start, end, max_length, width):
    """The loop: tokens, lengths, log-probabilities, whether they ended, and states, of `batch * width` rows.

    `follow(i, logits, log-probabilities, done)` tells of every row after step i its token, its log-probability, whether
    it was done before, and which row it continues; None for itself. One that was done may be given any token.
    """
    batch, max_length = tf.shape(tf.nest.flatten(state)[0])[0], tf.convert_to_tensor(max_length)
    start, limit = (tf.repeat(tf.broadcast_to(tf.cast(x, tf.int32), [batch]), width) for x in (start, max_length))
    state = tf.nest.map_structure(lambda x: tf.repeat(x, width, 0), state)
    together = end is None and max_length.shape.rank == 0  # no row is done before another
    first = tf.range(batch * width) % width == 0  # of the slots of an input: at the start only this one is taken

    def going_on(i, token, total, done, tokens, state):
        return tf.reduce_any((total > -INFINITY) & ~done)

    def body(i, token, total, done, tokens, before):
        logits, state = step(before, token)
        token, total, done, parents = follow(i, tf.cast(logits, tf.float32), total, done)
        if parents is None and not together:
            state = tf.nest.map_structure(lambda x, y: tf.raw_ops.Select(condition=done, x=x, y=y), before, state)
        elif parents is not None:
            tokens, state = tf.nest.map_structure(lambda x: tf.gather(x, parents), (tokens, state))
        done |= limit <= i + 1
        if end is not None:
            done |= (token == end) & (total > -INFINITY)  # an empty slot has not ended
        return i + 1, token, total, done, tf.concat([tokens, token[:, None]], 1), state

    loop = (0, start, tf.where(first, 0.0, -INFINITY), limit <= 0, tf.zeros([batch * width, 0], tf.int32), state)
    rows, history = tf.TensorShape([None]), tf.TensorShape([None, None])
    states = tf.nest.map_structure(lambda x: rows.concatenate(x.shape[1:]), state)
    loop = tf.while_loop(going_on, body, loop, (tf.TensorShape([]), rows, rows, rows, history, states))
    steps, _, total, _, tokens, state = loop

    time, possible = tf.range(steps), total > -INFINITY
    ends = limit if end is None else tf.reduce_min(tf.where(tokens == end, time, limit[:, None]), 1)
    lengths = tf.where(possible, tf.minimum(ends, limit), 0)
    tokens = tf.where(time < lengths[:, None], tokens, 0)[:, : tf.reduce_max(lengths)]
    return tokens, lengths, total, possible & (ends < limit), state


def _not_nan(x):
    return tf.where(tf.math.is_nan(x), -INFINITY, x)


def _top_k(values, k):
    """`tf.math.top_k` of float `[rows, n]`, which looks only into the k groups of values with the highest maxima."""
    n = values.shape[1]
    if n is None or n < LARGE:
        return tf.math.top_k(values, k)
    size = next((size for size in range(int(n**0.5), 15, -1) if n % size == 0), 64)
    groups = -(-n // size)
    if n % size:
        values = tf.pad(values, [[0, 0], [0, groups * size - n]], constant_values=-INFINITY)
    values = tf.reshape(values, [-1, groups, size])
    _, chosen = tf.math.top_k(tf.reduce_max(values, 2), tf.minimum(k, groups))
    values = tf.gather(values, chosen, batch_dims=1)
    values, places = tf.math.top_k(tf.reshape(values, [-1, tf.shape(chosen)[1] * size]), k)
    tokens = tf.gather(chosen, places // size, batch_dims=1) * size + places % size
    return values, tf.minimum(tokens, n - 1)  # -inf may have come from the padding
