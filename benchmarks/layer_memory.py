"""What a training step keeps in memory for long sequences. Part of `make bench-layers`."""

from __future__ import annotations

import time

from benchmarks import memory
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
    measure = lambda layer: [memory.in_its_own_process(_measure, *layer, steps) for steps in STEPS]
    found = {name: measure(layer) for name, layer in LAYERS.items()}
    rows = [[name, *(f"{mib:.0f}, {seconds:.1f} s" for mib, seconds in results)] for name, results in found.items()]
    title = f"MiB that a training step takes, LSTM, batch {BATCH}, {UNITS} units, and its time"
    tables.print_table(title, ["steps", *map(str, STEPS)], rows)
    return found


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
    peak = memory.rise(lambda: step(x))
    began = time.perf_counter()
    step(x)[0].numpy()
    return peak, time.perf_counter() - began
