"""Video, beside what a user would write instead. `make bench TASK=video [DATA=...]`

One run, the systems taking turns, medians of several rounds: frames per second in training, for this task and for the
same network with `TimeDistributed` and `keras.layers.LSTM`, on the same batches, in float32, without augmentation; and
the memory that a step takes at most, each in a process of its own. Then live use on one core, frame by frame: of the
shipped causal model, or, without one, of this configuration made causal and not trained.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks import memory, timing
from tasks.video import FrameTagger
from zoo import serving, tables
from zoo.errors import ZooError
from zoo.run import Run, say

BATCHES = 3  # of each round
OWN, STOCK = "this task", f"TimeDistributed, keras.layers.LSTM {keras.__version__}"
FIXED = dict(precision="float32", encoder="conv", cell="lstm")
FIXED |= dict(shift=0.0, zoom=0.0, rotate=0.0, flip=False, light=0.0, warp=0.0, blink=0)
FRAMES = 200  # of the live clip


def main(arguments) -> None:
    run = Run("video", arguments.data, arguments.runs)
    config = configuration(run)
    say(f"{run.corpus.source}; {config.units} cells, batch {config.batch_size}, median of {timing.ROUNDS} rounds")
    task, batches = prepared(run, config)
    frames = sum(int((target > 0).sum()) for _, target in batches)
    systems = {name: timing.training(compiled(task, name), batches) for name in (OWN, STOCK)}
    results = {"training": timing.rates("training", "frames", frames, systems)}
    job = (arguments.data, str(arguments.runs))
    results["memory_mib"] = {name: memory.in_its_own_process(peak, *job, name) for name in systems}
    rows = [[name, f"{mib:,.0f}"] for name, mib in results["memory_mib"].items()]
    tables.print_table("memory of a step, at most", ["system", "MiB"], rows)
    results["live_frames_per_second"] = memory.in_its_own_process(live, *job)
    say(f"live, one core: {results['live_frames_per_second']:.0f} frames a second")
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
        say(f"written: {arguments.out}")


def configuration(run: Run):
    return dataclasses.replace(run.configure(), **FIXED)


def prepared(run: Run, config):
    """The task, and batches as structures of NumPy arrays."""
    task = run.prepare(config)
    batches, *_ = run.batches(task)
    return task, [tf.nest.map_structure(lambda part: part.numpy(), batch) for batch in batches.take(BATCHES)]


class Stock(FrameTagger):
    """The same network from stock layers: the frames' network by `TimeDistributed`, the recurrence by Keras's LSTM."""

    def __init__(self, own: FrameTagger):
        keras.Model.__init__(self, name="stock")
        names = ("frame_shape", "mean", "deviation", "encoder", "scores")
        for name in names:
            setattr(self, name, getattr(own, name))
        encoder, stack = own.encoder, own.stack
        layers = [*encoder.convolutions, keras.layers.Flatten(), encoder.drop, encoder.projection]
        encoder.drop.noise_shape = None
        self.frames = keras.layers.TimeDistributed(keras.Sequential(layers))
        lstm = lambda: keras.layers.LSTM(stack.units, return_sequences=True)
        both = keras.layers.Bidirectional if stack.bidirectional else lambda layer: layer
        self.recurrent = [both(lstm()) for _ in range(stack.depth)]
        self.drops = [keras.layers.Dropout(stack.dropout, noise_shape=(None, 1, None)) for _ in range(stack.depth)]

    def call(self, inputs, training=False):
        frames = self.encoder.surrounded(self.prepared(inputs["frames"], inputs["mask"]))
        steps = tf.shape(inputs["mask"])[1]
        x = tf.concat([frames[:, i : i + steps] for i in range(self.encoder.window)], -1)
        x = self.frames(x, training=training)
        for layer, drop in zip(self.recurrent, self.drops, strict=True):
            x = drop(layer(x, mask=inputs["mask"], training=training), training=training)
        return self.scores(x)


def compiled(task, name: str):
    model = task.compiled(1000)
    if name == OWN:
        return model
    stock = Stock(model)
    stock({"frames": tf.zeros([2, 2, *model.frame_shape]), "mask": tf.ones([2, 2], tf.bool)})
    assert stock.count_params() == model.count_params()
    stock.compile(keras.optimizers.Adam(1e-3, global_clipnorm=1.0), loss=task.loss(), metrics=task.metrics())
    return stock


def peak(data: str, runs: str, name: str) -> float:
    """MiB that the second and later steps add to the process."""
    run = Run("video", data, pathlib.Path(runs))
    task, batches = prepared(run, configuration(run))
    model = compiled(task, name)
    small = tf.nest.map_structure(lambda part: part[:2, :8], batches[0])
    model.train_on_batch(*small)  # what is compiled and allocated once
    return memory.rise(lambda: model.train_on_batch(*batches[0]))


def live(data: str, runs: str) -> float:
    """Frames a second, one at a time, with the states carried along; on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    try:
        return _rate(serving.load("video_live"))
    except ZooError:
        run = Run("video", data, pathlib.Path(runs))
        task = run.prepare(dataclasses.replace(configuration(run), bidirectional=False))
        with tempfile.TemporaryDirectory() as folder:
            serving.write_saved_model(task.signatures(task.build()), [], pathlib.Path(folder))
            from zoo.clip_model import ClipModel

            return _rate(ClipModel(pathlib.Path(folder), {}, tf.saved_model.load(folder)))


def _rate(model) -> float:
    spec = model.signature("step").structured_input_signature[1]["frame"]
    shape = [64 if n is None else n for n in spec.shape[1:]]
    shape = [*shape[:-1], 1] if len(shape) == 3 else shape
    frames = np.random.default_rng(0).uniform(0, 255, [FRAMES, *shape]).astype(spec.dtype.as_numpy_dtype)
    seconds, last = [], time.perf_counter()
    for _ in model.stream(frames):
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
    return 1 / statistics.median(seconds)


if __name__ == "__main__":
    raise SystemExit("use: make bench TASK=video")
