"""CIDEr-D against dictionaries of tuples, and against the values of the package that captioning papers use."""

import collections
import math
import statistics

import numpy as np
import pytest
import tensorflow as tf

from zoo import cider
from zoo.cider import CiderD
from zoo.errors import ZooError

# A candidate, its references, and what Cider().compute_score of pycocoevalcap 1.2 gives it, all twelve in one call.
PUBLISHED = [
    (
        "a dog runs on the grass",
        "a dog runs through the grass|a brown dog is running on grass|the dog runs fast",
        2.392415283,
    ),
    ("a man in a red shirt", "a man in a red shirt|a man wears a red shirt in a red car", 6.803670744),
    ("a a a a a", "a boy and a girl and a dog|a cat", 0.043359237),
    (
        "two children play in the water",
        "two kids play in water|children are playing in the water at the beach|two children play",
        2.902343006,
    ),
    (
        "a man rides a bike down a hill",
        "a man rides a bike down a steep hill|a cyclist goes down a hill|the man on the bike rides downhill",
        3.81151058,
    ),
    ("snow", "a man stands in the snow|snow", 1.812040891),
    (
        "a black dog and a white dog play with a ball in the park by the lake",
        "two dogs play|a black dog and a white dog play",
        1.037798454,
    ),
    ("zebra quux", "a woman sits on a bench|a woman is on a bench", 0.0),
    ("the the girl on the on the swing", "a girl on the swing|the girl is on the swing on the tree", 3.716608294),
    ("a woman sits on a bench", "a woman sits on a bench with a dog|an old woman on a bench|a lady sits", 3.028205636),
    ("a man climbs a rock", "a man climbs a rock|a climber on a rock|a man climbs a rock", 7.314037276),
    (
        "people walk down the street at night",
        "people walk down the street at night in the rain|a crowd of people walk down a street",
        5.068723466,
    ),
]


def grams(tokens, n):
    return collections.Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def by_dictionaries(corpus, candidate, references):
    """The definition: sums over the different n-grams, which are tuples in dictionaries."""
    scores = []
    for reference in filter(None, references):
        for n in (1, 2, 3, 4):
            documents = [set().union(*(grams(caption, n) for caption in picture)) for picture in corpus]

            def weights(tokens, n=n, documents=documents):
                idf = lambda g: math.log(len(corpus)) - math.log(max(1, sum(g in d for d in documents)))
                return {g: count * idf(g) for g, count in grams(tokens, n).items()}

            ours, theirs = weights(candidate), weights(reference)
            product = sum(min(ours[g], theirs[g]) * theirs[g] for g in ours.keys() & theirs.keys())
            norm = math.hypot(*ours.values()) * math.hypot(*theirs.values())
            penalty = math.exp(-((len(candidate) - len(reference)) ** 2) / 72)
            scores.append(product / norm * penalty if norm else 0.0)
    return 10 * statistics.fmean(scores) if scores else 0.0


def sentences(draw, count, vocabulary=12, longest=14):
    """Lists of ids, small ones most often, as words are."""
    return [[int(i) for i in draw.zipf(1.5, draw.integers(1, longest)) % vocabulary + 1] for _ in range(count)]


def padded(rows, time):
    return np.array([row + [0] * (time - len(row)) for row in rows], np.int32)


@pytest.fixture(scope="module")
def drawn():
    """A corpus of 30 pictures with three captions, candidates for 20 of them, some of which are near a reference."""
    draw = np.random.default_rng(0)
    corpus = [sentences(draw, 3) for _ in range(30)]
    candidates = sentences(draw, 20)
    for i in range(0, 20, 2):
        candidates[i] = corpus[i][0][:-1] + [int(draw.integers(1, 14))]
    return corpus, candidates


def tensors(corpus, candidates, time=14):
    return padded(candidates, time), np.stack([padded(picture, time) for picture in corpus[: len(candidates)]])


def test_scores_are_those_of_dictionaries(drawn):
    corpus, candidates = drawn
    found = CiderD(corpus)(*tensors(*drawn)).numpy()
    expected = [by_dictionaries(corpus, c, r) for c, r in zip(candidates, corpus, strict=False)]
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-4)
    assert max(expected) > 3 and min(expected) < 0.5  # there is something to compare


