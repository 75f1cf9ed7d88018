"""The command line: what it answers, and how it refuses."""

import gzip
import io
import json
import pathlib
import resource
import subprocess

import pytest

# Answers --------------------------------------------------------------------------------------------------------------

VERBS = ("train", "evaluate", "export", "predict", "tune", "list", "bench")

HELP = """
import sys
from zoo import cli
try:
    cli.main(["--help"])
except SystemExit as end:
    assert end.code == 0
assert cli.main(["list"]) == 0
assert not {"tensorflow", "keras", "numpy"} & set(sys.modules)
"""


def test_help_and_list_are_quick_and_do_without_tensorflow(script):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = script(HELP)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2  # seconds of work, not of waiting
    for verb in VERBS:
        assert f"\n  {verb} " in shown.replace("\n    ", "\n  ")
    assert "sentiment" in shown and "many-to-one" in shown and "review -> polarity" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, zoo):
    with pytest.raises(SystemExit) as end:
        zoo(verb, "--help")
    assert end.value.code == 0


def test_list_of_a_task_shows_presets_and_every_setting(zoo):
    from tasks.sentiment import Config

    code, out, _ = zoo("list", "sentiment")
    assert code == 0 and "preset small: " in out and "preset base: " in out
    for key in Config.__dataclass_fields__:
        assert f"  {key}=" in out


@pytest.fixture
def predict(zoo, tiny):
    """`zoo predict` with the tiny model: the answers, one a line."""

    def call(*argv):
        code, out, err = zoo("predict", "sentiment", "--model", tiny.folder / "export", *argv)
        assert (code, err) == (0, "")
        return [json.loads(line) for line in out.splitlines()]

    return call


def stdin(monkeypatch, content: bytes):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_predict_answers_arguments_a_file_and_standard_input_alike(predict, served, monkeypatch, tmp_path):
    texts = ["I love it", "", "-- not --good", "caf\u00e9 \U0001f600"]
    expected = pytest.approx([answer["probability"] for answer in served(texts)], abs=1e-6)
    (tmp_path / "in.txt").write_bytes("\r\n".join(texts).encode())
    stdin(monkeypatch, "\n".join([*texts, ""]).encode())
    for answers in (predict("--", *texts), predict("--file", tmp_path / "in.txt"), predict()):
        assert [answer["probability"] for answer in answers] == expected
        assert all(answer.keys() == {"label", "probability"} for answer in answers)


@pytest.mark.parametrize(
    ("argv", "inputs"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "--model", "M"], ["a"]),
        (["--model", "M", "a", "b"], ["a", "b"]),
        (["--model", "M", "--", "--a", "-b"], ["--a", "-b"]),
        (["--model", "M", "--", ""], [""]),
        (["--model", "M"], []),
    ],
    ids=str,
)
def test_inputs_may_stand_before_or_after_the_options(argv, inputs):
    from zoo.cli import _parse

    assert _parse(["predict", "sentiment", *argv]).input == inputs


@pytest.mark.parametrize(
    "argv", [["predict", "sentiment", "--modle", "M"], ["train", "sentiment", "extra"], []], ids=str
)
def test_what_the_parser_does_not_know(argv, zoo):
    with pytest.raises(SystemExit) as end:
        zoo(*argv)
    assert end.value.code == 2


def test_predict_takes_lines_that_are_not_utf8(predict, monkeypatch):
    stdin(monkeypatch, b"fine\n\xff\xfe bad \xe9\n\nlast")
    assert len(predict()) == 4


def test_predict_answers_more_lines_than_it_holds_at_once_in_their_order(predict, served, tmp_path):
    texts = [f"line {i} {'good ' * (i % 7)}" for i in range(600)]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    answers = predict("--file", tmp_path / "in.txt")
    assert [a["probability"] for a in answers] == pytest.approx([a["probability"] for a in served(texts)], abs=1e-5)


def test_evaluate_writes_a_report_and_export_carries_it_to_the_card(zoo, tiny, tmp_path):
    runs = tiny.folder.parent.parent
    code, out, err = zoo("evaluate", "sentiment", "--runs", runs)
    assert code == 0, err
    report = json.loads((tiny.folder / "evaluation" / "test" / "report.json").read_text())["report"]
    assert f"{report['accuracy']:.4f}" in out and report["examples"] == 1000
    (tmp_path / "facts.json").write_text(json.dumps({"published": [{"system": "a coin", "score": 0.5}]}))
    argv = ("--facts", tmp_path / "facts.json", "--out", tmp_path / "shelf" / "7")
    code, _, err = zoo("export", "sentiment", "--runs", runs, *argv)
    assert code == 0, err
    card = json.loads((tmp_path / "shelf" / "7" / "model_card.json").read_text())
    assert (card["version"], card["metrics"]["test"]["report"]) == (7, report)
    assert "| a coin | 0.5 |" in (tmp_path / "shelf" / "7" / "MODEL_CARD.md").read_text()


