"""many-to-many, encoder-decoder: sentence -> sentence

Sentences are cut into subwords (Kudo 2018). A recurrent stack reads the source in both directions; its final states
start, through a learned bridge, a decoder that attends to its outputs and is fed its own last output (Bahdanau et al.
2015, Luong et al. 2015). The preset `sutskever2014` has neither attention nor bridge: all that is known of the source
is in the state that the first network ends with.
"""

from __future__ import annotations

import dataclasses
import functools

import keras
import tensorflow as tf

from zoo import parallel_text, plots, serving, subwords, tables, text, text_scores
from zoo.config import TrainingConfig, setting
from zoo.errors import ZooError, note
from zoo.layers.attention import CELLS, KINDS, AttentionDecoder
from zoo.layers.stack import RecurrentStack
from zoo.seq2seq import EncoderDecoder, alternatives
from zoo.subwords import END_ID, START_ID
from zoo.task import Task


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    source: str = setting("", "language to translate from, as the corpus names it; none: the first")
    target: str = setting("", "language to translate to; none: the other one")
    vocabulary_size: int = setting(6_000, "subwords of both languages together, at most", minimum=16)
    target_vocabulary_size: int = setting(0, "subwords of the target, if it has its own; 0: shared", minimum=0)
    subword_samples: int = setting(
        1, "ways of cutting each training sentence up, drawn at random; 1: the best", minimum=1
    )
    subword_alpha: float = setting(0.2, "how much those prefer probable subwords: 0 not at all", minimum=0.0)
    max_length: int = setting(80, "subwords of a sentence in training; longer ones are cut off there", minimum=2)
    serve_length: int = setting(
        60, "words that the exported model translates at once; longer sentences in parts", minimum=1
    )
    embedding_dim: int = setting(256, "width of a subword's vector, and of the attentional vector", minimum=1)
    cell: str = setting("lstm", "recurrent cell", choices=tuple(CELLS))
    units: int = setting(256, "cells of a layer of the encoder, in each direction", minimum=1)
    depth: int = setting(1, "recurrent layers of the encoder", minimum=1)
    bidirectional: bool = setting(True, "read the source in both directions")
    reverse: bool = setting(False, "read the source from its end (Sutskever et al. 2014)")
    decoder_units: int = setting(512, "cells of a layer of the decoder", minimum=1)
    decoder_depth: int = setting(1, "recurrent layers of the decoder", minimum=1)
    attention: str = setting("additive", "score of the attention; none: a fixed context", choices=KINDS)
    input_feeding: bool = setting(True, "feed the decoder its last output")
    bridge: str = setting("dense", "from the encoder's last states to the decoder's first", choices=("dense", "copy"))
    tied: str = setting(
        "all", "embeddings that share a matrix: source, target, softmax", choices=("all", "target", "none")
    )
    dropout: float = setting(
        0.3, "of embeddings, states and outputs, one mask for a sentence", minimum=0.0, maximum=0.95
    )
    recurrent_dropout: float = setting(0.0, "of the decoder's recurrent state", minimum=0.0, maximum=0.95)
    label_smoothing: float = setting(0.1, "share of the truth that is spread over all subwords", minimum=0, maximum=0.9)
    scheduled_sampling: float = setting(0.0, "share of its own words that it is fed at last", minimum=0.0, maximum=1.0)
    beam_width: int = setting(5, "hypotheses of the exported model's beam search", minimum=1)
    half: bool = setting(False, "store the exported weights as float16")
    length_penalty: float = setting(1.0, "exponent of the length that scores are divided by", minimum=0.0)


