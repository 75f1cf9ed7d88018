"""Where examples come from, and how they become batches."""

import collections
import contextlib
import errno
import gzip
import shutil

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds

from tasks.sentiment import Sentiment
from zoo import data
from zoo.errors import ZooError

TRAIN = [(f"review {i % 150}", i % 2) for i in range(200)]  # the last fifty are copies of the first fifty
TEST = [(f"test review {i}", i % 2) for i in range(20)]


def rows(examples) -> list[tuple[str, str]]:
    return [(e["text"].decode(), e["label"].decode()) for e in examples.as_numpy_iterator()]


def test_strings_are_the_columns_of_a_split():
    examples = tf.data.Dataset.from_tensor_slices({"text": [b"good", b"caf\xff"], "label": ["pos", "neg"]})
    corpus = data.Corpus("a", "a test", {"train": examples})
    assert corpus.strings("train", "text", "label") == [["good", "caf\ufffd"], ["pos", "neg"]]
    assert corpus.strings("train", "label") == [["pos", "neg"]]


@contextlib.contextmanager
def imdb(folder):
    """TFDS's `imdb_reviews` with its real features and splits, and examples of ours."""
    builder = tfds.builder("imdb_reviews", data_dir=folder)
    splits = [
        tfds.core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0, filename_template=None)
        for name, size in (("train", len(TRAIN)), ("test", len(TEST)), ("unsupervised", 1))
    ]
    builder.info.set_splits(tfds.core.SplitDict(splits))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)

    def as_dataset(self, split, **_):
        texts, labels = zip(*{"train": TRAIN, "test": TEST}[split], strict=True)
        return tf.data.Dataset.from_tensor_slices({"text": list(texts), "label": np.array(labels, "int64")})

    with tfds.testing.mock_data(as_dataset_fn=as_dataset, data_dir=str(folder)):
        yield


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    with imdb(tmp_path_factory.mktemp("tfds")):
        corpus = data.open_corpus(Sentiment, "imdb_reviews")
        return corpus, {split: rows(examples) for split, examples in corpus.splits.items()}


def test_tfds_splits_and_label_names(opened):
    corpus, splits = opened
    assert (corpus.name, corpus.dev_from_train) == ("imdb_reviews", True)
    assert "imdb_reviews" in corpus.source
    named = [(text, ("negative", "positive")[label]) for text, label in TEST]
    assert set(splits) == {"train", "dev", "test"} and splits["test"] == named


def test_dev_is_cut_out_of_train_by_content(opened):
    _, splits = opened
    train, dev = ({text for text, _ in splits[name]} for name in ("train", "dev"))
    assert not train & dev  # so the copies of a review are all on one side
    assert len(splits["train"]) + len(splits["dev"]) == len(TRAIN)
    assert train | dev == {text for text, _ in TRAIN}
    assert 5 <= len(dev) <= 30


def test_a_split_that_is_not_there_names_those_that_are(opened):
    with pytest.raises(ZooError, match="no validation split; it has: .*train.*test"):
        opened[0].split("validation")


def as_gzip(corpus, target):
    for table in corpus.glob("*.csv"):
        with gzip.open(target / f"{table.name}.gz", "wb") as file:
            file.write(table.read_bytes())


def as_folders(corpus, target):
    for table in corpus.glob("*.csv"):
        for i, line in enumerate(table.read_text().splitlines()[1:]):
            text, label = line.split(",")
            folder = target / table.stem / label[:3]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{i:04}.txt").write_text(text)
        (target / table.stem / "unsup").mkdir()


@pytest.mark.parametrize("write", [as_gzip, as_folders])
def test_a_corpus_reads_the_same_from_csv_gzip_and_folders(corpus, tmp_path, write):
    write(corpus, tmp_path)
    plain, other = (data.open_corpus(Sentiment, str(path)) for path in (corpus, tmp_path))
    assert not plain.dev_from_train
    for split in ("train", "dev", "test"):
        assert sorted(rows(plain.splits[split])) == sorted(rows(other.splits[split])) != []


