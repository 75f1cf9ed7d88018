"""The zoo's recurrent layers beside Keras's and PyTorch's. `make bench-layers [OUT=file.json]`

One run; for every layer and shape the systems take turns, and the median of the rounds counts. Float32. A training
step is the forward pass, a mean of squares, and the gradients of the weights and of the input.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import pathlib
import statistics
import time

import keras
import matplotlib
import numpy as np
import tensorflow as tf
from rich.console import Console

import zoo.layers
from benchmarks import layer_memory, torch_layers
from zoo import tables

# batch, steps, features and units
SHAPES = [
    (1, 100, 128),
    (8, 50, 256),
    (16, 400, 64),
    (32, 20, 128),
    (32, 200, 128),
    (32, 50, 512),
    (64, 100, 256),
    (128, 50, 128),
    (128, 100, 64),
]
LATENCY = [(1, 20, 128), (1, 50, 128), (1, 200, 128)]  # of inference only
KINDS = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "BiLSTM": 8}  # and how many gates each has
ROUNDS = 5
SECONDS = 0.1  # about this long a round


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, help="a JSON file for the results; the picture goes beside it")
    out = parser.parse_args(argv).out
    rate, results = product_rate(), []
    with contextlib.ExitStack() as peers:
        peer = None
        if "torch" in versions():
            peer = peers.enter_context(torch_layers.peer())
        else:
            print("torch is not installed; leaving it out (pip install torch)")
        about = [f"{name} {version}" for name, version in versions().items()] + [f"{os.cpu_count()} cores"]
        if peer:
            about.append(f"PyTorch on {peer('threads')} threads")
        about.append(f"a product of 1024 x 1024 matrices reaches {rate / 1e9:.0f} GFLOP/s")
        print("; ".join(about), flush=True)
        jobs = [(kind, shape, training) for training in (True, False) for kind in KINDS for shape in SHAPES]
        jobs += [("LSTM", shape, False) for shape in LATENCY]
        began = time.monotonic()
        for number, (kind, shape, training) in enumerate(jobs, 1):
            results.append(measure(kind, shape, training, rate, peer))
            left = (time.monotonic() - began) / number * (len(jobs) - number) / 60
            print(f"{number}/{len(jobs)} (about {left:.0f} min left) {line(results[-1])}", flush=True)
    report(results)
    memory = layer_memory.main()
    if out:
        out.write_text(json.dumps({"about": about, "results": results, "memory": memory}, indent=1) + "\n")
        draw(results, out.with_suffix(".png"))
        print(f"written: {out} and {out.with_suffix('.png')}")


def versions() -> dict[str, str]:
    found = {}
    for name in ("tensorflow", "keras", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def product_rate() -> float:
    """Floating-point operations a second of a large float32 matrix product."""
    a = tf.random.normal([1024, 1024])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(a, a)))
    return 2 * 1024**3 / statistics.median(repeat(lambda: product().numpy(), 40)[5:])


def measure(kind, shape, training, rate, peer) -> dict:
    """Seconds of a step of each system, and the share of the product rate that the zoo's layer reaches."""
    systems = {
        "zoo": keras_step(zoo.layers, kind, shape, training),
        "Keras": keras_step(keras.layers, kind, shape, training),
        "Keras, jit_compile": keras_step(keras.layers, kind, shape, training, jit=True),
    }
    rounds = {name: lambda count, step=step: repeat(step, count) for name, step in systems.items()}
    if peer:
        rounds["PyTorch"] = lambda count: peer(kind, *shape, training, count)
    seconds = turns(rounds)
    batch, steps, units = shape
    operations = 2 * batch * steps * 2 * units * units * KINDS[kind] * (3 if training else 1)
    share = operations / seconds["zoo"] / rate
    return {"kind": kind, "shape": shape, "training": training, "seconds": seconds, "share": share}


