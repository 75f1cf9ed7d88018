"""Parallel text: files with a sentence a line, their faults named with file and line; TFDS; and which way to go."""

import gzip

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo import data, parallel_text
from zoo.errors import ZooError

PAIRS = {"en": ["A dog runs.", "Two men sit.", "Yes."], "de": ["Ein Hund rennt.", "Zwei Männer sitzen.", "Ja."]}
STRING = tf.TensorSpec([], tf.string)


def write(folder, name, sides, end="\n", encoding="utf-8"):
    """Files `name.<language>`; the content of a side is a list of lines, or bytes."""
    folder.mkdir(exist_ok=True)
    for language, lines in sides.items():
        content = lines if isinstance(lines, bytes) else "".join(line + end for line in lines).encode(encoding)
        (folder / f"{name}.{language}").write_bytes(content)
    return folder


def texts(split, *languages):
    """The rows of a split, tuples of the texts in these languages; without them, in the order of the dictionaries."""
    return [tuple(row[language].decode() for language in languages or row) for row in split.as_numpy_iterator()]


def side_by_side(sides, *languages):
    return list(zip(*(sides[language] for language in languages), strict=True))


@pytest.mark.parametrize("dev", ["dev", "val", "valid", "validation"])
def test_splits(dev, tmp_path):
    sides = {name: {k: [f"{name} {line}" for line in v] for k, v in PAIRS.items()} for name in ("train", dev, "test")}
    for name, of_split in sides.items():
        write(tmp_path, name, of_split)
    (tmp_path / "README.md").write_text("notes")
    found = parallel_text.read(tmp_path)
    assert list(found) == ["train", "dev", "test"]
    for split, name in zip(found, sides, strict=True):
        assert found[split].element_spec == {"en": STRING, "de": STRING}
        for languages in (("en", "de"), ("de", "en")):
            assert texts(found[split], *languages) == side_by_side(sides[name], *languages)


def test_every_language_of_a_split_is_there_english_first(tmp_path):
    lines = {"zh": ["狗"], "fr": ["Chien", "Non"], "en": ["Dog", "No"], "de": ["Hund", "Nein"], "ca": ["Gos", "No"]}
    write(tmp_path, "train", {k: v for k, v in lines.items() if k != "zh"})
    write(tmp_path, "test", {k: lines[k][:1] for k in ("zh", "ca", "fr")})
    found = parallel_text.read(tmp_path)
    assert list(found["train"].element_spec) == ["en", "ca", "de", "fr"]
    assert list(found["test"].element_spec) == ["ca", "fr", "zh"]
    assert texts(found["train"]) == side_by_side(lines, "en", "ca", "de", "fr")
    assert texts(found["test"]) == [("Gos", "Chien", "狗")]


def test_the_order_of_languages_outlives_what_is_done_to_a_split(tmp_path):
    """`direction` reads it off a split that has been filtered, repeated, numbered and batched."""
    train = parallel_text.read(write(tmp_path, "train", PAIRS))["train"]
    long = lambda example: tf.strings.length(example["en"]) > 5
    numbered = lambda i: train.map(lambda example: {**example, "copy": i})
    copies = tf.data.Dataset.range(2).flat_map(numbered)
    for split in (
        train.filter(long),
        train.map(lambda example: {name: tf.strings.lower(text) for name, text in example.items()}),
        train.cache().shuffle(3).repeat(2).batch(2).prefetch(1),
        train.ragged_batch(2).unbatch(),
        copies.filter(lambda example: example["copy"] == 0).batch(4),
    ):
        assert [name for name in split.element_spec if name != "copy"] == ["en", "de"]
        assert [name for name in next(iter(split)) if name != "copy"] == ["en", "de"]
    assert list(copies.element_spec) == ["en", "de", "copy"]
    assert texts(train.filter(long), "en", "de") == side_by_side(PAIRS, "en", "de")[:2]


@pytest.mark.parametrize(
    ("found", "given", "expected"),
    [
        (("en", "de"), (), ("en", "de")),
        (("pt", "en"), (), ("pt", "en")),
        (("en", "de"), ("en",), ("en", "de")),
        (("en", "de"), ("de",), ("de", "en")),
        (("en", "de"), ("", "de"), ("en", "de")),
        (("en", "de"), ("", "en"), ("de", "en")),
        (("en", "de"), ("de", "en"), ("de", "en")),
        (("en", "cs", "de"), ("cs", "en"), ("cs", "en")),
        (("en", "cs", "de"), ("de", "cs"), ("de", "cs")),
    ],
)
def test_directions(found, given, expected, capsys):
    assert parallel_text.direction(found, *given) == expected
    source, target = expected
    note = f'zoo: note: translating from {source} into {target}; the other way: SET="source={target} target={source}"\n'
    assert capsys.readouterr().err == ("" if any(given) else note)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), 'SET="source=en target=cs"'),
        (("en",), 'SET="source=en target=cs"'),
        (("cs",), 'SET="source=cs target=en"'),
        (("", "en"), 'SET="source=cs target=en"'),
        (("", "de"), 'SET="source=en target=de"'),
    ],
)
def test_of_more_than_two_languages_none_is_guessed(given, message, capsys):
    with pytest.raises(ZooError) as error:
        parallel_text.direction(["en", "cs", "de"], *given)
    start = "the corpus has en, cs, de; say from which into which language to translate, for example "
    assert str(error.value) == start + message and not capsys.readouterr().err


