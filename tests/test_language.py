"""The language task from end to end: training through the command line, and what the SavedModel says and scores.

What the model computes is held against the LSTM's equations in NumPy, in float64, from the weights that were trained.
"""

import contextlib
import dataclasses
import io
import itertools
import json
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tasks.language import START, UNKNOWN, Language
from zoo import generation, serving, training
from zoo.errors import ZooError
from zoo.generation import Session
from zoo.run import Run
from zoo.text_likelihood import longest_shared

UNITS = 24
SETTINGS = [f"units={UNITS}", "depth=2", "embedding_dim=12", "batch_size=8", "k1=16", "k2=16", "epochs=1"]
SETTINGS += ["learning_rate=0.02", "dropout=0.1", "weight_dropout=0.1"]
NAMES = ["Ana", "Bob", "Zoë", "Öre"]
VERBS = ["sees", "asks", "likes", "feeds"]
ENDS = [".", "!", "?", " \U0001d11e"]  # a clef, of four bytes


def corpus(count: int, seed: int = 0) -> str:
    draw, text = random.Random(seed), ""
    while len(text) < count:
        text += f"{draw.choice(NAMES)} {draw.choice(VERBS)} {draw.choice(NAMES)}{draw.choice(ENDS)}\n"
    return text[:count]


TEXT = corpus(20_000)
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


# The reference --------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Reference:
    """The equations, character by character."""

    def __init__(self, run):
        with np.load(run.folder / "best.npz") as arrays:
            weights = [arrays[f"arr_{i}"].astype(float) for i in range(len(arrays))]
        self.table, *layers, self.kernel, self.bias = weights
        self.layers = [layers[:3], layers[3:]]
        self.symbols = json.loads((run.folder / "assets/symbols.json").read_text())

    def ids(self, text):
        return [2 + self.symbols.index(c) if c in self.symbols else UNKNOWN for c in text]

    def after(self, text):
        """The log-probabilities `[characters + 1, 2 + symbols]` of what follows each beginning of a text."""
        states, found = [[np.zeros(UNITS)] * 2 for _ in self.layers], []
        for token in [START, *self.ids(text)]:
            x, new = self.table[token], []
            for (kernel, recurrent, bias), (h, c) in zip(self.layers, states, strict=True):
                i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4)
                c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                x = sigmoid(o) * np.tanh(c)
                new.append((x, c))
            states, logits = new, x @ self.kernel + self.bias
            found.append(logits - np.log(np.exp(logits).sum()))
        return np.array(found)

    def score(self, text):
        return self.after(text)[np.arange(len(text)), self.ids(text)]

    def next(self, text):
        """The probabilities of what is said next, `[symbols]`: neither START nor an unknown character is."""
        p = np.exp(self.after(text)[-1][2:])
        return p / p.sum()

    def most_probable(self, text, count):
        for _ in range(count):
            text += self.symbols[self.next(text).argmax()]
        return text


@pytest.fixture(scope="module")
def reference(run):
    return Reference(run)


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
    batches, dev, size, steps = run.batches(task)
    (x, counted), *_ = batches.take(1)
    assert x["symbols"].shape == (size // 21, 21) and steps >= 1
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
    batches, _, size, _ = run.batches(task)
    assert size == len(text) == task.size(run.corpus.split("train"))
    (x, counted), *_ = batches.take(1)
    assert x["symbols"].shape == (8, 17) and counted.numpy().all()


def test_a_small_vocabulary_keeps_the_most_frequent(run):
    task = Language(dataclasses.replace(run.trained().config, vocabulary_size=3))
    task.learn(tf.data.Dataset.from_tensor_slices({"text": ["aabbbcd\U0001d11e\U0001d11e", "\U0001d11e"]}))
    assert task.assets["symbols"] == ["a", "b", "\U0001d11e"]
    assert task._ids("acb\U0001d11e\ufffdz\U0010ffff").numpy().tolist() == [2, 1, 3, 4, 1, 1, 1]


# Writing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", "Z", "Ana sees Zoë \U0001d11e\nBob "])
@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"temperature": 3.0}, {"top_k": 3}, {"top_p": 0.7}])
def test_the_prompt_and_so_many_characters_that_it_knows(model, prompt, options):
    for length in (0, 1, 77):
        text = model.generate(prompt, length, seed=1, **options)
        assert text.startswith(prompt) and len(text) == len(prompt) + length
        assert set(text) <= set(TEXT)


def test_the_seed_decides(model):
    texts = [model.generate("Ana ", 60, seed=seed) for seed in (1, 1, 2, -1, 2**40, 2**40)]
    assert texts[0] == texts[1] and texts[4] == texts[5] and len(set(texts)) == 4
    assert model.generate("Ana ", 60) != model.generate("Ana ", 60)  # without one, another each time


