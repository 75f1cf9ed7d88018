"""Shapes: a corpus of small grey video clips whose every frame has a label that the frame alone does not give away.

The clips are made in three steps, so the corpus needs no download: physics (`simulate`: seed -> scene and its states),
picture (`render`: states -> pixels) and meaning (`label`: states -> labels). A clip has one thing in it, or a pair of
things at the same height that pass through each other or stick together for a while. Things move, or rest, in legs:
uniformly, under gravity, level. These are the labels; the first that holds is the frame's:

    absent      nothing is in the picture: it has left through an open side, or has not come in yet
    hidden      what is in the picture is behind an occluder
    merged      two things overlap, not only behind an occluder
    bounced     something hit floor, ceiling or wall, in this frame or the two before it, and was in sight since
    rising      it is higher than in the frame before
    falling     it is lower than in the frame before
    drifting    it moves sideways, at the same height
    still       it does not move

Less than two pixels of a thing count as nothing. Every state has doubles that look the same:

    motion      things are sharp, brighter than all else, the same to the left and right, and look as they do whichever
                way they go; a flight under gravity is drawn by its highest point, and is as likely to be on its way up
    a bounce    reflects the path without a stop at the wall, so that things are as near to it before as after
    occluders   look the same with and without something behind them; something absent leaves the same picture
    a merger    is the same shape drawn twice, and so is every single thing: in one place, or side by side at any
                distance at which the two overlap

A label follows from this frame and those before it: nothing is hidden or merged when a clip starts, nothing gets from
behind an occluder out of the picture unseen, and a pair neither sticks nor parts while some of it is covered. What
does not follow is the motion in a frame that has none before it, or before which the thing was out of sight, and, where
it is a matter of a fraction of a pixel, in which of two frames a thing turned or touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

SEED = 2024
SIZES = {"train": 900, "validation": 60, "test": 100}
LENGTHS = range(24, 61)  # of a clip, in frames
SIZE = 32  # of the picture, in pixels
SHAPES = ("disc", "square", "triangle", "ring")
LABELS = ("absent", "hidden", "merged", "bounced", "rising", "falling", "drifting", "still")  # the first that holds
BOUNCE = 3  # frames for which a bounce is the label
MARGIN = 4  # pixels between an occluder and the sides, or another: less than a thing's width, so none slips through
LEVELS, RANGE = (30, 110, 200), 30  # brightnesses of background, occluders and things: at least, and how much more
SEEN = 2  # pixels, of which at least so many must show of what is to be seen
PAIRS = 0.3  # share of clips with two things
TOGETHER = 0.6  # share of legs that draw a pair together
OCCLUDERS = (0.2, 0.5, 0.3)  # shares of clips with none, one and two
UNSEEN = 0.6  # share of a clip's frames that may be absent or hidden


class Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def holds(self, other: Box) -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def meets(self, other: Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


class Scene(NamedTuple):
    """What stays the same in a clip. Lengths are in pixels, x to the right and y down; brightnesses go up to 255."""

    shape: str
    radius: float  # half of the shape's width and of its height
    pair: bool  # the shape's two copies are two things; else they are one
    spread: float  # distance of the copies of one thing, 0 in most
    beyond: float  # how far one goes out at an open side before one comes in at the other; 0: walls at both sides
    occluders: tuple[Box, ...]  # in whole pixels
    background: float
    slope: tuple[float, float]  # of the background, per pixel to the right and down
    brightness: float  # of the shape: the highest
    cover: float  # brightness of the occluders
    noise: float  # standard deviation


class State(NamedTuple):
    """A frame's state: the centres of the shape's two copies, and what has happened since the frame before."""

    x: tuple[float, float]
    y: float
    sideways: bool  # something moved to the left or right
    rise: float  # how much higher it is, in pixels
    hit: bool  # something hit floor, ceiling or wall

    def boxes(self, radius: float) -> tuple[Box, Box]:
        return tuple(Box(x - radius, self.y - radius, x + radius, self.y + radius) for x in self.x)


# Physics --------------------------------------------------------------------------------------------------------------


def place_occluders(rng: np.random.Generator, count: int) -> tuple[Box, ...]:
    """None, a wide one or two narrower ones, `MARGIN` from the sides and from each other, of any height."""
    widths = rng.integers(12, 19, 1) if count == 1 else rng.integers(8, 11, count)
    slack = SIZE - MARGIN * (count + 1) - widths.sum()
    lefts = MARGIN * np.arange(1, count + 1) + np.cumsum(widths) - widths + np.sort(rng.integers(0, slack + 1, count))
    heights = rng.choice((20, 26, SIZE, SIZE), count)
    tops = rng.integers(0, SIZE - heights + 1)
    edges = np.stack([lefts, tops, lefts + widths, tops + heights], 1)
    return tuple(Box(*box) for box in edges.tolist())


def set_scene(rng: np.random.Generator, pair: bool, occluders: int) -> Scene:
    radius = rng.uniform(2.7, 3.3)
    background, cover, brightness = (rng.uniform(low, low + RANGE) for low in LEVELS)
    return Scene(
        shape=str(rng.choice(SHAPES)),
        radius=radius,
        pair=pair,
        spread=0.0 if pair or rng.random() < 0.5 else rng.uniform(0, 2 * radius),
        beyond=0.0 if pair or rng.random() < 0.3 else rng.uniform(3, 9),
        occluders=place_occluders(rng, occluders),
        background=background,
        slope=tuple(rng.uniform(-0.2, 0.2, 2).tolist()),
        brightness=brightness,
        cover=cover,
        noise=rng.uniform(1, 3),
    )


def leg(rng: np.random.Generator, y: float, radius: float) -> tuple[float, float, float, int]:
    """A stretch at one acceleration, from height `y`: velocities to the right and down, gravity, number of frames."""
    to_right, down = rng.choice((-1, 1), 2)
    match rng.choice(("uniform", "gravity", "level", "rest"), p=(0.35, 0.25, 0.22, 0.18)):
        case "uniform":
            return to_right * rng.uniform(0, 1.3), down * rng.uniform(0.6, 1.4), 0.0, rng.integers(8, 19)
        case "gravity":
            gravity, highest = rng.uniform(0.08, 0.2), rng.uniform(radius, min(y, SIZE - radius - 8))
            speed = np.sqrt(2 * gravity * (y - highest))
            return to_right * rng.uniform(0, 1.3), down * speed, gravity, rng.integers(14, 29)
        case "level":
            return to_right * rng.uniform(0.6, 1.4), 0.0, 0.0, rng.integers(6, 15)
        case "rest":
            return 0.0, 0.0, 0.0, rng.integers(5, 11)


def reflect(position, velocity, low: float, high: float):
    """Position and velocity after a bounce at `low` or `high`, and whether there was one."""
    inside = np.clip(position, low, high)
    hit = position != inside
    return 2 * inside - position, np.where(hit, -velocity, velocity), bool(np.any(hit))


def move(scene: Scene, rng: np.random.Generator) -> Iterator[State]:
    """A clip's states: legs one after the other, with the things of a pair in opposite directions.

    When these meet, they go on together for some frames, as the first of them was going. So that one can know how many
    things come out from behind an occluder, they neither stick nor part near one.
    """
    reach, low, high = scene.radius + scene.spread / 2, scene.radius, SIZE - scene.radius
    world = SIZE + 2 * (reach + scene.beyond)
    x, y = rng.uniform(reach, SIZE - reach, 1 + scene.pair), rng.uniform(low, high)
    if scene.beyond:
        x = rng.uniform(0, world, 1) - reach - scene.beyond
    frames_left, stuck, in_the_open = 0, 0, False
    for t in range(rng.choice(LENGTHS)):
        if not frames_left:
            speed, vy, gravity, frames_left = leg(rng, y, scene.radius)
            if scene.pair and not stuck and rng.random() < TOGETHER:
                speed = np.copysign(speed, x[-1] - x[0])
            vx = np.array((speed, speed if stuck else -speed)[: len(x)])
        frames_left -= 1

        ahead, side_hit = x + vx, False
        if stuck and in_the_open:
            stuck -= 1
            vx = vx if stuck else vx * (1, -1)
            ahead = x + vx
        elif in_the_open and (x[0] - x[-1]) * (ahead[0] - ahead[-1]) < 0:
            ahead, vx, stuck = np.full(2, x.mean()), vx[[0, 0]], rng.integers(4, 17)
        if scene.beyond:
            x = (ahead + reach + scene.beyond) % world - reach - scene.beyond
        else:
            x, vx, side_hit = reflect(ahead, vx, reach, SIZE - reach)

        before = y
        y, vy, hit = reflect(y + vy + gravity / 2, vy + gravity, low, high)
        copies = x if scene.pair else x + np.array((-scene.spread, scene.spread)) / 2
        hit = t > 0 and (hit or side_hit)  # what the first frame hit, nobody saw coming
        state = State(tuple(copies.tolist()), float(y), bool(vx.any()), float(before - y), hit)
        in_the_open = uncovered(scene, state)
        yield state


def uncovered(scene: Scene, state: State) -> bool:
    """Whether no occluder covers any of it."""
    return not any(occluder.meets(box) for occluder in scene.occluders for box in state.boxes(scene.radius))


def simulate(seed: int) -> tuple[Scene, list[State]]:
    """The clip of a seed: the first one drawn whose start can be told and that does not hide too much.

    What a clip has in it is settled before, so that crowded clips are no rarer for being refused more often.
    """
    rng = np.random.default_rng((SEED, seed))
    pair, occluders = bool(rng.random() < PAIRS), int(rng.choice(3, p=OCCLUDERS))
    while True:
        scene = set_scene(rng, pair, occluders)
        motion = move(scene, rng)
        first = next(motion)
        if pair and any(occluder.holds(centre) for occluder in scene.occluders for centre in first.boxes(0)):
            continue
        states = [first, *motion]
        labels = label(scene, states)
        unseen = sum(name in ("absent", "hidden") for name in labels)
        if labels[0] not in ("hidden", "merged") and unseen <= UNSEEN * len(states):
            return scene, states


# Picture --------------------------------------------------------------------------------------------------------------


def coverage(shape: str, dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """How much of a pixel a shape covers, 0 to 1, from the pixel's offset to the shape's centre: soft by one pixel."""
    match shape:
        case "disc":
            edge = np.sqrt(dx**2 + dy**2) - radius
        case "ring":
            edge = abs(np.sqrt(dx**2 + dy**2) - (radius - 0.8)) - 0.8
        case "square":
            edge = np.maximum(abs(dx), abs(dy)) - radius
        case "triangle":  # points up; the box keeps its corners from bulging
            box = np.maximum(abs(dx), abs(dy)) - radius
            edge = np.maximum((2 * abs(dx) - dy - radius) / np.sqrt(5), box)
    return np.clip(0.5 - edge, 0, 1)


def draw(scene: Scene, states: list[State]) -> np.ndarray:
    """How much of each pixel is covered by the shape's copies, without occluders: 0 to 1, `[time, 32, 32]`."""
    centres = np.arange(SIZE) + 0.5
    dx = centres - np.array([state.x for state in states])[:, :, None, None]
    dy = centres[:, None] - np.array([state.y for state in states])[:, None, None, None]
    return coverage(scene.shape, dx, dy, scene.radius).max(1)


