"""Scores of captions beside those that several people wrote, as captioning papers report them.

They are those of the coco-caption code, without its Java: tokens like its PTB tokeniser's, BLEU (Papineni et al. 2002),
ROUGE-L (Lin 2004) and CIDEr-D (Vedantam et al. 2015), all times 100; and chrF (Popovic 2015) in the place of METEOR.
What BLEU counts, and chrF, are by sacrebleu (Post 2018). Intervals and tests are by bootstrap over pictures (Koehn
2004).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from rapidfuzz.distance import LCSseq
from sacrebleu.metrics import BLEU, CHRF

from zoo.cider import CiderD
from zoo.errors import ZooError

BETA = 1.2  # of ROUGE-L: the weight of recall
DRAWS = 1000
SEED = 12345  # sacrebleu's, too
ROWS = 200  # pictures that CIDEr-D compares at a time

_STRAIGHT = str.maketrans({"‘": "'", "’": "'", "´": "'", "–": " ", "—": " "})
_TOKEN = re.compile(
    r"""
      https?://\S+
    | (?:[^\W\d_]\.){2,}                         # u.s., p.m.
    | (?:mr|mrs|ms|dr|st|mt|jr|sr|vs|etc)\.
    | '(?:\d0s|n')(?!\w) | 't(?=(?:is|was)\b)    # the '90s, rock 'n' roll, 'tis
    | n't(?!\w) | '(?:s|m|d|re|ve|ll)(?!\w)      # clitics
    | \w+?(?=n't(?!\w))                          # and what n't hangs on
    | \w+(?:[-./]\w+ | (?<=\d)[,:](?=\d)\w+ | '(?!(?:s|m|d|re|ve|ll)(?!\w))(?=[^\W\d_])\w+)*
    | [&$%#@+=*/\\<>|~^€£°]                      # marks that are read out
    """,
    re.VERBOSE,
)
_TWO = {a + b: [a, b] for a, b in map(str.split, ("can not", "gon na", "wan na", "got ta", "lem me", "gim me"))}


def words(text: str) -> list[str]:
    """An English caption's tokens as coco-caption scores them: in lower case, clitics apart, no punctuation.

    `A dog's ball doesn't roll!` -> a, dog, 's, ball, does, n't, roll. Words with a hyphen are one. On the 40,460
    captions of Flickr8k this differs from coco-caption's PTB tokeniser (CoreNLP 3.4.1) in nine: that leaves brackets
    in, as `-lrb-`, and the point of an initial.
    """
    text = unicodedata.normalize("NFC", text).lower().translate(_STRAIGHT)
    return [part for token in _TOKEN.findall(text) for part in _TWO.get(token, [token])]


def report(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    others: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """What tells how good captions are; all are plain text, and scored as `words` has it.

    Args:
        hypotheses: a caption for each picture.
        references: those that people wrote, one or more for each picture; those without a word do not count.
        others: name of another search (greedy, beam 10) -> its hypotheses.

    Returns:
        A report of plain values. `bleu_1` to `bleu_4`: of the corpus, with all references, the closest one's length and
        no smoothing. `rouge_l` and `cider`: means over pictures; document frequencies are of these references, so
        `cider` depends on the set of pictures; it is what coco-caption gives times 100, as papers have it. `chrf`: of
        the same words, with a space between. All with a 95% interval. `length_ratio`: of words said to those of the
        closest references, under 1 where BLEU's brevity penalty acts. `distinct`: different captions by pictures.
        `vocabulary`: different words said. `searches`: scores of the others, and the p-values of a paired bootstrap
        against `hypotheses`.

    Raises:
        ZooError: there are no pictures, not as many captions as pictures, or a picture has no reference.
    """
    others, truth = dict(others or {}), _references(references)
    systems = [_hypotheses(name, side, len(truth)) for name, side in {"hypotheses": hypotheses, **others}.items()]
    cider = _Cider(truth)
    tables = [np.column_stack([_counts(side, truth), _rouge(side, truth), cider(side)]) for side in systems]
    drawn = np.split(_draws(np.hstack(tables)), len(tables), axis=1)
    scores, spread = [_scores(table.sum(0), len(truth)) for table in tables], [_scores(d, len(truth)) for d in drawn]
    rows = []
    for i, name in enumerate(others, 1):
        row: dict = {"search": name}
        for metric in ("bleu_4", "cider"):
            row[metric] = float(scores[i][metric])
            row[f"{metric}_p"] = _p(spread[i][metric] - spread[0][metric], scores[i][metric] - scores[0][metric])
        rows.append(row)
    intervals = {f"{name}_95": np.percentile(values, [2.5, 97.5]).tolist() for name, values in spread[0].items()}
    said, ours = [*map(" ".join, systems[0])], tables[0]
    return {
        "pictures": len(truth),
        **{name: float(value) for name, value in scores[0].items()},
        **intervals,
        **_chrf(said, truth),
        "length_ratio": float(ours[:, 0].sum() / ours[:, 1].sum()),
        "distinct": len(set(said)) / len(said),
        "vocabulary": len({word for side in systems[0] for word in side}),
        "searches": rows,
    }


def each(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr-D of every picture, float64 `[pictures]`, whose mean is the report's `cider`. Raises as `report`."""
    truth = _references(references)
    return _Cider(truth)(_hypotheses("hypotheses", hypotheses, len(truth)))


def agreement(references: Sequence[Sequence[str]]) -> dict:
    """How a person's caption scores beside the other people's of the same picture: a yardstick for models.

    Each caption in turn, up to the smallest number that a picture has, is scored against the rest, of pictures with two
    or more, and the mean is given. People have one reference fewer than a model, which costs them some BLEU.

    Returns:
        A report of plain values: `pictures`, `bleu_4`, `cider`; {} if no picture has two captions.

    Raises:
        ZooError: as `report`.
    """
    truth = [picture for picture in _references(references) if len(picture) > 1]
    if not truth:
        return {}
    rounds = []
    for i in range(min(map(len, truth))):
        one, rest = [picture[i] for picture in truth], [picture[:i] + picture[i + 1 :] for picture in truth]
        table = np.column_stack([_counts(one, rest), np.zeros(len(one)), _Cider(rest)(one)])
        rounds.append(_scores(table.sum(0), len(one)))
    mean = {name: float(np.mean([scores[name] for scores in rounds])) for name in ("bleu_4", "cider")}
    return {"pictures": len(truth), **mean}


def _references(references: Sequence[Sequence[str]]) -> list[list[list[str]]]:
    """The words of every picture's references that have any."""
    if not len(references):
        raise ZooError("no captions to score; expected at least one picture")
    found = [[side for side in map(words, picture) if side] for picture in references]
    place = next((i for i, picture in enumerate(found, 1) if not picture), None)
    if place:
        raise ZooError(f"picture {place}: no reference with a word in it; expected at least one")
    return found


def _hypotheses(name: str, hypotheses: Sequence[str], pictures: int) -> list[list[str]]:
    if len(hypotheses) != pictures:
        raise ZooError(f"{name}: {len(hypotheses)} captions for {pictures} pictures; expected one for each")
    return [*map(words, hypotheses)]


def _counts(hypotheses: list[list[str]], references: list[list[list[str]]]) -> np.ndarray:
    """What sacrebleu's BLEU sums over sentences, float64 `[pictures, 10]`.

    Words said, words of the closest reference, n-grams of the orders 1 to 4 that are right, and all that were said.
    """
    metric, rows = BLEU(tokenize="none", smooth_method="none", effective_order=True, force=True), []
    for side, picture in zip(hypotheses, references, strict=True):
        found = metric.sentence_score(" ".join(side), [*map(" ".join, picture)])
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    return np.array(rows, np.float64)


def _rouge(hypotheses: list[list[str]], references: list[list[list[str]]]) -> np.ndarray:
    """ROUGE-L by picture: of the best precision and the best recall, which may be of two references."""
    rows = []
    for side, picture in zip(hypotheses, references, strict=True):
        common = [LCSseq.similarity(side, other) for other in picture]
        precision = max(common) / max(1, len(side))
        recall = max(length / len(other) for length, other in zip(common, picture, strict=True))
        rows.append(100 * (1 + BETA**2) * precision * recall / ((recall + BETA**2 * precision) or 1))
    return np.array(rows)


class _Cider:
    """CIDEr-D of hypotheses beside these references, of which the document frequencies are, too: `[pictures]`."""

    def __init__(self, references: list[list[list[str]]]):
        self.numbers: dict[str, int] = {}
        self.references = [[*map(self._ids, picture)] for picture in references]
        self.metric, self.captions = CiderD(self.references), max(map(len, references))

    def _ids(self, side: list[str]) -> list[int]:
        return [self.numbers.setdefault(word, len(self.numbers) + 1) for word in side]

    def __call__(self, hypotheses: list[list[str]]) -> np.ndarray:
        found = []
        for start in range(0, len(hypotheses), ROWS):
            candidates = _padded([*map(self._ids, hypotheses[start : start + ROWS])])
            pictures = self.references[start : start + ROWS]
            flat = _padded([side for p in pictures for side in (*p, *([[]] * (self.captions - len(p))))])
            references = flat.reshape([len(pictures), self.captions, -1])
            found.append(self.metric(candidates, references).numpy())
        return 100 * np.concatenate(found).astype(np.float64)


def _padded(rows: list[list[int]]) -> np.ndarray:
    padded = np.zeros([len(rows), max(map(len, rows))], np.int32)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    return padded


def _scores(sums: np.ndarray, pictures: int) -> dict[str, np.ndarray]:
    """Scores by name, `[...]`, from the sums over pictures of `_counts`, ROUGE-L and CIDEr-D, `[..., 12]`."""
    said, closest, right, total = sums[..., 0], sums[..., 1], sums[..., 2:6], sums[..., 6:10]
    with np.errstate(divide="ignore"):  # nothing said, nothing right: exp(-inf) is the 0 that is due
        precision = np.log(right / np.maximum(1, total)).cumsum(-1) / np.arange(1, 5)
        brevity = np.minimum(0, 1 - closest / said)
    bleu = 100 * np.exp(precision + brevity[..., None])
    means = {"rouge_l": sums[..., 10] / pictures, "cider": sums[..., 11] / pictures}
    return {f"bleu_{n}": bleu[..., n - 1] for n in range(1, 5)} | means


def _draws(table: np.ndarray) -> np.ndarray:
    """Sums over pictures of `[pictures, k]` when as many pictures are drawn anew, 1,000 times: `[draws, k]`."""
    draw, n, step = np.random.default_rng(SEED), len(table), 20
    drawn = (draw.multinomial(n, np.full(n, 1 / n), size=step) for _ in range(0, DRAWS, step))
    return np.concatenate([times @ table for times in drawn])


def _p(differences: np.ndarray, found: float) -> float:
    """How probable so large a difference is if there is none: the share of draws as far from their own mean."""
    if np.allclose(differences, 0, atol=1e-9):  # the same sums may differ in their last digit
        return 1.0
    return float((np.sum(np.abs(differences - differences.mean()) >= abs(found)) + 1) / (len(differences) + 1))


def _chrf(hypotheses: list[str], references: list[list[list[str]]]) -> dict:
    """chrF and its interval; sacrebleu wants as many references of all, so those that lack repeat their first."""
    most, sides = max(map(len, references)), [[*map(" ".join, picture)] for picture in references]
    streams = [[side[i] if i < len(side) else side[0] for side in sides] for i in range(most)]
    found = CHRF(lowercase=True).corpus_score(hypotheses, streams, n_bootstrap=DRAWS)
    low, high = found._mean - found._ci, found._mean + found._ci
    return {"chrf": float(found.score), "chrf_95": [max(float(low), 0.0), min(float(high), 100.0)]}
