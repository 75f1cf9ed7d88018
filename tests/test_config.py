"""Configurations from `key=value` strings."""

import dataclasses

import pytest

from zoo.config import TrainingConfig, as_assignments, configure, parse, setting
from zoo.errors import ZooError


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    units: int = setting(8, "cells", minimum=1, maximum=64)
    rate: float = setting(0.5, "share", minimum=0.0, maximum=0.9)
    both: bool = setting(True, "both directions")
    cell: str = setting("lstm", "cell", choices=("lstm", "gru"))
    pooling: tuple[str, ...] = setting(("mean", "max"), "pooling", choices=("mean", "max", "last"))
    init: str = setting("", "folder")


PRESETS = {"small": {"units": 16}, "base": {}}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("units", "64", 64),
        ("units", "1", 1),
        ("rate", "0", 0.0),
        ("rate", "9e-1", 0.9),
        ("both", "true", True),
        ("both", "NO", False),
        ("both", "1", True),
        ("cell", "gru", "gru"),
        ("pooling", "last", ("last",)),
        ("pooling", "max, mean", ("max", "mean")),
        ("init", "", ""),
        ("init", "a=b/c d", "a=b/c d"),
    ],
)
def test_values_are_read_by_the_type_of_their_field(key, text, value):
    read = parse(Config, key, text)
    assert read == value and type(read) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("units", "8.5", "a whole number at least 1 and at most 64"),
        ("units", "many", "a whole number"),
        ("units", "0", "at least 1"),
        ("units", "65", "at most 64"),
        ("rate", "nan", "a number"),
        ("rate", "inf", "a number"),
        ("rate", "-0.1", "at least 0.0"),
        ("both", "maybe", "true or false"),
        ("cell", "LSTM", "one of: lstm, gru"),
        ("pooling", "mean,min", "mean, max, last"),
        ("pooling", "", "one or more of"),
        ("epochs", "", "a whole number"),
    ],
)
def test_values_that_do_not_fit_are_answered_with_those_that_do(key, text, expected):
    with pytest.raises(ZooError) as error:
        parse(Config, key, text)
    assert str(error.value).startswith(f"--set {key}={text}: expected ")
    assert expected in str(error.value)


def test_an_unknown_key_is_answered_with_every_valid_key():
    with pytest.raises(ZooError) as error:
        parse(Config, "unit", "3")
    listed = str(error.value).partition("valid keys: ")[2].split(", ")
    assert listed == sorted(field.name for field in dataclasses.fields(Config))


def test_assignments_win_over_the_preset_and_later_ones_over_earlier_ones():
    assert configure(Config, PRESETS, "small").units == 16
    assert configure(Config, PRESETS, "base").units == 8
    assert configure(Config, PRESETS, "small", [" units = 3", "units=4"]).units == 4


@pytest.mark.parametrize(
    ("preset", "assignment", "named"), [("huge", "units=1", "small, base"), ("small", "units", "key=value")]
)
def test_unknown_presets_and_half_assignments(preset, assignment, named):
    with pytest.raises(ZooError, match=named):
        configure(Config, PRESETS, preset, [assignment])


def test_a_configuration_survives_being_written_as_assignments():
    config = Config(
        units=3, rate=1 / 3, both=False, cell="gru", pooling=("last", "mean"), init="a b", learning_rate=1e-30
    )
    again = configure(Config, {"none": {}}, "none", as_assignments(dataclasses.asdict(config)))
    assert again == config


def test_every_preset_of_every_task_is_valid():
    from zoo.task import find, tasks

    for entry in tasks():
        task = find(entry.name)
        for preset, values in task.presets.items():
            assert configure(task.Config, task.presets, preset, as_assignments(values)) == task.Config(**values)
