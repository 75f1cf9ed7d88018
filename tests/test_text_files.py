"""Running text: where it is cut, what is refused, and that the pieces are the text, whatever its characters."""

import codecs
import random

import pytest
import tensorflow as tf

from zoo import text_files
from zoo.errors import ZooError

SENTENCE = "The boat came in at night, and nobody on the quay saw who stepped ashore.\n"
LETTERS = "aé中\U0001d11eñ\u0301z\n"  # of 1, 2, 3 and 4 bytes, and a combining one


def mixed(count: int, seed: int = 0) -> str:
    return "".join(random.Random(seed).choices(LETTERS, k=count))


def pieces(examples) -> list[str]:
    """The pieces; each must be whole characters."""
    return [example["text"].decode("utf-8") for example in examples.as_numpy_iterator()]


def joined(splits) -> dict[str, str]:
    return {split: "".join(pieces(examples)) for split, examples in splits.items()}


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


# Splits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [100, 101, 109, 1234, 1115, 9999, 54321])
def test_one_file_is_cut_where_nanogpt_cuts_it(tmp_path, count):
    """Its own words: n = len(data); train is data[: int(n * 0.9)]; here the end of that is dev."""
    text = (SENTENCE * (1 + count // len(SENTENCE)))[:count]
    found = joined(text_files.read(written(tmp_path / "corpus.txt", text)))
    assert list(found) == ["train", "dev", "test"]
    assert found["test"] == text[int(count * 0.9) :]
    assert found["dev"] == text[int(count * 0.8) : int(count * 0.9)]
    assert found["train"] + found["dev"] + found["test"] == text


def test_the_element_is_a_string(tmp_path):
    for split in text_files.read(written(tmp_path / "corpus.txt", SENTENCE * 9)).values():
        assert split.element_spec == {"text": tf.TensorSpec([], tf.string)}
        assert pieces(split) == pieces(split)  # it can be read again


TEXTS = {name: mixed(200, seed) for seed, name in enumerate(("train", "dev", "val", "valid", "validation", "test"))}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "dev", "test"), {"train": "train", "dev": "dev", "test": "test"}),
        (("train", "valid", "test"), {"train": "train", "dev": "valid", "test": "test"}),
        (("train", "validation"), {"train": "train", "dev": "validation"}),  # a folder may do without test
        (("train", "val"), {"train": "train", "dev": "val"}),
    ],
)
def test_a_folder_has_a_file_for_each_split(tmp_path, names, splits):
    for name in names:
        written(tmp_path / f"{name}.txt", TEXTS[name])
    written(tmp_path / "readme.md", "no text of the corpus")
    assert joined(text_files.read(tmp_path)) == {split: TEXTS[name] for split, name in splits.items()}


def test_what_a_folder_lacks_is_cut_from_the_end_of_train(tmp_path):
    text = (SENTENCE * 20)[:1000]
    written(tmp_path / "train.txt", text)
    assert joined(text_files.read(tmp_path)) == {"train": text[:800], "dev": text[800:900], "test": text[900:]}
    written(tmp_path / "test.txt", TEXTS["test"])
    assert joined(text_files.read(tmp_path)) == {"train": text[:900], "dev": text[900:], "test": TEXTS["test"]}


def test_the_only_text_of_a_folder_is_the_corpus(tmp_path):
    written(tmp_path / "novel.txt", SENTENCE * 10)
    assert joined(text_files.read(tmp_path)) == joined(text_files.read(tmp_path / "novel.txt"))


@pytest.mark.parametrize("names", [(), ("one", "two"), ("dev", "test")], ids=str)
def test_a_folder_without_train_is_refused(tmp_path, names):
    for name in names:
        written(tmp_path / f"{name}.txt", SENTENCE * 10)
    with pytest.raises(ZooError, match=r"expected one \.txt file, or train\.txt and maybe") as error:
        text_files.read(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ZooError, match="nowhere: expected one .txt file"):
        text_files.read(tmp_path / "nowhere")


