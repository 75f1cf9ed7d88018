"""Models of pictures: what is a picture, batches, features, attention, and the command line; by a made-up captioner."""

import io
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zoo import demo, serving
from zoo.errors import ZooError
from zoo.picture_model import BATCH, PictureModel

IMAGE = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
OPTIONS = {"beam_width": 3, "max_length": 0}


class Captioner(tf.Module):
    """Says the mean of the first channel, in two words; alternatives: as many as the beam is wide, less one."""

    def describe(self, batch, width, length):
        means = tf.reduce_mean(tf.cast(batch, tf.float32), list(range(1, batch.shape.rank)))
        value = tf.strings.as_string(means, precision=3)
        others = tf.tile(value[:, None], [1, width - 1])
        return {
            "text": tf.strings.join(["a $", value, tf.where(length > 0, " " + tf.strings.as_string(length), "")]),
            "score": -means,
            "alternatives_text": others,
            "alternatives_score": tf.zeros(tf.shape(others)),
            "alternatives_count": tf.fill([tf.shape(means)[0]], width - 1),
        }

    @tf.function
    def image(self, image):
        return self.describe(image, 3, 0)

    @tf.function
    def search_image(self, image, beam_width, max_length):
        return self.describe(image, beam_width, max_length)

    @tf.function
    def features(self, features):
        return self.describe(features, 3, 0)

    @tf.function
    def look(self, image):
        """Uniform for the first word, the middle for the second."""
        grids = tf.concat([tf.fill([1, 2, 3], 1 / 6), [[[0.0, 0, 0], [0, 1, 0]]], tf.fill([2, 2, 3], 1 / 6)], 0)
        count = tf.shape(image)[0]
        return {
            "pieces": tf.tile([["\u2581a", "\u2581$", "</s>", ""]], [count, 1]),
            "weights": tf.tile(grids[None], [count, 1, 1, 1]),
        }


def saved(folder, module, **signatures):
    """The path of a version's folder, with a card."""
    path = folder / "captioning" / "1"
    tf.saved_model.save(module, str(path), signatures=signatures)
    card = {"task": "captioning", "version": 1, "summary": "", "files": serving.inventory(path)}
    card |= {"options": OPTIONS} if "search" in signatures else {}
    (path / serving.CARD).write_text(json.dumps(card))
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    module = Captioner()
    numbers = {name: tf.TensorSpec([], tf.int32, name=name) for name in OPTIONS}
    return saved(
        tmp_path_factory.mktemp("pictures"),
        module,
        serving_default=module.image.get_concrete_function(IMAGE),
        search=module.search_image.get_concrete_function(IMAGE, **numbers),
        attention=module.look.get_concrete_function(IMAGE),
    )


@pytest.fixture(scope="module")
def model(exported):
    return serving.load(exported)


@pytest.fixture(scope="module")
def of_features(tmp_path_factory):
    spec = tf.TensorSpec([None, None, 5], tf.float32, name="features")
    module = Captioner()
    folder = tmp_path_factory.mktemp("features")
    return serving.load(saved(folder, module, serving_default=module.features.get_concrete_function(spec)))


def picture(height=4, width=6, seed=0):
    return np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def mean(answer) -> float:
    return float(re.match(r"a \$([\d.]+)", answer["text"])[1])


# Pictures -------------------------------------------------------------------------------------------------------------


def test_load_finds_what_the_model_takes(model, of_features):
    assert type(model) is type(of_features) is PictureModel
    assert not model.takes_features and of_features.takes_features


def test_a_caption_with_its_alternatives(model):
    pixels = picture()
    answer = model(pixels)
    assert mean(answer) == pytest.approx(pixels.mean(), abs=2e-3)
    assert answer["score"] == pytest.approx(-pixels.mean(), rel=1e-5)
    assert answer["alternatives"] == [{"text": answer["text"][3:], "score": 0.0}] * 2


def test_a_picture_may_be_an_array_a_path_or_bytes(model, tmp_path):
    pixels = picture()
    file = tmp_path / "p.png"
    file.write_bytes(png(pixels))
    alike = [pixels, file, str(file), file.read_bytes(), tf.constant(pixels), Image.fromarray(pixels)]
    answers = [model(value) for value in alike]
    assert answers == [answers[0]] * len(alike) == model(alike)
    assert model(np.stack([pixels] * 3)) == model(iter([pixels] * 3)) == answers[:3]


@pytest.mark.parametrize("channels", [0, 1, 4])
def test_grey_and_transparent_pictures(model, channels):
    pixels = picture()[..., :1]
    if channels == 4:
        alpha = np.full([4, 6, 1], 255, np.uint8)
        alpha[:, :3] = 0  # the left half shows the white ground
        given = np.concatenate([np.repeat(pixels, 3, -1), alpha], -1)
        expected = (pixels[:, 3:].mean() + 255) / 2
    else:
        given, expected = pixels if channels else pixels[..., 0], pixels.mean()
    assert mean(model(given)) == pytest.approx(expected, abs=2e-3)


