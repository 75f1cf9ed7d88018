"""A loaded SavedModel that takes pictures, or features of them, and answers with text."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Iterable

import numpy as np

from zoo.errors import ZooError
from zoo.serving import Model, _plain, _stacked
from zoo.subwords import SPACE

BATCH = 64  # pictures that run together, at most
BATCH_VALUES = 30_000_000  # numbers in such a batch: a large picture is answered alone
HELD_VALUES = 4 * BATCH_VALUES  # numbers that wait for others of their size


class PictureModel(Model):
    """Pictures in, for each a caption out: `{"text", "score", "alternatives": [{"text", "score"}, ...]}`.

    The score is the log-probability of the caption; the alternatives are the other captions of the search, the best
    first. `card["options"]` has what a caller may choose.
    """

    def __call__(self, inputs, **options) -> list[dict] | dict:
        """Answer a list of pictures (or any iterable of them), or a single one.

        A picture is an array of any size, uint8 `[height, width, channels]` (1, 3 or 4; what is transparent shows
        white) or, grey, `[height, width]`; the path to a file; or the bytes of one. An array with one dimension more
        holds several. For a model of features it is an array of floats, `[places, features]`, or `[features]` for one
        place.

        Raises:
            ZooError: what was given is no picture (names its place in the list, or the file), or an unknown option.
        """
        single = isinstance(inputs, (str, bytes, bytearray, os.PathLike)) or not hasattr(inputs, "__iter__")
        rank = len(getattr(inputs, "shape", self._shape + [None]))  # a list's is that of pictures in one array
        if single or rank <= len(self._shape):
            return self.answers([inputs], **options)[0]
        return self.answers(inputs, **options)

    @property
    def takes_features(self) -> bool:
        """Whether inputs are features, made elsewhere, rather than pictures."""
        return self._input == "features"

    def picture(self, value, where: str = "input 0") -> np.ndarray:
        """A picture as the signatures take it: uint8 `[height, width, 3]`, or features, float32 `[places, features]`.

        Raises:
            ZooError: it is none; the line begins with `where`, or with the path that was given.
        """
        if self.takes_features:
            return self._features(value, where)
        from zoo import pictures

        if isinstance(value, (str, os.PathLike)):
            return pictures.load(value)
        if isinstance(value, (bytes, bytearray)):
            return pictures.from_bytes(bytes(value), where)
        value = _array(value, where)
        found = f"{where}: {value.dtype} {list(value.shape)}"
        if value.ndim not in (2, 3) or (value.ndim == 3 and value.shape[-1] not in (1, 3, 4)) or not value.size:
            raise ZooError(f"{found}; expected a picture, uint8 [height, width, 1, 3 or 4 channels], or a path")
        if value.dtype != np.uint8:
            raise ZooError(f"{found}; expected pixels as uint8, 0 to 255")
        if value.shape[0] * value.shape[1] > pictures.MOST:
            raise ZooError(f"{found}; expected at most {pictures.MOST:,} pixels")
        if value.ndim == 3 and value.shape[-1] == 4:
            return pictures.on_white(value).numpy()
        return np.broadcast_to(value if value.ndim == 3 else value[..., None], [*value.shape[:2], 3])

    def batched(self, name: str, inputs: Iterable, progress=None, **options) -> dict[str, np.ndarray]:
        """Run a signature over many pictures; results in the order given, padded to the longest. None: no results.

        Pictures of one size run together: each gets what the signature gives for it alone. An iterator is read as it
        goes, so that not all pictures are in memory. `progress` is called with how many are done, and of how many, or
        None where that can't be known. Options are the signature's other inputs.
        """
        import tensorflow as tf

        numbers = {option: tf.constant(value) for option, value in options.items()}
        total = operator.length_hint(inputs) or None
        waiting: dict[tuple, list[tuple[int, np.ndarray]]] = {}
        results, places, held = [], [], 0

        def run(shape) -> int:
            chosen = waiting.pop(shape)
            batch = np.stack([picture for _, picture in chosen])
            outputs = self.signature(name)(**{self._input: tf.constant(batch)}, **numbers)
            results.append({key: value.numpy() for key, value in outputs.items()})
            places.extend(i for i, _ in chosen)
            if progress:
                progress(len(places), total)
            return batch.size

        for i, value in enumerate(inputs):
            picture = self.picture(value, f"input {i}")
            group = waiting.setdefault(picture.shape, [])
            group.append((i, picture))
            held += picture.size
            if len(group) == BATCH or (len(group) + 1) * picture.size > BATCH_VALUES:
                held -= run(picture.shape)
            while held > HELD_VALUES:  # many sizes: those that hold the most go first
                held -= run(max(waiting, key=lambda shape: len(waiting[shape]) * np.prod(shape)))
        for shape in list(waiting):
            run(shape)
        back = np.argsort(places)
        return {key: _stacked([result[key] for result in results])[back] for key in (results[0] if results else ())}

    def attention(self, picture) -> tuple[list[str], np.ndarray]:
        """What the model looked at: words of the caption and `</s>`, weights float32 `[words, rows, columns]`.

        The rows and columns are those of a grid that covers the picture. Of a word of several pieces it is the mean.

        Raises:
            ZooError: the model has no attention, or what was given is no picture.
        """
        if "attention" not in self._module.signatures:
            raise ZooError(f"{self.path}: this {self.card['task']} model has no attention to show")
        found = {key: value[0] for key, value in self.batched("attention", [picture]).items()}
        words, weights = [], []
        for piece, looked in zip(_plain(found["pieces"]), found["weights"], strict=True):
            if not words or piece == "</s>" or piece.startswith(SPACE):
                words.append("")
                weights.append([])
            words[-1] += piece.removeprefix(SPACE)  # "" behind the end
            weights[-1] += [looked] * (piece != "")
        return words, np.array([np.mean(group, 0) for group in weights], np.float32)

    @functools.cached_property
    def _input(self) -> str:
        """The signatures' input: "image" or "features"."""
        inputs = self.signature("serving_default").structured_input_signature[1]
        return "features" if "features" in inputs else "image"

    @functools.cached_property
    def _shape(self) -> list[int | None]:
        """Of one input as the signatures take it: three dimensions for a picture, two for features."""
        return self.signature("serving_default").structured_input_signature[1][self._input].shape.as_list()[1:]

    def _features(self, value, where: str) -> np.ndarray:
        """Features as the signatures take them, float32 `[places, features]`."""
        places, width = self._shape
        expected = f"float [{places or 'places'}, {width}]"
        if isinstance(value, (str, bytes, bytearray, os.PathLike)):
            raise ZooError(f"{where}: this model takes features, {expected}, not pictures; use it from Python")
        value = _array(value, where)
        found, value = f"{where}: {value.dtype} {list(value.shape)}", value[None] if value.ndim == 1 else value
        fits = value.ndim == 2 and value.size and value.shape[1] == width and len(value) == (places or len(value))
        if not fits or value.dtype.kind not in "fiu":
            raise ZooError(f"{found}; expected features, {expected}")
        if not np.isfinite(value).all():
            raise ZooError(f"{where}: place {np.argmin(np.isfinite(value).all(1))} is not finite")
        return value.astype(np.float32)


def _array(value, where: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:  # a list of lists of different lengths
        raise ZooError(f"{where}: not an array: {str(error)[:100]}") from None