@pytest.mark.parametrize("found", [("en", "de"), ("en", "cs", "de")])
def test_a_direction_that_there_is_not(found):
    for given in (("fr", "de"), ("fr", ""), ("en", "fr"), ("", "fr")):
        with pytest.raises(ZooError, match=f"^no language 'fr' in this corpus; there are: {', '.join(found)}$"):
            parallel_text.direction(found, *given)
    with pytest.raises(ZooError, match=f"^source and target are both 'en'; expected two of: {', '.join(found)}$"):
        parallel_text.direction(found, "en", "en")


def test_only_line_feeds_end_lines(tmp_path):
    inside = ["one\u2028two", "three\x0cfour\x85five", "six\rseven\x1eeight", "nine\x0bten"]
    write(tmp_path, "train", {"en": inside, "de": [f"\t{line} " for line in inside]}, end="\r\n", encoding="utf-8-sig")
    (tmp_path / "train.de").write_bytes((tmp_path / "train.de").read_bytes().removesuffix(b"\r\n"))
    assert texts(parallel_text.read(tmp_path)["train"], "en", "de") == [(line, line) for line in inside]


def test_gzip_beside_plain_text(tmp_path, capsys):
    write(tmp_path, "train", {"en": PAIRS["en"]})
    (tmp_path / "train.de.gz").write_bytes(gzip.compress("\n".join(PAIRS["de"]).encode()))
    (tmp_path / "train.en.gz").write_bytes(b"what the plain file was made from")
    assert texts(parallel_text.read(tmp_path)["train"]) == side_by_side(PAIRS, "en", "de")
    assert not capsys.readouterr().err


def test_the_first_of_several_test_sets_is_read_and_the_others_are_named(tmp_path, capsys):
    write(tmp_path, "train", PAIRS)
    for name in ("test_2017_mscoco", "test_2016_flickr", "test_2018_flickr"):
        write(tmp_path, name, {language: [f"{name} {line}" for line in side] for language, side in PAIRS.items()})
    assert texts(parallel_text.read(tmp_path)["test"], "en")[0] == ("test_2016_flickr A dog runs.",)
    note = "zoo: note: {}: test_2016_flickr is taken as the test split; not read: test_2017_mscoco, test_2018_flickr\n"
    assert capsys.readouterr().err == note.format(tmp_path)


def test_rows_with_an_empty_side_are_left_out_but_for_test(tmp_path, capsys):
    sides = {"en": ["a", "", "c", "  ", "e"], "de": ["A", "B", "\u2003", "", "E"]}
    for name in ("train", "val", "test"):
        write(tmp_path, name, sides)
    found = parallel_text.read(tmp_path)
    assert texts(found["train"]) == texts(found["dev"]) == [("a", "A"), ("e", "E")]
    assert texts(found["test"]) == [("a", "A"), ("", "B"), ("c", ""), ("", ""), ("e", "E")]
    what = "lines with an empty side: 3, the first is line 2; "
    assert capsys.readouterr().err.splitlines() == [
        f"zoo: note: {tmp_path}/train.*: {what}left out",
        f"zoo: note: {tmp_path}/val.*: {what}left out",
        f"zoo: note: {tmp_path}/test.*: {what}kept, for the scores of the whole set",
    ]


def test_a_row_needs_all_of_its_languages(tmp_path, capsys):
    write(tmp_path, "train", {"en": ["a", "b", "c"], "de": ["A", "", "C"], "cs": ["1", "2", ""]})
    assert texts(parallel_text.read(tmp_path)["train"]) == [("a", "1", "A")]
    assert "lines with an empty side: 2, the first is line 2; left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sides", "message"),
    [
        (
            {"en": ["a", "b"], "de": ["A"]},
            "{0}/train.en has 2 lines and {0}/train.de has 1; expected .*line 2 has none",
        ),
        ({"en": ["a"], "de": b""}, "{0}/train.de: the file is empty; expected a sentence a line"),
        ({"en": b"\xef\xbb\xbf", "de": ["A"]}, "{0}/train.en: the file is empty"),
        (
            {"en": ["a"], "de": [""]},
            "{0}/train.de, {0}/train.en: no line has text in all; expected a sentence a line",
        ),
        (
            {"en": ["a"], "de": ["A"], "cs": ["1", "2"]},
            "{0}/train.en has 1 lines and {0}/train.cs has 2; .*line 2 has none",
        ),
        ({"en": ["a"], "de.gz": gzip.compress(b"A\n" * 99)[:-9]}, "{0}/train.de.gz: damaged or cut-off gzip file"),
        ({"en": ["a"], "de.gz": b"A\n"}, "{0}/train.de.gz: damaged or cut-off gzip file"),
    ],
)
def test_malformed_files_are_named(sides, message, tmp_path):
    write(tmp_path, "train", sides)
    with pytest.raises(ZooError, match=message.format(tmp_path)) as error:
        parallel_text.read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["train", "val", "test_2016"])
