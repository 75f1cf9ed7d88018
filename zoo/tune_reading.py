"""People's own tunes: JSON lines, MusicXML and MIDI files.

A line of JSON is a tune, beats in quarter notes, as numbers or strings such as "3/2":

    {"title": "A tune", "meter": [4, 4], "key": "F", "tempo": 160, "chords": [["Gm7", 4], ["C7", 4], ["Fmaj7", "8"]]}

`chords` must be there, and `bars` may be: the number of bars that the beats have to add up to. A tune begins with a
bar: a MusicXML file's pickup is left out if it has no chords, else filled up in front with N.C.
"""

from __future__ import annotations

import json
import pathlib
import re
import reprlib
import warnings
from collections.abc import Iterable
from fractions import Fraction

from zoo import chords
from zoo.charts import METER, Event, Tune, beats_of, key_of, meter_of, tempo_of
from zoo.chords import Chord
from zoo.errors import ZooError, note
from zoo.files import REPLACEMENT, SPLITS, opened, report_replaced
from zoo.midi_reading import library, on_grid, read_midi, sequence

SUFFIXES = {"jsonl": (".jsonl", ".jsonl.gz"), "musicxml": (".musicxml", ".xml", ".mxl"), "midi": (".mid", ".midi")}
LAYOUT = "JSON lines (.jsonl, .jsonl.gz), MusicXML (.musicxml, .xml, .mxl) or MIDI (.mid, .midi)"
LINE = '{"title": "A tune", "meter": [4, 4], "chords": [["Dm7", 4], ["G7", 4]]}'
KINDS = {  # music21's names of MusicXML's kinds -> what follows the root
    "major": "",
    "minor": "m",
    "augmented": "aug",
    "diminished": "dim",
    "dominant-seventh": "7",
    "major-seventh": "maj7",
    "minor-seventh": "m7",
    "minor-major-seventh": "mM7",
    "diminished-seventh": "dim7",
    "half-diminished-seventh": "m7b5",
    "augmented-seventh": "aug7",
    "augmented-major-seventh": "augM7",
    "seventh-flat-five": "7b5",
    "major-sixth": "6",
    "minor-sixth": "m6",
    "dominant-ninth": "9",
    "major-ninth": "maj9",
    "minor-ninth": "m9",
    "dominant-11th": "11",
    "major-11th": "maj11",
    "minor-11th": "m11",
    "dominant-13th": "13",
    "major-13th": "maj13",
    "minor-13th": "m13",
    "suspended-second": "sus2",
    "suspended-fourth": "sus4",
    "suspended-fourth-seventh": "7sus4",
    "power": "5",
}
DEGREES = {
    1: 0,
    2: 2,
    3: 4,
    4: 5,
    5: 7,
    6: 9,
    7: 10,
    8: 0,
    9: 2,
    10: 4,
    11: 5,
    12: 7,
    13: 9,
}  # MusicXML's seventh is minor


def read(path) -> dict[str, list[Tune]]:
    """Split -> tunes of a file or a folder.

    A folder may have `train.jsonl`, `dev.jsonl` (or `val`, ...), `test.jsonl` (`.gz` too), or folders `train` etc. with
    any of the files, at any depth. Otherwise all files in it, at any depth, are the training split, and so is a single
    file. Other suffixes are left alone. Where a folder has a MusicXML and a MIDI file of one name, MusicXML is read.

    Raises:
        ZooError: there are no such files, or one is malformed; the message names file and line, or bar.
    """
    path = pathlib.Path(path)
    if path.is_file():
        if not _kind(path):
            raise ZooError(f"{path}: no tunes by its name; expected {LAYOUT}")
        return {"train": _tunes([path])}
    if not path.is_dir():
        raise ZooError(f"{path}: no such file or folder; expected {LAYOUT}")
    files = _files(path)
    if not files:
        names = ", ".join(sorted(p.name for p in path.iterdir())[:8]) or "nothing"
        raise ZooError(f"{path}: no tunes found; expected {LAYOUT}; found {names}")
    splits: dict[str, list[pathlib.Path]] = {}
    for split, names in SPLITS.items():
        for name in names:
            of_file = [
                file for file in files if file.parent == path and file.name in (f"{name}.jsonl", f"{name}.jsonl.gz")
            ]
            of_folder = [file for file in files if file.relative_to(path).parts[0] == name]
            if of_file[:1] or of_folder:
                splits.setdefault(split, of_file[:1] or of_folder)
    unread = len(files) - sum(map(len, splits.values()))
    if splits and unread:
        note(f"{path}: {unread} files of tunes beside those of {', '.join(splits)}; left alone")
    return {split: _tunes(found) for split, found in (splits or {"train": files}).items()}


