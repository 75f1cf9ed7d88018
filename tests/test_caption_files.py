"""Captions and pictures of people's own, in every layout, and of TFDS; what is malformed is named with its line."""

import gzip
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from zoo import caption_files
from zoo.errors import ZooError, explain

RANDOM = np.random.default_rng(0)
NAMES = ["a.png", "b.png", "c.png", "d.png"]
PIXELS = {name: RANDOM.integers(0, 256, (5 + i, 7, 3), np.uint8) for i, name in enumerate(NAMES)}
TEXTS = {
    "a.png": ["A dog .", "Two dogs run ."],
    "b.png": ["A cat ."],
    "c.png": ["Sea", "Sand", "Sun"],
    "d.png": ["Rain"],
}


def write_pictures(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(PIXELS[name]).save(folder / name)
    return folder


def lines(names=NAMES, numbered=False):
    rows = [(f"{name}#{i}" if numbered else name, text) for name in names for i, text in enumerate(TEXTS[name])]
    return "".join(f"{name}\t{text}\n" for name, text in rows)


@pytest.fixture
def folder(tmp_path):
    """Four pictures, a.png to d.png, with their captions."""
    (write_pictures(tmp_path) / "captions.txt").write_text(lines())
    return tmp_path


def rows(path):
    """Split -> name -> (pixels or features, captions), with errors as the command line would report them."""
    splits = {}
    try:
        for split, data in caption_files.read(path).items():
            found = list(data.as_numpy_iterator())
            assert len(found) == int(data.cardinality())
            given = [row.get("image", row.get("features")) for row in found]
            captions = [[text.decode() for text in row["captions"]] for row in found]
            names = [row["name"].decode() for row in found]
            splits[split] = dict(zip(names, zip(given, captions, strict=True), strict=True))
            assert len(splits[split]) == len(found)
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        raise ZooError(line) from error
    return splits


def check(found, names=NAMES):
    assert list(found) == list(names)
    for name, (pixels, captions) in found.items():
        np.testing.assert_array_equal(pixels, PIXELS[name])
        assert captions == TEXTS[name]


def refusal(path):
    with pytest.raises(ZooError) as caught:
        rows(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Layouts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["captions.txt", "captions.tsv", "Flickr8k.token.txt", "captions.txt.gz"])
@pytest.mark.parametrize("below", ["", "images", "Flicker8k_Dataset/more"])
def test_captions_by_tab(name, below, tmp_path, capsys):
    write_pictures(tmp_path / below)
    text = lines(numbered="token" in name).replace("\n", "\r\n").encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    found = rows(tmp_path)
    assert list(found) == ["train"]
    check(found["train"])
    assert not capsys.readouterr().err


def test_a_csv_header_makes_it_csv(tmp_path):
    write_pictures(tmp_path / "Images", ["a.png", "b.png"])
    text = 'image,caption\na.png,"A ""big"" dog, and a cat"\na.png,Dogs\nb.png, A cat \n'
    for name in ("captions.txt", "captions.csv"):
        (tmp_path / name).write_text(text)
        found = rows(tmp_path)["train"]
        assert [found[name][1] for name in ("a.png", "b.png")] == [['A "big" dog, and a cat', "Dogs"], ["A cat"]]
        (tmp_path / name).unlink()
    (tmp_path / "captions.tsv").write_text("image\tcaption\na.png\tA dog, and a cat\nb.png\tA cat\n")
    assert rows(tmp_path)["train"]["a.png"][1] == ["A dog, and a cat"]


@pytest.mark.parametrize("suffix", ["", ".png"])
@pytest.mark.parametrize("pattern", ["{}.txt", "Flickr_8k.{}Images.txt"])
def test_split_lists(pattern, suffix, folder, capsys):
    for name, split in zip(("train", "dev", "test"), (["c", "a"], ["b"], ["d"]), strict=True):
        (folder / pattern.format(name)).write_text("".join(f"{picture}{suffix}\n" for picture in split))
    found = rows(folder)
    assert list(found) == ["train", "dev", "test"]
    for split, expected in zip(found.values(), (["c.png", "a.png"], ["b.png"], ["d.png"]), strict=True):
        check(split, expected)
    assert not capsys.readouterr().err


def test_what_no_split_names_is_left_alone_and_told(folder, capsys):
    """As in Flickr8k, where captions of a picture that never was come with the others."""
    with open(folder / "captions.txt", "a") as file:
        file.write("e.png.1#0\tNothing\ne.png.1#1\tNobody\n")
    Image.new("L", (3, 3)).save(folder / "x.png")
    (folder / "train.txt").write_text("a.png\nb.png\n")
    (folder / "val.txt").write_text("c.png\n\n")
    found = rows(folder)
    check(found["train"], ["a.png", "b.png"])
    check(found["dev"], ["c.png"])
    assert capsys.readouterr().err.splitlines() == [
        f"zoo: note: {folder}/captions.txt: 3 captions of 2 pictures that are in no split; left alone",
        f"zoo: note: {folder}: 1 pictures without captions; left alone",
    ]


def test_a_folder_for_each_split(tmp_path):
    for split, names in (("train", ["a.png", "b.png"]), ("validation", ["c.png"]), ("test", ["d.png"])):
        (write_pictures(tmp_path / split / "images", names).parent / "captions.tsv").write_text(lines(names))
    found = rows(tmp_path)
    assert list(found) == ["train", "dev", "test"]
    for split, names in zip(found.values(), (["a.png", "b.png"], ["c.png"], ["d.png"]), strict=True):
        check(split, names)
    (tmp_path / "test" / "captions.tsv").unlink()
    assert refusal(tmp_path).startswith(f"{tmp_path}/test: no captions file; expected pictures")


def test_pictures_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for below, name in (("x", "a.png"), ("y", "b.png")):
        write_pictures(tmp_path / below, [name])
        (tmp_path / below / name).rename(tmp_path / below / "1.png")
    (tmp_path / "captions.txt").write_text("x/1.png\tA dog\ny\\1\tA cat\n")
    found = rows(tmp_path)["train"]
    assert {name: captions for name, (_, captions) in found.items()} == {"x/1.png": ["A dog"], "y/1.png": ["A cat"]}
    np.testing.assert_array_equal(found["y/1.png"][0], PIXELS["b.png"])
    (tmp_path / "captions.txt").write_text("x/1.png\tA dog\n1.png\tA cat\n")
    message = "captions.txt: line 2: '1.png' may be x/1.png or y/1.png in {0}; expected one of that name"
    assert refusal(tmp_path) == f"{tmp_path}/{message.format(tmp_path)}"


def test_text_in_a_folder_of_its_own_hidden_files_and_circular_links(tmp_path):
    write_pictures(tmp_path / "data" / "Flicker8k_Dataset")
    (tmp_path / "data" / "._a.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / "data" / "round").symlink_to(tmp_path)
    text = tmp_path / "Flickr8k_text"
    text.mkdir()
    (text / "Flickr8k.token.txt").write_text(lines(numbered=True))
    (text / "Flickr_8k.trainImages.txt").write_text("a.png\nb.png\nc.png\nd.png\n")
    check(rows(tmp_path)["train"])


def test_of_several_captions_files_one_is_read_and_the_others_are_named(folder, capsys):
    (folder / "captions.txt").rename(folder / "Flickr8k.token.txt")
    (folder / "Flickr8k.token.txt.gz").write_bytes(b"what it was unpacked from")
    (folder / "Flickr8k.lemma.token.txt").write_text("a.png\ta dog\n")
    check(rows(folder)["train"])
    note = "zoo: note: {0}/Flickr8k.token.txt is taken as the captions file; not read: Flickr8k.lemma.token.txt\n"
    assert capsys.readouterr().err == note.format(folder)


def test_bytes_that_are_not_utf8_are_replaced_and_told(folder, capsys):
    (folder / "captions.txt").write_bytes(b"a.png\tcaf\xe9\nb.png\tb\nc.png\tc\nd.png\td\n")
    assert rows(folder)["train"]["a.png"][1] == ["caf\ufffd"]
    assert f"{folder}/captions.txt: 1 lines with bytes that are not UTF-8" in capsys.readouterr().err


# Features -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 6)])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.uint8])
def test_features(dtype, shape, tmp_path):
    features = RANDOM.uniform(0, 9, (4, *shape)).astype(dtype)
    np.savez(tmp_path / "mobilenet.npz", ids=["d.png", "c.png", "b", "a.png"], features=features)
    (tmp_path / "captions.txt").write_text(lines())
    found = rows(tmp_path)["train"]
    assert list(found) == ["a.png", "b", "c.png", "d.png"]
    for name, row, (given, captions) in zip(NAMES, features[::-1], found.values(), strict=True):
        assert given.dtype == np.float32 and captions == TEXTS[name]
        np.testing.assert_array_equal(given, [row[place].astype(np.float32) for place in np.ndindex(shape[:-1])])


def test_features_go_before_pictures(folder, capsys):
    np.savez(folder / "features.npz", names=np.array(NAMES, "S"), features=np.eye(4))
    assert rows(folder)["train"]["b.png"][0].tolist() == [[0, 1, 0, 0]]
    assert f"{folder}/features.npz is read; the 4 pictures in {folder} are left alone" in capsys.readouterr().err
    (folder / "features.npz").rename(folder / "other.npz")  # which may be anything
    check(rows(folder)["train"])


ODD = np.ones([4, 3, 2])
ODD[2, 1, 0] = np.nan
RAGGED = np.array([[1], [1, 2], [1], [1]], object)
NUMBERS = "expected numbers [N, F], [N, places, F] or [N, rows, columns, F], all of one width"


@pytest.mark.parametrize(
    ("names", "features", "message"),
    [
        (NAMES, ODD, "features of 'c.png' are not finite; expected finite float32 numbers"),
        (NAMES, 1e39 * ODD, "features of 'a.png' are not finite; expected finite float32 numbers"),
        (NAMES, RAGGED, f"features are object of shape [4]; {NUMBERS}"),
        (NAMES, [["x"]] * 4, f"features are <U1 of shape [4, 1]; {NUMBERS}"),
        (NAMES, np.ones(4), f"features are float64 of shape [4]; {NUMBERS}"),
        (NAMES, np.eye(3), "4 names and 3 features; expected as many"),
        (range(4), np.eye(4), "names are int64 of shape [4]; expected strings [N], names of pictures"),
        (["a", "b", "a", "c"], np.eye(4), "names: 'a' is there twice; expected each picture once"),
    ],
)
def test_malformed_features(names, features, message, tmp_path):
    (tmp_path / "captions.txt").write_text(lines())
    np.savez(tmp_path / "features.npz", names=names, features=features)
    assert refusal(tmp_path) == f"{tmp_path}/features.npz: {message}"
    np.savez(tmp_path / "features.npz", ids=names, q=features)
    assert refusal(tmp_path).endswith("/features.npz: expected the arrays names and features; found ids, q")


def test_features_that_are_missing_damaged_or_of_two_widths(tmp_path):
    (tmp_path / "captions.txt").write_text(lines())
    np.savez(tmp_path / "features.npz", names=NAMES[:2], features=np.eye(2))
    expected = f"{tmp_path}/captions.txt: line 4: 'c.png' is not among the 2 names in {tmp_path}/features.npz; expected"
    assert refusal(tmp_path).startswith(expected)
    (tmp_path / "features.npz").write_bytes((tmp_path / "features.npz").read_bytes()[:200])
    assert refusal(tmp_path).startswith(f"{tmp_path}/features.npz: damaged or cut off? expected a whole npz file")
    (tmp_path / "captions.txt").unlink()
    for split, width in (("train", 4), ("test", 5)):
        (tmp_path / split).mkdir()
        (tmp_path / split / "captions.txt").write_text(lines())
        np.savez(tmp_path / split / "features.npz", names=NAMES, features=np.ones([4, width]))
    assert refusal(tmp_path) == f"{tmp_path}: test has features of width 5; expected features of width 4, as train has"


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png\tA dog\nb.png A cat\n", "line 2: no tab in 'b.png A cat'; expected name<TAB>caption"),
        ("a.png#0\tA dog\na.png#1\t \n", "line 2: the caption is empty; expected name<TAB>caption"),
        ("\tA dog\n", "line 1: the name is empty; expected name<TAB>caption"),
        ("", "the file is empty; expected lines name<TAB>caption"),
        ("\n \n", "the file is empty; expected lines name<TAB>caption"),
        ("a.png\tA dog\n\ne.png#0\tA cat\n", "line 3: 'e.png' is not among the 4 pictures in {}; expected one of them"),
        ("image,caption\na.png,A dog\nb.png,\n", "line 3: the caption is empty; expected name<TAB>caption"),
        ("image,caption\na.png,A dog, running\n", "line 2: 3 fields, expected 2"),
        ("image,caption\na.png,A dog\ne.png,A cat\n", "line 3: 'e.png' is not among the 4 pictures in {}; expected"),
    ],
)
def test_malformed_captions(text, message, folder):
    (folder / "captions.txt").write_text(text)
    found, start = refusal(folder), f"{folder}/captions.txt: "
    assert found.startswith(start) and found.removeprefix(start).startswith(message.format(folder))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.txt", "a.png\nq.png\n", "line 2: 'q.png' is not among the 4 pictures in {}; expected one of them"),
        ("dev.txt", "b.png\n\nd.png\n", "line 3: no caption of 'd.png' in {}/captions.txt; expected at least one"),
        ("test.txt", "b.png\na\n", "line 2: 'a' is also in {}/train.txt: line 1; expected each picture in one split"),
        ("train.txt", "a.png\na.png\n", "line 2: 'a.png' is also in {}/train.txt: line 1; expected each picture"),
        ("test.txt", "", "the file is empty; expected"),
        ("test.txt", "\n \n", "no names of pictures; expected one on each line"),
    ],
)
def test_malformed_split_lists(name, text, message, folder):
    (folder / "captions.txt").write_text(lines(NAMES[:3]))
    (folder / "train.txt").write_text("a.png\n")
    (folder / name).write_text(text)
    assert refusal(folder).startswith(f"{folder}/{name}: {message.format(folder)}")


