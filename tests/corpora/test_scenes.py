"""The corpus of scenes: built alike every time, pictures that show what their names say, sentences that are true."""

import collections
import os
import random
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest
from scipy import ndimage

from tasks.corpora import scenes
from tasks.corpora.scenes import HELD_OUT, Scene, describes, is_scene

COLOURS = ["red", "orange", "yellow", "green", "blue", "white", "black"]
SHAPES = ["circle", "square", "triangle", "star", "ring", "cross"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """{split: [(name, image, captions)]} as TFDS stores it, in the order of the names."""
    builder = scenes.Scenes(data_dir=tmp_path_factory.mktemp("once"))
    builder.download_and_prepare()
    read = lambda x: (x["name"].decode(), x["image"], [text.decode() for text in x["captions"]])
    splits = builder.as_dataset()
    return {split: sorted(map(read, splits[split].as_numpy_iterator()), key=lambda x: x[0]) for split in splits}


def everything(corpus):
    return [example for found in corpus.values() for example in found]


def kinds(name):
    """{(colour, shape)} of a scene, read from its name."""
    return set(re.findall(r"-([a-z]+)-([a-z]+)@", name))


# Corpus ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_build_is_the_same_in_every_process(corpus):
    code = """if True:
        import zlib
        from tasks.corpora import scenes
        splits = scenes.write()
        print(zlib.crc32(repr([(scene.name, texts) for split in splits.values() for scene, texts in split]).encode()))
        print([zlib.crc32(scenes.draw(scene)) for scene, _ in splits["test"]])"""
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment).splitlines()
    written = [(name, texts) for split in scenes.SIZES for name, _, texts in corpus[split]]
    assert printed[-2] == str(zlib.crc32(repr(written).encode()))
    assert printed[-1] == str([zlib.crc32(image) for _, image, _ in corpus["test"]])


def test_sizes_and_types(corpus):
    assert {split: len(found) for split, found in corpus.items()} == {"train": 6000, "validation": 200, "test": 300}
    for split, found in corpus.items():
        assert [name.split()[0] for name, *_ in found] == [f"{split}-{i:04}" for i in range(len(found))]
        assert all(image.shape == (48, 48, 3) and image.dtype == np.uint8 for _, image, _ in found)
        assert all(len(set(texts)) == len(texts) == 5 for *_, texts in found)


def test_no_scene_occurs_twice_and_most_are_simple(corpus):
    things = [frozenset(name.split()[1:]) for name, *_ in everything(corpus)]
    assert len(set(things)) == len(things)
    counts = collections.Counter(map(len, things))
    assert counts.keys() == {1, 2, 3} and counts[3] < 0.15 * len(things) and min(counts[1], counts[2]) > 800


def test_held_out_pairs_are_in_every_test_picture_and_never_in_training(corpus):
    shown = {split: [kinds(name) for name, *_ in found] for split, found in corpus.items()}
    assert not set.union(*shown["train"], *shown["validation"]) & set(HELD_OUT)
    assert all(pairs & set(HELD_OUT) for pairs in shown["test"])
    counts = collections.Counter(pair for pairs in shown["test"] for pair in pairs & set(HELD_OUT))
    assert len(counts) == len(HELD_OUT) and max(counts.values()) < 0.2 * len(shown["test"])
    trained = collections.Counter(pair for pairs in shown["train"] for pair in pairs)
    assert trained.keys() == {(c, s) for c in COLOURS for s in SHAPES} - set(HELD_OUT)
    assert min(trained.values()) > 50


def test_training_sentences_do_not_speak_of_held_out_pairs(corpus):
    spoken = lambda split: {
        pair
        for *_, texts in corpus[split]
        for text in texts
        for pair in re.findall(r"(\w+) ([a-z]+?)(?:es|s)?\b", text)
    }
    assert not spoken("train") & set(HELD_OUT)
    assert spoken("test") >= set(HELD_OUT)


