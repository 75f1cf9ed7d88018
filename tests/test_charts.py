"""Prompts and chord charts: written by hand, round trips of random tunes, and what is wrong, named with its place."""

import random
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import charts, chords
from zoo.charts import Event, Tune
from zoo.errors import ZooError

SYMBOLS = ["C", "Dm7", "G7b9", "Bbmaj7", "F#m7b5", "Eb7/G", "A7alt", "Abdim7", "Gsus4", "N.C.", "C(b9)", "E5", "B7#11"]
METERS = [(4, 4), (3, 4), (2, 4), (6, 8), (5, 4), (7, 8), (12, 8), (2, 2), (3, 16)]
EVENTS = st.lists(
    st.builds(
        lambda symbol, twelfths: Event(chords.parse(symbol), Fraction(twelfths, 12)),
        st.sampled_from(SYMBOLS),
        st.one_of(st.sampled_from([12, 24, 36, 48, 48, 48, 96]), st.integers(1, 150)),
    ),
    max_size=20,
)


def events(*pairs):
    return [Event(chords.parse(symbol), Fraction(beats)) for symbol, beats in pairs]


def refusal(function, *arguments):
    with pytest.raises(ZooError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# By hand --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", []),
        (" \n ", []),
        ("Dm7:4 G7:4 Cmaj7:8", [("Dm7", 4), ("G7", 4), ("Cmaj7", 8)]),
        ("Dm7:1.5 G7:5/2 C:.5", [("Dm7", "3/2"), ("G7", "5/2"), ("C", "1/2")]),
        ("Dm7 G7:2", [("Dm7", 4), ("G7", 2)]),
        ("C:0.333", [("C", "1/3")]),
        ("| Dm7 G7 | Cmaj7 |", [("Dm7", 2), ("G7", 2), ("Cmaj7", 4)]),
        ("Dm7 G7 | Cmaj7", [("Dm7", 2), ("G7", 2), ("Cmaj7", 4)]),
        ("|Dm7:3 G7|C:1 F G:1|", [("Dm7", 3), ("G7", 1), ("C", 1), ("F", 2), ("G", 1)]),
        ("| C F G ||", [("C", "4/3"), ("F", "4/3"), ("G", "4/3")]),
        ("| C | % | % |", [("C", 4)] * 3),
        ("| C F | % |", [("C", 2), ("F", 2)] * 2),
        ("| C | ~ | ~ F |", [("C", 10), ("F", 2)]),
        ("| C | ~ F | % |", [("C", 6), ("F", 2), ("C", 2), ("F", 2)]),
        ("C:4 ~:2 F", [("C", 6), ("F", 4)]),
        ("| Cmaj7:8 | F |", [("Cmaj7", 8), ("F", 4)]),
        ("Dm7:4 | G7:4 | Cmaj7:8", [("Dm7", 4), ("G7", 4), ("Cmaj7", 8)]),
        ("G7:1 | C |", [("N.C.", 3), ("G7", 1), ("C", 4)]),
        ("| C | G7:3", [("C", 4), ("G7", 3)]),
        ("| C | F |\n\n| G | C |\n", [("C", 4), ("F", 4), ("G", 4), ("C", 4)]),
        ("| C | F\n| G | C", [("C", 4), ("F", 4), ("G", 4), ("C", 4)]),
    ],
)
def test_prompts_read_as_documented(text, expected):
    assert charts.parse_prompt(text) == events(*expected)


def test_the_meter_says_how_long_a_bar_is():
    assert charts.parse_prompt("| C | F G | Am", (3, 4)) == events(("C", 3), ("F", "3/2"), ("G", "3/2"), ("Am", 3))
    assert charts.parse_prompt("C F", (6, 8)) == events(("C", 3), ("F", 3))


def test_a_chart_written_by_hand():
    tune = charts.parse_chart(
        "title: Blues | in F\nKey: F\nmeter: 4/4\ntempo: 132.5\n\n"
        "| F7  | Bb7 | F7    | Cm7 F7 |\n| Bb7 | %   | F7    | D7     |\n| Gm7 | C7  | F7 D7 | Gm7 C7 |\n"
    )
    assert (tune.title, tune.key, tune.meter, tune.tempo) == ("Blues | in F", "F", (4, 4), 132.5)
    assert (tune.bars, tune.beats, tune.bar_beats) == (12, 48, 4)
    assert [event.chord.symbol for event in tune.events][5:8] == ["Bb7", "Bb7", "F7"]
    assert charts.parse_chart("| C |", (3, 4)).beats == 3


