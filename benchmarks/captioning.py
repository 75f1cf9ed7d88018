"""Captioning, beside the same model in plain PyTorch. `make bench TASK=captioning [DATA=...]`

One run, the systems taking turns, medians of several rounds. With DATA the shipped model's configuration, on so many
training pictures; without, the built-in corpus's. First both must agree, from the same weights and without dropout: on
features, on captions by greedy and by beam search, and on the losses of training steps. Then:

- training: captions per second, and steps; in float32, and this task also in mixed bfloat16. The features of a frozen
  network are computed once before, as in training. Dropout is this task's own, one mask for a sentence, where the peer
  draws one for each step.
- captioning by beam search: pictures per second, from features, and from uint8 pixels of the network's size; this task
  by the graph that it exports. The end of the sentence is forbidden before a number of steps (`benchmarks.seq2seq`).
- the shipped SavedModel: milliseconds for one picture, and pictures per second in batches.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib.metadata
import pathlib

import keras
import numpy as np
import tensorflow as tf

from benchmarks import seq2seq, timing, torch_captioner
from benchmarks.peers import close, has_torch
from zoo import pictures
from zoo.errors import ZooError
from zoo.run import Run, say
from zoo.subwords import END_ID

PICTURES = 2_000  # to train on
BATCHES = 8  # of each round of training
DESCRIBED = 2  # batches of each round of captioning
BATCH = 64  # pictures in these, and in the SavedModel's
FEW = 8  # pictures in a batch that is to agree
LARGER = 4.0  # embeddings
ENDING = 4.0  # bias of the end
STEPS = 3
SAME = 0.95  # share of captions: where two are as good, rounding decides
FIXED = dict(precision="float32", way="attend", attention="additive", cell="lstm", captions=5, mirror=False, init="")
FIXED |= dict(optimizer="adam", schedule="constant", warmup=0.0, averaging=0.0, scheduled_sampling=0.0)
FIXED |= dict(self_critical=False, half=False)


def main(arguments) -> None:
    run = Run("captioning", arguments.data, arguments.runs)
    config = configuration(run)
    say(f"{run.corpus.source}; {config.encoder}, {config.units} cells, median of {timing.ROUNDS} rounds")
    task, batches, images = prepared(run, config)
    results = {"agreement": agreement(task, batches, images)} if has_torch() else {}
    results |= throughput(task, batches, images)
    several = {"one picture": images[0][0], f"{BATCH} pictures": list(images[0])}
    results["latency_ms"] = timing.latency("captioning", several, calls=20)
    if results["latency_ms"]:
        rate = results["saved_model_pictures_per_second"] = 1000 * BATCH / results["latency_ms"][f"{BATCH} pictures"]
        say(f"the SavedModel, {BATCH} pictures in a batch: {rate:.1f} pictures a second")
    seq2seq.write(results, arguments.out)


def configuration(run: Run):
    if not run.data:
        config = run.configure()
    elif "flickr8k" in run.task_class.presets:
        config = run.configure("flickr8k")
    else:
        config = run.configure("attend", ["units=384", "batch_size=64"])
    beside = pathlib.Path(run.data) / "mobilenet.weights.h5"  # recipes/captioning/flickr8k.py puts it there
    weights = str(beside) if run.data and beside.is_file() else ""
    if config.encoder != "conv" and not weights:
        say(f"{beside}: no such file; {config.encoder} has random weights, which are as fast")
    if config.encoder not in ("conv", "MobileNetV2"):
        raise ZooError(f"encoder={config.encoder}: the peer has conv and MobileNetV2")
    return dataclasses.replace(config, encoder_weights=weights, **FIXED)


def prepared(run: Run, config):
    """The task; batches to train on, as structures of NumPy arrays; and batches of pictures, uint8."""
    splits = {**run.corpus.splits, "train": run.corpus.split("train").take(PICTURES)}
    run.corpus = dataclasses.replace(run.corpus, splits=splits)
    pictured = next((part for part in splits.values() if "image" in part.element_spec), None)
    if pictured is None:
        raise ZooError(f"{run.corpus.source}: has features; expected pictures, to tell what computing them costs")
    keras.utils.set_random_seed(config.seed)
    task = run.prepare(config)
    fitted = lambda e: tf.cast(tf.round(pictures.fit(e["image"][None], config.size)[0]), tf.uint8)
    images = list(pictured.take(DESCRIBED * BATCH).map(fitted).batch(BATCH).as_numpy_iterator())
    say(f"{'computing features' if config.freeze else 'reading'}: {PICTURES:,} pictures at most")
    batches = run.batches(task)[0].skip(2 * BATCHES)  # the buckets that fill up first have one length
    return task, list(batches.take(BATCHES).as_numpy_iterator()), images


def agreement(task, batches, images) -> dict:
    """How many captions are the same to the letter; raises where anything else differs.

    The models are not trained; larger embeddings, and a bias, make them say something else about every picture, and
    end. They take steps by SGD: the first ones of Adam blow up what is rounded.
    """
    task = copy.copy(task)
    task.config = config = dataclasses.replace(task.config, dropout=0.0, optimizer="sgd", learning_rate=0.1)
    keras.utils.set_random_seed(config.seed)  # with these weights the captions are of several lengths
    model = task.compiled(1000)
    table = model.target_embedding.embeddings
    table.assign(LARGER * table)
    model.bias.assign(tf.one_hot(END_ID, model.bias.shape[0], on_value=ENDING))
    few, shown = tf.nest.map_structure(lambda array: array[:FEW], batches[:STEPS]), images[0]
    spec = tf.TensorSpec([None, *shown.shape[1:]], tf.uint8)
    search = seq2seq.searcher(model, spec, config.length_penalty)
    results = {}
    with peer(config, model, few, {"pixels": [shown]}) as call:
        close("features", model.eye(tf.constant(shown[:FEW])).numpy(), call("see", "pixels")[1][0][:FEW])
        for width in (1, config.beam_width):
            own, scores = (part.numpy() for part in search(shown, width, config.max_length))
            ((others, theirs),) = call("caption", "pixels", width, config.max_length, config.length_penalty)[1]
            close(f"scores of captions, beam {width}", scores, theirs)
            time = max(own.shape[1], others.shape[1])
            own, others = (np.pad(ids, [(0, 0), (0, time - ids.shape[1])]) for ids in (own, others))
            same = float((own == others).all(1).mean())
            lengths = len(set(np.count_nonzero(own, 1)))
            if same < SAME:
                raise ZooError(f"beam {width}: {same:.0%} of captions are the peer's; expected at least {SAME:.0%}")
            say(f"beam {width}: {same:.0%} of {len(own)} captions are the same, of {lengths} different lengths")
            results[f"beam {width}"] = same
        losses = []
        for x, y in few:
            model.reset_metrics()
            losses.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
        close("losses of training steps", losses, call("train")[1])
    return results


def throughput(task, batches, images) -> dict:
    model, config = task.build(), task.config
    describe = tf.function(lambda batch: model.eye(batch), reduce_retracing=True)
    inputs = {"features": [describe(batch).numpy() for batch in images], "pixels": images}
    signature = tf.nest.map_structure(lambda a: tf.TensorSpec([None, *a.shape[1:]], a.dtype), batches[0])
    signature[0]["target"] = words = tf.TensorSpec([None, None, config.captions], tf.int32)
    training = seq2seq.trainings(lambda: task.compiled(1000), batches, (signature[0], words))
    decoders = {}
    for name, parts in inputs.items():
        spec = tf.TensorSpec([None, *parts[0].shape[1:]], parts[0].dtype)
        decoders[name] = {"this task": seq2seq.timed(seq2seq.endless(model, spec, config.length_penalty), parts)}
    spoken, captions = sum(np.count_nonzero(y) for _, y in batches), sum(map(said, batches))
    steps, count = round(spoken / captions), sum(map(len, images))
    with contextlib.ExitStack() as stack:
        if has_torch():
            name = f"plain PyTorch, torch {importlib.metadata.version('torch')}"
            call = stack.enter_context(peer(config, model, batches, inputs))
            training[name] = lambda: call("train")[0]
            for kind in inputs:
                decoders[kind][name] = functools.partial(call, "decode", kind)
        eye = "features computed once before" if config.freeze else "the convolutions included"
        title = f"training, {len(batches[0][1])} pictures x {config.captions} captions in a step, {eye}"
        results = {"training": timing.rates(title, "captions", captions, training)}
        rates = {n: rate * len(batches) / captions for n, rate in results["training"]["captions_per_second"].items()}
        results["training"]["steps_per_second"] = rates
        say("; ".join(f"{name}: {rate:.2f} steps/s" for name, rate in rates.items()))
        for kind, systems in decoders.items():
            title = f"captioning from {kind}, beam {config.beam_width}; {steps} steps for every picture, no end"
            results[kind] = seq2seq.decoding(title, "pictures", systems, config.beam_width, steps, count)
        return results


def said(batch) -> int:
    """Captions in it."""
    return np.count_nonzero((batch[1] != 0).any(1))


def peer(config, model, batches, inputs):
    names = ("optimizer", "learning_rate", "clip_norm", "dropout", "label_smoothing", "doubly_stochastic")
    sizes = {name: getattr(config, name) for name in names}
    triples = [(x["source"], x["target"], y) for x, y in batches]
    given = dict(weights=torch_captioner.weights(model), eye=torch_captioner.seen(model.eye), inputs=inputs)
    return torch_captioner.started(triples, **given, **sizes)
