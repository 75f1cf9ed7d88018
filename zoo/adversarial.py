"""Adversarial training of text classifiers: on the words, and on the words moved a little in the worst direction.

Miyato, Dai & Goodfellow 2017, "Adversarial training methods for semi-supervised text classification".
"""

from __future__ import annotations

import keras
import tensorflow as tf


class AdversarialTraining(keras.Model):
    """A `keras.Model` whose training step can add the loss at adversarially moved embeddings.

    Subclasses provide `embed(x, training) -> (embedded, mask)` and `classify(embedded, mask, training) -> logits`.

    Args:
        epsilon: length of the move, as a share of the length of the example's embeddings; 0 trains plainly. (The paper
            normalises the embeddings and uses an absolute length, 5, which is about 0.016 on this scale.)
    """

    def __init__(self, epsilon: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, x, training=False):
        embedded, mask = self.embed(x, training)
        return self.classify(embedded, mask, training)

    def train_step(self, data):
        if not self.epsilon:
            return super().train_step(data)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        variables = self.trainable_variables
        with tf.GradientTape(persistent=True) as embedding_tape:
            embedded, mask = self.embed(x, training=True)
        with tf.GradientTape() as tape:
            tape.watch(embedded)
            logits = self.classify(embedded, mask, training=True)
            loss = self.compute_loss(x, y, logits, weight, training=True)
            scaled = self.optimizer.scale_loss(loss)
        plain = tape.gradient(scaled, [embedded, *variables])
        moved = embedded + _worst_move(plain[0], embedded, self.epsilon)
        with tf.GradientTape() as tape:
            tape.watch(moved)
            adversarial = self.compute_loss(x, y, self.classify(moved, mask, training=True), weight, training=True)
            scaled = self.optimizer.scale_loss(adversarial)
        worst = tape.gradient(scaled, [moved, *variables])
        # Both losses reach the embedding matrix through the same looked-up rows.
        rows = embedding_tape.gradient(embedded, variables, output_gradients=plain[0] + worst[0])
        self.optimizer.apply_gradients(
            [(_total(gradients), v) for *gradients, v in zip(rows, plain[1:], worst[1:], variables, strict=True)]
        )
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(y)[0])
        return self.compute_metrics(x, y, logits, weight)


def _worst_move(gradient, embedded, epsilon):
    """The move of relative length `epsilon` that raises the loss most, to first order; float32 inside."""
    gradient, embedded32 = tf.cast(gradient, tf.float32), tf.cast(embedded, tf.float32)
    gradient /= tf.reduce_max(tf.abs(gradient), axis=(1, 2), keepdims=True) + 1e-12  # squares of tiny numbers vanish
    length = tf.norm(gradient, axis=(1, 2), keepdims=True) + 1e-12
    size = tf.norm(embedded32, axis=(1, 2), keepdims=True)
    return tf.cast(tf.stop_gradient(epsilon * size * gradient / length), embedded.dtype)


def _total(gradients):
    dense = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    return tf.add_n(dense) if dense else None
