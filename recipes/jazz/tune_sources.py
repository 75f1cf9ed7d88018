"""Readers for the corpora of chord progressions in ../shared/data/jazz; their PROVENANCE.md say where they are from.

How the sources differ, which is kept: what is struck again in the same chord is an event of its own in choi_realbook
(4% of its events), jht (11%) and openewld (2%); jcpc and improvisor_solos have joined these. choi_realbook and jcpc
are unrolled and often have several choruses or an introduction, openewld isn't. jht has 181 plain symbols; the others
have extensions and basses.

choi_realbook has bars of 4 beats throughout, as Band-in-a-Box files of waltzes do, too, of which the last beat isn't
played. A tune that the other corpora have in 3/4 only, or that says so in its title, is read as a waltz if no chord
begins on a fourth beat. A waltz that the others lack, and which doesn't say so, stays in 4/4.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import pathlib
import re
from collections.abc import Iterator
from fractions import Fraction

from tune_groups import normalised

from zoo import chords
from zoo.charts import GRID, KEYS, Event, Tune

LONGEST = 32  # quarter notes of an event: where a chord stays for longer, the others were left out
FEWEST, SHORTEST = 8, 4  # events and bars of a tune
EXERCISES = {"various bass figures", "example melody over sus flat 9"}  # of improvisor_solos


@dataclasses.dataclass
class Read:
    """A tune of a source, or why there is none: `dropped` says so then."""

    source: str
    tune: Tune | None = None
    dropped: str = ""
    certain_key: bool = False  # of the others either mode or key are guesses; see tune_keys.py


def lines(path: pathlib.Path) -> Iterator[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def events(parts, quarter: int) -> list[Event]:
    """Of (symbol, ticks) pairs. Beginnings are rounded to 1/12 of a quarter note, not durations: bars stay whole."""
    result, ticks, start = [], 0, Fraction()
    for symbol, length in parts:
        ticks += length
        end = Fraction(round(Fraction(ticks, quarter) * GRID), GRID)
        if end > start:
            result.append(Event(chords.parse(symbol), end - start))
        start = end
    return result


def checked(read: Read) -> Read:
    """The same, or why it is dropped: what is no tune, and what has bars that don't add up."""
    tune = read.tune
    if tune is None:
        return read
    tune.title = " ".join(tune.title.split())
    if any(event.beats > LONGEST for event in tune.events):
        dropped = f"an event of more than {LONGEST} beats"
    elif len(tune.events) < FEWEST:
        dropped = f"fewer than {FEWEST} events"
    elif tune.bars < SHORTEST:
        dropped = f"fewer than {SHORTEST} bars"
    elif 2 * sum(not event.chord.root for event in tune.events) > len(tune.events):
        dropped = "mostly without chords"
    elif tune.beats % tune.bar_beats and any(
        event.beats == tune.bar_beats and beat for event, _, beat in tune.spans()
    ):  # a short last bar is all right; a chord for a whole bar that begins within one is out of step before the end
        dropped = "bars do not add up"
    else:
        return read
    return dataclasses.replace(read, tune=None, dropped=dropped)


def choi(folder: pathlib.Path, waltzes: set[str]) -> Iterator[Read]:
    """`waltzes`: normalised titles of what the other corpora have in 3/4 only."""
    for row in lines(folder / "choi_realbook" / "jazz_xlab.jsonl.gz"):
        title, fourth = row["title"], any(place.endswith(":4") for *_, place in row["chords"])
        named = "waltz" in title.lower() or "[3-4]" in title
        three = not fourth and "[4-4]" not in title and (named or normalised(title) in waltzes)
        meter, parts, start = ((3, 4) if three else (4, 4)), [], 0
        for beats, _, symbol, _ in row["chords"]:
            bar, beat = divmod(start, 4)
            start += beats
            end_bar, end_beat = divmod(start, 4)
            begins, ends = meter[0] * bar + beat, meter[0] * end_bar + end_beat
            parts.append((symbol, ends - begins))
        key = {"A#": "Bb"}.get(row["key"], row["key"])
        yield Read("choi_realbook", Tune(title, events(parts, 1), meter, key), certain_key=key != "C")


def jcpc(folder: pathlib.Path) -> Iterator[Read]:
    for row in lines(folder / "jcpc" / "jcpc.jsonl.gz"):
        key = row["key"] if row["key"] in KEYS[0] else ""
        yield Read("jcpc", Tune(row["title"], events(row["chords"], 120), tuple(row["meter"]), key))


def jht(folder: pathlib.Path) -> Iterator[Read]:
    for row in lines(folder / "jht" / "jht_tunes.jsonl.gz"):
        tonic = row["key"].replace("-", "b")
        key = tonic[0].upper() + tonic[1:] + "m" * tonic[0].islower()
        parts = [["N.C.", row["pickup_ticks"]]] if row["pickup_ticks"] else []  # before the first chord
        yield Read(
            "jht",
            Tune(row["title"], events(parts + row["chords"], 480), tuple(row["meter"]), key),
            certain_key=True,
        )


def openewld(folder: pathlib.Path) -> Iterator[Read]:
    for row in lines(folder / "openewld" / "openewld.jsonl.gz"):
        meters = {meter for _, meter in row["meters"]}
        if len(meters) != 1:
            yield Read("openewld", dropped="no meter" if not meters else "several meters")
            continue
        meter = tuple(map(int, meters.pop().split("/")))
        bar, total = 480 * 4 * meter[0] // meter[1], sum(ticks for _, ticks in row["chords"])
        ends = [*row["bar_starts"][1:], total]
        lengths = [end - start for start, end in zip(row["bar_starts"], ends, strict=True)]
        if any(length != bar for length in lengths[:-1]) or lengths[-1] > bar:
            pickup = lengths[0] < bar and all(length == bar for length in lengths[1:-1])
            yield Read("openewld", dropped="a pickup bar" if pickup else "bars do not add up")
            continue
        key = _signature(row["key"][0], row["key"][1] == "minor") if row["key"] else ""
        yield Read("openewld", Tune(row["title"], events(row["chords"], 480), meter, key))


def improvisor(folder: pathlib.Path) -> Iterator[Read]:
    for row in lines(folder / "improvisor_solos" / "leadsheets_with_solos.jsonl.gz"):
        name = pathlib.PurePosixPath(row["id"]).stem
        title = row["title"].strip() or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
        if title.lower() in EXERCISES:
            yield Read("improvisor_solos", dropped="an exercise")
        else:
            tune = Tune(title, events(row["chords"], 120), tuple(row["meter"]), _signature(row["key"]))
            yield Read("improvisor_solos", tune)


def _signature(fifths: int, minor: bool = False) -> str:
    return KEYS[minor][(7 * fifths + 9 * minor) % 12]


def read_all(folder: pathlib.Path) -> list[Read]:
    """All tunes, in the order in which versions are preferred where two are the same."""
    others = {"jcpc": list(jcpc(folder)), "improvisor_solos": list(improvisor(folder))}
    others |= {"openewld": list(openewld(folder)), "jht": list(jht(folder))}
    meters: dict[str, set] = {}
    for read in [r for source in ("jcpc", "jht", "improvisor_solos") for r in others[source] if r.tune]:
        meters.setdefault(normalised(read.tune.title), set()).add(read.tune.meter)
    waltzes = {title for title, known in meters.items() if known == {(3, 4)}}
    everything = [*choi(folder, waltzes), *(read for source in others.values() for read in source)]
    return [checked(read) for read in everything]
