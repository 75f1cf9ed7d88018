"""Peak memory of a computation, and a process of its own to measure it in (Linux)."""

from __future__ import annotations

import multiprocessing
import pathlib
from collections.abc import Callable


def in_its_own_process(function: Callable, *arguments):
    """What a function of a module gives there; what it has allocated goes with the process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def rise(computation: Callable) -> float:
    """By how many MiB the resident memory rose at most while `computation` ran."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _peak()
    computation()
    return (_peak() - before) / 1024


def _peak() -> int:
    """The most KiB that were resident."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