def test_pictures_of_many_sizes_are_answered_in_their_order(model, monkeypatch):
    monkeypatch.setattr("zoo.picture_model.HELD_VALUES", 2000)
    monkeypatch.setattr("zoo.picture_model.BATCH_VALUES", 1500)
    sizes = np.random.default_rng(1).integers(1, 30, size=(200, 2)) // 9 * 9 + 1
    given = [picture(h, w, seed) for seed, (h, w) in enumerate(sizes)]
    ticks = []
    answers = model.answers(iter(given), progress=lambda done, total: ticks.append((done, total)))
    assert [mean(answer) for answer in answers] == pytest.approx([pixels.mean() for pixels in given], abs=2e-3)
    assert [done for done, _ in ticks] == sorted({done for done, _ in ticks}) and ticks[-1] == (200, 200)
    model.answers((p for p in given[:3]), progress=lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (3, None)  # a generator doesn't know how many


def test_batches_and_what_waits_are_bounded(model, monkeypatch):
    monkeypatch.setattr("zoo.picture_model.HELD_VALUES", 9000)
    monkeypatch.setattr("zoo.picture_model.BATCH_VALUES", 3000)
    run, read, batches, ahead = model.signature, 0, [], []

    def counted(name):
        def call(image):
            batches.append(image.shape.as_list())
            ahead.append(read - sum(n * h * w * c for n, h, w, c in batches[:-1]))
            return run(name)(image=image)

        return call

    def reading():
        nonlocal read
        for i in range(300):
            pixels = picture(*[(1, 1), (20, 20), (40, 50), (3, 5 + i)][i % 4])
            read += pixels.size
            yield pixels

    monkeypatch.setattr(model, "signature", counted, raising=False)
    model._shape, model._input  # noqa: B018 - they look into the signature
    assert len(model.answers(reading())) == 300
    assert max(n for n, *_ in batches) == BATCH
    assert all(n == 1 or np.prod([n, *size]) <= 3000 for n, *size in batches)
    assert max(ahead) <= 9000 + 40 * 50 * 3


@pytest.mark.parametrize("given", [[], iter([]), np.zeros([0, 3, 3, 3], np.uint8)], ids=["list", "iterator", "array"])
def test_no_pictures(model, given):
    assert model(given) == []


def test_options(model):
    pixels = picture()
    assert model(pixels, beam_width=3) == model(pixels)
    answer = model([pixels], beam_width=5, max_length=7)[0]
    assert len(answer["alternatives"]) == 4 and answer["text"].endswith(" 7")
    for wrong in ({"beam_width": 0}, {"beam_width": 2.0}, {"max_length": -1}, {"width": 3}):
        with pytest.raises(ZooError, match=f"option '?{next(iter(wrong))}"):
            model(pixels, **wrong)


WRONG = {
    "floats": np.zeros([4, 4, 3], np.float32),
    "16 bits": np.zeros([4, 4, 3], np.uint16),
    "two channels": np.zeros([4, 4, 2], np.uint8),
    "no pixels": np.zeros([0, 4, 3], np.uint8),
    "a line": np.zeros([4], np.uint8),
    "a batch": np.zeros([2, 4, 4, 3], np.uint8),
    "nothing": None,
    "a number": 3,
    "a ragged list": [[1, 2], [3]],
    "text in bytes": b"no picture",
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_picture_is_named_by_its_place(model, case):
    with pytest.raises(ZooError, match=r"^input 1: .*expected|^input 1: not an array") as error:
        model([picture(), WRONG[case]])
    assert "\n" not in str(error.value)


def test_what_is_no_picture_alone(model, tmp_path):
    for wrong in (None, 3, np.zeros(3, np.uint8)):
        with pytest.raises(ZooError, match="^input 0: "):
            model(wrong)
    with pytest.raises(ZooError, match=f"^{tmp_path}/none.png: "):
        model([picture(), tmp_path / "none.png"])


def test_an_array_of_too_many_pixels(model):
    vast = np.broadcast_to(np.uint8(0), [20_000, 20_000, 3])  # takes no memory
    with pytest.raises(ZooError, match="expected at most 100,000,000 pixels"):
        model(vast)


# Features -------------------------------------------------------------------------------------------------------------


def test_features_of_several_places_or_one(of_features):
    draw = np.random.default_rng(2)
    given = [draw.uniform(1, 9, size=shape) for shape in [(7, 5), (5,), (2, 5), (7, 5), (1, 5)]]
    answers = of_features(given)
    assert [mean(answer) for answer in answers] == pytest.approx([value.mean() for value in given], abs=2e-3)
    assert of_features(given[1]) == answers[1] and of_features(given[0]) == answers[0]
    assert [mean(a) for a in of_features(np.stack([given[0]] * 2))] == [mean(answers[0])] * 2


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        (np.zeros([3, 4]), r"float64 \[3, 4\]; expected features, float \[places, 5\]"),
        (np.zeros([2, 2, 5]), "expected features"),
        (np.full([2, 5], np.nan), "place 0 is not finite"),
        (np.zeros([0, 5]), "expected features"),
        ("photo.jpg", "this model takes features"),
        (b"\xff\xd8", "this model takes features"),
    ],
    ids=str,
)
def test_what_are_no_features(of_features, wrong, part):
    with pytest.raises(ZooError, match=f"^input 1: .*{part}"):
        of_features([np.zeros(5), wrong])


