"""The n-gram baselines against the textbook's formulas written out over lists, nltk, and a chain of known entropy."""

import collections
import itertools
import math
import random
import time

import pytest

from benchmarks.ngrams import KneserNey, Uniform, Unigram
from zoo.errors import ZooError


def draw_corpus(seed, symbols="abcd", sequences=6, longest=9):
    draw = random.Random(seed)
    return [draw.choices(symbols, range(len(symbols), 0, -1), k=draw.randint(0, longest)) for _ in range(sequences)]


def by_the_book(corpus, order, vocabulary, history, word):
    """Kneser-Ney by definition: every n-gram of the corpus in a list, sets of what stood before, and recursion."""
    begun = [["<s>", *sequence] for sequence in corpus]

    def occurrences(n):
        return [
            tuple(s[i : i + n]) for s in begun for i in range(len(s) - n + 1) if i + n > 1
        ]  # "<s>" is not predicted

    def count(gram):
        if len(gram) == order or gram[0] == "<s>":
            return sum(g == gram for g in occurrences(len(gram)))
        return len({g[0] for g in occurrences(len(gram) + 1) if g[1:] == gram})

    def probability(history, word):
        lower = probability(history[1:], word) if history else 1 / len(vocabulary)
        grams = set(occurrences(len(history) + 1))
        total = sum(count((*history, w)) for w in vocabulary)
        if not total:
            return lower
        ones, twos = (sum(count(g) == n for g in grams) for n in (1, 2))
        d = ones / (ones + 2 * twos) if ones and twos else 0.5
        followers = [w for w in vocabulary if (*history, w) in grams]
        return max(count((*history, word)) - d, 0) / total + d * len(followers) / total * lower

    return probability(tuple(["<s>", *history][-(order - 1) :] if order > 1 else ()), word)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_kneser_ney_is_what_the_book_says(order, seed):
    corpus, vocabulary = draw_corpus(seed), "abcde"  # e is never seen
    model = KneserNey(order, vocabulary).fit(corpus)
    for history in [[], ["a"], ["e"], list("ab"), list("ae"), list("bca"), list("ddddd"), list("abcab")]:
        for word in vocabulary:
            expected = by_the_book(corpus, order, vocabulary, history, word)
            assert math.exp(model.log_probability(history, word)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("model", [Uniform("abcde"), Unigram("abcde"), KneserNey(1, "abcde"), KneserNey(4, "abcde")])
def test_probabilities_sum_to_one_after_seen_and_unseen_histories(model):
    model.fit(draw_corpus(7, sequences=40))
    for history in map(list, ["", "a", "e", "ab", "ee", "abc", "eab", "abe", "dddddddd", "abcdabcd"]):
        assert sum(math.exp(model.log_probability(history, s)) for s in "abcde") == pytest.approx(1)
        assert all(model.log_probability(history, s) > -math.inf for s in "abcde")


def test_probabilities_of_a_sequence_are_those_of_its_symbols_after_what_came_before():
    model, sequence = KneserNey(3).fit(draw_corpus(1)), list("abcadba")
    assert model.log_probabilities(sequence) == [model.log_probability(sequence[:i], s) for i, s in enumerate(sequence)]
    assert model.log_probabilities([]) == []


def test_unigrams_are_relative_frequencies_with_one_added():
    model = Unigram("abc").fit(["aab", "a"])
    assert [math.exp(model.log_probability("bb", s)) for s in "abc"] == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert Uniform("abc").fit([]).log_probabilities("ab") == [-math.log(3)] * 2


@pytest.mark.parametrize("order", [2, 3, 4])
def test_kneser_ney_agrees_with_nltk_where_the_definitions_do(order):
    """nltk takes a discount, the same for all orders, and interpolates the lowest order with nothing: a discount of 0
    here. It counts continuations also of n-grams that begin a sequence, so histories that begin one are left out unless
    they are as long as the highest order's; and it has no probability for what it never saw."""
    models = pytest.importorskip("nltk.lm.models")
    corpus = draw_corpus(3, sequences=12)
    begun = [("<s>", *sequence) for sequence in corpus]
    grams = [[s[i : i + n] for n in range(1, order + 1) for i in range(len(s) - n + 1)] for s in begun]
    theirs = models.KneserNeyInterpolated(order, discount=0.4)
    theirs.fit(grams, vocabulary_text=["<s>", *"abcd"])
    ours = KneserNey(order, discounts=[0, *[0.4] * (order - 1)]).fit(corpus)
    histories = [
        sequence[:end] for sequence in corpus for end in range(order - 2, len(sequence) + 1) if sequence[: order - 2]
    ] or corpus
    unseen = [list(h) for h in itertools.product("abcd", repeat=order + 1)][::7]
    for history, word in itertools.product(histories + unseen, "abcd"):
        expected = theirs.score(word, ["<s>", *history][-(order - 1) :])
        assert math.exp(ours.log_probability(history, word)) == pytest.approx(expected, rel=1e-9)


def markov_chain(length, seed):
    """A chain of order 2 over 8 symbols, and its entropy in nats, from how often each pair of symbols occurs in it."""
    draw, table = random.Random(seed), {}
    for pair in itertools.product(range(8), repeat=2):
        weights = [draw.random() ** 6 for _ in range(8)]
        table[pair] = [w / sum(weights) for w in weights]
    chain = [0, 0]
    for _ in range(length):
        chain += draw.choices(range(8), table[tuple(chain[-2:])])
    pairs = collections.Counter(itertools.pairwise(chain[:-1]))
    entropy = sum(n * -sum(p * math.log(p) for p in table[pair]) for pair, n in pairs.items()) / pairs.total()
    return chain[2:], entropy


def test_on_a_markov_chain_the_cross_entropy_comes_near_the_entropy():
    chain, entropy = markov_chain(50_000, 5)
    train, test = chain[:45_000], chain[45_000:]
    loss = {n: -sum(KneserNey(n).fit([train]).log_probabilities(test)) / len(test) for n in (1, 3, 5)}
    assert loss[3] == pytest.approx(entropy, abs=0.03)
    assert loss[5] == pytest.approx(entropy, abs=0.08)
    assert loss[1] > entropy + 0.3


def test_a_model_of_some_of_the_symbols_sums_to_one_over_these():
    draw = random.Random(2)
    corpus = [[s for _ in range(9) for s in (draw.choice("abc"), draw.choice([1, 2, 3]))] for _ in range(20)]
    model = KneserNey(4, [*"abc", 1, 2, 3, 4], predicts=lambda symbol: isinstance(symbol, int)).fit(corpus)
    for history in [["a"], ["a", 1, "b"], ["c", 3, "c", 3, "a"], [1, 1, 1]]:
        assert sum(math.exp(model.log_probability(history, s)) for s in (1, 2, 3, 4)) == pytest.approx(1)
    values = model.log_probabilities(corpus[0])
    assert values == [model.log_probability(corpus[0][:i], corpus[0][i]) for i in range(1, 18, 2)]
    with pytest.raises(ZooError, match="'a' is not among the symbols that this model predicts"):
        model.log_probability([], "a")


def test_what_the_vocabulary_lacks_is_named():
    model = KneserNey(2).fit(["ab"])
    for context, symbol in (("z", "a"), ("a", "z")):
        with pytest.raises(ZooError, match="'z' is not in the vocabulary of 2 symbols"):
            model.log_probability(context, symbol)
    with pytest.raises(ZooError, match="'b' is in the sequences, but not in the vocabulary of 1 symbols"):
        Unigram("a").fit(["ab"])
    with pytest.raises(ZooError, match="order 0 of an n-gram"):
        KneserNey(0)
    with pytest.raises(ZooError, match="2 discounts for an n-gram of order 3"):
        KneserNey(3, discounts=[0.5, 0.5])
    with pytest.raises(ZooError, match="no symbols to predict"):
        KneserNey().fit([])


def test_a_hundred_thousand_symbols_take_seconds():
    draw = random.Random(1)
    corpus = [[("pair", min(int(draw.paretovariate(0.6)), 500)) for _ in range(50)] for _ in range(2000)]
    began = time.process_time()
    model = KneserNey().fit(corpus)
    assert all(map(math.isfinite, itertools.chain.from_iterable(map(model.log_probabilities, corpus[:200]))))
    assert time.process_time() - began < 12  # half a million symbols and fifty thousand then take about a minute
