"""Rows of tunes: against a table written by hand, in other keys, of rare chords and durations, off the grid."""

import random
from fractions import Fraction

import numpy as np
import pytest

from zoo import charts, chords, events
from zoo.charts import Event, Tune
from zoo.events import BARS, DURATION, ELAPSED, METER, MOTION, NOWHERE, ROOT, STEP, TYPE, Vocabulary

HALF = Fraction(1, 2)
KNOWN = Vocabulary(("", "m7", "7", "dim", "m", "aug"), (HALF, Fraction(1), Fraction(2), Fraction(4)), ((4, 4), (3, 4)))
TYPES = ["", "m7", "7", "dim", "maj7", "7b9", "m7b5", "6", "m7/5", "N.C."]


def tune(text, meter=(4, 4)):
    return Tune("A tune", charts.parse_prompt(text, meter), meter)


def some_tunes(count, seed, grid=2):
    """At random, with durations in multiples of 1/`grid` of a quarter note."""
    draw = random.Random(seed)
    for i in range(count):
        names = [chords.of(draw.randrange(12), draw.choice(TYPES)) for _ in range(draw.randint(1, 20))]
        some = [Event(name, Fraction(draw.randint(1, 9 * grid), grid)) for name in names]
        yield Tune(str(i), some, draw.choice([(4, 4), (3, 4)]))


def test_rows_against_a_table_by_hand():
    found = KNOWN.rows(tune("N.C.:1 G7:2 N.C.:1/2 C:1/2 F#m7:4 C:1 C:1 C:2"))
    expected = [
        # type root motion duration elapsed bars meter step
        [0, 12, 12, 0, 0, 3, 0, 0],
        [1, 12, 12, 1, 2, 3, 0, 1],  # no chord yet
        [4, 7, 12, 2, 6, 3, 0, 2],
        [1, 7, 12, 0, 7, 3, 0, 3],  # the root before stays
        [2, 0, 5, 0, 8, 3, 0, 4],
        [3, 6, 6, 3, 16, 3, 0, 5],
        [2, 0, 6, 1, 18, 3, 0, 6],
        [2, 0, 0, 1, 20, 3, 0, 7],
        [2, 0, 0, 2, 24, 3, 0, 8],
    ]
    assert found.tolist() == expected and found.dtype == np.int32


def test_the_number_of_bars_is_the_tunes_own_rounded_up_or_the_one_given():
    waltz = tune("C:3 G7:3 C:1", (3, 4))
    assert KNOWN.rows(waltz)[:, BARS].tolist() == [3] * 6 and set(KNOWN.rows(waltz)[:, METER]) == {1}
    assert set(KNOWN.rows(waltz, 17)[:, BARS]) == {17}
    assert KNOWN.rows(Tune("", [])).tolist() == [KNOWN.boundary(0, 0)]


def test_transposition_changes_roots_alone_and_is_that_of_the_tune():
    for some in some_tunes(40, 1):
        rows = KNOWN.rows(some)
        for semitones in (1, 6, 11):
            moved = events.transposed(rows, semitones)
            np.testing.assert_array_equal(moved, KNOWN.rows(some.transposed(semitones)))
            np.testing.assert_array_equal(np.delete(moved, ROOT, 1), np.delete(rows, ROOT, 1))
            there = rows[:, ROOT] != NOWHERE
            assert ((moved - rows)[there, ROOT] % 12 == semitones).all() and (moved[~there, ROOT] == NOWHERE).all()
        np.testing.assert_array_equal(events.transposed(rows, 12), rows)


def test_a_row_tells_the_chord_and_how_it_was_reached():
    for some in some_tunes(40, 2):
        before = None
        for row in KNOWN.rows(some)[1:].tolist():
            if row[TYPE] == events.NO_CHORD:
                assert row[MOTION] == NOWHERE and row[ROOT] == (NOWHERE if before is None else before)
                continue
            assert row[MOTION] == (NOWHERE if before is None else (row[ROOT] - before) % 12)
            before = row[ROOT]


