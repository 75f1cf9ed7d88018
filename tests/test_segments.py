"""Segments and decoding against numbers counted by hand, and against enumeration."""

import functools
import itertools

import numpy as np
import pytest

from zoo.segments import (
    Places,
    Segment,
    edit_score,
    errors,
    foreground,
    given_boundaries,
    overlap,
    overlap_counts,
    segments,
)


def random_labels(rng, alphabet, length):
    """Labels in runs, so that segments overlap in every way."""
    runs = [[str(rng.choice(list(alphabet)))] * rng.integers(1, 5) for _ in range(length)]
    return sum(runs, [])[:length]


def test_segments_are_maximal_runs():
    assert segments([]) == []
    assert segments("aabba") == [Segment("a", 0, 2), Segment("b", 2, 4), Segment("a", 4, 5)]
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = random_labels(rng, "abc", 12)
        found = segments(labels)
        assert sum(([s.label] * (s.end - s.start) for s in found), []) == labels
        assert all(a.label != b.label and a.end == b.start for a, b in itertools.pairwise(found))


def test_background_parts_segments_and_is_none():
    assert foreground("--aa-a~b~", "-~") == [Segment("a", 2, 4), Segment("a", 5, 6), Segment("b", 7, 8)]
    assert foreground("---", "-") == []


def by_recursion(one, other):
    @functools.cache
    def distance(i, j):
        if not (i and j):
            return i + j
        cost = one[i - 1] != other[j - 1]
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, distance(i - 1, j - 1) + cost)

    return distance(len(one), len(other))


def test_errors_are_insertions_deletions_substitutions():
    spoken = ["bin", "blue", "at", "f", "two", "now"]
    assert errors(spoken, spoken) == 0
    assert errors(spoken, ["bin", "blue", "at", "s", "two", "now"]) == 1
    assert errors(spoken, ["blue", "at", "f", "two", "two", "now", "please"]) == 3
    assert errors(spoken, []) == 6 and errors([], spoken) == 6
    rng = np.random.default_rng(0)
    for _ in range(100):
        one, other = ([f"word {i}" for i in rng.integers(0, 4, rng.integers(0, 8))] for _ in range(2))
        assert errors(one, other) == by_recursion(one, other)


@pytest.mark.parametrize(
    ("true", "predicted", "score"),
    [
        ("aabbcc", "aaabbc", 100),  # boundaries don't matter
        ("aabbcc", "aacccc", 100 * (1 - 1 / 3)),  # b is missing
        ("aabbcc", "abaabc", 100 * (1 - 2 / 5)),  # a, b, a, b, c: over-segmentation is what it punishes
        ("aabbcc", "dddddd", 0),
        ("a-a---", "aaaaaa", 50),  # background parts the a's
        ("-aa---", "aaaaa-", 100),  # and is no segment
        ("------", "------", 100),
        ("------", "-a-a--", 0),
        ("-a-a--", "------", 0),
        ("", "", 100),
    ],
)
def test_edit_score_by_hand(true, predicted, score):
    assert edit_score(true, predicted, "-") == pytest.approx(score)


def test_overlap_counts_by_hand():
    #       0123456789
    true = "aaaabbbbcc"
    assert overlap_counts(true, true, 0.5) == (3, 0, 0)
    #             a: 4 of 5; b: 3 of 4; c is right
    assert overlap_counts(true, "aaaaabbbcc", 0.75) == (3, 0, 0)
    assert overlap_counts(true, "aaaaabbbcc", 0.76) == (2, 1, 1)
    # a (0-1) has 1/4, a (2-4) has 2/4; both choose the same true one, and the first that reaches the threshold has it
    assert overlap_counts(true, "abaabbbbcc", 0.25) == (3, 2, 0)
    assert overlap_counts(true, "abaabbbbcc", 0.50) == (3, 2, 0)
    assert overlap_counts(true, "abaabbbbcc", 0.51) == (2, 3, 1)
    # one long a over two: it chooses the first, the other is missed; the reverse is one hit and a false positive
    assert overlap_counts("aa-aa", "aaaaa", 0.25, "-") == (1, 0, 1)
    assert overlap_counts("aaaaa", "aa-aa", 0.25, "-") == (1, 1, 0)
    # the second a of the prediction has its best with the first true a, which is taken: not the next best
    assert overlap_counts("aaaaaa-aa", "aa-aaaaaa", 0.1, "-") == (1, 1, 1)
    assert overlap_counts("----", "----", 0.1, "-") == overlap_counts("", "", 0.1) == (0, 0, 0)
    assert overlap_counts("aabb", "----", 0.1, "-") == (0, 0, 2)
    assert overlap_counts("----", "aabb", 0.1, "-") == (0, 2, 0)


