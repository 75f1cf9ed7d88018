"""The corpus of jazz tunes: built twice alike, no tune twice in any key, whole bars, and harmony as it is in jazz."""

import collections
import itertools
import json
import os
import re
import subprocess
import sys

import pytest

from tasks.corpora import standards
from zoo import chords

LIST = """
import json
from tasks.corpora.standards import write
row = lambda tune: [tune.title, tune.symbols(), [step.beats for step in tune.steps]]
print(json.dumps({split: [row(tune) for tune in tunes] for split, tunes in write().items()}))
"""
NOTES = "C B#|C# Db|D|D# Eb|E Fb|F E#|F# Gb|G|G# Ab|A|A# Bb|B Cb"
PLACES = {name: i for i, names in enumerate(NOTES.split("|")) for name in names.split()}
# What sounds, in semitones above the root: from a table of chords, and nothing to do with `zoo.chords`.
SOUNDS = {
    "": "0 4 7", "m": "0 3 7", "6": "0 4 7 9", "m6": "0 3 7 9", "69": "0 2 4 7 9", "m69": "0 2 3 7 9",
    "7": "0 4 7 10", "9": "0 2 4 7 10", "13": "0 2 4 7 9 10", "7b9": "0 1 4 7 10", "7#9": "0 3 4 7 10",
    "7#11": "0 4 6 7 10", "7b13": "0 4 7 8 10", "7#5": "0 4 8 10", "7sus4": "0 5 7 10", "9sus4": "0 2 5 7 10",
    "maj7": "0 4 7 11", "maj9": "0 2 4 7 11", "maj7#11": "0 4 6 7 11", "mM7": "0 3 7 11", "dim7": "0 3 6 9",
    "m7": "0 3 7 10", "m9": "0 2 3 7 10", "m11": "0 2 3 5 7 10", "m7b5": "0 3 6 10", "7alt": "0 1 3 4 8 10",
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """{split: [example]} as TFDS stores it."""
    builder = standards.Standards(data_dir=tmp_path_factory.mktemp("once"))
    builder.download_and_prepare()
    splits = builder.as_dataset()
    read = lambda x: {
        "title": x["title"].decode(),
        "meter": x["meter"].tolist(),
        "key": x["key"].decode(),
        "tempo": float(x["tempo"]),
        "chords": [symbol.decode() for symbol in x["chords"]],
        "beats": x["beats"].tolist(),
    }
    return {split: [read(x) for x in splits[split].as_numpy_iterator()] for split in splits}


def everything(corpus):
    return [tune for tunes in corpus.values() for tune in tunes]


def root_and_kind(symbol):
    root, kind = re.fullmatch(r"([A-G][b#]?)(.*)", symbol).groups()
    return PLACES[root], kind


def roots(tune):
    return [root_and_kind(symbol)[0] for symbol in tune["chords"]]


def test_every_build_is_the_same_whatever_the_hash_seed(corpus):
    found = json.loads(subprocess.check_output([sys.executable, "-c", LIST], env={**os.environ, "PYTHONHASHSEED": "7"}))
    for split, tunes in corpus.items():
        assert sorted(found[split]) == sorted([t["title"], t["chords"], t["beats"]] for t in tunes)


def test_sizes_and_no_title_twice(corpus):
    assert {split: len(tunes) for split, tunes in corpus.items()} == {"train": 600, "validation": 60, "test": 80}
    titles = [tune["title"] for tune in everything(corpus)]
    assert len(set(titles)) == len(titles)
    assert all(re.fullmatch(r"[A-Z][A-Za-z' -]+", title) for title in titles)


def test_no_progression_occurs_twice_in_whatever_key(corpus):
    def relative(tune, first):
        return tuple(((root - first) % 12, kind) for root, kind in map(root_and_kind, tune["chords"]))

    for start in (lambda tune: PLACES[tune["key"].removesuffix("m")], lambda tune: roots(tune)[0]):
        found = [relative(tune, start(tune)) for tune in everything(corpus)]
        assert len(set(found)) == len(found)


def test_bars_are_full_and_forms_have_their_lengths(corpus):
    lengths = collections.Counter()
    for tune in everything(corpus):
        bar, unit = tune["meter"]
        assert (bar, unit) in ((4, 4), (3, 4)) and 40 <= tune["tempo"] <= 300
        assert len(tune["chords"]) == len(tune["beats"])
        ends, now = {0}, 0
        for beats in tune["beats"]:
            assert beats >= 1 and beats == int(beats)
            ends.add(now := now + beats)
        lengths[now / bar] += 1
        assert all(8 * bar * i in ends for i in range(int(now // (8 * bar)))) or now / bar in (12, 24), tune["title"]
    assert set(lengths) == {12, 16, 24, 32}
    assert lengths[32] > 0.5 * lengths.total() and min(lengths.values()) > 0.05 * lengths.total()


def test_there_are_all_meters_durations_and_keys(corpus):
    tunes = corpus["train"]
    assert 0.05 < sum(tune["meter"] == [3, 4] for tune in tunes) / len(tunes) < 0.25
    shares = collections.Counter(beats for tune in tunes for beats in tune["beats"] if tune["meter"] == [4, 4])
    assert all(shares[beats] > 0.02 * shares.total() for beats in (1, 2, 4, 8))
    major = collections.Counter(PLACES[tune["key"]] for tune in tunes if tune["key"][-1] != "m")
    minor = collections.Counter(PLACES[tune["key"][:-1]] for tune in tunes if tune["key"][-1] == "m")
    assert len(major) == len(minor) == 12
    assert {place for place, _ in major.most_common(4)} == {PLACES[name] for name in ("C", "F", "Bb", "Eb")}
    assert 0.15 < minor.total() / len(tunes) < 0.4


def test_tunes_end_on_their_tonic_in_their_mode(corpus):
    for tune in everything(corpus):
        root, kind = root_and_kind(tune["chords"][-1])
        assert root == PLACES[tune["key"].removesuffix("m")], tune["title"]
        third = 3 if tune["key"].endswith("m") else 4
        assert str(third) in SOUNDS[kind].split(), (tune["title"], tune["chords"][-1])
        assert tune["beats"][-1] >= tune["meter"][0]


def test_symbols_are_canonical_and_sound_as_they_should(corpus):
    symbols = {symbol for tune in everything(corpus) for symbol in tune["chords"]}
    assert len(symbols) > 150 and {root_and_kind(symbol)[1] for symbol in symbols} == set(SOUNDS)
    for symbol in symbols:
        root, kind = root_and_kind(symbol)
        chord = chords.parse(symbol)
        assert chord.symbol == symbol and chord.pitch_class == root
        assert set(chord.pitches) == {(root + int(step)) % 12 for step in SOUNDS[kind].split()}, symbol


def test_chords_are_spelled_as_the_key_is(corpus):
    for tune in everything(corpus):
        names = {symbol[:2] for symbol in tune["chords"]}
        assert not names & {"Cb", "Fb", "E#", "B#"}
        if tune["key"] in ("F", "Bb", "Eb", "Ab", "Db", "Dm", "Gm", "Cm", "Fm"):
            sharps = sum(symbol[1:2] == "#" for symbol in tune["chords"])
            assert sharps <= 0.25 * len(tune["chords"]), tune["title"]  # passing chords, and bridges in sharp keys


def test_roots_move_as_in_jazz(corpus):
    moves = collections.Counter()
    for tune in everything(corpus):
        moves.update((b - a) % 12 for a, b in itertools.pairwise(roots(tune)))
    assert 0.4 < moves[5] / moves.total() < 0.6  # a fourth up: V-I, ii-V
    assert moves[11] > moves[1] and moves.most_common(1)[0][0] == 5
    assert all(moves[step] for step in range(12))


def test_cadences_are_those_of_jazz(corpus):
    """ii-V-I, its tritone substitute, the minor one and the backdoor, found by what sounds."""
    found = collections.Counter()
    dominant = {kind for kind, sounds in SOUNDS.items() if {"4", "10"} <= set(sounds.split()) or "sus" in kind}
    for tune in everything(corpus):
        places = [root_and_kind(symbol) for symbol in tune["chords"]]
        for (a, first), (b, second), (c, third) in zip(places, places[1:], places[2:], strict=False):
            steps = (a - c) % 12, (b - c) % 12
            if second not in dominant:
                continue
            third = "major" if {"4"} <= set(SOUNDS[third].split()) else "minor"
            minor = {"m7", "m9", "m11"} | ({"m6", "m", "mM7"} if steps == (5, 10) else set())
            if first in minor | {"m7b5"} and steps in ((2, 7), (2, 1), (5, 10)):
                found[steps, first == "m7b5", third] += 1
    assert found[(2, 7), False, "major"] > 500  # ii-V-I
    assert found[(2, 7), True, "minor"] > 200
    assert found[(5, 10), False, "major"] > 100  # iv-bVII-I
    assert found[(2, 1), False, "major"] > 50  # ii-bII-I


def test_a_dominant_resolves_oftener_than_chance(corpus):
    after = collections.Counter()
    for tune in everything(corpus):
        for (a, kind), (b, _) in itertools.pairwise(map(root_and_kind, tune["chords"])):
            after[kind in ("7b9", "7alt", "7#5", "7b13", "7#9"), (b - a) % 12] += 1
    altered = {step: count for (is_altered, step), count in after.items() if is_altered}
    assert altered[5] > 0.6 * sum(altered.values())


def test_blues_are_blues(corpus):
    blues = [tune for tune in everything(corpus) if "Blues" in tune["title"]]
    assert len(blues) > 40 and all(sum(tune["beats"]) / tune["meter"][0] in (12, 24) for tune in blues)
    for tune in blues:
        starts, now = {}, 0
        for symbol, beats in zip(tune["chords"], tune["beats"], strict=True):
            starts[now / tune["meter"][0]] = (root_and_kind(symbol)[0] - PLACES[tune["key"].removesuffix("m")]) % 12
            now += beats
        assert starts[0] == 0 and starts[4] == 5, tune["title"]  # I in bar 1, IV in bar 5


def test_sections_come_back(corpus):
    """In a tune of 32 bars, some eight bars occur again."""
    again = total = 0
    for tune in everything(corpus):
        bar = tune["meter"][0]
        if sum(tune["beats"]) != 32 * bar:
            continue
        parts, now = collections.defaultdict(list), 0
        for symbol, beats in zip(tune["chords"], tune["beats"], strict=True):
            parts[now // (8 * bar)].append((symbol, beats))
            now += beats
        total += 1
        halves = [tuple(part)[:2] for part in parts.values()]
        again += len(set(halves)) < 4
    assert total and again > 0.9 * total
