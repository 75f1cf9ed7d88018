"""Standards: a corpus of jazz tunes, chords with durations, that nobody has played.

A grammar of jazz harmony writes the tunes, so the corpus needs no download and is the same on every machine. It goes
from the whole to its parts:

    forms          AABA and ABAC of 32 bars, the blues of 12 in major and minor, rhythm changes, tunes of 16; 4/4 or 3/4
    sections       of cadences: ii-V-I in major and minor, turnarounds (I-vi-ii-V, iii-VI-ii-V), the backdoor
                   (iv-bVII7-I), cycles of dominants, chains of ii-V; bridges in other keys (IV, bVI, III, bIII ...)
    substitutions  a tritone away, the relative ii before a V, secondary dominants, diminished passing chords
    colours        each chord has a function (tonic, ii, dominant to major or minor ...), which decides its quality and
                   extensions; a tune keeps to its favourites

Sections come back as they were, so a tune is long-range structure too. Every tune fills whole bars and ends on its
tonic. No two tunes of a split or of two have the same progression (`Tune.skeleton`), in whatever keys they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from tasks.corpora.jazz_harmony import (
    ABROAD,
    ALOFT,
    BLUES,
    BLUES_TURNAROUNDS,
    CYCLES,
    FAMILIES,
    FEELS,
    FIRST,
    FORMS,
    FUNCTIONS,
    HOME,
    KEYS,
    LETTERS,
    MAJOR_BACK,
    MAJOR_ENDINGS,
    MAJOR_MIDDLES,
    MAJOR_OPENINGS,
    MINOR_ABROAD,
    MINOR_ALOFT,
    MINOR_BACK,
    MINOR_BLUES,
    MINOR_BLUES_TURNAROUNDS,
    MINOR_ENDINGS,
    MINOR_KEYS,
    MINOR_MIDDLES,
    MINOR_OPENINGS,
    MINOR_TURNAROUNDS,
    RHYTHM,
    SCALE,
    SECOND,
    TITLES,
    TONICS,
    TURNAROUNDS,
    WALTZES,
    WHO,
    Step,
    degree,
    table,
)
from zoo import chords

SEED = 2024
SIZES = {"train": 600, "validation": 60, "test": 80}


class Tune(NamedTuple):
    title: str
    meter: tuple[int, int]
    tonic: str
    minor: bool
    tempo: float
    steps: list[Step]

    @property
    def skeleton(self) -> tuple:
        """The progression from whatever key, without colours and durations: roots from the first one on, families."""
        heard = [((s.semitones - self.steps[0].semitones) % 12, FAMILIES[s.function]) for s in self.steps]
        return tuple(chord for chord, before in zip(heard, [None, *heard], strict=False) if chord != before)

    @property
    def key(self) -> str:
        return self.tonic + "m" * self.minor

    def symbols(self) -> list[str]:
        """The canonical symbols, spelled as degrees of the key where that takes no odd name such as Fb or A##."""
        sharp = self.tonic in ("GDAEB" if not self.minor else "EB") or "#" in self.tonic
        place = lambda note: (SCALE[note[0]] + note.count("#") - note.count("b")) % 12
        common = "C C# D D# E F F# G G# A A# B" if sharp else "C Db D Eb E F Gb G Ab A Bb B"
        found = []
        for step in self.steps:
            pitch = (place(self.tonic) + step.semitones) % 12
            letter = LETTERS[(LETTERS.index(self.tonic[0]) + step.letters) % 7]
            names = [letter + sign for sign in ("", "b", "#") if place(letter + sign) == pitch]
            odd = not names or names[0] in ("Cb", "Fb", "E#", "B#")
            found.append(chords.parse((common.split()[pitch] if odd else names[0]) + step.kind).symbol)
        return found