def occluded(scene: Scene) -> np.ndarray:
    """Which pixels an occluder covers, bool `[32, 32]`."""
    mask = np.zeros((SIZE, SIZE), bool)
    for box in scene.occluders:
        mask[box.top : box.bottom, box.left : box.right] = True
    return mask


def render(scene: Scene, states: list[State], seed: int) -> np.ndarray:
    """The pixels of a clip, uint8 `[time, 32, 32, 1]`: the shape's copies, occluders over them, noise over all."""
    offsets, (right, down) = np.arange(SIZE) + 0.5 - SIZE / 2, scene.slope
    background = scene.background + right * offsets + down * offsets[:, None]
    frames = background + draw(scene, states) * (scene.brightness - background)
    frames[:, occluded(scene)] = scene.cover
    frames += np.random.default_rng((SEED, seed, 1)).normal(0, scene.noise, frames.shape)
    return np.clip(frames.round(), 0, 255).astype(np.uint8)[..., None]


# Meaning --------------------------------------------------------------------------------------------------------------


def merges(scene: Scene, state: State) -> bool:
    """Whether two things overlap, and not just behind an occluder."""
    one, other = state.boxes(scene.radius)
    both = one._replace(left=max(one.left, other.left), right=min(one.right, other.right))
    return scene.pair and both.left < both.right and not any(occluder.holds(both) for occluder in scene.occluders)


