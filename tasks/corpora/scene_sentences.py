"""Scenes in words: what a scene is, the name that holds all of it, and English sentences that are true of it or not.

A name lists a scene's things, with the pixels of their centres, x to the right and y down:

    test-0017 large-red-circle@12,36 small-blue-square@36,10

Sentences are written and read by one list of templates (`TEMPLATES`) with slots for phrases. A reading has a
description of each thing that is spoken of, perhaps a relation of the first to the second, and perhaps the number of
all things. It is true of a scene if there are different things in it that fit. So "a" is at least one; "the" is the
only one; "two" are all there are. Other words mean this, with distances between centres:

    left, right, top, bottom    the outer thirds of the picture, whatever the other direction; a corner is two of them
    middle, centre              the third between in both directions
    left of, above, ...         by `APART` pixels or more, whatever the distance in the other direction
    beside, side by side        left or right of it, at the same height (`LEVEL`), with nothing between
    on top of                   above it, and touching
    inside, around              a small thing before a large one

No sentence is so vague that it fits a large part of all scenes: one thing is spoken of by its colour and its shape.
"""

from __future__ import annotations

import functools
import itertools
import random
import re
from typing import NamedTuple

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "white", "black")
RADII = {"small": 5, "large": 10}  # half of a thing's width and height, in pixels
BANDS = (range(0, 16), range(20, 29), range(33, 48))  # pixels of centres in the thirds of the picture
APART, LEVEL = 8, 4  # pixels: at least and at most
HOLLOW = ("ring", "circle", "square")  # shapes that a small thing can be inside of
COUNT = 5  # sentences for each scene

# Scenes ---------------------------------------------------------------------------------------------------------------


def third(place: int, names: tuple[str, str, str]) -> str:
    """The name of the third of the picture that a centre is in; "" in a gap between them."""
    return next((name for name, band in zip(names, BANDS, strict=True) if place in band), "")


class Thing(NamedTuple):
    size: str
    colour: str
    shape: str
    x: int
    y: int

    @property
    def radius(self) -> int:
        return RADII[self.size]

    @property
    def column(self) -> str:
        return third(self.x, ("left", "middle", "right"))

    @property
    def row(self) -> str:
        return third(self.y, ("top", "middle", "bottom"))

    def fits(self, description: dict[str, str]) -> bool:
        return all(getattr(self, attribute) == value for attribute, value in description.items())


THING = re.compile(rf"({'|'.join(RADII)})-({'|'.join(COLOURS)})-({'|'.join(SHAPES)})@(\d\d?),(\d\d?)")
NAME = re.compile(rf"([\w-]+)((?: {THING.pattern})+)")


class Scene(NamedTuple):
    label: str  # "test-0017"
    things: tuple[Thing, ...]

    @property
    def name(self) -> str:
        things = (f"{size}-{colour}-{shape}@{x},{y}" for size, colour, shape, x, y in self.things)
        return " ".join((self.label, *things))

    @staticmethod
    def parse(name: str) -> Scene:
        """The scene of a name; ValueError if it is none."""
        found = NAME.fullmatch(name)
        if not found:
            raise ValueError(f"{name!r} is no scene; expected one like 'test-0017 large-red-circle@12,36'")
        things = (Thing(*words, int(x), int(y)) for *words, x, y in THING.findall(found[2]))
        return Scene(found[1], tuple(things))


def is_scene(name: str) -> bool:
    """Whether a name holds a scene, so that `describes` can tell what is true of it."""
    return bool(NAME.fullmatch(name))


def relations(one: Thing, other: Thing, things: tuple[Thing, ...]) -> set[str]:
    """What one thing is to the other, in a picture of these things."""
    right, down = one.x - other.x, one.y - other.y
    near = max(abs(right), abs(down)) <= 2 and one.size != other.size
    return {
        relation
        for relation, holds in {
            "left": right <= -APART,
            "right": right >= APART,
            "above": down <= -APART,
            "below": down >= APART,
            "beside": abs(right) >= APART and abs(down) <= LEVEL and not any(between(one, other, it) for it in things),
            "on": abs(right) <= 2 and -down == one.radius + other.radius,
            "inside": near and one.size == "small" and other.shape in HOLLOW,
            "around": near and one.size == "large" and one.shape in HOLLOW,
        }.items()
        if holds
    }


