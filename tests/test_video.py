"""The video task from end to end: sources, training, and what the SavedModel answers, whole clips and live."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tasks.video import Config, Video
from zoo import ZooError, data, serving
from zoo.run import Run

SIZE = (12, 16)


def clip(seed):
    """A bar that goes up or down: where it is says nothing of where it goes."""
    draw = np.random.default_rng(seed)
    up = np.repeat(draw.integers(0, 2, 6), draw.integers(4, 9, 6)).astype(bool)
    place = np.cumsum(np.where(up, -1, 1)) + draw.integers(SIZE[0])
    frames = np.zeros([len(up), *SIZE], np.uint8)
    frames[np.arange(len(up)), place % SIZE[0]] = 200
    return frames, np.where(up, "up", "down")


def write(folder, count, seed):
    folder.mkdir(parents=True)
    for i in range(count):
        frames, labels = clip([seed, i])
        np.savez(folder / f"clip{i}.npz", frames=frames, labels=labels)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    for seed, (split, count) in enumerate({"train": 60, "val": 10, "test": 12}.items()):
        write(folder / split, count, seed)
    return folder


def command(files, runs, *settings):
    values = [
        "epochs=4",
        "batch_size=4",
        "filters=8",
        "encoder_units=16",
        "units=16",
        "learning_rate=0.01",
        "dropout=0",
    ]
    given = [part for value in [*values, "dropout=0", *settings] for part in ("--set", value)]
    return ["train", "video", "--data", str(files), "--runs", str(runs), *given]


def trained(files, runs, *settings):
    from zoo import cli

    assert cli.main(command(files, runs, *settings)) == 0
    return Run("video", str(files), runs)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A causal one, with a window and all of the augmentation that leaves up and down what they are."""
    settings = ["bidirectional=false", "window=2", "shift=0.05", "light=0.1", "warp=0.1", "blink=1", "smoothing=0.05"]
    return trained(files, tmp_path_factory.mktemp("runs"), *settings)


@pytest.fixture(scope="module")
def model(run):
    return serving.load(run.folder / "export")


def probabilities(answers):
    return [answer["probabilities"] for answer in answers]


def test_it_learns_what_no_single_frame_shows(run, zoo, files):
    code, out, err = zoo("evaluate", "video", "--data", files, "--runs", run.folder.parent.parent)
    assert code == 0, err
    report = json.loads((run.folder / "evaluation/test/report.json").read_text())["report"]
    assert report["accuracy"] > 0.9 and report["f1_50"] > 0.8 and report["clips"] == 12
    assert {p.suffix for p in (run.folder / "evaluation/test").iterdir()} == {".json", ".png"}
    assert "frame accuracy" in out and "edit score" in out


@pytest.mark.slow
def test_a_frame_by_frame_classifier_does_not(files, tmp_path):
    run = trained(files, tmp_path, "depth=0", "window=1", "epochs=2")
    assert run.evaluate("test")["accuracy"] < 0.75


def test_answers_whole_clips(model):
    frames, _ = clip(100)
    answer = model(frames)
    assert set(answer) == {"labels", "probabilities"} and set(answer["labels"]) <= {"up", "down"}
    assert answer["probabilities"].shape == (len(frames), 2) and answer["probabilities"].dtype == np.float32
    np.testing.assert_allclose(answer["probabilities"].sum(1), 1, atol=1e-5)
    names = np.array(model.card["labels"])
    assert names[answer["probabilities"].argmax(1)].tolist() == answer["labels"]


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    inputs = [clip(i)[0] for i in range(4)] + [clip(9)[0][:1], np.tile(clip(7)[0], [12, 1, 1])]
    for alone, together in zip(map(model, inputs), model(inputs), strict=True):
        assert alone["labels"] == together["labels"]
        np.testing.assert_allclose(alone["probabilities"], together["probabilities"], atol=1e-5)


def test_colours_alpha_and_sizes(model):
    frames, _ = clip(3)
    grey = frames[..., None]
    colour = np.repeat(grey, 3, -1)
    alpha = np.concatenate([colour, np.full_like(grey, 7)], -1)
    large = np.kron(colour, np.ones([1, 4, 4, 1], np.uint8))
    first, *others = probabilities(model([frames, grey, colour, alpha, large]))
    for other in others[:3]:
        np.testing.assert_allclose(other, first, atol=1e-5)
    assert (others[3].argmax(1) == first.argmax(1)).mean() > 0.8  # resized: about the same pixels


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (np.zeros([4, 8, 8, 3]), "expected pixels as uint8"),
        (np.zeros([8, 8, 3], np.uint8), "expected a clip, uint8"),
        (np.zeros([2, 8, 8, 5], np.uint8), "expected a clip, uint8"),
        (np.zeros([2, 0, 8, 3], np.uint8), "expected a clip, uint8"),
        (np.zeros([3], np.uint8), "expected a clip, uint8"),
        (7, "expected pixels as uint8"),
    ],
)
def test_what_is_no_clip_is_refused(model, value, part):
    with pytest.raises(ZooError, match="^input 1: ") as error:
        model([clip(0)[0], value])
    assert part in str(error.value) and "\n" not in str(error.value)


