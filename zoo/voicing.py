"""From chord symbols to notes: four-part piano voicings led smoothly, and a walking bass line.

Voicings keep the guide tones, the third and the seventh, and spend the other two voices on what else the symbol names,
as is usual for a pianist who has a bass player (Levine, The Jazz Piano Book, 1989): the root is the first to go.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from fractions import Fraction

from zoo.charts import Tune
from zoo.chords import Chord

LOW, HIGH, STRETCH = 52, 72, 75  # E3 to C5 for the piano; up to E flat 5, in which every note is found twice, at need
CENTRE = 62
BASS_LOW, BASS_HIGH = 28, 55  # E1 to G3
BASS_EASY = (31, 48)  # where the line's targets would rather be
COLOURS = (1, 3, 8, 6, 9, 2, 5)  # semitones above the root, altered ones first, elevenths last


@dataclasses.dataclass(frozen=True)
class Note:
    """A note of `start` to `end` in quarter-note beats from the tune's beginning; MIDI pitch and velocity.

    `part` is "chords" or "bass".
    """

    start: Fraction
    end: Fraction
    pitch: int
    velocity: int
    part: str


def voiced(tune: Tune, swing: bool = False) -> list[Note]:
    """The notes of a tune, by their start: chords, struck again at each bar line, and a bass line. N.C. is silence.

    Args:
        swing: eighth notes off the beat are played two thirds into it (and what is between in proportion); meters that
            count eighths (6/8, 7/8) are played straight.
    """
    notes = [*_comping(tune), *_bass(tune)]
    if swing and tune.meter[1] <= 4:
        times = lambda beat: _swung(beat, tune.bar_beats)
        notes = [dataclasses.replace(note, start=times(note.start), end=times(note.end)) for note in notes]
    released = [dataclasses.replace(note, end=_release(note)) for note in notes]
    return sorted(released, key=lambda note: (note.start, note.part, note.pitch))


def spans(tune: Tune) -> list[tuple[Fraction, Fraction, Chord]]:
    """Start, end and chord of every event, in beats from the beginning."""
    ends = list(itertools.accumulate(event.beats for event in tune.events))
    return [(end - event.beats, end, event.chord) for end, event in zip(ends, tune.events, strict=True)]


def pulse(meter: tuple[int, int]) -> Fraction:
    """What a meter is counted in, in quarter notes: the denominator, or three of it in 6/8, 9/8 and 12/8."""
    compound = meter[1] >= 8 and meter[0] % 3 == 0 and meter[0] > 3
    return Fraction(4 * (3 if compound else 1), meter[1])


def pieces(tune: Tune, start: Fraction, end: Fraction, unit: Fraction) -> list[tuple[Fraction, Fraction]]:
    """A stretch of a tune cut at every `unit` of its bars, counted from each bar's beginning, and at the bar lines."""
    beats = tune.bar_beats
    counts, bar, cuts = math.ceil(beats / unit), start // beats * beats, [start]
    while bar < end:
        cuts += [cut for i in range(counts) if start < (cut := bar + i * unit) < end]
        bar += beats
    return list(itertools.pairwise([*cuts, end]))


def _swung(beat: Fraction, bar_beats: Fraction) -> Fraction:
    bar, place = divmod(beat, bar_beats)
    whole, part = divmod(place, 1)
    half = Fraction(1, 2)
    later = part * Fraction(4, 3) if part <= half else Fraction(2, 3) + (part - half) * Fraction(2, 3)
    return bar * bar_beats + whole + later


def _release(note: Note) -> Fraction:
    """A little before the next note of the same part, so that a note struck again is heard twice."""
    return note.end - min((note.end - note.start) / 4, Fraction(1, 16))


# Chords ---------------------------------------------------------------------------------------------------------------


def guide_tones(chord: Chord) -> tuple[int, ...]:
    """Semitones above the root of the third, or the note in its place, and of the seventh or sixth, if any."""
    above = _above_root(chord)
    third = next((i for i in (4, 3, 5, 2) if i in above), None)
    seventh = next((i for i in (10, 11, 9) if i in above and i != third), None)
    return tuple(i for i in (third, seventh) if i is not None)


def _above_root(chord: Chord) -> set[int]:
    """Semitones above the root of what sounds without the slash bass; the root is among them."""
    plain = dataclasses.replace(chord, bass="")
    return {(pitch - chord.pitch_class) % 12 for pitch in plain.pitches} | {0} if chord.root else set()


def voices(chord: Chord) -> frozenset[int]:
    """The pitch classes to play, up to four: guide tones, colours, fifth, root, in this order of importance."""
    above = _above_root(chord)
    ranked = dict.fromkeys((*guide_tones(chord), *COLOURS, 7, 0, 10, 11, 4))
    return frozenset((chord.pitch_class + i) % 12 for i in [i for i in ranked if i in above][:4])


