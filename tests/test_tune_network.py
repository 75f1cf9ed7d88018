"""The experts that write tunes: probabilities by counting everything, keys, what is written, and what is learnt."""

import dataclasses
import itertools
from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf

from tasks.jazz import Config
from zoo import generation
from zoo.charts import Event, Tune
from zoo.chords import of
from zoo.events import BARS, DURATION, ELAPSED, METER, NOWHERE, ROOT, SPECIAL, STEP, TYPE, Vocabulary
from zoo.tune_network import LONGEST, TuneNetwork

KNOWN = Vocabulary(("", "m7", "7"), (Fraction(1, 2), Fraction(1), Fraction(2)), ((4, 4), (1, 4)))
UNITS_OF_A_BAR, UNITS = np.array([8, 2]), np.array([1, 2, 4])  # eighths of the meters and of the durations
CLASSES, SHORT = 2 + 12 * 3, 1  # of chords; the number of the short meter
STOPS, EXPERTS = ("symbol", "bernoulli", "length"), (("absolute",), ("motion",), ("absolute", "motion"))


def network(seed=1, wide=1.0, **options):
    """With random weights, large enough that probabilities differ."""
    keras.utils.set_random_seed(seed)
    values = dict(units=8, embedding_dim=8, k1=8, k2=8, dropout=0.0, weight_dropout=0.0)
    model = TuneNetwork(dataclasses.replace(Config(), **{**values, **options}), KNOWN)
    draw = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        weight.assign(draw.normal(0, wide * 0.7, weight.shape))
    return model


def zeros(model, count):
    return [tf.zeros([count, state.shape[1]]) for state in model.carried["dev"]]


def boundary(count, bars=0, meter=SHORT):
    return np.tile(np.array([KNOWN.boundary(meter, bars)], np.int32), (count, 1))


def after(rows, chord, duration):
    """The rows `[n, columns]` that follow, of classes of chords and numbers of durations; as the docstring has it."""
    rows, chord, duration = rows.copy(), np.asarray(chord), np.asarray(duration)
    sounds, root = chord >= SPECIAL, (chord - SPECIAL) // 3
    known = rows[:, ROOT] != NOWHERE
    motion = np.where(sounds & known, (root - rows[:, ROOT]) % 12, NOWHERE)
    kind = np.where(sounds, SPECIAL + (chord - SPECIAL) % 3, chord)
    root = np.where(sounds, root, rows[:, ROOT])
    columns = [kind, root, motion, duration, rows[:, ELAPSED] + UNITS[duration], rows[:, BARS], rows[:, METER]]
    return np.stack([*columns, rows[:, STEP] + 1], 1).astype(np.int32)


PAIRS = np.array(list(itertools.product(range(1, CLASSES), range(3))))


