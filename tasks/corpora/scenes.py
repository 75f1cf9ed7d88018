"""Scenes: a corpus of small pictures of coloured shapes, each with five English sentences that are true of it.

The pictures are drawn and the sentences are written from code, so the corpus needs no download and is the same on every
machine. A scene has one to three things. Each has a size, a colour, a shape and a place, and these are clearly apart:
nothing is of middling size, or half to the left, and colours differ by more than the noise. Most things stand apart;
some small ones are inside of a large one, and some things are on top of another. What a scene is, and what sentences
mean, is in `tasks.corpora.scene_sentences`; as they tell left from right, pictures must not be mirrored in training.

Held out: pairs of colour and shape (`HELD_OUT`) that training and validation never show, though they show all colours
and all shapes. Every test picture has such a thing, so that memory of whole things does not do.
"""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageDraw

from tasks.corpora.scene_sentences import (
    APART,
    BANDS,
    COLOURS,
    LEVEL,
    RADII,
    SHAPES,
    Scene,
    Thing,
    captions,
    describes,
    is_scene,
    relations,
)

__all__ = ["Scene", "Scenes", "Thing", "describes", "draw", "is_scene", "write"]

SEED = 2024
SIZES = {"train": 6_000, "validation": 200, "test": 300}
SIZE = 48  # of the picture, in pixels
HELD_OUT = (  # each in turn is in a test picture
    ("red", "star"),
    ("orange", "ring"),
    ("orange", "cross"),
    ("yellow", "square"),
    ("green", "triangle"),
    ("blue", "cross"),
    ("white", "circle"),
    ("black", "triangle"),
)
THINGS = (0.45, 0.45, 0.1)  # shares of scenes with one, two and three things
ARRANGED = {"apart": 0.7, "inside": 0.15, "on": 0.15}  # shares of scenes with two or three: how the first two are
TWINS = 0.15  # share of them whose first two have one colour and one shape
GAP = 3  # pixels at least between things that do not touch
BASES = ("circle", "square", "ring", "cross")  # shapes that another thing can be on top of
PAINT = {
    "red": (215, 30, 35),
    "orange": (255, 135, 15),
    "yellow": (250, 235, 40),
    "green": (25, 155, 50),
    "blue": (35, 70, 225),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
}
FINE = 4  # things are drawn so much larger, for soft edges
CROSS = 0.34  # half of a bar's width, to half of the cross's
HOLE = {"small": 0.55, "large": 0.7}  # radius of a ring's hole, to the ring's: a small thing fits into a large one

# Choice ---------------------------------------------------------------------------------------------------------------


def set_thing(rng: random.Random, colour: str, shape: str) -> Thing:
    """A thing somewhere in the picture, in any third of it across and down."""
    size = rng.choice(list(RADII))
    margin = RADII[size] + 1
    x, y = (rng.choice([p for p in rng.choice(BANDS) if margin <= p <= SIZE - margin]) for _ in "xy")
    return Thing(size, colour, shape, x, y)


def is_clear(things: list[Thing]) -> bool:
    """Whether one can see what is where: all of every thing, and each relation that holds, beyond doubt."""
    for one in things:
        inside = all(one.radius < p < SIZE - one.radius for p in (one.x, one.y))
        if not (inside and one.column and one.row):
            return False
    for one, other in itertools.permutations(things, 2):
        right, down = abs(one.x - other.x), abs(one.y - other.y)
        if any(LEVEL < distance < APART for distance in (right, down)):
            return False
        found = relations(one, other, tuple(things))
        if found & {"inside", "around"}:
            if one.colour == other.colour:
                return False
        elif "on" in found:
            if other.shape not in BASES:
                return False
        elif "on" not in relations(other, one, tuple(things)) and max(right, down) < one.radius + other.radius + GAP:
            return False
    return True


def choose(rng: random.Random, split: str, i: int) -> list[Thing]:
    """The things of the i-th scene of a split.

    What is hard to place is not rarer for it: number and arrangement, and the first one's kind, are settled before.
    """
    kinds = list(itertools.product(COLOURS, SHAPES))
    kinds = kinds if split == "test" else [kind for kind in kinds if kind not in HELD_OUT]
    number = rng.choices((1, 2, 3), THINGS)[0]
    first = HELD_OUT[i % len(HELD_OUT)] if split == "test" else rng.choice(kinds)
    arranged = rng.choices(list(ARRANGED), list(ARRANGED.values()))[0]
    twins = arranged == "apart" and rng.random() < TWINS
    while True:
        others = [first if twins and i == 1 else rng.choice(kinds) for i in range(1, number)]
        things = [set_thing(rng, *kind) for kind in (first, *others)]
        rng.shuffle(things)
        if number > 1 and arranged != "apart":
            one, other = things[:2]
            shift = rng.randint(-1, 1), rng.randint(-1, 1) if arranged == "inside" else -one.radius - other.radius
            things[0] = one._replace(x=other.x + shift[0], y=other.y + shift[1])
            if arranged not in relations(things[0], other, tuple(things)):
                continue
        if is_clear(things):
            return things


