"""What a training step keeps in memory for long sequences. Part of `make bench-layers`."""

from __future__ import annotations

import multiprocessing
import pathlib
import time

from zoo import tables

BATCH, UNITS = 16, 128
STEPS = (500, 1000, 2000, 4000)
LAYERS = {
    "Keras": ("keras.layers", {}),
    "zoo": ("zoo.layers", {}),
    "zoo, recompute": ("zoo.layers", {"recompute": True}),
}


def main() -> dict:
    """Peak memory over that of the process before, in MiB, and seconds, of each layer and number of steps."""
    found = {name: [_in_its_own_process(*layer, steps) for steps in STEPS] for name, layer in LAYERS.items()}
    rows = [[name, *(f"{mib:.0f}, {seconds:.1f} s" for mib, seconds in results)] for name, results in found.items()]
    title = f"MiB that a training step takes, LSTM, batch {BATCH}, {UNITS} units, and its time"
    tables.print_table(title, ["steps", *map(str, STEPS)], rows)
    return found


def _in_its_own_process(*job):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, job)


def _measure(module, options, steps):
    import importlib

    import tensorflow as tf

    layer = importlib.import_module(module).LSTM(UNITS, return_sequences=True, **options)
    layer.build((None, None, UNITS))

    @tf.function(input_signature=[tf.TensorSpec([None, None, UNITS])])
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(x, training=True) ** 2)
        return tape.gradient(loss, layer.trainable_variables)

    step(tf.zeros([BATCH, 40, UNITS]))  # what is compiled and allocated once
    x = tf.random.normal([BATCH, steps, UNITS])
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _peak()
    step(x)
    peak = (_peak() - before) / 1024
    began = time.perf_counter()
    step(x)[0].numpy()
    return peak, time.perf_counter() - began


def _peak() -> int:
    """The most KiB that were resident (Linux)."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
