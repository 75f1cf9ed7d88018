"""Adversarial training against a plain rendering of the paper's formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.adversarial import AdversarialTraining

X = np.array([[1, 2, 3, 4], [5, 6, 0, 0], [2, 2, 7, 0]], "int32")
Y = np.array([0, 1, 1], "int32")
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Mean(AdversarialTraining):
    """Embedding, a nonlinearity, the mean over the words that there are, two logits."""

    def __init__(self, epsilon):
        super().__init__(epsilon)
        self.embedding = keras.layers.Embedding(8, 5, mask_zero=True)
        self.hidden = keras.layers.Dense(6, activation="tanh")
        self.head = keras.layers.Dense(2)

    def embed(self, ids, training):
        return self.embedding(ids), tf.not_equal(ids, 0)

    def classify(self, embedded, mask, training):
        weight = tf.cast(mask, embedded.dtype)[..., None]
        return self.head(tf.reduce_sum(self.hidden(embedded) * weight, 1) / tf.reduce_sum(weight, 1))


def compiled(epsilon, jit=False):
    """A model whose SGD step of rate 1 takes exactly the gradient off the weights."""
    keras.utils.set_random_seed(5)
    model = Mean(epsilon)
    model(tf.constant(X))
    model.embedding.set_weights([3 * model.embedding.get_weights()[0]])
    model.compile(keras.optimizers.SGD(1.0), LOSS, metrics=["accuracy"], jit_compile=jit)
    return model


def after_a_step(model):
    logs = model.train_on_batch(X, Y, return_dict=True)
    return [v.numpy() for v in model.trainable_variables], logs


def worst_move(model, epsilon):
    embedded, mask = model.embed(tf.constant(X), True)
    with tf.GradientTape() as tape:
        tape.watch(embedded)
        loss = LOSS(Y, model.classify(embedded, mask, True))
    gradient = tape.gradient(loss, embedded).numpy()
    norm = lambda a: np.sqrt((a.astype("float64") ** 2).sum((1, 2), keepdims=True))
    return (epsilon * norm(embedded.numpy()) * gradient / norm(gradient)).astype("float32")


def loss_with(model, move):
    embedded, mask = model.embed(tf.constant(X), True)
    return LOSS(Y, model.classify(embedded + move, mask, True))


def test_no_move_is_plain_keras():
    class Plain(Mean):
        train_step = keras.Model.train_step

    model = compiled(0.0)
    keras.utils.set_random_seed(5)
    plain = Plain(0.3)
    plain(tf.constant(X))
    plain.set_weights(model.get_weights())
    plain.compile(keras.optimizers.SGD(1.0), LOSS, metrics=["accuracy"], jit_compile=False)
    (weights, logs), (expected, expected_logs) = after_a_step(model), after_a_step(plain)
    assert all(np.array_equal(a, b) for a, b in zip(weights, expected, strict=True))
    assert logs == expected_logs


@pytest.mark.parametrize("epsilon", [0.01, 0.3, 2.0])
def test_gradients_are_those_of_the_loss_plus_the_loss_at_the_moved_embeddings(epsilon):
    model = compiled(epsilon)
    move = worst_move(model, epsilon)
    with tf.GradientTape() as tape:
        total = loss_with(model, 0.0) + loss_with(model, move)
    expected = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, model.trainable_variables)]
    before = [v.numpy() for v in model.trainable_variables]
    after, logs = after_a_step(model)
    for b, a, e in zip(before, after, expected, strict=True):
        np.testing.assert_allclose(b - a, e, rtol=1e-4, atol=2e-6)
    unmoved = compiled(0.0)
    assert logs["loss"] == pytest.approx(float(loss_with(unmoved, 0.0)), rel=1e-5)  # reported: the plain loss


def test_the_move_has_the_length_asked_for_and_raises_the_loss():
    from zoo.adversarial import _worst_move

    model = compiled(0.05)
    embedded, mask = model.embed(tf.constant(X), True)
    with tf.GradientTape() as tape:
        tape.watch(embedded)
        loss = LOSS(Y, model.classify(embedded, mask, True))
    move = _worst_move(tape.gradient(loss, embedded), embedded, 0.05).numpy()
    np.testing.assert_allclose(move, worst_move(model, 0.05), rtol=1e-4, atol=1e-6)
    lengths = np.sqrt((move**2).sum((1, 2))) / np.sqrt((embedded.numpy() ** 2).sum((1, 2)))
    np.testing.assert_allclose(lengths, 0.05, rtol=1e-4)
    assert not move[X == 0].any()  # padding stays where it is
    assert float(loss_with(model, move)) > float(loss) > float(loss_with(model, -move))


def test_vanishing_gradients_give_no_nan():
    from zoo.adversarial import _worst_move

    for scale in (0.0, 1e-30):
        move = _worst_move(tf.fill([1, 2, 3], scale), tf.ones([1, 2, 3]), 0.1).numpy()
        assert np.isfinite(move).all()