def write() -> dict[str, list[tuple[Scene, list[str]]]]:
    """All splits: scenes and their sentences. No scene occurs twice."""
    rng, seen, splits = random.Random(SEED), set(), {split: [] for split in SIZES}
    for split, size in SIZES.items():
        while len(splits[split]) < size:
            things = choose(rng, split, len(splits[split]))
            if frozenset(things) not in seen:
                seen.add(frozenset(things))
                scene = Scene(f"{split}-{len(splits[split]):04}", tuple(things))
                splits[split].append((scene, captions(scene, rng)))
    return splits


# Picture --------------------------------------------------------------------------------------------------------------


def outline(shape: str) -> np.ndarray:
    """Corners of a shape that fills the square from -1 to 1, `[corners, 2]`; y down."""
    match shape:
        case "square":
            return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        case "triangle":
            return np.array([(0, -1), (1, 1), (-1, 1)])
        case "cross":
            turns = [np.array([(c, -s), (s, c)]) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))]
            arm = np.array([(-CROSS, -CROSS), (-CROSS, -1), (CROSS, -1)])
            return np.concatenate([arm @ turn.T for turn in turns])
        case "star":
            angles = np.arange(10) * np.pi / 5
            points = np.stack([np.sin(angles), -np.cos(angles)], 1) * np.where(np.arange(10) % 2, 0.42, 1)[:, None]
            low, high = points.min(0), points.max(0)
            return 2 * (points - low) / (high - low) - 1


def coverage(thing: Thing) -> np.ndarray:
    """How much of each pixel a thing covers, 0 to 1, `[48, 48]`."""
    mask = Image.new("L", (SIZE * FINE, SIZE * FINE))
    pen, centre = ImageDraw.Draw(mask), np.array((thing.x, thing.y))
    if thing.shape in ("circle", "ring"):
        hole = [(thing.radius * HOLE[thing.size], 0)] if thing.shape == "ring" else []
        for radius, value in [(thing.radius, 255), *hole]:
            corners = np.stack([centre - radius, centre + radius]) * FINE - ((0,), (1,))
            pen.ellipse(corners.ravel().tolist(), fill=value)
    else:
        pen.polygon([tuple(point) for point in (centre + outline(thing.shape) * thing.radius) * FINE - 0.5], fill=255)
    return np.asarray(mask.reduce(FINE), np.float32) / 255


def draw(scene: Scene) -> np.ndarray:
    """The pixels of a scene, uint8 `[48, 48, 3]`: greyish slope, things in about their colours, noise over all."""
    rng = np.random.default_rng((SEED, zlib.crc32(scene.name.encode())))
    across = np.arange(SIZE) / SIZE - 0.5
    slope = (rng.uniform(-25, 25) * across + rng.uniform(-25, 25) * across[:, None])[..., None]
    picture = rng.uniform(95, 160) + rng.uniform(-15, 15, 3) + slope
    for thing in sorted(scene.things, key=lambda thing: -thing.radius):  # the small ones over the large ones
        paint = np.array(PAINT[thing.colour]) + rng.uniform(-12, 12, 3)
        picture = picture + coverage(thing)[..., None] * (paint - picture)
    picture = picture + rng.normal(0, rng.uniform(2, 6), picture.shape)
    return np.clip(picture.round(), 0, 255).astype(np.uint8)


# Corpus ---------------------------------------------------------------------------------------------------------------


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Pictures of coloured shapes, with five sentences each. The name holds the scene: see `describes`."""

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.0.0": "First release.", "1.1.0": "6,000 scenes to train on, in place of 2,000."}

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png")
        captions = tfds.features.Sequence(tfds.features.Text())
        features = tfds.features.FeaturesDict({"image": image, "captions": captions, "name": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(scenes) for split, scenes in write().items()}

    def _generate_examples(self, scenes: list[tuple[Scene, list[str]]]) -> Iterator[tuple[str, dict]]:
        for scene, sentences in scenes:
            yield scene.label, {"image": draw(scene), "captions": sentences, "name": scene.name}