def test_a_single_table_is_a_training_split(corpus, tmp_path):
    shutil.copy(corpus / "train.csv", tmp_path / "mine.csv")
    opened = data.open_corpus(Sentiment, str(tmp_path / "mine.csv"))
    assert opened.dev_from_train and set(opened.splits) == {"train", "dev"}


def test_quotes_commas_and_newlines_in_a_field(tmp_path):
    (tmp_path / "train.csv").write_bytes(b'\xef\xbb\xbfid,text,label\r\n1,"a ""b"", c\nd",pos\r\n\r\n2,caf\xe9,NEG\r\n')
    read = dict(rows(Sentiment.from_files(tmp_path)["train"]))
    assert read == {'a "b", c\nd': "positive", "caf\ufffd": "negative"}


def test_too_few_examples_for_a_dev_split(tmp_path):
    key = next(k for k in map(str, range(100)) if not data.in_dev(tf.constant(k)))
    (tmp_path / "train.csv").write_text(f"text,label\n{key},pos\n{key},neg\n")
    with pytest.raises(ZooError, match="too few training examples"):
        data.open_corpus(Sentiment, str(tmp_path))


@pytest.mark.parametrize("name", ["no_such_data_set", "no/such/folder", "imdb_reviews/no_such_config", "a b?"])
def test_an_unknown_name_is_neither_path_nor_tfds(name):
    with pytest.raises(ZooError, match=f"^{name.replace('?', '.')}: "):
        data.open_corpus(Sentiment, name)


UNREACHABLE = [
    requests.ConnectionError("no route to host"),
    TimeoutError("timed out"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
]


@pytest.fixture
def imdb_reviews(monkeypatch, tmp_path):
    """TFDS's `imdb_reviews`, not on this machine, with a server that answers."""
    monkeypatch.setattr(data, "_tfds_builder", lambda name: tfds.builder(name, data_dir=tmp_path))
    monkeypatch.setattr(requests, "head", lambda *_, **__: None)


def failing(error):
    def call(*_, **__):
        raise error

    return call


@pytest.mark.parametrize("failure", UNREACHABLE, ids=repr)
def test_an_unreachable_download_names_data_set_and_folder(imdb_reviews, monkeypatch, tmp_path, failure):
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", failing(failure))
    with pytest.raises(ZooError) as error:
        data.open_corpus(Sentiment, "imdb_reviews")
    for part in ("imdb_reviews", str(tmp_path), str(failure)):
        assert part in str(error.value)


@pytest.mark.parametrize("failure", UNREACHABLE[:2], ids=repr)
def test_a_server_that_does_not_answer_is_not_asked_again(imdb_reviews, monkeypatch, failure):
    monkeypatch.setattr(requests, "head", failing(failure))
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", failing(AssertionError))
    with pytest.raises(ZooError, match="can't be reached"):
        data.open_corpus(Sentiment, "imdb_reviews")


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyError("a bug")], ids=repr)
def test_other_failures_of_a_download_are_not_called_unreachable(imdb_reviews, monkeypatch, failure):
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", failing(failure))
    with pytest.raises(type(failure)):
        data.open_corpus(Sentiment, "imdb_reviews")


# Batches --------------------------------------------------------------------------------------------------------------

LENGTHS = [0, 1, 3, 8, 9, 9, 12, 13, 14, 20, 25, 40, 50, 63, 64, *range(2, 60)]


def encode(examples):
    """Sequences that hold their own example's number, 1 and up, as often as the example is long."""
    return tf.RaggedTensor.from_row_lengths(tf.repeat(examples["n"], examples["length"]), examples["length"]), examples[
        "n"
    ]


def batched(batch_size, seed=None):
    examples = tf.data.Dataset.from_tensor_slices({"n": np.arange(len(LENGTHS)) + 1, "length": LENGTHS})
    return data.batches(data.encoded(examples, encode), batch_size, 64, seed)


def test_padding_is_never_wider_than_the_longest_of_the_batch_and_wastes_less_than_half():
    for x, n in batched(4).as_numpy_iterator():
        lengths = np.array(LENGTHS)[n - 1]
        assert x.shape == (len(n), lengths.max())
        assert ((x == n[:, None]).sum(1) == lengths).all() and ((x != 0).sum(1) == lengths).all()
        assert lengths.max() <= 8 or lengths.min() * 2 >= lengths.max()


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_one_pass_holds_every_example_once(batch_size):
    batches = list(batched(batch_size).as_numpy_iterator())
    assert max(len(n) for _, n in batches) <= batch_size
    assert sorted(np.concatenate([n for _, n in batches])) == list(range(1, len(LENGTHS) + 1))


