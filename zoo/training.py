"""Fit: one training loop for every task.

It drives the model's own compiled `train_step` (so a task changes what a step does the Keras way), and adds what a long
training on an ordinary machine needs: checkpoints within an epoch, from which a killed run goes on with the very next
batch; best weights; early stopping; history as CSV, TensorBoard events and a picture.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import pathlib
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from zoo import plots
from zoo.errors import ZooError
from zoo.files import replacing


def optimizer(config, steps: int) -> keras.optimizers.Optimizer:
    """The optimiser and learning-rate schedule that a `TrainingConfig` asks for, over `steps` steps."""
    warmup = int(config.warmup * steps)
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else config.learning_rate,
            max(1, steps - warmup),
            alpha=0.01,
            warmup_target=config.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    else:
        fall = int(config.decay * (steps - warmup)) if config.schedule == "linear" else 0
        rate = LinearSchedule(config.learning_rate, steps, warmup, fall)
    options = dict(global_clipnorm=config.clip_norm or None, use_ema=config.averaging > 0)
    if config.averaging:
        options["ema_momentum"] = config.averaging
    if config.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **options)
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, **options)
    return keras.optimizers.Adam(rate, **options)


@keras.saving.register_keras_serializable("zoo")
class LinearSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up over `warmup` steps, then constant, then falling linearly to zero over the last `fall` steps."""

    def __init__(self, peak: float, steps: int, warmup: int, fall: int):
        self.peak, self.steps, self.warmup, self.fall = peak, steps, warmup, fall

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        rate = self.peak * tf.minimum(1.0, (step + 1) / max(1, self.warmup))
        if self.fall:
            rate *= tf.clip_by_value((self.steps - step) / self.fall, 0.0, 1.0)
        return rate

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps, "warmup": self.warmup, "fall": self.fall}


