"""Frames converted in the graph, against NumPy; clips of TFDS."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from zoo import clips
from zoo.errors import ZooError

T, H, W = 6, 12, 16
RAW = np.random.default_rng(0).integers(0, 256, (T, H, W, 4), np.uint8)


def resized(frames, height, width):
    """Bilinear with antialiasing: every output pixel is a mean of input pixels, weighted by a triangle around it."""

    def weights(size, target):
        scale = size / target
        centres, places = (np.arange(target) + 0.5) * scale, np.arange(size) + 0.5
        triangle = np.maximum(0, 1 - np.abs(places - centres[:, None]) / max(scale, 1))
        return triangle / triangle.sum(1, keepdims=True)

    rows, columns = weights(frames.shape[1], height), weights(frames.shape[2], width)
    return np.einsum("yh,nhwc,xw->nyxc", rows, frames.astype(np.float64), columns)


@pytest.fixture(scope="module")
def converters():
    """`clips.convert` in a graph that knows no dimension, by type and arguments."""
    made = {}

    def converter(dtype, *arguments):
        if (dtype, arguments) not in made:
            spec = [tf.TensorSpec([None] * 4, dtype)]
            made[dtype, arguments] = tf.function(lambda x: clips.convert(x, *arguments), input_signature=spec)
        return made[dtype, arguments]

    return converter


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("given", [1, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(H, W), (5, 7), (20, 9), (H, 8)])
def test_conversion(size, channels, given, dtype, converters):
    frames = RAW[..., :given].astype(dtype)
    expected = (frames if size == (H, W) else resized(frames, *size))[..., :3].astype(np.float32)
    if channels == 1 and given > 1:
        expected = (expected @ np.array([0.299, 0.587, 0.114]))[..., None]
    expected = np.broadcast_to(expected, (*expected.shape[:3], channels))
    found = converters(dtype, *size, channels)(frames).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
    if size == (H, W) and (channels == 3 or given == 1):
        np.testing.assert_array_equal(found, expected)
    assert converters(dtype, *size, channels)(frames[:0]).shape == (0, *size, channels)


# TFDS -----------------------------------------------------------------------------------------------------------------


def test_tfds(mocked_tfds):
    builder = mocked_tfds("ucf101", ("train", "test"), 3)
    splits = clips.from_tfds(builder)
    found = {split: list(examples.as_numpy_iterator()) for split, examples in splits.items()}
    assert {split: int(examples.cardinality()) for split, examples in splits.items()} == {"train": 3, "test": 3}
    assert [row["name"] for row in found["train"]] == [b"train-0", b"train-1", b"train-2"]
    for row in found["test"]:
        assert row["frames"].dtype == np.uint8 and row["frames"].shape[1:] == (256, 256, 3)
        assert len(row["labels"]) == len(row["frames"]) > 0 and len(set(row["labels"])) == 1
        assert row["labels"][0].decode() in builder.info.features["label"].names


class Corpus:
    """What `from_tfds` asks of a builder: features, splits, and rows."""

    def __init__(self, rows=(), **features):
        self.rows = rows
        features = tfds.features.FeaturesDict(features)
        self.info = types.SimpleNamespace(features=features, splits={"train": None}, full_name="corpus/1.0.0")

    def as_dataset(self, split, shuffle_files):
        signature = {name: tf.TensorSpec(f.shape, f.dtype) for name, f in self.info.features.items()}
        data = tf.data.Dataset.from_generator(lambda: iter(self.rows), output_signature=signature)
        return data.apply(tf.data.experimental.assert_cardinality(len(self.rows)))


CLASSES = tfds.features.ClassLabel(names=["none", "wave", "jump"])


def test_tfds_with_a_label_for_every_frame():
    features = dict(labels=tfds.features.Sequence(CLASSES), name=tfds.features.Text(), other=CLASSES)
    frames = tfds.features.Tensor(shape=(None, H, W, 1), dtype=np.uint8)
    row = {"frames": RAW[..., :1], "labels": [0, 1, 1, 0, 2, 2], "name": "me", "other": 0}
    splits = clips.from_tfds(Corpus([row], frames=frames, **features))
    (found,) = splits["train"].as_numpy_iterator()
    np.testing.assert_array_equal(found["frames"], RAW[..., :1])
    assert b" ".join(found["labels"]) == b"none wave wave none jump jump" and found["name"] == b"me"
    poses = tfds.features.Tensor(shape=(None, 26), dtype=np.float64)
    row["frames"] = np.ones([T, 26])
    (found,) = clips.from_tfds(Corpus([row], frames=poses, **features))["train"].as_numpy_iterator()
    assert found["frames"].dtype == np.float32 and found["frames"].shape == (T, 26)


@pytest.mark.parametrize(
    "features",
    [
        dict(image=tfds.features.Image(), label=CLASSES),
        dict(video=tfds.features.Video(shape=(None, 8, 8, 3)), text=tfds.features.Text()),
        dict(video=tfds.features.Video(shape=(None, 8, 8, 3)), kind=CLASSES, mood=CLASSES),
        dict(nested=tfds.features.Sequence({"a": tfds.features.Text()}), label=CLASSES),
    ],
)
def test_tfds_without_labelled_clips_is_refused(features):
    with pytest.raises(ZooError, match="corpus/1.0.0 is no corpus of labelled clips: expected one video"):
        clips.from_tfds(Corpus(**features))
