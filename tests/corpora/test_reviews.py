"""The corpus of reviews: built twice alike, balanced, without leaks, beyond counting words, and sound in meaning."""

import collections
import hashlib
import re

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tasks.corpora import reviews


def build(folder):
    """{split: [(text, label)]} as TFDS stores it."""
    builder = reviews.Reviews(data_dir=folder)
    builder.download_and_prepare()
    splits = builder.as_dataset()
    return {
        split: [(x["text"].decode(), int(x["label"])) for x in splits[split].as_numpy_iterator()] for split in splits
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return build(tmp_path_factory.mktemp("once"))


def checksum(corpus):
    return hashlib.sha256(repr(sorted(corpus.items())).encode()).hexdigest()


def test_every_build_is_the_same(corpus, tmp_path):
    assert checksum(build(tmp_path)) == checksum(corpus)


def test_sizes_and_balance(corpus):
    assert {split: len(examples) for split, examples in corpus.items()} == reviews.SIZES
    for split, examples in corpus.items():
        assert sum(label for _, label in examples) * 2 == len(examples), split


def test_texts_are_distinct_and_of_the_length_promised(corpus):
    texts = [text for examples in corpus.values() for text, _ in examples]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert 5 <= len(text.split()) <= 60, text
        assert 1 <= len(re.findall(r"[.?](?= |$)", text)) <= 4, text
        assert re.fullmatch(r"[A-Z][A-Za-z',;.? ]+\.", text), text
        assert not re.search(r"  | [,;.?]|[.?] [a-z]|[,;] [A-HJ-Z]", text), text


def test_the_test_split_pairs_known_words_anew(corpus):
    words = lambda split: {word for text, _ in corpus[split] for word in re.findall(r"\w+", text.lower())}
    assert words("test") <= words("train") and words("validation") <= words("train")

    pattern = re.compile(rf"({'|'.join(sum(reviews.ASPECTS.values(), ()))}) (?:was|were) (\w+)[.,;]")
    said = {split: {pair for text, _ in corpus[split] for pair in pattern.findall(text)} for split in corpus}
    assert any(reviews.is_novel(f"the {thing}", word) for thing, word in said["test"])
    assert not any(reviews.is_novel(f"the {thing}", word) for thing, word in said["train"] | said["validation"])


def test_opinion_words_are_common_in_both_classes(corpus):
    positive, total = collections.Counter(), collections.Counter()
    for text, label in corpus["train"]:
        found = set(re.findall(r"\w+", text.lower()))
        total.update(found)
        positive.update(found if label else ())
    for word in sum(reviews.ADJECTIVES.values(), ()):
        assert 0.3 < positive[word] / total[word] < 0.7, word


@pytest.mark.parametrize("ngrams, bound", [(1, 0.70), (2, 0.85)])
def test_counting_words_does_not_solve_it(corpus, ngrams, bound):
    counts = CountVectorizer(ngram_range=(1, ngrams))
    texts, labels = zip(*corpus["train"], strict=True)
    model = LogisticRegression(max_iter=1_000).fit(counts.fit_transform(texts), labels)
    texts, labels = zip(*corpus["test"], strict=True)
    assert model.score(counts.transform(texts), labels) <= bound


# The meanings below are written by hand and owe nothing to the grammar's tables.
PRAISE = re.compile(
    r"\b(superb|wonderful|excellent|brilliant|impressive|lovely|delightful|splendid|fantastic|charming|"
    r"(love|enjoy|like|adore|admire|delight|impress|thrill|please|charm)(e?d)?|"
    r"better|hoped|masterpiece|triumph|gem|treat|success)\b"
)


def sign(text, flips=False):
    return (1 if PRAISE.search(text) else -1) * (-1 if flips else 1)


def samples(production, pattern):
    """[(match, polarity)] of the sayings that are all pattern, among 2,000 of a production."""
    said = [production(reviews.Pen(seed)) for seed in range(2_000)]
    found = [(match, polarity) for text, polarity in said if (match := re.fullmatch(pattern, text))]
    assert found
    return found


@pytest.mark.parametrize(
    "pattern, flips",
    [
        (r"I can't say that the \w+ (was|were) (quite |truly |rather )?(?!not)\w+", True),
        (r"I doubt that the \w+ (was|were) (?!not)\w+", True),
        (r"I would never say, even to be polite, that the \w+ (was|were) \w+", True),
        (r"I can't say that the \w+ (was|were)n't \w+", False),
        (r"it is not true that the \w+ (was|were) not at all \w+", False),
        (r"I have no doubt that the \w+ (was|were) (?!not)\w+", False),
        (r"I don't think anybody could deny that the \w+ (was|were) \w+", False),
        (r"nobody can deny that the \w+ (was|were)n't \w+", True),
    ],
)
def test_negation_flips_and_two_cancel(pattern, flips):
    for match, polarity in samples(lambda pen: reviews.frame(pen, pen.part()), pattern):
        assert polarity == sign(match[0], flips), match[0]


@pytest.mark.parametrize(
    "pattern, winner",
    [
        (r"(.+), (?:but|yet) (.+)", 2),
        (r"(.+); nevertheless, (.+)", 2),
        (r"(?:although|even though) ([^,]+), (.+)", 2),
        (r"(.+), (?:although|even though) ([^,]+)", 1),
    ],
)
def test_contrast_takes_the_right_clause(pattern, winner, monkeypatch):
    bare = lambda pen, it: (
        reviews.Said(f"{it} was superb", 1) if pen.random() < 0.5 else reviews.Said(f"{it} was dull", -1)
    )
    monkeypatch.setattr(reviews, "opine", bare)
    for match, polarity in samples(reviews.contrast, pattern):
        assert polarity == sign(match[winner]) == -sign(match[3 - winner]), match[0]


@pytest.mark.parametrize(
    "pattern, flips",
    [
        (r".* was less \w+ than .*", True),
        (r".* was even more \w+ than .*", False),
        (r".* was (a good deal )?(better|worse) than .*", False),
        (r".* could have been more \w+", True),
        (r".* could not have been more \w+", False),
        (r"I (hoped|feared) that .* would be \w+, but it was not", True),
        (r"I (hoped|feared) that .* would be \w+, and I was not wrong", False),
        (r"was .*\? It was not", True),
        (r"was .*\? Yes, indeed", False),
        (r"(?!unlike|like).* \w+ed .*; I did not", True),
        (r"unlike .*, I \w+ .*", False),
    ],
)
def test_verdicts(pattern, flips):
    for match, polarity in samples(lambda pen: reviews.state(pen, pen.whole(), reviews.VERDICTS), pattern):
        assert polarity == sign(match[0], flips), match[0]


@pytest.mark.parametrize(
    "pattern",
    [r"I expected .* and got (.*)", r"instead of .*, I found (.*)", r"it was (.*), not .*", r".* ended as (a \w+)"],
)
def test_what_it_was_beats_what_was_expected(pattern):
    for match, polarity in samples(reviews.surprise, pattern):
        assert polarity == sign(match[1]), match[0]


def test_the_last_opinion_beats_the_first():
    for match, polarity in samples(reviews.change, r"at first .*, but by the end (I really \w+ .*|.* was really \w+)"):
        assert polarity == sign(match[1]), match[0]