@pytest.mark.parametrize("options", [{"temperature": 0.8}, {"top_k": 5, "top_p": 0.9}, {"temperature": 0}])
def test_pieces_are_the_whole(model, options):
    """A stream in pieces of any size, and a session's reading and writing."""
    prompt, length = "Öre likes ", 50
    whole = model.generate(prompt, length, seed=5, **options)
    for piece in (1, 7, 16, 50, 99):
        assert prompt + "".join(model.stream(prompt, length, seed=5, piece=piece, **options)) == whole
    endless = model.stream(prompt, seed=5, **options)
    assert prompt + "".join(itertools.chain.from_iterable(itertools.islice(endless, 4)))[:length] == whole
    session = model.session()
    session.read(prompt[:4]), session.read(""), session.read(prompt[4:])
    assert prompt + "".join(session.write(n, seed=5, **options) for n in (3, 0, 40, 7)) == whole


def test_what_it_has_written_counts_as_read(model):
    session = model.session("Ana sees ")
    written = session.write(30, seed=3)
    np.testing.assert_allclose(session.read("Bob.\n"), model.score(f"Ana sees {written}Bob.\n")[-5:], atol=1e-5)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-6}, {"top_p": 0}])
@pytest.mark.parametrize("prompt", ["", "Bob asks "])
def test_the_most_probable_text(model, reference, prompt, options):
    for seed in (1, 2):
        assert model.generate(prompt, 40, seed=seed, **options) == reference.most_probable(prompt, 40)


def drawn(model, prompt, draws, **options):
    """How often each symbol comes after a prompt, of so many draws of each of 10 seeds."""
    session = Session(model, draws)
    if prompt:
        session.call("read", text=tf.constant([prompt] * draws))
    counts = dict.fromkeys(model.card["symbols"], 0)
    state, last = session.state, session.last
    for seed in range(10):
        session.state, session.last, session.drawn = state, last, 0
        given = dict(length=1, temperature=1.0, top_k=0, top_p=1.0, seed=seed) | options
        for text in session.draw(1, generation.draw_options(**given))["text"]:
            counts[text.decode()] += 1
    return np.array(list(counts.values()))


def misfit(counts, p):
    """The p-value of a chi-square test; what is expected less than 5 times is taken together."""
    from scipy import stats

    expected = counts.sum() * (p / p.sum())
    rare = expected < 5
    groups = [[*each[~rare], each[rare].sum()] for each in (counts, expected)]
    return stats.chisquare(*(group[: len(group) - (groups[1][-1] == 0)] for group in groups)).pvalue


@pytest.mark.parametrize("prompt", ["", "Ana", "Bob feeds "])
def test_draws_are_as_frequent_as_their_scores_say(model, prompt):
    p = np.exp([float(model.score(prompt + symbol)[-1]) for symbol in model.card["symbols"]])
    assert 0.97 < p.sum() < 1 + 1e-5  # the rest is an unknown character's
    counts = drawn(model, prompt, 400)
    assert misfit(counts, p) > 1e-3
    assert misfit(np.roll(counts, 1), p) < 1e-6  # the test can tell


def test_temperature_sharpens_and_nuclei_cut_off(model, reference):
    prompt, p = "Zoë ", reference.next("Zoë ")
    assert misfit(drawn(model, prompt, 400, temperature=0.5), p**2) > 1e-3
    best = np.sort(p)[::-1]
    third, nucleus = p >= best[2], p >= best[np.searchsorted(np.cumsum(best), 0.8)]
    for kept, options in ((third, {"top_k": 3}), (nucleus, {"top_p": 0.8})):
        counts = drawn(model, prompt, 400, **options)
        assert 1 < kept.sum() < len(p) and not counts[~kept].any()
        assert misfit(counts, np.where(kept, p, 0)) > 1e-3


def test_lists_and_bytes(model):
    prompts = ["Ana ", "", "Zoë "]
    assert model(prompts) == [{"text": model.generate(p, 200, temperature=0.8, seed=0)} for p in prompts]
    assert model("Ana ", length=5, seed=2) == {"text": model.generate("Ana ", 5, temperature=0.8, seed=2)}
    assert model("Zoë ".encode(), length=5) == model("Zoë ", length=5)


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


# Scores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 40, 2048, 2049, 2300])
def test_scores_are_those_of_the_equations(model, reference, length):
    text = corpus(length, seed=9)
    found = model.score(text)
    assert found.dtype == np.float32 and found.shape == (length,)
    np.testing.assert_allclose(found, reference.score(text), atol=2e-4)


def test_a_long_prompt_is_read_to_its_end(model, reference):
    prompt = corpus(generation.READ + 500, seed=4)
    written = model.generate(prompt, 12, temperature=0)
    assert written == reference.most_probable(prompt, 12)