# Pictures -------------------------------------------------------------------------------------------------------------


def blobs(image):
    """[(colour, x, y, half of the longer side, mask in its box)] of what has one of the paints' colours."""
    found = []
    paints = np.array([scenes.PAINT[colour] for colour in COLOURS], float)
    distances = np.linalg.norm(image[..., None, :] - paints, axis=-1)
    nearest = np.where(distances.min(-1) < 60, distances.argmin(-1), -1)
    for i, colour in enumerate(COLOURS):
        labels, _ = ndimage.label(nearest == i, np.ones((3, 3)))
        for label, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
            mask = labels[rows, columns] == label
            if mask.sum() >= 14:  # fewer are the mixtures at an edge
                x, y = (columns.start + columns.stop) / 2, (rows.start + rows.stop) / 2
                found.append((colour, x, y, max(mask.shape) / 2, mask))
    return found


def look(mask):
    """The shape that fills a box so: by what is in its corners, at its sides, in its centre, and beside the centre."""
    height, width = mask.shape
    at = lambda x, y: bool(mask[min(int(y * height), height - 1), min(int(x * width), width - 1)])
    top, bottom = at(0.08, 0.08) and at(0.92, 0.08), at(0.12, 0.97) and at(0.88, 0.97)
    if bottom:
        return "square" if top else "triangle"
    if not at(0.5, 0.5):
        return "ring"
    if at(0.2, 0.2) and at(0.8, 0.2):
        return "circle"
    return "cross" if at(0.03, 0.5) and at(0.97, 0.5) and at(0.5, 0.97) else "star"


def things(name):
    return [(s, c, k, int(x), int(y)) for s, c, k, x, y in re.findall(r"(\w+)-(\w+)-(\w+)@(\d+),(\d+)", name)]


def touches(name):
    """Whether some things touch or overlap: their boxes do."""
    half, said = {"small": 5, "large": 10}, things(name)
    return any(
        max(abs(a[3] - b[3]), abs(a[4] - b[4])) < half[a[0]] + half[b[0]] + 2
        for i, a in enumerate(said)
        for b in said[:i]
    )


def test_pictures_show_what_their_names_say(corpus):
    apart = [(name, image) for name, image, _ in everything(corpus) if not touches(name)]
    assert len(apart) > 1800
    right = collections.Counter()
    for name, image in apart:
        said = sorted((c, x, y, s, k) for s, c, k, x, y in things(name))
        seen = sorted(
            blobs(image), key=lambda blob: min((blob[1] - x) ** 2 + (blob[2] - y) ** 2 for _, x, y, *_ in said)
        )
        assert len(seen) == len(said), name
        for colour, x, y, size, shape in said:
            near = [b for b in seen if b[0] == colour and max(abs(b[1] - x), abs(b[2] - y)) <= 1.5]
            assert len(near) == 1, name
            *_, half, mask = near[0]
            assert (half < 6.5) == (size == "small") and not 6.5 < half < 8.5, name
            right[shape, look(mask)] += 1
    for shape in SHAPES:
        total = sum(count for (said, _), count in right.items() if said == shape)
        assert right[shape, shape] > 0.97 * total, right


def test_things_inside_and_on_top_show_too(corpus):
    joined = [(name, image) for name, image, _ in everything(corpus) if touches(name)]
    assert len(joined) > 200
    for name, image in joined:
        for size, colour, _, x, y in things(name):
            half = {"small": 4, "large": 9}[size]
            box = image[max(y - half, 0) : y + half, max(x - half, 0) : x + half].reshape(-1, 3)
            assert (np.linalg.norm(box - np.array(scenes.PAINT[colour], float), axis=1) < 40).sum() >= 9, name


# Sentences ------------------------------------------------------------------------------------------------------------


def test_all_captions_are_true(corpus):
    for name, _, texts in everything(corpus):
        assert is_scene(name) and Scene.parse(name).name == name
        assert all(describes(text, name) for text in texts), (name, texts)


