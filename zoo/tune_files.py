"""Tunes as files: MIDI, MusicXML lead sheets, text, pictures of chord charts and sound; and reading them back.

Each file is written beside its place and renamed, whole or not at all. MIDI and MusicXML carry the canonical symbols
of the chords (as lyrics; as the harmonies' text), so that what was written can be read from them: `read_back`. MusicXML
and MIDI need the packages music21 and pretty_midi, `pip install recurrent-zoo[music]`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import io
import math
import pathlib
from fractions import Fraction
from xml.etree import ElementTree

from zoo import charts, chords, synth, tune_pictures, voicing
from zoo.charts import Event, Tune
from zoo.chords import Chord
from zoo.errors import ZooError
from zoo.files import replacing

TEMPO = 140.0  # quarter notes a minute, where neither the tune nor the caller says
SLOWEST, FASTEST = 10, 1000
TICKS = 480  # of a MIDI file, a quarter note
ELECTRIC_PIANO, ACOUSTIC_BASS = 4, 32  # General MIDI programs, counted from 0
END = "end"  # a text event after the last chord
# Keys by signature, from seven flats to seven sharps.
MAJOR = ["Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#"]
MINOR = ["Abm", "Ebm", "Bbm", "Fm", "Cm", "Gm", "Dm", "Am", "Em", "Bm", "F#m", "C#m", "G#m", "D#m", "A#m"]
# Quality: kind of MusicXML. The qualities of BASES it has no kind for; they are another with degrees added.
KINDS = {"": "major", "m": "minor", "dim": "diminished", "aug": "augmented", "5": "power", "7": "dominant"}
KINDS |= {"6": "major-sixth", "m6": "minor-sixth", "maj7": "major-seventh", "m7": "minor-seventh", "mM7": "major-minor"}
KINDS |= {"m7b5": "half-diminished", "dim7": "diminished-seventh", "aug7": "augmented-seventh"}
KINDS |= {"sus4": "suspended-fourth", "sus2": "suspended-second"}
BASES = {"dimM7": "dim", "augM7": "aug", "7sus4": "sus4", "7sus2": "sus2", "maj7sus4": "sus4"}
LENGTHS = [Fraction(n, 12) for n in (48, 36, 24, 18, 12, 9, 8, 6, 4, 3, 2, 1)]  # quarter notes that one note can last


def write(tune: Tune, stem, swing: bool = False, tempo: float | None = None, soundfont=None) -> list[pathlib.Path]:
    """Write `stem`.mid, .musicxml, .txt, .png and .wav; returns their paths.

    Args:
        stem: a path without a suffix; its folder is made if it is missing.
        swing: play off-beat eighths late; see `voicing.voiced`. What is written for the eye stays as it is.
        tempo: quarter notes a minute, in place of the tune's.
        soundfont: see `write_wav`.

    Raises:
        ZooError: a tune without chords, a tempo outside 10 to 1000, or a package that is missing.
    """
    tempo_of(_whole(tune), tempo)
    paths = {kind: pathlib.Path(f"{stem}.{kind}") for kind in ("mid", "musicxml", "txt", "png", "wav")}
    paths["mid"].parent.mkdir(parents=True, exist_ok=True)
    return [
        write_midi(tune, paths["mid"], swing, tempo),
        write_musicxml(tune, paths["musicxml"], swing, tempo),
        write_text(tune, paths["txt"]),
        write_png(tune, paths["png"], tempo),
        write_wav(tune, paths["wav"], swing, tempo, soundfont),
    ]


def tempo_of(tune: Tune, tempo: float | None = None) -> float:
    """The tempo to write, in quarter notes a minute: what is asked for, the tune's, or 140."""
    value = float(tempo if tempo is not None else tune.tempo or TEMPO)
    if not SLOWEST <= value <= FASTEST:
        raise ZooError(f"tempo {value:g}; expected {SLOWEST} to {FASTEST} quarter notes a minute")
    return value


