"""Scores of captions against the package that captioning papers use, sacrebleu called directly, and brute force."""

import json

import numpy as np
import pytest
import sacrebleu

from zoo import caption_scores, tables
from zoo.errors import ZooError

# Scored by pycocoevalcap 1.2 (its PTBTokenizer, Bleu(4), Rouge, Cider), all eight in one call.
PUBLISHED = {
    "A dog's ball doesn't roll.": ["The dog's ball does not roll!", "A ball that doesn't roll, next to a dog"],
    "Two girls in T-shirts play soccer.": [
        "Two girls play soccer in red T-shirts.",
        "Girls in shirts kick a ball; one falls.",
        "Two teams play soccer.",
    ],
    "a man, a woman and a child sit on a bench": [
        "A man and a woman sit on a bench with their child .",
        "A family can't find a free bench",
    ],
    "The men's team runs down the street": [
        "Several runners race down the street.",
        "The men's team is running down a street, it's raining",
    ],
    "A black and white dog jumps over a log": [
        'A black-and-white dog jumps over a "log"',
        "A dog jumps over a log in the woods",
        "A dog leaps",
    ],
    "People on a boat": ["People stand on a boat at 3:30 p.m.", "A crowd of people on a boat", "boat"],
    "A boy": ["A small boy in blue shorts runs along the beach", "A boy running by the sea"],
    "A man rides a bicycle on the road at night in the rain with a light": [
        "A man rides a bike at night",
        "A cyclist on the road in the rain",
    ],
}
PUBLISHED_BLEU = [84.12698412564878, 74.20575116731846, 58.39944658741822, 43.208188693868305]
PUBLISHED_ROUGE = 69.29590165325061
PUBLISHED_CIDER = [
    *(383.0021912, 208.1498716, 230.6431919, 252.8163604),
    *(336.8410364, 320.5790748, 117.5003248, 105.6918822),
]
SCORES = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "chrf", "cider"]
VOCABULARY = [
    "a",
    "a",
    "a",
    "the",
    "man",
    "dog",
    "girl",
    "runs",
    "sits",
    "on",
    "in",
    "red",
    "blue",
    "hat",
    "park",
    "two",
]


def corpus(pictures, seed=0, share=0.3):
    """Three references for each picture, which are one sentence with other words here and there; so is the caption."""
    draw = np.random.default_rng(seed)
    hypotheses, references = [], []
    for _ in range(pictures):
        sentence = draw.choice(VOCABULARY, draw.integers(4, 14))
        disturbed = lambda s=sentence: " ".join(draw.choice(VOCABULARY) if draw.random() < share else w for w in s)
        hypotheses.append(disturbed())
        references.append([disturbed() for _ in range(3)])
    return hypotheses, references


@pytest.fixture(scope="module")
def sides():
    return corpus(60)


@pytest.fixture(scope="module")
def report(sides):
    hypotheses, references = sides
    worse = [" ".join(text.split()[::2]) for text in hypotheses]
    others = {"greedy": worse, "the same": hypotheses, "nearly": [*hypotheses[:-1], ""]}
    return caption_scores.report(hypotheses, references, others)


@pytest.mark.parametrize(
    "text, tokens",
    [  # as the PTB tokeniser in pycocoevalcap 1.2 (CoreNLP 3.4.1) has them, less the punctuation that it marks
        (
            "A dog's ball doesn't roll; the dogs' owner can't see it.",
            "a dog 's ball does n't roll the dogs owner ca n't see it",
        ),
        ("A child in a pink dress , near the dog 's ball .", "a child in a pink dress near the dog 's ball"),
        ("Two kids -- a boy - and a girl", "two kids a boy and a girl"),
        ("a red-and-white T-shirt", "a red-and-white t-shirt"),
        ("He says \"hello\" to 'the dog' at 3:30 p.m.", "he says hello to the dog at 3:30 p.m."),
        ("The U.S. flag, 1,000 flags & $5 rope @ 50%!", "the u.s. flag 1,000 flags & $ 5 rope @ 50 %"),
        ("It's I'm you're we've they'd she'll", "it 's i 'm you 're we 've they 'd she 'll"),
        ("cannot gonna wanna ain't DON'T couldn't've", "can not gon na wan na ai n't do n't could n't 've"),
        ("runs/jumps 1/2 way ... e-mail", "runs/jumps 1/2 way e-mail"),
        ("Mr. Smith and Dr. Who's café naïve. Wait…", "mr. smith and dr. who 's café naïve wait"),
        ("what – why — so “hello” ‘there’ it’s", "what why so hello there it 's"),
        ("'90s rock 'n' roll, o'clock; 5'9\" tall -dog dog-", "'90s rock 'n' roll o'clock 5 9 tall dog dog"),
        ("(a poodle) [fast] {now} ?! !!!", "a poodle fast now"),
        ("cafe\u0301\n东京\t", "café 东京"),
        (" . ", ""),
    ],
)
def test_words_are_those_of_the_caption_communitys_tokeniser(text, tokens):
    assert caption_scores.words(text) == tokens.split()
    assert caption_scores.words(tokens) == tokens.split()  # and again


