"""The NER task from end to end: sources, training, and what the SavedModel answers."""

import contextlib
import json
import os
import pty
import random
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tasks.ner import Ner
from zoo import data, serving
from zoo.run import Run

NAMES = {"PER": ["Ana Silva", "Bruno", "Carla Reis"], "LOC": ["Porto", "New York", "Lisbon"]}


def sentences(count, seed):
    """Lines of CoNLL columns: persons go to places."""
    draw, lines = random.Random(seed), []
    for _ in range(count):
        for token in draw.choice(["PER went to LOC .", "in LOC PER slept", "PER met PER", "the train to LOC"]).split():
            name = draw.choice(NAMES[token]).split() if token in NAMES else [token]
            tags = [f"{'BI'[i > 0]}-{token}" if token in NAMES else "O" for i in range(len(name))]
            lines += [f"{word}\tX\t{tag}" for word, tag in zip(name, tags, strict=True)]
        lines.append("")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conll")
    for seed, (split, count) in enumerate({"train": 300, "dev": 60, "test": 60}.items()):
        (folder / f"my.{split}").write_text(sentences(count, seed))
    return folder


def command(files, runs, *settings):
    values = ["epochs=3", "batch_size=16", "units=16", "word_dim=16", "character_units=8", "learning_rate=0.02"]
    given = [part for value in [*values, "min_count=1", "dropout=0", *settings] for part in ("--set", value)]
    return ["train", "ner", "--data", str(files), "--runs", str(runs), *given]


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    from zoo import cli

    runs = tmp_path_factory.mktemp("runs")
    assert cli.main(command(files, runs)) == 0
    return Run("ner", str(files), runs)


@pytest.fixture(scope="module")
def model(run):
    return serving.load(run.folder / "export")


def test_it_learns_and_reports(run, zoo, files):
    code, out, err = zoo("evaluate", "ner", "--data", files, "--runs", run.folder.parent.parent)
    assert code == 0, err
    report = json.loads((run.folder / "evaluation/test/report.json").read_text())["report"]
    assert report["f1"] > 0.95 and report["f1_95"][0] <= report["f1"] <= report["f1_95"][1]
    assert set(report["classes"]) == {"LOC", "PER"} and report["novelty"]["known"]["entities"] == report["entities"]
    assert {p.name for p in (run.folder / "evaluation/test").iterdir()} == {
        "report.json",
        "entities.png",
        "confusion.png",
        "calibration.png",
    }
    assert "entity F1" in out and "wrong boundaries" in out


def test_answers_a_string_with_spans_and_offsets(model):
    text = "Yesterday  Ana Silva\twent to New York."
    answer = model(text)
    assert answer["tokens"] == ["Yesterday", "Ana", "Silva", "went", "to", "New", "York", "."]
    assert answer["tags"] == ["O", "B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", "O"]
    assert [(e["text"], e["label"]) for e in answer["entities"]] == [("Ana Silva", "PER"), ("New York", "LOC")]
    for entity in answer["entities"]:
        assert text[entity["start"] : entity["end"]] == entity["text"] and 0 < entity["confidence"] <= 1
    assert len(answer["confidences"]) == 8


def test_answers_tokens_in_place_of_a_string(model):
    tokens = ["Ana", "Silva", "went", "to", "New", "York", "."]
    cut, text = model([tokens, " ".join(tokens)])
    assert cut == text and cut["tokens"] == tokens
    assert model(tf.ragged.constant([tokens, ["Ana"]]))[0] == cut


def test_odd_inputs_get_an_answer(model):
    odd = [
        "",
        " \n",
        "Porto",
        "\U0001f600 \u65e5\u672c",
        b"caf\xe9 \xff Porto",
        "a\x00b",
        "x" * 5000,
        [],
        [""],
        ["Porto"],
    ]
    answers = model(odd)
    assert [len(a["tokens"]) for a in answers] == [0, 0, 1, 2, 4, 2, 1, 0, 1, 1]
    for answer in answers:
        assert len(answer["tokens"]) == len(answer["tags"]) == len(answer["confidences"])
        assert np.isfinite(answer["confidences"]).all()
    assert answers[2] == answers[9]


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    texts = ["Bruno met Carla Reis", "in Lisbon Bruno slept", "", "the train to Porto " * 40]
    for alone, together in zip(map(model, texts), model(texts), strict=True):
        assert alone["tags"] == together["tags"]
        np.testing.assert_allclose(alone["confidences"], together["confidences"], atol=1e-5)


def test_ten_thousand_tokens(model):
    tokens = ["Bruno", "went", "to", "New", "York"] * 2000
    answer, short = model([tokens, ["Bruno"]])
    assert len(answer["tags"]) == 10_000 and len(short["tags"]) == 1
    assert answer["entities"][-1]["end"] == len(" ".join(tokens))
    found = {entity["text"] for entity in answer["entities"]}
    assert found == {"Bruno", "New York"} and len(answer["entities"]) == 4000


def test_what_is_no_input_is_refused(model):
    with pytest.raises(Exception, match="input 0: expected a string, got int"):
        model([3])
    with pytest.raises(Exception, match="input 0: expected a list of strings"):
        model([["a", 3]])


