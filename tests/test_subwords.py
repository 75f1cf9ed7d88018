"""Subwords against sentencepiece itself, against enumeration of all segmentations, and there and back."""

import collections
import itertools
import json
import math
import random

import pytest
import sentencepiece
import tensorflow as tf
from scipy import stats
from sentencepiece import sentencepiece_model_pb2

from tasks.corpora import reviews
from zoo import subwords
from zoo.errors import ZooError
from zoo.subwords import Subwords

SENTENCES = [
    "Grüße aus Köln! Übermorgen öffnet der Weiße Bäcker um 7:30 Uhr.",
    "Straßenbahnhaltestellenüberdachung, Äpfel & Öl: 12,50 € (statt 15 €).",
    "Où est l'été? Ça, c'est déjà très loin... n'est-ce pas?",
    "The QUICK brown fox can't jump over 1,234 lazy dogs; it won't.",
    "Zwei Mädchen sitzen auf einer Bank und essen Brötchen.",
]
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
STRANGE = [
    "",
    " ",
    "a",
    "  two   spaces  and more   ",
    "\U0001f600 and \U0001f600\U0001f680\U0001f680, or x\U0001f600y",
    "日本語 と mixed語words 中",
    "Привет, мир",
    "e\u0301te\u0301 vs été",
    "<s> </s> <unk> <pad>",
    "UPPER lower MiXeD 0123456789 #@~^|",
    "\u200bzero\u200dwidth \ufeffmark",
    "a\x1cb\x01 \x7f\x9f",
    "\u2047 \u2585 \ufffd",
]


def sentencepiece_of(pieces, scores):
    """sentencepiece, with these pieces."""
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    model = sentencepiece_model_pb2.ModelProto()
    for i, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
        kind = kinds.UNKNOWN if i == 1 else kinds.CONTROL if i < 4 else kinds.NORMAL
        model.pieces.add(piece=piece, score=float(score), type=kind)
    model.trainer_spec.model_type = model.trainer_spec.UNIGRAM
    model.trainer_spec.pad_id, model.trainer_spec.unk_id = 0, 1
    model.trainer_spec.bos_id, model.trainer_spec.eos_id = 2, 3
    model.normalizer_spec.name = "identity"
    return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


@pytest.fixture(scope="module")
def texts():
    return [reviews.review(reviews.Pen(seed)).text for seed in range(500)] + SENTENCES * 5


@pytest.fixture(scope="module")
def vocabulary(texts):
    return subwords.learn(texts, 500)


@pytest.fixture(scope="module")
def cutter(vocabulary):
    return Subwords(*vocabulary)


@pytest.fixture(scope="module")
def toy():
    """A vocabulary of a few letters, in which a word has many segmentations."""
    names = [subwords.SPACE, "a", "b", "ab", "ba", "aba", "bab", *(subwords.SPACE + n for n in ("a", "b", "ab", "aba"))]
    draw = random.Random(1)
    return [*SPECIAL, *names], ["0.0"] * 4 + [str(-draw.uniform(1, 4)) for _ in names]


def segmentations(word, pieces, scores):
    """{ids of a segmentation: its log-probability}, of all of them."""
    scores = dict(zip(pieces[4:], map(float, scores[4:]), strict=True))
    worst, found = min(scores.values()), {}
    for cuts in itertools.product((False, True), repeat=len(word) - 1):
        parts, begin = [], 0
        for i, cut in enumerate([*cuts, True], 1):
            if cut:
                parts.append(word[begin:i])
                begin = i
        if all(part in scores or len(part) == 1 for part in parts):
            ids = tuple(pieces.index(part) if part in scores else 1 for part in parts)
            found[ids] = sum(scores.get(part, worst - 10) for part in parts)
    return found


def encode(cutter, strings):
    return cutter.encode(tf.constant(strings)).to_list()


def strings(tensor):
    return [value.decode() for value in tensor.numpy()]


