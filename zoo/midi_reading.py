"""Chords of MIDI files: those that are written in it as lyrics or markers, else those that sound.

Notes are compared beat by beat with the types of chords in `TYPES`, each on twelve roots: the harmonic mean of the
share of what sounds that belongs to the chord, and of the share of the chord that sounds. Of all sequences of chords,
that with the best sum is found by dynamic programming, where every change costs something. It is a simple way to
recognise chords, for arrangements with a clear bass; rootless voicings alone get other names.
"""

from __future__ import annotations

import importlib
import math
import pathlib
import warnings
from fractions import Fraction

import numpy as np

from zoo import chords
from zoo.charts import GRID, METER, SHARPS, Event, Tune, key_of, meter_of
from zoo.chords import Chord
from zoo.errors import ZooError, note

TEXTS = ("lyrics", "text", "marker", "cue_marker")  # events that may hold chord symbols
END = "end"  # such an event ends the last chord
LETTERS = set("ABCDEFG")
TYPES = (
    "", "m", "dim", "aug", "sus4", "sus2", "5", "6", "m6", "7", "maj7", "m7", "m7b5", "dim7", "mM7", "7sus4", "7#5",
    "9", "maj9", "m9", "7b9", "7#9",
)  # fmt: skip
ROOT_IN_BASS = 0.06  # where a perfect match is 1; little beside two changes, for the sake of walking basses
TELLING = (0.1, 0.1, 0.5, 1.0)  # by the number of pitch classes, 3 or more: a bass alone names no chord
CHANGE = 0.1  # by so much, summed over its beats, another chord must match better
REST = 0.05  # of a silent beat: it belongs to the chord before, unless there are many
SHORT = 1 / 8  # of a beat; a note that reaches so little into it was played early or late
LONGEST = 2**16  # beats: a longer file is damaged