class Pen(random.Random):
    """The choices behind one tune, and its habits: colours, how bars are shared, how often chords are substituted."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.habits = {function: self.weigh(kinds) for function, kinds in FUNCTIONS.items()}
        self.loyalty = self.choice((0.7, 0.85, 1.0))
        self.spice = self.choice((0, 0, 0.06, 0.12, 0.25))
        self.form = self.weigh(FORMS)
        self.bar = 3 if self.form != "rhythm" and self.odds(0.12) else 4
        self.uneven = self.bar == 3 or self.odds(0.06)  # two chords share a bar as 2 + 1, 3 + 1
        self.minor = self.form != "rhythm" and self.odds(0.25)

    def odds(self, p: float) -> bool:
        return self.random() < p

    def weigh(self, weights: dict):
        return self.choices(list(weights), list(weights.values()))[0]

    # Parts --------------------------------------------------------------------------------------------------------

    def row(self, text: str, key: Step = HOME) -> list[Step]:
        """A row of a table in a key; three beats have no room for four chords."""
        rows = [r for r in table(text) if self.bar == 4 or all(len(bar.split()) < 4 for bar in r.split("|"))]
        steps = []
        for bar in self.choice(rows).split("|"):
            names = bar.split()
            if names == ["-"]:
                steps[-1] = steps[-1]._replace(beats=steps[-1].beats + self.bar)
                continue
            for name, beats in zip(names, self.shares(self.bar, len(names)), strict=True):
                steps.append(key.above(*degree(name[:-1]), name[-1], beats))
        return steps

    def shares(self, beats: float, count: int) -> list[float]:
        """The beats of so many chords that share a bar, or two bars."""
        if count == 2 and self.uneven and beats == self.bar:
            return [beats - 1, 1]
        return [beats / count] * count

    def cut(self, steps: list[Step], bars: int) -> list[Step]:
        """The first bars."""
        found, left = [], bars * self.bar
        for step in steps:
            if left > 0:
                found.append(step._replace(beats=min(step.beats, left)))
            left -= step.beats
        return found

    def opening(self) -> list[Step]:
        return self.row(MINOR_OPENINGS if self.minor else MAJOR_OPENINGS)

    def middle(self) -> list[Step]:
        return self.row(MINOR_MIDDLES if self.minor else MAJOR_MIDDLES)

    def ending(self) -> list[Step]:
        return self.row(MINOR_ENDINGS if self.minor else MAJOR_ENDINGS)

    def back(self) -> list[Step]:
        return self.row(MINOR_BACK if self.minor else MAJOR_BACK)

    def open(self) -> list[Step]:
        """Four bars that lead back to the beginning."""
        return self.cut(self.middle(), 2) + self.back()

    def turned(self, steps: list[Step], turnarounds: str, bars: int) -> list[Step]:
        """Perhaps with a turnaround for its last bars, if they are the tonic's."""
        last = steps[-1]
        if last.beats < bars * self.bar or last.function not in TONICS or self.odds(0.4):
            return steps
        left = [last._replace(beats=last.beats - bars * self.bar)] if last.beats > bars * self.bar else []
        return [*steps[:-1], *left, *self.row(turnarounds)]

    def bridge(self) -> list[Step]:
        """Eight bars that leave the key and come back."""
        if not self.minor and self.odds(0.2):
            return self.row(CYCLES)
        first, second = (HOME.above(*degree(self.weigh(MINOR_ABROAD if self.minor else ABROAD)), "", 0) for _ in "12")
        if first == HOME or self.odds(0.25):
            return self.middle() + self.open()
        start = self.row(MAJOR_OPENINGS, first) if self.odds(0.4) else self.row(ALOFT, first) + self.row(ALOFT, first)
        return start + self.row(MINOR_ALOFT if self.minor and self.odds(0.5) else ALOFT, second) + self.back()

    # Substitutions and colours ------------------------------------------------------------------------------------

    def dressed(self, steps: list[Step]) -> list[Step]:
        """With some chords substituted, and every chord's kind chosen."""
        found = []
        for i, step in enumerate(steps):
            after = steps[i + 1] if i + 1 < len(steps) else None
            before = steps[i - 1] if i else None
            for new in self.substituted(before, step, after):
                kind = self.habits[new.function] if self.odds(self.loyalty) else self.weigh(FUNCTIONS[new.function])
                new = new._replace(kind=kind)
                same = found and found[-1]._replace(beats=new.beats) == new
                if same and found[-1].beats + new.beats <= 2 * self.bar:
                    found[-1] = new._replace(beats=found[-1].beats + new.beats)
                else:
                    found.append(new)
        return found

    def substituted(self, before: Step | None, step: Step, after: Step | None) -> list[Step]:
        rise = (after.semitones - step.semitones) % 12 if after else None
        halves = self.shares(step.beats, 2)
        if not self.odds(self.spice):
            return [step]
        if step.function in "Dd" and rise == 5 and self.odds(0.5):  # a tritone away: half a tone above its goal
            return [after.above(1, 1, "S", step.beats)]
        prepared = before and before.function in "mh" and (step.semitones - before.semitones) % 12 == 5
        if step.function in "Dd" and step.beats >= self.bar and not prepared:  # its relative ii
            ii = step.above(4, 7, "m" if step.function == "D" else "h", halves[0])
            return [ii, step._replace(beats=halves[1])]
        if step.function == "m" and rise == 5 and after.function in "mDd":  # a secondary dominant
            return [step._replace(function="d" if after.function == "m" else "D")]
        if step.function == "T" and step.beats >= self.bar and rise == 2 and after.function == "m":
            return [step._replace(beats=halves[0]), step.above(0, 1, "o", halves[1])]  # a passing chord
        return [step]

    # Wholes -------------------------------------------------------------------------------------------------------

    def sections(self) -> list[list[Step]]:
        turnarounds = MINOR_TURNAROUNDS if self.minor else TURNAROUNDS
        if self.form == "blues":
            rows = MINOR_BLUES if self.minor else BLUES
            chorus = sum((self.row(text) for text in rows), [])
            chorus[-1] = chorus[-1]._replace(beats=2 * self.bar)
            closed = self.dressed(chorus)
            again = self.dressed(self.turned(chorus, MINOR_BLUES_TURNAROUNDS if self.minor else BLUES_TURNAROUNDS, 1))
            return [again, closed] if self.odds(0.4) else [closed]
        if self.form == "rhythm":
            first, second, third, fourth, fifth = (self.row(text) for text in RHYTHM)
            head = self.dressed(first + second + third)
            closed = head + self.dressed(fifth)
            return [head + self.dressed(fourth), closed, self.dressed(self.row(CYCLES)), closed]
        opening = self.dressed(self.opening())
        last = self.ending()
        closed = opening + self.dressed(last)
        if self.form == "aaba":
            first = opening + self.dressed(self.open() if self.odds(0.7) else self.turned(last, turnarounds, 2))
            second = opening + self.dressed(self.turned(last, turnarounds, 2)) if self.odds(0.3) else closed
            return [first, second, self.dressed(self.bridge()), closed]
        answer = self.dressed(self.middle()) + self.dressed(self.open())
        coda = self.dressed(self.middle()) + self.dressed(last)
        if self.form == "short":
            return [opening + self.dressed(self.open()), coda]
        first = opening + self.dressed(self.middle())
        return [first, answer, first, coda]

    def title(self) -> str:
        kind = "blues" if self.form == "blues" else "waltz" if self.bar == 3 and self.odds(0.6) else ""
        words = {name: self.choice(text.split()) for name, text in (("first", FIRST), ("second", SECOND), ("who", WHO))}
        return self.choice(table(TITLES[kind])).format(**words)

    def tune(self) -> Tune:
        steps = sum(self.sections(), [])
        low, high = WALTZES if self.bar == 3 else self.weigh(FEELS)
        tonic = self.weigh(MINOR_KEYS if self.minor else KEYS)
        return Tune(self.title(), (self.bar, 4), tonic, self.minor, float(self.randrange(low, high + 1, 2)), steps)