def test_best_segmentation_is_sentencepieces(vocabulary, cutter):
    fresh = [reviews.review(reviews.Pen(seed, novel=True)).text for seed in range(1000, 1200)]
    texts = fresh + SENTENCES + STRANGE
    assert encode(cutter, texts) == sentencepiece_of(*vocabulary).encode(texts)


def test_best_segmentation_with_random_pieces_and_texts():
    draw = random.Random(0)
    for _ in range(8):
        word = lambda letters, low, high: "".join(draw.choices(letters, k=draw.randint(low, high)))
        names = {subwords.SPACE, *"abc", *(word("abc\u00fc", 2, 6) for _ in range(30))}
        names |= {subwords.SPACE + word("abc", 1, 4) for _ in range(20)}
        pieces = [*SPECIAL, *sorted(names)]
        scores = ["0.0"] * 4 + [str(-draw.randint(4, 60) / 4) for _ in names]  # sums are exact, and many are the same
        texts = [" ".join(word("abc\u00fc?\u65e5", 1, 14) for _ in range(draw.randint(0, 6))) for _ in range(40)]
        assert encode(Subwords(pieces, scores), texts) == sentencepiece_of(pieces, scores).encode(texts)


@pytest.mark.parametrize("word", ["", "b", "abab", "abbaab", "ac", "ccabaca"])
def test_best_segmentation_is_the_best_of_all(word, toy):
    every = segmentations(subwords.SPACE + word, *toy) if word else {(): 0.0}
    best = list(max(every, key=every.get))
    merged = [id for i, id in enumerate(best) if not id == 1 == (best[i - 1] if i else 0)]
    assert encode(Subwords(*toy), [word]) == [merged]


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_drawn_segmentations_have_their_probabilities(alpha, toy):
    count, words = 20_000, ("aabab", "abcab")
    drawn = Subwords(*toy).encode(tf.constant([" ".join(words)] * count), alpha, seed=[1, 2]).to_list()
    every = [segmentations(subwords.SPACE + word, *toy) for word in words]
    expected = collections.Counter()
    for (first, p), (second, q) in itertools.product(*(each.items() for each in every)):  # words are independent
        expected[first + second] += math.exp(alpha * (p + q))
    found = collections.Counter(map(tuple, drawn))
    assert set(found) <= set(expected)
    total = sum(expected.values())
    common = [ids for ids, p in expected.items() if count * p / total > 5]
    distance = sum((found[ids] - (ideal := count * expected[ids] / total)) ** 2 / ideal for ids in common)
    assert len(common) > 20 and stats.chi2.sf(distance, len(common) - 1) > 0.01


def test_draws_follow_the_seed_and_sharpen_with_alpha(cutter, texts):
    batch = tf.constant(texts[:20])
    draw = lambda alpha, *seed: cutter.encode(batch, alpha, tf.constant(seed)).to_list()
    assert draw(0.2, 3, 4) == draw(0.2, 3, 4) != draw(0.2, 3, 5)
    assert draw(1e5, 3, 4) == cutter.encode(batch).to_list() != draw(0.2, 3, 4)


def test_any_draw_decodes_to_the_text(cutter, texts):
    ids = cutter.encode(tf.constant(texts[-40:]), 0.1, [0, 0])
    assert strings(cutter.decode(ids.to_tensor())) == [" ".join(text.split()) for text in texts[-40:]]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("  Das\u00a0 ist\t\r\n gut\u3000. ", "Das ist gut ."),
        ("one\x00two\x0bthree\x85four\u2028five", "one two three four five"),
        ("a\u2581b", "a_b"),
        (b"Stra\xdfe", "Stra\ufffde"),
        (" \n ", ""),
        ("", ""),
    ],
)
def test_normalize(text, normal):
    assert strings(subwords.normalize(tf.constant([text]))) == [normal]


def test_there_and_back_is_the_normalised_text(cutter):
    texts = [" Grüße   an\talle!  ", "", "The fox can't , it won't .", "7:30 Uhr", *SENTENCES]
    ids = cutter.encode(tf.constant(texts))
    assert strings(cutter.decode(ids.to_tensor())) == [" ".join(text.split()) for text in texts]
    framed = [[2, *row, 3, 0, 0] for row in ids.to_list()]
    framed = tf.ragged.constant(framed, tf.int64).to_tensor()
    assert strings(cutter.decode(framed)) == [" ".join(text.split()) for text in texts]


