"""What the peers in PyTorch of the benches of encoder-decoders share."""

from __future__ import annotations

import contextlib
import os
import time

from benchmarks import torch_process


@contextlib.contextmanager
def started(build, *arguments, **sizes):
    """A model in a process of its own.

    Args:
        build: makes the functions that can be called, of `(torch, *arguments, **sizes)`, there.

    Yields:
        A function: given the name of one of them, and its arguments, the seconds that it took there, and its result.
    """
    with torch_process.start(_serve, build, arguments, sizes) as ask:
        yield lambda name, *given: ask((name, *given))


def _serve(pipe, build, arguments, sizes):
    import torch

    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    functions = {function.__name__: function for function in build(torch, *arguments, **sizes)}
    with contextlib.suppress(EOFError):  # the other end was closed
        while True:
            name, *given = pipe.recv()
            began = time.perf_counter()
            result = functions[name](*given)
            pipe.send((time.perf_counter() - began, result))


def updates(torch, model, optimizer: str, learning_rate: float, clip_norm: float):
    """A function: given the loss of a batch, one update of the weights that are learnt; the loss as a number."""
    learnt = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = optimizer == "adam"
    make = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = make(learnt, lr=learning_rate, **({} if adam else {"momentum": 0.9}))

    def update(loss) -> float:
        optimizer.zero_grad()
        loss.backward()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(learnt, clip_norm)
        optimizer.step()
        return loss.item()

    return update


def layers(cells, x, states, dropout):
    """A step of LSTM cells above each other, dropout in between: the last one's output, and all states."""
    new = []
    for cell, state in zip(cells, states, strict=True):
        x, c = cell(dropout(x) if new else x, state)
        new.append((x, c))
    return x, new


def additive(energy, query, keys):
    """Bahdanau's scores `[batch, rows, places]` of queries `[batch, rows, width]` and keys `[batch, places, width]`."""
    return energy((query[:, :, None] + keys[:, None]).tanh()).squeeze(-1)


def chosen(torch, parents, beams, vector, states):
    """Of hypotheses `[batch, width, ...]`, and of states of as many rows, those whose places in a beam are given."""
    batch, width = parents.shape
    rows = (parents + width * torch.arange(batch)[:, None]).flatten()
    kept = lambda part: part.flatten(0, 1)[rows].view_as(part)
    return kept(beams), kept(vector), [(h[rows], c[rows]) for h, c in states]
