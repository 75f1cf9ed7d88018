"""Which types of chords a model knows, and what stands for the others."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable

from zoo.charts import Tune
from zoo.chords import QUALITIES, Chord
from zoo.errors import ZooError


def types(tunes: Iterable[Tune], least: int = 20) -> list[str]:
    """Types (as of `Chord.type`) that occur in the tunes `least` times or more, the commonest first.

    And the plainest ones, triads and the like, though they may be rare: so there is one for every chord. No chord
    ("N.C.") has no type here.
    """
    counts = collections.Counter(event.chord.type for tune in tunes for event in tune.events if event.chord.root)
    for plainest in _plainest():
        counts[plainest] = max(counts[plainest], least)
    kept = (type for type, count in counts.items() if count >= least)
    return sorted(kept, key=lambda type: (-counts[type], type))


def backed_off(chord: Chord, types: Collection[str]) -> Chord:
    """The chord, or the least plain one of its simplifications whose type is among these. No chord stays none.

    Raises:
        ZooError: not even the plainest is among them.
    """
    if not chord.root:
        return chord
    found = next((plainer for plainer in chord.simplified() if plainer.type in types), None)
    if found is None:
        raise ZooError(f"chord {chord}: none of its simplifications is among the {len(types)} types known")
    return found


def _plainest() -> list[str]:
    return sorted({[*Chord("C", quality).simplified()][-1].type for quality in QUALITIES})