@pytest.mark.parametrize("chunks", [1, 3, 64])
@pytest.mark.parametrize("read", [5, 2048])
def test_a_score_is_the_sum_over_a_session(model, monkeypatch, chunks, read):
    text = TEST[:200]
    whole = model.score(text)
    monkeypatch.setattr(generation, "READ", read)
    session = model.session()
    parts = [session.read("".join(part)) for part in np.array_split(list(text), chunks)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert sum(float(part.sum()) for part in parts) == pytest.approx(float(whole.sum()), rel=1e-5)


def test_an_empty_text(model):
    assert model.score("").shape == (0,) and model.score_long("")[0].shape == (0,)
    assert model.session("").read("").tolist() == []
    assert Language.evaluate(model, tf.data.Dataset.from_tensor_slices({"text": [""]}))["characters"] == 0


@pytest.mark.parametrize("count", [1, 31, 32, 33, 500])
def test_a_short_text_in_parts_has_the_same_scores(model, monkeypatch, count):
    """Up to 512 characters every part begins where the text does."""
    text = corpus(count, seed=2)
    ticks = []
    log_p, right = model.score_long(text, lambda *tick: ticks.append(tick))
    np.testing.assert_allclose(log_p, model.score(text), atol=1e-5)
    assert ticks[-1][0] == ticks[-1][1]
    if count < 50:
        expected = [model.generate(text[:i], 1, temperature=0)[-1] == text[i] for i in range(count)]
        assert right.tolist() == expected
    monkeypatch.setattr(generation, "READ", 20)
    np.testing.assert_allclose(model.score_long(text)[0], log_p, atol=1e-5)


def test_unknown_characters_of_a_long_text_are_scored_as_unknown(model, reference):
    text = "Ana sees \u4e2d and \U0010ffff.\nBob asks Zoë!\n"
    np.testing.assert_allclose(model.score_long(text)[0], reference.score(text), atol=2e-4)


def test_half_precision_scores_alike(run, model, tmp_path):
    """Weights stored as float16, and as many bytes fewer."""
    task, keras_model = run.model()
    task.config = dataclasses.replace(task.config, half=True)
    serving.write_saved_model(task.signatures(keras_model), task.resources, tmp_path)
    half = type(model)(tmp_path, model.card, tf.saved_model.load(str(tmp_path)))
    np.testing.assert_allclose(half.score(TEST[:300]), model.score(TEST[:300]), atol=0.05)
    assert len(half.generate("Ana ", 20, seed=1)) == 24
    size = lambda folder: (folder / "variables/variables.data-00000-of-00001").stat().st_size
    assert size(tmp_path) < 0.6 * size(model.path)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["generate", "stream", "session", "score", "read"])
def test_unknown_characters_are_named_with_their_place(model, call):
    function = model.session().read if call == "read" else getattr(model, call)
    with pytest.raises(ZooError) as error:
        function("Ana \u4e2d Zoë X\u4e2d")
    line = str(error.value)
    assert f"'\u4e2d' at character 4 is not among the {len(set(TEXT))} symbols" in line and "nor 'X'" in line
    assert "\n" not in line


@pytest.mark.parametrize("text", [7, None, ["Ana"]])
def test_what_is_no_text(model, text):
    with pytest.raises(ZooError, match="expected a string, got"):
        model.score(text)


BAD = [
    ({"length": -1}, "length=-1: expected a whole number from 0"),
    ({"length": 2.5}, "length=2.5: expected a whole number"),
    ({"length": "9"}, "length='9': expected a whole number"),
    ({"length": 2**31}, "length=2147483648"),
    ({"temperature": -0.1}, "temperature=-0.1: expected a number from 0"),
    ({"temperature": float("nan")}, "temperature=nan"),
    ({"temperature": float("inf")}, "temperature=inf"),
    ({"temperature": "hot"}, "temperature='hot'"),
    ({"top_k": -1}, "top_k=-1: expected a whole number from 0"),
    ({"top_k": 1.0}, "top_k=1.0"),
    ({"top_p": -0.1}, "top_p=-0.1: expected a number from 0 to 1"),
    ({"top_p": 1.1}, "top_p=1.1: expected a number from 0 to 1"),
    ({"seed": "x"}, "seed='x': expected a whole number"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options_are_refused(model, options, message):
    for call in (model.generate, model.stream, model.session().write):
        with pytest.raises(ZooError) as error:
            call(**options)
        assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("piece", [0, -1, 2.0, "a"])
def test_bad_pieces_are_refused(model, piece):
    with pytest.raises(ZooError, match="expected a whole number, at least 1"):
        model.stream("Ana", 5, piece=piece)


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
