"""Tunes as files, read back: by the module, and here by other means (pretty_midi, the XML itself, PIL, wave)."""

import itertools
import random
import subprocess
import sys
import types
import wave
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from zoo import chords, synth, tune_files, tune_pictures
from zoo.charts import Event, Tune, parse_chart, parse_prompt
from zoo.chords import Chord
from zoo.errors import ZooError

music21 = pytest.importorskip("music21")
pretty_midi = pytest.importorskip("pretty_midi")

TUNES = {
    "over bar lines": "key: Bb\ntempo: 160\n| Cm7 F7b9 | Bbmaj7 | ~:2 G7#9b13:1/2 G7alt:3/2 | C:2 D/F#:2 |",
    "held": "title: Held & <bent>\nkey: F#m\ntempo: 97\n| F#m:12 | ~:1/2 B7:5/2 E7:1/2 Ab:1/2 |",
    "waltz": "meter: 3/4\nkey: Gb\n| Gb | Abm7:3/2 Db13:3/2 | ~ Gb6 | N.C. | ~:1/2 Ebm7b5/Bbb:5/2 |",
    "five": "meter: 5/4\nkey: Am\ntempo: 171.5\n| Am7:3 E7:2 | Am7:5/2 Bm7b5:5/2 | N.C. | Fmaj7:20 |",
    "six eighths": "meter: 6/8\ntempo: 80\n| C Am | F:1/2 G:5/2 | ~:1 C:2 |",
    "seven eighths": "meter: 7/8\nkey: C#\n| C#:2 F#:3/2 | G#7:7 |",
    "triplets": "| C:1/3 D:1/3 E:1/3 F:5/12 G:31/12 | A:1/12 B:47/12 |",
    "unfinished": "title: Cut off\n| C | F:3/2 G:1/2",
    "unfinished in silence": "| C | F N.C.:1/3",
    "nothing": "| N.C. | % |",
    "halves": "meter: 2/2\nkey: Cb\n| Dm7 G7 | Cmaj7 |",
}
tunes = pytest.mark.parametrize("name", TUNES)


def tune(name):
    return parse_chart(TUNES[name])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The stem of a tune's five files."""
    folder, done = tmp_path_factory.mktemp("tunes"), {}

    def stem(name):
        if name not in done:
            done[name] = folder / "new" / name
            tune_files.write(tune(name), done[name])
        return done[name]

    return stem


def harmonies(root):
    """(start in quarter notes, symbol) of a MusicXML tree's chords; lengths of the bars, and of their hidden rests."""
    divisions = int(root.findtext(".//divisions"))
    symbols, lengths, hidden, start = [], [], [], Fraction()
    for measure in root.iter("measure"):
        place, unseen = Fraction(), Fraction()
        for element in measure:
            if element.tag == "note":
                length = Fraction(int(element.findtext("duration")), divisions)
                place += length
                unseen += length * (element.get("print-object") == "no")
            elif element.tag == "harmony":
                at = start + place + Fraction(int(element.findtext("offset") or 0), divisions)
                symbols.append((at, symbol(element)))
            assert element.tag not in ("backup", "forward")
        lengths.append(place)
        hidden.append(unseen)
        start += place
    return symbols, lengths, hidden


def symbol(harmony):
    spell = lambda part: (
        harmony.findtext(f"{part}-step")
        + {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}[int(harmony.findtext(f"{part}-alter") or 0)]
    )
    if harmony.findtext("kind") == "none":
        return harmony.find("kind").get("text")
    bass = f"/{spell('bass/bass')}" if harmony.find("bass") is not None else ""
    return spell("root/root") + harmony.find("kind").get("text") + bass


def onsets(song):
    starts = itertools.accumulate((event.beats for event in song.events), initial=Fraction())
    return [(start, event.chord.symbol) for start, event in zip(starts, song.events, strict=False)]


# All files ------------------------------------------------------------------------------------------------------------


@tunes
def test_what_was_written_is_read_back(name, written):
    song, stem = tune(name), written(name)
    assert sorted(path.name for path in stem.parent.glob(f"{name}.*")) == sorted(
        f"{name}.{kind}" for kind in ("mid", "musicxml", "txt", "png", "wav")
    )
    for kind, read in tune_files.read_back(stem).items():
        assert read.events == song.events, kind
        assert (read.meter, read.key) == (song.meter, song.key), kind
        assert read.title == (song.title or ("Untitled" if kind == "musicxml" else "")), kind
        assert read.tempo == pytest.approx(song.tempo or (0 if kind == "txt" else 140), abs=0.01), kind