def between(one: Thing, other: Thing, third: Thing) -> bool:
    """Whether a third thing interrupts the row of two others."""
    return min(one.x, other.x) < third.x < max(one.x, other.x) and abs(third.y - one.y) <= LEVEL + third.radius


# Words ----------------------------------------------------------------------------------------------------------------

SIZE_WORDS = {"small": "small", "little": "small", "large": "large", "big": "large"}
PLURALS = {"cross": "crosses"} | {shape: shape + "s" for shape in SHAPES if shape != "cross"}
SINGULARS = {plural: shape for shape, plural in PLURALS.items()}
PLACES = {
    "on the left": {"column": "left"},
    "on the right": {"column": "right"},
    "at the top": {"row": "top"},
    "at the bottom": {"row": "bottom"},
    "in the middle": {"column": "middle", "row": "middle"},
    "in the centre": {"column": "middle", "row": "middle"},
    "in the top left corner": {"column": "left", "row": "top"},
    "in the top right corner": {"column": "right", "row": "top"},
    "in the bottom left corner": {"column": "left", "row": "bottom"},
    "in the bottom right corner": {"column": "right", "row": "bottom"},
}
RELATIONS = {
    "to the left of": "left",
    "left of": "left",
    "to the right of": "right",
    "right of": "right",
    "above": "above",
    "below": "below",
    "under": "below",
    "beside": "beside",
    "next to": "beside",
    "on top of": "on",
    "inside": "inside",
    "around": "around",
}

# Slots: A, B, C are things with an article; X, Y are A and B with "the"; D and E are A and B together, with "two" and
# without; R is what A is to B, V what B is to A; P, K, S are place, colour and size of A; Q, L, T of B.
ADJECTIVES = rf"(?:(?P<_size>{'|'.join(SIZE_WORDS)}) )?(?:(?P<_colour>{'|'.join(COLOURS)}) )?"
ONE = rf"{ADJECTIVES}(?P<_shape>{'|'.join(SHAPES)})"
SEVERAL = rf"{ADJECTIVES}(?P<_shapes>{'|'.join(PLURALS.values())})"
SLOTS = (
    dict.fromkeys("ABC", rf"(?:a(?! orange)|an(?= orange)) {ONE}")
    | dict.fromkeys("XY", f"the {ONE}")
    | {"D": f"two {SEVERAL[:-1]}|objects)", "E": SEVERAL}
    | dict.fromkeys("RV", f"(?P<_relation>{'|'.join(RELATIONS)})")
    | dict.fromkeys("PQ", f"(?P<_place>{'|'.join(PLACES)})")
    | dict.fromkeys("KL", f"(?P<_colour>{'|'.join(COLOURS)})")
    | dict.fromkeys("ST", f"(?P<_size>{'|'.join(SIZE_WORDS)})")
)
SPOKEN_OF = {"A": "AXPKS", "B": "BYQLT", "C": "C"}  # slots that describe one thing
CONTRASTS = ("KL", "ST", "PQ")  # must not be the same


# Readings -------------------------------------------------------------------------------------------------------------


class Reading(NamedTuple):
    """What a sentence says: `described[i]` of the i-th thing; `exact`: how many things fit some descriptions."""

    described: tuple[dict[str, str], ...]
    relation: str
    exact: tuple[tuple[dict[str, str], int], ...]

    def holds(self, scene: Scene) -> bool:
        things = scene.things
        if any(sum(thing.fits(description) for thing in things) != number for description, number in self.exact):
            return False
        return any(
            all(thing.fits(description) for thing, description in zip(chosen, self.described, strict=True))
            and (not self.relation or self.relation in relations(chosen[0], chosen[1], things))
            for chosen in itertools.permutations(things, len(self.described))
        )


