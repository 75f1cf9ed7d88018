"""A loaded SavedModel that takes clips: whole, in batches, or live, frame by frame."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator

import numpy as np

from zoo import clips
from zoo.errors import ZooError
from zoo.serving import Model

BATCH_VALUES = 30_000_000  # numbers in a padded batch of clips: a long one is answered alone


class ClipModel(Model):
    """Clips in, a label for every frame out: `{"labels": [...], "probabilities": float32 [frames, classes]}`.

    The classes are in the order of `card["labels"]`.
    """

    def __call__(self, inputs) -> list[dict] | dict:
        """Answer a list of clips, or a single one.

        A clip is an array of frames of any size, uint8 `[frames, height, width, channels]` (1, 3 or 4) or, grey,
        `[frames, height, width]`; features, float `[frames, features]`, for a model of them; or the path to a video
        file, a folder of pictures, or a `.npz`.

        Raises:
            ZooError: what was given is no clip, names its place in the list.
        """
        rank = len(getattr(inputs, "shape", self._shape + [None]))  # a list's is that of clips in one array
        if isinstance(inputs, (str, os.PathLike)) or rank <= len(self._shape):
            return self([inputs])[0]
        return self._answers([self._clip(value, f"input {i}") for i, value in enumerate(inputs)])

    def stream(self, frames: Iterable) -> Iterator[dict]:
        """Answer frames as they come, from `zoo.clips.camera(0)`, say: `{"label", "probabilities": float32 [classes]}`.

        Raises:
            ZooError: the model reads clips in both directions, or what comes is no frame.
        """
        import tensorflow as tf

        if "step" not in self._module.signatures:
            raise ZooError(
                f"{self.path} reads clips in both directions and can't be used live; train a causal model: "
                'make train TASK=video SET="bidirectional=false"'
            )
        step = self.signature("step")
        shapes = {name: spec.shape for name, spec in step.structured_input_signature[1].items() if name != "frame"}
        states = {name: tf.zeros([1, *shape[1:]]) for name, shape in shapes.items()}
        for i, frame in enumerate(frames):
            outputs = step(frame=tf.constant(self._clip(np.asarray(frame)[None], f"frame {i}")), **states)
            states = {name: outputs[name] for name in states}
            label, probabilities = outputs["label"].numpy()[0].decode(), outputs["probabilities"].numpy()[0]
            yield {"label": label, "probabilities": probabilities}

    @functools.cached_property
    def _shape(self) -> list[int | None]:
        """Of a clip as the signatures take it: four dimensions for pictures, two for features."""
        return self.signature("serving_default").structured_input_signature[1]["frames"].shape.as_list()[1:]

    def _clip(self, value, where: str) -> np.ndarray:
        """A clip as the signatures take it."""
        if isinstance(value, (str, os.PathLike)):
            where, value = str(value), clips.load(value).frames
        value = np.asarray(value)
        found = f"{where}: {value.dtype} {list(value.shape)}"
        if len(self._shape) == 2:
            width = self._shape[-1]
            if value.ndim != 2 or value.shape[1] != width or value.dtype.kind not in "fiu":
                raise ZooError(f"{found}; expected features, float [frames, {width}]")
            if not np.isfinite(value).all():
                raise ZooError(f"{where}: frame {np.argmin(np.isfinite(value).all(1))} is not finite")
            return value.astype(np.float32)
        if value.dtype != np.uint8:
            raise ZooError(f"{found}; expected pixels as uint8, 0 to 255")
        grey = value.ndim == 3 and value.shape[-1] not in (1, 3, 4)
        value = value[..., None] if grey else value
        if value.ndim != 4 or value.shape[-1] not in (1, 3, 4) or 0 in value.shape[1:]:
            raise ZooError(f"{found}; expected a clip, uint8 [frames, height, width, 1, 3 or 4 channels]")
        return value

    def _answers(self, inputs: list[np.ndarray]) -> list[dict]:
        """Those of one size and about one length together."""
        import tensorflow as tf

        answers: list = [None] * len(inputs)
        order = sorted(range(len(inputs)), key=lambda i: (inputs[i].shape[1:], len(inputs[i])))
        while order:
            size, chosen = inputs[order[0]].shape[1:], []
            while order and inputs[order[0]].shape[1:] == size:
                longest = len(inputs[order[0]])  # they come in the order of their lengths
                if chosen and (len(chosen) + 1) * longest * np.prod(size) > BATCH_VALUES:
                    break
                chosen.append(order.pop(0))
            steps = np.array([len(inputs[i]) for i in chosen], np.int32)
            frames = np.zeros([len(chosen), steps.max(), *size], inputs[chosen[0]].dtype)
            for row, i in zip(frames, chosen, strict=True):
                row[: len(inputs[i])] = inputs[i]
            outputs = self.signature("padded")(frames=tf.constant(frames), steps=tf.constant(steps))
            labels, probabilities = outputs["labels"].numpy(), outputs["probabilities"].numpy()
            for i, n, names, p in zip(chosen, steps, labels, probabilities, strict=True):
                answers[i] = {"labels": [name.decode() for name in names[:n]], "probabilities": p[:n]}
        return answers
