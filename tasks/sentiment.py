"""many-to-one: review -> polarity

Words are embedded, read by a recurrent stack in both directions, pooled over time into one vector, and classified. With
`init` the embedding and the first recurrent layer start from a language model (Dai & Le 2015); with `adversarial` the
embeddings are also moved in the worst direction while training (Miyato, Dai & Goodfellow 2017).
"""

from __future__ import annotations

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from zoo import files, plots, pretraining, scoring, tables, text
from zoo.adversarial import AdversarialTraining
from zoo.config import TrainingConfig, setting
from zoo.errors import ZooError
from zoo.layers.pooling import KINDS
from zoo.layers.stack import CELLS, RecurrentStack
from zoo.task import Task

NAMES = {"neg": "negative", "pos": "positive"}  # the usual short names, spelt out


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    vocabulary_size: int = setting(30_000, "words, padding and unknown included", minimum=3)
    max_length: int = setting(400, "words of a review in training; longer ones are cut in the middle", minimum=2)
    serve_length: int = setting(2_000, "likewise in the exported model", minimum=2)
    embedding_dim: int = setting(256, "width of a word's vector", minimum=1)
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(384, "cells of a recurrent layer and direction", minimum=1)
    depth: int = setting(1, "recurrent layers", minimum=1)
    bidirectional: bool = setting(True, "read in both directions")
    residual: bool = setting(False, "skip connections between recurrent layers")
    layer_norm: bool = setting(False, "layer normalisation after each recurrent layer")
    pooling: tuple[str, ...] = setting(("mean", "max"), "of the states over time", choices=KINDS)
    word_dropout: float = setting(0.0, "share of words that training blanks out", minimum=0.0, maximum=0.95)
    dropout: float = setting(0.5, "on recurrent outputs and on the pooled vector", minimum=0.0, maximum=0.95)
    recurrent_dropout: float = setting(0.0, "on the recurrent state (Keras's slower loop)", minimum=0.0, maximum=0.95)
    adversarial: float = setting(0.0, "length of the adversarial move; 0: none", minimum=0.0)
    init: str = setting("", "folder to start from: a pretrained encoder (zoo.pretraining) or a run")
    extra: str = setting("", "CSV file of more training examples (text, label): recipes/sentiment/more_examples.py")
    quantize: bool = setting(False, "export the embedding as int8")


class Classifier(AdversarialTraining):
    """ids int32 `[batch, time]`, 0 for padding -> logits float32 `[batch, classes]`."""

    def __init__(self, config: Config, vocabulary_size: int, classes: int):
        super().__init__(config.adversarial, name="classifier")
        self.embedding = keras.layers.Embedding(vocabulary_size, config.embedding_dim, mask_zero=True, name="embedding")
        self.word_dropout = keras.layers.Dropout(config.word_dropout, noise_shape=(None, None, 1))
        self.stack = RecurrentStack(
            config.units,
            depth=config.depth,
            cell=config.cell,
            bidirectional=config.bidirectional,
            residual=config.residual,
            layer_norm=config.layer_norm,
            dropout=config.dropout,
            recurrent_dropout=config.recurrent_dropout,
            pooling=config.pooling,
            name="stack",
        )
        self.dropout = keras.layers.Dropout(config.dropout)
        self.head = keras.layers.Dense(classes, dtype="float32", name="head")

    def embed(self, ids, training):
        return self.word_dropout(self.embedding(ids), training=training), tf.not_equal(ids, 0)

    def classify(self, embedded, mask, training):
        pooled = self.stack(embedded, mask=mask, training=training)
        return self.head(self.dropout(pooled, training=training))


