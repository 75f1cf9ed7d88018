"""Export to a SavedModel; load one by name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping

import numpy as np

from zoo.errors import ZooError
from zoo.files import REPLACEMENT

CARD = "model_card.json"
_PACKAGE = pathlib.Path(__file__).resolve().parent
# In a checkout the models stand beside the package; in a wheel they are inside it.
SHELVES = (_PACKAGE.parent / "saved_models", _PACKAGE / "saved_models")


BATCH_BYTES = 500_000  # of a padded batch: a long input is not padded onto many others


class Model:
    """A loaded SavedModel: raw inputs in, one dictionary for each out.

    Attributes:
        card: the model card, as a dict.
        path: the folder that it was loaded from.
    """

    def __init__(self, path: pathlib.Path, card: dict, module):
        self.path, self.card, self._module = path, card, module

    def __call__(self, inputs, **options) -> list[dict] | dict:
        """Answer a list of inputs, or a single one: strings, or lists of tokens if the model takes them.

        `card["options"]` has the options that the model takes, whole numbers, with their defaults.
        """
        if isinstance(inputs, (str, bytes)):
            return self([inputs], **options)[0]
        inputs = inputs.to_list() if hasattr(inputs, "to_list") else list(inputs)  # a ragged tensor's rows are lists
        cut = [isinstance(value, (list, tuple)) for value in inputs]
        if any(cut) and "tokens" in self._module.signatures:
            tokens = iter(_answers(self.batched("tokens", [v for v, c in zip(inputs, cut, strict=True) if c])))
            texts = iter(self([v for v, c in zip(inputs, cut, strict=True) if not c]))
            return [next(tokens if c else texts) for c in cut]
        return self.answers(inputs, **options)

    def answers(self, inputs, progress=None, **options) -> list[dict]:
        """Answer a list of strings; `progress` is called with how many are done, and of how many."""
        if not options:
            return _answers(self.batched("serving_default", inputs, progress=progress))
        return _answers(self.batched("search", inputs, progress=progress, **self._checked(options)))

    def by_beam_width(self, inputs, widths: Mapping[str, int], progress=None) -> tuple[list[str], dict[str, list[str]]]:
        """The texts that are answered by default; and by name those of other beam widths."""
        total = (len(widths) + 1) * len(inputs)

        def texts(number: int, **options):
            tick = progress and (lambda done, _: progress(number * len(inputs) + done, total))
            return [answer["text"] for answer in self.answers(inputs, progress=tick, **options)]

        return texts(0), {name: texts(i, beam_width=width) for i, (name, width) in enumerate(widths.items(), 1)}

    def _checked(self, options: dict) -> dict[str, int]:
        known = self.card.get("options", {})
        for name, value in options.items():
            if name not in known:
                raise ZooError(
                    f"option {name!r}: expected one of: {', '.join(known) or 'none; this model has no options'}"
                )
            least = min(1, known[name])  # 0 where that stands for something
            if type(value) is not int or value < least:
                raise ZooError(f"option {name}={value!r}: expected a whole number, at least {least}")
        return {**known, **options}

    def attention(self, text: str) -> tuple[list[str], list[str], np.ndarray]:
        """What the model looked at: pieces of the input, pieces of the answer, weights float32 `[answer, input]`.

        Raises:
            ZooError: the model has no attention.
        """
        if "attention" not in self._module.signatures:
            raise ZooError(f"{self.path}: this {self.card['task']} model has no attention to show")
        found = {key: value[0] for key, value in self.batched("attention", [text]).items()}
        source, target = (
            [piece for piece in _plain(found[f"{side}_pieces"]) if piece] for side in ("source", "target")
        )
        return source, target, found["weights"][: len(target), : len(source)]

    def signature(self, name: str):
        """A named signature: a function of tensors, with batch and time unbounded."""
        return self._module.signatures[name]

    def batched(self, name: str, inputs, batch_size: int = 64, progress=None, **options) -> dict[str, np.ndarray]:
        """Run a signature of strings, or of lists of strings (`tokens`), over many inputs; results in the order given.

        Those of about the same length are run together. Results of different lengths are padded to the longest. Options
        are the signature's other inputs.
        """
        import tensorflow as tf

        kind, expected = ((list, tuple), "a list of strings") if name == "tokens" else ((str, bytes), "a string")
        for i, value in enumerate(inputs):
            parts = value if name == "tokens" and isinstance(value, kind) else [value]
            if not isinstance(value, kind) or not all(isinstance(part, (str, bytes)) for part in parts):
                raise ZooError(f"input {i}: expected {expected}, got {type(value).__name__}")
        numbers = {option: tf.constant(value) for option, value in options.items()}
        function = lambda strings: self.signature(name)(
            **{"tokens" if name == "tokens" else "text": strings}, **numbers
        )
        if not len(inputs):
            empty = function(tf.zeros([0, 0] if name == "tokens" else [0], tf.string))
            return {key: value.numpy() for key, value in empty.items()}
        lengths = [len(value) for value in inputs]
        order, results, places = np.argsort(lengths, kind="stable"), [], []
        while len(places) < len(order):
            chosen = order[len(places) : len(places) + batch_size]
            fitting = np.cumsum(np.ones(len(chosen))) * np.maximum(1, [lengths[i] for i in chosen]) <= BATCH_BYTES
            chosen = chosen[: max(1, fitting.sum())]
            values = [inputs[i] for i in chosen]
            values = _padded(values) if name == "tokens" else [_encode(value) for value in values]
            results.append({key: value.numpy() for key, value in function(tf.constant(values, tf.string)).items()})
            places.extend(chosen)
            if progress:
                progress(len(places), len(order))
        back = np.argsort(places)
        return {key: _stacked([result[key] for result in results])[back] for key in results[0]}

    def __repr__(self):
        return f"<zoo model {self.card['task']} version {self.card['version']}: {self.card['summary']}>"


def _encode(value: str | bytes) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


def _padded(rows) -> np.ndarray:
    """Lists of tokens as bytes `[batch, time]`. An empty token, which would be padding, becomes U+FFFD."""
    table = np.full([len(rows), max(map(len, rows))], b"", object)
    for i, row in enumerate(rows):
        table[i, : len(row)] = [_encode(token) or REPLACEMENT.encode() for token in row]
    return table


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """One array of several batches, their axes after the first padded to the longest."""
    shape = np.max([part.shape[1:] for part in parts], axis=0).astype(int) if parts[0].ndim > 1 else ()
    missing = lambda part: [(0, 0), *((0, n - m) for n, m in zip(shape, part.shape[1:], strict=True))]
    fill = b"" if parts[0].dtype == object else 0
    return np.concatenate([np.pad(part, missing(part), constant_values=fill) for part in parts])


def _answers(outputs: dict[str, np.ndarray]) -> list[dict]:
    """A dictionary for each input, of Python values.

    Of outputs `[batch, time]` the first `steps` are true; those named `<group>_<key>` make a list of dictionaries of
    `<group>_count` entries.
    """
    outputs = {name: outputs[name] for name in sorted(outputs)}  # TensorFlow keeps no order of a signature's outputs
    steps = outputs.pop("steps", None)
    groups = {name.removesuffix("_count"): outputs.pop(name) for name in list(outputs) if name.endswith("_count")}
    members = {
        group: {
            name.removeprefix(f"{group}_"): outputs.pop(name) for name in list(outputs) if name.startswith(f"{group}_")
        }
        for group in groups
    }
    answers = []
    for i in range(len(next(iter(outputs.values()), ()))):
        answer = {
            name: _plain(values[i] if steps is None else values[i][: steps[i]]) for name, values in outputs.items()
        }
        for group, counts in groups.items():
            columns = {key: _plain(values[i][: counts[i]]) for key, values in members[group].items()}
            answer[group] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        answers.append(answer)
    return answers


def _plain(values):
    """Python values, strings decoded."""
    values = values.tolist() if isinstance(values, (np.ndarray, np.generic)) else values
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return values.decode() if isinstance(values, bytes) else values


def load(name) -> Model:
    """Load a SavedModel of the zoo.

    Args:
        name: a task's name, for the newest version in `saved_models/`; or a path to a version's folder.

    Raises:
        ZooError: there is no such model, or its files are damaged.
    """
    path = locate(name)
    card = read_card(path)
    for file, (size, digest) in card["files"].items():
        _verify(path / file, size, digest)
    import tensorflow as tf

    try:
        module = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ZooError(f"{path}: not a SavedModel that TensorFlow {tf.__version__} loads: {str(error)[:200]}") from None
    from zoo.clip_model import ClipModel
    from zoo.picture_model import PictureModel
    from zoo.text_generator import TextGenerator
    from zoo.tune_generator import TuneGenerator

    inputs = module.signatures["serving_default"].structured_input_signature[1]
    kinds = {"frames": ClipModel, "image": PictureModel, "features": PictureModel}
    kinds |= {"prompt": TextGenerator, "bars": TuneGenerator}
    kind = next((kind for name, kind in kinds.items() if name in inputs), Model)
    return kind(path, card, module)


def locate(name) -> pathlib.Path:
    """The folder of the model of that name or path."""
    path = pathlib.Path(name).expanduser()
    if (path / CARD).is_file():
        return path
    if os.sep not in str(name):
        versions = [folder for shelf in SHELVES for folder in _versions(shelf / str(name))]
        if versions:
            return max(versions, key=lambda folder: int(folder.name))
    elif _versions(path):
        return max(_versions(path), key=lambda folder: int(folder.name))
    if path.is_dir():
        raise ZooError(f"{path}: no {CARD} in this folder; expected one that `zoo export` or `zoo train` wrote")
    known = sorted({p.name for shelf in SHELVES if shelf.is_dir() for p in shelf.iterdir() if _versions(p)})
    raise ZooError(
        f"no model {str(name)!r}; shipped: {', '.join(known) or 'none'}; or give the path of an exported one"
    )


def _versions(folder: pathlib.Path) -> list[pathlib.Path]:
    return [p for p in folder.glob("[0-9]*") if p.name.isdigit() and (p / CARD).is_file()]


def read_card(path: pathlib.Path) -> dict:
    try:
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ZooError(f"{path / CARD}: not a readable model card: {error}") from None
    if not (isinstance(card, dict) and isinstance(card.get("files"), dict) and {"task", "version"} <= card.keys()):
        raise ZooError(f"{path / CARD}: not a model card; expected an object with task, version and files")
    return card


def _verify(file: pathlib.Path, size: int, digest: str) -> None:
    if not file.is_file():
        raise ZooError(f"{file}: missing; the model is incomplete: get it again")
    if file.stat().st_size != size:
        raise ZooError(
            f"{file}: {file.stat().st_size} bytes, the model card says {size}; cut off or changed: get it again"
        )
    if _digest(file) != digest:
        raise ZooError(f"{file}: its SHA-256 is not the model card's; damaged or changed: get it again")


def _digest(file: pathlib.Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextlib.contextmanager
def new_folder(path: pathlib.Path):
    """A folder that appears at `path` whole or not at all: filled beside it, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".writing-{path.name}-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        yield temporary
        old = path.parent / f".old-{path.name}-{os.getpid()}"
        if path.exists():
            os.rename(path, old)
        os.rename(temporary, path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_saved_model(signatures: Mapping[str, tuple], resources: list, folder: pathlib.Path) -> None:
    """Write signatures (`zoo.task.Task`) and what they look up as a SavedModel."""
    import keras

    archive = keras.export.ExportArchive()
    for resource in resources:  # variables come with the signatures; tracked as well, they would be written twice
        archive.track(resource)
    for name, (function, specs) in signatures.items():
        archive.add_endpoint(name, function, input_signature=specs)
    archive.write_out(str(folder), verbose=False)


def in_half(model, functions: Mapping[str, tuple], kept=()) -> dict[str, tuple]:
    """Signatures whose weights are stored as float16, in half of the space; they are computed in float32.

    The weights are cast at every call: little where a call is a clip, too much where it is a frame. Those that are
    `kept` stay as they are.
    """
    import keras
    import tensorflow as tf

    whole = {id(variable) for variable in kept}
    weights = [variable for variable in model.weights if id(variable) not in whole]
    halves = [tf.Variable(tf.cast(variable.value, tf.float16), trainable=False) for variable in weights]

    def widened(function):
        def call(*inputs):
            values = [(v, tf.cast(half, v.dtype)) for v, half in zip(weights, halves, strict=True)]
            with keras.StatelessScope(state_mapping=values):
                return function(*inputs)

        return call

    return {name: (widened(function), specs) for name, (function, specs) in functions.items()}


def inventory(folder: pathlib.Path) -> dict[str, list]:
    """Relative path -> [bytes, SHA-256] of every file in `folder`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): [p.stat().st_size, _digest(p)] for p in files}
