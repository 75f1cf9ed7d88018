"""Tunes as rows of integers, for models of chords and durations: what training reads and generation writes.

A row is an event, or the boundary before and after a tune; the columns are `COLUMNS`:

    type      of the chord: 0 boundary, 1 no chord, from 2 on the vocabulary's types
    root      pitch class; where there is no chord, that of the latest one; 12 before the first one
    motion    semitones up from the root before it; 12 where there is none before
    duration  number of the duration in the vocabulary; 0 for a boundary
    elapsed   eighth notes of the tune so far, this event included
    bars      of the whole tune; 0 where that is not known
    meter     number of the meter in the vocabulary
    step      events so far, this one included
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from zoo import chord_types, chords
from zoo.charts import GRID, Event, Tune
from zoo.charts import METER as METER_4_4

COLUMNS = ("type", "root", "motion", "duration", "elapsed", "bars", "meter", "step")
TYPE, ROOT, MOTION, DURATION, ELAPSED, BARS, METER, STEP = range(len(COLUMNS))
BOUNDARY, NO_CHORD, SPECIAL = 0, 1, 2  # types; the vocabulary's begin at SPECIAL
NOWHERE = 12  # root and motion
UNIT = Fraction(1, 2)  # quarter notes: onsets are brought to this grid
LEAST = 20  # times that a type or a duration occurs in training, to be in the vocabulary


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """What a model knows: types of chords (as of `Chord.type`), durations in quarter notes, meters."""

    types: tuple[str, ...]
    durations: tuple[Fraction, ...]
    meters: tuple[tuple[int, int], ...]

    @staticmethod
    def learn(tunes: Iterable[Tune], least: int = LEAST) -> Vocabulary:
        """Of training tunes: what occurs so often; and what is needed to write down all the others."""
        tunes = list(tunes)
        counts = collections.Counter(event.beats for tune in tunes for event in on_grid(tune))
        durations = {beats for beats, count in counts.items() if count >= least} | {UNIT}
        meters = collections.Counter(t.meter for t in tunes if (t.bar_beats / UNIT).denominator == 1)  # not 5/16
        known = tuple(meter for meter, _ in meters.most_common()) or (METER_4_4,)
        return Vocabulary(tuple(chord_types.types(tunes, least)), tuple(sorted(durations)), known)

    def as_assets(self) -> dict[str, list[str]]:
        meters = [f"{beats}/{unit}" for beats, unit in self.meters]
        return {"types": list(self.types), "durations": list(map(str, self.durations)), "meters": meters}

    @staticmethod
    def from_assets(assets) -> Vocabulary:
        meters = (tuple(map(int, meter.split("/"))) for meter in assets["meters"])
        return Vocabulary(tuple(assets["types"]), tuple(map(Fraction, assets["durations"])), tuple(meters))

    def symbols(self) -> list[list[str]]:
        """Canonical symbols of all chords, `[12][types]`."""
        return [[chords.of(root, type).symbol for type in self.types] for root in range(12)]

    def rows(self, tune: Tune, bars: int | None = None) -> np.ndarray:
        """int32 `[1 + events, columns]`, the boundary first. Rare chords become plainer ones, and rare durations
        several events; the tune's own number of bars is taken if none is given."""
        meter, bars = self.meter(tune.meter), int(-(-tune.bars // 1)) if bars is None else bars
        found = [self.boundary(meter, bars)]
        for event in on_grid(tune):
            for beats in self._parts[event.beats]:
                found.append(self._row(event.chord, beats, found[-1]))
        return np.array(found, np.int32)

    def backed_off(self, chord):
        """The chord, or the most like it of a type that is known."""
        if chord not in self._known:
            self._known[chord] = chord_types.backed_off(chord, self.types)
        return self._known[chord]

    def plainer(self, tune: Tune) -> dict[str, str]:
        """The symbols in a tune that are taken for plainer ones, and for which."""
        pairs = {event.chord.symbol: self.backed_off(event.chord) for event in tune.events}
        return {
            symbol: chord.symbol for symbol, chord in pairs.items() if chord.symbol != symbol and _differ(symbol, chord)
        }

    @staticmethod
    def boundary(meter: int, bars: int) -> list[int]:
        return [BOUNDARY, NOWHERE, NOWHERE, 0, 0, bars, meter, 0]

    def meter(self, meter: tuple[int, int]) -> int:
        """The number of a meter, or of one with bars of about the same length."""
        if meter in self.meters:
            return self.meters.index(meter)
        length = Fraction(4 * meter[0], meter[1])
        return min(
            range(len(self.meters)), key=lambda i: abs(Fraction(4 * self.meters[i][0], self.meters[i][1]) - length)
        )

    @functools.cached_property
    def _parts(self) -> dict[Fraction, tuple[Fraction, ...]]:
        """For each length, durations of the vocabulary that are together as long, the longest first."""
        known = self.durations

        class Parts(dict):
            def __missing__(self, beats):
                longest = max((d for d in known if d <= beats), default=beats)
                found = self[beats] = (longest, *(self[beats - longest] if beats > longest else ()))
                return found

        return Parts()

    @functools.cached_property
    def _known(self) -> dict:
        """The chords that were read so far, and what they are taken for."""
        return {}

    def _row(self, chord, beats: Fraction, before: list[int]) -> list[int]:
        elapsed, step = before[ELAPSED] + int(beats / UNIT), before[STEP] + 1
        rest = [self.durations.index(beats), elapsed, before[BARS], before[METER], step]
        chord = self.backed_off(chord)
        if chord.pitch_class < 0:
            return [NO_CHORD, before[ROOT], NOWHERE, *rest]
        motion = NOWHERE if before[ROOT] == NOWHERE else (chord.pitch_class - before[ROOT]) % 12
        return [SPECIAL + self.types.index(chord.type), chord.pitch_class, motion, *rest]


def transposed(rows: np.ndarray, semitones: int) -> np.ndarray:
    """The same tune in another key."""
    rows, roots = rows.copy(), rows[:, ROOT]
    rows[:, ROOT] = np.where(roots == NOWHERE, NOWHERE, (roots + semitones) % 12)
    return rows


def on_grid(tune: Tune) -> list[Event]:
    """The events with onsets and end on the grid of eighth notes; one that would have no length is left out."""
    found, elapsed, begun = [], 0, 0
    for event in tune.events:
        elapsed += event.beats.numerator * (GRID // event.beats.denominator)
        end = round(elapsed / (GRID * UNIT))
        if end > begun:
            found.append(Event(event.chord, _length(end - begun)))
            begun = end
    return found


@functools.cache
def _length(units: int) -> Fraction:
    return units * UNIT


def _differ(symbol: str, chord) -> bool:
    """Whether it is not only spelled otherwise."""
    return chords.parse(symbol).type != chord.type