def test_folders_that_lack_something(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path}: no captions file; expected pictures (.jpg .jpeg ")
    assert refusal(tmp_path).endswith("; found nothing")
    (tmp_path / "captions.txt").write_text(lines())
    assert refusal(tmp_path).startswith(f"{tmp_path}: no pictures; expected pictures (.jpg")
    assert refusal(tmp_path / "captions.txt").startswith(f"{tmp_path}/captions.txt: not a folder; expected one with")
    assert refusal(tmp_path / "none").startswith(f"{tmp_path}/none: not a folder; expected one with")
    for name in ("one", "two"):
        np.savez(tmp_path / name, names=NAMES, features=np.eye(4))
    assert refusal(tmp_path) == f"{tmp_path}: 2 npz files; expected a single one, or features.npz"


def test_a_damaged_picture_is_named_when_it_is_decoded(folder):
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:60])
    assert set(caption_files.read(folder)) == {"train"}
    assert refusal(folder).startswith(f"{folder}/c.png: damaged or cut off? expected a whole picture")
    (folder / "c.png").write_text("These are no pixels.")
    assert refusal(folder).startswith(f"{folder}/c.png: no picture; expected a picture (JPEG")


# TFDS -----------------------------------------------------------------------------------------------------------------


def test_coco_captions(mocked_tfds):
    builder = mocked_tfds("coco_captions", ("train", "val", "test", "restval"), 3)
    found = caption_files.from_tfds(builder)
    assert list(found) == ["train", "dev", "test"]
    for split, name in zip(found.values(), ("train", "val", "test"), strict=True):
        assert int(split.cardinality()) == 3
        expected = list(builder.as_dataset(split=name).as_numpy_iterator())
        for row, raw in zip(split.as_numpy_iterator(), expected, strict=True):
            assert set(row) == {"image", "captions", "name"}
            np.testing.assert_array_equal(row["image"], raw["image"])
            assert row["captions"].tolist() == [text.strip() for text in raw["captions"]["text"]]
            assert row["name"] == raw["image/filename"]