# Attention ------------------------------------------------------------------------------------------------------------


def test_attention_gives_a_map_for_each_word_and_the_end(model, of_features):
    pieces, weights = model.attention(picture())
    assert pieces == ["a", "$", "</s>"] and weights.shape == (3, 2, 3) and weights.dtype == np.float32
    np.testing.assert_array_equal(weights[1], [[0, 0, 0], [0, 1, 0]])
    with pytest.raises(ZooError, match="no attention"):
        of_features.attention(np.zeros(5))


# The demo -------------------------------------------------------------------------------------------------------------


def test_the_demo_takes_a_picture_and_gives_its_caption(exported, of_features, monkeypatch):
    made = {}

    class Gradio:
        """Stands in for the library, which is no part of the tests' environment."""

        Image = staticmethod(lambda **options: options)
        Textbox = staticmethod(lambda **options: options)
        Interface = staticmethod(lambda **options: made.update(options))

    monkeypatch.setitem(__import__("sys").modules, "gradio", Gradio)
    demo.page(exported, "")
    pixels = picture()
    assert made["inputs"]["type"] == "numpy" and mean({"text": made["fn"](pixels)}) == pytest.approx(
        pixels.mean(), abs=0.01
    )
    assert made["fn"](None) == ""
    with pytest.raises(ZooError, match="takes features"):
        demo.page(of_features.path, "")


# The command line -----------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for seed, path in enumerate(paths):
        path.write_bytes(png(picture(30, 40 + seed, seed)))
    return paths


def test_predict_writes_a_line_for_each_picture(zoo, exported, model, photos):
    code, out, err = zoo("predict", "captioning", "--model", exported, *photos)
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines == [{"image": str(path), **model(path)} for path in photos]
    assert list(lines[0]) == ["image", "text", "score", "alternatives"]


def test_predict_takes_options_and_a_file_of_paths(zoo, exported, photos, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in photos))
    argv = ("--file", tmp_path / "list.txt", "--beam-width", 2, "--max-length", 9)
    code, out, _ = zoo("predict", "captioning", "--model", exported, *argv)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [len(line["alternatives"]) for line in lines] == [1, 1]
    assert all(line["text"].endswith(" 9") for line in lines)


def test_in_a_terminal_it_is_the_caption_alone(zoo, exported, model, photos, monkeypatch):
    import sys

    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    code, out, _ = zoo("predict", "captioning", "--model", exported, photos[0])
    assert (code, out) == (0, f"{photos[0]}: {model(photos[0])['text']}\n")


def test_predict_draws_the_picture_with_its_caption_and_the_maps(zoo, refused, exported, photos, tmp_path):
    argv = ("predict", "captioning", "--model", exported)
    drawn = (tmp_path / "new" / "out.png", tmp_path / "maps.png")
    code, _, err = zoo(*argv, photos[0], "--out", drawn[0], "--attention", drawn[1])
    assert code == 0 and err == "".join(f"written: {path}\n" for path in drawn)
    for path in drawn:
        with Image.open(path) as image:
            assert image.format == "PNG" and np.ptp(np.asarray(image.convert("L"))) > 100
    for option in ("--out", "--attention"):
        assert "expected one input to draw, got 2" in refused(*argv, *photos, option, tmp_path / "x.png")
        assert "ends in .png" in refused(*argv, photos[0], option, tmp_path / "x.gif")
    assert not list(tmp_path.glob("x.*"))


def test_predict_refuses_in_one_line(refused, exported, of_features, photos, tmp_path):
    argv = ("predict", "captioning", "--model", exported)
    assert refused(*argv, photos[0], tmp_path / "none.jpg").startswith(f"{tmp_path}/none.jpg: ")
    (tmp_path / "text.jpg").write_text("no picture")
    assert refused(*argv, tmp_path / "text.jpg").startswith(f"{tmp_path}/text.jpg: ")
    assert "beam_width=0" in refused(*argv, photos[0], "--beam-width", 0)
    argv = ("predict", "captioning", "--model", of_features.path)
    assert "this model takes features" in refused(*argv, photos[0])
    assert refused(*argv, photos[0], "--beam-width", 2) == "--beam-width: this captioning model has no such option"