def write_text(tune: Tune, path: pathlib.Path) -> pathlib.Path:
    """A chord chart as text, in UTF-8; `charts.parse_chart` reads it."""
    with replacing(path) as temporary:
        temporary.write_text(charts.chart(_whole(tune)), encoding="utf-8")
    return path


def write_png(tune: Tune, path: pathlib.Path, tempo: float | None = None) -> pathlib.Path:
    """A picture of the chord chart, four bars a line."""
    return tune_pictures.draw(_whole(tune), path, tempo_of(tune, tempo))


def write_wav(tune: Tune, path: pathlib.Path, swing=False, tempo=None, soundfont=None) -> pathlib.Path:
    """Sound, 16-bit mono: by `zoo.synth`, or by fluidsynth (pyfluidsynth) if there is a soundfont (.sf2)."""
    speed = tempo_of(_whole(tune), tempo)
    if soundfont is None:
        return synth.write_wav(synth.render(voicing.voiced(tune, swing), tune.beats, speed), path)
    if not pathlib.Path(soundfont).is_file():
        raise ZooError(f"{soundfont}: no such file; expected a soundfont (.sf2)")
    if importlib.util.find_spec("fluidsynth") is None:
        raise ZooError("a soundfont needs fluidsynth; expected the program and `pip install pyfluidsynth`")
    sound = _performance(tune, swing, speed).fluidsynth(fs=synth.RATE, synthesizer=str(soundfont))
    return synth.write_wav(sound * synth.PEAK, path)


def read_back(stem) -> dict[str, Tune]:
    """What the files say, by suffix: the tunes of `stem`.mid, .musicxml and .txt.

    Raises:
        ZooError: a file can't be read, or a bar of the MusicXML isn't full.
    """
    readers = {"mid": read_midi, "musicxml": read_musicxml, "txt": _read_text}
    return {kind: reader(pathlib.Path(f"{stem}.{kind}")) for kind, reader in readers.items()}


def _read_text(path: pathlib.Path) -> Tune:
    return charts.parse_chart(path.read_text(encoding="utf-8"))


def _whole(tune: Tune) -> Tune:
    """The tune, with its title on one line and without the control characters that XML can't have."""
    if not tune.events:
        raise ZooError("a tune without chords can't be written; expected at least one")
    for event in tune.events:
        if event.beats <= 0 or (event.beats * charts.GRID).denominator > 1:
            expected = f"a positive multiple of 1/{charts.GRID}"
            raise ZooError(f"{event.chord.symbol}: {event.beats} beats can't be written; expected {expected}")
    title = "".join(c if c.isprintable() else " " for c in tune.title)
    return dataclasses.replace(tune, title=" ".join(title.split()))


def _music(name: str):
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.split(".")[0]
        raise ZooError(f"MIDI and MusicXML need {package}: `pip install recurrent-zoo[music]`") from None


def _signature(key: str) -> tuple[int, bool] | None:
    """Sharps of a key (flats are negative) and whether it is minor; its enharmonic, if there were more than 7."""
    if not key:
        return None
    minor = key.endswith("m")
    names = MINOR if minor else MAJOR
    if key not in names:
        sounding = chords.parse(key.removesuffix("m")).pitch_class
        key = next(name for name in names[2:] if chords.parse(name.removesuffix("m")).pitch_class == sounding)
    return names.index(key) - 7, minor


def _tune(title, onsets, meter, key, tempo, end) -> Tune:
    """From the onsets of symbols, `[(quarter notes, symbol), ...]`, and the end of the last."""
    ends = [*(start for start, _ in onsets[1:]), end]
    events = [Event(chords.parse(name), stop - start) for (start, name), stop in zip(onsets, ends, strict=True)]
    return Tune(title, events, meter, key, tempo)


# MIDI -----------------------------------------------------------------------------------------------------------------


