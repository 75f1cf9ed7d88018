"""Translation, beside what a user would pick instead. `make bench TASK=translation [DATA=...]`

One run, the systems taking turns, medians of several rounds, all on the same batches of about one length: this task;
the recurrent model of JoeyNMT (Kreutzer et al. 2019); and the same network in plain PyTorch. Of equal sizes, as far as
all can have them: JoeyNMT's softmax shares the embedding only if the decoder is as wide. Dropout is this task's own,
one mask for a sentence; the peers draw one for each step.

- training, tokens per second, of source and target together, without padding: in float32, and this task also in
  mixed bfloat16.
- translating, sentences per second, greedy and with a beam, from ids to ids: this task by the graph that it exports.
  The models are hardly trained, so that each would stop elsewhere: the end of the sentence is forbidden before a
  number of steps, the same for all.
- latency of one sentence through the shipped SavedModel.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util

import numpy as np
import tensorflow as tf

from benchmarks import joey_translator, seq2seq, timing, torch_translator
from zoo.run import Run, say

BATCHES = 12  # of each round
WIDTHS = {"greedy": 1, "beam 5": 5}
FIXED = dict(batch_size=64, embedding_dim=256, units=256, depth=1, decoder_units=256, decoder_depth=1, cell="lstm")
FIXED |= dict(bidirectional=True, attention="additive", input_feeding=True, bridge="dense", tied="all", dropout=0.3)
FIXED |= dict(precision="float32", optimizer="adam", label_smoothing=0.1, recurrent_dropout=0.0, averaging=0.0)
FIXED |= dict(scheduled_sampling=0.0, subword_samples=1, target_vocabulary_size=0)
SENTENCES = (
    "A dog runs through the deep snow.",
    "A man in a blue shirt is standing on a tall ladder and cleaning the window of a small house.",
)


def main(arguments) -> None:
    run = Run("translation", arguments.data, arguments.runs)
    task, batches = prepared(run)
    config, size = task.config, len(task.assets["source_pieces"])
    say(f"{run.corpus.source}, {config.source} -> {config.target}; {size:,} subwords, {config.units} cells")
    say(f"batch {config.batch_size}, median of {timing.ROUNDS} rounds")
    sentences = {f"{len(text.split())} words": text for text in SENTENCES}
    results = {**throughput(task, batches), "latency_ms": timing.latency("translation", sentences)}
    seq2seq.write(results, arguments.out)


def prepared(run: Run):
    """The task, and batches of the run as structures of NumPy arrays."""
    source, target = list(run.corpus.split("train").element_spec)[:2]  # of several languages the first two
    task = run.prepare(dataclasses.replace(run.configure(), source=source, target=target, **FIXED))
    batches = run.batches(task)[0].skip(4 * BATCHES)  # the buckets that fill up first have one length
    return task, list(batches.take(BATCHES).as_numpy_iterator())


def throughput(task, batches) -> dict:
    pairs = [(x["source"], np.concatenate([x["target"][:, :1], y], 1)) for x, y in batches]  # start and end around
    sentences = sum(len(source) for source, _ in pairs)
    spoken = sum(np.count_nonzero(y) for _, y in batches)
    read = sum(np.count_nonzero(source) for source, _ in pairs)
    steps = round(spoken / sentences)
    ids = tf.TensorSpec([None, None], tf.int32)
    search = seq2seq.endless(task.build(), ids, task.config.length_penalty)
    translating = {"this task": seq2seq.timed(search, [source for source, _ in pairs])}
    training = seq2seq.trainings(lambda: task.compiled(1000), batches)
    with contextlib.ExitStack() as stack:
        for name, timers in peers().items():
            training[name], translating[name] = stack.enter_context(timers(sizes(task), pairs))
        results = {"training": timing.rates("training, source and target", "tokens", read + spoken, training)}
        for kind, width in WIDTHS.items():
            title = f"translating, {kind}; {steps} steps for every sentence, its end being forbidden"
            results[kind] = seq2seq.decoding(title, "sentences", translating, width, steps, sentences)
        return results


def sizes(task) -> dict:
    """Of this configuration, as the peers take them."""
    names = ("embedding_dim", "decoder_units", "depth", "dropout", "label_smoothing", "learning_rate", "clip_norm")
    given = {name: getattr(task.config, name) for name in names}
    own = dict(vocabulary=len(task.assets["source_pieces"]), encoder_units=task.config.units)
    return {**given, **own, "attention": "bahdanau", "tied": True}


def peers() -> dict:
    """Name -> `timers` of each that is installed."""
    there = lambda *modules: all(map(importlib.util.find_spec, modules))
    if not there("torch"):
        say("torch is not installed; leaving PyTorch and JoeyNMT out (pip install torch)")
        return {}
    torch = f"torch {importlib.metadata.version('torch')}"
    plain = {f"plain PyTorch, {torch}": torch_translator.timers}
    if not there("joeynmt", "importlib_metadata"):
        say(f"JoeyNMT is not installed; leaving it out ({joey_translator.INSTALL})")
        return plain
    return {f"JoeyNMT {importlib.metadata.version('joeynmt')}, {torch}": joey_translator.timers, **plain}
