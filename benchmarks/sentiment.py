"""Sentiment, beside what a user would pick instead. `make bench TASK=sentiment [DATA=...]`

One run measures everything, the systems taking turns so that a noisy machine slows all of them; medians of several
rounds.

- training, reviews per second: this task; the same architecture with `keras.layers.LSTM` on the same batches; the same
  with every review padded or cut to 200 words, as the usual tutorials do; and PyTorch's `nn.LSTM`, where torch is
  installed. All in float32.
- latency of one review through the shipped SavedModel.
- accuracy of a bag of bigrams with naive Bayes weights (Wang & Manning 2012), with scikit-learn, beside the shipped
  model's: only if DATA= names a corpus, as the built-in one is made to defeat it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import itertools
import json
import time

import keras
import numpy as np

from benchmarks import timing, torch_classifier
from zoo import serving, tables
from zoo.errors import ZooError
from zoo.layers import stack
from zoo.run import Run, say

BATCHES = 3  # of each round
FIXED = 200  # words, in the tutorials' way


def main(arguments) -> None:
    run = Run("sentiment", arguments.data, arguments.runs)
    config = dataclasses.replace(run.configure(), precision="float32", dropout=0.0)
    rounds = f"median of {timing.ROUNDS} rounds"
    say(f"{run.corpus.source}; {config.units} cells, batch {config.batch_size}, float32, {rounds}")
    results = {"training": throughput(run, config), "latency_ms": timing.latency("sentiment", reviews())}
    if arguments.data:
        results["accuracy"] = bigrams(run)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
        say(f"written: {arguments.out}")


def reviews() -> dict[str, str]:
    """A short one, and one of the mean length of IMDB."""
    words = ("the film was not as good as I had hoped " * 26).split()
    return {f"{count} words": " ".join(words[:count]) for count in (20, 230)}


# Training -------------------------------------------------------------------------------------------------------------


def throughput(run: Run, config) -> dict:
    task = run.prepare(config)
    batches, *_ = run.batches(task)
    sample = [(x.numpy(), y.numpy()) for x, y in batches.take(BATCHES)]
    fixed = [(_to_width(x, FIXED), y) for x, y in sample]
    stock = f"keras.layers.LSTM {keras.__version__}"
    rounds = {
        "this task": keras_timer(task, stack.LSTM, sample),
        f"{stock}, same batches": keras_timer(task, keras.layers.LSTM, sample),
        f"{stock}, padded to {FIXED}": keras_timer(task, keras.layers.LSTM, fixed),
    }
    with contextlib.ExitStack() as peers:
        try:
            version = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            say("torch is not installed; leaving nn.LSTM out (pip install torch)")
        else:
            sizes = dict(
                words=len(task.assets["vocabulary"]),
                classes=len(task.assets["labels"]),
                embedding_dim=config.embedding_dim,
                units=config.units,
                clip_norm=config.clip_norm,
            )
            timer = peers.enter_context(torch_classifier.timer(sample, **sizes))
            rounds[f"torch {version} nn.LSTM, same batches"] = timer
        reviews = sum(len(y) for _, y in sample)
        return timing.rates("training", "reviews", reviews, rounds)


def _to_width(x: np.ndarray, width: int) -> np.ndarray:
    return np.pad(x[:, :width], [(0, 0), (0, max(0, width - x.shape[1]))])


def keras_timer(task, lstm, batches):
    """Rounds of training the task's model with the given LSTM layer."""
    kept, stack.CELLS["lstm"] = stack.CELLS["lstm"], lstm
    try:
        return timing.training(task.compiled(1000), batches)
    finally:
        stack.CELLS["lstm"] = kept


# Accuracy -------------------------------------------------------------------------------------------------------------


class BagOfBigrams:
    """Logistic regression on binary uni- and bigrams scaled by naive Bayes log-count ratios (Wang & Manning 2012)."""

    def __init__(self, texts: list[str], positive: np.ndarray):
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        self.vectorizer = CountVectorizer(ngram_range=(1, 2), min_df=2, binary=True, token_pattern=r"\w+|[^\w\s]")
        counts = self.vectorizer.fit_transform(texts)
        p, q = (1 + np.asarray(counts[chosen].sum(0)) for chosen in (positive, ~positive))
        self.ratio = np.log(p / p.sum()) - np.log(q / q.sum())
        classifier = LogisticRegression(solver="liblinear", dual=True, max_iter=1000)
        self.classifier = classifier.fit(counts.multiply(self.ratio).tocsr(), positive)

    def probability(self, texts: list[str]) -> np.ndarray:
        """Of the positive class, float64 `[texts]`."""
        return self.classifier.predict_proba(self.vectorizer.transform(texts).multiply(self.ratio).tocsr())[:, 1]


def bigrams(run: Run) -> dict:
    """Test accuracy of a bag of bigrams fitted now, beside that on the shipped model's card."""

    def read(*splits):
        columns = zip(*(run.corpus.strings(split, "text", "label") for split in splits), strict=True)
        texts, labels = (list(itertools.chain(*parts)) for parts in columns)
        return texts, np.array(labels)

    began = time.perf_counter()
    texts, labels = read("train", *(["dev"] if run.corpus.dev_from_train else []))
    classes = sorted(set(labels))
    if len(classes) != 2:
        say("the bag of bigrams is for two classes; left out")
        return {}
    bag = BagOfBigrams(texts, labels == classes[1])
    test, test_labels = read("test")
    accuracy = float(np.mean((bag.probability(test) > 0.5) == (test_labels == classes[1])))
    seconds = time.perf_counter() - began
    rows = [[f"bag of bigrams, naive Bayes weights (fitted now, {seconds:.0f} s)", f"{accuracy:.4f}"]]
    with contextlib.suppress(ZooError):  # none shipped
        shipped = serving.read_card(serving.locate("sentiment"))["metrics"]["test"]
        rows.append(["the shipped model, on IMDB (its card)", f"{shipped['report']['accuracy']:.4f}"])
    tables.print_table("accuracy on test", ["system", "accuracy"], rows)
    return {"bag_of_bigrams": accuracy, "seconds": seconds}