def test_the_paths_come_back_and_a_stem_may_have_dots(tmp_path):
    paths = tune_files.write(parse_chart("| C |"), tmp_path / "my.tune", swing=True, tempo=200)
    assert [path.name for path in paths] == [f"my.tune.{kind}" for kind in ("mid", "musicxml", "txt", "png", "wav")]
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert {read.tempo for kind, read in tune_files.read_back(tmp_path / "my.tune").items() if kind != "txt"} == {200}


def test_random_tunes_come_back_whatever_their_meter(tmp_path):
    draw = random.Random(0)
    for meter in ((4, 4), (3, 4), (5, 4), (6, 8), (12, 8), (3, 8), (2, 2)):
        events = [
            Event(chord, Fraction(draw.randint(1, 60), draw.choice([12, 2, 2, 4]))) for chord in draw.sample(ALL, 12)
        ]
        song = Tune("Random", events, meter, draw.choice([*tune_files.MAJOR, *tune_files.MINOR]), 120)
        for kind, writer, reader in (
            ("mid", tune_files.write_midi, tune_files.read_midi),
            ("musicxml", tune_files.write_musicxml, tune_files.read_musicxml),
        ):
            assert reader(writer(song, tmp_path / f"a.{kind}")) == song, (kind, meter)


def all_chords():
    found = []
    for quality, extension in itertools.product(chords.QUALITIES, ("", *chords.EXTENSIONS)):
        try:
            found.append(Chord("Eb", quality, (extension,) if extension else (), "G" if extension == "9" else ""))
        except ZooError:
            continue
    return list(dict.fromkeys(found))


ALL = all_chords()


@pytest.mark.parametrize("writer", ["midi", "musicxml", "text", "png", "wav"])
def test_a_tune_without_chords_is_refused(writer, tmp_path):
    for song, what in ((Tune("", []), "without chords"), (Tune("", [Event(ALL[0], Fraction(1, 7))]), "1/7 beats")):
        with pytest.raises(ZooError, match=what):
            getattr(tune_files, f"write_{writer}")(song, tmp_path / "a")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("tempo", [0, -1, 5, 1001, float("nan"), float("inf")])
def test_a_tempo_that_nobody_plays_is_refused(tempo, tmp_path):
    with pytest.raises(ZooError, match="expected 10 to 1000"):
        tune_files.write(parse_chart("| C |"), tmp_path / "a", tempo=tempo)
    assert not [*tmp_path.iterdir()]


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    for package, writer in (("music21", tune_files.write_musicxml), ("pretty_midi", tune_files.write_midi)):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            patch.setitem(sys.modules, f"{package}.musicxml.m21ToXml", None)
            with pytest.raises(ZooError, match=rf"need {package}: `pip install recurrent-zoo\[music\]`"):
                writer(parse_chart("| C |"), tmp_path / "a")


def test_the_module_imports_neither_tensorflow_nor_the_music_packages():
    code = "import sys, zoo.tune_files; print({'tensorflow', 'keras', 'music21', 'pretty_midi'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# MIDI -----------------------------------------------------------------------------------------------------------------


@tunes
def test_pretty_midi_finds_the_chords_the_meter_and_the_tempo(name, written):
    song = tune(name)
    midi = pretty_midi.PrettyMIDI(f"{written(name)}.mid", charset="utf-8")
    tempo = song.tempo or 140
    assert midi.get_tempo_changes()[1] == pytest.approx([tempo], rel=1e-5)
    assert [(t.numerator, t.denominator) for t in midi.time_signature_changes] == [song.meter]
    assert [lyric.text for lyric in midi.lyrics] == [event.chord.symbol for event in song.events]
    beats = [lyric.time * tempo / 60 for lyric in midi.lyrics]
    assert beats == pytest.approx([float(start) for start, _ in onsets(song)], abs=1e-3)
    assert [i.program for i in midi.instruments] in ([4, 32], [])  # pretty_midi leaves out instruments without notes
    assert not any(i.is_drum for i in midi.instruments)


@pytest.mark.parametrize("swing", [False, True])
def test_the_notes_of_the_midi_file_are_those_of_the_chords(swing, tmp_path):
    song = parse_chart("| Cm7 F7b9 | Bbmaj7 | Am7b5:5/2 D7alt:3/2 | Gm6 |")
    midi = pretty_midi.PrettyMIDI(str(tune_files.write_midi(song, tmp_path / "a.mid", swing, tempo=60)))
    piano, bass = midi.instruments
    later = 1 / 6 if swing else 0
    starts = [0, 2, 4, 8, 10.5 + later, 12, 16]
    for (start, end), event in zip(itertools.pairwise(starts), song.events, strict=True):
        during = [n for n in piano.notes if start - 0.01 < n.start < end - 0.01]
        assert {n.pitch % 12 for n in during} <= set(event.chord.pitches) and len(during) == 4
        assert all(n.start == pytest.approx(start) and end - 0.1 < n.end < end for n in during)
        assert [n.pitch % 12 for n in bass.notes if abs(n.start - start) < 0.01] == [event.chord.pitch_class]


