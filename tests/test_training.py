"""Fit: schedules, clipping, stopping, and going on after a kill."""

import csv
import dataclasses
import itertools
import math
import re
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import training
from zoo.config import TrainingConfig
from zoo.errors import ZooError
from zoo.run import Run

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 3)).astype("float32"), RNG.normal(size=(64, 1)).astype("float32")


def line(config, steps=10, **compiling):
    """A compiled `y = x w + b`."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input([3]), keras.layers.Dense(1)])
    model.compile(training.optimizer(config, steps), "mse", **compiling)
    return model


def batches():
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)


def fit(config, folder, fingerprint="", model=None, monitor=("loss", "min"), steps=8):
    said = []
    model = model or line(config, config.epochs * steps)
    state = training.fit(model, batches().repeat(), batches(), config, folder, steps, monitor, fingerprint, said.append)
    return model, state, said


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Schedules and optimisers ---------------------------------------------------------------------------------------------

COSINE = lambda share: 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [  # 100 steps, of which 10 rise; shares of the peak
        (dict(schedule="constant"), {0: 0.1, 4: 0.5, 9: 1, 50: 1, 99: 1}),
        (dict(schedule="linear"), {0: 0.1, 9: 1, 10: 1, 55: 0.5, 99: 1 / 90, 100: 0, 200: 0}),
        (dict(schedule="linear", decay=0.5), {0: 0.1, 9: 1, 50: 1, 55: 1, 76: 24 / 45, 100: 0}),
        (dict(schedule="cosine"), {0: 0, 5: 0.5, 10: 1, 55: COSINE(0.5), 99: COSINE(89 / 90), 100: 0.01}),
        (dict(schedule="constant", warmup=0.0), {0: 1, 100: 1}),
        (dict(schedule="linear", warmup=0.0), {0: 1, 50: 0.5, 100: 0}),
        (dict(schedule="cosine", warmup=0.0), {0: 1, 50: COSINE(0.5), 100: 0.01}),
        (dict(schedule="linear", warmup=1.0), {0: 0.01, 99: 1}),
    ],
    ids=str,
)
def test_schedules(schedule, rates):
    config = TrainingConfig(**{"learning_rate": 0.2, "warmup": 0.1, **schedule})
    rate = training.optimizer(config, 100)._learning_rate
    found = {step: float(rate(tf.constant(step)) if callable(rate) else rate) for step in rates}
    assert found == pytest.approx({step: 0.2 * share for step, share in rates.items()}, abs=1e-7)


@pytest.mark.parametrize("clip", [0.0, 0.05, 1e6])
def test_gradients_are_clipped_by_their_global_norm(clip):
    config = TrainingConfig(optimizer="sgd", learning_rate=0.1, schedule="constant", warmup=0.0, clip_norm=clip)
    model = line(config)
    kernel, bias = model.get_weights()
    error = X @ kernel + bias - Y
    gradients = [2 * X.T @ error / len(X), 2 * error.mean(0)]
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
    assert 0.05 < norm < 1e6
    scale = clip / norm if 0 < clip < norm else 1.0
    model.train_on_batch(X, Y)
    for after, before, gradient in zip(model.get_weights(), (kernel, bias), gradients, strict=True):
        np.testing.assert_allclose(after, before - 0.1 * scale * gradient, rtol=1e-5, atol=1e-7)


# Scores, stopping, the best weights -----------------------------------------------------------------------------------


def test_scores_are_over_the_whole_pass_not_its_last_batch():
    model = line(TrainingConfig(), metrics=["mae"])
    uneven = tf.data.Dataset.from_tensor_slices((X, Y)).batch(24)  # 24, 24, 16
    error = model.predict(X, verbose=0) - Y
    expected = {"loss": float((error**2).mean()), "mae": float(np.abs(error).mean())}
    for _ in range(2):  # the second is not added to the first
        assert training.score(model, uneven) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("direction", "patience", "merits", "best", "epochs"),
    [
        ("max", 3, [0.5, 0.7, 0.6, 0.7, 0.6, 0.9], 2, 5),
        ("max", 1, [0.5, 0.7, 0.6, 0.9, 0.9, 0.9], 2, 3),
        ("max", 0, [0.5, 0.7, 0.6, 0.6, 0.6, 0.6], 2, 6),
        ("min", 2, [0.5, 0.4, 0.3, 0.35, 0.3, 0.1], 3, 5),
    ],
)
def test_early_stopping_and_best_weights(monkeypatch, tmp_path, direction, patience, merits, best, epochs):
    seen = []

    def score(model, _):
        seen.append(model.get_weights())
        return {"loss": 1.0, "merit": merits[len(seen) - 1]}

    monkeypatch.setattr(training, "score", score)
    config = TrainingConfig(epochs=6, patience=patience, learning_rate=0.1)
    model, state, said = fit(config, tmp_path, monitor=("merit", direction))
    assert (state.best_epoch, len(state.history), len(seen)) == (best, epochs, epochs)
    for found, expected in zip(model.get_weights(), seen[best - 1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(seen[best - 1][0], seen[-1][0])
    assert (f"the best was epoch {best}" in said[-1]) == (epochs < 6)


def test_what_a_training_leaves_behind(tmp_path, capsys):
    config = TrainingConfig(epochs=2)
    _, state, _ = fit(config, tmp_path, model=line(config, 16, metrics=["mae"]))
    last = state.history[-1]
    assert f"loss: {last['loss']:.4f} - mae: {last['mae']:.4f}" in capsys.readouterr().out
    rows = table(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["dev_loss"]) < float(rows[0]["dev_loss"])
    assert state.step == 16
    assert {"best.npz", "curves.png", "history.csv"} <= {p.name for p in tmp_path.iterdir()}
    assert not list(tmp_path.glob("writing-*")) and list((tmp_path / "tensorboard").iterdir())


def test_nan_names_the_step_and_what_to_change(tmp_path):
    config = TrainingConfig(optimizer="sgd", learning_rate=1e30, schedule="constant", warmup=0.0, clip_norm=0.0)
    with pytest.raises(ZooError, match=r"the loss became (nan|inf) at step \d+ \(epoch 1\).*learning_rate=1e\+29"):
        fit(config, tmp_path)


def test_nan_on_the_command_line(refused, corpus, training_of, tmp_path):
    wild = dict(optimizer="sgd", learning_rate=3e38, clip_norm=0, warmup=0, batch_size=20)
    assert re.search(r"at step \d+", refused(*training_of(tmp_path, corpus, **wild)))


# Going on ------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def interrupt(monkeypatch, config, folder, after: int):
    """Train until `after` checkpoints are written, then stop in the middle of it all."""
    save, saved = training.Checkpoint.save, itertools.count(1)

    def counted(self, state):
        save(self, state)
        if next(saved) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "save", counted)
        with pytest.raises(Killed):
            fit(config, folder, "this")


CONFIG = TrainingConfig(epochs=3, checkpoint_seconds=0.0, patience=0, learning_rate=0.05)


@pytest.mark.parametrize("after", [5, 8, 24])  # 8 steps an epoch, a checkpoint each
def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(monkeypatch, tmp_path, after):
    interrupt(monkeypatch, CONFIG, tmp_path / "cut", after)
    model, state, said = fit(CONFIG, tmp_path / "cut", "this")
    assert said[0].startswith(f"resuming from the checkpoint at step {after} ")
    whole, expected, _ = fit(CONFIG, tmp_path / "whole", "this")
    for found, weights in zip(model.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(found, weights, atol=1e-6)
    drop = lambda history: [{k: v for k, v in row.items() if k != "seconds"} for row in history]
    for row, expected_row in zip(drop(state.history), drop(expected.history), strict=True):
        assert row == pytest.approx(expected_row, abs=1e-6)


@pytest.mark.parametrize("fingerprint", ["this", "other"])
def test_only_a_checkpoint_of_the_same_configuration_and_data_is_taken_up(monkeypatch, tmp_path, fingerprint):
    interrupt(monkeypatch, CONFIG, tmp_path, 5)
    _, state, said = fit(CONFIG, tmp_path, fingerprint)
    assert said[0].startswith("resuming") == (fingerprint == "this")
    assert state.step == 24


SHORT = dict(epochs=2, batch_size=8, seed=7, dropout=0.2)  # 40 steps an epoch


@pytest.fixture(scope="module")
def killed(corpus, training_of, tmp_path_factory):
    """The runs folder of a `zoo train` process that was killed (SIGKILL) in the middle of an epoch."""
    runs = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-m", "zoo.cli", *training_of(runs, corpus, **SHORT, checkpoint_seconds=0)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 300
        while not list(runs.glob("*/*/checkpoint/ckpt-[6-9].index")):
            assert process.poll() is None, process.stderr.read().decode()
            assert time.monotonic() < end, "no checkpoint within five minutes"
            time.sleep(0.01)
    finally:
        process.kill()
        assert process.wait() in (-signal.SIGKILL, 1)
        process.stderr.close()
    return runs


def test_a_killed_process_is_gone_on_with_by_the_same_command(corpus, training_of, killed, tmp_path, zoo):
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    shutil.copytree(killed, cut)
    again = [sys.executable, "-m", "zoo.cli", *training_of(cut, corpus, **SHORT, checkpoint_seconds=0)]
    done = subprocess.run(again, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    step = int(re.search(r"resuming from the checkpoint at step (\d+) \(epoch [12]\)", done.stdout)[1])
    assert 0 < step < 80 and step % 40
    assert zoo(*training_of(whole, corpus, **SHORT))[0] == 0
    (_, found), (_, expected) = (Run("sentiment", str(corpus), runs).model() for runs in (cut, whole))
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    histories = [table(next(runs.glob("*/*/history.csv"))) for runs in (cut, whole)]
    for row, expected_row in zip(*histories, strict=True):
        assert set(row) == set(expected_row)
        for key in set(row) - {"seconds"}:
            assert float(row[key]) == pytest.approx(float(expected_row[key]), abs=1e-5), key


@pytest.mark.slow
def test_a_changed_configuration_begins_anew(corpus, training_of, killed, zoo):
    code, out, _ = zoo(*training_of(killed, corpus, units=6, seed=7))
    assert code == 0 and "resuming" not in out and "epoch 1/1" in out


@pytest.mark.slow
def test_bfloat16_trains_and_exports_float32(corpus, training_of, tmp_path, zoo):
    code, _, err = zoo(*training_of(tmp_path, corpus, precision="mixed_bfloat16"))
    assert code == 0, err
    assert keras.config.dtype_policy().name == "float32"
    _, model = Run("sentiment", str(corpus), tmp_path).model()
    assert {v.dtype for v in model.weights} == {"float32"}


def test_float16_trains_with_a_scaled_loss(tmp_path):
    config = TrainingConfig(epochs=2, learning_rate=0.1)
    with training.precision("mixed_float16"):
        model = line(config, 16)
    _, state, _ = fit(config, tmp_path, model=model)
    assert state.history[1]["dev_loss"] < state.history[0]["dev_loss"]


def test_the_moving_average_is_what_is_scored_and_kept(tmp_path):
    config = TrainingConfig(epochs=2, averaging=0.9, optimizer="sgd", schedule="constant", warmup=0.0, patience=0)
    steps, average = [], None

    class Recorder(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(self.model.get_weights())

    plain = line(dataclasses.replace(config, averaging=0.0), 16)
    plain.fit(batches().repeat(), steps_per_epoch=16, verbose=0, callbacks=[Recorder()])
    for i, weights in enumerate(steps):
        average = weights if i == 0 else [0.9 * a + 0.1 * w for a, w in zip(average, weights, strict=True)]
    model, state, _ = fit(config, tmp_path)
    for found, expected in zip(model.get_weights(), average, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    loss = float(np.mean((X @ average[0] + average[1] - Y) ** 2))
    assert state.history[-1]["dev_loss"] == pytest.approx(loss, rel=1e-5)
