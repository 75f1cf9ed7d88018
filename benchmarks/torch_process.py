"""PyTorch in a process of its own: its threads and TensorFlow's would fight over the cores."""

from __future__ import annotations

import contextlib
import multiprocessing


@contextlib.contextmanager
def start(serve, *arguments):
    """Runs `serve(pipe, *arguments)` there, which answers messages until `recv` raises EOFError.

    Yields:
        `ask(message)`, which returns the answer.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # so that `recv` notices when the process ends

    def ask(message):
        ours.send(message)
        return ours.recv()

    try:
        yield ask
    finally:
        ours.close()
        process.join()