def test_no_frames_have_no_labels(model):
    answer = model(np.zeros([0, *SIZE], np.uint8))
    assert answer["labels"] == [] and answer["probabilities"].shape == (0, 2)
    assert model([]) == []


def test_live_equals_the_whole_clip(model):
    """Frame by frame, from an iterator, to 1e-5; and several cameras at once through the signature."""
    frames, _ = clip(5)
    whole = model(frames)
    live = list(model.stream(iter(frames)))
    np.testing.assert_allclose(np.stack(probabilities(live)), whole["probabilities"], atol=1e-5)
    assert [answer["label"] for answer in live] == whole["labels"]

    step = model.signature("step")
    other = clip(6)[0]
    specs = {k: v for k, v in step.structured_input_signature[1].items() if k != "frame"}
    states = {name: tf.zeros([2, *spec.shape[1:]]) for name, spec in specs.items()}
    for t in range(min(len(frames), len(other))):
        out = step(frame=tf.constant(np.stack([frames[t], other[t]])[..., None]), **states)
        states = {name: out[name] for name in states}
        expected = whole["probabilities"][t]
        np.testing.assert_allclose(out["probabilities"][0], expected, atol=1e-5)


def test_live_sizes_and_refusals(model):
    colour = np.zeros([30, 40, 3], np.uint8)
    assert next(model.stream([colour]))["label"] in ("up", "down")
    with pytest.raises(ZooError, match="frame 1: "):
        list(model.stream([colour, np.zeros([30, 40, 3])]))


@pytest.mark.parametrize("cell", ["gru", "mingru", "lru"])
def test_live_with_other_cells(cell, run):
    """Not trained: the step signature is made of the same weights."""
    task = Video(dataclasses.replace(run.trained().config, cell=cell, depth=2), run.trained().assets)
    model = task.build()
    frames, _ = clip(8)
    whole = model.probabilities(frames[None, ..., None], tf.ones([1, len(frames)], tf.bool))[0]
    states = [tf.zeros([1, *shape[1:]]) for shape in model.state_shapes().values()]
    for frame, expected in zip(frames, whole, strict=True):
        found, states = model.step(frame[None, ..., None], states)
        np.testing.assert_allclose(found[0], expected, atol=1e-5 if cell == "gru" else 1e-4)


def test_long_clips_are_read_in_pieces(run, monkeypatch):
    _, model = run.model()
    frames = np.concatenate([clip(i)[0] for i in range(3)])[None, ..., None]
    mask = tf.ones(frames.shape[:2], tf.bool)
    whole = model.probabilities(frames, mask)
    monkeypatch.setattr("tasks.video.PIECE", 7)
    np.testing.assert_allclose(model.probabilities(frames, mask), whole, atol=1e-5)
    logits = model({"frames": frames, "mask": mask})
    np.testing.assert_allclose(tf.nn.softmax(logits), whole, atol=1e-5)


def test_weights_stored_as_float16(run, model, tmp_path):
    task, keras_model = run.model()
    half = Video(dataclasses.replace(task.config, half=True), task.assets)
    serving.write_saved_model(half.signatures(keras_model), [], tmp_path)
    stored = lambda folder: (folder / "variables/variables.data-00000-of-00001").stat().st_size
    assert stored(tmp_path) < 0.7 * stored(run.folder / "export")
    frames = clip(4)[0][None, ..., None]
    found = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](tf.constant(frames))
    np.testing.assert_allclose(found["probabilities"][0], model(frames[0])["probabilities"], atol=5e-3)


