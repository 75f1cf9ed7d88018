"""The corpus of entities: built twice alike, well tagged, its names held out, and beyond a list of words."""

import collections
import hashlib
import itertools
import os
import re
import subprocess
import sys

import pytest

from tasks.corpora import entities


def build(folder):
    """{split: [(tokens, tags)]} as TFDS stores it."""
    builder = entities.Entities(data_dir=folder)
    builder.download_and_prepare()
    splits, names = builder.as_dataset(), builder.info.features["tags"].feature.names
    read = lambda x: (tuple(token.decode() for token in x["tokens"]), tuple(names[tag] for tag in x["tags"]))
    return {split: [read(x) for x in splits[split].as_numpy_iterator()] for split in splits}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return build(tmp_path_factory.mktemp("once"))


def everything(corpus):
    return [sentence for sentences in corpus.values() for sentence in sentences]


def spans(tags):
    """{(type, start, end)} of the entities."""
    end = lambda i, inside: next((j for j in range(i + 1, len(tags)) if tags[j] != inside), len(tags))
    return {(tag[2:], i, end(i, f"I-{tag[2:]}")) for i, tag in enumerate(tags) if tag[0] == "B"}


def found(sentences, *kinds):
    """[(type, text)] of the entities in some sentences."""
    return [(kind, " ".join(tokens[a:b])) for tokens, tags in sentences for kind, a, b in spans(tags) if kind in kinds]


def tally(sentences):
    """{token: its tags, counted}."""
    counts = collections.defaultdict(collections.Counter)
    for token, tag in (pair for tokens, tags in sentences for pair in zip(tokens, tags, strict=True)):
        counts[token][tag] += 1
    return counts


@pytest.mark.slow
def test_every_build_is_the_same_whatever_the_hash_seed(corpus, tmp_path):
    checksum = lambda corpus: hashlib.sha256(repr(sorted(corpus.items())).encode()).hexdigest()
    assert checksum(build(tmp_path)) == checksum(corpus)

    code = "from tasks.corpora import entities; print(entities.write())"
    run = lambda seed: subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed})
    assert run("1") == run("2")


def test_sizes_lengths_and_no_sentence_twice(corpus):
    assert {split: len(sentences) for split, sentences in corpus.items()} == entities.SIZES
    sentences = [tokens for tokens, _ in everything(corpus)]
    assert len(set(sentences)) == len(sentences)
    assert all(3 <= len(tokens) <= 40 for tokens in sentences)


def test_tokens_and_tags_are_well_formed(corpus):
    dotted = re.compile(r"([ap]\.m|u\.[sk]|[a-z]|dr|mrs?|ms|ltd|inc|st|\d)\.", re.I)
    for tokens, tags in everything(corpus):
        text = " ".join(tokens)
        assert len(tokens) == len(tags)
        assert not any(tag[0] == "I" and tag[2:] != before[2:] for before, tag in zip(("O", *tags), tags, strict=False))
        assert all(re.fullmatch(r"[\w'&./-]+|\d+,\d+|[,.;:!?()\"$]", token) for token in tokens), text
        assert all(token[-1] != "." or token == "." or dotted.fullmatch(token) for token in tokens), text
        assert text.islower() or not text[0].islower(), text
        assert not re.search(r"\ba [aeio]|\ban [^aeio]", text.lower()), text


def test_shares(corpus):
    for split, sentences in corpus.items():
        texts = [" ".join(tokens) for tokens, _ in sentences]
        assert 0.1 < sum(not spans(tags) for _, tags in sentences) / len(sentences) < 0.2, split
        assert 0.03 < sum(text.isupper() for text in texts) / len(sentences) < 0.08, split
        assert 0.03 < sum(text.islower() for text in texts) / len(sentences) < 0.08, split
        kinds = collections.Counter(kind for kind, _ in found(sentences, *entities.TYPES))
        assert all(kinds[kind] > 0.15 * kinds.total() for kind in entities.TYPES), split


