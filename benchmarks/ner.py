"""NER, beside what a user would pick instead. `make bench TASK=ner [DATA=...]`

One run, the systems taking turns, medians of several rounds: tokens per second in training and in tagging, for this
task and for Flair's BiLSTM-CRF (`pip install flair`) with word embeddings initialised at random, the same sizes, the
same batches, float32 and no dropout. Training is a step on each batch; tagging is from lists of tokens to tags, this
task's through its SavedModel. And the milliseconds that the shipped model takes for a sentence.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import pathlib
import tempfile
import time

import tensorflow as tf

from benchmarks import flair_tagger, timing
from zoo import serving
from zoo.run import Run, say

BATCHES = 12  # of each round
SENTENCE = "Lucas Ferreira , who moved from Belo Horizonte to Lisbon in 1998 , is a professor at UFV in Brazil ."


def main(arguments) -> None:
    run = Run("ner", arguments.data, arguments.runs)
    changes = dict(precision="float32", dropout=0.0, word_dropout=0.0, init="", quantize=False, min_count=1)
    config = dataclasses.replace(run.configure(), **changes)
    say(f"{run.corpus.source}; {config.units} cells, batch {config.batch_size}, median of {timing.ROUNDS} rounds")
    sentences = {f"{words} tokens": " ".join(SENTENCE.split()[:words]) for words in (7, 20)}
    results = {**throughput(run, config), "latency_ms": timing.latency("ner", sentences)}
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
        say(f"written: {arguments.out}")


def throughput(run: Run, config) -> dict:
    task = run.task_class(config)
    train = run.corpus.split("train")
    task.learn(train)
    size = config.batch_size
    rows = [{name: [v.decode() for v in value] for name, value in row.items()} for row in train.as_numpy_iterator()]
    rows = sorted(rows[: 4 * BATCHES * size], key=lambda row: len(row["tokens"]))  # so a batch is of about one length
    batches = [rows[i : i + size] for i in range(0, len(rows), 4 * size)]
    names, tags = ([[row[name] for row in batch] for batch in batches] for name in ("tokens", "tags"))
    count = sum(len(row) for batch in names for row in batch)
    ragged = [
        {"tokens": tf.ragged.constant(n), "tags": tf.ragged.constant(t)} for n, t in zip(names, tags, strict=True)
    ]
    encoded = [tuple(part.to_tensor().numpy() for part in task.encode(batch)) for batch in ragged]
    model = task.compiled(1000)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        serving.write_saved_model(task.signatures(model), task.resources, folder)
        served = serving.Model(folder, {}, tf.saved_model.load(str(folder)))

        def tag():
            began = time.perf_counter()
            for batch in names:
                served.batched("tokens", batch, batch_size=len(batch))
            return time.perf_counter() - began

        training, tagging = {"this task": timing.training(model, encoded)}, {"this task": tag}
        try:
            version = importlib.metadata.version("flair")
        except importlib.metadata.PackageNotFoundError:
            say("flair is not installed; leaving it out (pip install flair)")
        else:
            sizes = {
                n: getattr(config, n) for n in ("word_dim", "character_dim", "character_units", "units", "clip_norm")
            }
            pairs = [list(zip(*sides, strict=True)) for sides in zip(names, tags, strict=True)]
            peers = stack.enter_context(flair_tagger.timers(pairs, sizes))
            name = f"flair {version}, torch {importlib.metadata.version('torch')}"
            training[name], tagging[name] = peers
        return {
            "training": timing.rates("training", "tokens", count, training),
            "tagging": timing.rates("tagging", "tokens", count, tagging),
        }
