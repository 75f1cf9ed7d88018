"""The continuous cache, against the paper's formula written out with Python's loops."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import cache
from zoo.layers.cache import ContinuousCache

SIZE, WIDTH, SYMBOLS, SHARE, SHARPNESS, LIKENESS = 7, 5, 4, 0.3, 6.0, 0.4


@pytest.fixture(params=[3, 256])
def memory(request, monkeypatch):
    """With blocks shorter than the memory, and longer."""
    monkeypatch.setattr(cache, "BLOCK", request.param)
    return ContinuousCache(SIZE, WIDTH, SHARE, SHARPNESS, LIKENESS)


def texts(lengths, seed=0):
    """Outputs, symbols (the first is what nothing came before), and the network's own log-probabilities."""
    draw = np.random.default_rng(seed)
    longest = max(lengths)
    outputs = draw.normal(size=[len(lengths), longest, WIDTH]).astype(np.float32)
    symbols = draw.integers(1, SYMBOLS, [len(lengths), longest]).astype(np.int32)
    symbols[:, 0] = cache.EMPTY
    log_p = np.log(draw.dirichlet(np.ones(SYMBOLS), [len(lengths), longest])).astype(np.float32)
    return outputs, symbols, log_p


def by_hand(outputs, symbols, log_p):
    """Of one text: log-probabilities `[time, symbols]`."""
    outputs, found = outputs / np.linalg.norm(outputs, axis=1, keepdims=True), []
    for now in range(len(outputs)):
        past = [i for i in range(max(0, now - SIZE), now)]  # whose outputs were followed by symbol i + 1
        weights = [np.exp(SHARPNESS * outputs[now] @ outputs[i]) for i in past]
        total, p = np.exp(SHARPNESS * LIKENESS) + sum(weights), np.exp(log_p[now])
        p = p * (1 - SHARE * sum(weights) / total)
        for i, weight in zip(past, weights, strict=True):
            p[symbols[i + 1]] += SHARE * weight / total
        found.append(np.log(p))
    return np.array(found)


def zeros(memory, rows):
    return [tf.zeros([rows, width]) for width in memory.widths]


def test_many_steps_are_as_by_hand(memory):
    lengths = [20, 1, 12]
    outputs, symbols, log_p = texts(lengths)
    found, _ = memory.read(outputs, symbols, tf.constant(lengths), log_p, zeros(memory, 3))
    for row, length in enumerate(lengths):
        expected = by_hand(outputs[row, :length], symbols[row, :length], log_p[row, :length])
        np.testing.assert_allclose(found[row, :length], expected, atol=1e-5)


def test_in_parts_it_is_the_same(memory):
    """Rows of different lengths go on, each from where it is; one gets nothing in the first part."""
    outputs, symbols, log_p = texts([20, 20, 20], seed=1)
    cuts = np.array([9, 0, 16])
    _, state = memory.read(*(tf.constant(x[:, :16]) for x in (outputs, symbols)), cuts, log_p[:, :16], zeros(memory, 3))
    for row, cut in enumerate(cuts):
        later = [tensor[row : row + 1] for tensor in state]
        rest = lambda array, row=row, cut=cut: tf.constant(array[row : row + 1, cut:])
        found, _ = memory.read(rest(outputs), rest(symbols), tf.constant([20 - cut]), rest(log_p), later)
        np.testing.assert_allclose(found[0], by_hand(outputs[row], symbols[row], log_p[row])[cut:], atol=1e-5)


def test_step_by_step_it_is_the_same(memory):
    """Steps after a part that was read at once, and a part after steps."""
    outputs, symbols, log_p = texts([30, 30], seed=2)
    read = lambda a, b, state: memory.read(
        outputs[:, a:b], symbols[:, a:b], tf.constant([b - a] * 2), log_p[:, a:b], state
    )
    first, state = read(0, 4, zeros(memory, 2))
    opened, found = memory.opened(state), [first]
    for i in range(4, 15):
        mixed, opened = memory.step(outputs[:, i], symbols[:, i], log_p[:, i], opened)
        found.append(mixed[:, None])
    last, _ = read(15, 30, memory.closed(opened))
    found = np.concatenate([*found, last], 1)
    for row in range(2):
        np.testing.assert_allclose(found[row], by_hand(outputs[row], symbols[row], log_p[row]), atol=1e-5)


def test_the_probabilities_add_up(memory):
    outputs, symbols, log_p = texts([25])
    found, _ = memory.read(outputs, symbols, tf.constant([25]), log_p, zeros(memory, 1))
    np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)