@functools.lru_cache(4096)
def voicings(chord: Chord) -> list[tuple[int, ...]]:
    """All good ways to set a chord in four voices, MIDI pitches from low to high; triads double the root or the fifth.

    Good: no semitone on top, no gap above a sixth, all in the range; where there is none such, the next best.
    """
    classes = voices(chord)
    single = {(chord.pitch_class + i) % 12 for i in guide_tones(chord)} if len(classes) > 2 else set()
    pitches = [pitch for pitch in range(LOW, STRETCH + 1) if pitch % 12 in classes]
    full = [
        choice
        for choice in itertools.combinations(pitches, min(4, len(pitches)))
        if {pitch % 12 for pitch in choice} == classes and not any(_twice(choice, c) for c in single)
    ]
    inside = [choice for choice in full if choice[-1] <= HIGH]
    gaps = lambda choice: [b - a for a, b in itertools.pairwise(choice)]
    good = [choice for choice in inside if gaps(choice)[-1] > 1 and max(gaps(choice)) <= 9]
    return good or inside or full


def _twice(choice: tuple[int, ...], pitch_class: int) -> bool:
    return sum(pitch % 12 == pitch_class for pitch in choice) > 1


def movement(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Semitones that the voices of two voicings move in all."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=False))


def led(chords: list[Chord]) -> list[tuple[int, ...]]:
    """A voicing for each chord, () for no chord: each the one with the least movement from the last before it."""
    chosen, last = [], ()
    for chord in chords:
        if not chord.root:
            chosen.append(())
            continue
        off = lambda choice: abs(sum(choice) / len(choice) - CENTRE)
        last = min(voicings(chord), key=lambda choice, last=last: (movement(last, choice), off(choice), choice))
        chosen.append(last)
    return chosen


def _comping(tune: Tune):
    stretches = spans(tune)
    for (start, end, _), pitches in zip(stretches, led([chord for *_, chord in stretches]), strict=True):
        for begin, stop in pieces(tune, start, end, tune.bar_beats):
            velocity = 68 if begin % tune.bar_beats == 0 else 60
            yield from (Note(begin, stop, pitch, velocity, "chords") for pitch in pitches)


# Bass -----------------------------------------------------------------------------------------------------------------


def _bass(tune: Tune):
    stretches, unit, last = spans(tune), pulse(tune.meter), tune.beats
    targets = _targets([chord for *_, chord in stretches])
    for (start, end, chord), pitch, target in zip(stretches, targets, [*targets, None][1:], strict=True):
        if not chord.root:
            continue
        if end == last:  # the tune comes to rest
            cuts = pieces(tune, start, end, tune.bar_beats)
            line = [pitch] * len(cuts)
        elif end - start < 2 * unit:
            cuts, line = [(start, end)], [pitch]
        else:
            cuts = pieces(tune, start, end, unit)
            line = _walk(chord, pitch, target, len(cuts))
        for (begin, stop), played in zip(cuts, line, strict=True):
            strong = begin == start or begin % tune.bar_beats == 0
            yield Note(begin, stop, played, 86 if strong else 76, "bass")


def _targets(chords: list[Chord]) -> list[int | None]:
    """The note on each chord's first beat, its bass: the nearest to the one before, rather not at the range's ends."""
    targets, last = [], 38
    for chord in chords:
        if not chord.root:
            targets.append(None)
            continue
        lowest = chord.pitches[0]
        octaves = [pitch for pitch in range(BASS_LOW, BASS_HIGH + 1) if pitch % 12 == lowest]
        outside = lambda pitch: max(BASS_EASY[0] - pitch, pitch - BASS_EASY[1], 0)
        last = min(octaves, key=lambda pitch, last=last: (abs(pitch - last) + 2 * outside(pitch), pitch))
        targets.append(last)
    return targets


def _walk(chord: Chord, start: int, target: int | None, count: int) -> list[int]:
    """`count` pitches: the chord's bass, chord tones on an arch towards the target, a step that leads to it."""
    line, goal = [start], start if target is None else target
    sounding = set(chord.pitches)
    tones = [pitch for pitch in range(BASS_LOW, BASS_HIGH + 1) if pitch % 12 in sounding]
    arch = (1 if start <= sum(BASS_EASY) / 2 else -1) * max(0, 7 - abs(goal - start))
    for i in range(1, count):
        if i == count - 1 and target is not None:
            line.append(_approach(chord, line[-1], target))
        else:
            ideal = start + (goal - start) * i / count + arch * math.sin(math.pi * i / count)
            others = [pitch for pitch in tones if pitch != line[-1]]
            line.append(min(others, key=lambda pitch, ideal=ideal: (abs(pitch - ideal), pitch)))
    return line


def _approach(chord: Chord, last: int, target: int) -> int:
    """A semitone from the target, or a whole tone if that is in the chord: the one nearest to the note before."""
    sounding = chord.pitches
    steps = [step for step in (-1, 1, -2, 2) if abs(step) == 1 or (target + step) % 12 in sounding]
    near = [pitch for step in steps if BASS_LOW <= (pitch := target + step) <= BASS_HIGH and pitch != last]
    return min(near, key=lambda pitch: abs(pitch - last))
