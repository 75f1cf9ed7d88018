"""many-to-many, aligned: sentence -> entity spans

Every token is read as a word and as its characters (Lample et al. 2016), the sentence by a recurrent stack in both
directions, and a linear-chain CRF chooses the best sequence of tags; or, for comparison, a softmax chooses each tag by
itself. With `init` the encoder starts from a language model (Peters et al. 2018).
"""

from __future__ import annotations

import collections
import dataclasses

import keras
import tensorflow as tf

from zoo import conll, plots, pretraining, scoring, spans, tables, text
from zoo.config import TrainingConfig, setting
from zoo.errors import ZooError, note
from zoo.layers.crf import CRF, CRFLoss, constraints
from zoo.layers.stack import CELLS, RecurrentStack
from zoo.layers.tokens import TokenEncoder
from zoo.task import Task

CHARACTERS = 24  # of a token; longer ones are cut in the middle


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    vocabulary_size: int = setting(30_000, "words, padding and unknown included", minimum=3)
    min_count: int = setting(2, "occurrences that make a word known; rarer ones train the unknown word", minimum=1)
    max_length: int = setting(256, "tokens of a sentence in training; longer ones are cut off there", minimum=2)
    word_dim: int = setting(128, "width of a word's vector", minimum=1)
    character_dim: int = setting(32, "width of a character's vector", minimum=1)
    character_units: int = setting(48, "cells over the characters, in each direction; 0: words only", minimum=0)
    word_dropout: float = setting(0.1, "share of words that training takes for unknown", minimum=0.0, maximum=0.95)
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(256, "cells of a recurrent layer and direction", minimum=1)
    depth: int = setting(1, "recurrent layers", minimum=1)
    bidirectional: bool = setting(True, "read in both directions")
    dropout: float = setting(0.5, "on the tokens' vectors and on recurrent outputs", minimum=0.0, maximum=0.95)
    head: str = setting("crf", "what chooses the tags", choices=("crf", "softmax"))
    init: str = setting("", "folder of a pretrained encoder to start from (recipes/ner)")
    quantize: bool = setting(False, "export the words' embedding as int8")


class Tagger(keras.Model):
    """int32 `[batch, time, 2 + characters]` (`zoo.text.TokenVectorizer`) -> scores of tags `[batch, time, tags]`."""

    def __init__(self, config: Config, words: int, characters: int, tags: list[str]):
        super().__init__(name="tagger")
        self.encoder = TokenEncoder(
            words,
            characters,
            config.word_dim,
            config.character_dim,
            config.character_units,
            config.word_dropout,
            name="encoder",
        )
        self.dropout = keras.layers.Dropout(config.dropout, noise_shape=(None, 1, None))
        self.stack = RecurrentStack(
            config.units,
            depth=config.depth,
            cell=config.cell,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            name="stack",
        )
        self.scores = keras.layers.Dense(len(tags), dtype="float32", name="scores")
        self.crf = CRF(len(tags), constraints(tags), name="crf") if config.head == "crf" else None

    def call(self, tokens, training=False):
        vectors = self.dropout(self.encoder(tokens, training=training), training=training)
        scores = self.scores(self.stack(vectors, training=training))
        return self.crf(scores) if self.crf else scores

    def tag(self, tokens):
        """The best tags, int32 `[batch, time]`; their probabilities, and these given the tag before, likewise."""
        scores, mask = self(tokens, training=False), tf.not_equal(tokens[:, :, 0], 0)
        if self.crf:
            tags, _ = self.crf.decode(scores, mask)
            probability = tf.gather(self.crf.marginals(scores, mask), tags, batch_dims=2)
            return tags, probability, self.crf.conditionals(scores, tags, mask)
        p = tf.nn.softmax(scores) * tf.cast(mask, tf.float32)[:, :, None]
        return tf.where(mask, tf.argmax(p, -1, tf.int32), 0), *(tf.reduce_max(p, -1),) * 2


