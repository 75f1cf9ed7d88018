"""Keys of tunes whose source doesn't say, or says it by a key signature, or says C where nobody chose one.

Of jcpc's tunes "in C", half are elsewhere by their chords, of those in another key a tenth: C is what Impro-Visor
writes if left alone. The estimate is by the chords, how often each is in a tune of a known key (jht's), and by the
first and the last: it finds the signature of 87% of the tunes of jht that it hasn't seen, and the key of 84%.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable

from tune_groups import family

from zoo import chords
from zoo.charts import KEYS, Tune

WEIGHT = 0.2  # of all chords against the last: chords after one another aren't independent
FIRST = 0.5


def _parts(tune: Tune) -> list[tuple[int, str]]:
    parts = [(event.chord.pitch_class, family(event.chord)) for event in tune.events if event.chord.root]
    return [part for part, before in zip(parts, [None, *parts], strict=False) if part != before]


def _place(key: str) -> tuple[int, bool]:
    return chords.parse(key.removesuffix("m")).pitch_class, key.endswith("m")


def signature(place: tuple[int, bool]) -> int:
    """The tonic of the major key with the same signature."""
    return (place[0] + 3 * place[1]) % 12


class Keys:
    """Log-probabilities of keys given chords, from tunes whose keys are known."""

    def __init__(self, tunes: Iterable[Tune]):
        count = collections.Counter
        self.counts = {minor: (count(), count(), count()) for minor in (False, True)}
        self.modes = count()
        for tune in tunes:
            (tonic, minor), parts = _place(tune.key), _parts(tune)
            self.modes[minor] += 1
            for counter, some in zip(self.counts[minor], (parts, parts[-1:], parts[:1]), strict=True):
                counter.update(((pitch - tonic) % 12, kind) for pitch, kind in some)

    def scores(self, tune: Tune) -> dict[tuple[int, bool], float]:
        parts, scores = _parts(tune), {}
        for minor, counters in self.counts.items():
            for tonic in range(12):
                scores[tonic, minor] = math.log((self.modes[minor] + 1) / (self.modes.total() + 2))
                for counter, some, weight in zip(
                    counters, (parts, parts[-1:], parts[:1]), (WEIGHT, 1, FIRST), strict=True
                ):
                    total = counter.total() + 60  # 12 roots, 5 families, one added to each
                    scores[tonic, minor] += weight * sum(
                        math.log((counter[(pitch - tonic) % 12, kind] + 1) / total) for pitch, kind in some
                    )
        return scores

    def key(self, tune: Tune) -> str:
        """The likeliest with the tune's signature; with any, if it has none or that of C."""
        given, scores = tune.key and _place(tune.key), self.scores(tune)
        if given and signature(given):
            scores = {place: score for place, score in scores.items() if signature(place) == signature(given)}
        tonic, minor = max(scores, key=scores.get)
        if not minor and given == (tonic, minor):
            return tune.key  # as spelled
        return KEYS[minor][tonic]