def _kind(path: pathlib.Path) -> str:
    return next((kind for kind, suffixes in SUFFIXES.items() if path.name.lower().endswith(suffixes)), "")


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of tunes at any depth, in the order of their names."""
    inside = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    files = sorted(p for p in inside if _kind(p) and p.is_file())
    notated = {p.with_suffix("") for p in files if _kind(p) == "musicxml"}
    twice = {p for p in files if _kind(p) == "midi" and p.with_suffix("") in notated}
    if twice:
        note(f"{path}: {len(twice)} MIDI files beside MusicXML files of the same name; left alone")
    return [p for p in files if p not in twice]


def _tunes(paths: Iterable[pathlib.Path]) -> list[Tune]:
    tunes = []
    for path in paths:
        if not path.stat().st_size:
            raise ZooError(f"{path}: the file is empty; expected tunes")
        kind = _kind(path)
        tunes += read_jsonl(path) if kind == "jsonl" else [read_midi(path) if kind == "midi" else read_musicxml(path)]
    return tunes


# JSON lines -----------------------------------------------------------------------------------------------------------


def read_jsonl(path: pathlib.Path) -> list[Tune]:
    """The tunes of a file of JSON lines (`.gz` too); one without a title gets the name of the file and its line."""
    tunes, replaced = [], 0
    stem = re.sub(r"\.jsonl(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                replaced += REPLACEMENT in line
                tunes.append(_tune(line, f"{path}: line {number}", f"{stem} {number}"))
    if not tunes:
        raise ZooError(f"{path}: the file is empty; expected a tune a line, such as {LINE}")
    report_replaced(path, replaced, "lines")
    return tunes


def _tune(line: str, where: str, title: str) -> Tune:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        what = getattr(error, "msg", None) or str(error)
        raise ZooError(f"{where}: not JSON: {what}; expected a tune, such as {LINE}") from None
    if not isinstance(row, dict) or "chords" not in row:
        what = "no chords" if isinstance(row, dict) else "no object"
        raise ZooError(f"{where}: {what}; expected a tune, such as {LINE}")
    if row.get("title") is not None and not isinstance(row["title"], str):
        raise ZooError(f"{where}: the title {reprlib.repr(row['title'])} is no text")
    tune = Tune((row.get("title") or "").strip() or title, [])
    try:
        for name, reader in (("meter", meter_of), ("key", key_of), ("tempo", tempo_of)):
            if row.get(name) is not None:
                setattr(tune, name, reader(row[name]))
    except ZooError as error:
        raise ZooError(f"{where}: {error}") from None
    if not isinstance(row["chords"], list) or not row["chords"]:
        raise ZooError(f'{where}: the chords are no list of some; expected "chords": [["Dm7", 4], ...]')
    for number, pair in enumerate(row["chords"], 1):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ZooError(
                f'{where}: chord {number}, {reprlib.repr(pair)}: expected symbol and beats, such as ["Dm7", 4]'
            )
        try:
            chord = chords.parse(pair[0])
        except ZooError as error:
            raise ZooError(f"{where}: chord {number}: {error}") from None
        try:
            tune.events.append(Event(chord, beats_of(pair[1])))
        except ZooError as error:
            raise ZooError(f"{where}: chord {number}, {pair[0]!r}: {error}") from None
    if row.get("bars") is not None:
        _check_bars(tune, row["bars"], where)
    return tune


def _check_bars(tune: Tune, bars, where: str) -> None:
    if isinstance(bars, bool) or not isinstance(bars, int) or bars < 1:
        raise ZooError(f"{where}: {reprlib.repr(bars)} bars; expected a whole number of them")
    if tune.bars != bars:
        raise ZooError(
            f"{where}: the chords' {tune.beats} beats are {tune.bars} bars of {tune.meter[0]}/{tune.meter[1]}; "
            f"expected {bars} bars, as it says, of {tune.bar_beats} quarter notes"
        )


# MusicXML -------------------------------------------------------------------------------------------------------------


def read_musicxml(path: pathlib.Path) -> Tune:
    """The chord symbols of a MusicXML file's first part that has any, repeats played out.

    A key signature without a mode is that of the minor key if the last chord is its tonic, else of the major key.
    """
    music21 = library("music21", path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # music21 keeps pickled scores in a folder for temporary files; what is there is not to be trusted
            score = music21.converter.parseFile(path, format="musicxml", forceSource=True, storePickle=False)
            return _notated(music21, score, path)
    except ZooError:
        raise
    except Exception as error:  # it raises what happens to go wrong
        what = " ".join(str(error).split()) or type(error).__name__
        raise ZooError(f"{path}: not readable as MusicXML: {what[:200]}") from None


def _notated(music21, score, path: pathlib.Path) -> Tune:
    symbols = music21.harmony.ChordSymbol
    part = next((part for part in score.parts if part[symbols].first() is not None), None)
    if part is None:
        raise ZooError(f"{path}: no chord symbols; expected MusicXML with <harmony> elements")
    meters = [meter.ratioString for meter in part[music21.meter.TimeSignature]]
    if len(set(meters)) > 1:
        note(f"{path}: the meter changes ({', '.join(dict.fromkeys(meters))}); the whole tune is given the first one")
    part = _played(music21, part, path)
    measures = list(part.getElementsByClass(music21.stream.Measure))
    try:
        meter = meter_of(meters[0]) if meters else METER
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None
    bar = Fraction(4 * meter[0], meter[1])
    starts, begin = [], Fraction()
    lengths = [_length(music21, measure, measure is measures[-1]) or bar for measure in measures]
    if lengths[0] < bar and len(measures) > 1:  # a pickup, and in the last bar as much is missing
        begin = -lengths[0]
        if lengths[0] + lengths[-1] == bar:
            lengths[-1] = bar
    for measure, length in zip(measures, lengths, strict=True):
        for symbol in measure[symbols]:
            where = f"{path}: bar {measure.number}"
            start = begin + Fraction(symbol.getOffsetInHierarchy(measure))
            starts.append((on_grid(start, where), _from_symbol(music21, symbol, where)))
        begin += length
    starts.sort(key=lambda pair: pair[0])
    end = on_grid(begin, path)
    if starts[-1][0] >= end:  # behind the last note
        end = (starts[-1][0] // bar + 1) * bar
    if starts[0][0] < 0:
        starts, end = [(start + bar, chord) for start, chord in starts], end + bar
    events = sequence(starts, end, path)
    about = score.metadata
    title = next(filter(None, (about and about.title, about and about.movementName)), "")
    missing = title in ("", path.name, music21.defaults.title)  # music21 makes up one
    title = path.stem if missing else " ".join(title.split())
    marks = [mark.getQuarterBPM() for mark in score[music21.tempo.MetronomeMark]]
    tempo = next(filter(None, marks), 0)
    return Tune(title, events, meter, _key(music21, part, events[-1].chord), float(tempo))


def _length(music21, measure, last: bool) -> Fraction:
    """Quarter notes of the notes and rests; chord symbols have no duration, hidden rests are behind the tune's end."""
    signs = [sign for sign in measure[music21.note.GeneralNote] if not isinstance(sign, music21.harmony.Harmony)]
    if last:
        signs = [sign for sign in signs if not (sign.isRest and sign.style.hideObjectOnPrint)]
    ends = (Fraction(sign.getOffsetInHierarchy(measure)) + Fraction(sign.quarterLength) for sign in signs)
    return max(ends, default=Fraction())