def turns(rounds: dict) -> dict[str, float]:
    """Median seconds of a step of each system, round by round in turns."""
    counts, medians = {}, {name: [] for name in rounds}
    for name, run in rounds.items():
        run(2)  # tracing, compiling, caches
        counts[name] = max(1, min(50, int(SECONDS / run(1)[0])))
    for _ in range(ROUNDS):
        for name, run in rounds.items():
            medians[name].append(statistics.median(run(counts[name])))
    return {name: statistics.median(values) for name, values in medians.items()}


def repeat(step, count: int) -> list[float]:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return times


def keras_step(module, kind, shape, training, jit=False):
    batch, steps, units = shape
    if kind == "BiLSTM":
        layer = keras.layers.Bidirectional(module.LSTM(units, return_sequences=True))
    else:
        layer = getattr(module, kind)(units, return_sequences=True)
    x = tf.constant(np.random.default_rng(0).normal(size=(batch, steps, units)), tf.float32)
    layer.build(x.shape)
    variables = layer.trainable_variables

    def step(x):
        if not training:
            return layer(x, training=False)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_mean(layer(x, training=True) ** 2)
        return tape.gradient(loss, [x, *variables])

    # Lengths vary in practice, so the graph is for any; XLA, which compiles for one, is given it.
    signature = tf.TensorSpec(x.shape if jit else [None, None, units])
    function = tf.function(step, [signature], jit_compile=jit or None).get_concrete_function()
    return lambda: tf.nest.flatten(function(x))[0].numpy()


def geometric_mean(values) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


def name_of(result) -> str:
    return f"{result['kind']} {' x '.join(map(str, result['shape']))}"


def line(result) -> str:
    times = ", ".join(f"{name} {1e3 * s:.1f}" for name, s in result["seconds"].items())
    return f"{name_of(result)} {'training' if result['training'] else 'inference'}, ms: {times}"


def report(results) -> None:
    for training in (True, False):
        chosen = [r for r in results if r["training"] == training]
        others = [name for name in chosen[0]["seconds"] if name != "zoo"]
        rows = []
        for r in chosen:
            own = r["seconds"]["zoo"]
            ratios = [f"{r['seconds'][name] / own:.2f}" for name in others]
            rows.append([name_of(r), f"{1e3 * own:.2f}", *ratios, f"{r['share']:.0%}"])
        for kind in KINDS:
            same = [r for r in chosen if r["kind"] == kind]
            rows.append([f"{kind}, geometric mean", "", *means(same, others), ""])
        rows.append(["geometric mean", "", *means(chosen, others), ""])
        title = f"{'training step' if training else 'inference'}: milliseconds, and how many times as fast as each"
        columns = ["batch x steps x units", "zoo ms", *others, "of product rate"]
        tables.print_table(title, columns, rows, Console(width=100))


def means(results, others) -> list[str]:
    return [f"{geometric_mean(r['seconds'][n] / r['seconds']['zoo'] for r in results):.2f}" for n in others]


def draw(results, path: pathlib.Path) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(13, 9))
    for panel, training in zip(axes, (True, False), strict=True):
        chosen = [r for r in results if r["training"] == training]
        for name, marker in (("Keras", "o"), ("Keras, jit_compile", "x"), ("PyTorch", "s")):
            points = [
                (r["seconds"][name] / r["seconds"]["zoo"], i) for i, r in enumerate(chosen) if name in r["seconds"]
            ]
            panel.plot(*zip(*points, strict=True), marker, label=name) if points else None
        panel.axvline(1, color="grey", linewidth=0.8)
        panel.set(yticks=range(len(chosen)), yticklabels=[name_of(r) for r in chosen], xscale="log")
        panel.set(
            title="training step" if training else "inference", xlabel="how many times as fast the zoo's layer is"
        )
        ticks = [0.5, 1, 2, 4, 8]
        panel.set_xticks(ticks, [str(t) for t in ticks])
        panel.minorticks_off()
        panel.grid(axis="x", alpha=0.3)
        panel.invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncol=3)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
