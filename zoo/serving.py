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

CARD = "model_card.json"
_PACKAGE = pathlib.Path(__file__).resolve().parent
# In a checkout the models stand beside the package; in a wheel they are inside it.
SHELVES = (_PACKAGE.parent / "saved_models", _PACKAGE / "saved_models")


class Model:
    """A loaded SavedModel: raw inputs in, one dictionary for each out.

    Attributes:
        card: the model card, as a dict.
        path: the folder that it was loaded from.
    """

    def __init__(self, path: pathlib.Path, card: dict, module):
        self.path, self.card, self._module = path, card, module

    def __call__(self, inputs) -> list[dict] | dict:
        """Answer a list of inputs, or a single one."""
        single = isinstance(inputs, (str, bytes))
        answers = self.batched("serving_default", [inputs] if single else list(inputs))
        names = sorted(answers)  # TensorFlow keeps no order of a signature's outputs
        columns = [_plain(answers[name]) for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        return rows[0] if single else rows

    def signature(self, name: str):
        """A named signature: a function of tensors, with batch and time unbounded."""
        return self._module.signatures[name]

    def batched(self, name: str, inputs, batch_size: int = 64, progress=None) -> dict[str, np.ndarray]:
        """Run a signature of strings over many inputs, those of about the same length together, in the order given."""
        import tensorflow as tf

        for i, value in enumerate(inputs):
            if not isinstance(value, (str, bytes)):
                raise ZooError(f"input {i}: expected a string, got {type(value).__name__}")
        function = self.signature(name)
        if not len(inputs):
            empty = function(tf.constant([], tf.string))
            return {key: value.numpy() for key, value in empty.items()}
        order = np.argsort([len(value) for value in inputs], kind="stable")
        parts, places = [], []
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            parts.append(function(tf.constant([_encode(inputs[i]) for i in chosen])))
            places.extend(chosen)
            if progress:
                progress(len(places), len(order))
        back = np.argsort(places)
        return {key: np.concatenate([part[key].numpy() for part in parts])[back] for key in parts[0]}

    def __repr__(self):
        return f"<zoo model {self.card['task']} version {self.card['version']}: {self.card['summary']}>"


def _encode(value: str | bytes) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


def _plain(values: np.ndarray) -> list:
    """Python values, strings decoded."""
    return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]


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
        return Model(path, card, tf.saved_model.load(str(path)))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise ZooError(f"{path}: not a SavedModel that TensorFlow {tf.__version__} loads: {str(error)[:200]}") from None


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


def inventory(folder: pathlib.Path) -> dict[str, list]:
    """Relative path -> [bytes, SHA-256] of every file in `folder`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): [p.stat().st_size, _digest(p)] for p in files}