def write_midi(tune: Tune, path: pathlib.Path, swing: bool = False, tempo: float | None = None) -> pathlib.Path:
    """A MIDI file of three tracks: title, meter, key, tempo and chord symbols (lyrics, at their notated onsets, where a
    swung file plays the off-beat ones a little later); electric piano; bass."""
    mido, buffer, tune = _music("mido"), io.BytesIO(), _whole(tune)
    _performance(tune, swing, tempo_of(tune, tempo)).write(buffer)
    buffer.seek(0)
    midi = mido.MidiFile(file=buffer, charset="utf-8")
    names, signature = [mido.MetaMessage("track_name", name=tune.title)], _signature(tune.key)
    if signature:  # pretty_midi would spell G flat major with sharps
        sharps, minor = signature
        names.append(mido.MetaMessage("key_signature", key=(MINOR if minor else MAJOR)[sharps + 7]))
    midi.tracks[0][:0] = names
    with replacing(path) as temporary:
        midi.save(temporary)
    return path


def _performance(tune: Tune, swing: bool, tempo: float):
    """A `pretty_midi.PrettyMIDI` of the tune."""
    pretty_midi = _music("pretty_midi")
    midi = pretty_midi.PrettyMIDI(resolution=TICKS, initial_tempo=tempo, charset="utf-8")
    seconds = lambda beat: float(beat) * 60 / tempo
    midi.time_signature_changes.append(pretty_midi.TimeSignature(*tune.meter, 0))
    midi.lyrics = [pretty_midi.Lyric(chord.symbol, seconds(start)) for start, _, chord in voicing.spans(tune)]
    midi.text_events = [pretty_midi.Text(END, seconds(tune.beats))]
    parts = {
        "chords": pretty_midi.Instrument(ELECTRIC_PIANO, name="Electric piano"),
        "bass": pretty_midi.Instrument(ACOUSTIC_BASS, name="Bass"),
    }
    for note in voicing.voiced(tune, swing):
        sounding = pretty_midi.Note(note.velocity, note.pitch, seconds(note.start), seconds(note.end))
        parts[note.part].notes.append(sounding)
    midi.instruments = list(parts.values())
    return midi


