"""The experts that write a tune: one or more for the next chord, one for how long it lasts (`tasks/jazz.py`)."""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo import decoding, events
from zoo.events import BARS, BOUNDARY, DURATION, ELAPSED, METER, MOTION, NOWHERE, ROOT, SPECIAL, STEP, TYPE
from zoo.layers.stack import RecurrentStack
from zoo.losses import token_losses
from zoo.training import TruncatedBPTT

FORM = 16  # bars after which a form is expected to come round
LEFT = 64  # bars to the end that are told apart
LONGEST = 128  # bars of a tune, as far as they are predicted
STEPS = 256  # events that are counted
NEVER = -1e9


class TuneNetwork(TruncatedBPTT):
    """Windows of rows (`zoo.events`) -> the probabilities of each next row.

    Every expert is a recurrent network over what a row tells: its chord, its duration, where in the bar and in the form
    the next chord begins, and, if they are known, the bars that are left. The chord experts differ in how they see and
    tell a root: "absolute" as a pitch class, "motion" as the interval from the root before. Where there are both, their
    probabilities are multiplied (Hinton 2002; Johnson, Keller & Weintraut 2017). The duration expert is told the chord
    that was chosen: p(chord) p(duration | chord).

    A class of chords is 0 for the boundary, 1 for no chord, then root by root all types.

    Args:
        config: of `tasks.jazz`.
        vocabulary: `zoo.events.Vocabulary`.
    """

    def __init__(self, config, vocabulary: events.Vocabulary):
        super().__init__(config.k1, name="jazz")
        self.config, self.types = config, len(vocabulary.types)
        self.bar_units = [int(4 * beats / unit / float(events.UNIT)) for beats, unit in vocabulary.meters]
        self.duration_units = [int(beats / events.UNIT) for beats in vocabulary.durations]
        self.classes = SPECIAL + 12 * self.types
        names = [f"{name}_expert" for name in (*config.experts, "duration")]
        self.networks = [self._network(name, "motion" not in name) for name in names]
        dense = lambda name, size, width: _built(keras.layers.Dense(size, dtype="float32", name=name), width)
        self.chord_heads = [dense(f"{name}_chords", self.classes, config.units) for name in config.experts]
        size = config.embedding_dim
        self.chosen = _built(keras.layers.Embedding(SPECIAL + self.types, size, name="chosen_chord"))
        self.moved = _built(keras.layers.Embedding(NOWHERE + 1, size, name="chosen_motion"))
        self.mixed = _built(
            keras.layers.Dense(config.units, "tanh", dtype="float32", name="mixed"), config.units + size
        )
        self.durations = dense("durations", len(self.duration_units), config.units)
        self.stop_head = dense("stop", 1, config.units) if config.stop == "bernoulli" else None
        self.lengths = None
        if config.stop == "length":
            self.lengths = self.add_weight((len(self.bar_units), LONGEST + 1), "zeros", name="lengths")
        self.kinds = {name: keras.metrics.Mean(f"{name}_nats") for name in ("chord", "duration")}
        self.carry([state.shape[1] for network in self.networks for state in network.stack.stepper()[0](1)])

    def _network(self, name: str, roots: bool):
        tables = {TYPE: SPECIAL + self.types, ROOT if roots else MOTION: 13, DURATION: len(self.duration_units)}
        return _Expert(self.config, tables, len(self.bar_units), name=name)

    # Reading ------------------------------------------------------------------------------------------------------

    def told(self, rows):
        """Of rows int32 `[..., columns]`: place in the bar, bar in the form, bars left, and steps; a number each."""
        units = tf.gather(self.bar_units, rows[..., METER])
        elapsed, bars = rows[..., ELAPSED], rows[..., BARS]
        left = tf.clip_by_value(bars - elapsed // units, 0, LEFT)
        known = tf.cast(self.config.stop == "length", tf.int32)
        return elapsed % units, elapsed // units % FORM, left * known, tf.minimum(rows[..., STEP], STEPS)

    def inputs_of(self, symbols, begin):
        return tf.cast(symbols, tf.int32)

    def read(self, inputs, states, training=False, mask=None):
        """-> the experts' outputs `[rows, time, units]`, and what the next row goes on from."""
        told, outputs, new, states = self.told(inputs), [], [], list(states)
        for network in self.networks:
            count = len(self.widths) // len(self.networks)
            own, states = states[:count], states[count:]
            vectors, own = network.stack(network.embed(inputs, told), initial_state=own, mask=mask, training=training)
            outputs.append(tf.cast(vectors, tf.float32))
            new += own
        return {"vectors": outputs, "rows": inputs}, new

    def stepper(self):
        """(rows int32 `[batch, columns]`, states) -> the experts' outputs `[batch, units]`, states; one step."""
        steps = [network.stack.stepper()[1] for network in self.networks]
        count = len(self.widths) // len(self.networks)

        def step(rows, states):
            told, outputs, new = self.told(rows), [], []
            for i, (network, one) in enumerate(zip(self.networks, steps, strict=True)):
                vector, own = one(network.embed(rows, told), states[i * count : (i + 1) * count])
                outputs.append(vector)
                new += own
            return outputs, new

        return step

    # Telling ------------------------------------------------------------------------------------------------------

    def chord_logits(self, vectors, rows):
        """Of `[n, units]` each, and the rows before, `[n, columns]`: float32 `[n, classes]`."""
        total = 0.0
        for name, vector, head in zip(self.config.experts, vectors, self.chord_heads, strict=False):
            logits = head(vector)
            if name == "motion":  # from intervals to pitch classes
                intervals = tf.reshape(logits[:, SPECIAL:], [-1, 12, self.types])
                turn = (tf.range(12) - rows[:, ROOT : ROOT + 1]) % 12
                turned = tf.gather(intervals, turn, batch_dims=1)
                logits = tf.concat([logits[:, :SPECIAL], tf.reshape(turned, [-1, 12 * self.types])], 1)
            total += logits
        if self.config.stop == "symbol":
            begun = tf.cast(rows[:, TYPE] == BOUNDARY, tf.float32)[:, None]  # a tune has an event at least
            return total + tf.pad(begun * NEVER, [[0, 0], [0, self.classes - 1]])
        return total + tf.one_hot(BOUNDARY, self.classes, NEVER, 0.0)

    def duration_logits(self, vectors, rows, chosen):
        """Given the classes of the chords that were chosen, int32 `[n]`."""
        nowhere = (chosen < SPECIAL) | (rows[:, ROOT] == NOWHERE)
        motion = tf.where(nowhere, NOWHERE, (self.root(chosen) - rows[:, ROOT]) % 12)
        kind = tf.where(chosen < SPECIAL, chosen, SPECIAL + (chosen - SPECIAL) % self.types)
        chord = tf.cast(self.chosen(kind) + self.moved(motion), tf.float32)
        return self.durations(self.mixed(tf.concat([vectors[-1], chord], 1)))

    def root(self, chosen):
        return tf.maximum(chosen - SPECIAL, 0) // self.types

    def classes_of(self, rows):
        """The classes of the chords of rows int32 `[..., columns]`."""
        type = rows[..., TYPE]
        return tf.where(type < SPECIAL, type, SPECIAL + rows[..., ROOT] * self.types + type - SPECIAL)

    def stop_logits(self, vectors):
        return self.stop_head(vectors[-1])[:, 0]

    def length_logits(self):
        """Of every number of bars, for each meter: float32 `[meters, LONGEST + 1]`; a tune has a bar at least."""
        return tf.cast(tf.convert_to_tensor(self.lengths), tf.float32) + tf.one_hot(0, LONGEST + 1, NEVER, 0.0)

    def log_probabilities(self, vectors, rows, targets):
        """Of what the next rows tell, float32 `[n]` each: chord (or end), duration, length; and whether the chord is
        among the most probable one, three, five."""
        wanted, ends = self.classes_of(targets), targets[:, TYPE] == BOUNDARY
        logits = self.chord_logits(vectors, rows)
        losses, _ = token_losses(logits, tf.maximum(wanted, tf.cast(self.config.stop != "symbol", tf.int32)))
        chord = -losses if self.config.stop == "symbol" else tf.where(ends, 0.0, -losses)
        if self.config.stop == "bernoulli":
            stops = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(ends, tf.float32), self.stop_logits(vectors))
            chord -= tf.where(rows[:, TYPE] == BOUNDARY, 0.0, stops)
        losses, _ = token_losses(self.duration_logits(vectors, rows, wanted), targets[:, DURATION])
        duration, length = tf.where(ends, 0.0, -losses), tf.zeros_like(losses)
        if self.config.stop == "length":
            table = tf.nn.log_softmax(self.length_logits())
            bars = tf.minimum(rows[:, BARS], LONGEST)
            length = tf.where(rows[:, TYPE] == BOUNDARY, tf.gather_nd(table, tf.stack([rows[:, METER], bars], 1)), 0.0)
        better = tf.reduce_sum(tf.cast(logits > tf.gather(logits, wanted, batch_dims=1)[:, None], tf.int32), 1)
        return {"chord": chord, "duration": duration, "length": length}, [better < k for k in (1, 3, 5)]

    def losses(self, outputs, targets):
        found, right = self.log_probabilities(outputs["vectors"], outputs["rows"], tf.cast(targets, tf.int32))
        for name, metric in self.kinds.items():
            metric.update_state(-found[name])
        return -tf.add_n(list(found.values())), tf.cast(right[0], tf.float32)

    # Writing ------------------------------------------------------------------------------------------------------

    def begun(self, bars, meter, seed):
        """The boundary before tunes of so many bars, int32 `[batch, columns]`; where that is 0, and the length is
        predicted in advance, it is drawn."""
        if self.lengths is not None:
            bars = tf.where(bars > 0, bars, decoding.choose(tf.gather(self.length_logits(), meter), seed))
        zeros = tf.zeros_like(bars)
        return tf.stack([zeros, zeros + NOWHERE, zeros + NOWHERE, zeros, zeros, bars, meter, zeros], 1)

    def write(self, states, last, length, first, seed, temperature, top_k, top_p):
        """Events after `last`, at most `length`: rows int32 `[batch, time, columns]`, how many of them count,
        states, last. A tune of which the bars are known ends with the last of them, full; others end with a bar."""
        step, durations, bar_units = self.stepper(), tf.constant(self.duration_units), tf.constant(self.bar_units)
        choose = lambda logits, i, n: decoding.choose(
            logits, seed + tf.cast(2 * i + n, tf.int64), temperature, top_k, top_p
        )
        seed = tf.random.stateless_uniform([2], tf.fill([2], seed), minval=None, maxval=None, dtype=tf.int64)

        def ended(rows):
            end = rows[:, BARS] * tf.gather(bar_units, rows[:, METER])
            return (rows[:, BARS] > 0) & (rows[:, ELAPSED] >= end)

        def body(i, rows, done, states, written, count):
            vectors, new = step(rows, states)
            unit = tf.gather(bar_units, rows[:, METER])
            end = rows[:, BARS] * unit
            counted, full = end > 0, rows[:, ELAPSED] % unit == 0
            logits = self.chord_logits(vectors, rows)
            never = tf.where((counted | ~full)[:, None], tf.one_hot(BOUNDARY, self.classes, NEVER, 0.0), 0.0)
            chosen = choose(logits + never, first + tf.cast(i, tf.int64), 0)
            stops = chosen == BOUNDARY
            if self.config.stop == "bernoulli":
                logit = self.stop_logits(vectors)
                logit = tf.where(full & ~counted & (rows[:, TYPE] != BOUNDARY), logit, NEVER)
                pair = tf.stack([tf.zeros_like(logit), logit], 1)
                stops |= decoding.choose(pair, seed - 1 - tf.cast(i, tf.int64) - first, 1.0) == 1
            room = tf.where(counted, end - rows[:, ELAPSED], durations[-1])
            fits = durations[None] <= room[:, None]
            logits = tf.where(fits, self.duration_logits(vectors, rows, chosen), NEVER)
            duration = choose(logits, first + tf.cast(i, tf.int64), 1)
            sounds = chosen >= SPECIAL
            root = tf.where(sounds, self.root(chosen), rows[:, ROOT])
            motion = tf.where(sounds & (rows[:, ROOT] != NOWHERE), (root - rows[:, ROOT]) % 12, NOWHERE)
            type = tf.where(sounds, SPECIAL + (chosen - SPECIAL) % self.types, chosen)
            elapsed = rows[:, ELAPSED] + tf.gather(durations, duration)
            after = tf.stack(
                [type, root, motion, duration, elapsed, rows[:, BARS], rows[:, METER], rows[:, STEP] + 1], 1
            )
            done |= stops
            keep = lambda old, now: tf.where(done[:, None], old, now)
            after, states = keep(rows, after), [keep(old, now) for old, now in zip(states, new, strict=True)]
            count += tf.cast(~done, tf.int32)
            written = tf.concat([written, after[:, None]], 1)
            return i + 1, after, done | ended(after), states, written, count

        rows = tf.shape(last)[0]
        none = tf.zeros([rows, 0, len(events.COLUMNS)], tf.int32)
        loop = (0, last, ended(last), list(states), none, tf.zeros([rows], tf.int32))
        shape = tf.TensorShape
        shapes = (shape([]), last.shape, shape([None]), [s.shape for s in states], shape([None, None, none.shape[2]]))
        going = lambda i, rows, done, *_: (i < length) & ~tf.reduce_all(done)
        _, last, done, states, written, count = tf.while_loop(going, body, loop, (*shapes, shape([None])))
        return written, count, states, last, done


