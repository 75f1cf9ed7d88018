"""PyTorch's side of `benchmarks/layers.py`."""

from __future__ import annotations

import contextlib
import time

from benchmarks import torch_process


@contextlib.contextmanager
def peer():
    """Yields `ask(kind, batch, steps, units, training, count)`, a list of the seconds of `count` steps.

    `ask("threads")` is the number of threads that PyTorch takes.
    """
    with torch_process.start(_serve) as ask:
        yield lambda *job: ask(job)


def _serve(pipe):
    import torch

    torch.set_flush_denormal(True)  # as TensorFlow does
    steps = {}
    with contextlib.suppress(EOFError):  # the other end was closed
        while True:
            *job, count = pipe.recv()
            if count == "threads":
                pipe.send(torch.get_num_threads())
                continue
            if tuple(job) not in steps:
                steps = {tuple(job): _step(torch, *job)}
            step, times = steps[tuple(job)], []
            for _ in range(count):
                began = time.perf_counter()
                step()
                times.append(time.perf_counter() - began)
            pipe.send(times)


def _step(torch, kind, batch, steps, units, training):
    cells = {"LSTM": torch.nn.LSTM, "BiLSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "SimpleRNN": torch.nn.RNN}
    layer = cells[kind](units, units, batch_first=True, bidirectional=kind == "BiLSTM")
    x = torch.randn(batch, steps, units, requires_grad=training)

    def infer():
        with torch.inference_mode():
            layer(x)

    def train():
        layer.zero_grad()
        x.grad = None
        (layer(x)[0] ** 2).mean().backward()

    return train if training else infer
