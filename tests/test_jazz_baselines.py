"""The jazz task's n-gram baselines: what each representation is blind to, and that losses add up."""

import math
import random

import pytest

from benchmarks import jazz_baselines as baselines
from zoo import chords, events
from zoo.charts import Event, Tune
from zoo.errors import ZooError

TYPES = ["", "m7", "7", "maj7", "N.C."]


def tunes(count, seed):
    draw = random.Random(seed)
    chord = lambda: chords.of(draw.choice([0, 2, 5, 7, 9]), draw.choices(TYPES, [3, 6, 6, 4, 1])[0])
    some = [
        Tune(str(i), [Event(chord(), draw.choice([1, 2, 4])) for _ in range(12)], (4, 4), "C") for i in range(count)
    ]
    return [tune.transposed(draw.randrange(12)) for tune in some]


@pytest.fixture(scope="module")
def splits():
    return {"train": tunes(60, 1), "dev": tunes(5, 2), "test": tunes(5, 3)}


@pytest.mark.parametrize("represent", baselines.REPRESENTATIONS)
def test_losses_are_those_of_any_key(splits, represent):
    moved = {**splits, "test": [tune.transposed(5) for tune in splits["test"]]}
    for (_, here), (_, there) in zip(
        baselines.compare(splits, represent, 3), baselines.compare(moved, represent, 3), strict=True
    ):
        assert here["test"] == pytest.approx(there["test"], rel=1e-9)
        assert here["dev"] == there["dev"]


def test_the_stream_is_chord_duration_chord_duration_end():
    tune = Tune("", [Event(chords.parse(s), b) for s, b in (("Dm7", 4), ("N.C.", 2), ("G7/B", 2))], (4, 4), "F")
    known = events.Vocabulary(("", "m7", "7"), (2, 4), ((4, 4),))
    roots = {"key": [9, -1, 2], "absolute": [2, -1, 7], "motion": [9, -1, 5]}
    for represent, expected in roots.items():
        symbols = baselines.stream(tune, known, represent)
        assert symbols[1::2] == [("duration", 1), ("duration", 0), ("duration", 0)]
        assert symbols[:6:2] == [
            ("chord", root, type) for root, type in zip(expected, ["m7", "N.C.", "7"], strict=True)
        ]
        assert symbols[6] == baselines.END
    moved, higher = (baselines.stream(t, known, "absolute") for t in (tune, tune.transposed(3)))
    assert baselines.transposed(moved, 3) == higher != moved
    with pytest.raises(ZooError, match="representation 'letters'"):
        baselines.stream(tune, known, "letters")


def test_the_uniform_loss_is_the_logarithm_of_how_many_there_are(splits):
    known = events.Vocabulary.learn(splits["train"], 20)
    name, of = next(iter(baselines.compare(splits, "key", 2, known)))
    assert name == "uniform"
    chord = math.log(12 * len(known.types) + 2) * 13 / 12  # twelve events and an end, by event
    assert of["dev"]["chord"] == pytest.approx(chord)
    assert of["dev"]["joint"] == pytest.approx(chord + math.log(len(known.durations)))
    assert of["dev"]["end"] == pytest.approx(chord / 13)


def test_what_is_backed_off_is_counted(splits):
    types = baselines.vocabulary(splits["train"])
    assert {"", "m7", "7", "maj7"} <= set(types)
    assert baselines.backed_off_share(splits["dev"], types) == 0
    some = [event.chord.type == "m7" for tune in splits["dev"] for event in tune.events]
    share = baselines.backed_off_share(splits["dev"], [type for type in types if type != "m7"])
    assert share == pytest.approx(sum(some) / len(some))