class _Expert(keras.layers.Layer):
    """Embeddings of a row's parts, added up, and a recurrent stack over them."""

    def __init__(self, config, tables, meters, **kwargs):
        super().__init__(**kwargs)
        size = config.embedding_dim
        table = lambda name, rows: _built(keras.layers.Embedding(rows, size, name=name))
        self.tables = {column: table(events.COLUMNS[column], rows) for column, rows in tables.items()}
        self.meter = table("meter", meters)
        self.places = [table("place", 96), table("bar", FORM), table("left", LEFT + 1)]
        self.steps = table("step", STEPS + 1) if config.count_steps else None
        options = dict(depth=config.depth, cell=config.cell, dropout=config.dropout)
        options |= dict(weight_dropout=config.weight_dropout, return_state=True, name="stack")
        self.stack = RecurrentStack(config.units, **options)
        self.stack.build((None, None, size))
        self.built = True

    def embed(self, rows, told):
        *places, steps = told
        x = tf.add_n([table(rows[..., column]) for column, table in self.tables.items()]) + self.meter(rows[..., METER])
        x += tf.add_n([table(tf.minimum(place, 95)) for table, place in zip(self.places, places, strict=True)])
        return x + self.steps(steps) if self.steps is not None else x


def _built(layer, width=None):
    layer.build(None if width is None else (None, width))
    return layer