def read_midi(path: pathlib.Path) -> Tune:
    """The tune of a MIDI file that `write_midi` wrote: its chords are the lyrics, not made out from the notes."""
    mido = _music("mido")
    try:
        midi = mido.MidiFile(path, charset="utf-8")
    except (EOFError, ValueError, LookupError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # mido's own has none
            raise
        raise ZooError(f"{path}: not a MIDI file that can be read: {error}") from None
    title, key, meter, tempo, end, tick, onsets = "", "", (4, 4), 0.0, None, 0, []
    for message in midi.tracks[0]:
        tick += message.time
        beat = Fraction(tick, midi.ticks_per_beat)
        match message.type:
            case "track_name":
                title = message.name
            case "key_signature":
                key = message.key
            case "time_signature":
                meter = (message.numerator, message.denominator)
            case "set_tempo":
                tempo = round(mido.tempo2bpm(message.tempo), 2)
            case "lyrics":
                onsets.append((beat, message.text))
            case "text" if message.text == END:
                end = beat
    if not onsets or end is None:
        raise ZooError(f"{path}: no chord symbols among the lyrics; expected a file that this program wrote")
    return _tune(title, onsets, meter, key, tempo, end)


# MusicXML -------------------------------------------------------------------------------------------------------------


def write_musicxml(tune: Tune, path: pathlib.Path, swing: bool = False, tempo: float | None = None) -> pathlib.Path:
    """A lead sheet: chord symbols above slashes, one for each beat; rests where no chord is; four bars a line."""
    exporter = _music("music21.musicxml.m21ToXml")
    score = _score(_whole(tune), swing, tempo_of(tune, tempo))
    root = ElementTree.fromstring(exporter.GeneralObjectExporter(score).parse())
    for creator in root.findall("identification/creator"):
        root.find("identification").remove(creator)  # the library's name, in the composer's place
    for note in root.iter("note"):
        note.set("dynamics", "0")  # the slashes are for the eye
    for part in (*root.iter("score-part"), *root.iter("part")):
        part.set("id", "P1")  # not by chance: the same tune makes the same file
    for harmony, event in zip(root.iter("harmony"), tune.events, strict=True):
        _harmony(harmony, event.chord)
    ElementTree.indent(root)
    kind = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" '
    kind += '"http://www.musicxml.org/dtds/partwise.dtd">'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{kind}\n{ElementTree.tostring(root, encoding="unicode")}\n'
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _score(tune: Tune, swing: bool, tempo: float):
    """A `music21.stream.Score`; its harmonies have their places, and what they are is filled in by `_harmony`."""
    _music("music21")
    from music21 import harmony, key, layout, metadata, meter, note, stream
    from music21 import tempo as tempos

    score, part = stream.Score(), stream.Part()
    part.partName = "Chords"
    score.metadata = metadata.Metadata(title=tune.title or "Untitled")
    measures = [stream.Measure(number=i + 1) for i in range(math.ceil(tune.bars))]
    signature = _signature(tune.key)
    if signature:
        measures[0].keySignature = key.KeySignature(signature[0]).asKey("minor" if signature[1] else "major")
    measures[0].timeSignature = meter.TimeSignature("{}/{}".format(*tune.meter))
    measures[0].insert(0, tempos.MetronomeMark(text="Swing" if swing else None, number=tempo))
    for measure in measures[4::4]:
        measure.insert(0, layout.SystemLayout(isNew=True))
    measures[-1].rightBarline = "final"
    line = "B-4" if signature and signature[0] <= -1 else "B#4" if signature and signature[0] == 7 else "B4"
    for start, length, chord in _signs(tune):
        if chord and chord.root:
            sign = note.Note(line, quarterLength=length)
            sign.notehead, sign.stemDirection = "slash", "noStem"
        else:
            sign = note.Rest(quarterLength=length)
            sign.fullMeasure = length == tune.bar_beats
            sign.style.hideObjectOnPrint = chord is None  # behind the tune's end
        bar, place = divmod(start, tune.bar_beats)
        measures[bar].insert(place, sign)
    for _, bar, place in tune.spans():
        measures[bar].insert(place, harmony.ChordSymbol(root="C", kind="major"))
    part.append(measures)
    score.insert(0, part)
    return score


def _signs(tune: Tune):
    """Start and length, in quarter notes, and chord of each slash or rest; the chord is None behind the tune's end."""
    whole = math.ceil(tune.bars) * tune.bar_beats
    ending = [(tune.beats, whole, None)] if whole > tune.beats else []
    for start, end, chord in [*voicing.spans(tune), *ending]:
        silent = chord is not None and not chord.root
        for bar_start, bar_end in voicing.pieces(tune, start, end, tune.bar_beats):
            if silent and bar_end - bar_start == tune.bar_beats:
                yield bar_start, bar_end - bar_start, chord
                continue
            for begin, stop in voicing.pieces(tune, bar_start, bar_end, voicing.pulse(tune.meter)):
                while begin < stop:
                    length = next(length for length in LENGTHS if length <= stop - begin)
                    yield begin, length, chord
                    begin += length


def _harmony(element: ElementTree.Element, chord: Chord) -> None:
    """Write a chord into a `harmony` element: root, kind, bass, and degrees, which the kind's text has said already."""
    for part in element.findall("*"):
        if part.tag != "offset" or part.text == "0":
            element.remove(part)
    parts = [_note("root", chord.root or "C")]
    kind = ElementTree.Element("kind", text=tune_pictures.suffix(chord))
    parts.append(kind)
    if not chord.root:
        parts[0].find("root-step").set("text", "")  # as the standard has it: a step that isn't shown
        kind.text = "none"
    else:
        base = BASES.get(chord.quality, chord.quality)
        kind.text = KINDS[base]
        parts += [_note("bass", chord.bass)] if chord.bass else []
        parts += [_degree(*change) for change in _changes(set(chords.QUALITIES[base]), set(chord.degrees))]
    element[:0] = parts


def _note(name: str, spelled: str) -> ElementTree.Element:
    element = ElementTree.Element(name)
    ElementTree.SubElement(element, f"{name}-step").text = spelled[0]
    alteration = spelled.count("#") - spelled.count("b")
    if alteration:
        ElementTree.SubElement(element, f"{name}-alter").text = str(alteration)
    return element


def _changes(before: set[str], after: set[str]):
    """What makes the degrees `after` of those `before`: (degree, semitones, how)."""
    split = lambda degree: (int(degree.lstrip("b#")), degree.count("#") - degree.count("b"))
    gone, new = {split(degree) for degree in before - after}, sorted(split(degree) for degree in after - before)
    for number, shift in new:
        if (5, 0) in gone and number == 5:
            gone.discard((5, 0))
            yield 5, shift, "alter"
        else:
            yield number, shift + (number == 7), "add"  # counted from the minor seventh of a dominant chord
    yield from ((number, 0, "subtract") for number, _ in sorted(gone))


def _degree(number: int, shift: int, how: str) -> ElementTree.Element:
    element = ElementTree.Element("degree", {"print-object": "no"})
    for name, value in (("value", number), ("alter", shift), ("type", how)):
        ElementTree.SubElement(element, f"degree-{name}").text = str(value)
    return element


def read_musicxml(path: pathlib.Path) -> Tune:
    """The tune of a lead sheet that `write_musicxml` wrote, read by music21.

    Raises:
        ZooError: it can't be parsed, has no chord symbols, or has a bar whose notes don't fill it.
    """
    music21 = _music("music21")
    try:
        score = music21.converter.parseData(path.read_text(encoding="utf-8"), format="musicxml")
    except (ElementTree.ParseError, music21.Music21Exception, UnicodeDecodeError) as error:
        raise ZooError(f"{path}: not MusicXML that can be read: {error}") from None
    measures = list(score.recurse().getElementsByClass("Measure"))
    harmonies = [list(measure.getElementsByClass("Harmony")) for measure in measures]
    if not any(harmonies):
        raise ZooError(f"{path}: no chord symbols; expected a file that this program wrote")
    first = measures[0]
    bar_beats = Fraction(first.timeSignature.barDuration.quarterLength)
    hidden, onsets = Fraction(), []
    for i, measure in enumerate(measures):
        notes = [sign for sign in measure.notesAndRests if "Harmony" not in sign.classes]
        full = sum(Fraction(sign.quarterLength) for sign in notes)
        if full != bar_beats:
            raise ZooError(f"{path}: bar {i + 1} has {full} beats of quarter notes; expected {bar_beats}")
        hidden = sum(Fraction(sign.quarterLength) for sign in notes if sign.style.hideObjectOnPrint)
        onsets += [(i * bar_beats + Fraction(each.offset), _symbol(each)) for each in harmonies[i]]
    keys, marks = first.getElementsByClass("KeySignature"), score.recurse().getElementsByClass("MetronomeMark")
    key = ((MINOR if keys[0].mode == "minor" else MAJOR)[keys[0].sharps + 7]) if keys else ""
    tempo = float(marks[0].number) if marks else 0.0
    meter = (first.timeSignature.numerator, first.timeSignature.denominator)
    title = (score.metadata and score.metadata.bestTitle) or ""
    return _tune(title, onsets, meter, key, tempo, len(measures) * bar_beats - hidden)


def _symbol(harmony) -> str:
    """Of a `music21.harmony.Harmony`: its root, the text of its kind and its bass."""
    if "NoChord" in harmony.classes:
        return chords.NO_CHORD
    root, bass = (note.name.replace("-", "b") for note in (harmony.root(), harmony.bass()))
    return root + harmony.chordKindStr + (f"/{bass}" if bass != root else "")