def test_unknown_pieces_show_the_text_that_they_were(vocabulary, cutter):
    ids, surfaces = cutter.segment(tf.constant(["Köln 日本 ist\U0001f600語.", "", "\U0001f680"]))
    shown = [[value.decode() for value in row] for row in surfaces.to_list()]
    names = [[vocabulary[0][id] for id in row] for row in ids.to_list()]
    found = [[(name, text) for name, text in zip(*rows, strict=True)] for rows in zip(names, shown, strict=True)]
    assert all(name == text for row in found for name, text in row if name != "<unk>")
    assert [text for row in found for name, text in row if name == "<unk>"] == ["日本", "\U0001f600語", "\U0001f680"]
    assert ["".join(row).replace(subwords.SPACE, " ").strip() for row in shown] == [
        "Köln 日本 ist\U0001f600語.",
        "",
        "\U0001f680",
    ]
    dense = ids.to_tensor()
    assert strings(cutter.decode(dense)) == ["Köln \u2047 ist\u2047.", "", "\u2047"]
    assert strings(cutter.decode(dense, surfaces.to_tensor())) == ["Köln 日本 ist\U0001f600語.", "", "\U0001f680"]


def test_names_of_pieces(vocabulary, cutter):
    names = cutter.pieces(tf.constant([[0, 1, 2], [3, 4, 5]])).numpy().tolist()
    assert names == [[b"", "\u2047".encode(), b"<s>"], [b"</s>", *(name.encode() for name in vocabulary[0][4:6])]]


def test_rows_get_an_end():
    rows = tf.ragged.constant([[5, 6], [], [7]], tf.int32)
    assert subwords.ended(rows).to_list() == [[5, 6, 3], [3], [7, 3]] and subwords.ended(rows).dtype == tf.int32
    assert subwords.ended(rows[:0]).to_list() == []
    strings = tf.ragged.constant([["a"], []], tf.string)
    assert subwords.ended(strings, "</s>").to_list() == [[b"a", b"</s>"], [b"</s>"]]


def test_empty_batches(cutter):
    ids, surfaces = cutter.segment(tf.zeros([0], tf.string))
    assert ids.to_list() == surfaces.to_list() == [] and ids.dtype == tf.int32
    assert cutter.encode(tf.zeros([0], tf.string), 0.1, [0, 1]).to_list() == []
    assert encode(cutter, ["", ""]) == [[], []] and cutter.encode(tf.constant([""]), 0.1, [0, 1]).to_list() == [[]]
    assert strings(cutter.decode(tf.zeros([2, 0], tf.int32))) == ["", ""]


def test_long_texts(vocabulary, cutter, texts):
    long = " ".join(itertools.islice(itertools.cycle(" ".join(texts).split()), 5_000))
    word = "".join(long.split())[:5_000]
    ids, surfaces = cutter.segment(tf.constant([long, word, "日" * 5_000]))
    assert ids[0].numpy().tolist() == sentencepiece_of(*vocabulary).encode(long)
    assert strings(cutter.decode(ids.to_tensor()[:2])) == [long, word]
    assert ids[2].numpy().tolist() == encode(cutter, ["日"])[0] and surfaces[2][-1].numpy().decode() == "日" * 5_000
    sizes = [len(value.decode()) for value in surfaces[1].numpy()]
    assert {100 * n for n in range(1, 50)} <= set(itertools.accumulate(sizes))  # cut up in blocks


def test_learn_is_the_same_for_the_same_texts_in_any_order(texts, vocabulary):
    assert subwords.learn(random.Random(0).sample(texts, len(texts)), 500) == vocabulary
    assert subwords.learn((text.encode() for text in texts), 500) == vocabulary  # an iterator, of bytes