def read_midi(path: pathlib.Path) -> Tune:
    """The chords of a MIDI file, with its first meter, key and tempo; its title is the name of the first track.

    Lyrics, texts or markers are taken for chord symbols if most of them can be read so. Markers A, B, C ... are those
    of a form unless their chords sound. A symbol lasts until the next, the last one until such an event says `end`,
    else until the file ends. Without them, the chords are recognised from the notes; drums are left alone.

    Raises:
        ZooError: not a MIDI file, or one without chords.
    """
    mido, pretty_midi = library("mido", path), library("pretty_midi", path)
    try:
        midi = mido.MidiFile(path, clip=True)
        metas, last = _metas(midi)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sounds = pretty_midi.PrettyMIDI(mido_object=midi)
        notes = [
            tuple(sounds.time_to_tick(time) / midi.ticks_per_beat for time in (n.start, n.end)) + (n.pitch,)
            for instrument in sounds.instruments
            if not instrument.is_drum
            for n in instrument.notes
        ]
    except Exception as error:  # they raise what happens to go wrong
        what = " ".join(str(error).split()) or "cut off"
        raise ZooError(f"{path}: not readable as MIDI: {what[:200]}") from None
    if last > LONGEST:
        raise ZooError(f"{path}: {int(last)} quarter notes long; expected at most {LONGEST}")
    tune = Tune(path.stem, [])
    _about(tune, metas, path)
    unit = tune.bar_beats / tune.meter[0] * (3 if tune.meter[1] > 4 and tune.meter[0] % 3 == 0 else 1)
    beat = max(unit, Fraction(1, 2))
    flats = tune.key not in SHARPS
    starts, end = _written(metas, last, notes, path)
    if starts and starts[-1][0] >= end:
        end = (starts[-1][0] // tune.bar_beats + 1) * tune.bar_beats
    if not starts and notes:
        in_beats = [(float(start / beat), float(stop / beat), pitch) for start, stop, pitch in notes]
        starts = [(index * beat, chord) for index, chord in recognised(in_beats, flats)]
        end = math.ceil(max(stop for _, stop, _ in in_beats) - SHORT) * beat
    if not starts:
        raise ZooError(f"{path}: neither chord symbols (lyrics or markers) nor notes; expected some")
    tune.events = sequence(starts, end, path)
    return tune


def library(name: str, path: pathlib.Path):
    """The module of that name, or a `ZooError` that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ZooError(f"{path}: reading it takes {name}; install it with: pip install recurrent-zoo[music]") from None


def on_grid(place, where) -> Fraction:
    """A place in quarter notes, on the grid; a `ZooError` if it isn't there."""
    nearest = Fraction(round(place * GRID), GRID)
    if abs(nearest - place) > Fraction(1, 1000):
        raise ZooError(f"{where}: a chord begins or ends off the grid of 1/{GRID} of a quarter note; expected it there")
    return nearest


def sequence(starts: list[tuple[Fraction, Chord]], end: Fraction, where) -> list[Event]:
    """Chords that last until the next; what is before the first is N.C.; of several at once the first is taken."""
    single: dict[Fraction, Chord] = {}
    for start, chord in sorted(starts, key=lambda pair: pair[0]):
        single.setdefault(start, chord)
    if len(single) < len(starts):
        note(f"{where}: {len(starts) - len(single)} chords begin at the same time as another; left out")
    if 0 not in single:
        single = {Fraction(): chords.parse(chords.NO_CHORD), **single}
    bounds = [*list(single)[1:], end]
    return [Event(chord, after - start) for (start, chord), after in zip(single.items(), bounds, strict=True)]


def _metas(midi) -> tuple[list[tuple[Fraction, int, object]], Fraction]:
    """(Place in quarter notes, track, message) of the meta messages in order, and where the longest track ends."""
    if midi.ticks_per_beat <= 0:
        raise ValueError("its time is in frames of a film; expected ticks of a quarter note")
    metas, last = [], 0
    for number, track in enumerate(midi.tracks):
        ticks = 0
        for message in track:
            ticks += message.time
            if message.is_meta:
                metas.append((Fraction(ticks, midi.ticks_per_beat), number, message))
        last = max(last, ticks)
    return sorted(metas, key=lambda meta: meta[0]), Fraction(last, midi.ticks_per_beat)


def _text(text: str) -> str:
    """Texts are read as Latin-1; most of today's are UTF-8."""
    try:
        return text.encode("latin-1").decode("utf-8").strip()
    except UnicodeError:
        return text.strip()


def _about(tune: Tune, metas, path: pathlib.Path) -> None:
    first = {}
    for _, track, message in metas:
        if message.type != "track_name" or (track == 0 and message.name.strip()):
            first.setdefault(message.type, message)
    if "track_name" in first:
        tune.title = " ".join(_text(first["track_name"].name).split())
    if "set_tempo" in first:
        tune.tempo = round(60e6 / max(first["set_tempo"].tempo, 1), 2)
    try:
        tune.key = key_of(first["key_signature"].key) if "key_signature" in first else ""
        if "time_signature" in first:
            tune.meter = meter_of((first["time_signature"].numerator, first["time_signature"].denominator))
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None
    meters = [f"{m.numerator}/{m.denominator}" for _, _, m in metas if m.type == "time_signature"] or [METER]
    if len(set(meters)) > 1:
        note(f"{path}: the meter changes ({', '.join(dict.fromkeys(meters))}); the whole tune is given the first one")


def _written(metas, last: Fraction, notes, path) -> tuple[list[tuple[Fraction, Chord]], Fraction]:
    """Places of the chord symbols in quarter notes, of the kind of events with most; and where the last one ends."""
    best, unread, ends = [], 0, []
    for kind in TEXTS:
        found, others = [], 0
        for place, _, message in metas:
            text = _text(message.text) if message.type == kind else ""
            place = Fraction(round(place * GRID), GRID)
            if text.lower() == END:
                ends.append(place)
            elif text:
                try:
                    found.append((place, chords.parse(text)))
                except ZooError:
                    others += 1
        if len(found) <= max(others, len(best)) or (kind != "lyrics" and _form(found, notes)):
            continue
        best, unread = found, others
    if unread:
        note(f"{path}: {unread} of {unread + len(best)} texts beside the chord symbols are none; left alone")
    return best, max(ends, default=Fraction(round(last * GRID), GRID))


def _form(found, notes) -> bool:
    """Whether these are the letters of a form: plain major chords that are not what sounds."""
    if not notes or not all(chord.symbol in LETTERS for _, chord in found):
        return False
    heard = 0
    for place, chord in found:
        sounding = {pitch % 12 for start, stop, pitch in notes if start < place + 1 and stop > place + SHORT}
        heard += set(chord.pitches) <= sounding
    return heard * 2 < len(found)


def recognised(notes: list[tuple[float, float, int]], flats: bool = True) -> list[tuple[int, Chord]]:
    """The beats at which chords begin, and the chords, of notes (start and end in beats, MIDI pitch)."""
    weights, basses = _beats(notes)
    types = [chords.parse("C" + type) for type in TYPES]
    patterns = np.zeros([12, len(types), 12])  # root, type, pitch class
    for i, chord in enumerate(types):
        for root in range(12):
            patterns[root, i, [(root + pitch) % 12 for pitch in chord.pitches]] = 1
    patterns = patterns.reshape([-1, 12])
    total = np.maximum(weights.sum(1, keepdims=True), 1e-9)
    precision = weights @ patterns.T / total
    recall = (weights > 0) @ patterns.T / patterns.sum(1)
    scores = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
    roots = np.arange(len(patterns)) // len(types)
    scores += ROOT_IN_BASS * (roots == basses[:, None])
    scores *= np.array(TELLING)[np.minimum((weights > 0).sum(1, keepdims=True), len(TELLING) - 1)]
    silent = basses < 0
    scores = np.concatenate([scores, REST * silent[:, None]], axis=1)  # the last one: no chord
    begin = int(np.argmin(silent))
    path = _best_path(scores[begin:], CHANGE)
    found = [(0, chords.parse(chords.NO_CHORD))] if begin else []
    bounds = [0, *(np.flatnonzero(np.diff(path)) + 1), len(path)]
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        if path[start] == len(patterns):
            chord = chords.parse(chords.NO_CHORD)
        else:
            state = int(path[start])
            same = np.flatnonzero(
                (patterns == patterns[state]).all(1)
            )  # C6 and Am7: the bass of the first beat decides
            state = next((int(s) for s in same if roots[s] == basses[begin + start]), state)
            root, type = divmod(state, len(types))
            below = {int(bass) for bass in basses[begin + start : begin + stop]} - {-1, root}
            held = len(below) == 1 and root not in basses[begin + start : begin + stop]
            above = (min(below) - root) % 12 if held else 0
            slash = f"/{above}" if above in types[type].pitches and above else ""
            chord = chords.of(root, types[type].type + slash, flats)
        found.append((begin + int(start), chord))
    return found


def _beats(notes) -> tuple[np.ndarray, np.ndarray]:
    """Of every beat, how long each pitch class sounds `[B, 12]`, at most 1, and the lowest one `[B]`, -1 if silent."""
    length = max(1, math.ceil(max(stop for _, stop, _ in notes) - SHORT))
    weights, lowest = np.zeros([length, 12]), np.full([length], 1000)
    for start, stop, pitch in notes:
        least = min(SHORT, (stop - start) / 2)
        for beat in range(int(start), min(length, math.ceil(stop))):
            overlap = min(stop, beat + 1) - max(start, beat)
            if overlap > least:
                weights[beat, pitch % 12] += overlap
                lowest[beat] = min(lowest[beat], pitch)
    return np.minimum(weights, 1), np.where(lowest < 1000, lowest % 12, -1)


def _best_path(scores: np.ndarray, change: float) -> np.ndarray:
    """The states `[B]` with the highest sum of `scores` `[B, S]`, less `change` for every other state than before."""
    best, froms = scores[0], []
    for row in scores[1:]:
        leader = int(np.argmax(best))
        stays = best >= best[leader] - change
        froms.append(np.where(stays, np.arange(len(best)), leader))
        best = np.where(stays, best, best[leader] - change) + row
    path = [int(np.argmax(best))]
    for back in reversed(froms):
        path.append(int(back[path[-1]]))
    return np.array(path[::-1])