class Sentiment(Task):
    Config = Config
    presets = {
        "small": dict(
            vocabulary_size=2_000, embedding_dim=32, units=64, epochs=12, batch_size=32, learning_rate=4e-3, dropout=0.2
        ),
        "base": dict(),
        "imdb": dict(
            init="runs/pretrain/imdb",
            extra="runs/pretrain/imdb/extra.csv.gz",
            word_dropout=0.15,
            dropout=0.4,
            epochs=1,
            schedule="constant",
            precision="mixed_bfloat16",
            quantize=True,
        ),  # step 4 of recipes/sentiment, which makes the shipped model
    }
    intended_use = "Telling whether a review, in English, speaks well or badly of its subject."
    limits = (
        "English only; trained on reviews of one kind: other kinds of text (news, tweets, irony) are read less well.",
        "The probability is the model's softmax; the calibration table says how far it can be trusted.",
        "Not for decisions about people.",
    )
    demo = "I expected a masterpiece, but what I got was a mess."

    @staticmethod
    def builtin():
        from tasks.corpora.reviews import Reviews

        return Reviews

    @classmethod
    def from_tfds(cls, builder):
        column, label = _text_and_label(builder.info)
        names = tf.constant([NAMES.get(name, name) for name in builder.info.features[label].names])
        splits = {}
        for split, name in files.splits_among(builder.info.splits).items():
            raw = builder.as_dataset(split=name, shuffle_files=False)
            splits[split] = raw.map(lambda e: {"text": e[column], "label": tf.gather(names, e[label])})
        return splits

    @classmethod
    def from_files(cls, path):
        return {split: _examples(*columns) for split, columns in files.labelled_texts(path).items()}

    @staticmethod
    def key(example):
        return example["text"]

    def training_examples(self, train):
        if not self.config.extra:
            return train
        return train.concatenate(_examples(*files.labelled_table(pathlib.Path(self.config.extra))))

    def learn(self, train):
        labels = {label.decode() for batch in train.batch(1024) for label in batch["label"].numpy()}
        if len(labels) < 2:
            raise ZooError(f"every training example is labelled {', '.join(labels)!r}; expected at least two classes")
        self.assets["labels"] = sorted(labels)
        if self.config.init:
            self.assets["vocabulary"] = pretraining.load_vocabulary(self.config.init)
        else:
            self.assets["vocabulary"] = text.learn_vocabulary(
                train.map(lambda e: e["text"]), self.config.vocabulary_size
            )

    def encode(self, examples):
        ids = text.head_and_tail(self._vectorizer(examples["text"]), self.config.max_length)
        same = tf.equal(examples["label"][:, None], tf.constant(self.assets["labels"]))
        return ids, tf.argmax(same, axis=1, output_type=tf.int32)

    @property
    def _vectorizer(self):
        if not self.resources:
            with tf.init_scope():  # its table outlives the graph that first asks for it
                self.resources.append(text.vectorizer(self.assets["vocabulary"]))
        return self.resources[0]

    def build(self):
        model = Classifier(self.config, len(self.assets["vocabulary"]), len(self.assets["labels"]))
        model(tf.zeros([1, 1], tf.int32))
        return model

    def warm_start(self, model):
        if self.config.init:
            pretraining.warm_start(self.config.init, model, model.embedding, model.stack.recurrent_layers[0])

    def finish(self, model):
        if self.config.quantize:
            model.embedding.quantize("int8")

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def signatures(self, model):
        vectorizer, names = self._vectorizer, tf.constant(self.assets["labels"])

        def probabilities(text_: tf.Tensor):
            ids = text.pad(text.head_and_tail(vectorizer(text_), self.config.serve_length))
            return {"probabilities": tf.nn.softmax(model(ids, training=False))}

        def serve(text_: tf.Tensor):
            p = probabilities(text_)["probabilities"]
            return {"label": tf.gather(names, tf.argmax(p, axis=-1)), "probability": tf.reduce_max(p, axis=-1)}

        strings = [tf.TensorSpec([None], tf.string, name="text")]
        return {"serving_default": (serve, strings), "probabilities": (probabilities, strings)}

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        raw = [(e["text"].numpy(), e["label"].numpy().decode()) for e in examples]
        names = model.card["labels"]
        unknown = {label for _, label in raw} - set(names)
        if unknown:
            raise ZooError(f"the model knows no label {', '.join(sorted(unknown))}; it knows: {', '.join(names)}")
        texts = np.array([t for t, _ in raw], object)
        probabilities = model.batched("probabilities", texts, progress=progress)["probabilities"]
        labels = np.array([names.index(label) for _, label in raw])
        lengths = np.array([len(t.split()) for t in texts])
        return scoring.classification(probabilities, labels, names, lengths)

    @classmethod
    def show(cls, report):
        tables.classification(report)

    @classmethod
    def draw(cls, report, folder, examples=None):
        return plots.quality(report, folder)

    @classmethod
    def search_space(cls, hp):
        return {
            "units": hp.Choice("units", [32, 64, 128]),
            "cell": hp.Choice("cell", ["lstm", "gru"]),
            "embedding_dim": hp.Choice("embedding_dim", [32, 64, 128]),
            "dropout": hp.Float("dropout", 0.1, 0.6, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
            "batch_size": hp.Choice("batch_size", [32, 64]),
        }


def _examples(texts, labels):
    labels = [NAMES.get(label.lower(), label) for label in labels]
    return tf.data.Dataset.from_tensor_slices({"text": texts, "label": labels})


def _text_and_label(info):
    """The names of a TFDS data set's text feature and class label."""
    import tensorflow_datasets as tfds

    texts = [name for name, feature in info.features.items() if isinstance(feature, tfds.features.Text)]
    labels = [name for name, feature in info.features.items() if isinstance(feature, tfds.features.ClassLabel)]
    if info.supervised_keys:
        texts, labels = ([k for k in info.supervised_keys if k in found] for found in (texts, labels))
    if len(texts) != 1 or len(labels) != 1:
        raise ZooError(
            f"TFDS {info.full_name} is no text classification data set: expected one text and one class label among "
            f"its features, found {', '.join(info.features)}"
        )
    return texts[0], labels[0]
