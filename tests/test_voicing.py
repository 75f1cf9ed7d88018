"""Chords as notes: guide tones, voice leading against brute force, a walking bass, swing."""

import itertools
import random
from fractions import Fraction

import pytest

from zoo import chords, voicing
from zoo.charts import Event, Tune, parse_chart
from zoo.chords import Chord
from zoo.errors import ZooError

SCALE = [0, 2, 4, 5, 7, 9, 11]
TURNS = ["Dm7 G7 Cmaj7 A7b9", "Bm7b5 E7alt Am6 D9", "Ebmaj7 C7#9 Fm9 Bb13", "Gm C F Bb", "F#dim7 B7sus4 E69 C#m11"]


def semitones(degree):
    """Of a degree such as b9 above the root."""
    number = int(degree.strip("b#"))
    return (SCALE[(number - 1) % 7] + degree.count("#") - degree.count("b")) % 12


def random_chords(count, seed=0):
    """Chords of all roots and qualities, with extensions where the quality can have them."""
    draw, found = random.Random(seed), []
    while len(found) < count:
        extensions = draw.sample(["9", "b9", "#9", "#11", "13", "b13", "11"], draw.choice([0, 0, 0, 1, 1, 2]))
        try:
            found.append(Chord(draw.choice(chords._FLATS), draw.choice([*chords.QUALITIES]), tuple(extensions)))
        except ZooError:
            continue
    return found


def tune(*symbols, beats=4, meter=(4, 4)):
    return Tune("", [Event(chords.parse(symbol), beats) for symbol in symbols], meter)


def random_tune(seed, meter=(4, 4)):
    draw = random.Random(seed)
    lengths = [Fraction(n, 2) for n in (1, 2, 3, 4, 6, 8, 12, 16)]
    return Tune("", [Event(chord, draw.choice(lengths)) for chord in random_chords(40, seed)], meter)


def part(notes, name):
    return [note for note in notes if note.part == name]


# Chords ---------------------------------------------------------------------------------------------------------------


def test_a_voicing_has_the_third_and_the_seventh_and_only_notes_of_the_chord():
    for chord in random_chords(400):
        third = next((d for d in ("3", "b3", "4", "2") if d in chord.degrees), None)
        sevenths = [d for d in ("b7", "7", "bb7", "6") if d in chord.degrees]
        for voices in voicing.voicings(chord):
            sounding = {(pitch - chord.pitch_class) % 12 for pitch in voices}
            assert sounding <= {semitones(d) for d in chord.degrees}, chord
            assert third is None or semitones(third) in sounding, chord
            assert not sevenths or sounding & {semitones(d) for d in sevenths}, chord
            assert list(voices) == sorted(set(voices)) and len(voices) == 4
            assert voices[0] >= 52 and voices[-1] <= 75


def test_voicings_are_below_c5_but_for_open_fifths():
    over = {chord.quality for chord in random_chords(400) for voices in voicing.voicings(chord) if voices[-1] > 72}
    assert over <= {"5"}


@pytest.mark.parametrize(
    "symbol,classes",
    [
        ("Cmaj7", {0, 4, 7, 11}),
        ("C9", {4, 10, 2, 7}),
        ("C13", {4, 10, 9, 2}),
        ("C7b9#11", {4, 10, 1, 6}),
        ("Cm7b5", {3, 10, 6, 0}),
        ("C69", {4, 9, 2, 7}),
        ("C7sus4", {5, 10, 7, 0}),
        ("Dm7/G", {2, 5, 9, 0}),
        ("C", {0, 4, 7}),
        ("C5", {0, 7}),
    ],
)
def test_the_four_notes_that_a_pianist_would_choose(symbol, classes):
    assert voicing.voices(chords.parse(symbol)) == classes


def test_each_voicing_is_the_nearest_to_the_one_before():
    progression = random_chords(120, seed=1)
    for before, after, chord in zip(*pairs(voicing.led(progression)), progression[1:], strict=True):
        classes = {pitch % 12 for pitch in after}
        octaves = itertools.product(*([p for p in range(52, 73) if p % 12 == c] for c in classes))
        if len(classes) == 4:  # brute force: each note in each of its octaves
            rivals = [sorted(rival) for rival in octaves]
            fine = [r for r in rivals if r[3] - r[2] > 1 and max(b - a for a, b in itertools.pairwise(r)) <= 9]
            moves = lambda voices, before=before: sum(abs(a - b) for a, b in zip(before, voices, strict=True))
            assert moves(after) == min(map(moves, fine or rivals)), chord


def pairs(items):
    return zip(*itertools.pairwise(items), strict=True)


