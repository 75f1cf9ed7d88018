"""Scores of generated sentences beside those that people wrote, by sacrebleu (Post 2018).

BLEU (Papineni et al. 2002) and chrF (Popovic 2015) are of 100. Intervals and tests of significance are sacrebleu's own,
by bootstrap over sentences (Koehn 2004); its seed is 12345, or what the environment variable SACREBLEU_SEED says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from zoo.errors import ZooError

WORDS = ((1, 5), (6, 10), (11, 15), (16, 20), (21, 30), (31, None))
DRAWS = 1000
DRAWN = 10_000_000  # sentences, in all draws: sacrebleu keeps 72 bytes for each


def translation(
    hypotheses: Sequence[str],
    references: Sequence[str],
    sources: Sequence[str],
    others: Mapping[str, Sequence[str]] | None = None,
) -> dict:
    """What tells how good translations are; all are plain text, not tokenised.

    Args:
        hypotheses, references, sources: a sentence each, in the same order.
        others: name of another search (greedy, beam 10) -> its hypotheses.

    Returns:
        A report of plain values. `bleu` and `chrf`: cased, tokenised by sacrebleu (13a, that is mteval-v13a) and not by
        whoever made the text, with 95% intervals. `bleu_lowercase`: the same with both sides in lower case. Papers on
        Multi30k score lower-cased text that Moses tokenised, with multi-bleu.perl; the lower-cased score is near that,
        and not the same. `length_ratio`: of words in hypotheses and in references, under 1 where BLEU's brevity penalty
        acts. `exact`: share of hypotheses that are the reference. `by_length`: by words of the source. `searches`: the
        same scores of the others; the p-values are those of a paired bootstrap against `hypotheses`. The signatures
        say how to compute these scores again.

    Raises:
        ZooError: there are no sentences, or not as many on all sides.
    """
    hypotheses, others = list(hypotheses), {name: list(side) for name, side in (others or {}).items()}
    for name, side in {"hypotheses": hypotheses, "sources": sources, **others}.items():
        if len(side) != len(references):
            raise ZooError(f"{name}: {len(side)} sentences for {len(references)} references; expected one for each")
    if not references:
        raise ZooError("no sentences to score; expected at least one")
    bleu, chrf = BLEU(force=True), CHRF()  # force: do not warn of text that looks tokenised
    found = _compared({"": hypotheses, **others}, references, bleu=bleu, chrf=chrf)
    lowercase = _compared({"": hypotheses}, references, bleu_lowercase=BLEU(lowercase=True, force=True))
    return {
        "sentences": len(references),
        **_with_intervals(found),
        **_with_intervals(lowercase),
        "length_ratio": float(bleu.corpus_score(hypotheses, [references]).ratio),
        "exact": sum(a == b for a, b in zip(hypotheses, references, strict=True)) / len(references),
        "by_length": by_length(hypotheses, references, sources),
        "searches": [_search(i, name, found, others[name] == hypotheses) for i, name in enumerate(others, 1)],
    }


def _compared(systems: Mapping[str, Sequence[str]], references, **metrics) -> dict[str, tuple]:
    """Name of a metric -> its signature and sacrebleu's results for every system, the first being the baseline."""
    draws = int(np.clip(DRAWN // len(references), 100, DRAWS))
    found = {}
    for name, metric in metrics.items():
        signatures, results = PairedTest([*systems.items()], {name: metric}, [references], "bs", draws)()
        (title,) = signatures  # sacrebleu's own name of the metric
        found[name] = str(signatures[title]), results[title]
    return found


def _search(place: int, name: str, found: Mapping[str, tuple], same: bool) -> dict:
    """Scores of the system at that place, and p-values of the differences from the first."""
    row: dict = {"search": name}
    for metric, (_, results) in found.items():
        row[metric] = float(results[place].score)
        row[f"{metric}_p"] = 1.0 if same else float(results[place].p_value)  # sacrebleu gives 1 / (draws + 1) if same
    return row


def _with_intervals(found: Mapping[str, tuple]) -> dict:
    report = {}
    for name, (signature, (result, *_)) in found.items():
        low, high = float(result.mean - result.ci), float(result.mean + result.ci)
        report |= {name: float(result.score), f"{name}_95": [max(low, 0.0), min(high, 100.0)]}
        report[f"{name}_signature"] = signature
    return report


def by_length(hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str]) -> list[dict]:
    """BLEU and chrF in classes of the source's length, in white-space separated words; classes that are empty not."""
    lengths, rows = np.array([len(source.split()) for source in sources]), []
    for low, high in WORDS:
        chosen = np.flatnonzero((lengths >= low) & (lengths <= (high or np.inf)))
        if len(chosen):
            sides = [hypotheses[i] for i in chosen], [[references[i] for i in chosen]]
            rows.append(
                {
                    "words": f"{low}-{high}" if high else f"{low}+",
                    "sentences": len(chosen),
                    "bleu": float(BLEU(force=True).corpus_score(*sides).score),
                    "chrf": float(CHRF().corpus_score(*sides).score),
                }
            )
    return rows


def examples(
    hypotheses: Sequence[str], references: Sequence[str], sources: Sequence[str], count: int = 5
) -> dict[str, list[dict]]:
    """The best, middling and worst sentences by their own chrF, up to `count` of each, best first; none comes twice.

    Not a part of the report, which goes out with the model: these are sentences of somebody's corpus.
    """
    chrf = CHRF()
    rows = [
        {"source": source, "reference": reference, "hypothesis": hypothesis, "chrf": score}
        for source, reference, hypothesis in zip(sources, references, hypotheses, strict=True)
        for score in [float(chrf.sentence_score(hypothesis, [reference]).score)]
    ]
    rows.sort(key=lambda row: -row["chrf"])
    third = -(-len(rows) // 3)
    best, middling, worst = rows[:third], rows[third : 2 * third], rows[2 * third :]
    start = max(0, (len(middling) - count) // 2)
    return {"best": best[:count], "middling": middling[start : start + count], "worst": worst[-count:]}
