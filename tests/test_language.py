"""The language task from end to end: training, evaluating and writing through the command line."""

import contextlib
import dataclasses
import io
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tasks.language import Language
from tests.test_text_generator import TEXT, UNITS, Reference, corpus
from zoo import serving, training
from zoo.run import Run
from zoo.text_likelihood import longest_shared

SETTINGS = [f"units={UNITS}", "depth=2", "embedding_dim=12", "batch_size=8", "k1=16", "k2=16", "epochs=1"]
SETTINGS += ["learning_rate=0.02", "dropout=0.1", "weight_dropout=0.1", "cache=300"]
TEST = TEXT[-2_000:]  # about: the file is cut by bytes


def command(data, runs, *settings):
    given = [part for value in [*SETTINGS, *settings] for part in ("--set", value)]
    return ["train", "language", "--data", str(data), "--runs", str(runs), *given]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "plays.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def trained(file, tmp_path_factory):
    """The runs folder of a training that was cut off after 40 steps, and then gone on with; and what that said."""
    from zoo import cli

    runs, save, saved = tmp_path_factory.mktemp("runs"), training.Checkpoint.save, itertools.count(1)

    def cut_off(self, state):
        save(self, state)
        if next(saved) == 40:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Checkpoint, "save", cut_off)
        with pytest.raises(Killed):
            cli.main(command(file, runs, "checkpoint_seconds=0"))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.main(command(file, runs)) == 0
    return runs, said.getvalue()


@pytest.fixture(scope="module")
def run(file, trained):
    return Run("language", str(file), trained[0])


@pytest.fixture(scope="module")
def export(run):
    return run.folder / "export"


@pytest.fixture(scope="module")
def model(export):
    return serving.load(export)


@pytest.fixture
def loaded(model, monkeypatch):
    """For tests of what is refused: the command line need not load the model again for each."""
    monkeypatch.setattr(serving, "load", lambda path: model)


# Training -------------------------------------------------------------------------------------------------------------


def test_it_learns(run, model):
    """Better than the frequencies of single characters, with a model card that knows the symbols."""
    counts = np.array([TEXT.count(c) for c in set(TEXT)]) / len(TEXT)
    (row,) = (run.folder / "history.csv").read_text().splitlines()[1:]
    assert (run.folder / "curves.png").is_file() and row.startswith("1,")
    assert -model.score(TEST).mean() < 0.7 * -(counts * np.log(counts)).sum()
    assert model.card["task"] == "language" and sorted(set(TEXT)) == model.card["symbols"]
    assert sum(model.card["data"]["splits"].values()) == len(TEXT)
    assert not list(run.folder.glob("*.symbols")) and not (run.folder / "checkpoint").exists()


def test_a_killed_training_is_gone_on_with(trained):
    """That it ends where one without interruption does, carried states and all, tests/test_truncated_bptt.py shows."""
    assert "resuming from the checkpoint at step 40 (epoch 1)" in trained[1] and "epoch 1/1" in trained[1]


