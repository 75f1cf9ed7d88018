"""A loaded SavedModel that writes text, and tells how probable a text is."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np

from zoo.errors import ZooError
from zoo.serving import Model

PIECE = 16  # characters that `stream` draws at a time
ROWS = 16  # parts of a long text that are read side by side
WARM = 4096  # characters that a part has at least, and that are read before it
DEFAULTS = dict(length=200, temperature=0.8, seed=0)  # of answers to lists of prompts


class TextGenerator(Model):
    """Text so far in, more text out; or the probability of each of its characters."""

    def generate(self, prompt="", length=200, temperature=1.0, top_k=0, top_p=1.0, seed=None) -> str:
        """The prompt, and so many characters after it, drawn one by one.

        Args:
            prompt: what the text begins with, of any length; "" for nothing.
            length: characters to draw, besides the prompt.
            temperature: below 1 for what is more probable, above 1 for what is less; 0 for the most probable character.
            top_k: to draw from so many of the most probable characters only; 0 for all.
            top_p: to draw from the fewest that together have this probability (Holtzman et al. 2020); 1 for all.
            seed: a whole number; the same one gives the same text. None: another one each time.

        Raises:
            ZooError: an option is out of range, or the prompt has a character that the model does not know.
        """
        prompt = self.checked(prompt, "prompt")
        return self.session(prompt).write(length, temperature, top_k, top_p, seed, prompt)

    def stream(self, prompt="", length=None, temperature=1.0, top_k=0, top_p=1.0, seed=None, piece=PIECE):
        """The characters after the prompt that `generate` gives, in pieces, as they are drawn; for ever without a
        length."""
        return self.session(prompt).stream(length, temperature, top_k, top_p, seed, piece)

    def score(self, text: str) -> np.ndarray:
        """The log-probability, in nats, of each character after those before it: float32 `[characters]`."""
        return self.session().read(text)

    def session(self, prompt: str = "") -> TextSession:
        """A text to go on with: what is read and written is kept in mind from call to call."""
        session = TextSession(self)
        session.read(prompt)
        return session

    def __call__(self, inputs, **options) -> list[dict] | dict:
        """`{"text"}` for a prompt, or for each of a list; options as of `generate`."""
        if isinstance(inputs, (str, bytes)):
            return {"text": self.generate(inputs, **{**DEFAULTS, **options})}
        return [self(prompt, **options) for prompt in inputs]

    @functools.cached_property
    def symbols(self) -> frozenset[str]:
        return frozenset(self.card["symbols"])

    def checked(self, text, where: str = "text") -> str:
        """A text of symbols that the model knows; `ZooError` naming the first one that it doesn't."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if not isinstance(text, str):
            raise ZooError(f"{where}: expected a string, got {type(text).__name__}")
        unknown = set(text) - self.symbols
        if unknown:
            place = next(i for i, character in enumerate(text) if character in unknown)
            more = f" (nor {', '.join(map(repr, sorted(unknown - {text[place]})))})" if len(unknown) > 1 else ""
            raise ZooError(
                f"{where}: {text[place]!r} at character {place} is not among the {len(self.symbols)} symbols that this "
                f"model knows{more}"
            )
        return text

    def score_long(self, text: str, progress=None) -> tuple[np.ndarray, np.ndarray]:
        """As `score`, of a long text, read in parts side by side; each after the characters that come before it.

        What the model doesn't know is read as unknown. Returns also whether each character was the most probable one.
        """
        import tensorflow as tf

        from zoo.generation import READ, Session

        size = max(WARM, -(-len(text) // ROWS))
        parts = [text[max(0, i * size - WARM) : (i + 1) * size] for i in range(-(-len(text) // size))]
        session, found = Session(self, len(parts)), []
        longest = max(map(len, parts), default=0)
        for start in range(0, longest, READ):
            chunk = [part[start : start + READ].encode("utf-8", "replace") for part in parts]
            found.append(session.call("read", text=tf.constant(chunk)))
            if progress:
                progress(min(longest, start + READ) * len(parts), longest * len(parts))
        both = []
        for name in ("log_probabilities", "right"):
            rows = [
                np.concatenate([each[name][i, : each["steps"][i]] for each in found])[-len(text[i * size :][:size]) :]
                for i in range(len(parts))
            ]
            both.append(np.concatenate(rows) if rows else np.zeros(0))
        return both[0], both[1]


class TextSession:
    """A text that a model goes on with (`TextGenerator.session`)."""

    def __init__(self, model: TextGenerator):
        from zoo.generation import Session

        self._model, self._session = model, Session(model)

    def read(self, text: str) -> np.ndarray:
        """Take a text in; the log-probability of each of its characters, in nats, float32 `[characters]`."""
        import tensorflow as tf

        from zoo.generation import READ

        text, found = self._model.checked(text), [np.zeros(0, np.float32)]
        for start in range(0, len(text), READ):
            chunk = tf.constant([text[start : start + READ].encode()])
            found.append(self._session.call("read", text=chunk)["log_probabilities"][0])
        return np.concatenate(found)

    def write(self, length=200, temperature=1.0, top_k=0, top_p=1.0, seed=None, before: str = "") -> str:
        """So many characters more, after `before`; options as of `TextGenerator.generate`."""
        from zoo.generation import draw_options

        options = draw_options(length, temperature, top_k, top_p, seed)
        return before + self._session.draw(length, options)["text"][0].decode()

    def stream(self, length=None, temperature=1.0, top_k=0, top_p=1.0, seed=None, piece: int = PIECE) -> Iterator[str]:
        """The same in pieces; for ever without a length."""
        from zoo.generation import draw_options

        options = draw_options(length or 0, temperature, top_k, top_p, seed)
        if type(piece) is not int or piece < 1:
            raise ZooError(f"piece={piece!r}: expected a whole number, at least 1")

        def pieces():
            left = float("inf") if length is None else length
            while left > 0:
                now = int(min(piece, left))
                yield self._session.draw(now, options)["text"][0].decode()
                left -= now

        return pieces()
