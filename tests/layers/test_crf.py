"""The CRF against the enumeration of all tag paths, and inside Keras models."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.layers.crf import CRF, CRFAccuracy, CRFLoss, constraints
from zoo.layers.recurrent import LSTM

BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BIOES = ["O", "B-PER", "I-PER", "E-PER", "S-PER"]


def layer_of(tags, seed, allowed=None):
    layer = CRF(tags, allowed)
    layer.build((None, None, tags))
    draw = np.random.default_rng(seed)
    layer.set_weights([draw.normal(size=w.shape, scale=2) for w in layer.weights])
    return layer


def all_paths(layer, potentials):
    """Every tag path of a sequence [time, tags], and its score by the definition."""
    start, end, transitions = (w.numpy().astype(np.float64) for w in layer.weights)
    allowed = np.ones([layer.tags + 1] * 2, bool) if layer.constraints is None else layer.constraints
    paths, scores = [], []
    for path in itertools.product(range(layer.tags), repeat=len(potentials)):
        steps = [-1, *path, -1]  # the last row and column of the constraints are the boundary
        if all(allowed[i, j] for i, j in itertools.pairwise(steps)):
            score = start[path[0]] + end[path[-1]] + sum(potentials[t, y] for t, y in enumerate(path))
            paths.append(path)
            scores.append(score + sum(transitions[i, j] for i, j in itertools.pairwise(path)))
    return np.array(paths), np.array(scores)


def example(seed, tags, steps, batch=3, scale=3.0):
    """Potentials, true tags, and a mask with holes; the first sequence is whole and the last may be empty."""
    draw = np.random.default_rng(seed)
    mask = draw.random([batch, steps]) < 0.6
    mask[0] = True
    potentials = draw.normal(size=[batch, steps, tags], scale=scale).astype(np.float32)
    return potentials, draw.integers(tags, size=[batch, steps]), mask


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**20), tags=st.integers(1, 4), steps=st.integers(1, 5), scale=st.sampled_from([1, 30]))
def test_equals_enumeration(seed, tags, steps, scale):
    layer = layer_of(tags, seed)
    potentials, truth, mask = example(seed, tags, steps, scale=scale)
    likelihood = layer.log_likelihood(potentials, truth, mask).numpy()
    best, probability = (x.numpy() for x in layer.decode(potentials, mask))
    marginals = layer.marginals(potentials, mask).numpy()
    conditionals = np.where(mask, layer.conditionals(potentials, best, mask), 1)
    np.testing.assert_allclose(conditionals.prod(1), probability, rtol=1e-4)
    assert not marginals[~mask].any() and not best[~mask].any()
    for row in range(len(mask)):
        steps_of = np.flatnonzero(mask[row])
        if not len(steps_of):
            assert likelihood[row] == 0 and probability[row] == 1
            continue
        paths, scores = all_paths(layer, potentials[row, steps_of])
        p = np.exp(scores - np.logaddexp.reduce(scores))
        true = (paths == truth[row, steps_of]).all(1)
        np.testing.assert_allclose(likelihood[row], np.log(p[true][0]), rtol=1e-5, atol=3e-5 * scale)
        assert tuple(best[row, steps_of]) == tuple(paths[scores.argmax()])
        np.testing.assert_allclose(probability[row], p.max(), rtol=1e-4)
        expected = [[p[paths[:, t] == tag].sum() for tag in range(tags)] for t in range(len(steps_of))]
        np.testing.assert_allclose(marginals[row, steps_of], expected, atol=1e-4)


def test_gradients_equal_finite_differences_of_the_enumeration(differences):
    layer = layer_of(3, seed=1)
    potentials, truth, mask = example(1, tags=3, steps=4)
    weigh = np.array([1.0, -2.0, 0.5], np.float32)

    def total(potentials):
        value = 0.0
        for row in range(3):
            at = np.flatnonzero(mask[row])
            paths, scores = all_paths(layer, potentials[row, at])
            true = scores[(paths == truth[row, at]).all(1)][0]
            value += weigh[row] * (true - np.logaddexp.reduce(scores))
        return value

    x = tf.constant(potentials)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(weigh * layer.log_likelihood(x, truth, mask))
    by_x, *by_weights = tape.gradient(loss, [x, *(w.value for w in layer.weights)])
    np.testing.assert_allclose(by_x, differences(potentials.astype(np.float64), total), atol=1e-4)
    for weight, gradient in zip(layer.weights, by_weights, strict=True):
        kept = weight.numpy().astype(np.float64)

        def shifted(value, weight=weight):
            weight.assign(value)
            return total(potentials.astype(np.float64))

        expected = differences(kept, shifted, step=1e-3)
        weight.assign(kept)
        np.testing.assert_allclose(gradient, expected, atol=3e-3, err_msg=weight.name)


WHOLE = {  # tag paths that are whole spans, spelt out; a space after every tag
    "bio": (BIO, r"(O |B-PER (I-PER )*|B-LOC (I-LOC )*)*"),
    "bioes": (BIOES, r"(O |S-PER |B-PER (I-PER )*E-PER )*"),
}


@pytest.mark.parametrize("scheme", WHOLE)
def test_constraints(scheme):
    tags, pattern = WHOLE[scheme]
    layer = layer_of(len(tags), seed=2, allowed=constraints(tags))
    potentials, _, mask = example(2, len(tags), steps=4)
    paths, scores = all_paths(layer, potentials[0])
    everything = list(itertools.product(range(len(tags)), repeat=4))
    whole = [path for path in everything if re.fullmatch(pattern, "".join(f"{tags[i]} " for i in path))]
    assert set(map(tuple, paths)) == set(whole) and 0 < len(whole) < len(everything)
    best, _ = layer.decode(potentials, mask)
    assert tuple(best[0].numpy()) == tuple(paths[scores.argmax()])
    truth = np.broadcast_to(paths[0], [3, 4])
    expected = scores[0] - np.logaddexp.reduce(scores)
    np.testing.assert_allclose(layer.log_likelihood(potentials, truth)[0], expected, rtol=1e-4)
    broken = next(path for path in everything if path not in set(whole))
    assert layer.log_likelihood(potentials, [broken] * 3)[0] < -1e8
    assert np.isfinite(layer.marginals(potentials, mask).numpy()).all()


def test_extreme_and_long_potentials_stay_finite():
    layer = layer_of(len(BIO), seed=3, allowed=constraints(BIO))
    potentials = np.random.default_rng(3).normal(size=[2, 3000, 5], scale=300).astype(np.float32)
    x = tf.constant(potentials)
    with tf.GradientTape() as tape:
        tape.watch(x)
        likelihood = layer.log_likelihood(x, np.zeros([2, 3000], int))
    assert np.isfinite(tape.gradient(likelihood, x)).all() and np.isfinite(likelihood).all()
    np.testing.assert_allclose(layer.marginals(x).numpy().sum(-1), 1, atol=1e-2)


def model_of(crf, policy="float32"):
    layers = [
        keras.layers.Embedding(12, 8, mask_zero=True, dtype=policy),
        keras.layers.Bidirectional(LSTM(8, return_sequences=True, dtype=policy)),
        keras.layers.Dense(crf.tags, dtype=policy),
        crf,
    ]
    return keras.Sequential(layers)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_fit_learns_what_the_scores_alone_cannot_say(policy, tmp_path):
    """Tags that alternate: none can be told from its word, each can be told from the one before."""
    keras.utils.set_random_seed(1)
    draw = np.random.default_rng(0)
    lengths = draw.integers(3, 9, size=256)
    ids = np.where(np.arange(8) < lengths[:, None], draw.integers(2, 12, [256, 8]), 0)
    tags = np.where(ids > 0, (np.arange(8) + (ids[:, :1] > 6)) % 2, 0)
    crf = CRF(2)
    model = model_of(crf, policy)
    model.compile(keras.optimizers.Adam(0.03), loss=CRFLoss(), metrics=[CRFAccuracy()])
    history = model.fit(ids, tags, epochs=6, batch_size=32, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 4 and history["accuracy"][-1] > 0.95
    # Padding counts for nothing: the mean over true steps is that of the sequences by themselves.
    likelihood = crf.log_likelihood(model(ids), tags, ids > 0).numpy()
    loss, accuracy = model.evaluate(ids, tags, batch_size=256, verbose=0)
    np.testing.assert_allclose(loss, -likelihood.sum() / (ids > 0).sum(), rtol=1e-3)
    best, _ = crf.decode(model(ids))
    np.testing.assert_allclose(accuracy, (best.numpy() == tags)[ids > 0].mean(), atol=1e-6)

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(again.evaluate(ids, tags, batch_size=256, verbose=0), [loss, accuracy], rtol=1e-5)
    again.fit(ids, tags, verbose=0)


def test_decoding_as_part_of_a_functional_model():
    crf = layer_of(3, seed=4)
    potentials, _, _ = example(4, tags=3, steps=5)
    inputs = keras.Input([None, 3])
    model = keras.Model(inputs, crf(inputs, decode=True))
    np.testing.assert_array_equal(model.predict(potentials, verbose=0), crf.decode(potentials)[0])


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="3 tags"):
        CRF(3)(tf.zeros([1, 2, 4]))
    with pytest.raises(ValueError, match="4 x 4"):
        CRF(3, constraints=np.ones([3, 3]))
    with pytest.raises(ValueError, match="CRF's own output"):
        CRFLoss()(np.zeros([1, 2], int), tf.zeros([1, 2, 3]))