def test_rare_types_become_plainer_ones_and_rare_durations_several_events():
    some = tune("D7b9:7 Am7/D:9/2 G9:12 C6:8")
    rows = KNOWN.rows(some)[1:]
    symbols = KNOWN.symbols()
    shown = [(symbols[row[ROOT]][row[TYPE] - events.SPECIAL], KNOWN.durations[row[DURATION]]) for row in rows.tolist()]
    expected = [("D7", 4), ("D7", 2), ("D7", 1), ("Am7", 4), ("Am7", HALF), *[("G7", 4)] * 3, *[("C", 4)] * 2]
    assert shown == expected
    assert KNOWN.plainer(some) == {"D7b9": "D7", "Am7/D": "Am7", "G9": "G7", "C6": "C"}
    assert KNOWN.plainer(tune("C:4 Gb7:4 F#7:4")) == {}  # another spelling is no other chord


def test_the_total_is_kept_whatever_the_durations():
    for durations in ((HALF,), (HALF, Fraction(3)), KNOWN.durations):
        known = Vocabulary(KNOWN.types, durations, KNOWN.meters)
        for some in some_tunes(20, 3):
            rows = known.rows(some)
            units = [int(2 * known.durations[row[DURATION]]) for row in rows[1:]]
            assert np.cumsum(units).tolist() == rows[1:, ELAPSED].tolist()
            assert rows[-1, ELAPSED] == 2 * some.beats and rows[-1, STEP] == len(rows) - 1


def test_onsets_go_to_the_nearest_eighth_and_do_not_drift():
    for some in some_tunes(40, 4, grid=12):
        kept, begun, onsets = events.on_grid(some), Fraction(), {}
        for event in some.events:
            onsets[begun] = event.chord
            begun += event.beats
        assert all((2 * event.beats).denominator == 1 and event.beats > 0 for event in kept)
        assert abs(sum(event.beats for event in kept) - some.beats) <= Fraction(1, 4)
        place = Fraction()
        for event in kept:
            assert any(abs(place - onset) <= Fraction(1, 4) and chord == event.chord for onset, chord in onsets.items())
            place += event.beats
    triplets = events.on_grid(tune(" ".join(["C:1/3 G:1/3 F:1/3"] * 8)))
    assert sum(event.beats for event in triplets) == 8
    assert events.on_grid(tune("C:1/12")) == []  # no length is left of it
    assert [str(event.chord) for event in events.on_grid(tune("C:1 G:1/12 F:35/12"))] == ["C", "F"]


def test_a_vocabulary_has_what_is_frequent_and_what_writes_down_the_rest():
    tunes = [tune("C:4 D7:3 G:1"), tune("C:4 Dm7b5:5 F:1"), tune("C6:3 G:3", (3, 4))]
    known = Vocabulary.learn(tunes, 3)
    assert known.durations == (HALF, 3) and known.meters == ((4, 4), (3, 4))
    assert known.types[0] == "" and "dim" in known.types and not {"7", "6", "m7b5"} & set(known.types)
    assert Vocabulary.learn(tunes, 2).durations == (HALF, 1, 3, 4)
    assert {"7", "6", "m7b5"} <= set(Vocabulary.learn(tunes, 1).types)
    assert Vocabulary.from_assets(known.as_assets()) == known
    for some in some_tunes(30, 5):
        known.rows(some)


def test_the_symbols_are_those_of_the_types_on_every_root():
    symbols = KNOWN.symbols()
    assert len(symbols) == 12 and symbols[10][:3] == ["Bb", "Bbm7", "Bb7"]
    for root in range(12):
        assert [chords.parse(symbol).type for symbol in symbols[root]] == list(KNOWN.types)
        assert {chords.parse(symbol).pitch_class for symbol in symbols[root]} == {root}


@pytest.mark.parametrize(
    ("meter", "number"), [((4, 4), 0), ((3, 4), 1), ((2, 2), 0), ((6, 8), 1), ((5, 4), 0), ((2, 4), 1)]
)
def test_a_meter_that_is_not_known_is_read_as_one_of_about_the_length(meter, number):
    assert KNOWN.meter(meter) == number


def test_bars_are_whole_eighths():
    odd = [tune("C:5/4 G:5/4", (5, 16)), tune("C:1/4 G:1/4", (1, 16))]
    assert Vocabulary.learn(odd, 1).meters == ((4, 4),)
    assert Vocabulary.learn([*odd, tune("C:5/2", (5, 8)), tune("C:3/2", (6, 16))], 1).meters == ((5, 8), (6, 16))