def test_training_pieces_of_long_clips(run):
    task = Video(dataclasses.replace(run.trained().config, max_length=5), run.trained().assets)
    frames, labels = clip(2)
    raw = {"frames": frames[..., None], "labels": labels.astype(bytes), "name": b"a"}
    pieces = list(task.encoded(tf.data.Dataset.from_tensors(raw)).as_numpy_iterator())
    assert [len(y) for _, y in pieces] == [5] * (len(labels) // 5) + [len(labels) % 5] * (len(labels) % 5 > 0)
    np.testing.assert_array_equal(np.concatenate([x["frames"] for x, _ in pieces])[..., 0], frames)
    names = np.array(["?", *task.assets["labels"]])
    assert names[np.concatenate([y for _, y in pieces])].tolist() == labels.tolist()


FRESH = """
import sys, numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
frames = tf.constant(np.random.default_rng(0).integers(0, 255, [2, 9, 20, 30, 3]), tf.uint8)
whole = model.signatures["serving_default"](frames)
assert whole["labels"].shape == (2, 9) and whole["probabilities"].shape == (2, 9, 2)
cut = model.signatures["padded"](frames=frames, steps=tf.constant([9, 4]))
np.testing.assert_allclose(cut["probabilities"][0], whole["probabilities"][0], atol=1e-5)
np.testing.assert_allclose(cut["probabilities"][1, :4], whole["probabilities"][1, :4], atol=1e-5)  # it is causal
assert "zoo" not in sys.modules
"""


@pytest.mark.slow
def test_tensorflow_alone_loads_it(run, script):
    script(FRESH, run.folder / "export")


def test_predict(run, model, zoo, files, tmp_path):
    path, picture = files / "test/clip0.npz", tmp_path / "new/strip.png"
    line = ["predict", "video", "--model", run.folder / "export"]
    code, out, err = zoo(*line, path, "--out", picture)
    assert code == 0 and "written: " in err, err
    answer, expected = json.loads(out), model(path)
    assert answer["labels"] == expected["labels"] and answer["clip"] == str(path)
    np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], atol=1e-4)
    assert Image.open(picture).size[0] > 800
    code, out, err = zoo(*line, path, files / "test/clip1.npz")
    assert code == 0 and len(out.splitlines()) == 2, err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{files}/test/clip0.npz", "{files}/test/clip1.npz", "--out", "{tmp}/a.png"], "expected one clip"),
        (["{files}/test/clip0.npz", "--out", "{tmp}/a.jpg"], ".png, .gif, .mp4"),
        (["{files}/test/none.mp4"], "none.mp4: no such file"),
        (["{tmp}/damaged.npz"], "damaged.npz: "),
    ],
)
def test_predict_with_bad_inputs(run, refused, files, tmp_path, arguments, part):
    (tmp_path / "damaged.npz").write_bytes((files / "test/clip0.npz").read_bytes()[:400])
    arguments = [argument.format(files=files, tmp=tmp_path) for argument in arguments]
    assert part in refused("predict", "video", "--model", run.folder / "export", *arguments)
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.slow
def test_a_model_of_both_directions_is_not_live(files, tmp_path):
    model = serving.load(trained(files, tmp_path, "epochs=1").folder / "export")
    with pytest.raises(ZooError, match="bidirectional=false"):
        next(model.stream([clip(0)[0][0]]))
    backward = model(np.concatenate([clip(1)[0][:5], clip(2)[0]]))["probabilities"][:5]
    assert np.abs(backward - model(clip(1)[0][:5])["probabilities"]).max() > 1e-4  # the end changes the beginning


@pytest.mark.slow
def test_features(tmp_path, zoo):
    """Poses, say: read as they are, live too."""
    for split, count in (("train", 30), ("test", 4)):
        (tmp_path / split).mkdir()
        for i in range(count):
            frames, labels = clip([9, count, i])
            features = frames.argmax(1).astype(float) * [[100.0] + [1.0] * (SIZE[1] - 1)]
            np.savez(tmp_path / split / f"{i}.npz", features=features, labels=labels)
    run = trained(tmp_path, tmp_path / "runs", "bidirectional=false", "window=2", "epochs=8")
    model = serving.load(run.folder / "export")
    assert run.evaluate("test")["accuracy"] > 0.9
    whole = model(features)["probabilities"]
    np.testing.assert_allclose(np.stack(probabilities(model.stream(features))), whole, atol=1e-5)
    for bad, part in ((features[:, :3], "expected features"), (features * np.nan, "frame 0 is not finite")):
        with pytest.raises(ZooError, match=part):
            model(bad)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["background=silence"], "background=silence: no such label; there are: down, up"),
        (["encoder=LeNet"], "no network 'LeNet' in keras.applications"),
        (["window=2"], "window must be"),
    ],
)
def test_settings_that_do_not_fit(refused, files, tmp_path, settings, part):
    assert part in refused(*command(files, tmp_path, *settings))


def test_a_label_that_training_does_not_have(refused, files, tmp_path):
    write(tmp_path / "train", 4, 0)
    (tmp_path / "dev").mkdir()
    np.savez(tmp_path / "dev/odd.npz", frames=np.zeros([2, *SIZE], np.uint8), labels=["up", "sideways"])
    line = refused(*command(tmp_path, tmp_path / "runs"))
    assert "odd.npz" in line and "'sideways'" in line and "down, up" in line


def test_networks_of_keras_applications(run):
    """Three channels, values as the network expects them; frozen: only what is above it is trained."""
    task = Video(Config(encoder="MobileNetV2", freeze=True, units=4, encoder_units=8, height=32, width=32))
    examples = tf.data.Dataset.from_tensors(
        {"frames": clip(0)[0][..., None], "labels": clip(0)[1].astype(bytes), "name": b"a"}
    )
    task.learn(examples)
    assert task.assets["shape"] == ["32", "32", "3"]
    model = task.build()
    (inputs, target) = next(task.encoded(examples).batch(1).as_numpy_iterator())
    assert model(inputs).shape == (1, target.shape[1], 2)
    assert len(model.encoder.trainable_variables) == 2


def test_tfds(mocked_tfds):
    """UCF-101: the clip's label at every frame."""
    mocked_tfds("ucf101", ("train", "test"), 24)
    corpus = data.open_corpus(Video, "ucf101")
    assert set(corpus.splits) == {"train", "dev", "test"} and corpus.dev_from_train
    task = Video(Config(height=16, width=16))
    task.learn(corpus.split("train").take(4))
    sequence, target = next(task.encoded(corpus.split("train")).as_numpy_iterator())
    assert sequence["frames"].shape == (len(target), 16, 16, 3) and len(set(target.tolist())) == 1
