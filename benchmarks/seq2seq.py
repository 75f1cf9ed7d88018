"""What the benches of encoder-decoders share: training and decoding by turns with peers.

A decoder under test is a function (width, steps) -> (seconds, tokens of its answers). The models are hardly trained, so
that each would stop elsewhere: the end of the sentence is forbidden before a number of steps, the same for all.
"""

from __future__ import annotations

import functools
import json
import pathlib
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks import timing
from zoo.errors import ZooError
from zoo.run import say
from zoo.subwords import END_ID
from zoo.training import precision

POLICIES = ("float32", "mixed_bfloat16")


def trainings(compiled: Callable, batches, signature=None) -> dict[str, Callable[[], float]]:
    """Rounds of training (`timing.training`) of the models that `compiled` makes, one for each policy."""
    rounds = {}
    for policy in POLICIES:
        with precision(policy):
            rounds[f"this task, {policy}"] = timing.training(compiled(), batches, signature=signature)
    return rounds


def searcher(model, source: tf.TensorSpec, length_penalty: float):
    """A graph (source, beam width, length) -> the best hypotheses' tokens `[batch, time]` and their scores."""
    number = tf.TensorSpec([], tf.int32)

    @tf.function(input_signature=[source, number, number])
    def search(source, width, length):
        found = model.search(source, tf.fill(tf.shape(source)[:1], length), width, length_penalty)
        return found.tokens[:, 0], found.scores[:, 0]

    return search


def endless(model, source: tf.TensorSpec, length_penalty: float):
    """As `searcher`, of a model that is changed to say no end."""
    model.bias.assign(tf.one_hot(END_ID, model.bias.shape[0], on_value=-1e9))
    return searcher(model, source, length_penalty)


def timed(search, inputs) -> Callable[[int, int], tuple[float, int]]:
    """A decoder under test, of NumPy arrays."""

    def decode(width, steps):
        began = time.perf_counter()
        tokens = sum(np.count_nonzero(search(batch, width, steps)[0].numpy()) for batch in inputs)
        return time.perf_counter() - began, tokens

    return decode


def decoding(title: str, unit: str, decoders, width: int, steps: int, count: int) -> dict:
    """`timing.rates` of decoders under test, each of which has `count` inputs."""
    rounds = {name: functools.partial(_fixed_steps, decode, width, steps, count) for name, decode in decoders.items()}
    return timing.rates(title, unit, count, rounds)


def _fixed_steps(decode, width, steps, count) -> float:
    """Seconds of a round, in which every input took that many steps."""
    seconds, tokens = decode(width, steps)
    if tokens != steps * count:
        raise ZooError(f"{tokens} tokens came out of {count} inputs; expected {steps} of each: not comparable")
    return seconds


def write(results: dict, out: pathlib.Path | None) -> None:
    if out:
        out.write_text(json.dumps(results, indent=1) + "\n")
        say(f"written: {out}")