@contextlib.contextmanager
def precision(policy: str):
    """Layers made inside compute with this Keras dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def check_truncation(k1: int, k2: int) -> None:
    """`ZooError` where the gradient would not reach all of the symbols that an update is made for."""
    if k1 > k2:
        raise ZooError(f"configuration: k1={k1}, k2={k2}: expected k1 to be at most k2")


class TruncatedBPTT(keras.Model):
    """A model of a sequence without end, trained on windows of it: truncated backpropagation through time.

    An update is made every k1 symbols, by the gradient of their loss through the last k2 steps: BPTT(k2; k1) of
    Williams & Peng 1990. The state goes on from window to window, without a gradient; with k1 = k2 the windows are
    chunks that follow each other. Batches are those of `zoo.streams`.

    A model gives `read` and `losses`:

        read(inputs, states, training) -> (outputs, states): of inputs `[rows, time, ...]` and a list of states
            `[rows, width]`; `widths` are those of the states.
        losses(outputs, targets) -> (losses in nats, whether the most probable was right), float32 `[n]` each, of
            outputs and targets `[n, ...]`.

    Its loss is the mean over the symbols that count; `nats` is the same as a metric, exact over all batches.

    Args:
        k1: symbols between two updates; at most the length of a window.
    """

    def __init__(self, k1: int, **kwargs):
        super().__init__(**kwargs)
        self.k1 = k1
        self.nats, self.accuracy = keras.metrics.Mean("nats"), keras.metrics.Mean("accuracy")
        self.carried, self.widths = {}, []

    def carry(self, widths) -> None:
        """Say how wide the states are; the model begins without any."""
        self.widths = list(widths)
        some = lambda width: tf.Variable(tf.zeros([0, width]), shape=[None, width], trainable=False)
        self.carried = {phase: [some(width) for width in widths] for phase in ("training", "dev")}

    def call(self, inputs, training=False):
        symbols, begin = inputs["symbols"][:, :-1], inputs["begin"]
        carried = self.carried["training" if training else "dev"]
        states = [_carried(variable, begin) for variable in carried]
        inputs = self.inputs_of(symbols, begin)
        window = symbols.shape[1]
        cut = self.k1 if training and self.k1 < window else window
        outputs, states = self.read(inputs[:, :cut], states, training)
        for variable, state in zip(carried, states, strict=True):
            variable.assign(tf.stop_gradient(tf.cast(state, tf.float32)))
        if cut == window:
            return outputs
        rest, _ = self.read(inputs[:, cut:], states, training)
        return tf.nest.map_structure(lambda a, b: tf.concat([a, b], 1), outputs, rest)

    def inputs_of(self, symbols, begin):
        """What `read` gets for a window; `begin` says which rows have nothing before."""
        return symbols

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        counted = tf.where(y > 0)
        of = lambda each: tf.gather_nd(each, counted)
        losses, right = self.losses(tf.nest.map_structure(of, y_pred), of(x["symbols"][:, 1:]))
        self.nats.update_state(losses)
        self.accuracy.update_state(right)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32))


def _carried(variable, begin):
    """The states to go on from, zeros where a row begins anew."""
    rows, width = tf.shape(begin)[0], variable.shape[1]
    # No look at the variable's shape: TensorFlow takes that when it likes, maybe after the new value is assigned.
    state = tf.concat([tf.convert_to_tensor(variable), tf.zeros([rows, width])], 0)[:rows]
    return tf.where(begin[:, None], 0.0, state)


@dataclasses.dataclass
class State:
    """What a training remembers besides weights; kept in the checkpoint as JSON."""

    step: int = 0
    best: float | None = None
    best_epoch: int = 0
    seconds: float = 0.0
    history: list[dict] = dataclasses.field(default_factory=list)
    metrics: list = dataclasses.field(default_factory=list)  # their variables, in the middle of an epoch


class Checkpoint:
    """Model, optimiser, random states and `State` in one file set.

    A kill while it is written leaves the one before in force.
    """

    def __init__(self, folder: pathlib.Path, model: keras.Model, fingerprint: str):
        self.fingerprint = fingerprint
        self._json = tf.Variable("", dtype=tf.string, shape=[], trainable=False)
        weights = {id(variable) for variable in model.weights}
        seeds = [v.value for v in model.variables if id(v) not in weights]  # dropout's, which Keras does not track
        carried = {name: list(states) for name, states in getattr(model, "carried", {}).items()}
        tracked = tf.train.Checkpoint(
            model=model, optimizer=model.optimizer, json=self._json, seeds=seeds, carried=carried
        )
        self._tracked = tracked
        self._manager = tf.train.CheckpointManager(tracked, str(folder), max_to_keep=2)
        self.saved_at = time.monotonic()

    def restore(self) -> State | None:
        """The state of the last checkpoint, its weights loaded; None where there is none of this very training."""
        latest = self._manager.latest_checkpoint
        if not latest:
            return None
        saved = json.loads(tf.train.load_variable(latest, "json/.ATTRIBUTES/VARIABLE_VALUE"))
        if saved.pop("fingerprint") != self.fingerprint:
            return None
        self._tracked.restore(latest).assert_existing_objects_matched()
        return State(**saved)

    def save(self, state: State) -> None:
        self._json.assign(json.dumps({"fingerprint": self.fingerprint, **dataclasses.asdict(state)}))
        self._manager.save()
        self.saved_at = time.monotonic()


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    dev: tf.data.Dataset,
    config,
    folder: pathlib.Path,
    steps_per_epoch: int,
    monitor: tuple[str, str] = ("accuracy", "max"),
    fingerprint: str = "",
    say: Callable[[str], None] = print,
) -> State:
    """Train a compiled, built model; its best weights are loaded when this returns.

    Args:
        model: compiled with `optimizer(config, ...)`.
        train: endless and seeded: the batch of step n is the same in every run.
        dev: one pass; scored after each epoch.
        config: a `TrainingConfig`.
        folder: receives `checkpoint/`, `best.npz`, `history.csv`, `curves.png` and `tensorboard/`.
        steps_per_epoch: batches between two looks at dev.
        monitor: the dev score that decides, and whether `max` or `min` is better.
        fingerprint: what must be equal for a checkpoint to be taken up (configuration and data).
        say: where messages go.

    Raises:
        ZooError: the loss became NaN or infinite; says at which step and what to change.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(folder / "checkpoint", model, fingerprint)
    state = checkpoint.restore()
    if state is None:
        state = State()
    else:
        say(f"resuming from the checkpoint at step {state.step} (epoch {state.step // steps_per_epoch + 1})")
        score(model, dev.take(1))  # makes the metrics' variables
    model.make_train_function()
    board = tf.summary.create_file_writer(str(folder / "tensorboard"))
    batches = iter(train.skip(state.step))
    total = config.epochs * steps_per_epoch
    score_name, direction = monitor
    while state.step < total and not _stalled(state, config.patience):
        _one_epoch(model, batches, state, steps_per_epoch, config, checkpoint, say)
        epoch = state.step // steps_per_epoch
        with averaged(model):
            scores = score(model, dev)
            merit = scores[score_name] if direction == "max" else -scores[score_name]
            if state.best is None or merit > state.best:
                state.best, state.best_epoch = merit, epoch
                save_weights(model, folder / "best.npz")
        row = {"epoch": epoch, **state.history.pop(), **{f"dev_{k}": v for k, v in scores.items()}}
        state.history.append(row)
        with board.as_default(step=epoch):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
        board.flush()
        write_history(folder, state.history)
        say(_line(row, config.epochs, best=state.best_epoch == epoch))
        checkpoint.save(state)
    board.close()
    load_weights(model, folder / "best.npz")
    if state.step < total:
        say(f"stopped: no better dev {score_name} for {config.patience} epochs; the best was epoch {state.best_epoch}")
    return state