@pytest.mark.parametrize("threshold", [0.1, 0.25, 0.5])
def test_overlap_counts_are_those_of_sets_of_frames(threshold):
    """The definition over again, with a segment as its label and the set of its frames."""

    def as_sets(labels):
        runs = itertools.groupby(enumerate(labels), key=lambda item: item[1])
        sets = [(label, {i for i, _ in run}) for label, run in runs]
        return [item for item in sets if item[0] != "-"]

    rng = np.random.default_rng(1)
    for _ in range(200):
        true, predicted = random_labels(rng, "ab-", 20), random_labels(rng, "ab-", 20)
        there, hits, false_positives = as_sets(true), set(), 0
        for label, claim in as_sets(predicted):
            scores = [len(claim & other) / len(claim | other) * (name == label) for name, other in there]
            best = int(np.argmax(scores)) if scores else -1
            if scores and scores[best] >= threshold and best not in hits:
                hits.add(best)
            else:
                false_positives += 1
        expected = len(hits), false_positives, len(there) - len(hits)
        assert overlap_counts(true, predicted, threshold, {"-"}) == expected


def test_overlap_is_intersection_over_union():
    assert overlap(Segment("a", 0, 4), Segment("a", 2, 6)) == 2 / 6
    assert overlap(Segment("a", 0, 4), Segment("a", 1, 3)) == 2 / 4
    assert overlap(Segment("a", 0, 4), Segment("a", 4, 6)) == 0


def test_given_boundaries():
    p = np.log([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.01, 0.01, 0.98]])
    assert given_boundaries(p, 1, 3, [0, 1, 2]) == 0
    assert given_boundaries(p, 1, 3, [1, 2]) == 1
    assert given_boundaries(p, 0, 3, [0, 1, 2]) == 1  # .025, .032, .007
    assert given_boundaries(p, 0, 4, [0, 1, 2]) == 2


def test_places_are_learnt():
    clips = ["--aa-cc-", "-bbd-", "bc--"]
    places = Places.learn(clips, "-")
    assert places.labels == [["a", "b"], ["c", "d"]] and places.background == ("-",)
    assert Places.learn(["aacc", "bd"]).labels == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    "clips",
    [
        [],
        ["---"],
        ["-aa-", "bbb"],  # one word each: nothing to tell a place from
        ["ac", "bd", "aca"],  # one clip of three has another number
        ["ac", "bd", "cb"],  # b and c are seen at both places
        ["a-a"],
    ],
)
def test_places_are_not_learnt_where_there_are_none(clips):
    assert Places.learn(clips, "-") is None


def test_one_clip_in_a_hundred_may_have_another_form():
    assert Places.learn(["a-c"] * 99 + ["acb"], "-").labels == [["a"], ["c"]]
    assert Places.learn(["a-c"] * 98 + ["acb"] * 2, "-") is None


def by_enumeration(scores, names, places, minimum):
    """Best words of all labellings of the frames; scores `[frames, classes]`."""
    best = (-np.inf, [])
    for ids in itertools.product(range(len(names)), repeat=len(scores)):
        runs = [(names[i], len([*run])) for i, run in itertools.groupby(ids)]
        words = [(label, length) for label, length in runs if label not in places.background]
        fits = len(words) == len(places.labels) and all(
            label in place and length >= minimum for (label, length), place in zip(words, places.labels, strict=True)
        )
        if fits:
            total = sum(row[i] for row, i in zip(scores, ids, strict=True))
            best = max(best, (total, [label for label, _ in words]))
    return best[1]


@pytest.mark.parametrize("background", [(), ("-",), ("-", "~")])
@pytest.mark.parametrize(
    ("labels", "frames", "minimum"),
    [
        ([["a", "b"], ["c"]], 2, 1),
        ([["a", "b"], ["c"]], 5, 1),
        ([["a", "b"], ["c"]], 5, 2),
        ([["a", "b"], ["c"]], 6, 3),
        ([["c"], ["a"], ["b"]], 6, 1),
        ([["c"], ["a"], ["b"]], 6, 2),
    ],
)
def test_decoding_is_the_best_of_all_paths(labels, frames, minimum, background):
    places, names = Places(labels, background), ["b", "-", "a", "~", "c"]
    rng = np.random.default_rng(frames)
    for _ in range(5):
        scores = np.log(rng.dirichlet(np.full(5, 0.5), frames)).astype(np.float32)
        assert places.decode(scores, names, minimum) == by_enumeration(scores, names, places, minimum)


def test_decoding_a_clip_that_is_too_short():
    places = Places([["a"], ["b"]], ("-",))
    assert places.decode(np.zeros([0, 3]), ["a", "b", "-"]) == []
    assert places.decode(np.zeros([1, 3]), ["a", "b", "-"]) == []
    assert places.decode(np.zeros([2, 3]), ["a", "b", "-"]) == ["a", "b"]
    assert places.decode(np.zeros([3, 3]), ["a", "b", "-"], minimum=2) == []


def test_decoding_where_a_probability_is_zero():
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(3)[[2, 1, 2, 0, 2]])  # - b - c -: a is never there
    assert Places([["a", "b"], ["c"]], ("-",)).decode(np.insert(certain, 0, -np.inf, axis=1), ["a", "c", "b", "-"]) == [
        "b",
        "c",
    ]