# Characters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 3, 5, 7, 64])
def test_blocks_and_splits_are_cut_between_characters(tmp_path, monkeypatch, block):
    """Whatever the place of a cut: a block is of so many bytes and up to three more."""
    monkeypatch.setattr(text_files, "BLOCK", block)
    for count in range(150, 157):
        text = mixed(count, count)
        splits = text_files.read(written(tmp_path / "corpus.txt", text))
        found = {split: pieces(examples) for split, examples in splits.items()}
        assert "".join("".join(each) for each in found.values()) == text
        assert all(0 < len(piece.encode()) <= block + 3 for each in found.values() for piece in each)
        size, last = len(text.encode()), len("".join(found["test"]).encode())
        assert 0 <= size - last - int(0.9 * size) <= 3


def test_newlines_and_spaces_are_kept_as_they_are(tmp_path):
    text = " a\r\nb\n\n\tc\rd\u2028e\x0c\x1cf  " * 30
    assert "".join(joined(text_files.read(written(tmp_path / "corpus.txt", text))).values()) == text


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    text = mixed(400)
    marked = lambda text: codecs.BOM_UTF8 + text.encode()
    plain = joined(text_files.read(written(tmp_path / "plain.txt", text)))
    assert joined(text_files.read(written(tmp_path / "marked.txt", marked(text)))) == plain
    assert text_files.check(tmp_path / "marked.txt") == text_files.check(tmp_path / "plain.txt") == 400
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("train", "dev", "test"):
        written(folder / f"{name}.txt", marked(TEXTS[name]))
    assert joined(text_files.read(folder)) == {name: TEXTS[name] for name in ("train", "dev", "test")}


def test_a_large_file_is_not_read_at_once(tmp_path, monkeypatch):
    """The first piece is of one block, and nothing is read further on than a piece asks for."""
    path, reads = tmp_path / "corpus.txt", []
    written(path, mixed(100_000))
    blocks = text_files._blocks(path, 0, path.stat().st_size)
    opener = open

    class Counted:
        def __init__(self, *args):
            self.file = opener(*args)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def read(self, count):
            reads.append(count)
            return self.file.read(count)

        def seek(self, place):
            return self.file.seek(place)

    monkeypatch.setattr(text_files, "BLOCK", 1000)
    monkeypatch.setattr(text_files, "open", Counted, raising=False)
    first = next(blocks)
    assert 1000 <= len(first) <= 1003
    assert sum(reads) <= 1010
    list(blocks)
    assert max(reads) <= 1003 < path.stat().st_size / 100


# Refused --------------------------------------------------------------------------------------------------------------

LINES = [SENTENCE.encode()] * 9


@pytest.mark.parametrize("block", [1, 10, 2**18])
@pytest.mark.parametrize("place", [0, 3, 8])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"caf\xe9 noir\n", r"not UTF-8 text \(byte 0xe9\)"),  # Latin-1
        (b"a \xff\n", r"not UTF-8 text \(byte 0xff\)"),
        (b"\xc3(\n", r"not UTF-8 text \(byte 0xc3\)"),
        (b"\xed\xa0\x80\n", r"not UTF-8 text \(byte 0xed\)"),  # half of a surrogate pair
        (b"one\0two\n", "has a NUL character; expected a text file"),
    ],
    ids=str,
)
def test_what_is_no_text_is_named_by_its_line(tmp_path, monkeypatch, block, place, wrong, message):
    monkeypatch.setattr(text_files, "BLOCK", block)
    path = written(tmp_path / "corpus.txt", b"".join([*LINES[:place], wrong, *LINES[place:]]))
    with pytest.raises(ZooError, match=f"corpus.txt, line {place + 1}: {message}"):
        text_files.read(path)


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_every_file_of_a_folder_is_looked_at(tmp_path, split):
    for name in ("train", "dev", "test"):
        written(tmp_path / f"{name}.txt", b"".join(LINES) + (b"\n\xff" if name == split else b""))
    with pytest.raises(ZooError, match=f"{split}.txt, line 11: not UTF-8"):
        text_files.read(tmp_path)


