"""The command line: `zoo train|evaluate|export|predict|generate|tune|list|bench|demo`.

TensorFlow is imported by the verbs that need it, so `zoo --help` and `zoo list` answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import pathlib
import sys
import tempfile

from zoo import __version__
from zoo.errors import ZooError, explain
from zoo.task import find, tasks


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    try:
        arguments.verb(arguments)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # the reader has seen enough (zoo predict ... | head)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\nzoo: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        print(f"zoo: error: {line}", file=sys.stderr)
        return 2


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if "input" in arguments:  # argparse before Python 3.12.7 takes no inputs after an option: TASK --model M INPUT
        cut = rest.index("--") if "--" in rest else len(rest)
        if not any(word.startswith("-") for word in rest[:cut]):
            arguments.input += rest[:cut] + rest[cut + 1 :]
            rest = []
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zoo", description="Recurrent sequence models: train, measure, export, use.")
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(name, function, help, task=True, data=True):
        sub = verbs.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(verb=function)
        if task:
            sub.add_argument("task", metavar="TASK", help="a task's name (zoo list)")
        if data:
            sub.add_argument("--data", default="", metavar="DATA", help="TFDS name or path; none: the built-in corpus")
            sub.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs"), help="where results go (runs)")
        return sub

    def configuration(sub):
        sub.add_argument("--preset", default="", help="a preset of the task's configuration (zoo list TASK)")
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a value of it; repeatable")

    configuration(verb("train", _train, "train a task, or go on with a training that was interrupted"))
    sub = verb("evaluate", _evaluate, "score a model on a split, with tables and pictures")
    sub.add_argument("--model", help="a path; none: the run's own model, or else the shipped one")
    sub.add_argument("--split", default="test", choices=("train", "dev", "test"))
    sub = verb("export", _export, "export a trained run to saved_models/TASK/VERSION")
    sub.add_argument("--out", type=pathlib.Path, help="folder of the SavedModel (the next free version)")
    sub.add_argument("--facts", type=pathlib.Path, help="JSON file of facts for the model card: data, published ...")
    sub = verb("predict", _predict, "answer inputs with a model: JSON lines, or in colour in a terminal", data=False)
    sub.add_argument("input", nargs="*", help="texts, or paths to clips or pictures; none: lines of standard input")
    sub.add_argument("--file", type=pathlib.Path, help="a file of inputs, a line each")
    sub.add_argument("--model", help="a path; none: the newest shipped model of the task")
    sub.add_argument("--out", type=pathlib.Path, help="a picture (.png) of the answer; video: or a film (.gif, .mp4)")
    sub.add_argument("--attention", type=pathlib.Path, help="a picture (.png) of what a model with attention looked at")
    sub.add_argument("--beam-width", type=int, help="translation, captioning: hypotheses that the search keeps")
    sub.add_argument("--max-length", type=int, help="translation, captioning: the longest answer, in the model's units")
    sub = verb("generate", _generate, "write with a generator: text, or a tune with its files", data=False)
    sub.add_argument("--prompt", default="", help='what it begins with: text, or chords such as "Dm7:4 G7:4"')
    sub.add_argument("--model", help="a path; none: the newest shipped model of the task")
    sub.add_argument("--length", type=int, help="characters, or events, after the prompt")
    sub.add_argument("--bars", type=int, help="jazz: bars of the whole tune")
    sub.add_argument("--meter", help="jazz: such as 3/4")
    sub.add_argument("--temperature", type=float, help="0: the most probable; 1: as the model has it (0.8)")
    sub.add_argument("--top-k", type=int, help="draw from so many of the most probable only")
    sub.add_argument("--top-p", type=float, help="draw from the fewest that have this probability together")
    sub.add_argument("--seed", type=int, help="the same one gives the same again")
    sub.add_argument(
        "--out", type=pathlib.Path, help="a file for the text; jazz: a name for the files, without an ending"
    )
    sub.add_argument("--swing", action="store_true", help="jazz: swing the eighth notes")
    sub.add_argument("--tempo", type=float, help="jazz: quarter notes a minute")
    sub = verb("tune", _tune, "search for a better configuration with keras-tuner")
    configuration(sub)
    sub.add_argument("--tuner", default="hyperband", help="hyperband, random or bayesian")
    sub.add_argument("--epochs", type=int, default=0, help="epochs of the longest trials")
    sub.add_argument("--trials", type=int, default=20, help="number of trials (random, bayesian)")
    sub = verb("list", _list, "list the tasks, or one task's presets and settings", task=False, data=False)
    sub.add_argument("task", nargs="?", metavar="TASK")
    sub = verb("bench", _bench, "measure speed beside what a user would pick instead")
    sub.add_argument("--out", type=pathlib.Path, help="write the figures as JSON")
    sub = verb("demo", _demo, "try a model in the browser", data=False)
    sub.add_argument("--model", help="a path; none: the newest shipped model of the task")
    return parser


# Verbs ----------------------------------------------------------------------------------------------------------------


def _train(arguments) -> None:
    run = _run(arguments)
    task = run.train(arguments.preset, arguments.set)
    report = run.evaluate("dev")
    data = f" DATA={arguments.data}" if arguments.data else ""
    from zoo.run import say

    say("")
    say(f"trained: {run.folder / 'export'} (a SavedModel), curves in {run.folder / 'curves.png'}")
    if "test" in run.corpus.splits:
        say(f"next: make evaluate TASK={run.name}{data}         # on the test split, which training never saw")
    demo = task.sample(run.corpus.splits["dev"], run.folder)
    if demo and task.streamed:
        say(f'      zoo generate {run.name} --model {run.folder / "export"} --prompt "{demo}"')
    elif demo:
        say(f'      make predict TASK={run.name} MODEL={run.folder / "export"} INPUT="{demo}"')
    say(f"      make export TASK={run.name}{data}           # to saved_models/{run.name}/")
    return report


def _evaluate(arguments) -> None:
    run = _run(arguments)
    run.evaluate(arguments.split, arguments.model)
    data = f" DATA={run.data}" if run.data else ""
    print(f"next: make export TASK={run.name}{data}  (puts these figures on the model card)")


def _export(arguments) -> None:
    run = _run(arguments)
    facts = {}
    if arguments.facts:
        try:
            facts = json.loads(arguments.facts.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ZooError(f"{arguments.facts}: not JSON: {error}") from None
    target = arguments.out or _next_version(pathlib.Path("saved_models") / run.name)
    if target.exists():
        raise ZooError(f"{target}: exists already; expected a new folder")
    run.export(target, facts)
    print(f"written: {target}/ (model card: {target / 'MODEL_CARD.md'})")
    print(f'next: make predict TASK={run.name} MODEL={target} INPUT="{run.task_class.demo or "..."}"')


def _next_version(shelf: pathlib.Path) -> pathlib.Path:
    taken = [int(p.name) for p in shelf.glob("[0-9]*") if p.name.isdigit()]
    return shelf / str(max(taken, default=0) + 1)


def _predict(arguments) -> None:
    find_entry(arguments.task)
    if arguments.file and arguments.input:
        raise ZooError("give inputs or --file, not both")
    with contextlib.ExitStack() as stack:
        if arguments.input:
            lines = iter(arguments.input)
        else:
            source = stack.enter_context(open(arguments.file, "rb")) if arguments.file else sys.stdin.buffer
            lines = (line.rstrip(b"\r\n") for line in source)
        chunk = list(itertools.islice(lines, 256))
        if not chunk:
            raise ZooError(f"{arguments.file or 'standard input'}: empty; expected an input a line")
        model = _load(arguments.model or arguments.task)
        from zoo import tables
        from zoo.clip_model import ClipModel
        from zoo.picture_model import PictureModel

        if model.card["task"] != arguments.task:
            raise ZooError(f"{arguments.model}: a model for {model.card['task']}, not for {arguments.task}")
        options = _options(model, beam_width=arguments.beam_width, max_length=arguments.max_length)
        if isinstance(model, ClipModel):
            if arguments.attention:
                raise ZooError(f"--attention: a {arguments.task} model has none to show")
            _predict_clips(model, itertools.chain(chunk, lines), arguments.out)
            return
        if isinstance(model, PictureModel):
            paths = map(os.fsdecode, itertools.chain(chunk, lines))
            _predict_pictures(model, paths, arguments.out, arguments.attention, options)
            return
        if arguments.out:
            raise ZooError("--out draws clips and pictures; expected a model that takes them")
        if arguments.attention:
            chunk = list(itertools.chain(chunk, lines))  # one has to be the only one
            _draw_attention(model, chunk, arguments.attention)
        while chunk:  # answers begin before the input ends
            for text, answer in zip(chunk, model(chunk, **options), strict=True):
                if sys.stdout.isatty() and "entities" in answer:
                    tables.highlight(text, answer["entities"])
                else:
                    print(json.dumps(answer, ensure_ascii=False))
            sys.stdout.flush()
            chunk = list(itertools.islice(lines, 256))


def _generate(arguments) -> None:
    find_entry(arguments.task)
    model = _load(arguments.model or arguments.task)
    if model.card["task"] != arguments.task:
        raise ZooError(f"{arguments.model}: a model for {model.card['task']}, not for {arguments.task}")
    from zoo import generating

    generating.generate(model, arguments)


def _options(model, **values) -> dict[str, int]:
    """Those that were given, of a model that has them."""
    given = {name: value for name, value in values.items() if value is not None}
    for name in given:
        if name not in model.card.get("options", {}):
            raise ZooError(f"--{name.replace('_', '-')}: this {model.card['task']} model has no such option")
    return given


def _one_picture(option: str, inputs: list, out: pathlib.Path) -> None:
    """Refuse to draw several inputs, or into a file of another kind."""
    if len(inputs) > 1:
        raise ZooError(f"{option} {out}: expected one input to draw, got {len(inputs)}")
    if out.suffix.lower() != ".png":
        raise ZooError(f"{option} {out}: expected a file name that ends in .png")


def _draw_attention(model, inputs, out: pathlib.Path) -> None:
    from zoo import plots

    _one_picture("--attention", inputs, out)
    plots.alignment(*model.attention(inputs[0]), out)
    print(f"written: {out}", file=sys.stderr)


def _predict_pictures(model, paths, out: pathlib.Path | None, attention: pathlib.Path | None, options) -> None:
    """A JSON line for each picture, or its caption in a terminal; and drawings of the only one."""
    from zoo import gallery

    for option, file in {"--out": out, "--attention": attention}.items():
        if file:
            paths = list(paths)  # one has to be the only one
            _one_picture(option, paths, file)
    for path in paths:
        picture = model.picture(path, path)
        answer = model(picture, **options)
        shown = os.fsencode(path).decode("utf-8", "replace")
        line = {"image": shown, **{key: answer[key] for key in ("text", "score")}, **answer}
        plain = f"{shown}: {answer['text']}"
        print(plain if sys.stdout.isatty() else json.dumps(line, ensure_ascii=False), flush=True)
        if out:
            gallery.captioned(picture, answer["text"], out)
            print(f"written: {out}", file=sys.stderr)
        if attention:
            gallery.attention_maps(picture, *model.attention(picture), attention)
            print(f"written: {attention}", file=sys.stderr)


def _predict_clips(model, paths, out: pathlib.Path | None) -> None:
    """A JSON line for each clip, or its segments in a terminal; and a picture or film of the only one."""
    from zoo import clips, film, segments, tables

    paths = map(os.fsdecode, paths)
    paths = list(paths) if out else paths  # one has to be the only one
    if out and len(paths) > 1:
        raise ZooError(f"--out {out}: expected one clip to draw, got {len(paths)}")
    if out and out.suffix.lower() not in film.FORMATS:
        raise ZooError(f"--out {out}: expected a file name that ends in {', '.join(film.FORMATS)}")
    for path in paths:
        clip = clips.load(path, labelled=bool(out))
        answer = model(clip.frames)
        if sys.stdout.isatty():
            tables.timeline(path, segments.segments(answer["labels"]), answer["probabilities"].max(1))
        else:
            probabilities = [[round(p, 4) for p in row] for row in answer["probabilities"].tolist()]
            print(json.dumps({"clip": path, "labels": answer["labels"], "probabilities": probabilities}), flush=True)
        if out:
            film.draw(clip, answer, model.card["labels"], out)
            print(f"written: {out}", file=sys.stderr)


def _tune(arguments) -> None:
    run = _run(arguments)
    from zoo import tuning

    tuning.tune(run, arguments.preset, arguments.set, arguments.tuner, arguments.epochs, arguments.trials)


def _list(arguments) -> None:
    if not arguments.task:
        for entry in tasks():
            print(f"{entry.name:12} {entry.shape:28} {entry.summary}")
        return
    quiet_import()
    import dataclasses

    task = find(arguments.task)
    for name, values in task.presets.items():
        print(f"preset {name}: {' '.join(f'{k}={v}' for k, v in values.items()) or 'the defaults below'}")
    for field in dataclasses.fields(task.Config):
        print(f"  {field.name}={field.default}  ({field.metadata.get('help', '')})")


def _bench(arguments) -> None:
    find_entry(arguments.task)
    checkout = pathlib.Path(__file__).resolve().parent.parent
    script = checkout / "benchmarks" / f"{arguments.task}.py"
    if not script.is_file():
        raise ZooError(f"{script}: not found; benchmarks come with a checkout of the project, not with the package")
    quiet_import()
    import importlib

    sys.path.insert(0, str(checkout))
    importlib.import_module(f"benchmarks.{arguments.task}").main(arguments)


def _demo(arguments) -> None:
    find_entry(arguments.task)
    quiet_import()
    from zoo import demo

    demo.page(arguments.model or arguments.task, find(arguments.task).demo).launch()


# Helpers --------------------------------------------------------------------------------------------------------------


def find_entry(name: str) -> None:
    """Refuse an unknown task before TensorFlow is imported."""
    names = [entry.name for entry in tasks()]
    if name not in names:
        raise ZooError(f"unknown task {name!r}; there are: {', '.join(names)}")


def _run(arguments):
    find_entry(arguments.task)
    quiet_import()
    from zoo.run import Run

    return Run(arguments.task, arguments.data, arguments.runs)


def _load(name):
    quiet_import()
    from zoo import serving

    return serving.load(name)


def quiet_import() -> None:
    """Import TensorFlow without its start-up chatter, which its C++ writes to stderr whatever the log level."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            chatter.seek(0)
            os.write(kept, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