def plain(sentence: str) -> str:
    """Its words without punctuation, which a model's vocabulary may lack."""
    return " ".join(re.findall("[a-z]+", sentence.lower()))


class Template:
    def __init__(self, text: str, total: int = 0, relation: str = ""):
        """`total`: of the things in the scene, 0 if it does not matter; `relation`: of A to B, if no slot tells."""
        self.text, self.total, self.relation = text, total, relation
        self.slots = re.findall(r"\{(\w)\}", text)
        together = {"A", "B"} if {"D", "E"} & {*self.slots} else set()
        self.things = [who for who, slots in SPOKEN_OF.items() if {*slots} & {*self.slots} or who in together]
        pattern = re.sub(r"[:,]", "", text)
        named = lambda slot: SLOTS[slot[1]].replace("?P<", f"?P<{slot[1]}")
        self.pattern = re.compile(re.sub(r"\{(\w)\}", named, pattern))

    def read(self, sentence: str) -> Reading | None:
        """What plain words say, if they are written by this template and not too vague."""
        if not (found := self.pattern.fullmatch(sentence)):
            return None
        said = {slot: {} for slot in self.slots}
        relation = self.relation
        for group, words in found.groupdict().items():
            slot, kind = group.split("_")
            match kind:
                case _ if words is None:
                    pass
                case "relation":
                    relation = RELATIONS[words]
                case "place":
                    said[slot] |= PLACES[words]
                case "size":
                    said[slot]["size"] = SIZE_WORDS[words]
                case "shapes":
                    said[slot] |= {"shape": SINGULARS[words]} if words in SINGULARS else {}
                case _:
                    said[slot][kind] = words
        if any(a in said and said[a] == said.get(b) for a, b in CONTRASTS):
            return None
        both = said.get("D", said.get("E"))
        described = [both or {} if who in "AB" else {} for who in self.things]
        for i, who in enumerate(self.things):
            for slot in SPOKEN_OF[who]:
                if any(said.get(slot, {}).get(key, value) != value for key, value in described[i].items()):
                    return None  # contradicts itself
                described[i] = described[i] | said.get(slot, {})
        if "V" in self.slots:
            described.reverse()
        alone = len(described) == 1 and not {"colour", "shape"} <= described[0].keys()
        if alone or both is not None and not {"colour", "shape"} & both.keys():
            return None  # too vague
        exact = [({}, self.total)] if self.total else []
        exact += [(said[slot], 1) for slot in "XY" if slot in said] + [(both, 2)] * (both is not None)
        return Reading(tuple(described), relation, tuple(exact))


TEMPLATES = (
    Template("{A}"),
    Template("there is {A}"),
    Template("{A} {P}"),
    Template("there is {A} {P}"),
    Template("{P} there is {A}"),
    Template("{X} is {P}"),
    Template("{X} is {K}"),
    Template("{X} {P} is {K}"),
    Template("the picture shows {A}"),
    Template("only {A}", 1),
    Template("{A} and nothing else", 1),
    Template("one object: {A} {P}", 1),
    Template("the only object is {A}", 1),
    Template("{A} and {B}"),
    Template("there is {A} and {B}"),
    Template("two objects: {A} and {B}", 2),
    Template("the picture shows {A} and {B}"),
    Template("{A} {P} and {B} {Q}"),
    Template("{A} {R} {B}"),
    Template("there is {A} {R} {B}"),
    Template("{A} is {R} {B}"),
    Template("{X} is {R} {Y}"),
    Template("{A} with {B} {V} it"),
    Template("{D}"),
    Template("there are {D}"),
    Template("the picture shows {D}"),
    Template("only {D}", 2),
    Template("a pair of {E}"),
    Template("{D}: {A} and {B}"),
    Template("{D}, one {R} the other"),
    Template("{D} side by side", relation="beside"),
    Template("{D}, one {P} and one {Q}"),
    Template("{D}, one {K} and one {L}"),
    Template("{D}, one {S} and one {T}"),
    Template("three shapes, one of them {A}", 3),
    Template("three objects, two of them {E}", 3),
    Template("{A}, {B} and {C}"),
    Template("three objects: {A}, {B} and {C}", 3),
    Template("{D} and {C}"),
)


