"""Baselines of the jazz task: `python -m benchmarks.jazz_baselines runs/jazz [--order 5] [--represent key motion]`

Of a folder of tunes with the splits train, dev and test: negative log-likelihoods, in nats per event, of a uniform
distribution, unigrams and interpolated Kneser-Ney n-grams; of chords, of durations given the chord, and of both. Events
are those that the models of tasks/jazz.py see, and as many (zoo/events.py): types of chords that occur at least 20
times in training or plainer ones, durations on a grid. A tune ends with an end event, which has no duration; what it
costs counts among the chords, but it doesn't among the events.

Kneser-Ney models of chords see the chords before; those of durations the interleaved stream chord, duration, chord ...
up to the duration's chord, and spread their probability over durations only. A second one of chords sees the
interleaved stream, too. A chord is (root, type), and the root one of these:

    key       above the tonic of the tune's key
    absolute  as it is, with every training tune in all twelve keys
    motion    above the root before; the first one above the tonic
"""

from __future__ import annotations

import argparse
import math
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.ngrams import KneserNey, Uniform, Unigram
from zoo import chord_types, chords, events, tune_reading
from zoo.charts import Tune
from zoo.errors import ZooError

END = "end"
REPRESENTATIONS = ("key", "absolute", "motion")
LEAST = events.LEAST  # times that a type of chord occurs in training, to be in the vocabulary
NO_CHORD = ("chord", -1, chords.NO_CHORD)


def vocabulary(tunes: Iterable[Tune]) -> list[str]:
    """The types of chords of training tunes; others are replaced by plainer ones, `chord_types.backed_off`."""
    return chord_types.types(tunes, LEAST)


def backed_off_share(tunes: Iterable[Tune], types: Sequence[str]) -> float:
    """Of all chord events, how many have a type that isn't among these."""
    known = {*types, chords.NO_CHORD}
    found = [event.chord.type in known for tune in tunes for event in tune.events]
    return 1 - sum(found) / len(found)


def tonic(tune: Tune) -> int:
    """Pitch class of the key's tonic; of the last root, if the key isn't known."""
    if tune.key:
        return chords.parse(tune.key.removesuffix("m")).pitch_class
    return next((e.chord.pitch_class for e in reversed(tune.events) if e.chord.root), 0)


def stream(tune: Tune, known: events.Vocabulary, represent: str) -> list:
    """A tune as ("chord", root, type), ("duration", number) ... and `END`."""
    if represent not in REPRESENTATIONS:
        raise ZooError(f"representation {represent!r}; expected one of {', '.join(REPRESENTATIONS)}")
    symbols, first = [], tonic(tune)
    before = first
    for row in known.rows(tune)[1:].tolist():
        kind, root = row[events.TYPE], row[events.ROOT]
        if kind == events.NO_CHORD:
            symbols.append(NO_CHORD)
        else:
            base = {"key": first, "absolute": 0, "motion": before}[represent]
            symbols.append(("chord", (root - base) % 12, known.types[kind - events.SPECIAL]))
            before = root
        symbols.append(("duration", row[events.DURATION]))
    return [*symbols, END]


def transposed(symbols: list, semitones: int) -> list:
    """An absolute stream, so much higher."""
    move = lambda s: ("chord", (s[1] + semitones) % 12, s[2]) if s[0] == "chord" and s != NO_CHORD else s
    return [move(s) for s in symbols] if semitones else symbols


def is_duration(symbol) -> bool:
    return symbol[0] == "duration"


def is_chord(symbol) -> bool:
    return symbol[0] != "duration"  # or the end


def symbols_of(known: events.Vocabulary) -> tuple[list, list]:
    """All that may be a chord, the end included, and all that may be a duration."""
    roots = [("chord", root, type) for root in range(12) for type in known.types]
    return [*roots, NO_CHORD, END], [("duration", number) for number in range(len(known.durations))]


