"""Systems timed by turns, so that a noisy machine slows all of them."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable

import tensorflow as tf

from zoo import serving, tables
from zoo.errors import ZooError
from zoo.run import say

ROUNDS = 5


def rates(title: str, unit: str, amount: float, rounds: dict[str, Callable[[], float]]) -> dict:
    """Let each system do its round, which returns the seconds that it took, in turns; print and return the medians.

    Args:
        amount: what a round gets through, in `unit`.
        rounds: the first is the one that the others are compared with.
    """
    for name, round_ in rounds.items():
        say(f"{name}: {round_():.1f} s the first time")  # graphs, XLA, caches
    seconds = {name: [] for name in rounds}
    for number in range(ROUNDS):
        for name, round_ in rounds.items():
            seconds[name].append(round_())
        say(f"round {number + 1} of {ROUNDS} done")
    medians = {name: amount / statistics.median(times) for name, times in seconds.items()}
    own = next(iter(medians.values()))
    rows = [[name, f"{rate:,.0f}", f"{own / rate:.2f}"] for name, rate in medians.items()]
    tables.print_table(title, ["system", f"{unit}/s", "this task is faster by"], rows)
    return {f"{unit}_per_second": medians, "rounds": seconds}


def training(model, batches, fixed: bool = False, signature=None) -> Callable[[], float]:
    """A round of training: a step of a compiled Keras model on each of these batches, structures of NumPy arrays.

    The model is told of no batch size and length, unless these are `fixed`, those of the first batch; or, with a
    `signature`, of what that says.
    """
    unknown = lambda array: array.shape[:2] if fixed else [None] * min(array.ndim, 2)
    shapes = tf.nest.map_structure(lambda a: tf.TensorSpec([*unknown(a), *a.shape[2:]], a.dtype), batches[0])
    shapes = signature or shapes
    stream = iter(tf.data.Dataset.from_generator(lambda: itertools.cycle(batches), output_signature=shapes))
    model.make_train_function()

    def round_():
        began = time.perf_counter()
        for _ in batches:
            logs = model.train_function(stream)
        float(logs["loss"])  # wait for it
        return time.perf_counter() - began

    return round_


def latency(task: str, inputs: dict[str, str], calls: int = 40) -> dict[str, float]:
    """Milliseconds for one input through the shipped SavedModel of a task, raw text in, answer out; medians."""
    try:
        model = serving.load(task)
    except ZooError as error:
        say(f"no latency: {error}")
        return {}
    times = {}
    for name, text in inputs.items():
        seconds = []
        for _ in range(calls + 3):
            began = time.perf_counter()
            model(text)
            seconds.append(time.perf_counter() - began)
        times[name] = 1000 * statistics.median(seconds[3:])
    rows = [[name, f"{ms:.1f}"] for name, ms in times.items()]
    tables.print_table(f"latency of one input, {task}/{model.path.name}", ["input", "ms"], rows)
    return times