@functools.lru_cache(maxsize=100_000)
def readings(words: str) -> tuple[Reading, ...]:
    return tuple(reading for template in TEMPLATES if (reading := template.read(words)))


def describes(sentence: str, name: str) -> bool:
    """Whether a sentence is true of the scene of that name; what the templates cannot read is not.

    Case and punctuation do not matter. ValueError if the name is no scene's.
    """
    scene = Scene.parse(name)
    return any(reading.holds(scene) for reading in readings(plain(sentence)))


# Writing --------------------------------------------------------------------------------------------------------------


def say(template: Template, scene: Scene, rng: random.Random) -> str | None:
    """A sentence about some things of the scene, if it is true and it is clear which things it means."""
    if len(scene.things) < len(template.things):
        return None
    chosen, slots = rng.sample(scene.things, len(template.things)), template.slots
    by_slot = {slot: chosen[i] for i, who in enumerate(template.things) for slot in SPOKEN_OF[who]}
    elsewhere = {kind for slot, kind in {"K": "colour", "S": "size"}.items() if slot in slots}  # is said by other slots
    words, together = {}, "D" in slots or "E" in slots
    if together:
        one, other = chosen[:2]
        same = {kind for kind in ("size", "colour", "shape") if getattr(one, kind) == getattr(other, kind)} - elsewhere
        if "A" in slots and "shape" in same:
            return None  # "two red objects" have a shape each
        same -= {"size"} if rng.random() < 0.5 else set()
        words["E"] = phrase(one, same, rng, several=True)
        words["D"] = f"two {words['E']}"
        elsewhere |= same
    for slot in slots:  # in a fixed order, to draw the same in every process
        it = by_slot.get(slot)
        match slot:
            case "D" | "E":
                pass
            case "K" | "L":
                words[slot] = it.colour
            case "S" | "T":
                words[slot] = it.size
            case "P" | "Q":
                words[slot] = rng.choice([place for place, where in PLACES.items() if it.fits(where)])
            case "R" | "V":
                found = relations(*(chosen[:2] if slot == "R" else chosen[1::-1]), scene.things)
                if not found:
                    return None
                words[slot] = rng.choice([word for word, relation in RELATIONS.items() if relation in found])
            case _:
                told = {kind for kind, share in {"size": 0.5, "colour": 0.85}.items() if rng.random() < share}
                told |= {"colour"} if len(chosen) == 1 else set()
                said = phrase(it, told - elsewhere | {"shape"}, rng)
                words[slot] = f"{'the' if slot in 'XY' else 'an' if said[0] == 'o' else 'a'} {said}"
    sentence = template.text.format(**words)
    reading = template.read(plain(sentence))
    if not reading or not reading.holds(scene):
        return None
    single = reading.described[2:] if together else reading.described
    clear = all(sum(thing.fits(description) for thing in scene.things) == 1 for description in single)
    return sentence if clear else None


def phrase(thing: Thing, told: set[str], rng: random.Random, several: bool = False) -> str:
    """ "little red circle", as far as it is to be told."""
    size = rng.choice([word for word, size in SIZE_WORDS.items() if size == thing.size])
    noun = (PLURALS[thing.shape] if several else thing.shape) if "shape" in told else "objects"
    return " ".join([size] * ("size" in told) + [thing.colour] * ("colour" in told) + [noun])


def captions(scene: Scene, rng: random.Random) -> list[str]:
    """`COUNT` different sentences, most of them about all things, and of different templates."""
    found, weights = {}, [5.0 if len(it.things) == len(scene.things) else 1.0 for it in TEMPLATES]
    while len(found) < COUNT:
        i = rng.choices(range(len(TEMPLATES)), weights)[0]
        if sentence := say(TEMPLATES[i], scene, rng):
            found[sentence] = None
            weights[i] = 0.05  # again only where little else can be said
    return list(found)
