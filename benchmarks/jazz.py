"""Writing tunes: how fast. `make bench TASK=jazz [DATA=...]`

One run, medians of several rounds; with DATA the shipped model's configuration, without the built-in corpus's. How good
the model is, beside n-grams, is `python -m benchmarks.jazz_baselines`; a peer in PyTorch has the other generator, in
benchmarks/language.py.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import tempfile
import time

import keras
import tensorflow as tf

from benchmarks import seq2seq, timing
from zoo import serving
from zoo.run import Run, say
from zoo.tune_generator import TuneGenerator

STEPS = 40  # of a round of training
TUNES, BARS = 5, 32  # of a round of writing


def main(arguments, settings=(), steps: int = STEPS, tunes: int = TUNES) -> None:
    """`settings`, `steps` and `tunes` make a smaller bench, to see whether it runs."""
    run = Run("jazz", arguments.data, arguments.runs)
    config = run.configure("base" if arguments.data else "", settings)
    with tempfile.TemporaryDirectory() as folder:  # not the run's own: a training may go on there
        run.folder = pathlib.Path(folder)
        keras.utils.set_random_seed(config.seed)
        task = run.prepare(config)
        batches = list(run.batches(task)[0].take(steps).as_numpy_iterator())
        rows, width = batches[0][0]["symbols"].shape[:2]
        say(f"{run.corpus.source}; {' x '.join(config.experts)}, {config.depth} x {config.units} cells for each expert")
        model = task.compiled(1000)
        writer = exported(task, model, run.folder / "export")
        training = {"this task": timing.training(model, batches, fixed=True)}
        title, amount = f"training, {rows} rows x {width - 1} events in a step", len(batches) * rows * (width - 1)
        results = {"configuration": dataclasses.asdict(config), "rows": rows}
        results["training"] = timing.rates(title, "events", amount, training)
        writing = {f"tunes of {BARS} bars, one by one": writes(writer, tunes)}
        results["writing"] = timing.rates("writing", "tunes", tunes, writing)
    seq2seq.write(results, arguments.out)


def exported(task, model, folder: pathlib.Path) -> TuneGenerator:
    """The task's SavedModel, loaded."""
    serving.write_saved_model(task.signatures(model), task.resources, folder)
    return TuneGenerator(folder, dict(task.assets), tf.saved_model.load(str(folder)))


def writes(writer: TuneGenerator, tunes: int):
    """A round of writing: other tunes each time."""
    seeds = itertools.count()

    def round_():
        began = time.perf_counter()
        for _ in range(tunes):
            writer.generate("Dm7:4 G7:4", bars=BARS, seed=next(seeds))
        return time.perf_counter() - began

    return round_