@pytest.mark.parametrize(
    ("content", "settings", "part"),
    [
        (b"a", (), "1 character; expected at least 100"),
        (b"", (), "0 characters; expected at least 100"),
        (bytes(range(1, 256)) * 9, (), "line 2: not UTF-8 text (byte 0x80)"),
        (b"words " * 99 + b"\0", (), "NUL character"),
        (b"words " * 99, ("k1=20", "k2=10"), "k1=20, k2=10: expected k1 to be at most k2"),
        (b"words " * 99, ("k1=0",), "k1=0: expected a whole number at least 1"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(content, settings, part, refused, tmp_path):
    (tmp_path / "corpus.txt").write_bytes(content)
    assert part in refused(*command(tmp_path / "corpus.txt", tmp_path / "runs", *settings))
    assert not list((tmp_path / "runs").rglob("*.npz"))


def test_a_hundred_characters_are_enough_for_streams(tmp_path):
    """A corpus that is shorter than a batch has fewer rows."""
    (tmp_path / "corpus.txt").write_text(corpus(100), encoding="utf-8")
    run = Run("language", str(tmp_path / "corpus.txt"), tmp_path / "runs")
    task = run.prepare(run.configure("", ["batch_size=64", "k1=20", "k2=20"]))
    batches, dev, size = run.batches(task)
    (x, counted), *_ = batches.take(1)
    assert x["symbols"].shape == (size // 21, 21) and run.steps(task, size) >= 1
    assert sum(counted.numpy().sum() for _, counted in dev) > 0


def test_tfds_text(mocked_tfds, tmp_path):
    """TFDS's own features and splits, with examples made up by TFDS."""
    mocked_tfds("tiny_shakespeare", ("train", "validation", "test"), 40)
    run = Run("language", "tiny_shakespeare", tmp_path / "runs")
    task = run.prepare(run.configure("", SETTINGS))
    text = "".join(row["text"].decode() for row in run.corpus.split("train").as_numpy_iterator())
    assert task.assets["symbols"] == sorted(set(text))
    ids = np.concatenate(list(task.encoded(run.corpus.split("train")).as_numpy_iterator()))
    assert "".join(task.assets["symbols"][i - 2] for i in ids) == text and ids.dtype == np.uint16
    batches, _, size = run.batches(task)
    assert size == len(text) == task.size(run.corpus.split("train"))
    (x, counted), *_ = batches.take(1)
    assert x["symbols"].shape == (8, 17) and counted.numpy().all()


def test_a_small_vocabulary_keeps_the_most_frequent(run):
    task = Language(dataclasses.replace(run.trained().config, vocabulary_size=3))
    task.learn(tf.data.Dataset.from_tensor_slices({"text": ["aabbbcd\U0001d11e\U0001d11e", "\U0001d11e"]}))
    assert task.assets["symbols"] == ["a", "b", "\U0001d11e"]
    assert task._ids("acb\U0001d11e\ufffdz\U0010ffff").numpy().tolist() == [2, 1, 3, 4, 1, 1, 1]


FRESH = """
import json, sys, tensorflow as tf
module = tf.saved_model.load(sys.argv[1])
read, write = (module.signatures[name] for name in ("read", "write"))
state, last = (read.structured_input_signature[1][name] for name in ("state", "last"))
state, last = tf.zeros([1, state.shape[1]]), tf.zeros([1], tf.int32)
found = read(text=tf.constant(["Ana sees Zoë"]), state=state, last=last)
scores = found["log_probabilities"].numpy()[0].tolist()
options = dict(length=tf.constant(60), first=tf.constant(0, tf.int64), seed=tf.constant(7, tf.int64))
options |= dict(temperature=tf.constant(0.8), top_k=tf.constant(0), top_p=tf.constant(1.0))
found = write(state=found["state"], last=found["last"], **options)
raw = "Ana sees Zoë" + found["text"].numpy()[0].decode()
default = module.signatures["serving_default"](tf.constant(["Ana ", "", "unknown: \\u4e2d"]))["text"].numpy()
assert len(module.signatures["serving_default"](tf.constant([""]))["text"].numpy()[0].decode()) == 200
assert "zoo" not in sys.modules
import zoo
model = zoo.load(sys.argv[1])
options = dict(length=60, seed=7, temperature=0.8)
same = [model.generate("Ana sees Zoë", **options), "".join(["Ana sees Zoë", *model.stream("Ana sees Zoë", **options)])]
print(json.dumps({"scores": scores, "texts": [raw, *same], "default": [text.decode() for text in default]}))
"""


def test_another_process_writes_the_same(export, model, script):
    """Through the raw signatures with TensorFlow alone, and through zoo.load."""
    found = json.loads(script(FRESH, export))
    np.testing.assert_allclose(found["scores"], model.score("Ana sees Zoë"), atol=1e-5)
    assert found["texts"] == [model.generate("Ana sees Zoë", 60, temperature=0.8, seed=7)] * 3
    assert len(found["default"][0]) == 4 + 200 and found["default"][2].startswith("unknown: \u4e2d")
    assert found["default"][0] == model("Ana ")["text"]


def test_scores_are_those_of_the_equations(run, model):
    symbols = json.loads((run.folder / "assets/symbols.json").read_text())
    reference = Reference(run.folder / "best.npz", symbols, run.trained().config)
    np.testing.assert_allclose(model.score(TEST[:500]), reference.score(TEST[:500]), atol=2e-4)
    assert model.generate("Zoë ", 40, temperature=0) == reference.most_probable("Zoë ", 40)


# Measuring ------------------------------------------------------------------------------------------------------------


def test_the_evaluation_is_of_the_scores(run, model, zoo, file):
    """Bits per character are the mean of -log2 p over the test text."""
    code, out, err = zoo("evaluate", "language", "--data", file, "--runs", run.folder.parent.parent)
    assert code == 0, err
    folder = run.folder / "evaluation/test"
    report = json.loads((folder / "report.json").read_text())["report"]
    text = TEXT[-report["characters"] :]
    scores = model.score(text)
    assert 1_900 < len(text) < 2_100 and report["unknown"] == 0
    assert report["bits_per_character"] == pytest.approx(-np.log2(np.exp(scores)).mean(), rel=1e-4)
    assert report["perplexity"] == pytest.approx(np.exp(-scores.mean()), rel=1e-4)
    low, high = report["nats_95"]
    assert low <= report["nats_per_character"] <= high
    sample = model.generate(text[: text.find("\n", 20) + 1], 2_000, temperature=0.8, seed=1)
    train = TEXT[: model.card["data"]["splits"]["train"]]
    assert report["longest_copied"] == longest_shared(sample[text.find("\n", 20) + 1 :], train)
    assert (folder / "surprise.png").read_bytes().startswith(b"\x89PNG")
    assert "bits per character" in out and "sample" not in report and "_sample" not in report
    assert model.card["training"]["config"]["k1"] == 16


def test_a_text_with_unknown_characters_is_evaluated(run, export, zoo, tmp_path):
    (tmp_path / "other.txt").write_text(corpus(1_000) + "\u4e2d\u6587" * 20, encoding="utf-8")
    line = ["--data", tmp_path / "other.txt", "--runs", tmp_path / "runs", "--model", export]
    code, _, err = zoo("evaluate", "language", *line)
    assert code == 0, err
    (path,) = (tmp_path / "runs").rglob("report.json")
    assert json.loads(path.read_text())["report"]["unknown"] == 40


# The command line -----------------------------------------------------------------------------------------------------


def test_generate_prints_the_prompt_and_the_text(export, model, zoo):
    line = ["generate", "language", "--model", export, "--prompt", "Zoë sees ", "--length", 40]
    code, out, err = zoo(*line, "--seed", 3, "--temperature", 0.7, "--top-k", 9, "--top-p", 0.95)
    assert code == 0 and "seed" not in err
    options = dict(temperature=0.7, top_k=9, top_p=0.95)
    assert out == model.generate("Zoë sees ", 40, seed=3, **options) + "\n"


def test_generate_tells_the_seed(loaded, export, model, zoo):
    code, out, err = zoo("generate", "language", "--model", export, "--prompt", "Zoë sees ", "--length", 40)
    seed = int(err.strip().removeprefix("seed: "))  # told, so that it can be had again
    assert code == 0 and out == model.generate("Zoë sees ", 40, temperature=0.8, seed=seed) + "\n"
    code, out, _ = zoo("generate", "language", "--model", export, "--seed", 1)
    assert code == 0 and len(out) == 500 + 1


def test_generate_writes_a_file(loaded, export, model, zoo, tmp_path):
    line = ["generate", "language", "--model", export, "--prompt", "Zoë ", "--length", 30, "--seed", 3]
    code, out, err = zoo(*line, "--out", tmp_path / "text.txt")
    assert code == 0 and f"written: {tmp_path / 'text.txt'}" in out, err
    assert (tmp_path / "text.txt").read_text(encoding="utf-8") == model.generate("Zoë ", 30, temperature=0.8, seed=3)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--bars", 8], "--bars: a language model has no such option"),
        (["--meter", "3/4"], "--meter: a language model has no such option"),
        (["--swing"], "--swing: a language model has no such option"),
        (["--prompt", "Ana \u4e2d"], "'\u4e2d' at character 4"),
        (["--length", -3], "length=-3: expected"),
        (["--temperature", -1], "temperature=-1.0: expected"),
        (["--top-p", 2], "top_p=2.0: expected"),
    ],
)
def test_generate_refuses(loaded, export, refused, options, part):
    assert part in refused("generate", "language", "--model", export, *options)


def test_generate_refuses_a_model_of_another_task(loaded, export, refused):
    assert "a model for language, not for jazz" in refused("generate", "jazz", "--model", export)


def test_predict_goes_on_with_every_line(loaded, export, model, zoo, tmp_path):
    (tmp_path / "prompts.txt").write_text("Ana sees \nZoë\n", encoding="utf-8")
    code, out, err = zoo("predict", "language", "--model", export, "--file", tmp_path / "prompts.txt")
    assert code == 0, err
    assert [json.loads(line) for line in out.splitlines()] == model(["Ana sees ", "Zoë"])


def test_a_damaged_model_is_told(export, refused, tmp_path):
    shutil.copytree(export, tmp_path / "export")
    with open(tmp_path / "export/variables/variables.data-00000-of-00001", "r+b") as opened:
        opened.truncate(100)
    assert "cut off or changed" in refused("generate", "language", "--model", tmp_path / "export")
