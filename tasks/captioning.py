"""one-to-many: image -> sentence

A convolutional network without its last layer turns a picture into a grid of vectors V, with the mean v. A recurrent
network is started or fed with v (Vinyals et al. 2015, Karpathy & Fei-Fei 2015), or looks at another part of V before
each word (Xu et al. 2015); from START it speaks until END.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import keras
import numpy as np
import tensorflow as tf

from zoo import caption_files, caption_scores, gallery, pictures, pretraining, serving, subwords, tables, text
from zoo.cider import CiderD
from zoo.config import TrainingConfig, setting
from zoo.errors import ZooError, note
from zoo.files import replacing
from zoo.layers.attention import CELLS, KINDS, AttentionDecoder
from zoo.layers.grids import GridEncoder
from zoo.losses import doubly_stochastic
from zoo.self_critical import SelfCritical, folded
from zoo.seq2seq import alternatives
from zoo.subwords import END_ID, START_ID
from zoo.task import Task

WAYS = ("inject", "init", "merge", "attend")


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    size: int = setting(224, "pixels of the square that pictures are brought to", minimum=8, maximum=1024)
    encoder: str = setting("MobileNetV2", "what sees: conv, or the name of a network of keras.applications")
    encoder_weights: str = setting("", "of that network: a file, imagenet, or nothing for random ones")
    freeze: bool = setting(True, "leave that network as it is, and compute its features once")
    mirror: bool = setting(False, "train on the pictures mirrored, too; not where left and right are said")
    way: str = setting("attend", "from the picture to the words", choices=WAYS)
    attention: str = setting("additive", "score of the attention", choices=tuple(k for k in KINDS if k != "none"))
    doubly_stochastic: float = setting(0.0, "weight of: look at all of the picture in the end", minimum=0.0)
    vocabulary_size: int = setting(3_000, "subwords, at most", minimum=16)
    plain: bool = setting(True, "learn captions in lower case and without punctuation")
    captions: int = setting(5, "of a picture, at most, to train on", minimum=1)
    max_length: int = setting(30, "subwords of a caption; longer ones are cut off there", minimum=2)
    embedding_dim: int = setting(256, "width of a subword's vector", minimum=1)
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(512, "cells of a recurrent layer, and width of what is seen", minimum=1)
    depth: int = setting(1, "recurrent layers", minimum=1)
    dropout: float = setting(0.3, "of what is seen, embeddings and outputs", minimum=0.0, maximum=0.95)
    label_smoothing: float = setting(0.1, "share of the truth that is spread over all subwords", minimum=0, maximum=0.9)
    scheduled_sampling: float = setting(0.0, "share of its own words that it is fed at last", minimum=0.0, maximum=1.0)
    self_critical: bool = setting(False, "train by CIDEr-D of what is said, in place of cross-entropy")
    init: str = setting("", "folder of a run to start from, such as the one before self-critical training")
    beam_width: int = setting(3, "hypotheses of the exported model's beam search", minimum=1)
    length_penalty: float = setting(1.0, "exponent of the length that scores are divided by", minimum=0.0)
    half: bool = setting(False, "store the exported weights as float16, but for the encoder's")


class Captioner(SelfCritical):
    """{"source", "target"} -> the decoder's outputs before each next word of every caption.

    The source is pictures `[batch, size, size, 3]`, 0 to 255, or their features `[batch, places, features]`. V is made
    of these by a projection, v is its mean; x_t is a word's vector. The ways from there to words:

        "inject"  h_t = f(W_xh x_t + W_hh h_{t-1} + W_ih v)       (Mao et al. 2015; the lectures' equation)
        "init"    v is the first input, before START              (Vinyals et al. 2015)
        "merge"   h_t of words alone; softmax of tanh(W [h_t, v]) (Tanti et al. 2017)
        "attend"  h_t looks at V; the first state is made of v    (Xu et al. 2015)
    """

    def __init__(self, config: Config, words: int, eye: GridEncoder | None, places: int, features: int):
        attend, units, width = config.way == "attend", config.units, config.embedding_dim
        normal = keras.initializers.RandomNormal(stddev=width**-0.5)
        options = dict(dropout=config.dropout, return_attention=attend and config.doubly_stochastic > 0)
        attention = config.attention if attend else "none"
        decoder = AttentionDecoder(units, width, config.depth, config.cell, attention, name="decoder", **options)
        decoder.build((None, None, width + units * (config.way == "inject")), (None, places, units))
        embedding = keras.layers.Embedding(words, width, normal, name="target_embedding")
        names = ("dropout", "scheduled_sampling", "label_smoothing", "max_length")
        options = {name: getattr(config, name) for name in names}
        super().__init__(decoder, embedding, True, critical=config.self_critical, name="captioner", **options)
        self.way, self.eye, self.doubly_stochastic = config.way, eye, attend and config.doubly_stochastic
        self.places = keras.layers.Dense(units, name="places")
        self.places.build((None, features))
        self.positions = self.add_weight(shape=(places, units), initializer="zeros", name="positions")
        self.places_dropout = keras.layers.Dropout(config.dropout)
        dense = lambda name, size=units: keras.layers.Dense(size, "tanh", name=name)
        states = range(decoder.depth * decoder.equations.states)
        self.bridge = [dense(f"bridge_{i}") for i in states] if attend else []
        self.first = dense("first", width) if config.way == "init" else None
        self.merged = dense("merged") if config.way == "merge" else None

    def encode(self, source, training=False):
        grid = self.eye(source, training=training) if source.shape.rank == 4 else source
        grid = self.places(tf.cast(grid, self.compute_dtype))
        grid = tf.nn.relu(grid + tf.cast(tf.convert_to_tensor(self.positions), grid.dtype))
        grid = self.places_dropout(grid, training=training)
        v = tf.reduce_mean(grid, 1)
        if self.way == "attend":
            return grid, None, [layer(v) for layer in self.bridge]
        state, memory = [], v[:, None]
        if self.way == "init":
            before = self.decoder.first_state(tf.shape(v)[0])
            _, state, _ = self.decoder.step(self.first(v), before, self.decoder.prepare(memory))
        return memory, None, state

    def before(self, words, memory):
        return tf.concat([words, _along(memory, words)], -1) if self.way == "inject" else words

    def after(self, vectors, memory, training=False):
        return self.merged(tf.concat([vectors, _along(memory, vectors)], -1)) if self.way == "merge" else vectors

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if self.doubly_stochastic and training and not self.critical:
            loss += self.doubly_stochastic * doubly_stochastic(y_pred[1], folded(y))
        return loss


def _along(memory, words):
    """v at every step, `[rows, time, units]`."""
    rows, time = tf.unstack(tf.shape(words)[:2])
    v = tf.repeat(tf.cast(memory, words.dtype), rows // tf.shape(memory)[0], 0)
    return tf.broadcast_to(v, [rows, time, memory.shape[-1]])


class Captioning(Task):
    Config = Config
    presets = {
        "small": dict(
            **dict(size=48, encoder="conv", freeze=False, vocabulary_size=300, embedding_dim=64, units=128),
            **dict(dropout=0.1, label_smoothing=0.0, captions=2, epochs=10, batch_size=16, learning_rate=6e-3),
        ),
        "base": dict(epochs=20, batch_size=32, patience=5),
        **{way: dict(way=way) for way in ("inject", "init", "merge")},
        "attend": dict(way="attend", doubly_stochastic=0.01),
        "flickr8k": dict(
            **dict(units=384, dropout=0.4, epochs=10, batch_size=64, learning_rate=2e-3, patience=0),
        ),  # with flickr8k_critical, makes the shipped model: recipes/captioning
        "flickr8k_critical": dict(
            **dict(units=384, dropout=0.1, epochs=5, batch_size=64, learning_rate=5e-4, patience=0),
            **dict(self_critical=True, max_length=20, half=True),
        ),
    }
    monitor = ("reward", "max")
    intended_use = "Saying in a sentence what is on a picture of the kind that it was trained on."
    limits = (
        "Trained on one kind of pictures: on others it says the most similar thing that it knows, fluently.",
        "It may name objects, colours, numbers and people's sex wrongly, and does not say when it is not sure.",
        "Not for deciding about people, and no replacement for a description that somebody depends on.",
    )

    # Data ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def builtin():
        from tasks.corpora.scenes import Scenes

        return Scenes

    @classmethod
    def from_tfds(cls, builder):
        return caption_files.from_tfds(builder)

    @classmethod
    def from_files(cls, path):
        return caption_files.read(path)

    @staticmethod
    def key(example):
        return example["name"]

    def training_examples(self, train):
        if not self.config.mirror or "features" in train.element_spec:
            return train
        return train.concatenate(train.map(lambda e: {**e, "image": e["image"][:, ::-1]}, tf.data.AUTOTUNE))

    def learn(self, train):
        captions = []
        for batch in train.map(lambda e: self._captions(e["captions"])).batch(512):
            captions += batch.numpy().tolist()
        flat = [caption for row in captions for caption in row]
        self.assets["pieces"], self.assets["scores"] = subwords.learn(flat, self.config.vocabulary_size)
        if "features" in train.element_spec:
            self.assets["shape"] = list(map(str, next(train.as_numpy_iterator())["features"].shape))
        self._spoken = self._ids(flat)[1].numpy().reshape(len(captions), self.config.captions, -1)

    def _ids(self, captions):
        """Sentences -> what the decoder is fed and what it is to say, int32 `[sentences, time]`; 0 for an empty one."""
        words = self._subwords.encode(captions)[:, : self.config.max_length]
        some = tf.cast(words.row_lengths() > 0, tf.int32)[:, None]
        start = tf.fill([words.nrows(), 1], START_ID)
        return text.pad(tf.concat([start, words], 1)) * some, text.pad(subwords.ended(words)) * some

    def _captions(self, captions):
        """So many as are trained on, "" where there are no more."""
        n = self.config.captions
        captions = captions[:n]
        captions = tf.pad(captions, [[0, n - tf.shape(captions)[0]]])
        if self.config.plain:
            captions = tf.strings.regex_replace(tf.strings.lower(captions, "utf-8"), r"[^\p{L}\p{M}\p{N}'-]+", " ")
        return tf.ensure_shape(captions, [n])

    @functools.cached_property
    def _subwords(self):
        return subwords.Subwords(self.assets["pieces"], self.assets["scores"])

    @functools.cached_property
    def _eye(self):
        """What sees, built; None where features are given and it is not said which network's they are."""
        c, given = self.config, "shape" in self.assets
        if given and not c.encoder_weights:
            return None
        own = c.encoder == "conv" and not given
        options = dict(network=None if own else c.encoder, weights=c.encoder_weights or None)
        try:
            eye = GridEncoder(trainable=own or not (c.freeze or given), name="eye", **options)
            eye.build((None, c.size, c.size, 3))
        except ValueError as error:  # the network knows what it can do
            raise ZooError(f"configuration: {error}") from None
        shape = list(map(str, eye.compute_output_shape((None,))[1:]))
        if given and shape != self.assets["shape"]:
            features = " x ".join(self.assets["shape"])
            raise ZooError(f"configuration: {c.encoder} gives features {' x '.join(shape)}; the corpus has {features}")
        if not own and c.freeze and not c.encoder_weights:
            note(f"{c.encoder} has random weights and stays as it is; SET=encoder_weights= gives it others")
        return eye

    def _fitted(self, images):
        """Pictures `[batch, height, width, channels]` of any size -> float32 `[batch, size, size, 3]`."""
        return tf.round(pictures.fit(images, self.config.size))  # as they are kept for training

    def encoded(self, examples):
        """`{"source": pictures or features of one size, "target": int32 [time, captions]}` and the next words."""
        given, frozen = "features" in examples.element_spec, self._eye is not None and self._eye.frozen
        if not given and self._eye is None:
            raise ZooError(
                "configuration: the corpus has features in train and pictures elsewhere; expected encoder= and "
                "encoder_weights=, the network that the features are of"
            )

        def one(example):
            source = example["features"] if given else tf.cast(self._fitted(example["image"][None])[0], tf.uint8)
            return source, self._captions(example["captions"])

        def several(source, captions):
            if given:
                source = tf.ensure_shape(source, [None, *map(int, self.assets["shape"])])
            elif frozen:
                source = self._eye(source)
            source = source if source.dtype == tf.uint8 else tf.cast(source, tf.float16)  # in half of the space
            before, after = self._ids(tf.reshape(captions, [-1]))
            by_picture = lambda x: tf.transpose(tf.reshape(x, [-1, self.config.captions, tf.shape(x)[1]]), [0, 2, 1])
            return {"source": source, "target": by_picture(before)}, by_picture(after)

        def cut(sequence, target):
            time = tf.reduce_sum(tf.cast(tf.reduce_any(target > 0, 1), tf.int32))
            cut = lambda x: tf.ensure_shape(x[:time], [None, self.config.captions])
            return {**sequence, "target": cut(sequence["target"])}, cut(target)

        examples = examples.map(one, tf.data.AUTOTUNE).batch(32).map(several, 2).unbatch()
        return examples.map(cut, tf.data.AUTOTUNE)

    # Model --------------------------------------------------------------------------------------------------------

    def build(self):
        if self._eye is not None:
            places, features = self._eye.compute_output_shape((None,))[1:]
        else:
            places, features = map(int, self.assets["shape"])
        model = Captioner(self.config, len(self.assets["pieces"]), self._eye, places, features)
        words = tf.zeros([1, 1, self.config.captions], tf.int32)
        model({"source": tf.zeros([1, places, features]), "target": words})
        return model

    def compiled(self, steps):
        model = super().compiled(steps)
        model.steps, model.reward = steps, CiderD(self._spoken)
        return model

    def warm_start(self, model):
        if self.config.init:
            pretraining.load_run(self.config.init, model)

    def loss(self):
        return None  # the model has its own

    def sample(self, examples, folder):
        example = next(examples.take(1).as_numpy_iterator())
        if "features" in example:
            return ""
        path = folder / "picture.png"
        with replacing(path) as temporary:
            temporary.write_bytes(tf.io.encode_png(example["image"]).numpy())
        return str(path)

    # Serving ------------------------------------------------------------------------------------------------------

    @property
    def options(self):
        return {"beam_width": self.config.beam_width, "max_length": self.config.max_length}

    def signatures(self, model):
        c, given = self.config, self._eye is None
        ready = (lambda x: x) if given else self._fitted

        def texts(tokens):
            count, width, time = tf.unstack(tf.shape(tokens))
            return tf.reshape(self._subwords.decode(tf.reshape(tokens, [count * width, time])), [count, width])

        def answer(source, beam_width, max_length):
            found = model.search(source, max_length, beam_width, c.length_penalty)
            return alternatives(texts(found.tokens), found.log_probabilities)

        def search(image, beam_width, max_length):
            return answer(ready(image), beam_width, max_length)

        def serve(image):
            return search(image, tf.constant(c.beam_width), tf.constant(c.max_length))

        def files(data):
            one = lambda bytes_: ready(pictures.decode(bytes_)[None])[0]
            shape = tf.TensorSpec([c.size, c.size, 3], tf.float32)
            source = tf.map_fn(one, data, fn_output_signature=shape)
            return answer(source, tf.constant(c.beam_width), tf.constant(c.max_length))

        def attention(image):
            source = ready(image)
            found = model.search(source, c.max_length, c.beam_width, c.length_penalty).tokens
            spoken = tf.cast(tf.not_equal(texts(found), ""), tf.int32)  # the answer is the first that says something
            tokens = tf.gather(found, tf.argmax(spoken, 1), batch_dims=1)
            lengths, time = tf.reduce_sum(tf.cast(tokens > 0, tf.int32), 1), tf.shape(tokens)[1] + 1
            said = tf.pad(tokens, [[0, 0], [0, 1]]) + tf.one_hot(lengths, time, END_ID, 0)
            weights = model.look(source, tf.pad(tokens, [[0, 0], [1, 0]], constant_values=START_ID))
            rows, columns = (1, tf.shape(weights)[2]) if given else self._eye.grid
            return {
                "pieces": self._subwords.pieces(said),
                "weights": tf.reshape(weights, [-1, time, rows, columns]),
            }

        if given:
            source = tf.TensorSpec([None, *map(int, self.assets["shape"])], tf.float32, name="features")
        else:
            source = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
        number = lambda name: tf.TensorSpec([], tf.int32, name)
        functions = {
            "serving_default": (serve, [source]),
            "search": (search, [source, number("beam_width"), number("max_length")]),
        }
        if not given:
            functions["files"] = (files, [tf.TensorSpec([None], tf.string, name="data")])
        if c.way == "attend":
            functions["attention"] = (attention, [source])
        kept = () if given or not self._eye.frozen else self._eye.weights  # MobileNetV2's cost 0.15 of BLEU-4
        return serving.in_half(model, functions, kept) if c.half else functions

    # Measuring ----------------------------------------------------------------------------------------------------

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        rows = list(examples.as_numpy_iterator())
        inputs = [row["features"] if "features" in row else row["image"] for row in rows]
        references = [[caption.decode("utf-8", "replace") for caption in row["captions"]] for row in rows]
        said, others = model.by_beam_width(inputs, {"greedy": 1, "beam 3": 3, "beam 5": 5}, progress)
        report = caption_scores.report(said, references, others)
        if min(map(len, references)) > 1:
            report["people"] = caption_scores.agreement(references)
        from tasks.corpora import scenes

        names = [row["name"].decode() for row in rows]
        if all(map(scenes.is_scene, names)):  # of these it is known what is true
            report["true"] = float(np.mean([scenes.describes(s, name) for s, name in zip(said, names, strict=True)]))
        sheet = {"_said": said, "_references": references, "_scores": caption_scores.each(said, references)}
        return {**report, **sheet}

    @classmethod
    def show(cls, report):
        tables.captioning(report)

    @classmethod
    def draw(cls, report, folder: pathlib.Path, examples=None):
        if examples is None or "image" not in examples.element_spec:
            return []
        images = (example["image"] for example in examples.as_numpy_iterator())
        parts = (report[f"_{name}"] for name in ("said", "references", "scores"))
        return [gallery.best_to_worst(images, *parts, folder / "captions.png")]

    @classmethod
    def search_space(cls, hp):
        return {
            "embedding_dim": hp.Choice("embedding_dim", [64, 128, 256]),
            "units": hp.Choice("units", [128, 256, 512]),
            "way": hp.Choice("way", list(WAYS)),
            "dropout": hp.Float("dropout", 0.1, 0.5, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        }
