"""People's own tunes as JSON lines, MusicXML and MIDI: what is read, and what is malformed, named with its place."""

import gzip
import json
import random
import subprocess
import sys
from fractions import Fraction

import pytest

from zoo import charts, chords, tune_reading
from zoo.charts import Event, Tune
from zoo.errors import ZooError

ROW = {
    "title": "A",
    "meter": [3, 4],
    "key": "F minor",
    "tempo": 160,
    "chords": [["Fm7", 3], ["Bb7", "3/2"], ["C7", 1.5]],
}
TUNE = Tune("A", charts.parse_prompt("Fm7:3 Bb7:3/2 C7:3/2"), (3, 4), "Fm", 160)


def row(prompt, **more):
    events = charts.parse_prompt(prompt)
    return json.dumps({"chords": [[event.chord.symbol, str(event.beats)] for event in events], **more}) + "\n"


def prompt_of(tune):
    return charts.format_prompt(tune.events)


def refusal(path):
    with pytest.raises(ZooError) as caught:
        tune_reading.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


# JSON lines and folders -----------------------------------------------------------------------------------------------


def test_a_line_is_a_tune_and_most_of_it_is_optional(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(
        json.dumps(ROW) + "\n\n" + row("C:4 G7:4", bars=2, title=None) + row("C:6", title=" ", composer="x")
    )
    tunes = tune_reading.read(path)
    assert list(tunes) == ["train"]
    assert tunes["train"][0] == TUNE
    assert tunes["train"][1] == Tune("mine 3", charts.parse_prompt("C:4 G7:4"))
    assert tunes["train"][2] == Tune("mine 4", charts.parse_prompt("C:6"))


def test_random_tunes_round_trip(tmp_path):
    draw, tunes = random.Random(0), []
    for i in range(50):
        events = [
            Event(
                chords.of(draw.randrange(12), draw.choice(["m7", "7b9", "maj7/4", "m7b5"])),
                Fraction(draw.randint(1, 99), 12),
            )
            for _ in range(draw.randint(1, 30))
        ]
        tunes.append(
            Tune(
                f"\u00e9 {i}",
                events,
                draw.choice([(4, 4), (6, 8)]),
                draw.choice(["", "Eb", "Am"]),
                draw.choice([0, 99.5]),
            )
        )
    with gzip.open(tmp_path / "t.jsonl.gz", "wt", encoding="utf-8") as file:
        for tune in tunes:
            pairs = [[e.chord.symbol, draw.choice([str, float])(e.beats)] for e in tune.events]
            about = {"title": tune.title, "meter": tune.meter, "key": tune.key, "tempo": tune.tempo, "chords": pairs}
            file.write(json.dumps(about) + "\n")
    assert tune_reading.read(tmp_path / "t.jsonl.gz") == {"train": tunes}


def test_a_folder_has_splits_as_files_or_folders_or_is_all_for_training(tmp_path, capsys):
    titles = lambda splits: {split: [tune.title for tune in tunes] for split, tunes in splits.items()}
    (tmp_path / "train.jsonl").write_text(row("C:4", title="1") + row("C:4", title="2"))
    with gzip.open(tmp_path / "val.jsonl.gz", "wt") as file:
        file.write(row("C:4", title="3"))
    (tmp_path / "test" / "deep").mkdir(parents=True)
    (tmp_path / "test" / "deep" / "b.jsonl").write_text(row("C:4", title="5"))
    (tmp_path / "test" / "a.jsonl").write_text(row("C:4", title="4"))
    (tmp_path / "notes.pdf").write_text("no tune")
    assert titles(tune_reading.read(tmp_path)) == {"train": ["1", "2"], "dev": ["3"], "test": ["4", "5"]}
    assert capsys.readouterr().err == ""
    (tmp_path / "more.jsonl").write_text(row("C:4"))
    (tmp_path / ".hidden.jsonl").write_text("no tune")
    tune_reading.read(tmp_path)
    assert "1 files of tunes beside those of train, dev, test; left alone" in capsys.readouterr().err
    assert titles(tune_reading.read(tmp_path / "test")) == {"train": ["4", "5"]}


@pytest.mark.parametrize(
    "line, parts",
    [
        ("{", ["not JSON"]),
        ("[" * 100000, ["not JSON"]),
        ("9" * 5000, ["not JSON"]),
        ("[1, 2]", ["no object"]),
        ("null", ["no object"]),
        ('{"title": "x"}', ["no chords"]),
        ('{"title": 5, "chords": [["C", 4]]}', ["title 5"]),
        ('{"chords": []}', ["no list"]),
        ('{"chords": "C F"}', ["no list"]),
        ('{"chords": [["C", 4], "F"]}', ["chord 2", "'F'"]),
        ('{"chords": [["C", 4, 4]]}', ["chord 1"]),
        ('{"chords": [[4, "C"]]}', ["chord 1"]),
        (row("C:4 F:4").replace("F", "Hm7"), ["chord 2", "'Hm7'"]),
        ('{"chords": [["C", 4], ["F", 0]]}', ["chord 2, 'F'", "more than 0"]),
        ('{"chords": [["C", -4]]}', ["more than 0"]),
        ('{"chords": [["C", 0.2]]}', ["multiple of 1/12"]),
        ('{"chords": [["C", "1/5"]]}', ["multiple of 1/12"]),
        ('{"chords": [["C", NaN]]}', ["no number"]),
        ('{"chords": [["C", 1e999]]}', ["no number"]),
        ('{"chords": [["C", true]]}', ["no number"]),
        ('{"chords": [["C", null]]}', ["no number"]),
        (row("C:4", meter=[4, 5]), ["no meter"]),
        (row("C:4", meter="four"), ["no meter"]),
        (row("C:4", key="X"), ["no key"]),
        (row("C:4", tempo=-3), ["no tempo"]),
        (row("C:4", tempo="fast"), ["no tempo"]),
        (row("C:4 F:3", bars=2), ["7 beats are 7/4 bars of 4/4", "expected 2 bars"]),
        (row("C:4 F:3", bars=2, meter=[6, 8]), ["7/3 bars of 6/8"]),
        (row("C:4", bars="1"), ["'1' bars"]),
    ],
)
def test_what_is_malformed_is_named_with_its_line(tmp_path, line, parts):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(ROW) + "\n\n" + line.strip() + "\n")
    message = refusal(path)
    assert f"{path}: line 3: " in message and all(part in message for part in parts), message