def builder_of(folder, features, examples):
    class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": enumerate(examples)}

        _generate_examples = None  # which is abstract

    builder = Pictures(data_dir=folder)
    builder.download_and_prepare()
    return builder


TEXT, SEVERAL = tfds.features.Text(), tfds.features.Sequence(tfds.features.Text())
IMAGES = {channels: tfds.features.Image(shape=(None, None, channels)) for channels in (1, 3, 4)}


def test_texts_wherever_they_are(tmp_path):
    """As in Flickr30k: a list of texts; in others a text, several of them, or one below a key of another language."""
    image = PIXELS["a.png"]
    spoken = {"lang": TEXT, "words": SEVERAL, "text": TEXT}
    two = [{"lang": "en", "text": "A dog"}, {"lang": "de", "text": "Hunde"}]
    corpora = [
        (dict(captions=SEVERAL), dict(captions=["A dog", " ", "Dogs "]), [b"A dog", b"Dogs"]),
        (dict(caption=TEXT, text=TEXT), dict(caption="A dog", text="no"), [b"A dog"]),
        (dict(caption_1=TEXT, caption_2=TEXT), dict(caption_1="A dog", caption_2="Dogs"), [b"A dog", b"Dogs"]),
        (dict(texts=SEVERAL), dict(texts=["A dog"]), [b"A dog"]),
        (dict(captions=tfds.features.Sequence({"lang": TEXT, "text": TEXT})), dict(captions=two), [b"A dog", b"Hunde"]),
        (dict(caption=spoken), dict(caption=dict(lang="en", words=["a", "dog"], text="A dog")), [b"A dog"]),
    ]
    for i, (features, example, expected) in enumerate(corpora):
        builder = builder_of(tmp_path / str(i), dict(image=IMAGES[3], **features), [dict(image=image, **example)])
        (row,) = caption_files.from_tfds(builder)["train"].as_numpy_iterator()
        assert sorted(row["captions"].tolist()) == expected and row["name"] == b"train-0"
        np.testing.assert_array_equal(row["image"], image)