def _played(music21, part, path: pathlib.Path):
    """The part with its repeats played out, if that can be done."""
    try:
        expander = music21.repeat.Expander(part)
        possible = expander.isExpandable()
        if possible is None:
            return part
        if possible:
            return expander.process()
        what = "they make no sense together"
    except Exception as error:
        what = " ".join(str(error).split()) or type(error).__name__
    note(f"{path}: the repeats are not played out: {what[:200]}")
    return part


def _key(music21, part, last: Chord) -> str:
    found = part[music21.key.KeySignature].first()
    if found is None:
        return ""
    if not isinstance(found, music21.key.Key) or found.mode not in ("major", "minor"):
        major, minor = found.asKey("major"), found.asKey("minor")
        found = minor if last.pitch_class == minor.tonic.pitchClass and last.quality.startswith("m") else major
        if last.quality.startswith("maj"):
            found = major
    return found.tonic.name.replace("-", "b") + "m" * (found.mode == "minor")


def _from_symbol(music21, symbol, where: str) -> Chord:
    """A chord from a harmony element: by its text, if that says all of it, else by its kind and degrees."""
    if isinstance(symbol, music21.harmony.NoChord):
        return chords.parse(chords.NO_CHORD)
    if not symbol.pitches:
        raise ZooError(f"{where}: a chord symbol without a root (a function?); expected one with a root")
    root, bass = (pitch.name.replace("-", "b") for pitch in (symbol.root(), symbol.bass() or symbol.root()))
    bass = "" if bass == root else f"/{bass}"
    degrees = []
    for change in symbol.chordStepModifications:
        alter = round(change.interval.semitones) if change.interval else 0
        degrees.append((change.modType, change.degree, alter))
    text = symbol.chordKindStr.strip()
    if text:
        chord = _try([root + text + bass])
        if chord and ("alt" in text or all(_says(chord, *degree) for degree in degrees)):
            return chord
    forms = [root + tail + bass for tail in _tails(symbol.chordKind, degrees)]
    chord = _try(forms)
    if chord is None:
        shown = f"{root}{text}{bass}" if text else symbol.figure.replace("-", "b")
        raise ZooError(f"{where}: {shown!r} (of kind {symbol.chordKind or 'none'!r}) is no chord that is known here")
    return chord


