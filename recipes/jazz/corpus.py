"""One corpus of chord progressions out of five, as a folder that `make train TASK=jazz DATA=` takes.

    python recipes/jazz/corpus.py ../shared/data/jazz runs/jazz

Writes train.jsonl, dev.jsonl and test.jsonl, a tune a line, and prints what became of every tune. Versions of a tune
are in one split, whatever their titles and keys (tune_groups.py): about 90, 5 and 5% of the groups by a hash of their
names, so a tune's split doesn't depend on what else there is. Versions that are the same but for the key are written
once. How the sources differ: tune_sources.py; where keys come from: tune_keys.py.
"""

import collections
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
import tune_groups  # noqa: E402
import tune_keys  # noqa: E402
import tune_sources  # noqa: E402

SPLITS = ("train", "dev", "test")
HELD_OUT = 0.05  # of the groups, for dev and for test


def split_of(name: str) -> str:
    """Of a group, by the hash of its name."""
    place = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12
    return "dev" if place < HELD_OUT else "test" if place < 2 * HELD_OUT else "train"


def line(tune, source: str) -> str:
    chords = [[e.chord.symbol, int(e.beats) if e.beats.denominator == 1 else float(e.beats)] for e in tune.events]
    row = {"title": tune.title, "meter": list(tune.meter), "key": tune.key, "chords": chords, "source": source}
    return json.dumps(row, ensure_ascii=False) + "\n"


def main(source: pathlib.Path, out: pathlib.Path) -> None:
    everything = tune_sources.read_all(source)
    reads = [read for read in everything if read.tune]
    dropped = collections.Counter((read.source, read.dropped) for read in everything if not read.tune)

    keys, changed = tune_keys.Keys(read.tune for read in reads if read.source == "jht"), collections.Counter()
    for read in reads:
        if not read.certain_key:
            key = keys.key(read.tune)
            changed[read.source, f"{read.tune.key or 'none'} to another" if read.tune.key in ("C", "") else "mode"] += (
                key != read.tune.key
            )
            read.tune.key = key

    tunes = [read.tune for read in reads]
    members: dict[int, list[int]] = {}
    for i, group in enumerate(tune_groups.groups(tunes)):
        members.setdefault(group, []).append(i)
    chosen: dict[str, list[int]] = {split: [] for split in SPLITS}
    for group in members.values():
        split, seen = split_of(min(tune_groups.normalised(tunes[i].title) for i in group)), set()
        for i in group:
            identity = tune_groups.identity(tunes[i])
            if identity in seen:
                dropped[reads[i].source, "the same but for the key as another"] += 1
            else:
                chosen[split].append(i)
            seen.add(identity)

    out.mkdir(parents=True, exist_ok=True)
    for split, some in chosen.items():
        with open(out / f"{split}.jsonl", "w", encoding="utf-8") as file:
            file.writelines(line(tunes[i], reads[i].source) for i in sorted(some))
    report(everything, reads, chosen, dropped, changed, [len(group) for group in members.values()])
    print(f"written: {out}")


def report(everything, reads, chosen, dropped, changed, sizes) -> None:
    heads = ("source", "read", "kept", "events", *SPLITS)
    print("{:18}{:>7}{:>7}{:>9}{:>8}{:>7}{:>7}".format(*heads))
    sources = list(dict.fromkeys(read.source for read in everything))
    for name in [*sources, "all"]:
        of = lambda read, name=name: name in ("all", read.source)
        kept = {split: [i for i in some if of(reads[i])] for split, some in chosen.items()}
        places = [i for some in kept.values() for i in some]
        row = (sum(map(of, everything)), len(places), sum(len(reads[i].tune.events) for i in places))
        print("{:18}{:7,}{:7,}{:9,}{:8,}{:7,}{:7,}".format(name, *row, *map(len, kept.values())))
    for split, some in chosen.items():
        meters = collections.Counter("{}/{}".format(*reads[i].tune.meter) for i in some).most_common(4)
        count = sum(len(reads[i].tune.events) for i in some)
        print(f"{split}: {len(some):,} tunes, {count:,} events; {', '.join(f'{n:,} in {m}' for m, n in meters)}")
    print(f"{len(sizes):,} groups of versions; the largest: {', '.join(map(str, sorted(sizes, reverse=True)[:8]))}")
    short = sum(bool(reads[i].tune.beats % reads[i].tune.bar_beats) for some in chosen.values() for i in some)
    print(f"kept with a short last bar: {short:,}")
    for what, counts in (("dropped", dropped), ("key estimated, which differs from the given one", changed)):
        print(f"{what}:")
        for (name, why), count in sorted(counts.items()):
            print(f"  {name:18}{count:6,}  {why}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