@pytest.mark.slow
def test_the_softmax_head_answers_in_iob2_too(files, tmp_path, zoo):
    code, out, err = zoo(*command(files, tmp_path, "head=softmax", "epochs=1", "learning_rate=0.003"))
    assert code == 0, err
    folder = next((tmp_path / "ner").iterdir())
    for answer in serving.load(folder / "export")(["Ana Silva Bruno went in New Porto", "met met New . Silva Reis"]):
        before = "O"
        for tag in answer["tags"]:
            assert tag[0] != "I" or before[2:] == tag[2:]
            before = tag
        assert len(answer["entities"]) == sum(tag[0] == "B" for tag in answer["tags"])


@pytest.mark.slow
def test_predict_writes_json_lines_in_a_pipe_and_colours_in_a_terminal(run, zoo):
    line = ["predict", "ner", "--model", str(run.folder / "export"), "Ana Silva went to Porto"]
    code, out, _ = zoo(*line)
    assert code == 0 and [e["text"] for e in json.loads(out)["entities"]] == ["Ana Silva", "Porto"]
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    subprocess.run([sys.executable, "-m", "zoo.cli", *line], stdout=theirs, env=environment, check=True, timeout=120)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end
        while part := os.read(ours, 4096):
            shown += part
    assert b"\x1b[1;32mAna Silva\x1b[0m" in shown and b"PER" in shown and b"{" not in shown


FRESH = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
out = model.signatures["serving_default"](tf.constant(["Ana Silva went to Porto", ""]))
assert out["entities_text"].numpy().tolist() == [[b"Ana Silva", b"Porto"], [b"", b""]], out
assert out["entities_count"].numpy().tolist() == [2, 0] and out["steps"].numpy().tolist() == [5, 0]
out = model.signatures["tokens"](tf.constant([["Ana", "Silva"], ["Porto", ""]]))
assert out["tags"].numpy().tolist() == [[b"B-PER", b"I-PER"], [b"B-LOC", b"O"]], out
assert "zoo" not in sys.modules
"""


@pytest.mark.slow
def test_tensorflow_alone_loads_it(run, script):
    script(FRESH, run.folder / "export")


@pytest.mark.parametrize("name", ["conll2003", "wikiann/en"])
def test_tfds(name, mocked_tfds):
    """TFDS's own features and splits, with examples made up by TFDS."""
    mocked_tfds(name, ("train", "dev" if name == "conll2003" else "validation", "test"), 30)
    corpus = data.open_corpus(Ner, name)
    assert set(corpus.splits) == {"train", "dev", "test"} and not corpus.dev_from_train
    rows = list(corpus.splits["train"].as_numpy_iterator())
    assert rows and all(len(row["tokens"]) == len(row["tags"]) > 0 for row in rows)
    tags = {tag.decode() for row in rows for tag in row["tags"]}
    assert tags <= {"O", *(f"{part}-{kind}" for part in "BI" for kind in ("PER", "LOC", "ORG", "MISC"))}
    for row in rows:
        for before, tag in zip([b"O", *row["tags"]], row["tags"], strict=False):
            assert tag[:1] != b"I" or before[2:] == tag[2:]


def test_a_tfds_corpus_without_tags_is_refused(tmp_path):
    builder = tfds.builder("imdb_reviews", data_dir=tmp_path)
    with pytest.raises(Exception, match="no corpus of tagged tokens"):
        Ner.from_tfds(builder)


@pytest.mark.parametrize(
    ("train", "part"),
    [
        ("Ana B-PER\nSilva X I-PER\n", "train.txt: line 2: 3 columns; expected 2"),
        ("Ana O\n\nleft O\n" * 20, "every training token is tagged O"),
    ],
)
def test_bad_files_are_refused(train, part, refused, tmp_path):
    (tmp_path / "train.txt").write_text(train)
    assert part in refused(*command(tmp_path, tmp_path / "runs"))
    assert not (tmp_path / "runs" / "ner").exists() or not list((tmp_path / "runs" / "ner").rglob("*.npz"))


@pytest.mark.slow
def test_a_missing_split_is_named(run, files, refused, tmp_path):
    for split in ("train", "dev"):
        (tmp_path / split).write_text(sentences(60, 9))
    line = refused("evaluate", "ner", "--data", tmp_path, "--runs", tmp_path / "runs", "--model", run.folder / "export")
    assert "no test split" in line


@pytest.mark.slow
def test_long_sentences_are_cut_in_training_and_told(files, tmp_path, zoo):
    (tmp_path / "dev.txt").write_text(sentences(10, 6))
    (tmp_path / "train.txt").write_text(sentences(60, 5) + "Bruno B-PER\n".replace(" ", "\tX\t") * 5000)
    code, _, err = zoo(*command(tmp_path, tmp_path / "runs", "epochs=1"))
    assert code == 0 and "1 training sentence is longer than 256 tokens" in err, err


def test_encoding_gives_the_tags_their_ids():
    from tasks.ner import Config

    task = Ner(Config(), {"labels": ["PER"], "words": ["", "[UNK]", "ana"], "characters": ["", "[UNK]", "a"]})
    x, y = task.encode(
        {
            "tokens": tf.ragged.constant([["Ana", "left"], ["Ana"]]),
            "tags": tf.ragged.constant([["B-PER", "O"], ["B-ORG"]]),
        }
    )
    assert y.to_list() == [[4, 0], [0]] and x[0, :, 0].numpy().tolist() == [2, 1]