class Ner(Task):
    Config = Config
    presets = {
        "small": dict(
            word_dim=48, character_units=24, units=64, epochs=8, batch_size=32, learning_rate=4e-3, dropout=0.3
        ),
        "base": dict(epochs=30, batch_size=32, learning_rate=2e-3, patience=6),
        "conll2003": dict(
            init="runs/pretrain/ner",
            units=320,
            epochs=12,
            batch_size=32,
            learning_rate=1.5e-3,
            averaging=0.999,
            patience=0,
            quantize=True,
        ),  # step 2 of recipes/ner, which makes the shipped model
    }
    monitor = ("f1", "max")
    intended_use = "Finding names in English sentences, and telling what they name."
    limits = (
        "Trained on one kind of text; on others (tweets, transcripts, lower-cased text) it finds fewer names.",
        "Names unlike any in the training text are recognised by their spelling and context only; see the figures for "
        "unseen entities.",
        "A confidence is the model's own probability that the span is an entity of that type, whole as it stands.",
    )
    demo = "Lucas Ferreira is a professor at UFV"

    @staticmethod
    def builtin():
        from tasks.corpora.entities import Entities

        return Entities

    @classmethod
    def from_tfds(cls, builder):
        return spans.from_tfds(builder)

    @classmethod
    def from_files(cls, path):
        return {split: spans.examples(sentences) for split, sentences in conll.read(path).items()}

    @staticmethod
    def key(example):
        return tf.strings.reduce_join(example["tokens"], separator=" ")

    def learn(self, train):
        words, characters, tags = (collections.Counter() for _ in range(3))
        long, limit = 0, self.config.max_length
        for batch in train.ragged_batch(512):
            tokens = batch["tokens"].flat_values
            long += int(tf.reduce_sum(tf.cast(batch["tokens"].row_lengths() > limit, tf.int32)))
            words.update(text.normalize(tokens).numpy())
            characters.update(tf.strings.unicode_split(tokens, "UTF-8").flat_values.numpy())
            tags.update(batch["tags"].flat_values.numpy())
        types = sorted({tag.decode()[2:] for tag in tags if tag != b"O"})
        if not types:
            raise ZooError("every training token is tagged O; expected entities, tagged B-TYPE and I-TYPE")
        if long:
            what = "sentence is" if long == 1 else "sentences are"
            note(f"{long} training {what} longer than {limit} tokens; cut off there")
        self.assets["labels"] = types
        if self.config.init:
            self.assets |= pretraining.load_vocabularies(self.config.init, "words", "characters")
        else:
            known = collections.Counter({w: n for w, n in words.items() if n >= self.config.min_count})
            self.assets["words"] = text.ranked(known, self.config.vocabulary_size)
            self.assets["characters"] = text.ranked(characters, 2_000)

    @property
    def _tags(self) -> list[str]:
        return spans.bioes(self.assets["labels"])

    @property
    def _vectorizer(self):
        if not self.resources:
            with tf.init_scope():  # its tables outlive the graph that first asks for them
                self.resources.append(text.TokenVectorizer(self.assets["words"], self.assets["characters"], CHARACTERS))
        return self.resources[0]

    def encode(self, examples):
        tokens, tags = (examples[name][:, : self.config.max_length] for name in ("tokens", "tags"))
        return self._vectorizer(tokens), spans.tag_ids(tags, self.assets["labels"])

    def build(self):
        model = Tagger(self.config, len(self.assets["words"]), len(self.assets["characters"]), self._tags)
        model(tf.zeros([1, 1, 2 + CHARACTERS], tf.int32))
        return model

    def warm_start(self, model):
        if self.config.init:
            pretraining.load_encoder(self.config.init, model.encoder, model.stack.recurrent_layers[0])

    def finish(self, model):
        if self.config.quantize:
            model.encoder.embedding.quantize("int8")

    def loss(self):
        if self.config.head == "crf":
            return CRFLoss()
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def metrics(self):
        return [spans.EntityF1()]

    def signatures(self, model):
        vectorizer, labels = self._vectorizer, self.assets["labels"]

        def answer(text_, tokens, starts, ends):
            return spans.answer(text_, tokens, starts, ends, *model.tag(text.pad(vectorizer(tokens))), labels)

        def serve(text_: tf.Tensor):
            return answer(*text.tokenize(text_))

        def serve_tokens(tokens: tf.Tensor):
            return answer(*text.joined(tokens))

        return {
            "serving_default": (serve, [tf.TensorSpec([None], tf.string, name="text")]),
            "tokens": (serve_tokens, [tf.TensorSpec([None, None], tf.string, name="tokens")]),
        }

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        raw = list(examples.as_numpy_iterator())
        tokens, true = ([[value.decode() for value in row[name]] for row in raw] for name in ("tokens", "tags"))
        found = model.batched("tokens", tokens, progress=progress)
        predicted = [[tag.decode() for tag in row[:n]] for row, n in zip(found["tags"], found["steps"], strict=True)]
        confidences = [
            row[:n].tolist() for row, n in zip(found["entities_confidence"], found["entities_count"], strict=True)
        ]
        known = set()
        for row in train.as_numpy_iterator() if train else ():
            words = [token.decode() for token in row["tokens"]]
            known |= {" ".join(words[a:b]) for _, a, b in conll.entities([tag.decode() for tag in row["tags"]])}
        return scoring.entities(tokens, true, predicted, confidences, known)

    @classmethod
    def show(cls, report):
        tables.entities(report)

    @classmethod
    def draw(cls, report, folder, examples=None):
        names = list(report["confusion"])
        matrix = [list(row.values()) for row in report["confusion"].values()]
        return [
            plots.entities(report, folder / "entities.png"),
            plots.confusion(matrix, names, folder / "confusion.png"),
            plots.calibration(report["calibration"], report["calibration_error"], folder / "calibration.png"),
        ]

    @classmethod
    def search_space(cls, hp):
        return {
            "units": hp.Choice("units", [64, 128, 256]),
            "cell": hp.Choice("cell", ["lstm", "gru"]),
            "word_dim": hp.Choice("word_dim", [50, 100, 200]),
            "character_units": hp.Choice("character_units", [16, 32, 64]),
            "dropout": hp.Float("dropout", 0.2, 0.6, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        }
