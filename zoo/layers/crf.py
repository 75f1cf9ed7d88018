"""A linear-chain conditional random field over tags: `CRF`, and what may follow what in BIO and BIOES: `constraints`.

With unary potentials u_t(j), the scores that a network gives to tag j at step t, and learned transition scores A(i, j),
the score of a whole path y is

    s(y) = start(y_1) + sum_t u_t(y_t) + sum_t A(y_{t-1}, y_t) + end(y_T),    p(y) = exp(s(y)) / Z

(Lafferty, McCallum & Pereira 2001; on top of recurrent networks: Huang, Xu & Yu 2015, Lample et al. 2016). Z, the sum
over all tags^T paths, takes T steps by the forward algorithm, the best path by Viterbi's, and the probability of a tag
at a step by the forward and the backward algorithm together (Rabiner 1989). That probability is also the gradient of
log Z by u_t(j), which is how the training loss is differentiated here: one backward recursion, and no autodiff through
the loop. Everything is in the log domain and in float32.
"""

from __future__ import annotations

import functools
import inspect

import keras
import numpy as np
import tensorflow as tf

FORBIDDEN = -1e9  # a score rather than minus infinity, whose differences would be NaN


def constraints(tags: list[str]) -> np.ndarray:
    """Which of these BIO or BIOES tags may follow which.

    Args:
        tags: such as "O", "B-PER", "I-PER", and in BIOES "E-PER", "S-PER" too; every span begins with B or S.

    Returns:
        bool `[tags + 1, tags + 1]`, true at [i, j] where j may follow i; the last row tells what may come first, the
        last column what may come last. For `CRF(constraints=...)`.
    """
    ends_marked = any(tag[0] in "ES" for tag in tags)
    parts = [tag.partition("-")[::2] for tag in tags]
    allowed = np.zeros([len(tags) + 1] * 2, bool)
    for i, (before, kind_before) in enumerate([*parts, ("O", "")]):
        open_span = ends_marked and before in ("B", "I")  # one that must go on
        for j, (after, kind_after) in enumerate([*parts, ("O", "")]):
            if after in ("I", "E"):
                allowed[i, j] = before in ("B", "I") and kind_before == kind_after
            else:
                allowed[i, j] = not open_span
    return allowed


