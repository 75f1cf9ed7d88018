"""The contract between a sequence problem and the zoo.

A task declares its data, configuration, model, loss, metrics, signatures and search space by filling in the methods of
`Task`; for it, it gets every verb: train, resume, evaluate, export, predict and tune (`zoo/run.py`, `zoo/tuning.py`).
A task's module holds one subclass of `Task`; the first line of the module's docstring is what `zoo list` shows:

    \"\"\"many-to-one: review -> polarity\"\"\"
"""

from __future__ import annotations

import abc
import ast
import importlib
import importlib.util
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.config import TrainingConfig
from zoo.errors import ZooError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

HOME = pathlib.Path(__file__).resolve().parent.parent / "tasks"


class Task(abc.ABC):
    """One sequence problem.

    An instance holds a configuration and what was learnt from the training data before training (`assets`: vocabulary,
    labels). Class attributes:

        Config: dataclass derived from `TrainingConfig`.
        presets: name -> values that differ from the defaults; the first is for the built-in corpus, the second for
            real data.
        monitor: the dev score that chooses the best epoch, and "max" or "min".
        intended_use, limits: for the model card.
        demo: an input to show after training.
        in_memory: whether encoded examples are kept in memory.
        mixed: training examples that the augmentation makes one of.
        streamed: whether the examples are pieces of one long sequence, to be trained on by truncated backpropagation
            through time (`zoo.streams`): `encoded` then gives symbols, integers `[n, ...]`, for each piece; the
            configuration has `k1` and `k2`.
        restart: of such a task, one row in so many begins anew in a batch; 0: none does.
    """

    Config: type[TrainingConfig] = TrainingConfig
    presets: Mapping[str, Mapping[str, Any]] = {"small": {}, "base": {}}
    monitor: tuple[str, str] = ("accuracy", "max")
    intended_use = ""
    limits: tuple[str, ...] = ()
    demo = ""
    in_memory = True
    mixed = 1
    streamed = False
    restart = 64

    def __init__(self, config: TrainingConfig, assets: Mapping[str, list[str]] | None = None):
        self.config = config
        self.assets = dict(assets or {})
        self.resources: list = []  # layers and tables, besides the model, that the signatures use

    # Data ---------------------------------------------------------------------------------------------------------

    @staticmethod
    @abc.abstractmethod
    def builtin() -> type:
        """The TFDS builder of the built-in corpus."""

    @classmethod
    @abc.abstractmethod
    def from_tfds(cls, builder) -> Mapping[str, tf.data.Dataset]:
        """Splits of raw examples from a prepared TFDS builder; `ZooError` if its features don't fit the task."""

    @classmethod
    @abc.abstractmethod
    def from_files(cls, path: pathlib.Path) -> Mapping[str, tf.data.Dataset]:
        """Splits of raw examples from a person's own files; `ZooError` naming file and line if they are malformed."""

    @staticmethod
    @abc.abstractmethod
    def key(example) -> tf.Tensor:
        """The string that decides whether a training example goes to the dev slice."""

    def training_examples(self, train: tf.data.Dataset) -> tf.data.Dataset:
        """The raw training examples, with what the configuration adds to them."""
        return train

    @abc.abstractmethod
    def learn(self, train: tf.data.Dataset) -> None:
        """Fill `self.assets` (name -> lines of text) from the raw training examples."""

    def encode(self, examples):
        """A batch of raw examples -> `(ragged sequences, targets)`, in the graph; `encoded` asks for it."""
        raise NotImplementedError

    def encoded(self, examples: tf.data.Dataset) -> tf.data.Dataset:
        """Raw examples -> `(sequence, target)`, one by one; a sequence may be a dictionary of several."""
        from zoo import data

        return data.encoded(examples, self.encode)

    def encoded_for_training(self, examples: tf.data.Dataset) -> tf.data.Dataset:
        """Likewise, of a streamed task's training examples, which may be there several times."""
        return self.encoded(examples)

    @classmethod
    def size(cls, examples: tf.data.Dataset) -> int:
        """Of a split, for the model card."""
        from zoo import data

        return data.count(examples)

    def augmentation(self):
        """A function that makes a new training example of `mixed` of them and a seed (`zoo.data.batches`); or None."""
        return None

    # Model --------------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def build(self) -> keras.Model:
        """The model, built, with initial weights."""

    @abc.abstractmethod
    def loss(self):
        """The loss, as `model.compile` takes it; None where the model computes its own."""

    def metrics(self) -> list:
        """The metrics, as `model.compile` takes them."""
        return []

    def warm_start(self, model: keras.Model) -> None:  # noqa: B027
        """Put weights from elsewhere into a model that is to be trained."""

    def sample(self, examples: tf.data.Dataset, folder: pathlib.Path) -> str:
        """An input to show after training; made from raw examples and kept in `folder`, where it isn't text."""
        return self.demo

    def finish(self, model: keras.Model) -> None:  # noqa: B027
        """The last change to a trained model before it is exported: quantisation, say."""

    @property
    def options(self) -> dict[str, int]:
        """What a caller of the exported model may choose, with defaults: inputs of its signature `search`."""
        return {}

    # Serving and measuring ----------------------------------------------------------------------------------------

    @abc.abstractmethod
    def signatures(self, model: keras.Model) -> Mapping[str, tuple]:
        """Name -> (function of raw tensors, list of `tf.TensorSpec`), the first being `serving_default`."""

    @classmethod
    @abc.abstractmethod
    def evaluate(cls, model, examples: tf.data.Dataset, progress=None, train: tf.data.Dataset | None = None) -> dict:
        """Scores of a loaded SavedModel (`zoo.load`) on raw examples: a report as plain Python values.

        `train` are the corpus's training examples, if it has them: to tell what the model may have seen. Keys that
        begin with "_" are for `show` and `draw` alone: they may hold texts of the corpus or of the model, and come
        neither into report.json nor onto the model card.
        """

    @classmethod
    @abc.abstractmethod
    def show(cls, report: dict) -> None:
        """Print a report as tables."""

    @classmethod
    @abc.abstractmethod
    def draw(cls, report: dict, folder: pathlib.Path, examples: tf.data.Dataset | None = None) -> list[pathlib.Path]:
        """Write a report's pictures. `examples` are the raw ones that were scored, for pictures that show some."""

    @classmethod
    @abc.abstractmethod
    def search_space(cls, hp) -> dict[str, Any]:
        """Configuration values drawn from a `keras_tuner.HyperParameters`."""

    # Given to every task ------------------------------------------------------------------------------------------

    def compiled(self, steps: int) -> keras.Model:
        """The model, compiled to train for `steps` steps."""
        from zoo import training

        model = self.build()
        self.warm_start(model)
        model.compile(
            optimizer=training.optimizer(self.config, steps),
            loss=self.loss(),
            metrics=self.metrics(),
            jit_compile=False,  # whole-step XLA recompiles at every length
        )
        return model


class Entry(NamedTuple):
    """A row of `zoo.tasks()`."""

    name: str
    shape: str
    summary: str


def tasks() -> list[Entry]:
    """Every task: name, shape of the sequence mapping, and what goes in and out. Imports nothing heavy."""
    entries = []
    for path in sorted(HOME.glob("*.py")):
        if path.stem.startswith("_"):
            continue
        line = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
        shape, _, summary = line.partition(":")
        entries.append(Entry(path.stem, shape.strip(), summary.strip()))
    return entries


def find(name: str) -> type[Task]:
    """The task class of that name.

    Raises:
        ZooError: there is no such task (the message lists those there are), or another package called `tasks` hides
            the zoo's.
    """
    names = [entry.name for entry in tasks()]
    if name not in names:
        raise ZooError(f"unknown task {name!r}; there are: {', '.join(names)}")
    package = importlib.util.find_spec("tasks")
    if package is None or HOME not in map(pathlib.Path, package.submodule_search_locations or ()):
        other = package and package.origin
        raise ZooError(f"another module called 'tasks' ({other}) hides {HOME}; run from another folder")
    module = importlib.import_module(f"tasks.{name}")
    return next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Task) and value.__module__ == module.__name__
    )
