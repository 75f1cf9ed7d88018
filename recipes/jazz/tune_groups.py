"""Which tunes are the same: by their titles, and by their chords. Tunes of one group must not be in two splits."""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from rapidfuzz import fuzz, process, utils

from zoo.charts import Tune
from zoo.chords import Chord

ALIKE = 90  # per cent of two titles' characters; of shorter titles than this many, all:
LONG = 8
GRAM, SHARED = 8, 0.7  # chords in a row, and what share of these two progressions may have in common
SOME = 0.3  # enough where one title is about part of the other
FEW = 8  # runs of as many chords, below which that is nothing remarkable
ARTICLES = "the|a|an|el|la|le|les|il|o|os"


def normalised(title: str) -> str:
    """A title in lower-case letters and digits, without what tells versions apart.

    >>> normalised("Walk Along the Sea, A (Bossa) - A. Composer")
    'walkalongthesea'
    """
    text = unicodedata.normalize("NFKD", title.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"\.(mgu|sgu|mg\d|sg\d|ls|mxl|txt|xlab)$", "", text.strip())
    for pattern, by in (
        (r"\(.*?\)|\[.*?\]|\{.*?\}", " "),  # additions
        (r"\s-\s.*", ""),  # - composer
        (r"&|\bn\b|'n'", " and "),
        (r"\s+solo(\s+by\b.*)?\s*$", ""),
        (r"[\s#]*\b(no\.?|number|pt\.?|part|version|take)?\s*#?\d+\s*$", ""),
        (rf"^(.*),\s*({ARTICLES})\s*$", r"\1"),
        (rf"^\s*({ARTICLES})\s+(?=\S)", ""),
        (r"in'(?=\s|$)", "ing"),
        (r"[^a-z0-9]", ""),
    ):
        shorter = re.sub(pattern, by, text)
        if re.search("[a-z]", shorter) or by == "ing":
            text = shorter
    return re.sub(r"[^a-z0-9]", "", text) or "".join(c for c in title.casefold() if c.isalnum())


def family(chord: Chord) -> str:
    """A coarse type, on which versions of a tune mostly agree: M, m, 7 (sus too), dim, m7b5."""
    quality = chord.quality
    if quality.startswith("dim") or quality == "m7b5":
        return "m7b5" if quality == "m7b5" else "dim"
    if quality.startswith("m") and not quality.startswith("maj"):
        return "m"
    return "7" if quality.startswith(("7", "aug7", "sus")) else "M"


def grams(tune: Tune) -> set[tuple]:
    """Its runs of eight different chords after one another, whatever the key; a shorter tune's one run."""
    steps, last = [], None
    for chord in (event.chord for event in tune.events if event.chord.root):
        now = (chord.pitch_class, family(chord))
        if now != last:
            steps.append(((now[0] - last[0]) % 12 if last else 0, now[1]))
        last = now
    runs = [steps[i : i + GRAM] for i in range(max(1, len(steps) - GRAM + 1))]
    return {(run[0][1], *run[1:]) for run in runs if run}


def identity(tune: Tune) -> tuple:
    """Equal for two tunes that are the same but for their titles and keys."""
    first = next((event.chord.pitch_class for event in tune.events if event.chord.root), 0)
    steps = [((e.chord.pitch_class - first) % 12, e.chord.type, e.beats) for e in tune.events]
    return (tune.meter, *steps)


class Union:
    """Disjoint sets of numbers, joined pair by pair."""

    def __init__(self, size: int):
        self.parents = list(range(size))

    def find(self, i: int) -> int:
        while self.parents[i] != i:
            self.parents[i] = self.parents[self.parents[i]]
            i = self.parents[i]
        return i

    def join(self, i: int, j: int) -> None:
        i, j = sorted((self.find(i), self.find(j)))
        self.parents[j] = i


def groups(tunes: Sequence[Tune]) -> list[int]:
    """For each tune the number of its group's first."""
    union = Union(len(tunes))
    by_title: dict[str, list[int]] = {}
    for i, tune in enumerate(tunes):
        by_title.setdefault(normalised(tune.title), []).append(i)
    for same in by_title.values():
        for i in same[1:]:
            union.join(same[0], i)
    titles = [title for title in by_title if len(title) >= LONG]
    for start in range(0, len(titles), 1000):
        some = titles[start : start + 1000]
        for i, j in np.argwhere(process.cdist(some, titles, scorer=fuzz.ratio, score_cutoff=ALIKE, dtype=np.uint8)):
            union.join(by_title[some[i]][0], by_title[titles[j]][0])
    for i, j in similar(tunes):
        union.join(i, j)
    return [union.find(i) for i in range(len(tunes))]


def _related(title: str, other: str) -> bool:
    return fuzz.token_set_ratio(title, other, processor=utils.default_process) >= 80


def similar(tunes: Sequence[Tune]) -> list[tuple[int, int]]:
    """Pairs of tunes of which one shares most of its runs of chords with the other: the one that has fewer, as a
    version may have another introduction; but where that one has few, a riff or a short blues, which are within much
    that is another tune, each with the other. With titles that have much in common, less will do."""
    sets = [grams(tune) for tune in tunes]
    having: dict[tuple, list[int]] = {}
    pairs = []
    for i, runs in enumerate(sets):
        shared = collections.Counter(j for run in runs for j in having.get(run, ()))
        for j, n in shared.items():
            few, many = sorted((len(runs), len(sets[j])))
            share = n / (few if few >= FEW else many)
            if share >= SHARED or (share >= SOME and _related(tunes[i].title, tunes[j].title)):
                pairs.append((j, i))
        for run in runs:
            having.setdefault(run, []).append(i)
    return pairs
