"""The jazz recipe: which tunes count as versions of one, durations on a grid, waltzes, keys."""

import doctest
import gzip
import importlib
import json
import pathlib
import random
from fractions import Fraction

import pytest

from zoo import chords, tune_reading
from zoo.charts import Event, Tune

RECIPE = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "jazz"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    return importlib.import_module


def tune(title, progression, beats=4, key="C"):
    return Tune(title, [Event(chords.parse(symbol), beats) for symbol in progression.split()], (4, 4), key)


def progression(seed, length=40):
    draw, symbols = random.Random(seed), ["C", "Dm7", "Em7", "F", "G7", "A7", "Bm7b5", "Eb7", "Abmaj7", "F#dim7"]
    return " ".join(draw.choices(symbols, k=length))


@pytest.mark.parametrize(
    "title",
    [
        "The Green Wall",
        "Green Wall, The",
        "GREEN WALL",
        "Green Wall (Bossa)",
        "Gréén Wall [4-4] - A. Composer",
        "Green Wall 2",
        "Green Wall #3",
        "Green Wall.MGU",
        "Green, Wall!",
        "Green Wall Solo",
        "Green Wall No. 4",
    ],
)
def test_versions_of_a_title_are_one(module, title):
    assert module("tune_groups").normalised(title) == "greenwall"


def test_titles_stay_apart_where_only_numbers_or_other_scripts_are_left(module):
    normalised = module("tune_groups").normalised
    assert len({normalised(title) for title in ("26-2", "26", "Песня", "(Untitled)", "The", "A")}) == 6
    assert normalised("Rockin' & Rollin'") == normalised("Rocking and Rolling")
    assert doctest.testmod(module("tune_groups")).failed == 0


def test_groups_join_titles_and_chords_in_any_key_and_nothing_else(module):
    first, second, third = (progression(seed) for seed in (1, 2, 3))
    changed = first.split()
    changed[20] = "E7"
    short = " ".join(first.split()[:9])
    tunes = [
        tune("One Thing", first),
        tune("Another", " ".join(changed)).transposed(5),  # of 33 runs of eight chords, 25 are the same
        tune("One Thing (Alternative)", second),
        tune("Quite Something Else", third),
        tune("Quite Somthing Else", progression(4)),
        tune("A Riff", short),  # too short for being within another tune to mean much
        tune("Fifth", progression(5)),
    ]
    assert module("tune_groups").groups(tunes) == [0, 0, 0, 3, 3, 5, 6]


def test_identity_is_blind_to_key_and_title_only(module):
    identity, one = module("tune_groups").identity, tune("One", "Dm7 G7 Cmaj7 A7")
    assert identity(one) == identity(tune("Two", "Gm7 C7 Fmaj7 D7"))
    others = [tune("One", "Dm7 G7 Cmaj7 A7b9"), tune("One", "Dm7 G7 Cmaj7 A7", 2), tune("One", "Dm7 G7 C#maj7 A7")]
    assert identity(one) not in map(identity, others)


def test_onsets_are_rounded_so_that_bars_stay_whole(module):
    events = module("tune_sources").events([["C", 96], ["F", 96], ["G", 96], ["Am", 192]], 120)  # fifths of a half note
    assert [event.beats * 12 for event in events] == [10, 9, 10, 19]
    assert sum(event.beats for event in events) == 4
    assert all((event.beats * 12).denominator == 1 for event in events)


def test_what_is_no_tune_is_dropped_for_a_reason(module):
    sources = module("tune_sources")
    late = tune("x", "C F G C F G C F")
    late.events[1].beats = Fraction(2)  # all after it begin in the middle of bars
    short = tune("x", "C F G C F G C F")
    short.events[-1].beats = Fraction(2)
    cases = [
        (tune("x", "C F G"), "fewer than 8 events"),
        (tune("x", "C F G C F G C F", 1), "fewer than 4 bars"),
        (tune("x", "C F G C F G C F", 33), "more than 32 beats"),
        (tune("x", "N.C. N.C. N.C. N.C. N.C. G C F"), "mostly without chords"),
        (late, "bars do not add up"),
        (short, ""),
        (tune("x", "C F G C F G C F"), ""),
    ]
    for given, why in cases:
        read = sources.checked(sources.Read("source", given))
        assert why in read.dropped and bool(read.dropped) == bool(why) and (read.tune is None) == bool(why)


