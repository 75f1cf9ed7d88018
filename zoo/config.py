"""Configurations: plain dataclasses whose every field can be set from the command line.

    @dataclasses.dataclass(frozen=True)
    class Config(TrainingConfig):
        units: int = setting(64, "cells in a recurrent layer", minimum=1)

`configure(Config, presets, "small", ["units=128"])` gives a checked `Config`; a key or a value that does not fit is
answered with the valid ones.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from zoo.errors import ZooError


def setting(default, help: str, minimum=None, maximum=None, choices: Iterable = ()):
    """A field of a configuration: its default, what it means, and which values are valid."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "choices": tuple(choices)}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What every task's training has: the optimiser, its schedule, and when to stop."""

    epochs: int = setting(10, "passes over the training data, at most", minimum=1)
    batch_size: int = setting(64, "examples in a step", minimum=1)
    optimizer: str = setting("adam", "optimiser", choices=("adam", "adamw", "sgd"))
    learning_rate: float = setting(1e-3, "peak learning rate", minimum=0.0)
    schedule: str = setting(
        "cosine", "what the learning rate does after the warm-up", choices=("cosine", "linear", "constant")
    )
    warmup: float = setting(0.05, "share of the steps in which the learning rate rises", minimum=0.0, maximum=1.0)
    decay: float = setting(1.0, "share of the steps in which a linear schedule falls", minimum=0.0, maximum=1.0)
    weight_decay: float = setting(0.0, "decoupled weight decay (adamw)", minimum=0.0)
    averaging: float = setting(
        0.0, "momentum of the moving average of the weights, which is what is kept; 0: no average", minimum=0, maximum=1
    )
    clip_norm: float = setting(1.0, "gradients are scaled down to this global norm; 0: never", minimum=0.0)
    patience: int = setting(3, "epochs without a better dev score before training stops; 0: never stops", minimum=0)
    precision: str = setting("float32", "of products", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    checkpoint_seconds: float = setting(60.0, "seconds between checkpoints", minimum=0.0)
    seed: int = setting(1, "of the initial weights, the shuffling and the dropout", minimum=0, maximum=2**31 - 1)


def configure(cls: type, presets: Mapping[str, Mapping], preset: str, assignments: Iterable[str] = ()):
    """Build a configuration from a preset and `key=value` strings, the later ones winning.

    Raises:
        ZooError: unknown preset or key, or a value of the wrong type or out of range; the message lists the valid ones.
    """
    if preset not in presets:
        raise ZooError(f"unknown preset {preset!r}; there are: {', '.join(presets)}")
    values = dict(presets[preset])
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip()
        if not equals:
            raise ZooError(f"--set {assignment}: expected key=value")
        values[key] = parse(cls, key, text.strip())
    return cls(**values)


def parse(cls: type, key: str, text: str) -> Any:
    """Read the value of one field from text, checked against the field's type and bounds."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if key not in fields:
        raise ZooError(f"--set {key}: no such key; valid keys: {', '.join(sorted(fields))}")
    kind = typing.get_type_hints(cls)[key]
    try:
        value = _READERS[kind](text)
    except ValueError:
        raise ZooError(f"--set {key}={text}: expected {_describe(kind, fields[key])}") from None
    if not _fits(value, fields[key]):
        raise ZooError(f"--set {key}={text}: expected {_describe(kind, fields[key])}")
    return value


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "1"):
        return True
    if text.lower() in ("false", "no", "0"):
        return False
    raise ValueError(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_READERS = {int: int, float: _finite, str: str, bool: _boolean, tuple[str, ...]: _names}
_KINDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    tuple[str, ...]: "names, comma between",
}


def _fits(value, field) -> bool:
    bounds = field.metadata
    if bounds.get("choices"):
        given = value if isinstance(value, tuple) else (value,)
        return bool(given) and all(v in bounds["choices"] for v in given)
    low, high = bounds.get("minimum"), bounds.get("maximum")
    return (low is None or value >= low) and (high is None or value <= high)


def _describe(kind, field) -> str:
    bounds = field.metadata
    if bounds.get("choices"):
        prefix = "one or more of (comma between)" if kind == tuple[str, ...] else "one of"
        return f"{prefix}: {', '.join(map(str, bounds['choices']))}"
    low, high = bounds.get("minimum"), bounds.get("maximum")
    limits = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
    return " ".join([_KINDS[kind], *limits[:1], *(f"and {limit}" for limit in limits[1:])])


def as_assignments(values: Mapping[str, Any]) -> list[str]:
    """`key=value` strings that `configure` reads back as `values`."""
    return [f"{key}={','.join(value) if isinstance(value, (tuple, list)) else value}" for key, value in values.items()]
