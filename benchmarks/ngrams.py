"""Baselines for models of sequences: uniform, unigram, and interpolated Kneser-Ney n-grams.

Each is trained by `fit(sequences)` on lists of hashable symbols and gives natural logarithms of probabilities, in nats:
`log_probability(context, symbol)`, where `context` is all that came before in the sequence, and
`log_probabilities(sequence)`, one for each symbol. The models know where a sequence begins; a symbol for its end is the
caller's to add, in training and afterwards. A symbol that is not in the vocabulary is a `ZooError`.

`predicts` restricts a model to some of the symbols: of sequences that interleave two kinds, chord, duration, chord,
duration ..., it may be a model of the durations only, to which chords are context. Its probabilities sum to one over
the symbols of the vocabulary that it predicts, and `log_probabilities` leaves the others out.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Hashable, Iterable, Sequence

from zoo.errors import ZooError

Symbol = Hashable
Predicts = Callable[[Symbol], bool] | None


class Uniform:
    """The same probability for every symbol of the vocabulary."""

    reach = 0  # how many symbols before the predicted one matter

    def __init__(self, vocabulary: Iterable[Symbol] | None = None, predicts: Predicts = None):
        self.vocabulary, self.predicts = vocabulary, predicts or (lambda symbol: True)

    def fit(self, sequences: Iterable[Sequence[Symbol]]) -> Uniform:
        """Without a vocabulary, that is the symbols of the sequences."""
        sequences = list(sequences)
        symbols = dict.fromkeys(s for sequence in sequences for s in sequence)
        if self.vocabulary is not None:
            known = dict.fromkeys(self.vocabulary)
            missing = next((s for s in symbols if s not in known), None)
            if missing is not None:
                raise ZooError(f"{missing!r} is in the sequences, but not in the vocabulary of {len(known):,} symbols")
            symbols = known
        self.ids = {symbol: number for number, symbol in enumerate(symbols, 1)}  # 0 is the beginning
        self.outcomes = {number for symbol, number in self.ids.items() if self.predicts(symbol)}
        if not self.outcomes:
            raise ZooError("no symbols to predict; expected sequences, or a vocabulary, that are not empty")
        self._count([[0, *(self.ids[s] for s in sequence)] for sequence in sequences])
        return self

    def _count(self, sequences: list[list[int]]) -> None:
        """Learns from sequences of ids, each with its beginning."""

    def _probability(self, ids: Sequence[int]) -> float:
        """Of the last id, given those before it; the first is the beginning, or as far back as the model looks."""
        return 1 / len(self.outcomes)

    def log_probability(self, context: Sequence[Symbol], symbol: Symbol) -> float:
        ids = [0, *(self._id(s) for s in context), self._id(symbol)]
        if ids[-1] not in self.outcomes:
            raise ZooError(f"{symbol!r} is not among the symbols that this model predicts")
        return _log(self._probability(ids))

    def log_probabilities(self, sequence: Sequence[Symbol]) -> list[float]:
        ids = [0, *(self._id(s) for s in sequence)]
        reach = self.reach  # slices, so that a long sequence takes linear time
        places = (i for i in range(1, len(ids)) if ids[i] in self.outcomes)
        return [_log(self._probability(ids[max(0, i - reach) : i + 1])) for i in places]

    def _id(self, symbol: Symbol) -> int:
        try:
            return self.ids[symbol]
        except KeyError:
            raise ZooError(f"{symbol!r} is not in the vocabulary of {len(self.ids):,} symbols") from None


class Unigram(Uniform):
    """Relative frequencies, `add` added to every count (Laplace's rule with 1)."""

    def __init__(self, vocabulary: Iterable[Symbol] | None = None, add: float = 1.0, predicts: Predicts = None):
        super().__init__(vocabulary, predicts)
        self.add = add

    def _count(self, sequences: list[list[int]]) -> None:
        self.counts = collections.Counter(i for ids in sequences for i in ids if i in self.outcomes)
        self.total = self.counts.total() + self.add * len(self.outcomes)

    def _probability(self, ids: Sequence[int]) -> float:
        return (self.counts[ids[-1]] + self.add) / self.total


class KneserNey(Uniform):
    """Interpolated Kneser-Ney n-grams with one absolute discount an order (Chen & Goodman 1999, section 4.1.6).

    The probability of w after a history h of n - 1 symbols is (max(c(hw) - D, 0) + D N(h) p(w | h')) / c(h): c counts
    occurrences at the highest order, and different symbols seen before (continuations) at the lower ones; N(h) is how
    many different symbols followed h, h' is h without its first symbol, and D = n1 / (n1 + 2 n2), from the number of
    n-grams counted once and twice. Where there are none of these D is 0.5. The lowest order is interpolated with the
    uniform distribution. Where h was never seen, h' takes its place.

    One symbol stands before each sequence. Nothing can stand before that, so n-grams that begin with it are counted by
    their occurrences at every order, and near its beginning a sequence has histories shorter than n - 1.

    Args:
        order: n.
        discounts: D of order 1, 2 ... n, in place of estimates.
    """

    def __init__(
        self,
        order: int = 5,
        vocabulary: Iterable[Symbol] | None = None,
        discounts: Sequence[float] | None = None,
        predicts: Predicts = None,
    ):
        super().__init__(vocabulary, predicts)
        if order < 1:
            raise ZooError(f"order {order} of an n-gram; expected 1 or more")
        if discounts is not None and len(discounts) != order:
            raise ZooError(f"{len(discounts)} discounts for an n-gram of order {order}; expected one for each order")
        self.order, self.fixed, self.reach = order, discounts, order - 1

    def _count(self, sequences: list[list[int]]) -> None:
        # An n-gram is one integer, its ids the digits: a dictionary of these takes a third of the memory of tuples.
        base = self.base = len(self.ids) + 1
        powers = [base**k for k in range(self.order + 1)]
        outcomes, order = self.outcomes, self.order
        self.grams = [{} for _ in range(order + 1)]  # by order: n-gram -> count
        for ids in sequences:
            key = 0
            for i, number in enumerate(ids):
                key = (key * base + number) % powers[order]
                if i and number in outcomes:  # the beginning is 0: there the key is that of the shorter n-gram
                    grams = self.grams[min(i + 1, order)]
                    grams[key] = grams.get(key, 0) + 1
        for k in range(order - 1, 0, -1):
            grams, power = self.grams[k], powers[k]
            for key in self.grams[k + 1]:
                key %= power
                grams[key] = grams.get(key, 0) + 1
        self.histories, self.discounts = [{} for _ in range(order + 1)], [0.0]
        for k in range(1, order + 1):
            totals, sizes = {}, {}
            for key, count in self.grams[k].items():
                history = key // base
                totals[history] = totals.get(history, 0) + count
                sizes[history] = sizes.get(history, 0) + 1
            self.histories[k] = {history: (total, sizes[history]) for history, total in totals.items()}
            self.discounts.append(self.fixed[k - 1] if self.fixed is not None else _discount(self.grams[k].values()))

    def _probability(self, ids: Sequence[int]) -> float:
        last, probability, history, power = ids[-1], 1 / len(self.outcomes), 0, 1
        for k in range(1, min(self.order, len(ids)) + 1):
            if k > 1:
                history += ids[-k] * power
                power *= self.base
            found = self.histories[k].get(history)
            if found is None:
                break  # nor is any longer one
            total, different = found
            count, discount = self.grams[k].get(history * self.base + last, 0), self.discounts[k]
            probability = (max(count - discount, 0) + discount * different * probability) / total
        return probability


def _discount(counts: Iterable[int]) -> float:
    tally = collections.Counter(counts)
    return tally[1] / (tally[1] + 2 * tally[2]) if tally[1] and tally[2] else 0.5


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