def test_what_a_report_keeps_to_itself_is_drawn_but_not_written(tiny, monkeypatch):
    seen = {}
    evaluate = tiny.task_class.evaluate

    def draw(report, folder, examples=None):
        seen.update(report=report, examples=examples)
        return []

    private = {"_texts": ["a sentence of somebody's corpus"]}
    monkeypatch.setattr(tiny.task_class, "evaluate", lambda *inputs: evaluate(*inputs) | private)
    monkeypatch.setattr(tiny.task_class, "draw", draw)
    report = tiny.evaluate("dev")
    written = (tiny.folder / "evaluation" / "dev" / "report.json").read_text()
    assert "_texts" not in report and "somebody" not in written and json.loads(written)["report"] == report
    assert seen == {"report": report | private, "examples": tiny.corpus.split("dev")}


# Refusals: status 2 and one line --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_task(verb, refused):
    assert refused(verb, "poetry").startswith("unknown task 'poetry'; there are: ")


@pytest.mark.parametrize(
    ("argv", "parts"),
    [
        (("--preset", "huge"), ("'huge'", "small, base")),
        (("--set", "unit=3"), ("--set unit", "valid keys: ", "units", "learning_rate")),
        (("--set", "units=many"), ("--set units=many", "a whole number")),
        (("--set", "units"), ("key=value",)),
        (("--set", "cell=rnn3"), ("--set cell=rnn3", "lstm")),
        (("--data", "no_such_data"), ("no_such_data", "neither a path nor a TFDS data set")),
        (("--data", "no/such/folder"), ("no/such/folder: no such file or folder",)),
    ],
    ids=str,
)
def test_train_with_a_wrong_argument(argv, parts, refused, corpus, tmp_path):
    line = refused("train", "sentiment", "--runs", tmp_path, *(() if "--data" in argv else ("--data", corpus)), *argv)
    assert all(part in line for part in parts), line


def test_an_unknown_tuner(refused, corpus, tmp_path):
    line = refused("tune", "sentiment", "--data", corpus, "--runs", tmp_path, "--tuner", "grid")
    assert line == "unknown tuner 'grid'; there are: hyperband, random, bayesian"


@pytest.mark.parametrize(("option", "value"), [("--trials", 0), ("--epochs", -1)])
def test_searches_of_no_length(option, value, refused, corpus, tmp_path):
    line = refused("tune", "sentiment", "--data", corpus, "--runs", tmp_path, option, value)
    assert line == f"{option} {value}: expected a whole number at least 1"


GOOD = b"text,label\na fine film,positive\na bad film,negative\n"
FILES = {
    "no column": (b"review,label\na,b\n", ("line 1", "'text'", "review, label")),
    "no label column": (b"text;label\na;b\n", ("line 1", "'text'", "text;label")),
    "too few fields": (GOOD + b"alone\n", ("line 4", "1 fields, expected 2")),
    "too many fields": (b'text,label\n"two\nlines",b\na,b,c\n', ("line 4", "3 fields, expected 2")),
    "no label": (GOOD + b"a film, \n", ("line 4", "the label is empty")),
    "open quote": (GOOD + b'"never closed,positive\n', ("line 4", "not valid CSV")),
    "one class": (
        b"text,label\n" + b"".join(b"film %d,positive\n" % i for i in range(60)),
        ("positive", "two classes"),
    ),
    "empty": (b"", ("empty", "text,label")),
    "header only": (b"text,label\n", ("no rows",)),
    "cut-off gzip": (gzip.compress(GOOD * 100)[:-20], ("damaged or cut-off gzip",)),
    "no gzip at all": (GOOD, ("damaged or cut-off gzip",)),
    "damaged gzip": (gzip.compress(GOOD * 100, mtime=0)[:20] + b"!" * 400, ("damaged or cut-off gzip",)),
}


@pytest.mark.parametrize("case", FILES)
def test_a_malformed_table_is_named_with_its_line(case, refused, tmp_path):
    content, parts = FILES[case]
    path = tmp_path / ("train.csv.gz" if "gzip" in case else "train.csv")
    path.write_bytes(content)
    line = refused("train", "sentiment", "--runs", tmp_path / "runs", "--data", tmp_path)
    if case != "one class":
        assert line.startswith(f"{path}: "), line
    assert all(part in line for part in parts), line


def test_folders_without_texts(refused, tmp_path):
    line = refused("train", "sentiment", "--runs", tmp_path / "runs", "--data", tmp_path)
    assert str(tmp_path) in line and "train.csv" in line
    (tmp_path / "train" / "positive").mkdir(parents=True)
    line = refused("train", "sentiment", "--runs", tmp_path / "runs", "--data", tmp_path)
    assert line.startswith(f"{tmp_path}/train: no text files")


