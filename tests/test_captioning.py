"""The captioning task from end to end: sources, training, and what the SavedModel answers."""

import dataclasses
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tasks.captioning import Captioning, Config
from zoo import ZooError, data, serving, training
from zoo.run import Run
from zoo.subwords import END_ID, START_ID

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (30, 30, 230), "white": (250, 250, 250)}
SIDES = ("left", "right")


def scene(number):
    """A square on black: picture, colour, side."""
    draw = np.random.default_rng(number)
    colour, side = list(COLOURS)[number % 4], SIDES[number // 4 % 2]
    picture = np.zeros([20, 24, 3], np.uint8)
    left = draw.integers(1, 4) + 12 * (side == "right")
    picture[6:15, left : left + 8] = COLOURS[colour]
    return picture, colour, side


def captions(number):
    """Three of most; one of number 0, five of number 1. Whole words are subwords."""
    _, colour, side = scene(number)
    found = [f"A {colour} square, {side} .", f"{side.capitalize()}: {colour}!", f"square {colour} ."]
    return found[:1] if number == 0 else found + [f"{colour} .", f"{side} !"] * (number == 1)


def write(folder, sizes=(48, 6, 8)):
    names = iter(range(sum(sizes)))
    lines = []
    for split, size in zip(("train", "dev", "test"), sizes, strict=True):
        numbers = [next(names) for _ in range(size)]
        (folder / f"{split}.txt").write_text("".join(f"{n}.png\n" for n in numbers))
        for n in numbers:
            Image.fromarray(scene(n)[0]).save(folder / f"{n}.png")
            lines += [f"{n}.png#{i}\t{caption}\n" for i, caption in enumerate(captions(n))]
    (folder / "captions.txt").write_text("".join(lines))
    return folder


def command(files, runs, *settings):
    values = ["size=16", "units=16", "embedding_dim=12", "vocabulary_size=60", "captions=3", "max_length=7"]
    values += ["epochs=12", "patience=0", "batch_size=4", "learning_rate=0.02", *settings]
    given = [part for value in values for part in ("--set", value)]
    return ["train", "captioning", "--data", str(files), "--runs", str(runs), "--preset", "small", *given]


def trained(files, runs, *settings):
    from zoo import cli

    assert cli.main(command(files, runs, *settings)) == 0
    return Run("captioning", str(files), runs)


def fitted(files, runs, *settings):
    """The model, and the rows of its history: training without an export."""
    run = Run("captioning", str(files), runs)
    task = run.prepare(run.configure("small", [v for v in command(files, runs, *settings) if "=" in v]))
    batches, dev, size = run.batches(task)
    steps, config = run.steps(task, size), task.config
    model = task.compiled(config.epochs * steps)
    state = training.fit(model, batches, dev, config, run.folder, steps, task.monitor, say=lambda line: None)
    return model, state.history


def history(run):
    header, *rows = (line.split(",") for line in (run.folder / "history.csv").read_text().splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    return trained(files, tmp_path_factory.mktemp("runs"), "doubly_stochastic=0.1")


@pytest.fixture(scope="module")
def model(run):
    return serving.load(run.folder / "export")


# Training and scores --------------------------------------------------------------------------------------------------

SCORES = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider", "chrf"]


def test_it_learns_and_reports(run, zoo, files):
    rows = history(run)
    assert float(rows[-1]["dev_loss"]) < 0.7 * float(rows[0]["dev_loss"])
    assert {"loss", "accuracy", "dev_loss", "dev_accuracy", "dev_reward"} < set(rows[0]) and "reward" not in rows[0]
    code, out, err = zoo("evaluate", "captioning", "--data", files, "--runs", run.folder.parent.parent)
    assert code == 0, err
    folder = run.folder / "evaluation/test"
    report = json.loads((folder / "report.json").read_text())["report"]
    assert sorted(path.name for path in folder.iterdir()) == ["captions.png", "report.json"]
    assert set(report) == {
        *SCORES,
        *(f"{name}_95" for name in SCORES),
        *("pictures", "length_ratio", "distinct", "vocabulary", "searches", "people"),
    }
    assert report["pictures"] == 8 and 0 < report["rouge_l"] <= 100 and report["people"]["pictures"] == 8
    assert [row["search"] for row in report["searches"]] == ["greedy", "beam 3", "beam 5"]
    assert report["searches"][1]["bleu_4"] == report["bleu_4"]  # the default is a beam of 3
    assert Image.open(folder / "captions.png").size[0] > 800
    assert "CIDEr-D" in out and "people" in out


# Answers --------------------------------------------------------------------------------------------------------------


def png(picture):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def test_answers_with_alternatives(model, run):
    picture = scene(60)[0]
    answer = model(picture)
    assert set(answer) == {"text", "score", "alternatives"} and answer["text"] and answer["score"] < 0
    texts = [answer["text"], *(a["text"] for a in answer["alternatives"])]
    assert 2 <= len(texts) == len(set(texts)) <= 3 and all(texts)
    assert {*answer["text"].split()} & {*COLOURS, *SIDES, "a", "square"} and answer["text"] == answer["text"].lower()


def test_a_picture_may_be_an_array_a_path_or_bytes(model, files):
    numbers = [0, 5, 10]
    of_arrays = model([scene(n)[0] for n in numbers])
    of_paths = model([files / f"{n}.png" for n in numbers])
    of_bytes = model([png(scene(n)[0]) for n in numbers])
    assert of_arrays == of_paths == of_bytes
    found = model.signature("files")(tf.constant([png(scene(n)[0]) for n in numbers]))
    assert [text.decode() for text in found["text"].numpy()] == [answer["text"] for answer in of_arrays]
    np.testing.assert_allclose(found["score"], [answer["score"] for answer in of_arrays], atol=1e-3)
    larger = np.kron(scene(5)[0], np.ones([4, 4, 1], np.uint8))
    np.testing.assert_allclose(model(larger)["score"], of_arrays[1]["score"], atol=0.5)


def test_the_score_is_what_the_model_in_memory_gives(model, run):
    task, keras_model = run.model()
    for n in (3, 50):
        answer = model(scene(n)[0])
        source = task._fitted(scene(n)[0][None])
        words = task._subwords.encode(tf.constant([answer["text"]]))[0].numpy()
        target = np.array([[START_ID, *words]], np.int32)
        vectors = keras_model({"source": source, "target": target[..., None]})[0]
        log_p = tf.nn.log_softmax(keras_model.logits(vectors) + keras_model._never())[0].numpy()
        assert 0 < len(words) <= 7
        total = sum(log_p[t, word] for t, word in enumerate([*words, END_ID][:7]))  # where it is cut off
        assert total == pytest.approx(answer["score"], abs=0.02)


def test_options(model):
    picture = scene(9)[0]
    assert model.card["options"] == {"beam_width": 3, "max_length": 7}
    assert model(picture, beam_width=1)["alternatives"] == []
    assert len(model(picture, beam_width=8)["alternatives"]) > 2
    assert len(model(picture, max_length=1)["text"].split()) <= 1
    with pytest.raises(ZooError, match="'temperature': expected one of: beam_width, max_length"):
        model(picture, temperature=1)


def test_an_answer_does_not_depend_on_the_others(model):
    numbers = list(range(11))  # two halves
    together = model([scene(n)[0] for n in numbers])
    for n, answer in zip(numbers, together, strict=True):
        alone = model(scene(n)[0])
        assert alone["text"] == answer["text"]
        np.testing.assert_allclose(alone["score"], answer["score"], atol=1e-3)


def test_what_each_word_looked_at(model):
    for n in (1, 6):
        words, weights = model.attention(scene(n)[0])
        assert words == [*model(scene(n)[0])["text"].split(), "</s>"]
        assert weights.shape == (len(words), 2, 2)  # of the built-in network: 16 / 2^3
        np.testing.assert_allclose(weights.sum((1, 2)), 1, atol=1e-5)
    raw = model.signature("attention")(tf.constant(np.stack([scene(n)[0] for n in range(4)])))
    pieces, weights = raw["pieces"].numpy(), raw["weights"].numpy()
    assert weights.shape == (*pieces.shape, 2, 2)
    for row in pieces.tolist():
        end = row.index(b"</s>")
        assert all(row[:end]) and not any(row[end + 1 :])


@pytest.mark.slow
def test_what_it_looked_at_is_of_what_it_says(run):
    """Where to say nothing is the most probable, the answer is the best of the others."""
    task, model = run.model()
    signatures, picture = task.signatures(model), scene(2)[0][None]
    model.bias.assign(model.bias + tf.one_hot(END_ID, model.bias.shape[0], 20.0))
    assert not model.search(task._fitted(picture), 7, 3, 1.0).lengths[0, 0]
    text = signatures["serving_default"][0](picture)["text"][0].numpy().decode()
    *pieces, end = signatures["attention"][0](picture)["pieces"][0].numpy().tolist()
    while not end:
        *pieces, end = pieces
    assert text and end == b"</s>" and b"".join(pieces).decode().replace("\u2581", " ").strip() == text


FRESH = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
data = tf.io.read_file(sys.argv[2])
picture = tf.io.decode_png(data, 3)[None]
out = model.signatures["serving_default"](tf.repeat(picture, 2, 0))
assert out["text"].shape == (2,) and out["alternatives_text"].shape == (2, 2)
assert model.signatures["files"](data[None])["text"][0] == out["text"][0]
found = model.signatures["search"](image=picture, beam_width=tf.constant(5), max_length=tf.constant(3))
assert found["alternatives_text"].shape == (1, 4)
assert "zoo" not in sys.modules
print(out["text"][1].numpy().decode())
"""


@pytest.mark.slow
def test_tensorflow_alone_loads_it(run, model, files, script):
    assert script(FRESH, run.folder / "export", files / "7.png").strip() == model(files / "7.png")["text"]


def test_weights_stored_as_float16(run, model, tmp_path):
    task, keras_model = run.model()
    half = Captioning(dataclasses.replace(task.config, half=True), task.assets)
    signatures = {"serving_default": half.signatures(keras_model)["serving_default"]}
    serving.write_saved_model(signatures, half.resources, tmp_path)
    stored = lambda folder: (folder / "variables/variables.data-00000-of-00001").stat().st_size
    assert stored(tmp_path) < 0.7 * stored(run.folder / "export")
    pictures = np.stack([scene(n)[0] for n in range(4)])
    found = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](tf.constant(pictures))
    for text, score, answer in zip(found["text"].numpy(), found["score"].numpy(), model(list(pictures)), strict=True):
        assert score == pytest.approx(answer["score"], abs=0.05)
        assert text.decode() in (answer["text"], *(a["text"] for a in answer["alternatives"]))


# What is trained on ---------------------------------------------------------------------------------------------------


def prepared(files, **settings):
    """A task that has learnt its subwords, and its training examples, encoded."""
    task = Captioning(Config(**{"size": 16, "encoder": "conv", "freeze": False, "vocabulary_size": 60, **settings}))
    train = task.training_examples(Captioning.from_files(files)["train"])
    task.learn(train)
    return task, list(task.encoded(train).as_numpy_iterator())


def texts(task, words):
    """The captions `[time, captions]`, as text."""
    return [text.decode() for text in task._subwords.decode(tf.transpose(words)).numpy()]


def well_formed(x, y):
    """`[time, captions]`, each caption after START and before END, then padding; none longer than the longest."""
    assert x["target"].shape == y.shape and x["target"].dtype == y.dtype == np.int32
    lengths = (y > 0).sum(0)
    assert lengths.max() == len(y)
    for before, after, length in zip(x["target"].T, y.T, lengths, strict=True):
        assert not before[length:].any() and not after[length:].any()
        if length:
            assert before[0] == START_ID and after[length - 1] == END_ID
            assert before[1:length].tolist() == after[: length - 1].tolist()
    return lengths


def test_captions_fewer_than_there_are_in_plain_words_of_mirrored_pictures_too(files):
    task, examples = prepared(files, captions=2, mirror=True)
    assert len(examples) == 96
    for n, ((x, y), (mirrored, same)) in enumerate(zip(examples[:48], examples[48:], strict=True)):
        plain = [" ".join(text.lower().translate(str.maketrans(",.!:", "    ")).split()) for text in captions(n)]
        assert texts(task, y) == (plain + [""])[:2]  # the first picture has a single caption
        assert (well_formed(x, y) > 0).tolist() == [True, n > 0]
        assert x["source"].shape == (16, 16, 3) and x["source"].dtype == np.uint8
        expected = Image.fromarray(scene(n)[0]).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(x["source"].astype(int), np.asarray(expected), atol=4)
        np.testing.assert_allclose(mirrored["source"][:, ::-1].astype(int), x["source"], atol=1)
        np.testing.assert_array_equal(same, y)


def test_captions_more_than_there_are_as_they_are_written(files):
    task, examples = prepared(files, captions=6, plain=False)
    assert len(examples) == 48
    for n, (x, y) in enumerate(examples):
        assert texts(task, y) == captions(n) + [""] * (6 - len(captions(n)))
        assert (well_formed(x, y) > 0).sum() == len(captions(n)) == (1 if n == 0 else 5 if n == 1 else 3)
    assert task._spoken.shape[:2] == (48, 6)
    assert task._spoken[0, 1:].any() == False and task._spoken[1, :5].any(1).all()  # noqa: E712


def test_long_captions_are_cut_off(files):
    task, examples = prepared(files, max_length=2, captions=3)
    assert max(len(y) for _, y in examples) == 3
    x, y = examples[2]
    assert well_formed(x, y).max() == 3
    whole = task._subwords.encode(task._captions(tf.constant(captions(2))))
    assert [row[:2] for row in whole.to_list()] == [row[row > END_ID].tolist() for row in y.T]
    assert max(whole.row_lengths()) > 2


# Frozen networks ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_frozen_network_serves_what_it_was_trained_on(files, tmp_path):
    """Its features are computed once, and kept as float16; weights are from a file."""
    import keras

    base = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(64, 64, 3))
    for layer in base.layers:  # whose random weights would give next to nothing
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(0.03 * layer.moving_variance)
    path = tmp_path / "network.weights.h5"
    base.save_weights(path)
    settings = dict(encoder="MobileNet", freeze=True, size=64, units=8, embedding_dim=6, captions=2)
    task, examples = prepared(files, **settings, encoder_weights=str(path))
    source = np.stack([x["source"] for x, _ in examples[:4]])
    assert source.shape == (4, 4, 1024) and source.dtype == np.float16
    pictures = np.stack([scene(n)[0] for n in range(4)])
    preprocessed = task._fitted(pictures) / 127.5 - 1
    np.testing.assert_allclose(source, tf.reshape(base(preprocessed), [4, 4, 1024]), atol=0.01, rtol=0.01)
    model = task.build()
    assert len(model.trainable_variables) < 30
    for weight in model.trainable_variables:
        weight.assign(weight + 0.3 * tf.random.stateless_normal(weight.shape, [1, 2]))
    (function, specs) = task.signatures(model)["serving_default"]
    found = tf.function(function, input_signature=specs)(pictures)
    expected = model.search(tf.constant(source), task.config.max_length, task.config.beam_width, 1.0)
    said = task._subwords.decode(expected.tokens[:, 0]).numpy().tolist()
    assert found["text"].numpy().tolist() == said
    np.testing.assert_allclose(found["score"], expected.log_probabilities[:, 0], rtol=0.01, atol=0.05)

    # Features of train from elsewhere, and the network that they are of: it serves pictures.
    given = tf.data.Dataset.from_tensor_slices({"features": source.astype("float32"), "captions": [["a"]] * 4})
    pictured = tf.data.Dataset.from_tensor_slices({"image": pictures, "captions": [["a"]] * 4})
    other = Captioning(task.config)
    other.learn(given)
    for examples in (given, pictured):
        rows = [x["source"] for x, _ in other.encoded(examples).as_numpy_iterator()]
        np.testing.assert_allclose(rows, source, rtol=0.01, atol=0.01)
    specs = other.signatures(other.build())["files"][1]
    assert specs == [tf.TensorSpec([None], tf.string, name="data")]
    for config, part in (
        (dataclasses.replace(task.config, encoder_weights=""), "expected encoder= and encoder_weights="),
        (dataclasses.replace(task.config, size=32), "MobileNet gives features 1 x 1024; the corpus has 4 x 1024"),
    ):
        with pytest.raises(ZooError, match=part):
            Captioning(config, other.assets).encoded(pictured)


def test_random_weights_that_stay_are_told(capfd):
    eye = Captioning(Config(encoder="MobileNet", size=32))._eye
    assert eye.frozen and "MobileNet has random weights and stays as it is" in capfd.readouterr().err
    assert not Captioning(Config(encoder="MobileNet", size=32, freeze=False))._eye.frozen
    assert not Captioning(Config(encoder="conv", size=32))._eye.frozen
    assert "random" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["encoder=LeNet", "freeze=true"], "no network 'LeNet' in keras.applications"),
        (["encoder=MobileNetV2", "encoder_weights=none.h5"], "none.h5"),
        (["way=guess"], "way"),
        (["vocabulary_size=16"], "16 subwords can't hold the text's characters"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(refused, files, tmp_path, settings, part):
    assert part in refused(*command(files, tmp_path, *settings))
    assert not list(tmp_path.rglob("best.npz"))


# From a run to the next -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_self_critical_training_goes_on_from_a_run(run, files, tmp_path):
    learnt = lambda model: [weight.numpy() for weight in model.trainable_weights]  # statistics follow the batches
    before = learnt(run.model()[1])
    settings = [f"init={run.folder}", "self_critical=true", "epochs=1", "learning_rate=1e-6"]
    model, (row,) = fitted(files, tmp_path, *settings)
    assert "accuracy" not in row and 0 < row["reward"] <= 10 and row["dev_accuracy"] > 0
    best = max(float(row["dev_reward"]) for row in history(run))
    assert row["dev_reward"] == pytest.approx(best, rel=0.05)
    for one, other in zip(learnt(model), before, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_a_run_that_does_not_fit_is_told(run, tmp_path):
    task = run.trained()
    start = lambda **settings: Captioning(dataclasses.replace(task.config, **settings), task.assets)
    with pytest.raises(ZooError, match="best.npz: not found; expected the folder of a run"):
        start(init=str(tmp_path)).warm_start(task.build())
    other = start(init=str(run.folder), units=20)
    with pytest.raises(ZooError, match=f"^{run.folder}: weights of other sizes than the configuration's"):
        other.warm_start(other.build())


# Other sources --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_features_in_the_place_of_pictures(files, tmp_path, refused):
    """A grid of colours, made elsewhere: no pictures are needed to train, and none are drawn."""
    numbers = range(62)
    grids = np.stack([scene(n)[0][2:18].reshape(2, 8, 2, 12, 3).mean((1, 3)) / 255 for n in numbers])
    np.savez(tmp_path / "features.npz", names=[f"{n}.png" for n in numbers], features=grids.astype("float32"))
    for name in ("captions.txt", "train.txt", "dev.txt", "test.txt"):
        (tmp_path / name).write_text((files / name).read_text())
    run = trained(tmp_path, tmp_path / "runs", "way=init", "doubly_stochastic=0.1", "epochs=1")
    assert run.trained().assets["shape"] == ["4", "3"]
    report = run.evaluate("test")
    assert report["pictures"] == 8 and [p.name for p in (run.folder / "evaluation/test").iterdir()] == ["report.json"]
    model = serving.load(run.folder / "export")
    assert set(model._module.signatures) == {"serving_default", "search"} and model.takes_features
    answer = model(grids[3].reshape(4, 3))
    assert set(answer) == {"text", "score", "alternatives"}
    with pytest.raises(ZooError, match="this captioning model has no attention to show"):
        model.attention(grids[3].reshape(4, 3))
    with pytest.raises(ZooError, match=r"expected features, float \[4, 3\]"):
        model(grids[3].reshape(2, 6))
    assert "features" in refused("predict", "captioning", "--model", run.folder / "export", files / "1.png")


@pytest.mark.slow
def test_coco_captions(mocked_tfds, tmp_path):
    """TFDS's own features and splits, with examples made up by TFDS."""
    mocked_tfds("coco_captions", ("train", "val", "test"), 12)
    corpus = data.open_corpus(Captioning, "coco_captions")
    assert set(corpus.splits) == {"train", "dev", "test"}
    _, (row,) = fitted("coco_captions", tmp_path, "way=merge", "epochs=1", "vocabulary_size=100", "max_length=6")
    assert 0 < row["loss"] < 10 and 0 < row["dev_loss"] < 10