def test_what_is_learnt(vocabulary, texts):
    pieces, scores = json.loads(json.dumps(vocabulary))
    values = [float(score) for score in scores]
    assert len(pieces) == len(scores) == len(set(pieces)) <= 500
    assert pieces[:4] == SPECIAL and values[:4] == [0, 0, 0, 0]
    assert values[4:] == sorted(values[4:], reverse=True) and sum(map(math.exp, values[4:])) == pytest.approx(
        1, abs=0.1
    )
    assert all(subwords.SPACE not in piece[1:] and len(piece) <= 16 for piece in pieces[4:])
    assert {"▁the", "▁", "ß"} <= set(pieces)


def test_learn_from_little():
    pieces, _ = subwords.learn(["tiny"], 8000)
    assert set("tiny") | {subwords.SPACE} <= set(pieces) and len(pieces) < 20
    pieces, scores = subwords.learn(["ab" * 5_000, "left \u2585 out", "", " "], 60)
    cutter = Subwords(pieces, scores)
    assert strings(cutter.decode(tf.constant(encode(cutter, ["a left out"])))) == ["a left out"]


@pytest.mark.parametrize(
    ("texts", "size", "message"),
    [
        ([], 100, "no text to learn subwords from; expected at least one word"),
        (["", " \u00a0\u2585"], 100, "no text to learn subwords from; expected at least one word"),
        (["abc"], 7, "7 subwords can't hold the text's characters; expected at least 8"),
        (["abc"], -1, "-1 subwords can't hold the text's characters; expected at least 8"),
    ],
)
def test_learn_refuses(texts, size, message, capfd):
    with pytest.raises(ZooError) as refusal:
        subwords.learn(texts, size)
    assert str(refusal.value) == message
    assert capfd.readouterr() == ("", "")


def test_in_a_pipeline(vocabulary, texts):
    """Made in the graph that first asks for it, as tasks do, and used after it."""
    made = []

    def both(batch, seed):
        if not made:
            made.append(Subwords(*vocabulary))
        return made[0].encode(batch), made[0].encode(batch, 0.1, seed)

    data = tf.data.Dataset.from_tensor_slices(texts[:50]).batch(20)
    best, drawn = zip(*tf.data.Dataset.zip(data, tf.data.Dataset.random(1).batch(2)).map(both, 2), strict=True)
    assert sum((rows.to_list() for rows in best), []) == encode(made[0], texts[:50])
    decoded = sum((strings(made[0].decode(rows.to_tensor())) for rows in drawn), [])
    assert decoded == [" ".join(text.split()) for text in texts[:50]]


FRESH = """
import json, sys
import tensorflow as tf

module = tf.saved_model.load(sys.argv[1])
ids, surfaces, back = module.serve(tf.constant(json.loads(sys.argv[2])))
drawn = module.draw(tf.constant(json.loads(sys.argv[2])), tf.constant([5, 6]))
assert "zoo" not in sys.modules and "tensorflow_text" not in sys.modules
text = lambda values: [value.decode() for value in values]
print(json.dumps([ids.to_list(), [text(row) for row in surfaces.to_list()], text(back.numpy()), drawn.to_list()]))
"""


def test_saved_model_with_tensorflow_alone(cutter, tmp_path, script):
    class Served(tf.Module):
        def __init__(self):
            super().__init__()
            self.cutter = cutter

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, text):
            ids, surfaces = self.cutter.segment(text)
            return ids, surfaces, self.cutter.decode(ids.to_tensor())

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([2], tf.int32)])
        def draw(self, text, seed):
            return self.cutter.encode(text, 0.3, seed)

    tf.saved_model.save(Served(), str(tmp_path / "model"))
    texts = [*SENTENCES, "", "日本 and \U0001f600"]
    ids, surfaces, back, drawn = json.loads(script(FRESH, tmp_path / "model", json.dumps(texts)))
    assert ids == encode(cutter, texts)
    assert ["".join(row).replace(subwords.SPACE, " ").strip() for row in surfaces] == texts
    assert back == [*SENTENCES, "", "\u2047 and \u2047"]
    assert drawn == cutter.encode(tf.constant(texts), 0.3, [5, 6]).to_list() != ids