def test_predict_with_nothing_to_answer(refused, monkeypatch, tmp_path):
    (tmp_path / "empty.txt").touch()
    assert str(tmp_path / "empty.txt") in refused("predict", "sentiment", "--file", tmp_path / "empty.txt")
    assert "No such file" in refused("predict", "sentiment", "--file", tmp_path / "missing.txt")
    assert "irectory" in refused("predict", "sentiment", "--file", tmp_path)
    assert "not both" in refused("predict", "sentiment", "--file", tmp_path / "empty.txt", "a text")
    stdin(monkeypatch, b"")
    assert refused("predict", "sentiment").startswith("standard input: empty")


@pytest.mark.parametrize("option", ["--beam-width", "--max-length"])
def test_options_that_a_model_does_not_have(option, refused, tiny):
    line = refused("predict", "sentiment", "--model", tiny.folder / "export", "text", option, 3)
    assert line == f"{option}: this sentiment model has no such option"


def test_pictures_of_answers_that_a_model_cannot_draw(refused, tiny, tmp_path):
    argv = ("predict", "sentiment", "--model", tiny.folder / "export", "text")
    assert "--out draws clips and pictures" in refused(*argv, "--out", tmp_path / "out.png")
    assert "no attention" in refused(*argv, "--attention", tmp_path / "out.png")


def test_make_predict_passes_everything_on(tmp_path):
    checkout = pathlib.Path(__file__).resolve().parent.parent
    zoo = tmp_path / "bin" / "zoo"
    zoo.parent.mkdir()
    zoo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    zoo.chmod(0o755)
    values = ["TASK=captioning", "INPUT=my photo $1.jpg", "ATTENTION=out 2.png", "OUT=a'b.png"]
    command = ["make", "-s", "-o", zoo, "predict", f"VENV={tmp_path}", *(value.replace("$", "$$") for value in values)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=60)
    expected = ["predict", "captioning", "--out", "a'b.png", "--attention", "out 2.png", "--", "my photo $1.jpg"]
    assert (done.stderr, done.stdout.splitlines()) == ("", expected)


def test_models_and_runs_that_are_not_there(refused, corpus, tiny, tmp_path):
    runs = ("--runs", tmp_path)
    assert "first: make train TASK=sentiment" in refused("export", "sentiment", "--data", corpus, *runs)
    assert str(tmp_path) in refused("predict", "sentiment", "--model", tmp_path, "text")
    there = ("--runs", tiny.folder.parent.parent)
    assert "exists already" in refused("export", "sentiment", "--out", tmp_path, *there)
    (tmp_path / "facts").write_text("{")
    assert "not JSON" in refused("export", "sentiment", "--out", tmp_path / "x", "--facts", tmp_path / "facts", *there)


def test_evaluate_on_other_labels_or_a_split_that_is_not_there(refused, tiny, tmp_path):
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(f"film {i},{'ab'[i % 2]}\n" for i in range(60)))
    argv = ("evaluate", "sentiment", "--data", tmp_path, "--runs", tmp_path, "--model", tiny.folder / "export")
    assert "has no test split; it has: train, dev" in refused(*argv)
    assert "knows no label a, b; it knows: negative, positive" in refused(*argv, "--split", "dev")


# Disks ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """Mounts a small file system: `disk("size=300k")`."""
    mounted = []

    def mount(options: str) -> pathlib.Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"mounting a tmpfs needs root: {error}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reason"),
    [("size=8k", "full"), ("size=40k", "full"), ("size=100k", "full"), ("size=300k", "full"), ("ro", "read-only")],
)
def test_train_onto_a_disk_that_cannot_take_it(options, reason, disk, refused, corpus, training_of):
    assert f"the disk is {reason}" in refused(*training_of(disk(options), corpus))


@pytest.mark.parametrize("options", ["size=300k", "ro"])
def test_the_built_in_corpus_onto_a_disk_that_cannot_take_it(options, disk, refused, training_of):
    assert "the disk is" in refused(*training_of(disk(options)))


@pytest.mark.parametrize(
    ("options", "reason"), [("size=16k", "full"), ("size=100k", "full"), ("size=300k", "full"), ("ro", "read-only")]
)
def test_export_onto_a_disk_that_cannot_take_it_leaves_nothing(options, reason, disk, refused, tiny):
    folder = disk(options)
    runs = ("--runs", tiny.folder.parent.parent)
    assert f"the disk is {reason}" in refused("export", "sentiment", "--out", folder / "1", *runs)
    assert not list(folder.iterdir())


def test_export_onto_a_disk_that_is_large_enough(disk, zoo, tiny):
    folder = disk("size=8m")
    code, _, err = zoo("export", "sentiment", "--out", folder / "1", "--runs", tiny.folder.parent.parent)
    assert code == 0, err
    assert [p.name for p in folder.iterdir()] == ["1"]