def test_a_side_that_is_missing(name, tmp_path):
    for split in {"train", name}:
        write(tmp_path, split, PAIRS)
    (tmp_path / f"{name}.de").unlink()
    write(tmp_path, "validation", PAIRS)  # not read, but languages of the corpus
    message = rf"^{tmp_path}/{name}.en: no file {name}\.\* of another language beside it; expected both sides$"
    with pytest.raises(ZooError, match=message):
        parallel_text.read(tmp_path)


def test_no_parallel_text_at_all(tmp_path):
    with pytest.raises(ZooError, match=r"no parallel text; expected a folder with two files .*; found nothing$"):
        parallel_text.read(tmp_path)
    (tmp_path / "train.tsv").write_text("a\tA\n")
    with pytest.raises(ZooError, match=r"no parallel text; expected .* train.en and train.de; found train.tsv$"):
        parallel_text.read(tmp_path)
    for path in (tmp_path / "train.tsv", tmp_path / "nothing"):
        with pytest.raises(ZooError, match=rf"^{path}: a single file, or none; expected a folder with two files"):
            parallel_text.read(path)
    (tmp_path / "train.tsv").unlink()
    write(tmp_path, "test", PAIRS)
    with pytest.raises(ZooError, match=rf"^{tmp_path}: no train\.\* among test; expected a folder with two files"):
        parallel_text.read(tmp_path)


def test_bytes_that_are_not_utf8_are_replaced_and_told(tmp_path, capsys):
    write(tmp_path, "train", {"en": b"caf\xe9\nfine\n", "de": "Café\ngut\n".encode()})
    assert texts(parallel_text.read(tmp_path)["train"]) == [("caf\ufffd", "Café"), ("fine", "gut")]
    assert f"{tmp_path}/train.en: 1 lines with bytes that are not UTF-8" in capsys.readouterr().err


class Parallel:
    """As much of a task as `open_corpus` asks for."""

    from_tfds = staticmethod(parallel_text.from_tfds)


def test_tfds_languages_are_in_the_order_of_its_supervised_keys(mocked_tfds):
    name = "ted_hrlr_translate/pt_to_en"
    builder = mocked_tfds(name, ("train", "validation", "test"), 20)
    found, corpus = parallel_text.from_tfds(builder), data.open_corpus(Parallel, name)
    assert set(found) == set(corpus.splits) == {"train", "dev", "test"} and not corpus.dev_from_train
    raw = {name: builder.as_dataset(split=name) for name in ("train", "validation", "test")}
    for split, rows in zip(("train", "dev", "test"), raw.values(), strict=True):
        assert list(found[split].element_spec) == list(corpus.splits[split].element_spec) == ["pt", "en"]
        expected = [(row["pt"].decode().strip(), row["en"].decode().strip()) for row in rows.as_numpy_iterator()]
        assert len(expected) == 20 and texts(found[split]) == texts(corpus.splits[split]) == expected


def test_a_tfds_corpus_that_is_no_parallel_text(tmp_path):
    with pytest.raises(ZooError, match=r"imdb_reviews.* is no parallel text.*found (text, label|label, text)$"):
        parallel_text.from_tfds(tfds.builder("imdb_reviews", data_dir=tmp_path))


def test_tfds_texts_without_supervised_keys_and_with_empty_sides(tmp_path, capsys):
    class Signs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            names = ("number", "pt_br", "en", "text")  # "text" is no language
            kinds = {name: tfds.features.Text() for name in names} | {"number": tfds.features.Scalar(np.int64)}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(kinds))

        def _split_generators(self, manager):
            return {split: self._generate_examples() for split in ("train", "test")}

        def _generate_examples(self):
            for i, (en, pt) in enumerate([("Stop", "Pare"), (" ", "Saída"), ("Exit ", "Saída")]):
                yield i, {"number": i, "en": en, "pt_br": pt, "text": ""}

    builder = Signs(data_dir=tmp_path)
    builder.download_and_prepare()
    capsys.readouterr()
    found = parallel_text.from_tfds(builder)
    assert [list(found[split].element_spec) for split in ("train", "test")] == [["en", "pt_br"]] * 2
    assert sorted(texts(found["train"])) == [("Exit", "Saída"), ("Stop", "Pare")]
    assert sorted(texts(found["test"])) == [("", "Saída"), ("Exit", "Saída"), ("Stop", "Pare")]
    name = builder.info.full_name
    assert capsys.readouterr().err == f"zoo: note: TFDS {name}, train: rows with an empty side: 1; left out\n"
