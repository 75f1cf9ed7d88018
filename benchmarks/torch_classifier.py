"""The bench's peer in PyTorch."""

from __future__ import annotations

import contextlib
import time

from benchmarks import torch_process


@contextlib.contextmanager
def timer(batches, **sizes):
    """Train the classifier of `_step` in a process of its own.

    Args:
        batches: list of NumPy pairs: ids int `[batch, time]`, 0 for padding, and labels int `[batch]`.
        sizes: words, embedding_dim, units, classes, clip_norm.

    Yields:
        A function that trains on each batch once and returns the seconds that it took.
    """
    with torch_process.start(_serve, batches, sizes) as ask:
        yield lambda: ask(None)


def _serve(pipe, batches, sizes):
    step = _step(**sizes)
    with contextlib.suppress(EOFError):  # the other end was closed: no more rounds
        while True:
            pipe.recv()
            began = time.perf_counter()
            for ids, labels in batches:
                step(ids, labels)
            pipe.send(time.perf_counter() - began)


def _step(words, embedding_dim, units, classes, clip_norm):
    """A training step of the zoo's sentiment classifier, plainly written.

    The padding is read too, and left out of the pooling. Gradients that vanish over it become denormal numbers, which
    cost a CPU three times the time; TensorFlow always flushes them to zero, and so does this.
    """
    import torch
    from torch import nn

    torch.set_flush_denormal(True)

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(words, embedding_dim, padding_idx=0)
            self.lstm = nn.LSTM(embedding_dim, units, batch_first=True, bidirectional=True)
            self.head = nn.Linear(4 * units, classes)

        def forward(self, ids):
            mask = ids != 0
            states, _ = self.lstm(self.embedding(ids))
            gone = ~mask[:, :, None]
            mean = states.masked_fill(gone, 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
            return self.head(torch.cat([mean, states.masked_fill(gone, -1e9).amax(1)], -1))

    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(ids, labels):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.as_tensor(ids).long()), torch.as_tensor(labels).long()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()

    return step
