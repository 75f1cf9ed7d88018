"""Strings to ids, in the graph."""

import itertools
import math

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import subwords, text


def cut(string) -> list[str]:
    return [word.decode("utf-8") for word in tf.strings.split(text.words(tf.constant(string))).numpy()]


@pytest.mark.parametrize(
    ("string", "words"),
    [
        ("I didn't LIKE it", "i did n't like it"),
        ("can't won't DON'T", "ca n't wo n't do n't"),
        ("it's they're we've he'll I'd I'm", "it 's they 're we 've he 'll i 'd i 'm"),
        ("\u2018hi\u2019 don\u2019t", "' hi ' do n't"),
        ("'quoted' dogs' rock 'n' roll", "' quoted ' dogs ' rock ' n ' roll"),
        ("''tis''", "' tis '"),
        ("o'clock", "o'clock"),
        ("e-mail a.b, 3.5!?", "e - mail a . b , 3 . 5 ! ?"),
        ("(a)[b]{c}/d\\e", "( a ) [ b ] { c } / d \\ e"),
        ("good<br /><BR>bad </p><a href='x'>link</a>", "good bad link"),
        ("5 <3 you, a < b > c", "5 < 3 you , a < b > c"),
        ("ok\U0001f600\U0001f600", "ok \U0001f600 \U0001f600"),
        ("na\u00efve Stra\u00dfe \u00c9T\u00c9", "na\u00efve stra\u00dfe \u00e9t\u00e9"),
        (
            "\u041f\u0440\u0438\u0432\u0435\u0442, \u65e5\u672c\u8a9e",
            "\u043f\u0440\u0438\u0432\u0435\u0442 , \u65e5\u672c\u8a9e",
        ),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        (b"caf\xe9 is \xff", "caf \ufffd is \ufffd"),
        ("before\x00after", "before after"),
        (" a\t b\r\nc ", "a b c"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_words(string, words):
    assert cut(string) == words.split()


def test_words_keeps_the_shape():
    nested = text.words(tf.constant([["No!", ""], ["it's", "ok"]]))
    assert [[t.decode().split() for t in row] for row in nested.numpy()] == [[["no", "!"], []], [["it", "'s"], ["ok"]]]


@pytest.mark.parametrize(
    ("length", "kept"),
    [(2, [1, 7]), (3, [1, 6, 7]), (4, [1, 2, 6, 7]), (6, [1, 2, 3, 5, 6, 7]), (7, [1, 2, 3, 4, 5, 6, 7])],
)
def test_head_and_tail_cuts_in_the_middle_and_leaves_short_rows_alone(length, kept):
    rows = tf.ragged.constant([[1, 2, 3, 4, 5, 6, 7], [], [8], [8, 9]])
    assert text.head_and_tail(rows, length).to_list() == [kept, [], [8], [8, 9]]


@pytest.mark.parametrize(
    ("rows", "padded"),
    [([[1], [2, 3]], [[1, 0], [2, 3]]), ([[], []], [[0], [0]]), ([[], [5]], [[0], [5]])],
)
def test_pad_gives_at_least_one_step(rows, padded):
    ids = text.pad(tf.ragged.constant(rows, tf.int64, ragged_rank=1))
    assert ids.dtype == tf.int32 and ids.numpy().tolist() == padded


def test_pad_of_no_rows():
    assert text.pad(tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int64), [0])).shape == (0, 1)


def test_vocabulary_is_by_frequency_then_spelling_whatever_the_order_of_the_texts():
    texts = ["b b b a a c c.", "d c"]
    for order in (texts, texts[::-1]):
        learnt = text.learn_vocabulary(tf.data.Dataset.from_tensor_slices(order), 6)
        assert learnt == ["", "[UNK]", "b", "c", "a", "."]


def test_vectorizer_numbers_words_by_their_place_in_the_vocabulary():
    vocabulary = ["", "[UNK]", "n't", "good", "\u00e9t\u00e9"]
    ids = text.vectorizer(vocabulary)(tf.constant(["Isn't it GOOD", "", "\u00c9T\u00c9", "[UNK] good"]))
    assert ids.to_list() == [[1, 2, 1, 3], [], [4], [1, 1, 1, 3]]


@pytest.mark.parametrize(
    ("string", "tokens"),
    [
        ("Lucas Ferreira is a professor at UFV", "Lucas Ferreira is a professor at UFV"),
        ("Mr. J. Smith's U.S.-led team didn't win.", "Mr. J. Smith 's U.S.-led team did n't win ."),
        ("It rose 3.5% to $1,500, or US$2... (1/2)", "It rose 3.5 % to $ 1,500 , or US$ 2 ... ( 1/2 )"),
        ("On 1996-08-22, O'Brien left AT&T for S&P", "On 1996-08-22 , O'Brien left AT&T for S&P"),
        ('"Hello," they\u2019re \u00absaying\u00bb', '" Hello , " they \u2019re \u00ab saying \u00bb'),
        ("see http://t.co/x?y=1 @ana #ner a@b.co", "see http://t.co/x?y=1 @ana #ner a@b.co"),
        ("S\u00e3o Paulo\u00a0\u65e5\u672c \U0001f600\U0001f600", "S\u00e3o Paulo \u65e5\u672c \U0001f600 \U0001f600"),
        ("the end.\r\n\tNext", "the end . Next"),
        ("a\x00b\x1fc", "a b c"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_tokenize_cuts_and_keeps_the_offsets(string, tokens):
    whole, cut, starts, ends = text.tokenize(tf.constant([string, "x"]))
    found = [token.decode() for token in cut[0].numpy()]
    assert found == tokens.split() and cut[1].numpy().tolist() == [b"x"]
    assert [string[a:b] for a, b in zip(starts[0].numpy(), ends[0].numpy(), strict=True)] == found
    assert whole[0].numpy().decode() == string


def test_tokens_given_are_those_of_the_text_that_they_make_with_spaces():
    whole, tokens, starts, ends = text.joined(tf.constant([["Zo\u00eb", "left", "."], ["", "", ""], ["No", "", ""]]))
    assert [t.decode() for t in whole.numpy()] == ["Zo\u00eb left .", "", "No"]
    assert starts.to_list() == [[0, 4, 9], [], [0]] and ends.to_list() == [[3, 8, 10], [], [2]]
    assert tokens.row_lengths().numpy().tolist() == [3, 0, 1]


def test_token_vectorizer_reads_words_forms_and_characters():
    read = text.TokenVectorizer(["", "[UNK]", "ana", "0000"], ["", "[UNK]", "A", "n", "a", "1"], length=4)
    rows = read(tf.ragged.constant([["Ana", "ana", "1998"], [], ["zanana"]])).to_list()
    (upper, lower, year), empty, (long,) = rows
    assert (upper[0], lower[0], year[0], long[0]) == (2, 2, 3, 1) and empty == []
    assert upper[1] != lower[1] == read(tf.ragged.constant([["ana"]])).to_list()[0][0][1]
    assert [row[2:] for row in (upper, lower, year, long)] == [[2, 3, 4, 0], [4, 3, 4, 0], [5, 1, 1, 1], [1, 4, 3, 4]]


# Passages -------------------------------------------------------------------------------------------------------------


def passages(*texts, limit=50) -> list[list[str]]:
    """The passages of each text; the rows that they are of come in order."""
    found, rows = text.passages(tf.constant(texts, tf.string), limit)
    assert rows.dtype == tf.int32 and found.shape == rows.shape and rows.numpy().tolist() == sorted(rows.numpy())
    pairs = list(zip(rows.numpy().tolist(), found.numpy(), strict=True))
    return [[passage.decode() for row, passage in pairs if row == i] for i in range(len(texts))]


@pytest.mark.parametrize(
    "parts",
    [
        ["A dog runs.", "Two men sit!", "Who won?", "Nobody"],
        ["Mr. Smith and Dr. No met J. R. Hall.", "They left."],
        ["It was 9 p.m. and cold.", "So what?!", "We left...", "Then snow."],
        [
            '"We left early."',
            "(Nobody saw them.)",
            "\u00abWarum nicht?\u00bb",
            "\u201cYes, indeed.\u201d",
            "'Fine.'",
            "So.",
        ],
        ["It cost 3.50 or 1,000.99 in 1998.", "Then www.example.org was sold."],
        [
            "Stra\u00dfe und Caf\u00e9s.",
            "\u041e\u043d \u0443\u0448\u0451\u043b.",
            "\u041d\u0435\u0442 \u0438 \u0434\u0430",
        ],
        ["Wait.What is this"],
        ["one, two; three: four - five"],
    ],
    ids=lambda parts: parts[0],
)
def test_passages_are_sentences(parts):
    assert passages(" ".join(parts)) == [parts]


def test_passages_of_a_batch_say_of_which_text_they_are():
    texts = ["", "The end. And on.", "", "", "Yes", "One more. One more."]
    expected = [[], ["The end.", "And on."], [], [], ["Yes"], ["One more.", "One more."]]
    assert passages(*texts) == expected
    assert passages("", "") == [[], []] and passages() == []


@pytest.mark.parametrize(
    ("words", "limit", "sizes"),
    [
        (5, 5, {5}),
        (6, 5, {3}),
        (9, 4, {3}),
        (5, 4, {2, 3}),
        (12, 4, {4}),
        (4, 1, {1}),
        (17, 4, {3, 4}),  # not 4, 4, 4, 4 and 1
        (121, 60, {40, 41}),
    ],
)
def test_a_long_sentence_is_cut_into_even_parts(words, limit, sizes):
    long = [*(f"w{i}" for i in range(words - 1)), "ending."]
    for before, after in (([], []), (["Left."], ["They", "left"][:limit])):  # which are no part of it
        (found,) = passages(" ".join([*before, *long, *after]), limit=limit)
        assert found[: len(before)] == before and " ".join(found).split() == [*before, *long, *after]
        parts = [len(part.split()) for part in found[len(before) : len(found) - bool(after)]]
        assert len(parts) == math.ceil(words / limit) and sum(parts) == words and set(parts) == sizes


def ends_sentence(word: str) -> bool:
    """Plain Python: three letters or digits, then a full stop or the like, then maybe what closes."""
    said = word.rstrip("\"')\u201d\u00bb")
    stem = said.rstrip(".!?")
    return stem != said and len(stem) >= 3 and stem[-3:].isalnum()


WORDS = st.sampled_from(
    ["dog", "ran.", "Mr.", "no.", '"end."', "why?!", "x", "1998.", "(so.)", "...", "\u0443\u0448\u0451\u043b."]
)
MARKS = st.text("abc\u00e91.!?\"')(\u201d\u00bb-\u00a0\u3000\x00\n\t ", max_size=7)
TEXTS = st.lists(WORDS | MARKS, max_size=25).map(" ".join)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(TEXTS, max_size=3), st.integers(1, 6))
def test_nothing_is_lost_between_passages(texts, limit):
    whole = [row.decode() for row in subwords.normalize(tf.constant(texts, tf.string)).numpy()]
    found = passages(*whole, limit=limit)
    assert [" ".join(row) for row in found] == whole
    for row, text_ in zip(found, whole, strict=True):
        words = text_.split(" ") if text_ else []
        starts = [0, *(i for i, word in enumerate(words, 1) if ends_sentence(word) and i < len(words))]
        lengths = [b - a for a, b in itertools.pairwise([*starts, len(words)]) if words]
        sizes = [len(passage.split(" ")) for passage in row]
        assert len(sizes) == sum(math.ceil(n / limit) for n in lengths) and max(sizes, default=1) <= limit
        assert {*itertools.accumulate(lengths)} <= {*itertools.accumulate(sizes)}  # the sentences' ends are cuts
