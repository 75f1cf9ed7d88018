"""Losses that more than one task can use."""

from __future__ import annotations

import keras
import tensorflow as tf

CEILING = 4.0  # of a difference of log-probabilities that is still smoothed away: real changes stay (Farha & Gall 2019)


@keras.saving.register_keras_serializable("zoo")
class FrameLoss(keras.losses.Loss):
    """Cross-entropy at every labelled frame, with class weights, label smoothing, and a pull to smooth sequences.

    The last is the truncated mean squared difference of neighbouring frames' log-probabilities (Farha & Gall 2019,
    MS-TCN): predictions that flicker cost, changes of label don't.

    Args:
        class_weights: a weight for each class; None: all the same. The mean is by weight.
        label_smoothing: the share of the truth that is spread over all classes (Szegedy et al. 2016).
        smoothing: the weight of the difference between frames.

    Called with `y_true`, int `[batch, time]`, class + 1, or 0 for frames without a label (padding, for one), and logits
    `[batch, time, classes]`, whose mask counts as well; maybe with weights `[batch]` or `[batch, time]`. Gives a
    scalar, in float32.
    """

    def __init__(
        self, class_weights=None, label_smoothing=0.0, smoothing=0.0, reduction=None, name="frame_loss", dtype=None
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_weights = None if class_weights is None else list(map(float, class_weights))
        self.label_smoothing, self.smoothing = label_smoothing, smoothing

    def __call__(self, y_true, y_pred, sample_weight=None):
        """As `call`: Keras would average over frames, whatever they weigh."""
        mask = getattr(y_pred, "_keras_mask", None)
        return self.call(y_true if mask is None else tf.where(mask, y_true, 0), y_pred, sample_weight)

    def call(self, y_true, y_pred, sample_weight=None):
        log_p = tf.nn.log_softmax(tf.cast(y_pred, tf.float32))
        labels = tf.cast(y_true, tf.int32)
        weights = tf.cast(labels > 0, tf.float32)
        classes = tf.maximum(labels - 1, 0)
        share = self.label_smoothing
        entropy = -(1 - share) * tf.gather(log_p, classes, batch_dims=2) - share * tf.reduce_mean(log_p, -1)
        if sample_weight is not None:
            given = tf.cast(sample_weight, tf.float32)
            weights *= given if given.shape.rank == 2 else tf.reshape(given, [-1, 1])
        if self.class_weights:
            weights *= tf.gather(self.class_weights, classes)
        loss = tf.math.divide_no_nan(tf.reduce_sum(weights * entropy), tf.reduce_sum(weights))
        if not self.smoothing:
            return loss
        both = tf.cast((labels[:, 1:] > 0) & (labels[:, :-1] > 0), tf.float32)
        change = tf.minimum(tf.abs(log_p[:, 1:] - tf.stop_gradient(log_p[:, :-1])), CEILING)
        rough = tf.reduce_sum(both * tf.reduce_mean(change**2, -1))
        return loss + self.smoothing * tf.math.divide_no_nan(rough, tf.reduce_sum(both))

    def get_config(self):
        names = ("class_weights", "label_smoothing", "smoothing")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable("zoo")
class FrameAccuracy(keras.metrics.Mean):
    """Share of the labelled frames whose class is right; arguments as of `FrameLoss`."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = tf.cast(y_true, tf.int32)
        right = tf.argmax(y_pred, -1, tf.int32) == labels - 1
        super().update_state(tf.cast(right, tf.float32), sample_weight=tf.cast(labels > 0, tf.float32))


def token_losses(logits, ids, label_smoothing=0.0):
    """Cross-entropy of tokens, in nats, in few passes over the logits: a third of the time of TensorFlow's own.

    Args:
        logits: float32 `[tokens, vocabulary]`.
        ids: int32 `[tokens]`.
        label_smoothing: the share of the truth that is spread over the whole vocabulary (Szegedy et al. 2016).

    Returns:
        The losses, float32 `[tokens]`, which have a gradient; and whether a token is the most probable one, bool.
    """

    @tf.custom_gradient
    def losses(logits):
        p = tf.nn.softmax(logits)
        chosen = tf.gather(logits, ids, batch_dims=1)
        best = tf.reduce_max(logits, 1)
        loss = best - chosen - tf.math.log(tf.reduce_max(p, 1))
        if label_smoothing:
            loss += label_smoothing * (chosen - tf.reduce_mean(logits, 1))
        right = chosen >= best

        def gradient(d, _):
            dense = p - label_smoothing / p.shape[1] if label_smoothing else p
            places = tf.stack([tf.range(tf.size(ids)), ids], 1)
            return tf.tensor_scatter_nd_sub(dense * d[:, None], places, (1 - label_smoothing) * d)

        return (loss, right), gradient

    return losses(logits)


def doubly_stochastic(weights, words):
    """sum_i (1 - sum_t a_ti)^2, the mean over sentences: all places are to be looked at (Xu et al. 2015).

    Args:
        weights: of an attention, float `[sentences, time, places]`.
        words: int `[sentences, time]`, 0 where there is none; a sentence without words does not count.
    """
    said = tf.cast(tf.not_equal(words, 0), tf.float32)
    seen = tf.einsum("bt,btp->bp", said, tf.cast(weights, tf.float32))
    sentences = tf.reduce_max(said, 1)
    total = tf.reduce_sum(sentences * tf.reduce_sum((1 - seen) ** 2, 1))
    return tf.math.divide_no_nan(total, tf.reduce_sum(sentences))