def _one_epoch(model, batches, state, steps_per_epoch, config, checkpoint, say):
    """Steps until the epoch's end (from its middle, if resumed); appends its training row to the history."""
    model.reset_metrics()
    for variable, value in zip(_metric_variables(model), state.metrics, strict=False):  # none but after a resume
        variable.assign(value)
    state.metrics = []
    start = state.step - state.step % steps_per_epoch
    bar = keras.utils.Progbar(steps_per_epoch, interval=0.2 if sys.stdout.isatty() else 10)
    began, values = time.monotonic(), {}
    while state.step < start + steps_per_epoch:
        logs = model.train_function(batches)
        state.step += 1
        values = {name: float(value) for name, value in logs.items()}
        bar.stateful_metrics = set(values)  # running means already
        if not math.isfinite(values["loss"]):
            raise ZooError(
                f"the loss became {values['loss']} at step {state.step} (epoch {start // steps_per_epoch + 1}); try a "
                f"lower learning rate (--set learning_rate={config.learning_rate / 10:g}) or a smaller clip_norm"
            )
        if state.step < start + steps_per_epoch:
            bar.update(state.step - start, list(values.items()))
            if time.monotonic() - checkpoint.saved_at > config.checkpoint_seconds:
                state.seconds += time.monotonic() - began
                began = time.monotonic()
                state.metrics = [keras.ops.convert_to_numpy(v).tolist() for v in _metric_variables(model)]
                checkpoint.save(state)
    state.metrics = []
    bar.update(steps_per_epoch, list(values.items()), finalize=True)
    state.seconds += time.monotonic() - began
    rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    state.history.append({**values, "learning_rate": rate, "seconds": round(state.seconds, 1)})


def _metric_variables(model: keras.Model) -> list:
    return [variable for metric in model.metrics for variable in metric.variables]


@contextlib.contextmanager
def averaged(model: keras.Model):
    """Inside, the model's weights are the moving averages that its optimiser keeps, if it does."""
    if not model.optimizer.use_ema:
        yield
        return
    kept = [tf.identity(variable.value) for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def score(model: keras.Model, batches: tf.data.Dataset) -> dict[str, float]:
    """The compiled loss and metrics over one pass."""
    model.make_test_function()
    model.reset_metrics()  # once: test_on_batch does it for every batch
    scores, iterator = {}, iter(batches)  # TensorFlow's iterator: a Python one would be traced anew for every batch
    with contextlib.suppress(tf.errors.OutOfRangeError):
        while True:
            scores = model.test_function(iterator)
    return {name: float(value) for name, value in scores.items()}


def _stalled(state: State, patience: int) -> bool:
    return bool(patience and state.history and state.history[-1]["epoch"] - state.best_epoch >= patience)


def _line(row: dict, epochs: int, best: bool) -> str:
    scores = "  ".join(f"{k.replace('_', ' ')} {v:.4f}" for k, v in row.items() if k.startswith("dev_"))
    return f"epoch {row['epoch']}/{epochs}  {scores}{'  (best so far)' if best else ''}"


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Write a model's weights as a NumPy archive. (Keras's own HDF5 crashes the process when the disk is full.)"""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, *model.get_weights())


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Read what `save_weights` wrote into a model of the same shape."""
    with np.load(path, allow_pickle=False) as arrays:
        model.set_weights([arrays[f"arr_{i}"] for i in range(len(arrays))])


def write_history(folder: pathlib.Path, history: list[dict]) -> None:
    """`history.csv`, a row an epoch, and the learning curves in `curves.png`."""
    with replacing(folder / "history.csv") as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, history[0].keys())
        writer.writeheader()
        writer.writerows(history)
    plots.learning_curves(history, folder / "curves.png")