def models(train: list[list], known: events.Vocabulary, order: int) -> Iterator[tuple[str, object, object, bool]]:
    """Name, model of chords, model of durations, and whether that of chords sees durations, too; trained."""
    of_chords, of_durations = symbols_of(known)
    both, plain = [*of_chords, *of_durations], [list(filter(is_chord, s)) for s in train]
    durations = [list(filter(is_duration, s)) for s in train]
    yield "uniform", Uniform(of_chords).fit([]), Uniform(of_durations).fit([]), False
    yield "unigram", Unigram(of_chords).fit(plain), Unigram(of_durations).fit(durations), False
    given = KneserNey(order, both, predicts=is_duration).fit(train)
    yield f"Kneser-Ney {order}", KneserNey(order, of_chords).fit(plain), given, False
    interleaved = KneserNey(order, both, predicts=is_chord).fit(train)
    yield f"Kneser-Ney {order}, chords given durations", interleaved, given, True


def measure(chord_model, duration_model, interleaved: bool, streams: list[list]) -> dict[str, float]:
    """Nats per event: `chord` (the ends' included), `end` (of which), `duration`, `joint`."""
    sums = dict.fromkeys(("chord", "end", "duration"), 0.0)
    count = sum(map(is_duration, (symbol for s in streams for symbol in s)))
    for symbols in streams:
        logs = chord_model.log_probabilities(symbols if interleaved else list(filter(is_chord, symbols)))
        sums["chord"] -= sum(logs)
        sums["end"] -= logs[-1]
        given = symbols if isinstance(duration_model, KneserNey) else list(filter(is_duration, symbols))
        sums["duration"] -= sum(duration_model.log_probabilities(given))
    values = {name: value / count for name, value in sums.items()}
    return {**values, "joint": values["chord"] + values["duration"]}


def compare(splits: dict[str, list[Tune]], represent: str, order: int = 5, known=None) -> Iterator[tuple[str, dict]]:
    """(model, {split: what `measure` gives}) of models of the training split, on the others.

    `known`: the vocabulary; None: that of the training tunes.
    """
    known = known or events.Vocabulary.learn(splits["train"], LEAST)
    shifts = range(12) if represent == "absolute" else [0]
    train = [stream(tune, known, represent) for tune in splits["train"]]
    train = [transposed(symbols, shift) for symbols in train for shift in shifts]
    held = {split: [stream(t, known, represent) for t in tunes] for split, tunes in splits.items() if split != "train"}
    for name, of_chords, of_durations, both in models(train, known, order):
        yield name, {split: measure(of_chords, of_durations, both, streams) for split, streams in held.items()}


def main(folder: pathlib.Path, orders: Sequence[int], representations: Sequence[str]) -> None:
    splits = tune_reading.read(folder)
    missing = [split for split in ("train", "dev", "test") if split not in splits]
    if missing:
        raise ZooError(f"{folder}: no split {missing[0]}; expected train, dev and test")
    known = events.Vocabulary.learn(splits["train"], LEAST)
    types = vocabulary(splits["train"])
    of_chords, of_durations = map(len, symbols_of(known))
    print(f"{len(types)} types of chords, {of_chords:,} chords with the end, {of_durations} durations")
    for split, tunes in splits.items():
        count = sum(len(known.rows(tune)) - 1 for tune in tunes)
        share, whole = backed_off_share(tunes, types), sum(len(tune.events) for tune in tunes)
        print(
            f"{split}: {len(tunes):,} tunes, {whole:,} events, {count:,} on the grid; {share:.2%} of chords backed off"
        )
    columns = [f"{split} {value}" for split in ("dev", "test") for value in ("chord", "duration", "joint")]
    for represent in representations:
        print(f"\n{represent:44}{''.join(f'{name:>15}' for name in columns)}", flush=True)
        for order in orders:
            for name, of in compare(splits, represent, order, known):
                if order == orders[0] or name.startswith("Kneser"):
                    values = [of[split][value] for split, value in map(str.split, columns)]
                    perplexity = math.exp(of["test"]["chord"])
                    print(f"{name:44}{''.join(f'{v:15.4f}' for v in values)}  {perplexity:7.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--order", type=int, nargs="+", default=[5], help="n of the n-grams, one or more")
    parser.add_argument("--represent", nargs="+", choices=REPRESENTATIONS, default=REPRESENTATIONS)
    arguments = parser.parse_args()
    try:
        main(arguments.folder, arguments.order, arguments.represent)
    except ZooError as error:
        sys.exit(f"zoo: {error}")
