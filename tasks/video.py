"""many-to-many, aligned: clip -> one label for every frame

A convolutional network on every frame and a recurrent stack over time (LRCN, Donahue et al. 2015), in both directions;
or causal, and then the model can be used live, frame by frame. Frames may also come as features, poses, say.
"""

from __future__ import annotations

import collections
import dataclasses

import keras
import numpy as np
import tensorflow as tf

from zoo import augmentation, clips, plots, scoring, serving, tables
from zoo.config import TrainingConfig, setting
from zoo.errors import ZooError
from zoo.files import replacing
from zoo.layers.frames import FrameEncoder
from zoo.layers.stack import CELLS, RecurrentStack
from zoo.losses import FrameAccuracy, FrameLoss
from zoo.task import Task

LARGEST = 96  # pixels of the longer side, unless the configuration says otherwise
PIECE = 256  # frames that are encoded together when a clip is answered: a long one fits into memory


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    height: int = setting(0, "pixels that frames are brought to; 0: the clips' own, up to 96", minimum=0)
    width: int = setting(0, "likewise", minimum=0)
    max_length: int = setting(256, "frames of a clip in training; longer ones are cut into pieces", minimum=2)
    encoder: str = setting("conv", "what reads a frame: conv, or the name of a network of keras.applications")
    encoder_weights: str = setting("", "of that network: a file, imagenet, or nothing for random ones")
    freeze: bool = setting(False, "leave that network as it is")
    filters: int = setting(32, "of the first convolution; those after it have 2, 3 and 4 times as many", minimum=1)
    encoder_units: int = setting(128, "width of a frame's vector", minimum=1)
    window: int = setting(1, "neighbouring frames that the first convolution sees together", minimum=1)
    bidirectional: bool = setting(True, "read in both directions; false: causal, for live use")
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(128, "cells of a recurrent layer and direction", minimum=1)
    depth: int = setting(1, "recurrent layers", minimum=0)
    dropout: float = setting(0.2, "on frames' features and on recurrent outputs", minimum=0.0, maximum=0.95)
    class_weights: float = setting(0.0, "power of the inverse frequency; 0: all the same, 1: balanced", minimum=0.0)
    label_smoothing: float = setting(0.0, "share of the truth spread over all classes", minimum=0.0, maximum=0.9)
    smoothing: float = setting(0.0, "weight of the loss on differences between frames", minimum=0.0)
    background: tuple[str, ...] = setting((), "labels that mean: nothing; scored apart")
    shift: float = setting(0.0, "augmentation: shift by up to this share of the picture", minimum=0.0, maximum=0.5)
    zoom: float = setting(0.0, "augmentation: larger or smaller by up to this share", minimum=0.0, maximum=1.0)
    rotate: float = setting(0.0, "augmentation: turn by up to this many degrees", minimum=0.0, maximum=180.0)
    flip: bool = setting(False, "augmentation: mirror every second clip")
    light: float = setting(0.0, "augmentation: contrast, brightness changed by up to this share", minimum=0, maximum=1)
    warp: float = setting(0.0, "augmentation: faster or slower by up to this share", minimum=0.0, maximum=1.0)
    blink: int = setting(0, "augmentation: up to so many frames in a row blanked", minimum=0)
    splice: float = setting(0.0, "augmentation: share of clips that end as another does", minimum=0.0, maximum=1.0)
    half: bool = setting(False, "export the weights as float16")
    in_memory: bool = setting(True, "keep the frames in memory, once read")