class Translator(EncoderDecoder):
    """{"source", "target"}: int32 ids `[batch, time]` -> logits of the target's next subwords."""

    def __init__(self, config: Config, vocabulary: int, target_vocabulary: int):
        normal = keras.initializers.RandomNormal(stddev=config.embedding_dim**-0.5)
        embed = lambda size, name: keras.layers.Embedding(size, config.embedding_dim, normal, name=name)
        target = embed(target_vocabulary, "target_embedding")
        decoder = AttentionDecoder(
            config.decoder_units,
            config.embedding_dim,
            config.decoder_depth,
            config.cell,
            config.attention,
            config.input_feeding,
            config.dropout,
            config.recurrent_dropout,
            name="decoder",
        )
        super().__init__(
            decoder,
            target,
            config.tied != "none",
            config.dropout,
            config.scheduled_sampling,
            config.label_smoothing,
            name="translator",
        )
        self.reverse = config.reverse
        self.source_embedding = target if config.tied == "all" else embed(vocabulary, "source_embedding")
        self.encoder = RecurrentStack(
            config.units,
            config.depth,
            config.cell,
            config.bidirectional,
            dropout=config.dropout,
            return_state=True,
            name="encoder",
        )
        states = range(decoder.depth * decoder.equations.states)
        dense = lambda i: keras.layers.Dense(config.decoder_units, "tanh", name=f"bridge_{i}")
        self.bridge = [dense(i) for i in states] if config.bridge == "dense" else []

    def encode(self, source, training=False):
        mask = tf.not_equal(source, 0)
        if self.reverse:
            source = tf.reverse_sequence(source, tf.reduce_sum(tf.cast(mask, tf.int32), 1), 1)
        vectors = self.dropout(self.source_embedding(source), training=training)
        memory, state = self.encoder(vectors, mask=mask, training=training)
        if self.bridge:
            last = tf.concat(state[-len(state) // self.encoder.depth :], -1)
            state = [layer(last) for layer in self.bridge]
        return memory, mask, state


class Translation(Task):
    Config = Config
    presets = {
        "small": dict(
            source="en",
            target="pt",
            vocabulary_size=600,
            embedding_dim=64,
            units=64,
            decoder_units=128,
            dropout=0.1,
            epochs=8,
            batch_size=32,
            learning_rate=4e-3,
        ),
        "base": dict(epochs=30, patience=6),
        "luong": dict(attention="general", tied="none"),
        "plain": dict(attention="none"),
        "multi30k": dict(
            source="en",
            target="de",
            subword_samples=4,
            subword_alpha=0.3,
            dropout=0.35,
            averaging=0.999,
            epochs=8,
            learning_rate=2e-3,
            patience=0,
            precision="mixed_bfloat16",
            half=True,
        ),  # makes the shipped model: recipes/translation
        "sutskever2014": dict(
            vocabulary_size=160_000,
            target_vocabulary_size=80_000,
            embedding_dim=1000,
            units=1000,
            depth=4,
            bidirectional=False,
            reverse=True,
            decoder_units=1000,
            decoder_depth=4,
            attention="none",
            bridge="copy",
            tied="none",
            dropout=0.0,
            label_smoothing=0.0,
            batch_size=128,
            optimizer="sgd",
            learning_rate=0.7,
            clip_norm=5.0,
        ),
    }
    monitor = ("accuracy", "max")
    intended_use = "Translating sentences of the kind that it was trained on."
    limits = (
        "Trained on one kind of text: on others it knows few of the words, and guesses.",
        "It may leave out or invent parts of a sentence, fluently; a score near 0 is no proof of a right translation.",
        "Characters that the training text lacks are not translated; `unknown` counts the pieces that have them.",
        "A sentence that is for the most part of such characters is handed back as it is.",
    )
    demo = "The book is on the table."

    @staticmethod
    def builtin():
        from tasks.corpora.translations import Translations

        return Translations

    @classmethod
    def from_tfds(cls, builder):
        return parallel_text.from_tfds(builder)

    @classmethod
    def from_files(cls, path):
        return parallel_text.read(path)

    @staticmethod
    def key(example):
        return tf.strings.join([example[language] for language in sorted(example)], "\n")

    def training_examples(self, train):
        """Marked as the first copy: `encoded` makes as many of each as `subword_samples` says."""
        return train.map(lambda example: {**example, "copy": tf.constant(0, tf.int64)})

    def learn(self, train):
        languages = [name for name in train.element_spec if name != "copy"]
        pair = parallel_text.direction(languages, self.config.source, self.config.target)
        self.assets["languages"] = list(pair)
        sides = [[], []]
        for batch in train.batch(4096):
            for texts, language in zip(sides, pair, strict=True):
                texts += batch[language].numpy().tolist()
        source, target = sides
        if self.config.target_vocabulary_size:
            vocabularies = {"source": (source, self.config.vocabulary_size)}
            vocabularies["target"] = (target, self.config.target_vocabulary_size)
        else:
            vocabularies = {"source": (source + target, self.config.vocabulary_size)}
        for name, (texts, size) in vocabularies.items():
            self.assets[f"{name}_pieces"], self.assets[f"{name}_scores"] = subwords.learn(texts, size)
        self._tell_of_long_ones(source, target)

    def _tell_of_long_ones(self, *sides):
        limit = self.config.max_length
        long = set()
        for side, texts in zip(self._subwords, sides, strict=True):
            places = [i for i, text_ in enumerate(texts) if len(text_) > limit]  # in bytes: others can't be
            lengths = side.encode(tf.constant([texts[i] for i in places], tf.string)).row_lengths().numpy()
            long |= {i for i, length in zip(places, lengths, strict=True) if length > limit}
        if long:
            what = "pair is" if len(long) == 1 else "pairs are"
            note(f"{len(long)} training {what} longer than {limit} subwords; cut off there")

    @property
    def _sides(self) -> list[str]:
        """Those that have a vocabulary of their own."""
        return [side for side in ("source", "target") if f"{side}_pieces" in self.assets]

    @property
    def _subwords(self) -> list:
        """Of the source and of the target; one and the same where the vocabulary is shared."""
        if not self.resources:
            with tf.init_scope():  # their tables outlive the graph that first asks for them
                for side in self._sides:
                    self.resources.append(
                        subwords.Subwords(self.assets[f"{side}_pieces"], self.assets[f"{side}_scores"])
                    )
        return [self.resources[0], self.resources[-1]]

    def encoded(self, examples):
        for language in self.assets["languages"]:
            if language not in examples.element_spec:
                found = ", ".join(examples.element_spec)
                raise ZooError(f"a split has no {language}, only: {found}; expected both in each split")
        if "copy" not in examples.element_spec:
            return super().encoded(examples)
        copies = [
            examples.map(lambda e, i=i: {**e, "copy": tf.constant(i, tf.int64)})
            for i in range(self.config.subword_samples)
        ]
        first, *others = map(super().encoded, copies)  # a batch is cut up in one way
        return functools.reduce(tf.data.Dataset.concatenate, others, first)

    def encode(self, examples):
        """Of the copies of a sentence, the first is cut up in the best way, the others at random."""
        texts = [examples[language] for language in self.assets["languages"]]
        sampled = {}
        if self.config.subword_samples > 1 and "copy" in examples:
            number = examples["copy"][0]
            first = tf.strings.to_hash_bucket_fast(texts[0][0], 2**30)
            alpha = tf.where(number > 0, self.config.subword_alpha, 100.0)
            sampled = {"alpha": alpha, "seed": tf.stack([first + number, tf.cast(self.config.seed, tf.int64)])}
        limit = self.config.max_length
        source, target = (
            side.encode(text_, **sampled)[:, :limit] for side, text_ in zip(self._subwords, texts, strict=True)
        )
        start = tf.fill([target.nrows(), 1], START_ID)
        sides = {"source": subwords.ended(source), "target": tf.concat([start, target], 1)}
        return sides, subwords.ended(target)

    def build(self):
        sizes = [len(self.assets[f"{side}_pieces"]) for side in self._sides]
        model = Translator(self.config, sizes[0], sizes[-1])
        ids = tf.zeros([1, 1], tf.int32)
        model({"source": ids, "target": ids})
        return model

    def compiled(self, steps):
        model = super().compiled(steps)
        model.steps = steps
        return model

    def loss(self):
        return None  # the model has its own

    @property
    def options(self):
        return {"beam_width": self.config.beam_width, "max_length": 0}

    def signatures(self, model):
        source_side, target_side = self._subwords

        def read(passages):
            ids, surfaces = source_side.segment(passages)
            return subwords.ended(ids), subwords.ended(surfaces, "</s>")

        def search(text_: tf.Tensor, beam_width: tf.Tensor, max_length: tf.Tensor):
            passages, rows = text.passages(subwords.normalize(text_), self.config.serve_length)
            ids, surfaces = read(passages)
            lengths = tf.cast(ids.row_lengths(), tf.int32)
            limits = tf.where(max_length > 0, max_length, 2 * lengths + 10)
            found = model.search(text.pad(ids), limits, beam_width, self.config.length_penalty)
            count, width, time = tf.unstack(tf.shape(found.tokens))
            said = tf.reshape(target_side.decode(tf.reshape(found.tokens, [count * width, time])), [count, width])
            # What the model can't read is handed back as it is.
            unknown = tf.cast(tf.equal(ids, subwords.UNKNOWN_ID), tf.int32)
            characters = tf.ragged.map_flat_values(tf.strings.length, surfaces, unit="UTF8_CHAR")
            strange = 2 * tf.reduce_sum(unknown * characters, 1) > tf.strings.length(passages, unit="UTF8_CHAR")
            unknown, strange = tf.reduce_sum(unknown, 1), strange[:, None]
            said = tf.where(strange, passages[:, None], said)
            scores = tf.where(strange, 0.0, found.log_probabilities)
            batch = tf.shape(text_)[0]
            said = tf.strings.unsorted_segment_join(said, rows, batch, " ")
            scores = tf.math.unsorted_segment_sum(scores, rows, batch)
            return {**alternatives(said, scores), "unknown": tf.math.unsorted_segment_sum(unknown, rows, batch)}

        def serve(text_: tf.Tensor):
            return search(text_, tf.constant(self.config.beam_width), tf.constant(0))

        def attention(text_: tf.Tensor):
            ids, surfaces = (part[:, : self.config.max_length] for part in read(text_))  # a picture's worth
            padded = text.pad(ids)
            limits = 2 * tf.cast(ids.row_lengths(), tf.int32) + 10
            tokens = model.search(padded, limits, self.config.beam_width, self.config.length_penalty).tokens[:, 0]
            ends = tf.one_hot(tf.reduce_sum(tf.cast(tokens > 0, tf.int32), 1), tf.shape(tokens)[1] + 1, END_ID, 0)
            return {
                "source_pieces": surfaces.to_tensor(),
                "target_pieces": target_side.pieces(tf.pad(tokens, [[0, 0], [0, 1]]) + ends),
                "weights": model.look(padded, tf.pad(tokens, [[0, 0], [1, 0]], constant_values=START_ID)),
            }

        strings, number = tf.TensorSpec([None], tf.string, name="text"), lambda name: tf.TensorSpec([], tf.int32, name)
        looking = {"attention": (attention, [strings])} if self.config.attention != "none" else {}
        functions = {
            "serving_default": (serve, [strings]),
            "search": (search, [strings, number("beam_width"), number("max_length")]),
            **looking,
        }
        return serving.in_half(model, functions) if self.config.half else functions

    @classmethod
    def evaluate(cls, model, examples, progress=None, train=None):
        source, target = model.card["languages"]
        for language in (source, target):
            if language not in examples.element_spec:
                found = ", ".join(examples.element_spec)
                raise ZooError(f"the model translates from {source} into {target}; this split has: {found}")
        rows = list(examples.as_numpy_iterator())
        sources, references = (
            [row[language].decode("utf-8", "replace") for row in rows] for language in (source, target)
        )
        best, others = model.by_beam_width(sources, {"greedy": 1, "beam 5": 5, "beam 10": 10}, progress)
        return text_scores.translation(best, references, sources, others)

    @classmethod
    def show(cls, report):
        tables.translation(report)

    @classmethod
    def draw(cls, report, folder, examples=None):
        return [plots.by_length({"": report["by_length"]}, folder / "by_length.png")]

    @classmethod
    def search_space(cls, hp):
        return {
            "embedding_dim": hp.Choice("embedding_dim", [64, 128, 256]),
            "units": hp.Choice("units", [64, 128, 256]),
            "decoder_units": hp.Choice("decoder_units", [128, 256, 512]),
            "attention": hp.Choice("attention", ["additive", "general"]),
            "dropout": hp.Float("dropout", 0.1, 0.5, step=0.1),
            "learning_rate": hp.Float("learning_rate", 5e-4, 1e-2, sampling="log"),
        }
