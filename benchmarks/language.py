"""Writing characters, beside the same model in plain PyTorch. `make bench TASK=language [DATA=...]`

One run, the systems taking turns, medians of several rounds. With DATA the shipped model's configuration, without the
built-in corpus's; the dropout of recurrent weights, which `nn.LSTM` has not, is left out of both. First both must
agree, from the same weights and without dropout: on the losses of training steps, on the log-probabilities of a text,
and on the text that they write where the most probable character is taken. Then characters per second:

- training, in float32: chunks of k1 = k2 characters, the state carried from one to the next, Adam, gradients clipped.
  Dropout is this task's own, one mask for all steps of a chunk, where the peer's `nn.LSTM` draws one for each.
- writing one text, with the continuous cache if there is one, each character drawn at temperature 0.8: this task
  through the signature `write` of the SavedModel that it exports, in one call, and in as many as `stream` makes;
  PyTorch by a loop with a call of `nn.LSTM` for each character, with all cores and with one.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.metadata
import itertools
import pathlib
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from benchmarks import seq2seq, timing, torch_language
from benchmarks.peers import close, has_torch
from zoo import serving
from zoo.errors import ZooError
from zoo.run import Run, say
from zoo.text_generator import PIECE, TextGenerator

CHARACTERS = 2**16  # of a round of training, about
WRITTEN = 2_000  # of a round of writing
TEMPERATURE = 0.8
FEW = 8  # rows of a batch that is to agree
STEPS = 4
SCORED = 500  # characters whose log-probabilities are to agree
GREEDY = 200  # that are to be written alike
LARGER = 8.0  # weights of the softmax and the embedding: without a training, too, not always the same is said
FIXED = dict(precision="float32", cell="lstm", weight_dropout=0.0, optimizer="adam", schedule="constant", warmup=0.0)
FIXED |= dict(averaging=0.0)


def main(arguments, settings=(), characters: int = CHARACTERS, written: int = WRITTEN) -> None:
    """`settings`, `characters` and `written` make a smaller bench, to see whether it runs."""
    run = Run("language", arguments.data, arguments.runs)
    config = run.configure("shakespeare" if arguments.data else "", settings)
    config = dataclasses.replace(config, **FIXED, k2=config.k1)
    with tempfile.TemporaryDirectory() as folder:  # not the run's own: a training may go on there
        run.folder = pathlib.Path(folder)
        keras.utils.set_random_seed(config.seed)
        task = run.prepare(config)
        batches = prepared(run, task, characters)
        rows = len(batches[0][0]["begin"])
        say(f"{run.corpus.source}; {config.depth} x {config.units} cells, {len(task.assets['symbols'])} symbols")
        say(f"batch {rows}, k1 = k2 = {config.k1}, median of {timing.ROUNDS} rounds")
        model = task.build()
        writer = exported(task, model, run.folder / "export")
        results = {"configuration": dataclasses.asdict(config), "rows": rows}
        if has_torch():
            results["agreement"] = agreement(run, task, batches)
        results |= throughput(task, model, writer, batches, written)
    seq2seq.write(results, arguments.out)


def prepared(run: Run, task, characters: int) -> list:
    """Batches to train on, as structures of NumPy arrays."""
    stream = run.batches(task)[0]
    (first, _), *_ = stream.take(1).as_numpy_iterator()
    rows, width = first["symbols"].shape
    return list(stream.take(max(STEPS, characters // (rows * (width - 1)))).as_numpy_iterator())


def exported(task, model, folder: pathlib.Path) -> TextGenerator:
    """The task's SavedModel, loaded."""
    serving.write_saved_model(task.signatures(model), task.resources, folder)
    return TextGenerator(folder, {"symbols": task.assets["symbols"]}, tf.saved_model.load(str(folder)))


def agreement(run: Run, task, batches) -> dict:
    """How much was compared; raises where anything differs.

    The models take steps by SGD: the first ones of Adam blow up what is rounded.
    """
    task = copy.copy(task)
    task.config = config = dataclasses.replace(task.config, dropout=0.0, optimizer="sgd", learning_rate=0.1, half=False)
    model = task.compiled(1000)
    for variable in (model.embedding.embeddings, model.softmax.kernel):
        variable.assign(LARGER * variable)
    few = tf.nest.map_structure(lambda array: array[:FEW], batches[:STEPS])
    writer = exported(task, model, run.folder / "agreement")
    ids = few[0][0]["symbols"].flatten().astype(np.int64)
    ids = ids[ids > torch_language.UNKNOWN][:SCORED]
    text = "".join(map(chr, task._codepoints[ids]))
    with peer(config, model, few) as call:
        close(f"log-probabilities of {len(ids)} characters", writer.score(text), call("read", ids)[1])
        own = writer.generate("", GREEDY, temperature=0)
        theirs = "".join(map(chr, task._codepoints[call("write", GREEDY, 0.0, 0, 0)[1]]))
        if own != theirs:
            place = next(i for i, (a, b) in enumerate(zip(own, theirs, strict=True)) if a != b)
            raise ZooError(f"the most probable text: the peer's differs from character {place} on")
        say(f"the most probable text: the same {GREEDY} characters, of {len(set(own))} different ones")
        losses = [float(model.train_on_batch(x, counted, return_dict=True)["loss"]) for x, counted in few]
        close(f"losses of {len(few)} training steps", losses, call("train")[1])
    return {"characters_scored": len(ids), "characters_written": GREEDY, "training_steps": len(few)}


def throughput(task, model, writer: TextGenerator, batches, written: int) -> dict:
    rows, width = batches[0][0]["symbols"].shape
    amount = len(batches) * rows * (width - 1)
    training = {"this task": timing.training(task.compiled(1000), batches, fixed=True)}
    writing = {"this task": writes(writer, written, written)}
    writing[f"this task, {PIECE} a call"] = writes(writer, written, PIECE)
    with contextlib.ExitStack() as stack:
        if has_torch():
            name = f"PyTorch {importlib.metadata.version('torch')}"
            call = stack.enter_context(peer(task.config, model, batches))
            training[name] = lambda: call("train")[0]
            writing[name] = lambda: call("write", written, TEMPERATURE, 1, 0)[0]
            writing[f"{name}, 1 thread"] = lambda: call("write", written, TEMPERATURE, 1, 1)[0]
        title = f"training, {rows} rows x {width - 1} characters in a step"
        results = {"training": timing.rates(title, "characters", amount, training)}
        title = f"writing {written:,} characters, one by one"
        return results | {"writing": timing.rates(title, "characters", written, writing)}


def writes(writer: TextGenerator, written: int, piece: int):
    """A round of writing: another text each time."""
    seeds = itertools.count()

    def round_():
        began = time.perf_counter()
        text = "".join(writer.stream("", written, temperature=TEMPERATURE, seed=next(seeds), piece=piece))
        seconds = time.perf_counter() - began
        if len(text) != written:
            raise ZooError(f"{len(text)} characters were written; expected {written}")
        return seconds

    return round_


def peer(config, model, batches):
    sizes = {name: getattr(config, name) for name in ("optimizer", "learning_rate", "clip_norm", "dropout")}
    pairs = [(x["symbols"].astype(np.int64), x["begin"]) for x, _ in batches]
    if config.cache:
        sizes["cache"] = {"size": config.cache}
        sizes["cache"] |= {name: getattr(config, f"cache_{name}") for name in ("share", "sharpness", "likeness")}
    return torch_language.started(pairs, weights=torch_language.weights(model), **{"cache": None, **sizes})