class FrameTagger(keras.Model):
    """`{"frames": [batch, time, ...], "mask": bool [batch, time]}` -> logits, float32 `[batch, time, classes]`.

    Frames are of one `shape`: `[height, width, channels]`, of 0 to 255, or `[features]`. Without a recurrent layer
    (`depth=0`) it is a frame-by-frame classifier.
    """

    def __init__(self, config: Config, shape: list[int], mean: list[float], variance: list[float], classes: int):
        super().__init__(name="frame_tagger")
        self.frame_shape = shape
        of_applications = len(shape) == 3 and config.encoder != "conv"
        self.mean, self.deviation = np.float32(mean), np.sqrt(np.float32(variance))
        self.encoder = FrameEncoder(
            config.encoder_units,
            [config.filters * i for i in (1, 2, 3, 4)],
            1 if of_applications else config.window,
            causal=not config.bidirectional,
            dropout=config.dropout,
            network=config.encoder if of_applications else None,
            weights=config.encoder_weights or None,
            trainable=not (of_applications and config.freeze),
            name="encoder",
        )
        self.stack = None
        if config.depth:
            self.stack = RecurrentStack(
                config.units,
                depth=config.depth,
                cell=config.cell,
                bidirectional=config.bidirectional,
                dropout=config.dropout,
                return_state=not config.bidirectional,
                name="stack",
            )
        self.scores = keras.layers.Dense(classes, dtype="float32", name="scores")

    def build(self, input_shape=None):
        self.encoder.build((None, None, *self.frame_shape))
        shape = (None, None, self.encoder.units)
        if self.stack:
            self.stack.build(shape)
            shape = (None, None, self.stack.width)
        self.scores.build(shape)

    def prepared(self, frames, mask):
        """Normalised float32 frames, those outside the mask zero."""
        x = tf.cast(frames, tf.float32)
        x = x if self.encoder.network else (x - self.mean) / self.deviation
        return x * tf.reshape(tf.cast(mask, x.dtype), [*tf.unstack(tf.shape(mask)), *[1] * len(self.frame_shape)])

    def call(self, inputs, training=False):
        frames = self.prepared(inputs["frames"], inputs["mask"])
        return self.read(self.encoder(frames, training=training), inputs["mask"], training=training)

    def read(self, vectors, mask, training=False):
        """Frames' vectors `[batch, time, units]` -> logits."""
        if self.stack:
            vectors = self.stack(vectors, mask=mask, training=training)
            vectors = vectors[0] if self.stack.return_state else vectors
        return self.scores(vectors)

    def probabilities(self, frames, mask):
        """float32 `[batch, time, classes]`, of clips of any length."""
        size, reach = tf.shape(mask), self.encoder.window - 1
        missing = tf.maximum(0, 1 - size)  # TensorFlow's convolutions fail on no frames at all
        ends = [[0, missing[0]], [0, missing[1]]]
        frames, mask = tf.pad(frames, ends + [[0, 0]] * len(self.frame_shape)), tf.pad(mask, ends)
        steps = tf.shape(frames)[1]
        around = self.encoder.surrounded(self.prepared(frames, mask))
        pieces = tf.TensorArray(tf.float32, 0, True, infer_shape=False, element_shape=[None, None, self.encoder.units])
        start = tf.constant(0)

        def encode(start, pieces):
            vectors = self.encoder.encode(around[:, start : start + PIECE + reach])
            return start + PIECE, pieces.write(pieces.size(), tf.transpose(tf.cast(vectors, tf.float32), [1, 0, 2]))

        _, pieces = tf.while_loop(lambda start, _: start < steps, encode, [start, pieces], parallel_iterations=1)
        vectors = tf.transpose(pieces.concat(), [1, 0, 2])
        logits = self.read(tf.ensure_shape(vectors, [None, None, self.encoder.units]), mask)
        return tf.nn.softmax(logits)[: size[0], : size[1]]

    def state_shapes(self) -> dict[str, list]:
        """What `step` carries from a frame to the next, by name; all zeros before the first."""
        sizes = self.stack.compute_output_shape((None, None, self.encoder.units))[1] if self.stack else []
        shapes = {f"state_{i}": [None, size[-1]] for i, size in enumerate(sizes)}
        past = {"past_frames": [None, self.encoder.window - 1, *self.frame_shape]} if self.encoder.window > 1 else {}
        return past | shapes

    def step(self, frame, states):
        """One frame `[batch, ...]` and the states -> probabilities `[batch, classes]` and the next states."""
        frames = self.prepared(frame[:, None], tf.ones([tf.shape(frame)[0], 1], tf.bool))
        past, states = [], list(states)
        if self.encoder.window > 1:
            frames = tf.concat([states.pop(0), frames], 1)
            past = [frames[:, 1:]]
        vectors = self.encoder.encode(frames)
        if self.stack:
            vectors, states = self.stack(vectors, initial_state=states)
        return tf.nn.softmax(self.scores(vectors)[:, 0]), [*past, *states]


