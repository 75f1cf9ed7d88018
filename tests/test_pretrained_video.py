"""The shipped lip readers: whole, within their size, fast enough to be live, and with TensorFlow alone."""

import json

import numpy as np
import pytest

import zoo
from zoo import ZooError, serving

MOUTH = (40, 64)
WORDS = 51 + 2  # of GRID, and two kinds of silence


@pytest.fixture(scope="module", params=["video", "video_live"])
def model(request):
    return zoo.load(request.param)


@pytest.fixture(scope="module")
def live():
    return zoo.load("video_live")


def mouth(steps, seed=0):
    """A dark ellipse that opens and closes."""
    rows, columns = np.mgrid[: MOUTH[0], : MOUTH[1]]
    opening = 2 + 8 * abs(np.sin(np.arange(steps) / 3 + seed))
    inside = ((rows - 20) / opening[:, None, None]) ** 2 + ((columns - 32) / 18) ** 2 < 1
    return np.where(inside, 60, 150).astype(np.uint8)


def test_size_and_card(model):
    files = [p for p in model.path.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 12_000_000
    card = model.card
    assert len(card["labels"]) == WORDS and "CC BY 4.0" in card["data"]["licence"]
    report = card["metrics"]["test"]["report"]
    assert report["clips"] == 100 and "make evaluate" in card["metrics"]["test"]["command"]
    assert card["training"]["test_looked_at"] == "once, for this version"


def test_the_measures_that_make_it_worth_shipping():
    report = serving.read_card(serving.locate("video"))["metrics"]["test"]["report"]
    assert report["accuracy_foreground"] >= 0.85 and report["segment_accuracy_in_place"] >= 0.90


def test_answers(model):
    answer, short = model([mouth(75), mouth(1)])
    assert len(answer["labels"]) == 75 and answer["probabilities"].shape == (75, WORDS) and len(short["labels"]) == 1
    assert answer["labels"][0] == "sil"
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, atol=1e-4)
    colour = model(np.repeat(mouth(75)[..., None], 3, -1))
    np.testing.assert_allclose(colour["probabilities"], answer["probabilities"], atol=1e-4)


def test_live_equals_the_whole_clip(live):
    frames = mouth(75)
    found = np.stack([answer["probabilities"] for answer in live.stream(frames)])
    np.testing.assert_allclose(found, live(frames)["probabilities"], atol=1e-5)


def test_the_better_one_is_not_live():
    with pytest.raises(ZooError, match="both directions"):
        next(zoo.load("video").stream(mouth(1)))


SPEED = """
import os, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
import zoo
frames = np.random.default_rng(0).integers(0, 255, [110, 40, 64], np.uint8)
began = None
for i, _ in enumerate(zoo.load("video_live").stream(frames)):
    began = time.perf_counter() if i == 9 else began
rate = 100 / (time.perf_counter() - began)
assert rate >= 25, rate
"""


def test_live_on_one_core(script):
    script(SPEED)


def test_figures_of_dev_and_test_are_of_one_kind(model):
    metrics = json.loads((model.path / "model_card.json").read_text())["metrics"]
    assert metrics["dev"]["report"].keys() == metrics["test"]["report"].keys()