def _try(forms: Iterable[str]) -> Chord | None:
    for form in forms:
        try:
            return chords.parse(form)
        except ZooError:
            continue
    return None


def _says(chord: Chord, type: str, degree: int, alter: int) -> bool:
    sounds = (chord.pitch_class + DEGREES.get(degree, 0) + alter) % 12 in chord.pitches
    return sounds != (type == "subtract")


def _tails(kind: str, degrees: list[tuple[str, int, int]]) -> list[str]:
    """Ways to write a kind and its degrees after a root."""
    if kind not in KINDS:
        return []
    tail, words = KINDS[kind], []
    plain = [degree for type, degree, alter in degrees if type == "add" and not alter and degree in (9, 11, 13)]
    top = max(plain, default=0) if re.search(r"(?<!b)(7|9|11)$", tail) else 0
    for type, degree, alter in degrees:
        if type == "subtract":
            words.append(f"no{degree}")
        elif degree == 7:
            words.insert(0, "addmaj7" if alter == 1 else "add7")
        elif alter:
            words.append(("#" * alter or "b" * -alter) + str(degree))
        elif not top:
            words.append(f"add{degree}")
    if top:
        tail = re.sub(r"\d+$", str(top), tail)
    return [tail + "".join(words), f"{tail}({','.join(words)})"]
