"""BLEU and chrF against numbers counted by hand and sacrebleu called directly; and the pictures of translation."""

import json
import math

import numpy as np
import PIL.Image
import pytest
import sacrebleu

from zoo import plots, tables, text_scores
from zoo.errors import ZooError

WORDS = [
    "the",
    "a",
    "man",
    "dog",
    "runs",
    "sits",
    "on",
    "red",
    "blue",
    "hat",
    "Café",
    "naïve",
    "東京",
    "🙂",
    "don't",
    ".",
]


def sentences(count, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 40))) for _ in range(count)]


def disturbed(texts, share, seed):
    """The same with that share of the words put in place of others."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS) if draw.random() < share else w for w in text.split()) for text in texts]


@pytest.fixture(scope="module")
def corpus():
    references = sentences(60)
    return disturbed(references, 0.3, 1), references, [text.upper() for text in references]


@pytest.fixture(scope="module")
def report(corpus):
    hypotheses, references, sources = corpus
    others = {"greedy": disturbed(references, 0.6, 2), "beam 5": list(hypotheses), "nearly": [*hypotheses[:-1], ""]}
    return text_scores.translation(hypotheses, references, sources, others)


def test_bleu_by_hand():
    """`The` is clipped to one match and differs in case; 5 words against 6: a brevity penalty."""
    report = text_scores.translation(["the cat sat on the"], ["The cat sat on a mat"], ["x y"])
    # Cased: cat, sat, on; cat sat, sat on; cat sat on; no four words: half of one (smoothing of mteval-v13a).
    precisions = (3 / 5, 2 / 4, 1 / 3, 1 / 2 / 2)
    assert report["bleu"] == pytest.approx(100 * math.exp(1 - 6 / 5) * math.prod(precisions) ** 0.25)
    lowered = (4 / 5, 3 / 4, 2 / 3, 1 / 2)
    assert report["bleu_lowercase"] == pytest.approx(100 * math.exp(1 - 6 / 5) * math.prod(lowered) ** 0.25)
    assert report["length_ratio"] == pytest.approx(5 / 6)
    assert report["bleu_95"] == pytest.approx([report["bleu"]] * 2, abs=1e-3)  # there is but one sentence to draw


def test_chrf_by_hand():
    """Characters of `ab c` without the space: of 1 to 3; no more are in both. F2 of mean precision and mean recall."""
    report = text_scores.translation(["ab c"], ["abd"], ["x"])
    precision = recall = (2 / 3 + 1 / 2 + 0 / 1) / 3
    assert report["chrf"] == pytest.approx(100 * 5 * precision * recall / (4 * precision + recall))


def test_scores_are_sacrebleus(corpus, report):
    hypotheses, references, _ = corpus
    bleu = sacrebleu.corpus_bleu(hypotheses, [references])
    assert report["bleu"] == pytest.approx(bleu.score)
    assert report["length_ratio"] == pytest.approx(bleu.sys_len / bleu.ref_len)
    assert report["bleu_lowercase"] == pytest.approx(
        sacrebleu.corpus_bleu(hypotheses, [references], lowercase=True).score
    )
    assert report["chrf"] == pytest.approx(sacrebleu.corpus_chrf(hypotheses, [references]).score)
    assert report["exact"] == np.mean([a == b for a, b in zip(hypotheses, references, strict=True)])
    version = sacrebleu.__version__
    common = "nrefs:1|bs:1000|seed:12345|case:{}|eff:no|tok:13a|smooth:exp|version:" + version
    assert report["bleu_signature"] == common.format("mixed")
    assert report["bleu_lowercase_signature"] == common.format("lc")
    assert report["chrf_signature"].endswith("|case:mixed|eff:yes|nc:6|nw:0|space:no|version:" + version)


def test_intervals_are_those_of_drawing_sentences(corpus, report):
    hypotheses, references, sources = (side[:20] for side in corpus)
    few = text_scores.translation(hypotheses, references, sources)
    draw, scores = np.random.default_rng(5), []
    for rows in draw.integers(0, 20, [250, 20]):
        drawn = [hypotheses[i] for i in rows], [[references[i] for i in rows]]
        scores.append((sacrebleu.corpus_bleu(*drawn, force=True).score, sacrebleu.corpus_chrf(*drawn).score))
    for name, column in zip(("bleu", "chrf"), np.transpose(scores), strict=True):
        low, high = few[f"{name}_95"]
        assert high - low == pytest.approx(np.subtract(*np.percentile(column, [97.5, 2.5])), rel=0.2)
    for found in (few, report):
        for name in ("bleu", "chrf", "bleu_lowercase"):
            low, high = found[f"{name}_95"]
            assert low < found[name] < high


def test_length_classes(corpus, report):
    hypotheses, references, sources = corpus
    lengths = [len(source.split()) for source in sources]
    assert [row["words"] for row in report["by_length"]] == ["1-5", "6-10", "11-15", "16-20", "21-30", "31+"]
    assert sum(row["sentences"] for row in report["by_length"]) == len(sources)
    row = report["by_length"][1]
    chosen = [i for i, length in enumerate(lengths) if 6 <= length <= 10]
    parts = [[side[i] for i in chosen] for side in (hypotheses, references)]
    assert row["sentences"] == len(chosen)
    assert row["bleu"] == pytest.approx(sacrebleu.corpus_bleu(parts[0], [parts[1]]).score)
    assert row["chrf"] == pytest.approx(sacrebleu.corpus_chrf(parts[0], [parts[1]]).score)
    edges = text_scores.by_length(["a"] * 4, ["a"] * 4, ["w " * n for n in (0, 5, 6, 31)])
    assert [(row["words"], row["sentences"]) for row in edges] == [("1-5", 1), ("6-10", 1), ("31+", 1)]


def test_searches_are_compared(corpus, report):
    greedy, same, nearly = report["searches"]
    assert [row["search"] for row in report["searches"]] == ["greedy", "beam 5", "nearly"]
    assert greedy["bleu"] < report["bleu"] and greedy["bleu_p"] < 0.01 and greedy["chrf_p"] < 0.01
    assert (same["bleu"], same["chrf"]) == pytest.approx((report["bleu"], report["chrf"]))
    assert same["bleu_p"] == same["chrf_p"] == 1  # no difference is not a significant one
    assert 0.05 < nearly["bleu_p"] <= 1


def test_reports_are_plain_and_hold_no_sentence(corpus, report):
    assert json.loads(json.dumps(report)) == report
    assert not any(text in json.dumps(report, ensure_ascii=False) for text in corpus[1] if len(text) > 20)
    assert text_scores.translation(*corpus) == report | {"searches": []}  # the seed is fixed


@pytest.mark.parametrize("side", ["", "東京\u2028e\u0301 🙂", "\n", "a\x00b", "$%^ <unk> </s> \\"])
def test_odd_sentences(side, recwarn):
    for hypothesis, reference in ((side, "a man ."), ("a man .", side), (side, side)):
        found = text_scores.translation([hypothesis, "yes"], [reference, "yes"], ["x", ""])
        assert all(0 <= found[name] <= 100 + 1e-9 for name in ("bleu", "chrf", "bleu_lowercase"))
        assert found["exact"] == (1 if hypothesis == reference else 0.5)
        assert all(math.isfinite(end) for name in ("bleu_95", "chrf_95") for end in found[name])
    assert not recwarn


def test_no_sentences_or_not_as_many():
    with pytest.raises(ZooError, match="no sentences to score"):
        text_scores.translation([], [], [])
    with pytest.raises(ZooError, match="^hypotheses: 1 sentences for 2 references; expected one for each$"):
        text_scores.translation(["a"], ["a", "b"], ["x", "y"])
    with pytest.raises(ZooError, match="^greedy: 3 sentences for 2 references"):
        text_scores.translation(["a", "b"], ["a", "b"], ["x", "y"], {"greedy": ["a", "b", "c"]})


def test_examples_are_the_best_middling_and_worst(corpus):
    hypotheses, references, sources = corpus
    found = text_scores.examples(hypotheses, references, sources, count=4)
    scores = [sacrebleu.sentence_chrf(a, [b]).score for a, b in zip(hypotheses, references, strict=True)]
    ranked = sorted(scores, reverse=True)
    assert {kind: [row["chrf"] for row in rows] for kind, rows in found.items()} == {
        "best": pytest.approx(ranked[:4]),
        "middling": pytest.approx(ranked[28:32]),
        "worst": pytest.approx(ranked[-4:]),
    }
    for row in sum(found.values(), []):
        i = sources.index(row["source"])
        assert (row["reference"], row["hypothesis"]) == (references[i], hypotheses[i])
    for n in range(6):
        rows = sum(text_scores.examples(hypotheses[:n], references[:n], sources[:n]).values(), [])
        assert sorted(row["source"] for row in rows) == sorted(sources[:n])


def test_tables(report, corpus, capsys):
    tables.translation(json.loads(json.dumps(report)))
    shown = capsys.readouterr().out
    low, high = report["bleu_95"]
    for part in (f"{report['bleu']:.2f}  (95%: {low:.2f} to {high:.2f})", "11-15", "beam 5", report["bleu_signature"]):
        assert part in shown
    tables.translation(text_scores.translation(*corpus))
    assert "searches" not in capsys.readouterr().out


def size(path):
    with PIL.Image.open(path) as picture:
        return picture.size


def test_pictures_of_alignments_follow_their_size(tmp_path, recwarn):
    draw = np.random.default_rng(0)
    made = lambda s, t: plots.alignment(s, t, draw.dirichlet(np.ones(len(s)), len(t)), tmp_path / "a.png")
    small = size(made(["▁a", "$x$", "\\frac{", ".", "</s>"], ["東京", "🙂", "_^", "</s>"]))
    wide = size(made([f"▁p{i}" for i in range(60)], [f"▁z{i}" for i in range(10)]))
    square = size(made([f"▁p{i}" for i in range(60)], [f"▁z{i}" for i in range(60)]))
    assert min(small) > 200 and max(small) < 400
    assert wide[0] > 60 * 20 and wide[1] < 500
    assert min(square) > 60 * 20 and max(square) < 2500
    made(["</s>"], ["</s>"])
    assert not recwarn and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_source_is_across_target_is_down_and_weight_is_white(tmp_path):
    def pixels(place):
        weights = np.zeros([4, 7])
        weights[place] = 1
        with PIL.Image.open(plots.alignment(["x"] * 7, ["y"] * 4, weights, tmp_path / "a.png")) as picture:
            return np.asarray(picture.convert("L"), int)

    first, last = pixels((0, 6)), pixels((3, 0))
    (top, right), (bottom, left) = (np.argwhere(a - b > 200).mean(0) for a, b in ((first, last), (last, first)))
    assert top < bottom and left < right and (right - left) / (bottom - top) == pytest.approx(6 / 3, rel=0.05)


def test_curves_by_length(report, tmp_path):
    rows = report["by_length"]
    picture = plots.by_length({"attention": rows, "none": rows[2:4]}, tmp_path / "lengths.png")
    assert min(size(picture)) > 300
