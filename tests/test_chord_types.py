"""Types that a model of chords knows, and chords that stand for others."""

import collections
import random

import pytest

from zoo import chord_types, chords
from zoo.charts import Event, Tune
from zoo.errors import ZooError

SYMBOLS = ["C", "Am7", "D7b9", "G13#11", "F#m7b5", "Bb6/D", "Ebmaj9", "N.C.", "Bdim7", "A7alt", "Dm11/G"]


def tune(symbols):
    return Tune("A tune", [Event(chords.parse(symbol), 4) for symbol in symbols])


def test_types_are_those_that_occur_often_enough_and_triads():
    draw = random.Random(1)
    tunes = [tune(draw.choices(SYMBOLS, range(1, 12), k=15)) for _ in range(12)]
    counts = collections.Counter(event.chord.type for some in tunes for event in some.events)
    del counts["N.C."]
    kept = chord_types.types(tunes, 20)
    assert {type for type, count in counts.items() if count >= 20} <= set(kept)
    rare = set(kept) - {type for type, count in counts.items() if count >= 20}
    assert {"", "m", "dim", "aug"} & set(counts | dict.fromkeys(rare)) <= set(kept)
    assert all(len(chords.of(0, type).pitches) <= 3 for type in rare)
    frequent = [counts[type] for type in kept if type not in rare]
    assert frequent == sorted(frequent, reverse=True)
    assert len(kept) == len(set(kept))


def test_every_chord_has_a_type_that_stands_for_it_on_its_own_root():
    known = chord_types.types([], 20)
    for quality in chords.QUALITIES:
        for type in (quality, quality + "/3"):
            chord = chords.of(1, type)
            plain = chord_types.backed_off(chord, known)
            assert plain.type in known and plain.root == chord.root
            assert set(plain.pitches) - set(chord.pitches) <= {6, 5, 8, 4}  # only a third or fifth may be another


@pytest.mark.parametrize(
    ("symbol", "known", "expected"),
    [
        ("D7b9", ["7b9", "7", ""], "D7b9"),
        ("D7b9", ["7", ""], "D7"),
        ("D7b9", [""], "D"),
        ("Bbm7/Eb", ["m7", "m"], "Bbm7"),
        ("Bbm7/Eb", ["m7/5", "m7", "m"], "Bbm7/Eb"),
        ("N.C.", [], "N.C."),
    ],
)
def test_a_chord_backs_off_to_the_first_plainer_one_that_is_known(symbol, known, expected):
    assert chord_types.backed_off(chords.parse(symbol), known).symbol == expected


def test_a_chord_that_nothing_stands_for_is_named():
    with pytest.raises(ZooError, match="chord F#m7: none of its simplifications is among the 1 types"):
        chord_types.backed_off(chords.parse("F#m7"), ["dim"])
