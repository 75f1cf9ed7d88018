"""Video, beside what a user would write instead. `make bench TASK=video [DATA=...]`

One run, the systems taking turns, medians of several rounds: frames per second in training, for this task (with DATA,
the shipped models' configuration) and for the same network with `TimeDistributed` and `keras.layers.LSTM`, on the same
batches, in float32, without augmentation; and the memory that training takes, each in a process of its own. Keras
3.15's `TimeDistributed` fails where the length is unknown, so batches are padded to one length, which it is told.

Then live use on one core, frame by frame: of the shipped causal model, or, without one, of this configuration made
causal and not trained.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import tempfile
import time
import unittest.mock

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
FIXED = dict(precision="float32", encoder="conv", cell="lstm", background=(), averaging=0.0, splice=0.0)
FIXED |= dict(shift=0.0, zoom=0.0, rotate=0.0, flip=False, light=0.0, warp=0.0, blink=0)
FRAMES = 200  # of the live clip


def main(arguments) -> None:
    run = Run("video", arguments.data, arguments.runs)
    config = configuration(run)
    say(f"{run.corpus.source}; {config.units} cells, batch {config.batch_size}, median of {timing.ROUNDS} rounds")
    task, batches = prepared(run, config)
    frames = sum(int((target > 0).sum()) for _, target in batches)
    systems = {name: timing.training(compiled(task, name), batches, name == STOCK) for name in (OWN, STOCK)}
    results = {"training": timing.rates("training", "frames", frames, systems)}
    job = (arguments.data, str(arguments.runs))
    results["memory_mib"] = {name: memory.in_its_own_process(peak, *job, name) for name in systems}
    rows = [[name, f"{mib:,.0f}"] for name, mib in results["memory_mib"].items()]
    tables.print_table("memory that training takes, at most", ["system", "MiB"], rows)
    results["live_frames_per_second"] = memory.in_its_own_process(live, *job)
    say(f"live, one core: {results['live_frames_per_second']:.0f} frames a second")
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
        say(f"written: {arguments.out}")


def configuration(run: Run):
    return dataclasses.replace(run.configure("grid" if run.data else ""), **FIXED)


def prepared(run: Run, config):
    """The task, and batches of one length as structures of NumPy arrays."""
    task = run.prepare(config)
    batches = list(run.batches(task)[0].take(BATCHES))
    longest = max(target.shape[1] for _, target in batches)
    fill = lambda part: np.pad(part, [(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)])
    return task, [tf.nest.map_structure(lambda part: fill(part.numpy()), batch) for batch in batches]


class Stock(FrameTagger):
    """The same network from stock layers: the frames' network by `TimeDistributed`, the recurrence by Keras's LSTM."""

    def __init__(self, config, *arguments):
        super().__init__(config, *arguments)
        self.stack = None
        self.encoder.build((None, None, *self.frame_shape))
        self.encoder.drop.noise_shape = None
        layers = [*self.encoder.convolutions, keras.layers.Flatten(), self.encoder.drop, self.encoder.projection]
        self.frames = keras.layers.TimeDistributed(keras.Sequential(layers))
        lstm = lambda: keras.layers.LSTM(config.units, return_sequences=True)
        both = keras.layers.Bidirectional if config.bidirectional else lambda layer: layer
        self.recurrent = [both(lstm()) for _ in range(config.depth)]
        drop = lambda: keras.layers.Dropout(config.dropout, noise_shape=(None, 1, None))
        self.drops = [drop() for _ in range(config.depth)]

    def build(self, input_shape=None):
        *size, channels = self.frame_shape
        self.frames.build((None, None, *size, channels * self.encoder.window))
        shape = (None, None, self.encoder.units)
        for layer in self.recurrent:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.scores.build(shape)

    def call(self, inputs, training=False):
        batch, steps = inputs["mask"].shape
        frames = self.encoder.surrounded(self.prepared(inputs["frames"], inputs["mask"]))
        frames = tf.ensure_shape(frames, [batch, steps + self.encoder.window - 1, *self.frame_shape])
        x = tf.concat([frames[:, i : i + steps] for i in range(self.encoder.window)], -1)
        x = self.frames(x, training=training)
        for layer, drop in zip(self.recurrent, self.drops, strict=True):
            x = drop(layer(x, mask=inputs["mask"], training=training), training=training)
        return self.scores(x)


def compiled(task, name: str):
    if name == OWN:
        return task.compiled(1000)
    with unittest.mock.patch("tasks.video.FrameTagger", Stock):
        return task.compiled(1000)


def peak(data: str, runs: str, name: str) -> float:
    """MiB that training adds to the process at most, graph and all."""
    run = Run("video", data, pathlib.Path(runs))
    task, batches = prepared(run, configuration(run))
    model = compiled(task, name)
    round_ = timing.training(model, batches[:1], name == STOCK)
    return memory.rise(lambda: [round_() for _ in range(3)])


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