def label(scene: Scene, states: list[State]) -> list[str]:
    """The label of each frame; from its state, and for bounces from those of the two frames before."""
    things, open_ = draw(scene, states), ~occluded(scene)
    present, visible = things.sum((1, 2)) >= SEEN, things[:, open_].sum(1) >= SEEN
    labels, bounce = [], 0
    for t, state in enumerate(states):
        bounce = 0 if not visible[t] else BOUNCE if state.hit else max(bounce - 1, 0)
        holds = {
            "absent": not present[t],
            "hidden": not visible[t],
            "merged": merges(scene, state),
            "bounced": bounce > 0,
            "rising": state.rise > 0,
            "falling": state.rise < 0,
            "drifting": state.sideways,
            "still": True,
        }
        labels.append(next(name for name in LABELS if holds[name]))
    return labels


# Corpus ---------------------------------------------------------------------------------------------------------------


def write(split: str) -> Iterator[dict]:
    """The clips of a split: `name`, `frames` (uint8 `[time, 32, 32, 1]`) and `labels`, as many as frames."""
    first = 1_000 * list(SIZES).index(split)
    for seed in range(first, first + SIZES[split]):
        scene, states = simulate(seed)
        name = f"{split}-{seed - first:03}"
        yield {"name": name, "frames": render(scene, states, seed), "labels": label(scene, states)}


class Shapes(tfds.core.GeneratorBasedBuilder):
    """Clips of shapes that move, bounce, hide and merge, with a label for every frame."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        pixels = tfds.features.Tensor(shape=(None, SIZE, SIZE, 1), dtype=np.uint8, encoding="zlib")
        labels = tfds.features.Sequence(tfds.features.ClassLabel(names=LABELS))
        features = tfds.features.FeaturesDict({"frames": pixels, "labels": labels, "name": tfds.features.Text()})
        keys = ("frames", "labels")
        return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features, supervised_keys=keys)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        for clip in write(split):
            yield clip["name"], clip
