"""What `zoo generate` prints and writes."""

from __future__ import annotations

import os
import sys

from zoo.errors import ZooError
from zoo.files import replacing
from zoo.serving import Model
from zoo.text_generator import TextGenerator
from zoo.tune_generator import TuneGenerator

CHARACTERS = 500
TEMPERATURE = 0.8


def generate(model: Model, arguments) -> None:
    """Write with a model as the options say; `ZooError` for those that it has not.

    The seed is told, so that the same can be had again.
    """
    seed = int.from_bytes(os.urandom(3)) if arguments.seed is None else arguments.seed
    options = dict(temperature=TEMPERATURE if arguments.temperature is None else arguments.temperature, seed=seed)
    options |= {name: value for name in ("top_k", "top_p") if (value := getattr(arguments, name)) is not None}
    if isinstance(model, TextGenerator):
        _text(model, arguments, options)
    elif isinstance(model, TuneGenerator):
        _tune(model, arguments, options)
    else:
        raise ZooError(f"{model.path}: a {model.card['task']} model does not generate; use zoo predict")
    if arguments.seed is None:
        print(f"seed: {seed}", file=sys.stderr)


def _refuse(arguments, task: str, *names: str) -> None:
    for name in names:
        if getattr(arguments, name) not in (None, False):
            raise ZooError(f"--{name.replace('_', '-')}: a {task} model has no such option")


def _text(model: TextGenerator, arguments, options) -> None:
    _refuse(arguments, "language", "bars", "meter", "swing", "tempo")
    length = CHARACTERS if arguments.length is None else arguments.length
    if arguments.out:
        text = model.generate(arguments.prompt, length, **options)
        with replacing(arguments.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"written: {arguments.out}")
        return
    pieces = model.stream(arguments.prompt, length, **options)
    print(arguments.prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def _tune(model: TuneGenerator, arguments, options) -> None:
    from zoo import charts, tune_files

    meter = charts.meter_of(_meter(arguments.meter)) if arguments.meter else None
    if arguments.out and arguments.out.suffix:
        raise ZooError(
            f"--out {arguments.out}: expected a name without an ending, for .mid, .musicxml, .txt, .png, .wav"
        )
    tune = model.generate(arguments.prompt, arguments.length, arguments.bars, meter=meter, **options)
    if not tune.events:
        raise ZooError("nothing to write: no prompt, and no events; expected --bars or --length above 0")
    tune.title = f"{options['seed']}" if not arguments.out else arguments.out.name
    print(charts.chart(tune))
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        paths = tune_files.write(tune, arguments.out, arguments.swing, arguments.tempo)
        print(f"written: {', '.join(map(str, paths))}")


def _meter(text: str) -> list[int]:
    beats, slash, unit = text.partition("/")
    if not (slash and beats.isdigit() and unit.isdigit()):
        raise ZooError(f"--meter {text}: expected two numbers, such as 3/4")
    return [int(beats), int(unit)]
