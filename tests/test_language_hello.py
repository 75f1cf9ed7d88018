"""The lectures' example: a vanilla RNN of a few units that has learnt to write "hello" (Stanford CS231n).

An l follows h, e, l once as l and once as the letter before o: which one comes is not in the input but in the state.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tasks.language import START, CharacterModel, Config
from zoo import decoding, streams

LETTERS = "ehlo"
FIRST = 2  # the id of the first letter: 0 is START, 1 an unknown one
HELLO = np.array([FIRST + LETTERS.index(letter) for letter in "hello"], np.uint16)


def trained(batches, steps, **truncation):
    keras.utils.set_random_seed(1)
    options = dict(cell="rnn", depth=1, units=8, embedding_dim=4, dropout=0.0, weight_dropout=0.0)
    model = CharacterModel(Config(**options, **truncation, cache=0), FIRST + len(LETTERS))
    model.compile(keras.optimizers.Adam(0.03, global_clipnorm=1.0))
    step, batches = tf.function(model.train_step), iter(batches)
    for _ in range(steps):
        step(next(batches))
    return model


def probabilities(model, ids):
    """Of every letter, after each of these; from nothing."""
    ids = tf.constant(ids, tf.int32)[None]
    states = [tf.zeros([1, state.shape[1]]) for state in model.carried["dev"]]
    logits, states = model.read(ids, states)
    return tf.nn.softmax(logits[0]).numpy()[:, FIRST:], states


@pytest.fixture(scope="module")
def model():
    """Trained on the word, from its start."""
    window = np.array([[START, *HELLO]], np.uint16)
    batch = {"symbols": window, "begin": np.array([True])}, np.ones([1, 5], np.float32)
    return trained(tf.data.Dataset.from_tensors(batch).repeat(), 150, k1=5, k2=5)


@pytest.mark.parametrize(("text", "follows"), [("", "h"), ("h", "e"), ("he", "l"), ("hel", "l"), ("hell", "o")])
def test_what_follows(model, text, follows):
    found, _ = probabilities(model, [START, *HELLO[: len(text)]])
    assert found[-1, LETTERS.index(follows)] > 0.9


def test_it_writes_the_word(model):
    """Each letter that it says is its next input."""
    begin, step, _ = model.stepper()
    zeros = lambda rows: begin([tf.zeros([rows, width]) for width in model.widths])
    found = decoding.greedy(step, zeros(1), START, None, 5)
    assert found.tokens.numpy().tolist() == [HELLO.tolist()]
    _, states = probabilities(model, [START])
    found = decoding.greedy(step, begin(states), int(HELLO[0]), None, 4)
    assert "".join(LETTERS[token - FIRST] for token in found.tokens[0].numpy()) == "ello"
    drawn = decoding.sample(step, zeros(200), START, None, 5, 1).tokens.numpy()
    assert (drawn == HELLO).all(1).mean() > 0.6  # 0.9^5
    assert drawn.min() >= FIRST


def test_windows_that_cut_the_word_anywhere():
    """On one long text, an update every 3 letters through the last 4; the state is what knows where it is."""
    batches = streams.training(np.tile(HELLO, 12), 4, 3, 4, seed=0, restart=0)
    model = trained(batches, 400, k1=3, k2=4)
    found, _ = probabilities(model, np.tile(HELLO, 4))
    for place, letter in enumerate("elloh", start=10):
        assert found[place, LETTERS.index(letter)] > 0.9, letter
