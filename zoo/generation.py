"""What generators share: a state that is carried from call to call, in the graph and in Python.

A generator's SavedModel has the signatures

    read(what is given, state, last)           -> log-probabilities of what is given, state, last
    write(state, last, length, first, seed, temperature, top_k, top_p) -> what is drawn, state, last

`state` is float32 `[batch, width]`, the network's states side by side; `last` is the symbol that it has not read yet.
Zeros stand for nothing so far. `first` is how many symbols were drawn before: drawn in pieces, they are the same.
"""

from __future__ import annotations

import math
import operator
import os

import numpy as np
import tensorflow as tf

from zoo.errors import ZooError

READ = 2048  # symbols that are read in one call


def packed(states):
    """A list of states `[batch, width]` -> one tensor."""
    return tf.concat([tf.cast(state, tf.float32) for state in states], 1)


def unpacked(model, state):
    """The list of states of a model (`zoo.training.TruncatedBPTT`) from one tensor."""
    return tf.split(state, list(model.widths), 1)


def state_specs(model, *last_shape) -> list[tf.TensorSpec]:
    """Of `state` and `last`."""
    return [
        tf.TensorSpec([None, sum(model.widths)], tf.float32, "state"),
        tf.TensorSpec([None, *last_shape], tf.int32, "last"),
    ]


def draw_specs() -> list[tf.TensorSpec]:
    """Of the options of `write`."""
    kinds = {"length": tf.int32, "first": tf.int64, "seed": tf.int64, "temperature": tf.float32}
    kinds |= {"top_k": tf.int32, "top_p": tf.float32}
    return [tf.TensorSpec([], kind, name) for name, kind in kinds.items()]


def default_options(values: dict) -> dict[str, tf.Tensor]:
    """The options of `write` for an answer without any, from the length, temperature and seed of a task."""
    values = {"first": 0, "top_k": 0, "top_p": 1.0, **values}
    return {spec.name: tf.constant(values[spec.name], spec.dtype) for spec in draw_specs()}


def draw_options(length, temperature, top_k, top_p, seed) -> dict[str, tf.Tensor]:
    """Checked options of `write`; without a seed it is a new one.

    Raises:
        ZooError: one of them is out of range.
    """
    whole = {"length": length, "top_k": top_k, **({} if seed is None else {"seed": seed})}
    for name, value in whole.items():
        try:
            whole[name] = operator.index(value)
        except TypeError:
            raise ZooError(f"{name}={value!r}: expected a whole number") from None
        if name != "seed" and not 0 <= value < 2**31:
            raise ZooError(f"{name}={value}: expected a whole number from 0 to {2**31 - 1}")
    for name, value, lowest, highest in (("temperature", temperature, 0, math.inf), ("top_p", top_p, 0, 1)):
        if not isinstance(value, (int, float, np.floating)) or not lowest <= value <= highest or value == math.inf:
            raise ZooError(f"{name}={value!r}: expected a number from 0{' to 1' if highest == 1 else ''}")
    seed = int.from_bytes(os.urandom(4)) if seed is None else whole["seed"] % 2**63
    numbers = {**whole, "seed": seed, "temperature": temperature, "top_p": top_p, "first": 0}
    kinds = {spec.name: spec.dtype for spec in draw_specs()}
    return {name: tf.constant(value, kinds[name]) for name, value in numbers.items()}


class Session:
    """What a generator has read and written so far; it goes on from there.

    Attributes:
        drawn: how many symbols it has written.
    """

    def __init__(self, model, rows: int = 1):
        self.model, self.drawn = model, 0
        specs = model.signature("read").structured_input_signature[1]
        self.state = tf.zeros([rows, *specs["state"].shape[1:]], tf.float32)
        self.last = tf.zeros([rows, *specs["last"].shape[1:]], tf.int32)

    def call(self, name: str, **inputs) -> dict[str, np.ndarray]:
        """A signature from this state on; its results but for the state, which is kept."""
        found = dict(self.model.signature(name)(state=self.state, last=self.last, **inputs))
        self.state, self.last = found.pop("state"), found.pop("last")
        return {key: value.numpy() for key, value in found.items()}

    def draw(self, length: int, options: dict) -> dict[str, np.ndarray]:
        """`length` symbols more."""
        now = {"length": tf.constant(length, tf.int32), "first": tf.constant(self.drawn, tf.int64)}
        self.drawn += length
        return self.call("write", **{**options, **now})