def test_scores_are_those_of_the_published_implementation():
    hypotheses, references = [*PUBLISHED], [*PUBLISHED.values()]
    report = caption_scores.report(hypotheses, references)
    assert [report[f"bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(PUBLISHED_BLEU, abs=1e-5)
    assert report["rouge_l"] == pytest.approx(PUBLISHED_ROUGE)
    assert report["cider"] == pytest.approx(np.mean(PUBLISHED_CIDER), abs=1e-3)
    assert report["length_ratio"] == pytest.approx(63 / 56)
    found = caption_scores.each(hypotheses, references)
    assert found.shape == (8,) and found == pytest.approx(PUBLISHED_CIDER, abs=2e-3)


def test_bleu_and_chrf_are_sacrebleus(sides, report):
    hypotheses, references = sides
    streams = [*map(list, zip(*references, strict=True))]
    for n in (1, 2, 3, 4):
        bleu = sacrebleu.BLEU(max_ngram_order=n, tokenize="none", smooth_method="none", force=True)
        assert report[f"bleu_{n}"] == pytest.approx(bleu.corpus_score(hypotheses, streams).score)
    assert report["chrf"] == pytest.approx(sacrebleu.corpus_chrf(hypotheses, streams).score)


def test_a_reference_word_for_word_is_the_best_there_is(sides):
    references = [[*picture[:2], f"{picture[2]} in a red hat"] for picture in sides[1]]
    said = [picture[2].upper() + " ." for picture in references]
    report = caption_scores.report(said, [picture[2:] for picture in references])
    assert [report[name] for name in SCORES] == pytest.approx([100] * 6 + [1000], abs=1e-2)
    report = caption_scores.report(said, references)
    assert [report[name] for name in SCORES[:6]] == pytest.approx([100] * 6)
    assert report["distinct"] == len({*said}) / len(said) and report["length_ratio"] == 1


def test_the_order_of_pictures_and_of_references_does_not_matter(sides, report):
    hypotheses, references = sides
    order = np.random.default_rng(3).permutation(len(hypotheses))
    other = caption_scores.report([hypotheses[i] for i in order], [references[i][::-1] for i in order])
    names = [*SCORES, "length_ratio", "distinct", "vocabulary", "pictures"]
    assert [other[name] for name in names] == pytest.approx([report[name] for name in names])


def test_intervals_are_those_of_drawing_pictures(sides, report):
    """CIDEr-D's document frequencies stay; the rest is as if the pictures drawn were the corpus."""
    hypotheses, references = sides
    each, draw, scores = caption_scores.each(*sides), np.random.default_rng(5), []
    bleu = sacrebleu.BLEU(tokenize="none", smooth_method="none", force=True)
    for rows in draw.integers(0, 60, [300, 60]):
        streams = [[references[i][k] for i in rows] for k in range(3)]
        scores.append((bleu.corpus_score([hypotheses[i] for i in rows], streams).score, each[rows].mean()))
    for name, column in zip(("bleu_4", "cider"), np.transpose(scores), strict=True):
        low, high = report[f"{name}_95"]
        assert [low, high] == pytest.approx(np.percentile(column, [2.5, 97.5]), rel=0.1)
    assert each.mean() == pytest.approx(report["cider"])


def test_intervals_hold_the_score_and_shrink_with_pictures(report):
    more = caption_scores.report(*corpus(480))
    for name in SCORES:
        (low, high), (low_more, high_more) = report[f"{name}_95"], more[f"{name}_95"]
        assert low < report[name] < high and low_more < more[name] < high_more
        assert high_more - low_more < 0.6 * (high - low)  # 0.35, were they of one distribution


def test_searches_are_compared(report):
    greedy, same, nearly = report["searches"]
    assert [row["search"] for row in report["searches"]] == ["greedy", "the same", "nearly"]
    assert greedy["bleu_4"] < report["bleu_4"] and greedy["bleu_4_p"] < 0.01 and greedy["cider_p"] < 0.01
    assert (same["bleu_4"], same["cider"]) == pytest.approx((report["bleu_4"], report["cider"]))
    assert same["bleu_4_p"] == same["cider_p"] == 1  # no difference is not a significant one
    assert nearly["cider"] < report["cider"] and 0.05 < nearly["cider_p"] <= 1


def test_people_are_scored_as_each_against_the_rest(sides):
    references = sides[1]
    found = caption_scores.agreement(references)
    rounds = [
        caption_scores.report([p[i] for p in references], [p[:i] + p[i + 1 :] for p in references]) for i in range(3)
    ]
    assert found["pictures"] == 60
    for name in ("bleu_4", "cider"):
        assert found[name] == pytest.approx(np.mean([scores[name] for scores in rounds]))
    assert caption_scores.agreement([["a dog"], ["a cat"]]) == {}
    assert caption_scores.agreement([["a dog"], *references]) == pytest.approx(found)


def test_numbers_of_references_may_differ():
    references = [["a dog runs on the grass", "a dog", "", " . "], ["a man sits on a red chair"]]
    found = caption_scores.report(["a dog", "a man sits on a red chair"], references)
    assert found["bleu_1"] == pytest.approx(100) and found["rouge_l"] == pytest.approx(100)
    assert found["chrf"] == pytest.approx(100) and found["length_ratio"] == 1
    expected = caption_scores.each(["a dog", "a man sits on a red chair"], [references[0][:2], references[1]])
    assert found["cider"] == pytest.approx(expected.mean())


def test_nothing_said(sides, recwarn):
    for hypotheses in ([""] * 60, ["."] * 60, ["zebra"] * 60):
        report = caption_scores.report(hypotheses, sides[1], {"some": sides[0]})
        assert [report[name] for name in SCORES if name != "chrf"] == [0] * 6
        assert all(np.isfinite(report[f"{name}_95"]).all() for name in SCORES)
        assert report["vocabulary"] == ("zebra" in hypotheses) and report["distinct"] == 1 / 60
        assert report["searches"][0]["cider_p"] < 0.01
    one = caption_scores.report(["a dog"], [["a dog", "a cat"]])  # no idf in one picture
    assert (one["bleu_2"], one["bleu_4"], one["cider"], one["pictures"]) == (pytest.approx(100), 0, 0, 1)
    assert not recwarn


def test_reports_are_plain_and_the_same_again(sides, report):
    assert json.loads(json.dumps(report)) == report
    assert caption_scores.report(*sides) == caption_scores.report(*sides)
    said = {word for text in sides[0] for word in text.split()}
    assert report["vocabulary"] == len(said) and report["pictures"] == 60


def test_no_captions_or_not_as_many():
    for call in (lambda *a: caption_scores.report([], *a), lambda *a: caption_scores.each([], *a)):
        with pytest.raises(ZooError, match="^no captions to score; expected at least one picture$"):
            call([])
        with pytest.raises(ZooError, match="^hypotheses: 0 captions for 1 pictures; expected one for each$"):
            call([["a dog"]])
    with pytest.raises(ZooError, match="^greedy: 2 captions for 1 pictures"):
        caption_scores.report(["a"], [["a"]], {"greedy": ["a", "b"]})
    for nothing in ([], [""], ["...", " "]):
        with pytest.raises(ZooError, match="^picture 2: no reference with a word in it; expected at least one$"):
            caption_scores.report(["a", "b"], [["a"], nothing])
        with pytest.raises(ZooError, match="^picture 1: no reference"):
            caption_scores.agreement([nothing])


def test_tables(sides, report, capsys):
    people = caption_scores.agreement(sides[1])
    tables.captioning(json.loads(json.dumps(report | {"people": people, "true": 0.75, "true_95": [0.7, 0.8]})))
    shown = capsys.readouterr().out
    for name in ("bleu_4", "rouge_l", "chrf", "cider"):
        assert "{:.2f}  (95%: {:.2f} to {:.2f})".format(report[name], *report[f"{name}_95"]) in shown
    for part in ("greedy", "nearly", "0.7500  (95%: 0.7000 to 0.8000)", f"{report['length_ratio']:.4f}"):
        assert part in shown
    assert f"BLEU-4 {people['bleu_4']:.2f}, CIDEr-D {people['cider']:.2f}" in shown
    without = {key: value for key, value in report.items() if key != "length_ratio"} | {"searches": [], "people": {}}
    tables.captioning(without)
    shown = capsys.readouterr().out
    assert not any(part in shown for part in ("searches", "people", "length ratio", "true"))