def extended(tunes):
    """Tunes `[n, time, columns]` with each pair of a chord and a duration after them."""
    tunes = np.repeat(tunes, len(PAIRS), 0)
    pairs = np.tile(PAIRS, (len(tunes) // len(PAIRS), 1))
    return np.concatenate([tunes, after(tunes[:, -1], *pairs.T)[:, None]], 1)


def with_end(tunes):
    end = tunes[:, -1:].copy()
    end[..., :4] = KNOWN.boundary(0, 0)[:4]
    return np.concatenate([tunes, end], 1)


def told(model, tunes):
    """Log-probabilities of the rows after the first, `[n, time - 1]` of each kind."""
    tunes = tf.constant(tunes)
    outputs, _ = model.read(tunes[:, :-1], zeros(model, tunes.shape[0]))
    flat = lambda x: tf.reshape(x, [-1, x.shape[-1]])
    found, _ = model.log_probabilities([flat(v) for v in outputs["vectors"]], flat(tunes[:, :-1]), flat(tunes[:, 1:]))
    return {name: value.numpy().reshape(tunes.shape[0], -1).astype(float) for name, value in found.items()}


def joint(model, tunes):
    return sum(told(model, tunes).values()).sum(1)


# Probabilities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "experts"), [*zip(STOPS, EXPERTS, strict=True), ("symbol", EXPERTS[2]), ("bernoulli", EXPERTS[2])]
)
def test_probabilities_of_everything_sum_to_one(stop, experts):
    """By chord, by duration, and of all tunes of up to two events with all that go on after that."""
    model = network(stop=stop, experts=experts)
    if stop == "length":  # a number of bars besides 0, which no tune has
        bars = np.concatenate([boundary(1, n) for n in range(1, LONGEST + 1)])
        lengths = told(model, with_end(bars[:, None]))["length"][:, 0]
        assert np.exp(lengths).sum() == pytest.approx(1, abs=1e-5)
        model.lengths.assign(np.where(np.arange(LONGEST + 1) == 3, 0, -1e9)[None].repeat(2, 0))
    begun, total, prefixes = boundary(1, 3)[:, None], 0.0, 1
    for events_ in (1, 2):
        longer = extended(begun)
        found = told(model, longer)
        chord, duration = (found[kind][:, -1].reshape(prefixes, CLASSES - 1, 3) for kind in ("chord", "duration"))
        np.testing.assert_allclose(np.exp(duration).sum(2), 1, atol=1e-5)
        np.testing.assert_array_equal(chord[..., 0], chord[..., 1])  # the chord comes before its duration
        ends = np.exp(told(model, with_end(begun))["chord"][:, -1]) if events_ > 1 and stop != "length" else 0
        np.testing.assert_allclose(np.exp(chord[..., 0]).sum(1) + ends, 1, atol=1e-5)
        if events_ > 1 and stop != "length":
            total += np.exp(joint(model, with_end(begun))).sum()
        begun, prefixes = longer, len(longer)
    going_on = np.exp(sum(found.values()).sum(1)).sum()
    assert total + going_on == pytest.approx(1, abs=1e-4)
    if stop == "length":  # tunes that fill their three bars
        assert 0 < np.exp(joint(model, with_end(begun[begun[:, -1, ELAPSED] == 6]))).sum() < 1
    else:
        assert 0 < total < 1


def test_an_end_costs_nothing_where_the_length_is_known_and_a_tune_is_never_empty():
    model = network(stop="length")
    assert told(model, with_end(extended(boundary(1, 2)[:, None])))["chord"][:, -1].max() == 0
    empty = with_end(boundary(1)[:, None])
    assert told(network(stop="symbol"), empty)["chord"][0, 0] < -1e6


def test_a_product_is_the_normalised_product_of_its_experts():
    model = network(experts=("absolute", "motion"), stop="length")
    tunes = extended(extended(boundary(1, 9)[:, None])[::7])[::11]
    before = tf.constant(tunes[:, :-1])
    outputs, _ = model.read(before, zeros(model, len(tunes)))
    vectors, last = [v[:, -1].numpy() for v in outputs["vectors"]], tunes[:, -2]
    experts = []
    for number, vector in enumerate(vectors[:2]):
        head = model.chord_heads[number]
        logits = vector @ head.kernel.numpy() + head.bias.numpy()
        logits[:, 0] = -np.inf  # no end: the bars are counted
        if number == 1:  # one of motions: how likely is a class, so many semitones above the root before
            root = np.where(last[:, ROOT] == NOWHERE, 0, last[:, ROOT])
            turned = logits.copy()
            for i, j in itertools.product(range(12), range(3)):
                turned[:, 2 + 3 * i + j] = logits[np.arange(len(root)), 2 + 3 * ((i - root) % 12) + j]
            logits = turned
        p = np.exp(logits - logits.max(1, keepdims=True))
        experts.append(p / p.sum(1, keepdims=True))
    product = experts[0] * experts[1]
    product /= product.sum(1, keepdims=True)
    found = tf.nn.softmax(model.chord_logits([tf.constant(v) for v in vectors], tf.constant(last))).numpy()
    np.testing.assert_allclose(found, product, rtol=1e-3, atol=1e-6)


TUNES = [
    Tune("", [Event(of(root, kind), beats) for root, kind, beats in some], (4, 4))
    for some in (
        [(2, "m7", 2), (7, "7", 2), (0, "", 1), (-1, "N.C.", 1), (9, "7", 2)],
        [(-1, "N.C.", 2), (-1, "N.C.", 1), (11, "m7", 1), (4, "7", 2), (9, "m7", 2)],
        [(5, "", Fraction(1, 2)), (5, "m7", Fraction(3, 2)), (10, "7", 1), (3, "", 1), (8, "", 2), (2, "7", 2)],
    )
]


def test_the_motion_expert_is_the_same_in_all_keys():
    """But for the first chord, before which there is no root; and the durations, whose expert hears the key."""
    model, absolute = network(experts=("motion",)), network(experts=("absolute",))
    for tune in TUNES:
        keys = np.stack([KNOWN.rows(tune.transposed(n)) for n in range(12)])
        first = np.flatnonzero(keys[0, :, TYPE] >= SPECIAL)[0] - 1
        found, heard = told(model, keys)["chord"], told(absolute, keys)["chord"]
        others = np.delete(found, first, 1)
        np.testing.assert_allclose(others, others[:1].repeat(12, 0), atol=1e-5)
        assert np.ptp(found[:, first]) > 0.5 and np.ptp(np.delete(heard, first, 1), 0).max() > 0.5


# Writing --------------------------------------------------------------------------------------------------------------


def writer(model, rows, bars=0, meter=SHORT):
    """A function (length, seed, first, states, last) -> rows written, counts, states, last, ended."""
    states_, last_ = (
        [tf.TensorSpec([None, s.shape[1]]) for s in model.carried["dev"]],
        tf.TensorSpec([None, 8], tf.int32),
    )
    write = tf.function(model.write, input_signature=[states_, last_, *generation.draw_specs()])

    def call(length, seed=1, first=0, states=None, last=None, temperature=1.0, top_k=0, top_p=1.0):
        states = zeros(model, rows) if states is None else states
        last = tf.constant(boundary(rows, bars, meter)) if last is None else last
        numbers = tf.constant(length), tf.constant(first, tf.int64), tf.constant(seed, tf.int64)
        options = tf.constant(temperature), tf.constant(top_k), tf.constant(top_p)
        found, count, states, last, done = write(states, last, *numbers, *options)
        return found.numpy(), count.numpy(), states, last, done.numpy()

    return call


def chi_square(counts, probabilities):
    """Of counts in cells that are expected five times at least, the others together: standard deviations above."""
    n = counts.sum()
    rare = probabilities * n < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(probabilities[~rare], probabilities[rare].sum()) * n
    kept = expected > 0
    assert counts[~kept].sum() == 0
    degrees = kept.sum() - 1
    statistic = ((counts[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    return (statistic - degrees) / np.sqrt(2 * degrees)


@pytest.mark.parametrize(
    ("stop", "experts"), [("symbol", EXPERTS[1]), ("bernoulli", EXPERTS[0]), ("length", EXPERTS[2])]
)
def test_what_is_written_has_the_probabilities_that_are_told(stop, experts):
    """Chords and durations of the first event, and of the second after the commonest first one of half a bar."""
    count = 6_000
    model = network(seed=4, stop=stop, experts=experts, wide=0.6)
    found, counts, *_ = writer(model, count, bars=100 if stop == "length" else 0)(2, seed=8)
    classes = model.classes_of(found).numpy()
    pair = lambda event: (classes[:, event] - 1) * 3 + found[:, event, DURATION]
    begun = boundary(1, 100 if stop == "length" else 0)[:, None]
    first = told(model, extended(begun))
    p = np.exp(first["chord"][:, -1] + first["duration"][:, -1])
    assert chi_square(np.bincount(pair(0), minlength=len(PAIRS)), p) < 4
    half = np.flatnonzero(UNITS[PAIRS[:, 1]] == 1)  # no stop is allowed there
    best = half[np.argmax(p[half])]
    same = (pair(0) == best) & (counts == 2)
    second = told(model, extended(extended(begun)[best : best + 1]))
    p = np.exp(second["chord"][:, -1] + second["duration"][:, -1])
    assert same.sum() > 150 and chi_square(np.bincount(pair(1)[same], minlength=len(PAIRS)), p / p.sum()) < 4


@pytest.mark.parametrize("stop", ["symbol", "bernoulli"])
def test_tunes_stop_as_often_as_is_told_and_at_a_bar_line_alone(stop):
    count = 3_000
    model = network(seed=3, stop=stop, wide=0.5)
    if stop == "symbol":  # not once in a hundred
        model.chord_heads[0].bias.assign(model.chord_heads[0].bias + 2.5 * np.eye(CLASSES)[0])
    found, counts, _, last, done = writer(model, count)(60)
    first, full = found[:, 0], found[:, 0, ELAPSED] % 2 == 0
    p = np.exp(told(model, with_end(np.stack([boundary(count), first], 1)))["chord"][:, -1])[full]
    stopped = (counts == 1)[full]
    assert abs(stopped.sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum()) and p.sum() > 30
    assert done.mean() > 0.9 and (counts[done] >= 1).all() and (counts[~done] == 60).all()
    last = last.numpy()
    assert (last[done, ELAPSED] % 2 == 0).all() and (last[:, STEP] == counts).all()


@pytest.mark.parametrize("meter", [0, SHORT])
def test_a_length_that_was_drawn_is_kept(meter):
    model = network(stop="length")
    shares = np.zeros(LONGEST + 1)
    shares[1:7] = [0.1, 0.3, 0.05, 0.05, 0.2, 0.3]
    model.lengths.assign(np.log(shares + 1e-30)[None].repeat(2, 0))
    rows = 2_000
    last = model.begun(tf.zeros([rows], tf.int32), tf.fill([rows], meter), tf.constant([5, 5], tf.int64))
    bars = last.numpy()[:, BARS]
    assert chi_square(np.bincount(bars, minlength=LONGEST + 1), shares) < 4
    assert last.numpy()[:, [0, 1, 2, 3, 4, 6, 7]].tolist() == [KNOWN.boundary(meter, 0)[:5] + [meter, 0]] * rows
    found, counts, _, last, done = writer(model, rows)(60, last=last)
    assert done.all() and (last.numpy()[:, ELAPSED] == bars * UNITS_OF_A_BAR[meter]).all()
    place = np.arange(found.shape[1]) < counts[:, None]
    units = UNITS[found[..., DURATION]]
    assert ((units * place).sum(1) == bars * UNITS_OF_A_BAR[meter]).all()


@pytest.mark.parametrize("stop", STOPS)
def test_bars_that_are_asked_for_are_filled_and_never_more(stop):
    model = network(stop=stop)
    write = writer(model, 50)
    for bars, meter in ((1, SHORT), (2, 0), (5, SHORT), (140, SHORT)):
        asked = model.begun(tf.fill([50], bars), tf.fill([50], meter), tf.constant([1, 1], tf.int64))
        np.testing.assert_array_equal(asked, boundary(50, bars, meter))
        found, counts, _, last, done = write(1_000, last=asked)
        end = bars * UNITS_OF_A_BAR[meter]
        assert done.all() and (last.numpy()[:, ELAPSED] == end).all()
        assert found[..., ELAPSED].max() == end
        assert (counts == [np.argmax(row[:, ELAPSED] == end) + 1 for row in found]).all()


def test_the_rows_that_are_written_are_rows_of_tunes():
    """What the network goes on from is what `zoo.events` makes of the tune; and the state is that of reading it."""
    model = network(experts=EXPERTS[2], count_steps=True)
    found, counts, states, last, _ = writer(model, 20, bars=6, meter=0)(12)
    begun = boundary(20, 6, 0)
    for i, (rows, count) in enumerate(zip(found, counts, strict=True)):
        events_ = []
        for row in rows[:count].tolist():
            chord = of(row[ROOT], KNOWN.types[row[TYPE] - SPECIAL]) if row[TYPE] >= SPECIAL else of(-1, "")
            events_.append(Event(chord, KNOWN.durations[row[DURATION]]))
        expected = KNOWN.rows(Tune("", events_, (4, 4)), 6)
        np.testing.assert_array_equal(rows[:count], expected[1:])
        np.testing.assert_array_equal(last[i], rows[count - 1])
        _, after_all = model.read(
            tf.constant(np.concatenate([begun[i : i + 1], rows[: count - 1]])[None]), zeros(model, 1)
        )
        for state, other in zip(states, after_all, strict=True):
            np.testing.assert_allclose(state[i], other[0], atol=1e-5)


@pytest.mark.parametrize("stop", STOPS)
def test_in_pieces_it_is_the_same_as_at_once(stop):
    model, bars = network(stop=stop, depth=2), 20 if stop == "length" else 0
    write = writer(model, 1, bars)
    for seed in range(5):
        options = dict(seed=seed, temperature=1.2, top_k=25, top_p=0.95)
        whole, count, *_, done = write(24, **options)
        pieces, states, last, first = [], None, None, 0
        for length in (1, 5, 8, 10):
            found, n, states, last, ended = write(length, first=first, states=states, last=last, **options)
            pieces.append(found[0, : n[0]])
            first += length
            if ended[0]:
                break
        np.testing.assert_array_equal(np.concatenate(pieces), whole[0, : count[0]])
        assert ended[0] == done[0]


def test_a_greedy_tune_takes_the_most_probable_each_time():
    model = network(stop="length")
    found, counts, *_ = writer(model, 1, bars=8, meter=0)(12, temperature=0.0)
    begun = boundary(1, 8, 0)[:, None]
    for row in found[0, : counts[0]]:
        longer = extended(begun)
        each = told(model, longer)
        chord, duration = (each[kind][:, -1].reshape(-1, 3) for kind in ("chord", "duration"))
        best = np.argmax(chord[:, 0])
        room = begun[0, -1, ELAPSED] + UNITS <= 64
        expected = after(begun[:, -1], [best + 1], [np.argmax(np.where(room, duration[best], -np.inf))])[0]
        np.testing.assert_array_equal(row, expected)
        begun = np.concatenate([begun, expected[None, None]], 1)


# Learning -------------------------------------------------------------------------------------------------------------


def batch(k2=12):
    """Windows of tunes one after the other, as the streams have them."""
    rows = np.concatenate([KNOWN.rows(tune.transposed(n)) for n in range(12) for tune in TUNES])
    windows = np.stack([rows[start : start + k2 + 1] for start in range(0, len(rows) - k2, k2)])
    return {"symbols": windows, "begin": np.ones(len(windows), bool)}, np.ones([len(windows), k2], np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        dict(stop="symbol", experts=EXPERTS[0], cell="gru"),
        dict(stop="bernoulli", experts=EXPERTS[1], count_steps=True),
        dict(stop="length", experts=EXPERTS[2], cell="rnn", depth=2),
    ],
)
def test_every_weight_has_a_gradient_and_training_lowers_the_loss(options):
    model = network(wide=0.5, **options)
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    model.optimizer.build(model.trainable_variables)  # or it is traced twice
    step, data = tf.function(model.train_step), tf.nest.map_structure(tf.constant, batch())
    before, logs = [w.numpy() for w in model.trainable_weights], [step(data)]
    same = [w.path for w, b in zip(model.trainable_weights, before, strict=True) if np.array_equal(w.numpy(), b)]
    assert same == []  # Adam changes whatever has a gradient
    for _ in range(20):
        model.reset_metrics()
        logs.append(step(data))
    assert float(logs[-1]["nats"]) < 0.8 * float(logs[0]["nats"])
    scores = {name: float(value) for name, value in logs[-1].items()}
    assert scores["nats"] >= scores["chord_nats"] + scores["duration_nats"] - 1e-4  # and the length of the tunes


def test_the_number_of_the_step_is_seen_where_it_is_asked_for():
    rows = KNOWN.rows(TUNES[0])[None]
    later = rows.copy()
    later[:, 1:, STEP] += 7
    for counted in (False, True):
        model = network(count_steps=counted)
        same = np.allclose(told(model, rows)["chord"], told(model, later)["chord"], atol=1e-4)
        assert same != counted
    later[:, 1:, STEP] = 10_000  # beyond those that are told apart
    assert np.isfinite(joint(model, later)).all()


def test_the_bars_that_are_left_are_seen_where_the_length_is_predicted():
    tune = KNOWN.rows(TUNES[0], 4)[None], KNOWN.rows(TUNES[0], 30)[None]
    for stop in STOPS:
        one, other = (told(network(stop=stop), rows)["chord"] for rows in tune)
        assert np.allclose(one, other, atol=1e-4) == (stop != "length")
    assert np.isfinite(joint(network(stop="length"), KNOWN.rows(TUNES[0], 4_000)[None])).all()