def test_a_key_with_eight_sharps_is_written_as_its_enharmonic(tmp_path):
    song = parse_chart("key: G#\n| G# |")
    for kind in ("midi", "musicxml"):
        path = getattr(tune_files, f"write_{kind}")(song, tmp_path / "a")
        assert getattr(tune_files, f"read_{kind}")(path).key == "Ab"


def test_titles_may_have_any_letters(tmp_path):
    song = parse_chart("| C |")
    song.title = "Été\u0007 \u66f2 & <b>\n\u266d"
    tune_files.write(song, tmp_path / "a")
    assert {read.title for read in tune_files.read_back(tmp_path / "a").values()} == {"Été \u66f2 & <b> \u266d"}


# MusicXML -------------------------------------------------------------------------------------------------------------


@tunes
def test_the_lead_sheet_has_full_bars_and_every_chord_in_its_place(name, written):
    song = tune(name)
    root = ElementTree.parse(f"{written(name)}.musicxml").getroot()
    symbols, lengths, hidden = harmonies(root)
    assert symbols == onsets(song)
    assert set(lengths) == {song.bar_beats} and len(lengths) == -(-song.beats // song.bar_beats)
    assert sum(lengths) - sum(hidden) == song.beats and not any(hidden[:-1])
    assert not [*root.iter("accidental")] and not [*root.iter("creator")]
    for harmony in root.iter("harmony"):
        order = [part.tag for part in harmony]
        assert order == sorted(order, key=["root", "kind", "bass", "degree", "offset"].index)
        assert all(degree.get("print-object") == "no" for degree in harmony.iter("degree"))


def test_slashes_are_where_chords_are_and_rests_where_none_is(written):
    root = ElementTree.parse(f"{written('waltz')}.musicxml").getroot()
    bars = [[note.find("rest") is not None for note in bar.iter("note")] for bar in root.iter("measure")]
    assert bars[0] == [False] * 3 and bars[3] == [True] and bars[4][0] and not any(bars[4][1:])
    assert all(note.findtext("notehead") == "slash" for note in root.iter("note") if note.find("rest") is None)


def test_music21_hears_the_pitches_of_every_chord(tmp_path):
    """Those of kind and degrees, not of the text. Chords with an added 7 whose `degree-alter` is 0 are left out:
    it takes them for major ones, against the standard ("relative to a dominant chord")."""
    some = ALL[::2]
    path = tune_files.write_musicxml(Tune("", [Event(chord, 1) for chord in some]), tmp_path / "a.musicxml")
    score = music21.converter.parseData(path.read_text(), format="musicxml")
    heard = list(score.recurse().getElementsByClass("Harmony"))
    assert len(heard) == len(some) > 100
    for harmony, chord in zip(heard, some, strict=True):
        assert chords.parse(tune_files._symbol(harmony)) == chord
        if chord.quality not in ("7sus4", "7sus2"):
            assert set(harmony.pitchClasses) == set(chord.pitches), chord


def test_the_degrees_of_a_suspended_seventh_are_those_of_the_standard(tmp_path):
    path = tune_files.write_musicxml(parse_chart("| C7sus4 | C7alt |"), tmp_path / "a.musicxml")
    found = [
        [tuple(part.text for part in degree) for degree in harmony.iter("degree")]
        for harmony in ElementTree.parse(path).getroot().iter("harmony")
    ]
    assert found == [
        [("7", "0", "add")],
        [("9", "-1", "add"), ("9", "1", "add"), ("13", "-1", "add"), ("5", "0", "subtract")],
    ]


def test_the_same_tune_makes_the_same_files(tmp_path):
    for name in ("a", "b"):
        tune_files.write(tune("waltz"), tmp_path / name, swing=True)
    for kind in ("mid", "musicxml", "txt", "wav", "png"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes(), kind


def test_a_bar_that_is_not_full_is_found(tmp_path):
    path = tune_files.write_musicxml(parse_chart("| C | F | G |"), tmp_path / "a.musicxml")
    tree = ElementTree.parse(path)
    bar = tree.getroot().findall(".//measure")[1]
    bar.remove(bar.findall("note")[-1])
    tree.write(path)
    with pytest.raises(ZooError, match="bar 2 has 3 beats of quarter notes; expected 4"):
        tune_files.read_musicxml(path)


def test_files_that_are_something_else_are_named(tmp_path):
    path = tmp_path / "a"
    for text in ("", "no music", "<score-partwise/>"):
        path.write_text(text)
        for reader in (tune_files.read_midi, tune_files.read_musicxml):
            with pytest.raises(ZooError, match=str(path)):
                reader(path)


# Pictures and sound ---------------------------------------------------------------------------------------------------


@tunes
def test_the_picture_is_a_page_with_ink_in_every_bar(name, written):
    with Image.open(f"{written(name)}.png") as image:
        pixels = np.asarray(image.convert("L"))
    song = tune(name)
    rows = -(-song.beats // song.bar_beats) // -4
    assert pixels.shape[1] == 1200 and pixels.shape[0] == pytest.approx(120 * (1.4 - 0.82 * rows), abs=2)
    assert 0.005 < (pixels < 128).mean() < 0.2 and (pixels[:, -40:] == 255).all() and (pixels[-8:] == 255).all()


def test_two_hundred_bars_fit_one_legible_picture(tmp_path):
    song = Tune("Long", parse_prompt("Dm7:2 G7b9:2 Cmaj7:4") * 100)
    with Image.open(tune_files.write_png(song, tmp_path / "a.png")) as image:
        assert image.size == (1200, pytest.approx(120 * (1.4 + 50 * 0.82), abs=2))


def test_a_picture_ends_after_a_thousand_bars_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tune_pictures, "MOST", 6)
    tune_files.write_png(parse_chart("| C:28 |"), tmp_path / "a.png")
    assert "has the first 6 of 7 bars" in capsys.readouterr().err


def test_symbols_never_touch_and_stay_in_their_bar():
    draw = random.Random(0)
    for count in [1, 2, 3, 4, 4, 4, 5, 6, 8] * 30:
        places = sorted(draw.sample([i / 8 for i in range(8)], count))
        wide = [tune_pictures._wide(tune_pictures._pieces(draw.choice(ALL))) for _ in places]
        size, found = tune_pictures.layout(places, wide)
        for line in (False, True):
            ends = [(x, x + width * size) for (x, upper), width in zip(found, wide, strict=True) if upper == line]
            assert all(end < after for (_, end), (after, _) in itertools.pairwise(ends))
            assert all(x > 0 and end < tune_pictures.BAR for x, end in ends)
        assert size <= tune_pictures.LARGEST and (count > 4 or size > 9.5), (count, size)


def test_symbols_that_have_room_are_large_and_in_their_places():
    size, found = tune_pictures.layout([0, 0.5], [0.03, 0.03])
    assert size == tune_pictures.LARGEST and not any(upper for _, upper in found)
    assert [x for x, _ in found] == pytest.approx([0.09, 0.09 + (tune_pictures.BAR - 0.09) / 2])


def test_flats_and_sharps_are_set_as_signs():
    shown = {"Bbm7b5/Ab": "B♭m7♭5/A♭", "F#7b9#11": "F♯7♭9♯11", "N.C.": "N.C.", "Bbb": "B♭♭"}
    for symbol, text in shown.items():
        assert "".join(part for part, *_ in tune_pictures._pieces(chords.parse(symbol))) == text


@tunes
def test_the_sound_lasts_as_long_as_the_tune(name, written):
    song = tune(name)
    with wave.open(f"{written(name)}.wav") as file:
        frames, rate = file.getnframes(), file.getframerate()
        samples = np.frombuffer(file.readframes(frames), "<i2")
    assert frames / rate == pytest.approx(float(song.beats) * 60 / (song.tempo or 140) + synth.TAIL, abs=1e-4)
    assert np.abs(samples.astype(int)).max() < 32000 and samples.any() == (name != "nothing")


def test_a_soundfont_needs_fluidsynth_and_a_file(tmp_path, monkeypatch):
    song, font = parse_chart("| C |"), tmp_path / "a.sf2"
    with pytest.raises(ZooError, match="a.sf2: no such file; expected a soundfont"):
        tune_files.write_wav(song, tmp_path / "a.wav", soundfont=font)
    font.write_bytes(b"")
    monkeypatch.setattr(tune_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ZooError, match="pip install pyfluidsynth"):
        tune_files.write_wav(song, tmp_path / "a.wav", soundfont=font)
    monkeypatch.setattr(tune_files.importlib.util, "find_spec", lambda name: types.SimpleNamespace())
    asked = {}
    sound = lambda self, **options: asked.update(options) or np.ones(100)
    monkeypatch.setattr(pretty_midi.PrettyMIDI, "fluidsynth", sound)
    with wave.open(str(tune_files.write_wav(song, tmp_path / "a.wav", soundfont=font))) as file:
        assert file.getnframes() == 100 and asked == {"fs": 22_050, "synthesizer": str(font)}
