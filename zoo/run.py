"""A run: one training of one task on one corpus, from raw data to an exported SavedModel, in a folder of its own.

runs/<task>/<corpus>/   config.json  assets/  checkpoint/  best.npz  history.csv  curves.png  tensorboard/
                        run.json  export/ (the SavedModel with its card)  evaluation/<split>/
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil

import keras
import rich.progress

from zoo import card as cards
from zoo import data as sources
from zoo import serving, streams, training
from zoo.config import as_assignments, configure
from zoo.errors import ZooError
from zoo.files import replacing
from zoo.task import Task, find, tasks

RUNS = pathlib.Path("runs")
DEV_ROWS = 16  # streams that dev is read in
UNKEPT = 200  # examples to shuffle among where they are not all in memory


def say(line: str) -> None:
    print(line, flush=True)


def write_json(path: pathlib.Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def progress():
    """A bar with an estimate of the time left; the block calls what it gets with (done, total)."""
    with rich.progress.Progress(transient=True) as display:
        job = display.add_task("evaluating", total=None)
        yield lambda done, total: display.update(job, completed=done, total=total)


class Run:
    """The folder of a run, and what can be done with it."""

    def __init__(self, name: str, data: str = "", runs: pathlib.Path = RUNS):
        self.name, self.data = name, data
        self.task_class: type[Task] = find(name)
        self.corpus = sources.open_corpus(self.task_class, data, runs / "tfds")
        self.folder = runs / name / self.corpus.name

    # Train --------------------------------------------------------------------------------------------------------

    def configure(self, preset: str = "", assignments=()):
        """The configuration; without a preset, the first for the built-in corpus and the second for other data."""
        presets = self.task_class.presets
        preset = preset or list(presets)[0 if not self.data else 1]
        return configure(self.task_class.Config, presets, preset, assignments)

    def prepare(self, config) -> Task:
        """A task that has learnt its assets."""
        task = self.task_class(config)
        task.learn(task.training_examples(self.corpus.split("train")))
        return task

    def batches(self, task: Task):
        """The batches to train on, those to choose by, and the number of training examples, or symbols."""
        if task.streamed:
            return self._streams(task)
        train = task.encoded(task.training_examples(self.corpus.split("train")))
        dev = task.encoded(self.corpus.split("dev"))
        if task.in_memory:
            train, dev = train.cache(), dev.cache()
        size = sources.count(train)
        shape = (task.config.batch_size, task.config.max_length)
        options = {"augment": task.augmentation(), "mixed": task.mixed}
        options |= {} if task.in_memory else {"shuffle": UNKEPT}
        train = sources.batches(train, *shape, seed=task.config.seed, **options)
        return train, sources.batches(dev, *shape), size

    def _streams(self, task: Task):
        """The same, of symbols."""
        c = task.config
        encoded = {split: task.encoded(self.corpus.split(split)) for split in ("train", "dev")}
        encoded["train"] = task.encoded_for_training(task.training_examples(self.corpus.split("train")))
        train, dev = (streams.write(pieces, self.folder / f"{split}.symbols") for split, pieces in encoded.items())
        batches = streams.training(train, c.batch_size, c.k1, c.k2, c.seed, task.restart)
        return batches, streams.once(dev, DEV_ROWS, c.k2), len(train)

    @staticmethod
    def steps(task: Task, size: int) -> int:
        """Of an epoch, of so many training examples or symbols."""
        c = task.config
        if not task.streamed:
            return max(1, -(-size // c.batch_size))
        return streams.steps_per_pass(size, streams.fitting_rows(size, c.batch_size, c.k2), c.k1)

    def train(self, preset: str = "", assignments=()) -> Task:
        """Train (or go on), export, and score on dev."""
        config = self.configure(preset, assignments)
        say(f"{self.name} on the {self.corpus.source}" if not self.data else f"{self.name} on {self.corpus.source}")
        keras.utils.set_random_seed(config.seed)
        task = self.prepare(config)
        batches, dev, size = self.batches(task)
        steps = self.steps(task, size)
        unit = "symbols" if task.streamed else "examples"
        say(f"{size:,} training {unit}, {steps:,} steps an epoch, results in {self.folder}/")
        with training.precision(config.precision):
            model = task.compiled(config.epochs * steps)
        say(f"{model.count_params():,} parameters")
        write_json(self.folder / "config.json", dataclasses.asdict(config))
        self._write_assets(task)
        (self.folder / "run.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "evaluation", ignore_errors=True)  # of the training before
        state = training.fit(
            model, batches, dev, config, self.folder, steps, task.monitor, self._fingerprint(task, size), say
        )
        facts = {
            "source": self.corpus.source,
            "splits": {name: task.size(examples) for name, examples in self.corpus.splits.items()},
            "dev_cut_from_train": self.corpus.dev_from_train,
            "best_epoch": state.best_epoch,
            "epochs": len(state.history),
            "steps": state.step,
            "seconds": round(state.seconds, 1),
            "machine": cards.machine(),
            "command": self._command(preset, assignments),
        }
        write_json(self.folder / "run.json", facts)
        self.export(self.folder / "export")
        shutil.rmtree(self.folder / "checkpoint", ignore_errors=True)
        for path in self.folder.glob("*.symbols"):
            path.unlink()
        return task

    def _command(self, preset, assignments) -> str:
        parts = [f"make train TASK={self.name}", self.data and f"DATA={self.data}", preset and f"PRESET={preset}"]
        settings = " ".join(assignments)
        return " ".join(filter(None, [*parts, settings and f'SET="{settings}"']))

    def _fingerprint(self, task: Task, size: int) -> str:
        config = {k: v for k, v in dataclasses.asdict(task.config).items() if k != "checkpoint_seconds"}
        facts = json.dumps([self.corpus.source, size, task.assets, config])
        return hashlib.sha256(facts.encode()).hexdigest()

    def _write_assets(self, task: Task) -> None:
        folder = self.folder / "assets"
        folder.mkdir(parents=True, exist_ok=True)
        for name, lines in task.assets.items():
            write_json(folder / f"{name}.json", lines)

    # Export -------------------------------------------------------------------------------------------------------

    def trained(self) -> Task:
        """The task as it was trained, from the run's folder."""
        if not (self.folder / "run.json").is_file():
            raise ZooError(
                f"{self.folder}: no finished training; first: make train TASK={self.name}"
                + (f" DATA={self.data}" if self.data else "")
            )
        values = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        config = configure(self.task_class.Config, {"run": {}}, "run", as_assignments(values))
        assets = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in (self.folder / "assets").glob("*.json")}
        return self.task_class(config, assets)

    def model(self):
        """The task and its trained Keras model in float32, as it is exported."""
        task = self.trained()
        with training.precision("float32"):
            model = task.build()
        training.load_weights(model, self.folder / "best.npz")
        task.finish(model)
        return task, model

    def export(self, target: pathlib.Path, facts: dict | None = None) -> pathlib.Path:
        """Write the SavedModel with its card to `target`, whole or not at all."""
        task, model = self.model()
        with serving.new_folder(target) as folder:
            serving.write_saved_model(task.signatures(model), task.resources, folder)
            cards.write(self._card(task, model, target, folder, facts or {}), folder)
        return target

    def _card(self, task, model, target, folder, facts) -> dict:
        entry = next(e for e in tasks() if e.name == self.name)
        files = serving.inventory(folder)
        run = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        data = {
            "source": run.pop("source"),
            "splits": run.pop("splits"),
            "dev_cut_from_train": run.pop("dev_cut_from_train"),
        }
        metrics = {}
        for split in ("dev", "test"):
            path = self.folder / "evaluation" / split / "report.json"
            if path.is_file():
                metrics[split] = json.loads(path.read_text(encoding="utf-8"))
        config = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        return {
            "task": self.name,
            "version": int(target.name) if target.name.isdigit() else 0,
            "shape": entry.shape,
            "summary": entry.summary,
            "intended_use": facts.get("intended_use", task.intended_use),
            "limits": facts.get("limits", list(task.limits)),
            "architecture": facts.get("architecture", architecture(model)),
            "parameters": int(model.count_params()),
            "bytes": sum(size for size, _ in files.values()),
            **{
                key: list(lines)
                for key, lines in task.assets.items()
                if key in ("labels", "languages", "symbols", "types", "durations", "meters")
            },
            **({"options": task.options} if task.options else {}),
            "data": {**data, **facts.get("data", {"licence": "that of the data it was trained on"})},
            "metrics": metrics,
            "published": facts.get("published", []),
            "training": {**run, **facts.get("training", {}), "seed": task.config.seed, "config": config},
            "versions": cards.versions(),
            "files": files,
        }

    # Evaluate -----------------------------------------------------------------------------------------------------

    def evaluate(self, split: str = "test", model_path=None) -> dict:
        """Score the run's SavedModel (or the shipped one, or one by path) on raw examples of a split.

        Returns the report without the keys that begin with "_" (`Task.evaluate`), as it is written to report.json.
        """
        exported = self.folder / "export"
        path = model_path or (exported if (exported / serving.CARD).is_file() else self.name)
        model = serving.load(path)
        if model.card["task"] != self.name:
            raise ZooError(f"{path}: a model for {model.card['task']}, not for {self.name}")
        examples = self.corpus.split(split)
        say(f"{model.path} on {split} of {self.corpus.source}")
        with progress() as tick:
            report = self.task_class.evaluate(model, examples, tick, self.corpus.splits.get("train"))
        own = model.path == exported
        folder = self.folder / "evaluation" / (split if own else f"{split}-{'-'.join(model.path.parts[-2:])}")
        data = f" DATA={self.data}" if self.data else ""
        command = f"make evaluate TASK={self.name}{data}" + (f" SPLIT={split}" if split != "test" else "")
        folder.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in report.items() if not key.startswith("_")}
        write_json(folder / "report.json", {"command": command, "model": str(model.path), "report": kept})
        pictures = self.task_class.draw(report, folder, examples)
        self.task_class.show(report)
        say(f"written: {folder / 'report.json'}, {', '.join(p.name for p in pictures)}")
        return kept


def architecture(model) -> str:
    """The layers and their weights, on one line."""
    return "; ".join(
        f"{layer.name} ({layer.__class__.__name__}, {layer.count_params():,})"
        for layer in model.layers
        if layer.count_params()
    )
