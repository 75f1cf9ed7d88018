"""Chords of MIDI files: written ones, recognised ones, and what is malformed."""

import itertools
import random
from fractions import Fraction

import numpy as np
import pytest

from zoo import charts, chords, midi_reading, tune_reading
from zoo.charts import Event, Tune
from zoo.errors import ZooError

LEAD_SHEET = """<score-partwise version="4.0"><part-list><score-part id="P1"><part-name>x</part-name></score-part>
</part-list><part id="P1"><measure number="1"><attributes><divisions>1</divisions></attributes>
<harmony><root><root-step>C</root-step></root><kind>major</kind></harmony>
<note><rest/><duration>4</duration></note></measure></part></score-partwise>"""


def prompt_of(tune):
    return charts.format_prompt(tune.events)


def notated(path):
    (tune,) = tune_reading.read(path)["train"]
    return tune


def refusal(path):
    with pytest.raises(ZooError) as caught:
        tune_reading.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def performed(path, notes=(), texts=(), kind="lyrics", head=(), end=None, ticks=480, drums=()):
    """A MIDI file; notes are (start, end, pitch) in quarter notes, texts (start, text)."""
    mido = pytest.importorskip("mido")
    pytest.importorskip("pretty_midi")
    events = [(start, 1, mido.Message("note_on", note=pitch, velocity=64)) for start, _, pitch in notes]
    events += [(stop, 0, mido.Message("note_off", note=pitch)) for _, stop, pitch in notes]
    events += [(start, 1, mido.Message("note_on", note=pitch, velocity=64, channel=9)) for start, _, pitch in drums]
    events += [(stop, 0, mido.Message("note_off", note=pitch, channel=9)) for _, stop, pitch in drums]
    events += [(start, 0, mido.MetaMessage(kind, text=text)) for start, text in texts]
    events += [(end, 2, mido.MetaMessage("end_of_track"))] if end else []
    track, now = mido.MidiTrack(mido.MetaMessage(name, **values) for name, values in head), 0
    for place, _, message in sorted(events, key=lambda event: event[:2]):
        tick = round(place * ticks)
        track.append(message.copy(time=tick - now))
        now = tick
    mido.MidiFile(type=0, ticks_per_beat=ticks, tracks=[track], charset="utf-8").save(path)
    return path


def blocks(events, low=36):
    """Every chord as a block, its bass lowest."""
    notes, start = [], Fraction()
    for event in events:
        for i, pitch in enumerate(event.chord.pitches):
            notes.append((float(start), float(start + event.beats), low + pitch + 12 * (i > 0) + 12 * (i > 0)))
        start += event.beats
    return notes


def test_symbols_in_a_midi_file_win_over_its_notes(tmp_path):
    prompt = "C:1 F#m7b5/E:3/2 N.C.:5/6 G7#9:2/3 C:4"
    events = charts.parse_prompt(prompt)
    starts = [sum((e.beats for e in events[:i]), Fraction()) for i in range(len(events))]
    texts = [(float(start), event.chord.symbol) for start, event in zip(starts, events, strict=True)]
    head = [
        ("track_name", {"name": "T\u00eft"}),
        ("time_signature", {"numerator": 6, "denominator": 8}),
        ("key_signature", {"key": "Bbm"}),
        ("set_tempo", {"tempo": 428571}),
    ]
    for kind in ("lyrics", "marker", "text"):
        for extra, end in (([(8, "end")], 9), ([], 8)):
            path = performed(tmp_path / "a.mid", [(0, 7.9, 50)], [*texts, *extra], kind, head, end)
            assert notated(path) == Tune("T\u00eft", events, (6, 8), "Bbm", 140.0)


def test_lyrics_of_a_song_and_letters_of_a_form_are_no_chords(tmp_path, capsys):
    events = charts.parse_prompt("Dm7:4 G7:4 C:8")
    words = [(0, "A"), (1, "dove"), (2, "sang"), (3, "to me"), (8, "E")]
    assert notated(performed(tmp_path / "a.mid", blocks(events), words)).events == events
    form = [(0, "A"), (8, "B")]
    assert notated(performed(tmp_path / "b.midi", blocks(events), form, "marker")).events == events
    plain = charts.parse_prompt("C:3/2 F:5/2 G:4")
    marks = [(0, "C"), (1.5, "F"), (4, "G")]
    assert notated(performed(tmp_path / "c.mid", blocks(plain), marks, "marker", end=8)).events == plain
    assert capsys.readouterr().err == ""
    performed(tmp_path / "d.mid", (), [(0, "Intro"), (0, "C6"), (4, "Dm7")], end=8)
    assert prompt_of(notated(tmp_path / "d.mid")) == "C6:4 Dm7:4"
    assert "1 of 3 texts" in capsys.readouterr().err


