"""A network's own past as a second opinion: the continuous cache."""

from __future__ import annotations

import tensorflow as tf

BLOCK = 256  # steps whose likeness to the memory is taken at once: what a long text needs is bounded
PARTS = 4  # of the memory of a single text, looked at side by side: TensorFlow takes one core for each
LEAST = 1e-37  # probability whose logarithm is finite
EMPTY = 0  # the symbol of a slot without anything; it is never looked up


class ContinuousCache:
    """The continuous cache of Grave, Joulin & Usunier 2017, "Improving neural language models with a continuous cache".

    It remembers the network's last outputs h_i, and for each the symbol x_i that came next. What comes next now is told
    partly by what came after the outputs that were like this one: names that training never had are known as soon as
    they have been said.

        p(x) = (1 - g) p_network(x) + share * sum of a_i where x_i = x,   g = share * sum of all a_i
        a_i = exp(sharpness * cos(h, h_i)) / (exp(sharpness * likeness) + sum over j of exp(sharpness * cos(h, h_j)))

    The paper has a constant g. Here, as with the sentinel of Merity et al. 2017, the network is one more thing to be
    like: where nothing before was like now, the cache is silent, and writes no noise.

    It has no weights, and no part in training. Its state is float32 tensors `[batch, width]`, zeros for nothing so far:
    the outputs (of length 1) from the oldest to the newest, their symbols, and the newest output of all, whose symbol
    has not come yet.

    Args:
        size: symbols that it remembers.
        width: of the network's output.
        share: of the probability that comes from the cache where much before is like now; below 1.
        sharpness: what the cosine of two outputs is multiplied by: theta in the paper, which takes the inner product.
        likeness: the cosine from which on one slot counts for more than the network.
    """

    def __init__(self, size: int, width: int, share: float, sharpness: float, likeness: float):
        self.size, self.width = size, width
        self.share, self.sharpness, self.likeness = share, sharpness, likeness

    @property
    def widths(self) -> list[int]:
        """Of the state's tensors."""
        return [self.size * self.width, self.size, self.width]

    def read(self, outputs, symbols, lengths, log_p, state):
        """Many steps at once.

        Args:
            outputs: of the network, float32 `[batch, time, width]`.
            symbols: that it read, int32 `[batch, time]`: each one came after the output before it.
            lengths: steps that count, int32 `[batch]`; the others leave the state as it is.
            log_p: of each next symbol by the network alone, float32 `[batch, time, symbols]`.

        Returns:
            log-probabilities of the same shape; the state after these steps.
        """
        time, lengths = tf.shape(outputs)[1], tf.cast(lengths, tf.int32)
        found = tf.TensorArray(tf.float32, 0, dynamic_size=True, infer_shape=False)

        def block(start, found, state):
            part = lambda tensor: tensor[:, start : start + BLOCK]
            now = part(log_p), tf.clip_by_value(lengths - start, 0, BLOCK)
            mixed, state = self._read_block(part(outputs), part(symbols), *now, state)
            return start + BLOCK, found.write(start // BLOCK, tf.transpose(mixed, [1, 0, 2])), state

        _, found, state = tf.while_loop(lambda start, *_: start < time, block, (0, found, tuple(state)))
        return tf.transpose(found.concat(), [1, 0, 2]), list(state)

    def _read_block(self, outputs, symbols, log_p, lengths, state):
        old_keys, old_symbols, newest = self._opened(state)
        outputs, steps = tf.math.l2_normalize(outputs, -1), tf.shape(outputs)[1]
        keys = tf.concat([newest[:, None], outputs], 1)  # the last one's symbol is not known yet
        counts = tf.range(steps) < lengths[:, None]
        symbols = tf.where(counts, symbols, EMPTY)

        likeness = tf.matmul(outputs, tf.concat([old_keys, keys[:, :-1]], 1), transpose_b=True)
        step, slot = tf.range(steps)[:, None], tf.range(self.size + steps)
        within = (slot > step) & (slot <= step + self.size)  # as many as there is room for, the step's own symbol too
        all_symbols = tf.concat([old_symbols, symbols], 1)
        mixed = self._mixed(likeness, within & (all_symbols != EMPTY)[:, None], all_symbols, log_p)

        kept = lengths[:, None] + tf.range(self.size)
        of = lambda old, new: tf.gather(tf.concat([old, new], 1), kept, batch_dims=1)
        newest = tf.gather(keys, lengths, batch_dims=1)
        return mixed, self._closed(of(old_keys, keys[:, :-1]), of(old_symbols, symbols), newest)

    def opened(self, state) -> list:
        """A copy of the state as `step` takes it; `closed` gives it back."""
        keys, *rest = self._opened(state)
        return [tf.raw_ops.DeepCopy(x=keys), *rest, tf.zeros([tf.shape(state[0])[0]], tf.int32)]

    def step(self, output, symbol, log_p, opened):
        """One step, as of `read`. What was opened is written over, as no loop could afford a copy of the memory."""
        keys, symbols, newest, count = opened
        rows = tf.range(tf.shape(output)[0])
        oldest = count % self.size
        with tf.control_dependencies([symbol]):  # which follows from the last step: its look at the memory is over
            flat = tf.reshape(keys, [-1, self.width])
            flat = tf.raw_ops.InplaceUpdate(x=flat, i=rows * self.size + oldest, v=newest)
        keys = tf.reshape(flat, tf.shape(keys))
        symbols = tf.tensor_scatter_nd_update(symbols, tf.stack([rows, oldest], 1), symbol)
        output = tf.math.l2_normalize(output, -1)
        parts = [flat[start : start + -(-self.size // PARTS)] for start in range(0, self.size, -(-self.size // PARTS))]
        of_one = lambda: tf.concat([tf.matmul(output, part, transpose_b=True) for part in parts], 1)
        likeness = tf.cond(tf.shape(output)[0] == 1, of_one, lambda: tf.linalg.matvec(keys, output))
        mixed = self._mixed(likeness[:, None], (symbols != EMPTY)[:, None], symbols, log_p[:, None])
        return mixed[:, 0], [keys, symbols, output, count + 1]

    def closed(self, opened) -> list:
        """The oldest first again."""
        keys, symbols, newest, count = opened
        order = (count[:, None] + tf.range(self.size)) % self.size
        return self._closed(tf.gather(keys, order, batch_dims=1), tf.gather(symbols, order, batch_dims=1), newest)

    def _mixed(self, likeness, known, symbols, log_p):
        """Log-probabilities of the network and the cache together.

        Args:
            likeness: `[batch, time, slots]`; known: which count; symbols: of the slots `[batch, slots]`.
        """
        likes = tf.where(known, tf.exp(self.sharpness * (likeness - self.likeness)), 0.0)  # of cosines: no overflow
        weights = self.share * likes / (1.0 + tf.reduce_sum(likes, -1, keepdims=True))
        vocabulary, batch = tf.shape(log_p)[2], tf.shape(log_p)[0]
        rows = symbols + vocabulary * tf.range(batch)[:, None]
        by_slot = tf.reshape(tf.transpose(weights, [0, 2, 1]), [-1, tf.shape(log_p)[1]])
        sums = tf.math.unsorted_segment_sum(by_slot, tf.reshape(rows, [-1]), batch * vocabulary)
        cached = tf.transpose(tf.reshape(sums, [batch, vocabulary, -1]), [0, 2, 1])
        network = (1.0 - tf.reduce_sum(weights, -1, keepdims=True)) * tf.exp(log_p)
        return tf.math.log(tf.maximum(network + cached, LEAST))

    def _opened(self, state):
        keys, symbols, newest = state
        return tf.reshape(keys, [-1, self.size, self.width]), tf.cast(symbols, tf.int32), newest

    def _closed(self, keys, symbols, newest):
        flat = tf.reshape(keys, [-1, self.size * self.width])
        return flat, tf.cast(symbols, tf.float32), newest
