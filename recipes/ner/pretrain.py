"""Step 1: a bidirectional language model on reviews and the training split's news, for the tagger to start from.

    python recipes/ner/pretrain.py path/to/imdb path/to/conll2003 [folder]

No labels are read. Killed and called again, it goes on from its last checkpoint.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from zoo import conll, files, pretraining, text, training
from zoo.config import setting
from zoo.files import replacing
from zoo.layers import LSTM
from zoo.layers.tokens import TokenEncoder

NEWS = 5  # times that the news are read for every time of the reviews


@dataclasses.dataclass(frozen=True)
class Config(pretraining.Config):
    vocabulary_size: int = setting(40_000, "words, padding and unknown included")
    embedding_dim: int = setting(128, "width of a word's vector")
    characters: int = setting(200, "characters, likewise")
    character_dim: int = setting(32, "width of a character's vector")
    character_units: int = setting(48, "cells over the characters, in each direction")
    word_dropout: float = setting(0.15, "share of words that are read by their spelling only")
    units: int = setting(320, "cells in each direction")


def main(reviews: str, news: str, folder: str = "runs/pretrain/ner") -> None:
    config = Config(
        epochs=30, steps=200, batch_size=128, length=64, learning_rate=2e-3, precision="mixed_bfloat16", patience=0
    )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(config.seed)
    tables = (pathlib.Path(reviews) / f"{name}.csv.gz" for name in ("train", "unlabelled"))
    texts = [review for path in tables for _, (review,) in files.table(path, ["text"])]
    sentences = conll.read(pathlib.Path(news))
    forms, stream, dev = _streams(texts, sentences)
    words, characters = collections.Counter(), collections.Counter()
    counts = np.bincount(stream, minlength=len(forms))
    for form, word, count in zip(forms, text.normalize(tf.constant(forms)).numpy(), counts, strict=True):
        words[word] += int(count)
        characters.update({letter.encode(): int(count) for letter in set(form.decode("utf-8"))})
    del words[b""]
    vocabularies = text.ranked(words, config.vocabulary_size), text.ranked(characters, config.characters)
    for name, lines in zip(("words", "characters"), vocabularies, strict=True):
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    vectorizer = text.TokenVectorizer(*vocabularies)
    table = np.concatenate(
        [
            vectorizer(tf.RaggedTensor.from_row_splits(part, [0, len(part)])).flat_values
            for part in np.array_split(np.array(forms), 20)
        ]
    )
    table[0] = 0  # the gap between texts
    print(
        f"{len(stream):,} tokens of {len(forms):,} forms, {len(dev):,} to measure on; results in {folder}/", flush=True
    )
    with training.precision(config.precision):
        encoder = TokenEncoder(
            len(vocabularies[0]),
            len(vocabularies[1]),
            config.embedding_dim,
            config.character_dim,
            config.character_units,
            config.word_dropout,
            name="encoder",
        )
        recurrent = keras.layers.Bidirectional(LSTM(config.units, return_sequences=True), name="recurrent")
        model = pretraining.BidirectionalLanguageModel(
            encoder.embedding, recurrent, config.negatives, config.dropout, encoder
        )
        model(tf.zeros([1, config.length, table.shape[1]], tf.int32))
    model.compile(training.optimizer(config, config.epochs * config.steps), jit_compile=False)
    table = tf.constant(table)
    look_up = lambda ids, _: (tf.gather(table, ids),) * 2
    batches = pretraining.chunks(stream, config.length, config.batch_size, config.seed).map(look_up).prefetch(4)
    pieces = dev[: len(dev) // config.length * config.length].reshape(-1, config.length)[:200]
    measured = tf.data.Dataset.from_tensor_slices(pieces).batch(25).map(lambda ids: look_up(ids, ids))
    fingerprint = f"{config} {len(stream)}"
    training.fit(model, batches, measured, config, folder, config.steps, ("loss", "min"), fingerprint)
    with replacing(folder / "encoder.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, *encoder.get_weights(), *recurrent.get_weights())


def _streams(texts, sentences):
    """The distinct tokens, the first a gap between texts; the training text, and dev's, as numbers of tokens."""
    numbers = {b"": 0}
    number = lambda token: numbers.setdefault(token, len(numbers))
    stream = []
    clean = lambda t: tf.strings.regex_replace(t, r"<[^<>]*>", " ")
    for batch in tf.data.Dataset.from_tensor_slices(texts).batch(512).map(lambda t: text.tokenize(clean(t))[1], 2):
        for tokens in _rows(batch):
            stream.append(np.array([0, *map(number, tokens)], np.int32))
    train, dev = (
        np.concatenate([[0, *(number(token.encode()) for token in s.tokens)] for s in sentences[split]]).astype(
            np.int32
        )
        for split in ("train", "dev")
    )
    stream += NEWS * np.array_split(train, 40)
    order = np.random.default_rng(1).permutation(len(stream))
    return list(numbers), np.concatenate([stream[i] for i in order]), dev


def _rows(batch):
    flat, splits = batch.flat_values.numpy(), batch.row_splits.numpy()
    return [flat[a:b] for a, b in zip(splits[:-1], splits[1:], strict=True)]


if __name__ == "__main__":
    main(*sys.argv[1:])
