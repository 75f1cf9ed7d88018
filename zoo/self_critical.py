"""Self-critical sequence training (Rennie et al. 2017): what is sampled is to be better than what is said greedily.

Cross-entropy teaches the next word after the truth; sentences are judged as a whole, by a score that has no gradient.
With r the score of a sampled sentence w, and r* that of the greedy one, which needs no learnt baseline,

    d loss = -(r - r*) d log p(w)

raises the probability of sentences that beat what the model would say, and lowers that of the others.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo import decoding
from zoo.losses import token_losses
from zoo.seq2seq import EncoderDecoder
from zoo.subwords import END_ID, START_ID


class SelfCritical(EncoderDecoder):
    """An encoder-decoder with several references for an input, trained by cross-entropy or by a reward.

    Called with {"source", "target": int32 `[batch, time, references]`}, the truth likewise; a reference that is padding
    alone counts as none. The reward of what is said greedily is a metric for dev (`reward`), whatever it is trained by.

    Args:
        critical: whether to train by the reward.
        samples: sentences drawn for an input.
        max_length: of what is said in training, in tokens with the end symbol.

    Attributes:
        reward: a function (said int32 `[rows, time]` with the end symbol, references `[rows, references, time]`) ->
            float32 `[rows]`, in the graph; None: there is no such metric.
    """

    reward = None

    def __init__(self, *args, critical=False, samples=5, max_length=20, **kwargs):
        super().__init__(*args, **kwargs)
        self.critical, self.samples, self.max_length = critical, samples, max_length
        self.rewards = keras.metrics.Mean("reward")

    def call(self, inputs, training=False):
        source, target = inputs["source"], inputs["target"]
        encoded = self.encode(source, training)
        if training and self.critical:
            said = tf.stop_gradient(self._sampled(self.encode(source)))
            target = tf.concat([tf.fill([tf.shape(said)[0], 1], START_ID), said[:, :-1]], 1)
            return self.speak(repeated(encoded, self.samples), target, training)[0], said
        references = target.shape[2] or tf.shape(target)[2]
        encoded, target = repeated(encoded, references), folded(target)
        if training and self.scheduled_sampling:
            target = self._partly_sampled(encoded, target)
        return self.speak(encoded, target, training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training and self.critical:
            return self._critical_loss(x, y, *y_pred)
        loss = super().compute_loss(x, folded(y), y_pred[0], sample_weight, training)
        if not training and self.reward:
            self.rewards.update_state(self.reward(self._greedy(self.encode(x["source"])), by_reference(y)))
        return loss

    def train_step(self, data):
        logs = super().train_step(data)
        logs.pop("accuracy" if self.critical else "reward")  # not measured
        return logs

    def _critical_loss(self, x, y, vectors, said):
        references = by_reference(y)
        greedy = self.reward(self._greedy(self.encode(x["source"])), references)
        rewards = self.reward(said, tf.repeat(references, self.samples, 0))
        self.rewards.update_state(rewards)
        advantage = tf.stop_gradient(rewards - tf.repeat(greedy, self.samples))
        words = tf.where(tf.not_equal(said, 0))
        logits = self.logits(tf.gather_nd(vectors, words)) + self._never()
        losses, _ = token_losses(logits, tf.gather_nd(said, words))
        return tf.reduce_mean(losses * tf.gather(advantage, words[:, 0]))

    def _sampled(self, encoded):
        state, step = self.stepper(encoded)
        n = self.samples
        seed = keras.random.randint([2], 0, 2**31 - 1, dtype="int32", seed=self.draws)
        state = tf.nest.map_structure(lambda x: tf.repeat(x, n, 0), state)
        return self._said(decoding.sample, step, state, seed)

    def _greedy(self, encoded):
        state, step = self.stepper(encoded)
        return self._said(decoding.greedy, step, state)

    def _said(self, decode, step, state, *options):
        """int32 `[rows, time]`, with the end symbol where it came."""
        found = decode(lambda *now: step(*now)[:2], state, START_ID, END_ID, self.max_length, *options)
        time = tf.shape(found.tokens)[1] + 1
        ends = tf.cast(found.ended, tf.int32) * END_ID
        return tf.pad(found.tokens, [[0, 0], [0, 1]]) + tf.one_hot(found.lengths, time, dtype=tf.int32) * ends[:, None]


def folded(target):
    """`[batch, time, references]` -> `[batch * references, time]`."""
    return tf.reshape(by_reference(target), [-1, tf.shape(target)[1]])


def by_reference(target):
    """`[batch, time, references]` -> `[batch, references, time]`."""
    return tf.transpose(target, [0, 2, 1])


def repeated(encoded, times):
    """What was encoded of an input, for so many sentences: they share the memory."""
    memory, mask, state = encoded
    return memory, mask, [tf.repeat(x, times, 0) for x in state]