def test_captions_are_plain_english(corpus):
    texts = {split: [text for *_, texts in found for text in texts] for split, found in corpus.items()}
    words = {split: collections.Counter(re.findall("[a-z]+", " ".join(found))) for split, found in texts.items()}
    assert 60 <= len(words["train"]) <= 100 and min(words["train"].values()) > 10
    assert words["test"].keys() | words["validation"].keys() <= words["train"].keys()
    for text in (text for found in texts.values() for text in found):
        assert re.fullmatch(r"[a-z]+(?:[,:]? [a-z]+)*", text), text
        assert not re.search(
            r"\ba [aeiou]|\ban [^aeiou]|\b(two|pair of)( \w+){0,2} [a-z]*(circle|ring|star)\b", text
        ), text
        assert not re.search(r"\b(is|a|an|one of) (two|\w+s$)|\bare (a|one)\b", text) or text.endswith("cross"), text
    lengths = collections.Counter(len(text.split()) for text in texts["train"])
    assert len(lengths) > 10 and max(lengths.values()) < 0.25 * len(texts["train"])
    assert len(set(texts["train"])) > 0.5 * len(texts["train"])


def test_captions_agree_with_the_pixels(corpus):
    """Read with a pattern of the test's own, and looked up among blobs of colour."""
    spoken = re.compile(
        rf"(?:a|an|the) (?:\w+ )?({'|'.join(COLOURS)}) \w+ (?:is )?"
        r"(?:to the )?(left|right|above|below|under|on top|inside|around)(?: of)? "
        rf"(?:a|an|the) (?:\w+ )?({'|'.join(COLOURS)}) \w+"
    )
    checked = collections.Counter()
    for name, image, texts in everything(corpus):
        seen = blobs(image)
        colours = collections.Counter(colour for colour, *_ in seen)
        for text in texts:
            assert {word for word in re.findall("[a-z]+", text) if word in COLOURS} <= colours.keys(), (name, text)
            found = re.search(spoken, text)
            if not found or found[1] == found[3] or colours[found[1]] + colours[found[3]] > 2:
                continue
            (_, x, y, half, _), (_, u, v, size, _) = (next(b for b in seen if b[0] == found[i]) for i in (1, 3))
            assert {
                "left": u - x > 5,
                "right": x - u > 5,
                "above": v - y > 5,
                "below": y - v > 5,
                "under": y - v > 5,
                "on top": v - y > 8 and abs(x - u) < 4 and abs(v - y - half - size) < 3,
                "inside": max(abs(x - u), abs(y - v)) < 4 and half < size,
                "around": max(abs(x - u), abs(y - v)) < 4 and half > size,
            }[found[2]], (name, text)
            checked[found[2]] += 1
    assert len(checked) == 8 and min(checked.values()) > 10


def test_captions_are_seldom_true_of_another_scene(corpus):
    names = [name for name, *_ in corpus["test"]]
    train = [text for *_, texts in corpus["train"] for text in texts]
    sample = random.Random(0).sample(train, 200)
    assert np.mean([describes(text, name) for text in sample for name in names]) < 0.03
    vague = sorted({text for *_, texts in corpus["test"] for text in texts}, key=lambda text: len(text.split()))[:150]
    vague += [f"there is {'an' if c[0] == 'o' else 'a'} {c} {s}" for c in COLOURS for s in SHAPES]
    vague += [f"two {word}s" for word in SHAPES] + [f"two {word} objects" for word in COLOURS]
    assert max(np.mean([describes(text, name) for name in names]) for text in vague) <= 0.2


def swap(text, words, rng):
    """The text with one of these words replaced by another of them; articles follow. None if it has none of them."""
    places = [found.span() for found in re.finditer(rf"\b({'|'.join(words)})\b", text)]
    if not places:
        return None
    start, stop = rng.choice(places)
    text = text[:start] + rng.choice([word for word in words if word != text[start:stop]]) + text[stop:]
    return re.sub(r"\ban? (?=(.))", lambda found: "an " if found[1] == "o" else "a ", text)