def write() -> dict[str, list[Tune]]:
    """The tunes of all splits: no title and no progression occurs twice."""
    splits, titles, skeletons, seeds = {}, set(), set(), random.Random(SEED)
    for split, size in SIZES.items():
        splits[split] = []
        while len(splits[split]) < size:
            tune = Pen(seeds.getrandbits(64)).tune()
            if tune.title not in titles and tune.skeleton not in skeletons:
                titles.add(tune.title)
                skeletons.add(tune.skeleton)
                splits[split].append(tune)
    return splits


class Standards(tfds.core.GeneratorBasedBuilder):
    """Jazz tunes, chords with their durations in quarter notes, written by a grammar of jazz harmony."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "title": tfds.features.Text(),
            "meter": tfds.features.Tensor(shape=(2,), dtype=np.int32),
            "key": tfds.features.Text(),
            "tempo": np.float32,
            "chords": tfds.features.Sequence(tfds.features.Text()),
            "beats": tfds.features.Sequence(np.float32),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(tunes) for split, tunes in write().items()}

    def _generate_examples(self, tunes: list[Tune]) -> Iterator[tuple[int, dict]]:
        for i, tune in enumerate(tunes):
            beats = [step.beats for step in tune.steps]
            row = {"title": tune.title, "meter": tune.meter, "key": tune.key, "tempo": tune.tempo}
            yield i, {**row, "chords": tune.symbols(), "beats": beats}