def test_blocks_of_every_known_type_on_every_root_are_recognised(tmp_path):
    draw = random.Random(0)
    pairs = [(root, type) for root in range(12) for type in midi_reading.TYPES]
    draw.shuffle(pairs)
    events = [Event(chords.of(root, type), draw.choice([1, 2, 4])) for root, type in pairs]
    found = notated(performed(tmp_path / "a.mid", blocks(events))).events
    assert [(e.chord.symbol, e.beats) for e in found] == [(e.chord.symbol, e.beats) for e in events]


def test_walking_basses_late_notes_rests_and_drums(tmp_path):
    events = charts.parse_prompt("Dm7:4 G7:4 C6:4")
    bass = [38, 40, 41, 45, 43, 45, 47, 50, 36, 40, 43, 45]
    notes = [(i + 0.02, i + 0.97, pitch) for i, pitch in enumerate(bass)]
    above = [(start, stop, 60 + pitch % 12) for start, stop, pitch in blocks(events)]
    drums = [(i / 2, i / 2 + 0.2, 42) for i in range(24)]
    late = [(start + 0.05, stop - (1.2 if stop < 12 else 0) + 0.05, pitch) for start, stop, pitch in above]
    path = performed(tmp_path / "a.mid", notes + late, drums=drums)
    assert notated(path).events == events
    rested = [(start + 2, stop + 2, pitch) for start, stop, pitch in blocks(charts.parse_prompt("C:4 F/A:4"))]
    assert prompt_of(notated(performed(tmp_path / "b.mid", rested))) == "N.C.:2 C:4 F/A:4"
    sharp = performed(tmp_path / "c.mid", blocks(charts.parse_prompt("F#m7:4")), head=[("key_signature", {"key": "E"})])
    assert prompt_of(notated(sharp)) == "F#m7:4"


def test_the_best_path_is_that_of_brute_force():
    scores = np.random.default_rng(0).random([6, 3])
    change = 0.3
    worth = lambda path: (
        sum(scores[i, s] for i, s in enumerate(path)) - change * sum(a != b for a, b in itertools.pairwise(path))
    )
    expected = max(itertools.product(range(3), repeat=6), key=worth)
    assert tuple(midi_reading._best_path(scores, change)) == expected


def test_what_is_wrong_with_a_midi_file(tmp_path):
    path = performed(tmp_path / "a.mid", end=4)
    assert "neither chord symbols" in refusal(path)
    for data in (b"no MIDI at all", path.read_bytes()[:20], b"MThd\0\0\0\6\0\0\0\1\0\0" + path.read_bytes()[14:]):
        (tmp_path / "b.mid").write_bytes(data)
        refusal(tmp_path / "b.mid")


def test_a_midi_file_beside_musicxml_of_the_same_name_is_left_alone(tmp_path, capsys):
    pytest.importorskip("music21")
    (tmp_path / "a.musicxml").write_text(LEAD_SHEET)
    performed(tmp_path / "a.mid", texts=[(0, "F")], end=4)
    performed(tmp_path / "b.mid", texts=[(0, "G")], end=4)
    (tmp_path / "c.jsonl").write_text('{"chords": [["Am", 4]]}\n')
    assert [prompt_of(tune) for tune in tune_reading.read(tmp_path)["train"]] == ["C:4", "G:4", "Am:4"]
    assert "1 MIDI files beside MusicXML" in capsys.readouterr().err


def test_what_the_zoo_writes_is_read_back(tmp_path):
    tune_files = pytest.importorskip("zoo.tune_files")
    pytest.importorskip("music21")
    draw = random.Random(5)
    types = [
        "m7",
        "7b9#11",
        "maj7",
        "m7b5",
        "7alt",
        "7sus4",
        "m7/10",
        "6",
        "mM7",
        "dim7",
        "7#5",
        "13",
        "m69",
        "add9",
        "5",
    ]
    for number in range(4):
        lengths = [draw.choice([1, 2, 4, 6, Fraction(3, 2), Fraction(1, 2), Fraction(1, 3)]) for _ in range(25)]
        events = [Event(chords.of(draw.randrange(12), draw.choice(types)), beats) for beats in lengths]
        events.insert(3, Event(chords.parse("N.C."), 4))
        tune = Tune(f"Tune {number}", events, draw.choice([(4, 4), (3, 4)]), draw.choice(["", "Eb", "F#m"]), 120)
        tune_files.write_midi(tune, tmp_path / "a.mid", swing=bool(number % 2))
        tune_files.write_musicxml(tune, tmp_path / "b.musicxml")
        assert tune_reading.read(tmp_path)["train"] == [tune, tune]