def test_empty_missing_and_strange_files(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.jsonl")
    assert "found nothing" in refusal(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    assert "found a.txt" in refusal(tmp_path)
    assert "no tunes by its name" in refusal(tmp_path / "a.txt")
    for name in ("a.jsonl", "a.mid", "a.musicxml", "a.mxl"):
        (tmp_path / name).write_bytes(b"")
        assert "the file is empty" in refusal(tmp_path / name)
    (tmp_path / "a.jsonl").write_text("\n \n")
    assert "the file is empty" in refusal(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl.gz").write_bytes(b"no gzip")
    assert "gzip" in refusal(tmp_path / "b.jsonl.gz")


def test_reading_needs_no_tensorflow_nor_what_it_does_not_read(tmp_path):
    (tmp_path / "t.jsonl").write_text(json.dumps(ROW))
    code = (
        "import sys; from zoo import tune_reading; tune_reading.read(sys.argv[1])\n"
        "print(*(n for n in ('tensorflow', 'keras', 'music21', 'pretty_midi', 'mido') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_missing_library_is_named_with_what_installs_it(tmp_path, monkeypatch):
    (tmp_path / "a.mid").write_bytes(b"x")
    (tmp_path / "a.xml").write_bytes(b"x")
    for name, file in (("mido", "a.mid"), ("music21", "a.xml")):
        monkeypatch.setitem(sys.modules, name, None)
        message = refusal(tmp_path / file)
        assert name in message and "pip install recurrent-zoo[music]" in message


# MusicXML -------------------------------------------------------------------------------------------------------------

ATTRIBUTES = (
    "<attributes><divisions>12</divisions><key><fifths>{}</fifths></key>"
    "<time><beats>{}</beats><beat-type>4</beat-type></time></attributes>"
)
BACK = '<barline location="right">{}<repeat direction="backward"/></barline>'
ENDING = '<barline location="left"><ending number="{}" type="start"/></barline>'
STOP = '<ending number="{}" type="stop"/>'


def harmony(root, kind, text=None, degrees=(), bass="", late=0):
    said = "" if text is None else f' text="{text}"'
    parts = "".join(
        f"<degree><degree-value>{d}</degree-value><degree-alter>{alter}</degree-alter><degree-type>{how}</degree-type></degree>"
        for d, alter, how in degrees
    )
    below = f"<bass><bass-step>{bass}</bass-step></bass>" if bass else ""
    place = f"<offset>{late}</offset>" if late else ""
    return (
        f"<harmony><root><root-step>{root}</root-step></root><kind{said}>{kind}</kind>{below}{parts}{place}</harmony>"
    )


def rest(beats):
    return f"<note><rest/><duration>{int(beats * 12)}</duration></note>"


def written(path, measures, head="", fifths=0, beats=4, first=1):
    """A MusicXML file with these measures."""
    pytest.importorskip("music21")
    measures = [ATTRIBUTES.format(fifths, beats) + measures[0], *measures[1:]]
    inside = "".join(f'<measure number="{i}">{measure}</measure>' for i, measure in enumerate(measures, first))
    parts = '<part-list><score-part id="P1"><part-name>x</part-name></score-part></part-list>'
    path.write_text(f'<score-partwise version="4.0">{head}{parts}<part id="P1">{inside}</part></score-partwise>')
    return path


def notated(path):
    (tune,) = tune_reading.read(path)["train"]
    return tune


C, F, G, AM = harmony("C", "major"), harmony("F", "major"), harmony("G", "dominant"), harmony("A", "minor")


def test_harmonies_of_all_kinds(tmp_path):
    cases = {
        harmony("C", "other", "7alt"): "C7alt",
        harmony("F", "dominant", "7", [(9, -1, "add"), (11, 1, "add")]): "F7b9#11",
        harmony("F", "dominant", "7b9#11", [(9, -1, "add"), (11, 1, "add")]): "F7b9#11",
        harmony("G", "suspended-fourth", "7sus"): "G7sus4",
        harmony("G", "suspended-fourth", None, [(7, 0, "add")]): "G7sus4",
        harmony("D", "half-diminished", "\u00f87"): "Dm7b5",
        harmony("D", "dominant", "", [(3, 0, "subtract")]): "D7no3",
        harmony("D", "dominant", None, [(5, 1, "alter")]): "D7#5",
        harmony("D", "dominant-ninth", None, [(11, 1, "add"), (13, 0, "add")]): "D13#11",
        harmony("G", "major", None, [(9, 0, "add")]): "Gadd9",
        harmony("G", "minor-seventh", None, [(9, 0, "add")]): "Gm9",
        harmony("G", "augmented", None, [(7, 1, "add")]): "Gmaj7#5",
        harmony("A", "minor", "-", bass="G"): "Am/G",
        harmony("A", "minor", "nonsense"): "Am",
        harmony("A", "none", "N.C."): "N.C.",
    }
    tune = notated(written(tmp_path / "a.xml", [symbol + rest(4) for symbol in cases]))
    assert [event.chord.symbol for event in tune.events] == list(cases.values())
    assert {event.beats for event in tune.events} == {4}


@pytest.mark.parametrize(
    "measures, prompt",
    [
        ([C + rest(3) + F + rest(1), G + rest(4)], "C:3 F:1 G7:4"),
        ([C + harmony("F", "major", late=24), G], "C:2 F:2 G7:4"),  # without any notes
        ([rest(4), rest(2) + C + rest(2)], "N.C.:6 C:2"),
        ([rest(1), C + rest(4), F + rest(3)], "C:4 F:4"),  # a pickup without chords
        ([G + rest(1), C + rest(4), F + rest(3)], "N.C.:3 G7:1 C:4 F:4"),
        ([C + rest(4), F + rest(2)], "C:4 F:2"),
        ([C + rest(4) + BACK.format(""), F + rest(4)], "C:4 C:4 F:4"),
        (
            [C + rest(4), ENDING.format(1) + F + rest(4) + BACK.format(STOP.format(1))]
            + [ENDING.format(2) + G + rest(4) + f'<barline location="right">{STOP.format(2)}</barline>', AM + rest(4)],
            "C:4 F:4 C:4 G7:4 Am:4",
        ),
        ([C + F + rest(4)], "C:4"),  # two at once
        ([C + rest(4) + F], "C:4 F:4"),  # behind the last note
    ],
)
def test_chords_last_until_the_next(tmp_path, measures, prompt):
    assert prompt_of(notated(written(tmp_path / "a.musicxml", measures))) == prompt


def test_what_a_file_says_about_the_tune(tmp_path):
    head = "<work><work-title>My  tune</work-title></work>"
    speed = '<direction><sound tempo="132"/></direction>'
    tune = notated(written(tmp_path / "a.xml", [speed + C + rest(3), AM + rest(3)], head, fifths=0, beats=3))
    assert (tune.title, tune.meter, tune.tempo, tune.key) == ("My tune", (3, 4), 132, "Am")
    tune = notated(written(tmp_path / "b.xml", [AM + rest(4), C + rest(4)]))
    assert (tune.title, tune.meter, tune.tempo, tune.key) == ("b", (4, 4), 0, "C")
    assert notated(written(tmp_path / "c.xml", [C + rest(4)], fifths=-3)).key == "Eb"


def test_scores_of_music21_are_read_back(tmp_path):
    music21 = pytest.importorskip("music21")
    draw, symbols = random.Random(3), ["C", "Dm7", "G7", "B-maj7", "F#m", "E-6", "Am7/G", "Bdim", "C13", "Fm6"]
    part, expected = music21.stream.Part(), []
    for number in range(1, 13):
        measure = music21.stream.Measure(number=number)
        if number == 1:
            measure.timeSignature, measure.keySignature = music21.meter.TimeSignature("4/4"), music21.key.Key("d")
            measure.insert(0, music21.tempo.MetronomeMark(number=90))
        start = 0
        for beats in draw.choice([[4], [2, 2], [3, 1], [1.5, 2.5], [1, 1, 2]]):
            figure = draw.choice(symbols)
            measure.insert(start, music21.harmony.ChordSymbol(figure))
            measure.insert(start, music21.note.Note("C4", quarterLength=beats))
            expected.append((figure.replace("-", "b"), beats))
            start += beats
        part.append(measure)
    score = music21.stream.Score([part])
    score.metadata = music21.metadata.Metadata(title="Random")
    for suffix, kind in (("musicxml", "musicxml"), ("mxl", "mxl")):
        score.write(kind, tmp_path / f"a.{suffix}")
        tune = notated(tmp_path / f"a.{suffix}")
        assert [(event.chord.symbol, event.beats) for event in tune.events] == expected
        assert (tune.title, tune.key, tune.tempo) == ("Random", "Dm", 90)


def test_what_is_wrong_in_musicxml_is_named_with_its_bar(tmp_path):
    path = tmp_path / "a.xml"
    assert "no chord symbols" in refusal(written(path, [rest(4)]))
    assert "bar 2: 'Cxyz'" in refusal(written(path, [F + rest(4), harmony("C", "other", "xyz") + rest(4)]))
    off = ATTRIBUTES.replace(">12<", ">128<").format(0, 4) + C + rest(131 / 12) + F + rest(381 / 12)
    assert "bar 2: " in refusal(written(path, [C + rest(4), off]))
    assert "bar 1: a chord symbol without a root" in refusal(
        written(path, ["<harmony><function>II</function><kind>major</kind></harmony>" + rest(4)])
    )
    for text in ("no XML", "<score-partwise>", "<html><body/></html>"):
        path.write_text(text)
        assert "a.xml: " in refusal(path)