def test_scores_are_those_of_the_published_implementation():
    numbers = collections.defaultdict(lambda: len(numbers) + 1)
    ids = lambda sentence: [numbers[word] for word in sentence.split()]
    corpus = [[*map(ids, references.split("|"))] for _, references, _ in PUBLISHED]
    candidates = padded([ids(candidate) for candidate, _, _ in PUBLISHED], 20)
    references = np.stack([padded(picture + [[]] * (3 - len(picture)), 11) for picture in corpus])
    expected = [score for _, _, score in PUBLISHED]
    assert CiderD(corpus)(candidates, references).numpy() == pytest.approx(expected, abs=2e-5)
    assert CiderD(references)(candidates, references).numpy() == pytest.approx(expected, abs=2e-5)


def test_padding_and_empty_references_do_not_count(drawn):
    metric = CiderD(drawn[0])
    candidates, references = tensors(*drawn)
    expected = metric(candidates, references).numpy()
    wider = np.pad(candidates, [(0, 0), (0, 3)]), np.pad(references, [(0, 0), (1, 2), (0, 7)])
    assert metric(*wider).numpy() == pytest.approx(expected, abs=1e-5)


def test_nothing_said_nothing_to_say_and_sentences_shorter_than_n_grams(drawn):
    metric = CiderD(drawn[0])
    candidates = padded([[], [5], [5, 6], []], 2)
    references = np.stack([padded(r, 2) for r in ([[5], [6]], [[], []], [[5, 6], []], [[], []])])
    found = metric(candidates, references).numpy()
    assert found[[0, 1, 3]].tolist() == [0, 0, 0]
    assert found[2] == pytest.approx(by_dictionaries(drawn[0], [5, 6], [[5, 6]]), abs=1e-5)
    assert metric(candidates[:, :1], references[..., :1])[2].numpy() > 0
    assert metric(candidates[:, :0], references).numpy().tolist() == [0, 0, 0, 0]
    assert metric(candidates[:0], references[:0]).shape == [0]


def test_ten_is_the_most(drawn):
    corpus, _ = drawn
    long = [picture for picture in corpus if len(picture[0]) > 3]
    same = padded([picture[0] for picture in long], 14)
    assert CiderD(corpus)(same, same[:, None]).numpy() == pytest.approx(10, abs=1e-4)


def test_in_the_graph_with_shapes_unknown(drawn):
    metric = CiderD(drawn[0])
    candidates, references = tensors(*drawn)
    signature = [tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None, None], tf.int32)]
    reward = tf.function(metric.__call__, input_signature=signature)
    assert reward(candidates, references).numpy() == pytest.approx(metric(candidates, references).numpy(), abs=1e-5)
    assert {"PyFunc", "EagerPyFunc"}.isdisjoint(op.type for op in reward.get_concrete_function().graph.get_operations())


def test_one_picture_has_no_idf_and_no_pictures_are_refused():
    assert CiderD([[[1, 2, 3]]])([[1, 2, 3]], [[[1, 2, 3]]]).numpy() == [0]
    assert CiderD([[], [[]], [[1]]])([[1]], [[[1]]]).numpy() == pytest.approx([2.5])  # pictures without captions count
    with pytest.raises(ZooError, match="no pictures to take document frequencies from"):
        CiderD([])


def test_hashes_are_the_same_in_numpy_and_in_the_graph_and_differ():
    """By order and by position, up to the largest of ids; and every bit of them is used."""
    tokens = np.random.default_rng(1).integers(1, 2**31 - 1, [50, 20]).astype(np.int32)
    tokens[:25] = tokens[:25] % 9 + 1
    ours = cider._hashes(tokens, np)
    theirs = tf.function(lambda x: cider._hashes(x, tf))(tf.constant(tokens))
    for n, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        assert a.dtype == np.int64 and (a == b.numpy()).all()
        tuples = {tuple(row[i : i + n]) for row in tokens.tolist() for i in range(21 - n)}
        assert len(np.unique(a)) == len(tuples)
        bits = np.unique(a)[:, None] >> np.arange(64) & 1
        assert (np.abs(bits.mean(0) - 0.5) < 0.15).all()
