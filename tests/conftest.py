"""What the tests share: the command line called in-process, small corpora, and one tiny trained run."""

import csv
import os
import pathlib
import random
import subprocess
import sys

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # as zoo.cli does: TensorFlow's chatter is no part of stderr
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # tests compile much and run little

WORDS = {
    "positive": ["good", "great", "lovely", "superb", "fine", "wonderful"],
    "negative": ["bad", "awful", "dull", "dreadful", "poor", "terrible"],
}
FILLING = ["the", "film", "plot", "acting", "music", "was", "is", "and", "but", "it", "ending", "a", "script"]


def train_command(runs, data="", **settings) -> list[str]:
    """Arguments of `zoo train sentiment` for a minute model; `settings` win."""
    values = dict(epochs=1, units=8, embedding_dim=8, batch_size=100, max_length=64, learning_rate=0.02, dropout=0)
    assignments = [f"{key}={value}" for key, value in {**values, **settings}.items()]
    command = ["train", "sentiment", "--runs", str(runs), *(["--data", str(data)] if data else [])]
    return [*command, *(part for assignment in assignments for part in ("--set", assignment))]


def reviews(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label) pairs of 3 to 40 words, half of them positive."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        label = ("positive", "negative")[i % 2]
        words = [*draw.choices(FILLING, k=draw.randint(2, 39)), draw.choice(WORDS[label])]
        draw.shuffle(words)
        rows.append((" ".join(words), label))
    return rows


def write_table(path: pathlib.Path, rows, header=("text", "label")) -> pathlib.Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> pathlib.Path:
    """A folder with train.csv (320 reviews), dev.csv and test.csv (40 each)."""
    folder = tmp_path_factory.mktemp("reviews")
    for seed, (split, count) in enumerate({"train": 320, "dev": 40, "test": 40}.items()):
        write_table(folder / f"{split}.csv", reviews(count, seed))
    return folder


@pytest.fixture(scope="session")
def training_of():
    """`train_command`, for the tests."""
    return train_command


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The one trained run that most tests look at: `zoo train sentiment` on the built-in corpus, a minute model."""
    from zoo import cli
    from zoo.run import Run

    runs = tmp_path_factory.mktemp("runs")
    assert cli.main(train_command(runs)) == 0
    return Run("sentiment", "", runs)


@pytest.fixture(scope="session")
def served(tiny):
    """The tiny run's SavedModel, loaded."""
    from zoo import serving

    return serving.load(tiny.folder / "export")


@pytest.fixture
def zoo(capfd):
    """Calls the command line in this process: `code, out, err = zoo("predict", "sentiment", ...)`."""
    from zoo import cli

    def call(*argv):
        capfd.readouterr()
        code = cli.main([str(part) for part in argv])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def refused(zoo):
    """Calls the command line, which must answer with status 2 and one line; returns that line."""

    def call(*argv):
        code, _, err = zoo(*argv)
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("zoo: error: ") and "Traceback" not in err
        return err.removeprefix("zoo: error: ").strip()

    return call


@pytest.fixture(scope="session")
def script():
    """Runs Python code in a fresh process and returns its standard output."""

    def call(code: str, *argv) -> str:
        command = [sys.executable, "-c", code, *map(str, argv)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="session")
def differences():
    """The slopes of a scalar function at an array, by central finite differences."""

    def slopes_of(at, function, step=1e-5):
        slopes = np.zeros_like(at)
        for place in np.ndindex(at.shape):
            shift = np.zeros_like(at)
            shift[place] = step
            slopes[place] = (function(at + shift) - function(at - shift)) / (2 * step)
        return slopes

    return slopes_of


@pytest.fixture
def mocked_tfds(tmp_path):
    """A TFDS builder by name and splits, recorded as if it were downloaded; examples are made up by TFDS."""
    import contextlib

    import tensorflow_datasets as tfds

    with contextlib.ExitStack() as stack:

        def prepared(name, splits, examples):
            builder = tfds.builder(name, data_dir=tmp_path, try_gcs=False)
            info = dict(shard_lengths=[examples], num_bytes=0, filename_template=None)
            builder.info.set_splits(tfds.core.SplitDict([tfds.core.SplitInfo(name=split, **info) for split in splits]))
            builder.data_path.mkdir(parents=True)
            builder.info.write_to_directory(builder.data_path)
            stack.enter_context(tfds.testing.mock_data(num_examples=examples, data_dir=str(tmp_path)))
            return builder

        yield prepared