def write(path, rows):
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_the_corpus_is_written_so_that_the_zoo_reads_it(module, tmp_path, capsys):
    """All five sources, with tunes drawn at random; waltzes of choi_realbook have the fourth beat taken out."""
    bars = [[4, "", symbol, f"{i + 1}:1"] for i, symbol in enumerate(progression(6, 20).split())]
    bars[3:4] = [[2, "", "Dm7", "4:1"], [2, "", "G7", "4:3"]]
    choi = [{"title": f"{title} - Someone", "key": "Am", "chords": bars} for title in ("Sea Waltz", "Sea March")]
    ticks = lambda seed, n: [[symbol, n] for symbol in progression(seed, 24).split()]
    jcpc = [{"title": f"J {i} {'abcdefghij'[i] * 5}", "key": "Eb", "meter": [4, 4]} for i in range(10)]
    jht = [{"title": f"{'klmnopqrst'[i] * 6}", "key": "e-", "meter": [4, 4], "pickup_ticks": 0} for i in range(10)]
    for i, row in enumerate(jcpc):
        row["chords"] = ticks(10 + i, 480)
    for i, row in enumerate(jht):
        row["chords"] = ticks(30 + i, 1920)
    ewld = {"title": "Open", "meters": [[0, "4/4"]], "key": [-1, "minor"], "chords": ticks(50, 1920)}
    ewld["bar_starts"] = [1920 * i for i in range(24)]
    late = {**ewld, "title": "Late", "bar_starts": [0, *(480 + 1920 * i for i in range(24))]}
    improvisor = {"id": "changes/GreenWall.ls", "title": "", "key": -3, "meter": [4, 4], "chords": ticks(51, 480)}
    twice = {**improvisor, "title": "Green Wall", "chords": [[f"{c}", n] for c, n in ticks(51, 480)]}
    for name, rows in {
        "choi_realbook/jazz_xlab": choi,
        "jcpc/jcpc": jcpc,
        "jht/jht_tunes": jht,
        "openewld/openewld": [ewld, late],
        "improvisor_solos/leadsheets_with_solos": [improvisor, twice],
    }.items():
        write(tmp_path / "in" / f"{name}.jsonl.gz", rows)
    module("corpus").main(tmp_path / "in", tmp_path / "out")
    report = capsys.readouterr().out
    assert "1  the same but for the key as another" in report
    assert "1  a pickup bar" in report
    splits = {
        name: tune_reading.read_jsonl(tmp_path / "out" / f"{name}.jsonl")
        for name in ("train", "dev", "test")
        if (tmp_path / "out" / f"{name}.jsonl").stat().st_size
    }
    tunes = {each.title: each for some in splits.values() for each in some}
    assert len(tunes) == sum(map(len, splits.values())) == 24
    waltz, march = tunes["Sea Waltz - Someone"], tunes["Sea March - Someone"]
    assert (waltz.meter, march.meter, waltz.key) == ((3, 4), (4, 4), "Am")
    assert [event.beats for event in waltz.events[:6]] == [3, 3, 3, 2, 1, 3]
    assert [event.beats for event in march.events[:6]] == [4, 4, 4, 2, 2, 4]
    assert tunes["k" * 6].key == "Ebm"
    assert tunes["J 0 aaaaa"].key in ("Eb", "Cm")
    assert tunes["Green Wall"].key in ("Eb", "Cm")
    assert tunes["Open"].key in ("F", "Dm")
    assert all(any(title in [t.title for t in some] for some in splits.values()) for title in tunes)
    groups = [split for split, some in splits.items() for t in some if t.title.startswith("Sea")]
    assert len(set(groups)) == 1  # the same chords


def test_the_key_of_cadences_is_found_in_all_keys(module):
    keys = module("tune_keys")
    major, minor = "Dm7 G7 Cmaj7 A7 Dm7 G7 C6", "Bm7b5 E7 Am6 Dm7 Bm7b5 E7 Am"
    known = [tune("", text, key=key).transposed(n) for text, key in ((major, "C"), (minor, "Am")) for n in range(12)]
    found = keys.Keys(known)
    for n in range(12):
        for text, key in ((major, "C"), (minor, "Am")):
            moved = tune("", text, key=key).transposed(n)
            expected, moved.key = moved.key, ""
            assert found.key(moved) == expected
    assert found.key(tune("", minor, key="Bb")) in ("Bb", "Gm")  # a signature is believed
    assert found.key(tune("", "Ebm7 Ab7 Dbmaj7 Bb7 Ebm7 Ab7 Db6", key="C")) == "Db"  # but not that of C
