"""How well a model predicts tunes, and what the tunes are like that it writes."""

from __future__ import annotations

import collections
import math
import pathlib
from collections.abc import Callable, Iterable

import numpy as np

from zoo import plots, scoring
from zoo.charts import Tune
from zoo.events import Vocabulary, on_grid

BATCH = 32  # tunes that are read together
WRITTEN = 300  # tunes that are written, to see what they are like
SHOWN = 12  # of a distribution
SEED = 4  # events of a run at least


def report(model, tunes: list[Tune], train: list[Tune] = (), progress=None) -> dict:
    """Likelihood of tunes under a `zoo.tune_generator.TuneGenerator`, in nats for each chord event, with an interval of
    a bootstrap over tunes; how often the chord is among the most probable ones; and what it writes beside the corpus.
    """
    vocabulary, sums, counts, hits = model.vocabulary, [], [], collections.Counter()
    tunes = [tune for tune in tunes if on_grid(tune)]  # one of a single short chord has nothing there
    for start in range(0, len(tunes), BATCH):
        rows = [vocabulary.rows(tune) for tune in tunes[start : start + BATCH]]
        ends = [[*tune[-1]] for tune in rows]
        for end in ends:
            end[:4] = vocabulary.boundary(0, 0)[:4]
        found = model.read_rows([np.vstack([tune, end]) for tune, end in zip(rows, ends, strict=True)])
        for tune in found:
            sums.append([-tune[part].sum() for part in ("chord", "duration", "length")])
            counts.append(len(tune["chord"]) - 1)  # the end is no event, but costs something
            hits.update({k: int(tune[f"top_{k}"][:-1].sum()) for k in (1, 3, 5)})
        if progress:
            progress(min(start + BATCH, len(tunes)), len(tunes) + WRITTEN)
    sums, counts = np.array(sums), np.array(counts)
    chord, duration, length = (float(part) for part in sums.sum(0) / counts.sum())
    written = write(model, progress, len(tunes))
    return {
        "tunes": len(tunes),
        "events": int(counts.sum()),
        "chord_nats": chord,
        "duration_nats": duration,
        "length_nats": length,
        "joint_nats": chord + duration + length,
        "joint_nats_95": scoring.bootstrap(sums.sum(1), counts),
        **{f"chord_top_{k}": hits[k] / int(counts.sum()) for k in (1, 3, 5)},
        "plainer": plainer_share(vocabulary, tunes),
        "written": describe(written, train or tunes, vocabulary),
    }


def write(model, progress=None, done: int = 0) -> list[Tune]:
    tunes = []
    for seed in range(WRITTEN):
        tunes.append(model.generate(bars=32, seed=seed, temperature=0.9))
        if progress:
            progress(done + seed + 1, done + WRITTEN)
    return tunes


def plainer_share(vocabulary: Vocabulary, tunes: list[Tune]) -> float:
    """Share of the events whose chord is taken for a plainer one."""
    events = [event for tune in tunes for event in tune.events]
    plain = sum(vocabulary.backed_off(event.chord) != event.chord for event in events)
    return plain / max(1, len(events))


def describe(written: list[Tune], corpus: list[Tune], vocabulary: Vocabulary) -> dict:
    """What was written, beside a corpus: full bars, endings, what is copied, and three distributions.

    A cadence is a last root motion of a fourth up (V-I) or a semitone down (its tritone substitute); by chance it would
    be as frequent as within the tunes. `longest_copied` is the longest run of events, root motions, types and
    durations, that a tune of the corpus has, too. A distance of distributions is the total variation, 0 to 1.
    """
    own, theirs = ([plain(tune, vocabulary) for tune in tunes] for tunes in (written, corpus))
    runs = _runs(theirs)
    copied = [longest_copied(tune, runs) for tune in own] if theirs else [0]
    kinds: dict[str, Callable] = {"types": lambda e: e[1], "motions": lambda e: e[0], "durations": lambda e: e[2]}
    distributions = {
        name: {"written": _shares(map(of, _all(own))), "corpus": _shares(map(of, _all(theirs)))}
        for name, of in kinds.items()
    }
    return {
        "tunes": len(written),
        "full_bars": float(np.mean([tune.bars.denominator == 1 for tune in written])),
        "cadence": _cadences(own),
        "cadence_by_chance": _motions(own),
        "cadence_in_corpus": _cadences(theirs),
        "longest_copied": int(max(copied)),
        "longest_copied_median": float(np.median(copied)),
        "events_median": float(np.median([len(tune) for tune in own])),
        "distances": {name: _distance(**each) for name, each in distributions.items()},
        "distributions": {name: _commonest(each) for name, each in distributions.items()},
    }


def plain(tune: Tune, vocabulary: Vocabulary) -> list[tuple]:
    """(root motion or None, type, duration in quarter notes) of each event: the same in all keys."""
    found, before = [], None
    for event in on_grid(tune):
        chord = vocabulary.backed_off(event.chord)
        root = chord.pitch_class if chord.pitch_class >= 0 else None
        motion = (root - before) % 12 if root is not None and before is not None else None
        found.append((motion, chord.type if root is not None else "N.C.", str(event.beats)))
        before = before if root is None else root
    return found


def longest_copied(tune: list[tuple], runs: dict[tuple, list[tuple[list, int]]]) -> int:
    """The length of the longest run of events of a tune that is somewhere in the others; 0 below `SEED` events."""
    longest = 0
    for start in range(len(tune) - SEED + 1):
        for other, place in runs.get(tuple(tune[start + 1 : start + SEED]), ()):
            if not _alike(tune[start], other[place - 1]):
                continue
            n = SEED
            while start + n < len(tune) and place - 1 + n < len(other) and tune[start + n] == other[place - 1 + n]:
                n += 1
            longest = max(longest, n)
    return longest


def _alike(one: tuple, other: tuple) -> bool:
    """The first events of two runs: how they are reached does not matter."""
    return one[1:] == other[1:]


def _runs(tunes) -> dict[tuple, list[tuple[list, int]]]:
    """Where runs of `SEED` - 1 events are, after another event."""
    found = collections.defaultdict(list)
    for tune in tunes:
        for place in range(1, len(tune) - SEED + 2):
            found[tuple(tune[place : place + SEED - 1])].append((tune, place))
    return found


def _all(tunes) -> Iterable[tuple]:
    return (event for tune in tunes for event in tune)


def _cadences(tunes) -> float:
    return float(np.mean([tune[-1][0] in (5, 11) for tune in tunes if tune])) if tunes else math.nan


def _motions(tunes) -> float:
    motions = [event[0] for event in _all(tunes) if event[0] is not None]
    return float(np.mean([motion in (5, 11) for motion in motions])) if motions else math.nan


def _shares(values) -> dict[str, float]:
    counts = collections.Counter("none" if value is None else str(value) for value in values)
    return {value: count / counts.total() for value, count in counts.most_common()}


def _commonest(sides: dict[str, dict]) -> dict[str, dict]:
    """The shares of the values that are the commonest on all sides together."""
    total = sum((collections.Counter(shares) for shares in sides.values()), collections.Counter())
    names = [name for name, _ in total.most_common(SHOWN)]
    return {side: {name: shares[name] for name in names if name in shares} for side, shares in sides.items()}


def _distance(written: dict, corpus: dict) -> float:
    return sum(abs(written.get(key, 0) - corpus.get(key, 0)) for key in {*written, *corpus}) / 2


def draw(report: dict, folder: pathlib.Path) -> list[pathlib.Path]:
    return [plots.distributions(report["written"]["distributions"], folder / "distributions.png")]
