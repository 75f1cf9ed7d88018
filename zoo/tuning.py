"""Hyperparameter search with keras-tuner over the space that a task declares."""

from __future__ import annotations

import dataclasses
import hashlib
import logging

import keras
import keras_tuner

from zoo import training
from zoo.config import as_assignments
from zoo.errors import ZooError
from zoo.run import Run, say

TUNERS = ("hyperband", "random", "bayesian")


class _Search(keras_tuner.HyperModel):
    """Builds and fits one trial: the base configuration with the drawn values put in."""

    def __init__(self, run: Run, config):
        super().__init__()
        self.run, self.config = run, config
        self.task = run.prepare(config)
        *_, self.size = run.batches(self.task)

    def _trial(self, hp):
        config = dataclasses.replace(self.config, **self.task.search_space(hp))
        return self.run.task_class(config, self.task.assets)

    def build(self, hp):
        task = self._trial(hp)
        keras.utils.set_random_seed(task.config.seed)
        with training.precision(task.config.precision):
            return task.compiled(task.config.epochs * self.run.steps(task, self.size))

    def fit(self, hp, model, **kwargs):
        task = self._trial(hp)
        train, dev, _ = self.run.batches(task)
        steps = self.run.steps(task, self.size)
        return model.fit(train, validation_data=dev, steps_per_epoch=steps, **kwargs)


def tune(run: Run, preset: str, assignments, tuner: str = "hyperband", epochs: int = 0, trials: int = 20) -> dict:
    """Search, or go on with an interrupted search; say the best values as arguments of `train`.

    Args:
        run: names task and corpus; the search is kept in its folder under `tuning/`.
        preset, assignments: the configuration around the searched values.
        tuner: "hyperband", "random" or "bayesian".
        epochs: of the longest trials; 0 takes the configuration's.
        trials: number of trials of "random" and "bayesian"; hyperband finds its own.

    Returns:
        The best values.
    """
    logging.getLogger("absl").setLevel(logging.ERROR)
    config = run.configure(preset, assignments)
    config = dataclasses.replace(config, epochs=epochs or config.epochs)
    if tuner not in TUNERS:
        raise ZooError(f"unknown tuner {tuner!r}; there are: {', '.join(TUNERS)}")
    for option, value in (("epochs", config.epochs), ("trials", trials)):
        if value < 1:
            raise ZooError(f"--{option} {value}: expected a whole number at least 1")
    search = _Search(run, config)
    name, direction = run.task_class.monitor
    common = dict(
        objective=keras_tuner.Objective(f"val_{name}", direction=direction),
        directory=str(run.folder / "tuning"),
        project_name=f"{tuner}-{hashlib.sha256(str(config).encode()).hexdigest()[:6]}",  # another one searches anew
        seed=config.seed,
        overwrite=False,
        max_consecutive_failed_trials=1,
    )
    if tuner == "hyperband":
        searcher = keras_tuner.Hyperband(search, max_epochs=config.epochs, factor=3, **common)
    elif tuner == "random":
        searcher = keras_tuner.RandomSearch(search, max_trials=trials, **common)
    else:
        searcher = keras_tuner.BayesianOptimization(search, max_trials=trials, **common)
    done = sum(trial.status == "COMPLETED" for trial in searcher.oracle.trials.values())
    if done:
        say(f"resuming the search in {searcher.project_dir}: {done} trials are done")
    stop = [keras.callbacks.TerminateOnNaN()]
    extra = {} if tuner == "hyperband" else {"epochs": config.epochs}
    searcher.search(callbacks=stop, verbose=1, **extra)
    best = searcher.oracle.get_best_trials(1)[0]
    values = {k: v for k, v in best.hyperparameters.values.items() if not k.startswith("tuner/")}
    values = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in values.items()}
    settings = as_assignments(values)
    say(f"best dev {name}: {best.score:.4f}")
    data = f" DATA={run.data}" if run.data else ""
    say(f'next: make train TASK={run.name}{data} SET="{" ".join(settings)}"')
    say(f"  or: zoo train {run.name}{data and f' --data {run.data}'} " + " ".join(f"--set {s}" for s in settings))
    return values
