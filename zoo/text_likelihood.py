"""How well a character model predicts a text, in the units that papers use."""

from __future__ import annotations

import math

import numpy as np

from zoo import scoring

BLOCK = 1_000  # characters that are drawn together for an interval: neighbours are alike
SAMPLE = 2_000  # characters that are written, to see what is copied
SHOWN = 400  # of these, and of the text whose surprise is drawn


def report(model, text: str, train: str = "", progress=None) -> dict:
    """Likelihood of a text under a `zoo.text_generator.TextGenerator`, and what the model writes.

    Bits per character are the mean of -log2 p of each character after those before it; the interval is of a bootstrap
    over blocks of 1,000 characters. `longest_copied` is the longest run of characters, in a sample at temperature 0.8,
    that the training text has too.
    """
    unknown = sum(character not in model.symbols for character in text)
    log_p, right = model.score_long(text, progress)
    nats = -float(log_p.mean()) if len(log_p) else 0.0
    blocks = np.array([[part.sum(), len(part)] for part in np.array_split(-log_p, max(1, len(log_p) // BLOCK))])
    found = {
        "characters": len(text),
        "unknown": unknown,
        "nats_per_character": nats,
        "nats_95": scoring.bootstrap(*blocks.T),
        "bits_per_character": nats / math.log(2),
        "perplexity": math.exp(nats),
        "accuracy": float(right.mean()) if len(right) else 0.0,
    }
    opening = text[: text.find("\n", 20) + 1][:80]
    opening = "".join(character for character in opening if character in model.symbols)
    sample = model.generate(opening, SAMPLE, temperature=0.8, seed=1)[len(opening) :]
    if train:
        found["longest_copied"] = longest_shared(sample, train)
    surprise = list(zip(text[:SHOWN], (-log_p[:SHOWN] / math.log(2)).tolist(), strict=True))
    return {**found, "_sample": opening + sample[:SHOWN], "_surprise": surprise}


def longest_shared(text: str, other: str) -> int:
    """The length of the longest run of characters of one text that another has too."""
    longest = 0
    for start in range(len(text)):
        while start + longest < len(text) and text[start : start + longest + 1] in other:
            longest += 1
    return longest