def test_a_file_cut_off_within_a_character(tmp_path):
    with pytest.raises(ZooError, match="corpus.txt, line 10: not UTF-8 text: ends within a character"):
        text_files.read(written(tmp_path / "corpus.txt", b"".join(LINES) + "中".encode()[:2]))


def test_utf_16_is_refused(tmp_path):
    with pytest.raises(ZooError, match=r"line 1: not UTF-8 text \(byte 0xff\)"):
        text_files.read(written(tmp_path / "corpus.txt", (SENTENCE * 9).encode("utf-16")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 characters; expected at least 100"),
        ("a", "1 character; expected"),
        ("中" * 99, "99 characters; expected"),
    ],
)
def test_too_little_text(tmp_path, text, message):
    for mark in (b"", codecs.BOM_UTF8):
        with pytest.raises(ZooError, match=f"corpus.txt: {message}"):
            text_files.read(written(tmp_path / "corpus.txt", mark + text.encode()))


def test_a_hundred_characters_are_enough(tmp_path):
    assert "".join(joined(text_files.read(written(tmp_path / "corpus.txt", "中" * 100))).values()) == "中" * 100


# TFDS -----------------------------------------------------------------------------------------------------------------


def test_tiny_shakespeare(mocked_tfds):
    """TFDS's own features and splits, with examples made up by TFDS."""
    builder = mocked_tfds("tiny_shakespeare", ("train", "validation", "test"), 3)
    splits = text_files.from_tfds(builder)
    assert list(splits) == ["train", "dev", "test"]
    for split, name in zip(splits.values(), ("train", "validation", "test"), strict=True):
        raw = [row["text"].decode() for row in builder.as_dataset(split=name).as_numpy_iterator()]
        assert len(raw) == 3
        assert pieces(split) == [text.removesuffix("\n") + "\n" for text in raw]


class Corpus:
    """What `from_tfds` asks of a builder: features, splits, and rows."""

    def __init__(self, features, rows):
        self.info, self.rows = self, rows
        self.features, self.splits, self.full_name = features, {"train": None}, "made/1.0.0"

    def as_dataset(self, split, shuffle_files):
        assert (split, shuffle_files) == ("train", False)
        return tf.data.Dataset.from_tensor_slices(self.rows)


def test_examples_end_with_a_newline_and_are_valid():
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"title": tfds.features.Text(), "text": tfds.features.Text()})
    texts = [b"one", b"two\n", b"a\nb\n\n", b"", b"\n", "né".encode(), b"bad \xff byte", b"cr\r\n"]
    found = text_files.from_tfds(Corpus(features, {"title": [b"t"] * len(texts), "text": texts}))
    expected = ["one\n", "two\n", "a\nb\n\n", "\n", "\n", "né\n", "bad \ufffd byte\n", "cr\r\n"]
    assert pieces(found["train"]) == expected


def test_the_one_text_feature_may_have_any_name():
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict({"number": tfds.features.Scalar(tf.int32), "verse": tfds.features.Text()})
    assert pieces(text_files.from_tfds(Corpus(features, {"number": [1], "verse": [b"one"]}))["train"]) == ["one\n"]


def test_which_text_would_have_to_be_guessed():
    import tensorflow_datasets as tfds

    text = tfds.features.Text
    inner = {"text": text()}
    for features in ({"a": text(), "b": text()}, {"a": tfds.features.Scalar(tf.int32)}, {"inner": inner}):
        with pytest.raises(ZooError, match=f"TFDS made/1.0.0: expected one text feature.*{', '.join(features)}"):
            text_files.from_tfds(Corpus(tfds.features.FeaturesDict(features), {}))