@keras.saving.register_keras_serializable("zoo")
class CRF(keras.layers.Layer):
    """A linear-chain conditional random field on top of per-step scores of tags.

    The layer hands the scores on as they are, so that a model with it can be trained by `fit`; `CRFLoss`, `CRFAccuracy`
    and the decoders bring in the transitions. It computes in float32 under any precision policy.

    Args:
        tags: how many tags there are.
        constraints: bool `[tags + 1, tags + 1]`, as from `zoo.layers.crf.constraints`: transitions that are not allowed
            have no probability. None allows everything.

    Inputs: `potentials` float `[batch, time, tags]`; `mask` bool `[batch, time]`, by default the input's: true steps
        form the chain, wherever the others are. The methods take both likewise.
    Outputs: the potentials, float32, with their mask; with `decode=True` the best path, int32 `[batch, time]`.

    Raises:
        ValueError: the potentials or the constraints are not of so many tags.

    >>> crf = CRF(5)
    >>> model = keras.Sequential([
    ...     keras.layers.Embedding(1000, 32, mask_zero=True),
    ...     keras.layers.Bidirectional(LSTM(32, return_sequences=True)), keras.layers.Dense(5), crf])
    >>> model.compile("adam", loss=CRFLoss(), metrics=[CRFAccuracy()])
    >>> tags, probability = crf.decode(model(ids))
    """

    def __init__(self, tags, constraints=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.tags, self.supports_masking = tags, True
        self.constraints = None if constraints is None else np.asarray(constraints, bool)
        if self.constraints is not None and self.constraints.shape != (tags + 1, tags + 1):
            raise ValueError(f"constraints must be {tags + 1} x {tags + 1}; got shape {self.constraints.shape}")

    def build(self, potentials_shape):
        if potentials_shape[-1] != self.tags:
            raise ValueError(f"potentials must have {self.tags} tags in the last axis; got shape {potentials_shape}")
        new = lambda name, *shape: self.add_weight(name=name, shape=shape, initializer="zeros")
        self.start, self.end = new("start", self.tags), new("end", self.tags)
        self.transitions = new("transitions", self.tags, self.tags)

    def call(self, potentials, mask=None, decode=False):
        if decode:
            return self.decode(potentials, mask)[0]
        outputs = tf.identity(potentials)
        outputs._crf = self  # for the loss and the metric, as Keras has its masks ride on tensors
        return outputs

    def log_likelihood(self, potentials, tags, mask=None):
        """log p(tags), float32 `[batch]`, of int tags `[batch, time]`; 0 for a sequence without true steps."""
        chain = _Chain(potentials, mask)
        return _log_likelihood(chain, chain.gather(tf.cast(tags, tf.int32)), *self._scores())

    def decode(self, potentials, mask=None):
        """The best path, int32 `[batch, time]`, 0 where masked, and its probability, float32 `[batch]`."""
        chain, scores = _Chain(potentials, mask), self._scores()
        tags = _viterbi(chain.potentials, chain.lengths, *scores)
        path = chain.scatter(tags * tf.cast(chain.inside, tf.int32))
        return path, tf.exp(_log_likelihood(chain, tags, *scores))

    def marginals(self, potentials, mask=None):
        """The probability of every tag at every step, float32 `[batch, time, tags]`; 0 where masked."""
        chain, (start, transitions, end) = _Chain(potentials, mask), self._scores()
        alpha, _ = _forward(chain.potentials, chain.lengths, start, transitions, end)
        beta = _backward(chain.potentials, chain.lengths, transitions, end)
        return chain.scatter(tf.nn.softmax(alpha + beta) * chain.inside[:, :, None])

    def conditionals(self, potentials, tags, mask=None):
        """The probability of each of these tags given the one before it, float32 `[batch, time]`; 0 where masked.

        Their product is the probability of the path; that of a span of tags is the marginal of the first times the
        conditionals of the others.
        """
        chain, (start, transitions, end) = _Chain(potentials, mask), self._scores()
        tags = chain.gather(tf.cast(tags, tf.int32))
        ahead = chain.potentials + _backward(chain.potentials, chain.lengths, transitions, end)
        before = tf.concat([tf.zeros_like(ahead[:, :1]) + start, tf.gather(transitions, tags[:, :-1])], 1)
        return chain.scatter(tf.gather(tf.nn.softmax(before + ahead), tags, batch_dims=2) * chain.inside)

    def _scores(self):
        scores = [tf.convert_to_tensor(w) for w in (self.start, self.transitions, self.end)]
        if self.constraints is None:
            return scores
        allowed = self.constraints
        parts = (allowed[-1, :-1], allowed[:-1, :-1], allowed[:-1, -1])
        return [tf.where(part, score, FORBIDDEN) for part, score in zip(parts, scores, strict=True)]

    def compute_mask(self, potentials, mask=None):
        return mask

    def get_config(self):
        allowed = None if self.constraints is None else self.constraints.tolist()
        return {**super().get_config(), "tags": self.tags, "constraints": allowed}


@keras.saving.register_keras_serializable("zoo")
class CRFLoss(keras.losses.Loss):
    """-log p of the true tags, int `[batch, time]`, under the `CRF` whose output it is given; in nats per step.

    The loss of a sequence is spread evenly over its steps, `[batch, time]`, so that Keras's mean over the steps that
    the mask leaves, and weights of samples, mean what they mean for other losses.
    """

    def __init__(self, name="crf_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        if not hasattr(y_pred, "_crf"):
            raise ValueError("CRFLoss is of a CRF's own output; got a tensor from elsewhere")
        likelihood, mask = y_pred._crf.log_likelihood(y_pred, y_true), _mask_of(y_pred)
        steps = tf.ones(tf.shape(y_pred)[:2]) if mask is None else tf.cast(mask, tf.float32)
        return -steps * (likelihood / tf.maximum(tf.reduce_sum(steps, 1), 1))[:, None]


def best_tags(y_pred):
    """The best path of a `CRF`'s output, or the best tag at each step of other scores; int32 `[batch, time]`."""
    if hasattr(y_pred, "_crf"):
        return y_pred._crf.decode(y_pred)[0]
    tags, mask = tf.argmax(y_pred, -1, tf.int32), _mask_of(y_pred)
    return tags if mask is None else tf.where(mask, tags, 0)


@keras.saving.register_keras_serializable("zoo")
class CRFAccuracy(keras.metrics.Mean):
    """The share of unmasked steps at which the best path has the true tag, under the `CRF` whose output it is given."""

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        mask = _mask_of(y_pred)
        right = tf.cast(tf.equal(best_tags(y_pred), tf.cast(y_true, tf.int32)), tf.float32)
        if mask is not None:
            steps = tf.cast(mask, tf.float32)
            sample_weight = steps if sample_weight is None else steps * tf.reshape(sample_weight, [-1, 1])
        return super().update_state(right, sample_weight)


def _mask_of(tensor):
    return getattr(tensor, "_keras_mask", None)


class _Chain:
    """Potentials `[batch, time, tags]` with the steps that the mask leaves moved to the front; and the way back.

    `lengths` `[batch]` tells how many steps those are, `inside` float `[batch, time]` is 1 there.
    """

    def __init__(self, potentials, mask):
        mask = _mask_of(potentials) if mask is None else mask
        self.potentials, self.order = tf.cast(potentials, tf.float32), None
        batch, steps = tf.unstack(tf.shape(potentials)[:2])
        self.lengths = tf.fill([batch], steps)
        if mask is not None:
            mask = tf.cast(mask, tf.bool)
            self.lengths = tf.reduce_sum(tf.cast(mask, tf.int32), 1)
            self.order = tf.argsort(tf.cast(~mask, tf.int32), axis=1, stable=True)
            self.potentials = self.gather(self.potentials)
        self.inside = tf.sequence_mask(self.lengths, steps, tf.float32)

    def gather(self, x):
        return x if self.order is None else tf.gather(x, self.order, batch_dims=1)

    def scatter(self, x):
        """Back to their places."""
        return x if self.order is None else tf.gather(x, tf.argsort(self.order, axis=1), batch_dims=1)


def _log_likelihood(chain, tags, start, transitions, end):
    """log p(tags), `[batch]`: the path's score less log Z, step by step so that nothing grows large."""
    gains = _log_normalizers(chain.potentials, chain.lengths, start, transitions, end)
    unary = tf.gather(chain.potentials, tags, batch_dims=2)
    pairs = tf.gather_nd(transitions, tf.stack([tags[:, :-1], tags[:, 1:]], -1))
    pairs = tf.concat([tf.gather(start, tags[:, :1]), pairs], 1)
    last = tf.gather(tags, tf.maximum(chain.lengths - 1, 0), batch_dims=1)
    end = tf.where(chain.lengths > 0, tf.gather(end, last) - gains[:, -1], 0.0)
    return tf.reduce_sum((unary + pairs - gains[:, :-1]) * chain.inside, 1) + end


def _loop(function):
    """A graph also in eager mode, which would run a loop over time in Python; one for each number of tags."""
    shapes = {"potentials": "bsk", "lengths": "b", "transitions": "kk", "start": "k", "end": "k"}
    names = inspect.signature(function).parameters

    @functools.cache
    def traced(tags):
        sizes = {"b": None, "s": None, "k": tags}
        kinds = {name: tf.int32 if name == "lengths" else tf.float32 for name in names}
        specs = [tf.TensorSpec([sizes[axis] for axis in shapes[name]], kinds[name]) for name in names]
        return tf.function(function, autograph=False, input_signature=specs)

    return lambda potentials, *others: traced(potentials.shape[-1])(potentials, *others)


def _steps(potentials):
    return tf.transpose(potentials, [1, 0, 2]), tf.shape(potentials)[1]


@_loop
def _forward(potentials, lengths, start, transitions, end):
    """The forward algorithm.

    Returns:
        alpha `[batch, time, tags]`: the log-sum of the scores of all that leads to a tag, itself included, normalised
        at each step; and by how much, `[batch, time + 1]`, the last being that of the end: their sum is log Z.
    """
    u, steps = _steps(potentials)

    def normalized(x):
        gain = tf.reduce_logsumexp(x, 1)
        return x - gain[:, None], gain

    def body(t, alpha, alphas, gains):
        reached, gain = normalized(tf.reduce_logsumexp(alpha[:, :, None] + transitions, 1) + u[t])
        alpha = tf.where((t < lengths)[:, None], reached, alpha)
        return t + 1, alpha, alphas.write(t, alpha), gains.write(t, gain)

    first, gain = normalized(start + u[0])
    alphas = tf.TensorArray(tf.float32, steps, element_shape=first.shape).write(0, first)
    gains = tf.TensorArray(tf.float32, steps + 1, element_shape=gain.shape).write(0, gain)
    loop = (1, first, alphas, gains)
    _, last, alphas, gains = tf.while_loop(lambda t, *_: t < steps, body, loop, maximum_iterations=steps)
    gains = gains.write(steps, tf.reduce_logsumexp(last + end, 1))
    return tf.transpose(alphas.stack(), [1, 0, 2]), tf.transpose(gains.stack())


@_loop
def _backward(potentials, lengths, transitions, end):
    """beta `[batch, time, tags]`: the log-sum of the scores of what follows a tag, up to a constant of each step."""
    u, steps = _steps(potentials)

    def body(t, beta, betas):
        ahead = tf.nn.log_softmax(tf.reduce_logsumexp(transitions + (u[t + 1] + beta)[:, None, :], 2))
        beta = tf.where((t + 1 < lengths)[:, None], ahead, beta)
        return t - 1, beta, betas.write(t, beta)

    last = tf.zeros_like(u[0]) + end
    betas = tf.TensorArray(tf.float32, steps, element_shape=last.shape).write(steps - 1, last)
    loop = (steps - 2, last, betas)
    *_, betas = tf.while_loop(lambda t, *_: t >= 0, body, loop, maximum_iterations=steps)
    return tf.transpose(betas.stack(), [1, 0, 2])


def _log_normalizers(potentials, lengths, start, transitions, end):
    """The second result of `_forward`. Its gradient is that of the sum of those that count: log Z."""

    @tf.custom_gradient
    def run(potentials, start, transitions, end):
        alpha, gains = _forward(potentials, lengths, start, transitions, end)

        def gradient(d):
            d = tf.where(lengths > 0, d[:, -1], 0.0)  # the same at every step that counts
            beta = _backward(potentials, lengths, transitions, end)
            inside = tf.sequence_mask(lengths, tf.shape(potentials)[1], tf.float32) * d[:, None]
            single = tf.nn.softmax(alpha + beta) * inside[:, :, None]
            # The tags at t - 1 and t.
            pairs = alpha[:, :-1, :, None] + transitions + (potentials + beta)[:, 1:, None, :]
            pairs = tf.nn.softmax(tf.reshape(pairs, [*tf.unstack(tf.shape(pairs)[:2]), transitions.shape[0] ** 2]))
            pairs = tf.reshape(tf.einsum("bt,btp->p", inside[:, 1:], pairs), transitions.shape)
            last = tf.gather(single, tf.maximum(lengths - 1, 0), batch_dims=1)
            return single, tf.reduce_sum(single[:, 0], 0), pairs, tf.reduce_sum(last, 0)

        return gains, gradient

    return run(potentials, start, transitions, end)


@_loop
def _viterbi(potentials, lengths, start, transitions, end):
    """The best path, int32 `[batch, time]`."""
    u, steps = _steps(potentials)
    batch, count = tf.shape(potentials)[0], potentials.shape[-1]

    def forward(t, best, pointers):
        candidates = best[:, :, None] + transitions
        inside = (t < lengths)[:, None]
        pointer = tf.where(inside, tf.argmax(candidates, 1, tf.int32), tf.range(count))
        reached = tf.reduce_max(candidates, 1) + u[t]
        reached -= tf.reduce_max(reached, 1, keepdims=True)
        return t + 1, tf.where(inside, reached, best), pointers.write(t, pointer)

    pointers = tf.TensorArray(tf.int32, steps, element_shape=[None, count])
    pointers = pointers.write(0, tf.zeros([batch, count], tf.int32))
    loop = (1, start + u[0], pointers)
    _, best, pointers = tf.while_loop(lambda t, *_: t < steps, forward, loop, maximum_iterations=steps)
    pointers, last = pointers.stack(), tf.argmax(best + end, 1, tf.int32)

    def back(t, tag, path):
        tag = tf.gather(pointers[t + 1], tag, batch_dims=1)
        return t - 1, tag, path.write(t, tag)

    path = tf.TensorArray(tf.int32, steps, element_shape=[None]).write(steps - 1, last)
    *_, path = tf.while_loop(lambda t, *_: t >= 0, back, (steps - 2, last, path), maximum_iterations=steps)
    return tf.transpose(path.stack())
