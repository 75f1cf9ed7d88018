"""What benches with a peer in PyTorch share: whether it is there, and whether it computes the same."""

from __future__ import annotations

import importlib.util

import numpy as np

from zoo.errors import ZooError
from zoo.run import say

CLOSE = 1e-3  # relative difference of features, scores and losses


def has_torch() -> bool:
    if importlib.util.find_spec("torch") is None:
        say("torch is not installed; leaving PyTorch out (pip install torch)")
        return False
    return True


def close(name: str, own, theirs) -> None:
    """Say that a peer's numbers are ours.

    Raises:
        ZooError: they are not.
    """
    own, theirs = np.asarray(own), np.asarray(theirs)
    difference = float(np.abs(own - theirs).max() / np.abs(own).max())
    if not difference < CLOSE:
        raise ZooError(f"{name}: the peer's differ by {difference:.2g} of the largest; expected less than {CLOSE}")
    say(f"{name}: the same, to {difference:.0e} of the largest")