def test_a_chart_looks_like_one():
    tune = Tune("A tune", events(*[("C", 4)] * 2, ("F", 2), ("G7", 2), ("C", 8), ("Dm7", 3), ("G7", 3)), key="C")
    expected = "title: A tune\nmeter: 4/4\nkey: C\n\n| C | %           | F G7 | C |\n| ~ | Dm7:3 G7:1 | ~:2\n"
    assert charts.chart(tune).replace(" ", "") == expected.replace(" ", "")
    assert [line.index("|", 1) for line in charts.chart(tune).splitlines()[-2:]] == [4, 4]  # columns are aligned


def test_spans_say_in_which_bar_an_event_begins_and_where():
    tune = Tune("", events(("C", 3), ("F", 2), ("G", "3/2"), ("C", 10), ("F", 1)), (3, 4))
    assert [(bar, position) for _, bar, position in tune.spans()] == [
        (0, 0),
        (1, 0),
        (1, 2),
        (2, Fraction(1, 2)),
        (5, 1.5),
    ]
    assert [event for event, _, _ in tune.spans()] == tune.events


# Round trips ----------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_prompts_round_trip(found):
    assert charts.parse_prompt(charts.format_prompt(found)) == found


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.sampled_from(METERS), st.integers(1, 6))
def test_charts_round_trip(found, meter, columns):
    tune = Tune("Some | tune: of two", found, meter, "F#m", 160.25)
    assert charts.parse_chart(charts.chart(tune, columns)) == tune


@settings(max_examples=50, deadline=None)
@given(EVENTS, st.sampled_from(METERS))
def test_spans_against_a_walk_in_twelfths(found, meter):
    tune = Tune("", found, meter)
    ticks, bar = 0, 48 * meter[0] // meter[1]
    for event, number, position in tune.spans():
        assert (number, position * 12) == divmod(ticks, bar)
        ticks += int(event.beats * 12)
    assert tune.bars * bar == ticks == tune.beats * 12


@given(EVENTS, st.sampled_from(["", "C", "Eb", "F#", "Am", "C#m", "Bbm"]), st.integers(-24, 24))
@settings(max_examples=100, deadline=None)
def test_transposing_moves_every_chord_and_the_key_and_back(found, key, semitones):
    tune = Tune("A", found, (3, 4), key, 100)
    moved = tune.transposed(semitones)
    for old, new in zip(tune.events, moved.events, strict=True):
        assert new.chord.type == old.chord.type and new.beats == old.beats
        assert new.chord.pitch_class == ((old.chord.pitch_class + semitones) % 12 if old.chord.root else -1)
        assert sorted(new.chord.pitches) == sorted((pitch + semitones) % 12 for pitch in old.chord.pitches)
    assert bool(moved.key) == bool(key) and moved.key.endswith("m") == key.endswith("m")
    if key:
        places = [chords.parse(k.removesuffix("m")).pitch_class for k in (key, moved.key)]
        assert (places[1] - places[0] - semitones) % 12 == 0
    back = moved.transposed(-semitones)
    assert [(e.chord.pitch_class, e.chord.type, e.beats) for e in back.events] == [
        (e.chord.pitch_class, e.chord.type, e.beats) for e in found
    ]


def test_black_keys_are_spelled_as_the_new_key_is():
    tune = Tune("", charts.parse_prompt("Gm7 C7 Fmaj7"), key="F")
    assert charts.format_prompt(tune.transposed(1).events) == "Abm7:4 Db7:4 Gbmaj7:4"
    assert charts.format_prompt(tune.transposed(-1).events) == "F#m7:4 B7:4 Emaj7:4"
    assert tune.transposed(12) == tune and tune.transposed(12).events[0] is not tune.events[0]