class Video(Task):
    Config = Config
    presets = {
        "small": dict(
            **dict(filters=16, encoder_units=96, units=96, window=5, flip=True),
            **dict(epochs=14, batch_size=16, learning_rate=4e-3),
        ),
        "base": dict(
            **dict(filters=32, encoder_units=256, units=256, window=5, epochs=40, batch_size=16, patience=10),
            **dict(shift=0.06, zoom=0.1, rotate=5.0, light=0.2, warp=0.2),
        ),
        "grid": dict(
            **dict(filters=32, encoder_units=256, units=256, depth=2, window=5, dropout=0.35, background=("sil", "sp")),
            **dict(shift=0.06, zoom=0.1, rotate=5.0, flip=True, light=0.2, warp=0.2, blink=6, splice=0.5),
            **dict(epochs=70, batch_size=16, optimizer="adamw", learning_rate=1.5e-3, weight_decay=0.02, patience=0),
            **dict(averaging=0.998, precision="mixed_bfloat16", half=True),
        ),  # the shipped models (recipes/video)
    }
    monitor = ("accuracy", "max")
    intended_use = "Telling what goes on at every frame of a clip."
    limits = (
        "Trained on clips of one kind: one camera, one view; on others it is a guess.",
        "A probability is the model's own, for its classes only: it does not know of anything else.",
    )

    def __init__(self, config, assets=None):
        super().__init__(config, assets)
        self.in_memory, self.mixed = config.in_memory, 2 if config.splice else 1

    @staticmethod
    def builtin():
        from tasks.corpora.shapes import Shapes

        return Shapes

    @classmethod
    def from_tfds(cls, builder):
        return clips.from_tfds(builder)

    @classmethod
    def from_files(cls, path):
        return clips.read(path)

    @staticmethod
    def key(example):
        return example["name"]

    def learn(self, train):
        labels, sizes, sums = collections.Counter(), collections.Counter(), 0
        for example in train.as_numpy_iterator():
            frames = example["frames"]
            labels.update(example["labels"].tolist())
            sizes[frames.shape[1:]] += 1
            x = frames[:: 1 + len(frames) // 16].astype(float)  # a few frames will do
            x = x if x.ndim == 2 else x.reshape(-1, 1)  # a mean for each feature, or one for all pixels
            sums = sums + np.stack([np.full(x.shape[1], len(x)), x.sum(0), (x**2).sum(0)])
        if len(labels) < 2:
            there = ", ".join(label.decode() for label in labels) or "none"
            raise ZooError(f"expected frames of two labels or more to train on; found: {there}")
        mean = sums[1] / sums[0]
        variance = np.maximum(sums[2] / sums[0] - mean**2, 1e-6)
        self.assets["shape"] = list(map(str, self._frame_shape(sizes)))
        self.assets["mean"], self.assets["variance"] = (list(map(repr, array.tolist())) for array in (mean, variance))
        self.assets["labels"] = [label.decode() for label in sorted(labels)]
        self.assets["counts"] = [str(labels[label]) for label in sorted(labels)]
        for name in self.config.background:
            if name not in self.assets["labels"]:
                raise ZooError(f"background={name}: no such label; there are: {', '.join(self.assets['labels'])}")

    def _frame_shape(self, sizes: collections.Counter) -> list[int]:
        """The shape that all frames are brought to, given how many clips there are of each."""
        usual = max(sizes, key=sizes.get)
        if len(usual) == 1:
            return list(usual)
        scale = min(1.0, LARGEST / max(usual[:2]))
        height, width = (max(1, round(n * scale)) for n in usual[:2])
        grey = self.config.encoder == "conv" and {size[-1] for size in sizes} == {1}
        return [self.config.height or height, self.config.width or width, 1 if grey else 3]

    @property
    def _shape(self) -> list[int]:
        return list(map(int, self.assets["shape"]))

    def encoded(self, examples):
        """Pieces of clips: `{"frames": uint8 or float32 [time, ...], "mask": bool [time]}` and class + 1."""
        shape, names, limit = self._shape, self.assets["labels"], self.config.max_length

        def encode(example):
            frames = _fitted(example["frames"], shape)
            same = tf.equal(example["labels"][:, None], tf.constant(names)[None])
            target = tf.reduce_sum(tf.cast(same, tf.int32) * tf.range(1, len(names) + 1), 1)  # 0 for a label unknown
            starts = tf.data.Dataset.range(0, tf.shape(frames, tf.int64)[0], limit)
            cut = lambda start: (
                {"frames": frames[start : start + limit], "mask": tf.ones_like(target[start : start + limit], tf.bool)},
                target[start : start + limit],
            )
            return starts.map(cut)

        return examples.flat_map(encode)

    def augmentation(self):
        c, pictures = self.config, len(self._shape) == 3
        moved, lit = pictures and any((c.shift, c.zoom, c.rotate, c.flip)), pictures and c.light
        if not (moved or lit or c.warp or c.blink or c.splice):
            return None

        def augment(examples, seed):
            sequence, target = augmentation.splice(*examples, seed, c.splice) if c.splice else examples[0]
            frames, mask = sequence["frames"], sequence["mask"]
            if c.warp:
                chosen = augmentation.warp(tf.shape(target)[0], seed, c.warp)
                frames, mask, target = (tf.gather(part, chosen) for part in (frames, mask, target))
            kind, frames = frames.dtype, tf.cast(frames, tf.float32)
            if moved:
                frames = augmentation.move(frames, seed, c.shift, c.zoom, c.rotate, c.flip)
            if lit:
                frames = augmentation.light(frames, seed, c.light)
            if c.blink:
                frames = augmentation.blink(frames, seed, c.blink)
            frames = tf.cast(tf.round(frames), kind) if kind == tf.uint8 else frames
            return {"frames": tf.ensure_shape(frames, [None, *self._shape]), "mask": mask}, target

        return augment

    def build(self):
        statistics = [list(map(float, self.assets[name])) for name in ("mean", "variance")]
        try:
            model = FrameTagger(self.config, self._shape, *statistics, len(self.assets["labels"]))
            model.build()
        except ValueError as error:  # the layers know what they can do
            raise ZooError(f"configuration: {error}") from None
        return model

    def sample(self, examples, folder):
        example = next(examples.take(1).as_numpy_iterator())
        kind = "frames" if example["frames"].ndim == 4 else "features"
        path = folder / "clip.npz"
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **{kind: example["frames"], "labels": example["labels"].astype(str)})
        return str(path)

    def loss(self):
        share = np.array(self.assets["counts"], float) / sum(map(int, self.assets["counts"]))
        weights = share**-self.config.class_weights
        weights = weights / (weights * share).sum() if self.config.class_weights else None
        return FrameLoss(weights, self.config.label_smoothing, self.config.smoothing)

    def metrics(self):
        return [FrameAccuracy()]

    def signatures(self, model):
        shape, names = self._shape, self.assets["labels"]
        kind = tf.uint8 if len(shape) == 3 else tf.float32
        unknown = [None] * 3 if len(shape) == 3 else shape

        def labelled(probabilities):
            return tf.gather(tf.constant(names), tf.argmax(probabilities, -1))

        def serve_padded(frames, steps):
            mask = tf.sequence_mask(steps, tf.shape(frames)[1])
            probabilities = model.probabilities(_fitted(frames, shape), mask)
            return {"labels": labelled(probabilities), "probabilities": probabilities, "steps": steps}

        def serve(frames):
            return serve_padded(frames, tf.fill([tf.shape(frames)[0]], tf.shape(frames)[1]))

        def step(frame, *states):
            probabilities, states = model.step(_fitted(frame, shape), states)
            states = dict(zip(carried, states, strict=True))
            return {"label": labelled(probabilities), "probabilities": probabilities, **states}

        clip = tf.TensorSpec([None, None, *unknown], kind, name="frames")
        signatures = {
            "serving_default": (serve, [clip]),
            "padded": (serve_padded, [clip, tf.TensorSpec([None], tf.int32, name="steps")]),
        }
        if not self.config.bidirectional:
            carried = model.state_shapes()
            states = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in carried.items()]
            signatures["step"] = (step, [tf.TensorSpec([None, *unknown], kind, name="frame"), *states])
        return serving.in_half(model, signatures) if self.config.half else signatures

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        true, probabilities, total = [], [], int(examples.cardinality())
        for example in examples.as_numpy_iterator():
            if len(example["frames"]):
                true.append([label.decode() for label in example["labels"]])
                probabilities.append(model(example["frames"])["probabilities"])
            if progress:
                progress(len(true), max(total, len(true)))
        seen = [[label.decode() for label in row["labels"]] for row in train.as_numpy_iterator()] if train else []
        background = model.card["training"]["config"]["background"]
        return scoring.frames(true, probabilities, model.card["labels"], background, seen)

    @classmethod
    def show(cls, report):
        tables.frames(report)

    @classmethod
    def draw(cls, report, folder, examples=None):
        return plots.quality(report, folder)

    @classmethod
    def search_space(cls, hp):
        return {
            "units": hp.Choice("units", [64, 128, 256]),
            "cell": hp.Choice("cell", ["lstm", "gru"]),
            "filters": hp.Choice("filters", [16, 32]),
            "window": hp.Choice("window", [1, 3, 5]),
            "dropout": hp.Float("dropout", 0.0, 0.5, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        }


def _fitted(frames, shape: list[int]):
    """Frames `[..., height, width, channels]` of any size and number of channels -> `[..., *shape]`; features as is."""
    if len(shape) == 1:
        return tf.ensure_shape(frames, [*frames.shape[:-1], *shape])
    leading = tf.shape(frames)[:-3]
    flat = tf.reshape(frames, tf.concat([[-1], tf.shape(frames)[-3:]], 0))
    fitted = tf.cast(tf.round(clips.convert(flat, *shape)), tf.uint8)  # as they are kept for training
    return tf.ensure_shape(tf.reshape(fitted, tf.concat([leading, shape], 0)), [*frames.shape[:-3], *shape])