@pytest.mark.parametrize("fixed", [(30,), (5, 40, 2)], ids=str)
def test_parts_of_a_fixed_size_are_no_sequences(fixed):
    """Batches are by the length of the other parts; where all are of a fixed size, none is left out."""
    examples = tf.data.Dataset.from_tensor_slices(LENGTHS)
    pictured = examples.map(lambda n: ({"a": tf.fill(fixed, n), "b": tf.ones([n])}, n))
    seen = []
    for x, n in data.batches(pictured, 4, 64).as_numpy_iterator():
        assert x["a"].shape == (len(n), *fixed) and (x["a"].reshape(len(n), -1) == n[:, None]).all()
        assert x["b"].shape == (len(n), n.max()) and (x["b"].sum(1) == n).all()
        assert n.max() <= 8 or n.min() * 2 >= n.max()
        seen += n.tolist()
    assert sorted(seen) == sorted(LENGTHS)
    only = examples.map(lambda n: (tf.fill(fixed, n), n))
    assert sorted(n for _, y in data.batches(only, 4, 64).as_numpy_iterator() for n in y) == sorted(LENGTHS)


def test_each_shuffled_pass_holds_every_example_once_in_an_order_of_its_own():
    size = len(LENGTHS)
    numbers = [int(n[0]) for _, n in batched(1, seed=3).take(3 * size)]
    passes = [numbers[i : i + size] for i in range(0, 3 * size, size)]
    assert all(sorted(p) == list(range(1, size + 1)) for p in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]


def test_shuffled_batches_are_full_and_leave_nobody_behind():
    batches = list(batched(4, seed=3).take(10 * len(LENGTHS) // 4).as_numpy_iterator())
    assert {len(n) for _, n in batches} == {4}
    seen = collections.Counter(int(n) for _, batch in batches for n in batch)
    assert set(seen) == set(range(1, len(LENGTHS) + 1)) and max(seen.values()) - min(seen.values()) <= 4


def test_the_seed_decides_the_batches():
    first, again, other = ([n.tolist() for _, n in batched(4, seed).take(40).as_numpy_iterator()] for seed in (3, 3, 4))
    assert first == again != other


def test_skipping_leads_to_the_same_batches():
    whole, rest = batched(4, 3).take(45), batched(4, 3).skip(30).take(15)
    after = [n.tolist() for _, n in whole.as_numpy_iterator()][30:]
    assert after == [n.tolist() for _, n in rest.as_numpy_iterator()]


def _times(x, n, factor):
    return x | {"b": x["b"] * factor}, n


def changed(seed):
    """Batches whose examples are changed by a random number each: [target, number], in order."""
    examples = tf.data.Dataset.range(20).map(lambda n: ({"a": tf.fill([n + 1], n), "b": tf.ones([n + 1])}, n))
    draw = lambda examples, seed: _times(*examples[0], tf.random.stateless_uniform([], seed))
    batches = data.batches(examples, 4, 64, seed, augment=draw).take(15)
    return [(n.tolist(), x["b"][:, 0].tolist()) for x, n in batches.as_numpy_iterator()]


def test_augmentation_is_new_in_every_pass_and_follows_from_the_seed():
    first, again, other = map(changed, (3, 3, 4))
    assert first == again != other
    drawn = [value for _, values in first for value in values]
    assert len(set(drawn)) == len(drawn) == 60 and min(drawn) > 0 and max(drawn) < 1


def test_encoded_examples_in_memory_are_read_once():
    reads = []
    count = lambda: (reads.append(n) or n for n in range(1, 8))
    examples = tf.data.Dataset.from_generator(count, output_signature=tf.TensorSpec([], tf.int32))
    kept = examples.map(lambda n: (tf.fill([n], n), n)).cache()
    assert data.count(kept) == 7
    list(data.batches(kept, 2, 64, seed=1).take(20))
    assert len(reads) == 7