@pytest.mark.parametrize(
    "words",
    [COLOURS, SHAPES, ["left", "right"], ["above", "below"], ["inside", "around"], ["small", "large"]],
    ids=lambda words: words[0],
)
def test_another_word_makes_it_false(corpus, words):
    rng = random.Random(0)
    changed = [
        (swap(text.replace("little", "small").replace("big", "large"), words, rng), name)
        for name, _, texts in corpus["test"]
        for text in texts
        if not text.endswith("the other")  # "one above the other" is "one below the other"
    ]
    true = [describes(text, name) for text, name in changed if text]
    assert len(true) > 20 and np.mean(true) < 0.05


TWO = "test-1 small-red-circle@24,9 large-blue-square@25,36"
TWINS = "x small-red-star@9,24 small-red-star@40,26"
RING = "x large-orange-ring@37,37 small-black-star@37,36 small-white-star@8,36"


@pytest.mark.parametrize(
    "name, sentence, true",
    [
        (TWO, "a small red circle above a large blue square", True),
        (TWO, "There is a blue square under a red circle .", True),
        (TWO, "two objects : a little red circle and a big blue square", True),
        (TWO, "a blue square with a red circle above it", True),
        (TWO, "a blue square with a red circle below it", False),
        (TWO, "the red circle is at the top", True),
        (TWO, "the red circle is on the left", False),
        (TWO, "a red circle on top of a blue square", False),  # they do not touch
        (TWO, "a red circle left of a blue square", False),
        (TWO, "a red circle beside a blue square", False),
        (TWO, "a blue square at the bottom", True),
        (TWO, "a blue square in the middle", False),
        (TWO, "only a red circle", False),
        (TWO, "two red circles", False),
        (TWO, "three objects: a red circle, a blue square and a red circle", False),
        (TWO, "an red circle", False),
        (TWO, "a red", False),
        (TWO, "a circle", False),  # too vague
        (TWO, "two objects", False),  # likewise
        (TWO, "", False),
        (TWO, "a red circle a blue square", False),
        ("x small-red-circle@24,11 large-blue-square@25,26", "a red circle on top of a square", True),
        (TWINS, "two small red stars", True),
        (TWINS, "two red stars side by side", True),
        (TWINS, "two red stars, one on the left and one on the right", True),
        (TWINS, "two red stars, one above the other", False),
        (TWINS, "a pair of red stars", True),
        (TWINS, "the red star is on the left", False),  # there are two
        (TWINS, "two stars, one red and one red", False),
        (TWINS, "two red objects: a star and a circle", False),
        (RING, "a black star inside an orange ring", True),
        (RING, "an orange ring around a star", True),
        (RING, "a white star inside an orange ring", False),
        (RING, "the white star is to the left of the orange ring", True),
        (RING, "two stars, one white and one black", True),
        (RING, "two small stars and an orange ring", True),
        (RING, "three objects, two of them small stars", True),
        (RING, "three shapes, one of them a red star", False),
        (RING, "a white star in the bottom left corner", True),
        (RING, "two stars side by side", True),
        ("x small-red-star@9,24 small-blue-ring@24,24 small-red-star@40,24", "two red stars side by side", False),
        ("x small-orange-star@9,24", "there is an orange star and nothing else", False),  # no such template
        ("x small-orange-star@9,24", "an orange star and nothing else", True),
    ],
)
def test_sentences_and_scenes(name, sentence, true):
    assert describes(sentence, name) is true


@pytest.mark.parametrize("name", ["", "beach.jpg", "test-0001", "x red-circle@1,2", "x small-red-circle@1,2 and more"])
def test_names_of_other_pictures_are_no_scenes(name):
    assert not is_scene(name)
    with pytest.raises(ValueError, match="is no scene"):
        describes("a red circle", name)
