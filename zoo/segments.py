"""Segments of frame-wise labels: the measures of temporal action segmentation, and words decoded by their places.

A clip's labels are a string per frame; a segment is a maximal run of one label. `background` labels (silence, nothing
going on) separate segments and are none themselves.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

FLOOR = -1e4  # log-probabilities below count as this, so that sums and differences of them stay finite
SUFFICES = 0.99  # of the clips: a transcript with a word too many does not unmake a grammar


class Segment(NamedTuple):
    """Frames `start` to `end`, `end` excluded."""

    label: str
    start: int
    end: int


def segments(labels: Sequence[str]) -> list[Segment]:
    """The maximal runs of a label, in time order."""
    found, start = [], 0
    for label, run in itertools.groupby(labels):
        end = start + sum(1 for _ in run)
        found.append(Segment(label, start, end))
        start = end
    return found


def foreground(labels: Sequence[str], background: Collection[str] = ()) -> list[Segment]:
    """The segments that are not background. A label on both sides of background is two segments."""
    return [segment for segment in segments(labels) if segment.label not in background]


def errors(true_words: Sequence[str], predicted_words: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn one sequence of labels into the other."""
    return Levenshtein.distance(true_words, predicted_words)


def edit_score(true: Sequence[str], predicted: Sequence[str], background: Collection[str] = ()) -> float:
    """Segmental edit score of one clip, in percent (Lea et al. 2016): are the right segments there, in the right order?

    100 if neither labelling has a segment.
    """
    words = [[segment.label for segment in foreground(labels, background)] for labels in (true, predicted)]
    return 100.0 * (1 - errors(*words) / max(1, *map(len, words)))


def overlap_counts(
    true: Sequence[str], predicted: Sequence[str], threshold: float, background: Collection[str] = ()
) -> tuple[int, int, int]:
    """Counts of one clip for segmental F1@threshold (Lea et al. 2017), as the MS-TCN evaluation has them.

    Predicted segments, in time order, each choose the true one of their label with the highest intersection over union,
    the first of equals. It is a hit if that reaches the threshold and no earlier prediction took the same one: the
    second best is no way out, so a true segment that is cut in two costs a false positive.

    Returns:
        True positives, false positives and false negatives: to be summed over clips before F1 is taken.
    """
    there, taken, claims = foreground(true, background), set(), foreground(predicted, background)
    for claim in claims:
        candidates = [i for i, segment in enumerate(there) if segment.label == claim.label]
        best = max(candidates, key=lambda i: overlap(claim, there[i]), default=None)
        if best is not None and overlap(claim, there[best]) >= threshold:
            taken.add(best)
    return len(taken), len(claims) - len(taken), len(there) - len(taken)


def overlap(one: Segment, other: Segment) -> float:
    """Intersection over union."""
    shared = max(0, min(one.end, other.end) - max(one.start, other.start))
    return shared / (one.end - one.start + other.end - other.start - shared)


def given_boundaries(log_probabilities: np.ndarray, start: int, end: int, allowed: Sequence[int]) -> int:
    """The class, among those allowed, with the highest sum of log-probabilities `[frames, classes]` over the frames."""
    return int(allowed[log_probabilities[start:end, allowed].sum(0).argmax()])


@dataclasses.dataclass(frozen=True)
class Places:
    """A grammar of fixed form: every clip has one word of each place, in order, background around them.

    labels: for each place, the words seen there, sorted; no word has two places.
    background: labels that may come before, between and after the words.
    """

    labels: list[list[str]]
    background: tuple[str, ...] = ()

    @classmethod
    def learn(cls, clips: Iterable[Sequence[str]], background: Collection[str] = ()) -> Places | None:
        """The grammar of these clips' labels, a label per frame; None if their form is not fixed.

        It is if 99% of the clips have the same number of segments, two or more, and a label tells its place.
        """
        sequences = [[segment.label for segment in foreground(labels, background)] for labels in clips]
        if not sequences:
            return None
        ((n, clips_of_n),) = collections.Counter(map(len, sequences)).most_common(1)
        if n < 2 or clips_of_n < SUFFICES * len(sequences):
            return None
        labels = [sorted(set(place)) for place in zip(*(s for s in sequences if len(s) == n), strict=True)]
        unique = sum(map(len, labels)) == len(set().union(*labels))
        return cls(labels, tuple(sorted(background))) if unique else None

    def decode(self, log_probabilities: np.ndarray, names: Sequence[str], minimum: int = 1) -> list[str]:
        """The words of the most probable path through [background*] word 1 [background*] ... word n [background*].

        Viterbi: a word is held for `minimum` frames or more, staying costs nothing, and background frames take the best
        of the background labels; where there are none, words adjoin. Durations are free, so the best time to enter a
        word, at every time of leaving it, is a running maximum over differences of cumulated scores: the time is
        linear in the frames.

        Args:
            log_probabilities: float `[frames, classes]`; names: of the classes, all the words among them.

        Returns:
            A word for each place; nothing if the clip is too short to hold them.
        """
        index = {name: i for i, name in enumerate(names)}
        scores = np.maximum(log_probabilities, FLOOR, dtype=np.float64)
        if len(scores) < minimum * len(self.labels):
            return []
        quiet = [index[label] for label in self.background if label in index]
        silence = _cumulated(scores[:, quiet].max(1)) if quiet else np.zeros(len(scores) + 1)
        wait = np.maximum.accumulate if quiet else lambda x: x

        # Arrays [frames + 1, ...]: the best score of a path up to a boundary between frames, which ...
        reached = np.where(np.arange(len(scores) + 1) == 0, 0.0, -np.inf)
        steps = []
        for place in self.labels:
            spoken = _cumulated(scores[:, [index[label] for label in place]])
            reached = silence + wait(reached - silence)  # ... may have waited in background
            entering = reached[:, None] - spoken
            left = np.full_like(spoken, -np.inf)  # ... has just left a word of this place
            left[minimum:] = spoken[minimum:] + np.maximum.accumulate(entering)[:-minimum]
            steps.append((entering, left))
            reached = left.max(1)

        words, time = [], len(scores)
        for place, (entering, left) in zip(self.labels[::-1], steps[::-1], strict=True):
            earliest = 0 if quiet else time
            time = earliest + (left.max(1) - silence)[earliest : time + 1].argmax()
            word = left[time].argmax()
            time = entering[: time - minimum + 1, word].argmax()
            words.append(place[word])
        return words[::-1]


def _cumulated(scores: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1 ... all rows."""
    return np.concatenate([np.zeros_like(scores[:1]), scores.cumsum(0)])