@pytest.mark.parametrize("turn", TURNS)
def test_voices_move_little_in_usual_progressions(turn):
    voices = voicing.led([chords.parse(symbol) for symbol in turn.split()] * 4)
    moves = [abs(a - b) for one, other in itertools.pairwise(voices) for a, b in zip(one, other, strict=True)]
    assert sum(moves) / len(moves) <= 2.5 and max(moves) <= 7


def test_a_chord_that_comes_again_is_voiced_alike():
    assert len(set(voicing.led([chords.parse("Dm7")] * 5))) == 1


def test_chords_sound_without_gaps_and_are_struck_again_at_bar_lines():
    for meter in ((4, 4), (3, 4), (5, 4), (6, 8), (7, 8)):
        song = random_tune(2, meter)
        notes = part(voicing.voiced(song), "chords")
        starts = sorted({note.start for note in notes})
        bars = {i * song.bar_beats for i in range(int(song.bars) + 1)} - {song.beats}
        assert set(starts) == bars | {start for start, *_ in voicing.spans(song)}
        for start, end in itertools.pairwise([*starts, song.beats]):
            ends = {note.end for note in notes if note.start == start}
            assert len(ends) == 1 and end - Fraction(1, 16) <= ends.pop() < end


# Bass -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("meter", [(4, 4), (3, 4), (5, 4), (6, 8), (2, 2)])
@pytest.mark.parametrize("swing", [False, True])
def test_the_bass_is_in_its_range_and_begins_each_chord_with_its_lowest_note(meter, swing):
    song = random_tune(3, meter)
    notes = part(voicing.voiced(song, swing), "bass")
    assert all(28 <= note.pitch <= 55 for note in notes)
    assert all(one.start < one.end < other.start for one, other in itertools.pairwise(notes))
    straight = {note.start: note.pitch for note in part(voicing.voiced(song), "bass")}
    for start, _, chord in voicing.spans(song):
        assert straight[start] % 12 == chord.pitches[0]


def test_the_bass_walks_in_quarters_and_leads_to_the_next_chord():
    song = tune("Dm7", "G7", "Cmaj7", "A7", "Dm7", "Db7", "C6")
    notes = part(voicing.voiced(song), "bass")
    assert [note.start for note in notes] == [*range(24), 24]
    lines = [[note.pitch for note in notes[i : i + 4]] for i in range(0, 24, 4)]
    for line, after, event in zip(lines, [*lines[1:], [notes[-1].pitch]], song.events, strict=False):
        assert 1 <= abs(after[0] - line[3]) <= 2
        assert {pitch % 12 for pitch in line[:3]} <= set(event.chord.pitches)
        assert all(a != b for a, b in itertools.pairwise(line))


def test_a_slash_bass_is_what_the_bass_plays_first():
    notes = part(voicing.voiced(tune("Dm7/G", "C/E", "F/G")), "bass")
    assert [note.pitch % 12 for note in notes if note.start % 4 == 0] == [7, 4, 7]


def test_short_chords_have_one_bass_note():
    song = tune("C", "Am", "F", "G7", beats=1)
    notes = part(voicing.voiced(song), "bass")
    assert [(note.start, note.pitch % 12) for note in notes] == [(0, 0), (1, 9), (2, 5), (3, 7)]


def test_no_chord_is_silence():
    notes = voicing.voiced(tune("C", "N.C.", "F"))
    assert not [note for note in notes if 4 <= note.start < 8 or note.start < 4 < note.end]
    assert voicing.voiced(tune("N.C.")) == voicing.voiced(Tune("", [])) == []


# Swing ----------------------------------------------------------------------------------------------------------------


def test_swing_moves_off_beat_eighths_to_two_thirds_and_leaves_the_beats():
    song = parse_chart("| C:1/2 F:1 G:5/2 | C |")
    starts = lambda swing: sorted({note.start for note in voicing.voiced(song, swing)})
    assert starts(False) == [0, Fraction(1, 2), Fraction(3, 2), 2, 3, 4]
    assert starts(True) == [0, Fraction(2, 3), Fraction(5, 3), 2, 3, 4]


def test_swing_leaves_meters_of_eighths_as_they_are():
    song = random_tune(4, (7, 8))
    assert voicing.voiced(song, True) == voicing.voiced(song)


def test_swing_changes_no_order_and_lets_no_notes_overlap():
    notes = voicing.voiced(random_tune(5), True)
    for pitch in {(note.part, note.pitch) for note in notes}:
        same = [note for note in notes if (note.part, note.pitch) == pitch]
        assert all(one.start < one.end < other.start for one, other in itertools.pairwise(same))


def test_what_a_meter_is_counted_in():
    counted = {(4, 4): 1, (3, 4): 1, (2, 2): 2, (6, 8): 1.5, (12, 8): 1.5, (3, 8): 0.5, (7, 8): 0.5}
    assert {meter: voicing.pulse(meter) for meter in counted} == counted
