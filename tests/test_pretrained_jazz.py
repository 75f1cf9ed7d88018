"""The shipped jazz model, on progressions that everyone plays."""

import numpy as np
import pytest

import zoo

TURNAROUND = "Dm7:4 G7:4 Cmaj7:4 A7:4 Dm7:4 G7:4 Cmaj7:8"
IN_F_SHARP = "G#m7:4 C#7:4 F#maj7:4 D#7:4 G#m7:4 C#7:4 F#maj7:8"
NONSENSE = "Dm7:4 F#7:4 Cm7:4 Bb7:4 Abmaj7:4 Em7:4 Dbm7:8"


@pytest.fixture(scope="module")
def model():
    return zoo.load("jazz")


def test_it_knows_a_turnaround_in_any_key(model):
    here, there, nowhere = (model.score(prompt)[:, 0].mean() for prompt in (TURNAROUND, IN_F_SHARP, NONSENSE))
    assert min(here, there) > 1.5 + nowhere and abs(here - there) < 0.7


def test_after_a_two_five_comes_the_one(model):
    tunes = [model.generate("Dm7:4 G7:4", bars=16, seed=seed, temperature=0.5) for seed in range(20)]
    assert np.mean([tune.events[2].chord.pitch_class == 0 for tune in tunes]) > 0.5


def test_it_writes_as_many_bars_as_are_asked_for(model):
    tune = model.generate("Dm7:4 G7:4", bars=32, seed=3)
    assert tune.bars == 32 and tune.events == model.generate("Dm7:4 G7:4", bars=32, seed=3).events
    waltz = model.generate("", bars=16, seed=1, meter=(3, 4))
    assert waltz.bars == 16 and sum(event.beats for event in waltz.events) == 48


def test_its_card_says_how_good_it_is(model):
    reports = {name.split()[-1]: part["report"] for name, part in model.card["metrics"].items()}
    assert reports["test"]["joint_nats"] < 0.9 * 4.338  # the best 5-gram's, benchmarks/jazz_baselines.py
    assert model.card["bytes"] < 8e6