def test_names_are_held_out(corpus):
    names = {split: [text.lower() for _, text in found(corpus[split], "PER", "LOC", "ORG")] for split in corpus}
    assert not any(set(names[a]) & set(names[b]) for a, b in itertools.combinations(names, 2))
    seen = {token.lower() for token in tally(corpus["train"])}
    for split in ("validation", "test"):
        words = " ".join(names[split]).split()
        assert sum(word not in seen for word in words) > 0.65 * len(words), split


def test_the_demo_could_be_written_and_is_not(corpus):
    first, last, *_, school = entities.DEMO.split()
    assert first in entities.RULES["given"] and last in entities.RULES["family"]
    assert school in entities.RULES["university"] and {*map(entities.home, (first, last, school))} == {"test"}
    assert not any(entities.DEMO.lower() in " ".join(tokens).lower() for tokens, _ in everything(corpus))


def test_names_are_ambiguous_and_stand_side_by_side(corpus):
    kinds = collections.defaultdict(set)
    for kind, text in found(corpus["train"], "PER", "LOC", "ORG"):
        kinds[text].add(kind)
    assert sum(len(types) > 1 for types in kinds.values()) > 50
    assert sum(len(types) > 2 for types in kinds.values()) > 10
    used = tally(corpus["train"])
    assert all({"O", "B-PER"} <= set(used[word]) for word in ("Will", "Mark", "Rose", "Bill", "Hope", "Grace"))
    assert {"O", "B-PER", "B-DATE"} <= set(used["May"])
    beside = collections.Counter(pair for _, tags in corpus["train"] for pair in itertools.pairwise(tags))
    assert beside["B-LOC", "B-LOC"] > 10 and beside["I-PER", "B-ORG"] > 10


def test_the_commonest_tag_of_each_word_does_not_solve_it(corpus):
    used = tally(corpus["train"])
    guess = lambda token: used[token].most_common(1)[0][0] if token in used else "O"
    pairs = [(spans(tags), spans([*map(guess, tokens)])) for tokens, tags in corpus["test"]]
    right, total = sum(len(a & b) for a, b in pairs), sum(len(a) + len(b) for a, b in pairs)
    assert 2 * right / total < 0.5


MONTH = "(January|February|March|April|May|June|July|August|September|October|November|December)"


# The meanings below are written by hand and owe nothing to the grammar's tables.
@pytest.mark.parametrize(
    "pattern, expected",
    [
        (r"(room|page|bus) \d{4}", "O O"),
        (r"(\d,\d{3}|\d+) (people|dollars|pounds|percent|miles|seconds)", "O O"),
        (r"\$ [\d,.]+|at \d [ap]\.m\.", "O O( O)?"),
        (r"in (19|20)\d\d", "O B-DATE"),
        (r"\d{4}-\d\d-\d\d|\d\d/\d\d/\d{4}", "B-DATE"),
        (rf"on (\d+ {MONTH}|{MONTH} \d+ ,) \d{{4}}", "O B-DATE I-DATE( I-DATE)+"),
        (rf"the \d+(st|nd|rd|th) of {MONTH}", "B-DATE I-DATE I-DATE I-DATE"),
        (r"(last|next) (\w+day|spring|week)|the (19|20)\d0s", "B-DATE I-DATE"),
        (r"(may|mark|will|bill) (I|my|the)|(Brazilian|Danish|Kenyan) \w+", "O O"),
        (r"(Dr\.|Mr\.|Captain) \w+", "O B-PER"),
        (r"the University of \w+", "O B-ORG I-ORG I-ORG"),
        (r"\w+ \d , \w+ \d", "[BI]-ORG O O B-ORG O"),
        (r"\w+ beats? \w+ \d-\d ,", "[BI]-PER O B-PER O O"),
        (r"beat \w+ \d-\d (on|in|\.)", "O B-ORG O O"),
        (r"\( \w+ \) (beat|\d\d\.\d)", "O B-LOC O O"),
    ],
)
def test_what_is_what(corpus, pattern, expected):
    matches = 0
    for tokens, tags in everything(corpus):
        text = " ".join(tokens)
        for match in re.finditer(rf"(?<!\S)({pattern})(?!\S)", text, re.I):
            start, matches = text[: match.start()].count(" "), matches + 1
            assert re.fullmatch(expected, " ".join(tags[start:][: len(match[0].split())])), (match[0], text)
    assert matches >= 5