# What is wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, parts",
    [
        ("Dm7:4 H7:4", ["character 7", "'H7'"]),
        ("Dm7:4\nG7:4 Cfoo", ["line 2, character 6", "'Cfoo'"]),
        ("Dm7:x", ["'Dm7:x'", "'x' is no number"]),
        ("Dm7:", ["'Dm7:'", "no number"]),
        ("Dm7:0", ["more than 0"]),
        ("Dm7:-1", ["more than 0"]),
        ("Dm7:1/0", ["no number"]),
        ("Dm7:1/5", ["multiple of 1/12"]),
        ("Dm7:0.2", ["multiple of 1/12"]),
        ("Dm7:99999", ["at most"]),
        ("Dm7:1e3", ["no number"]),
        (":4", ["chord symbol ''"]),
        ("| Dm7:4 | G7:3 |", ["bar 2", "character 11", "3 beats in a bar of 4/4"]),
        ("| Dm7:4 G7:4 |", ["bar 1", "8 beats"]),
        ("| Dm7:5 G7 |", ["bar 1", "-1 beats are left", "Dm7:5 G7"]),
        ("| Dm7:4 G7 |", ["bar 1", "0 beats are left"]),
        ("| C D E F G |", ["bar 1", "multiples of 1/12"]),
        ("| C | | F |", ["bar 2", "nothing in the bar"]),
        ("| % |", ["no bar before"]),
        ("| C | F % |", ["bar 2", "with other chords"]),
        ("| ~ |", ["goes on with"]),
        ("C:5 | F |", ["bar 1", "5 beats"]),
        ("| C | F:2 G:3", ["bar 2", "5 beats"]),
    ],
)
def test_what_is_wrong_in_a_prompt_is_named_with_its_place(text, parts):
    message = refusal(charts.parse_prompt, text)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    "text, parts",
    [
        ("title: A\nmeter: 4/5\n| C |", ["line 2", "'4/5' is no meter"]),
        ("key: H\n| C |", ["line 1", "'H' is no key"]),
        ("tempo: fast\n| C |", ["line 1", "'fast' is no tempo"]),
        ("title: A\n\n| C |\n| F:3 |", ["line 4", "bar 2", "3 beats"]),
    ],
)
def test_what_is_wrong_in_a_chart_is_named_with_its_line(text, parts):
    message = refusal(charts.parse_chart, text)
    assert all(part in message for part in parts), message


def test_beats_are_exact_or_near_the_grid():
    assert charts.beats_of("3/2") == charts.beats_of(1.5) == charts.beats_of("1.5") == Fraction(3, 2)
    assert charts.beats_of(1 / 3) == charts.beats_of(0.3333) == Fraction(1, 3)
    for value in (True, None, [4], float("nan"), float("inf"), "four", "9" * 5000):
        assert "no number" in refusal(charts.beats_of, value)
    assert "multiple" in refusal(charts.beats_of, Fraction(1, 7))
    assert "multiple" in refusal(charts.beats_of, 0.34)
    assert "at most" in refusal(charts.beats_of, 10**400)


def test_meters_and_keys_in_the_ways_that_people_write_them():
    assert charts.meter_of([6, 8]) == charts.meter_of("6/8") == charts.meter_of((6, 8)) == (6, 8)
    for value in (4, "4", [4], [4, 4, 4], [0, 4], [4, 3], [4.0, 4], [True, 4], None, "a/b", {"a": 1}):
        assert "no meter" in refusal(charts.meter_of, value)
    keys = {"Eb": "Eb", "Eb major": "Eb", "Am": "Am", "A minor": "Am", "F#-": "F#m", "B\u266d": "Bb", "": "", " ": ""}
    assert {text: charts.key_of(text) for text in keys} == keys
    for value in ("H", "c", 3, None, "Cx"):
        assert "no key" in refusal(charts.key_of, value)


def test_any_text_is_read_or_refused():
    draw = random.Random(0)
    pieces = [
        "|",
        "||",
        "%",
        "~",
        "C",
        "Dm7",
        ":4",
        ":",
        " ",
        "\n",
        "x",
        "1/2",
        ":1/3",
        "N.C.",
        "\u266d",
        "title:",
        "(",
    ]
    read = 0
    for _ in range(2000):
        text = "".join(draw.choices(pieces, k=draw.randint(1, 8)))
        try:
            found = charts.parse_chart(text).events
        except ZooError as error:
            assert "\n" not in str(error)
        else:
            assert charts.parse_prompt(charts.format_prompt(found)) == found
            read += 1
    assert read > 50