def test_images_of_tfds_become_rgb(tmp_path):
    pixels = RANDOM.integers(0, 256, (6, 5, 4), np.uint8)
    mixed = pixels[..., :3] * (pixels[..., 3:] / 255) + 255 - pixels[..., 3:].astype(float)
    for channels, expected in ((1, np.repeat(pixels[..., :1], 3, -1)), (4, np.round(mixed))):
        features = dict(picture=IMAGES[channels], captions=SEVERAL, name=TEXT)
        example = dict(picture=pixels[..., :channels], captions=["Noise"], name="me")
        data = caption_files.from_tfds(builder_of(tmp_path / str(channels), features, [example]))["train"]
        assert data.element_spec["image"] == tf.TensorSpec([None, None, 3], tf.uint8)
        (row,) = data.as_numpy_iterator()
        np.testing.assert_array_equal(row["image"], expected)
        assert row["name"] == b"me"


def test_a_tfds_corpus_without_images_or_captions():
    for features in (
        dict(image=IMAGES[3], label=TEXT),
        dict(captions=SEVERAL),
        dict(image=IMAGES[3], other=IMAGES[3], captions=SEVERAL),
        dict(image=IMAGES[3], captions=tfds.features.Sequence(SEVERAL)),
    ):
        info = types.SimpleNamespace(features=tfds.features.FeaturesDict(features), full_name="pictures/1.0.0")
        message = r"^TFDS pictures/1.0.0 is no corpus of captions: expected one image and texts .*, found (\w|, )+$"
        with pytest.raises(ZooError, match=message):
            caption_files.from_tfds(types.SimpleNamespace(info=info))


def test_a_tfds_example_without_captions(tmp_path):
    example = dict(image=PIXELS["a.png"], captions=["", " "])
    builder = builder_of(tmp_path, dict(image=IMAGES[3], captions=SEVERAL), [example])
    with pytest.raises(tf.errors.OpError) as caught:
        list(caption_files.from_tfds(builder)["train"])
    assert explain(caught.value) == "TFDS pictures/1.0.0, train: an example without captions; expected at least one"
