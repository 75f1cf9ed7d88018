"""Reports as tables in a terminal."""

from __future__ import annotations

import zlib

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = ("green", "magenta", "blue", "dark_orange", "red", "cyan")
FEW = 20  # classes that a table shows one by one
USUAL = {"PER": 0, "LOC": 1, "ORG": 2, "MISC": 3}  # others take what their name falls on


def print_table(title: str, columns: list[str], rows: list[list], console: Console | None = None) -> None:
    """A table whose columns after the first are right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row))
    (console or Console()).print(table)


def classification(report: dict) -> None:
    """What `zoo.scoring.classification` found."""
    low, high = report["accuracy_95"]
    rows = [
        ["accuracy", f"{report['accuracy']:.4f}  (95%: {low:.4f} to {high:.4f})"],
        ["macro F1", report["macro_f1"]],
        ["log loss (nats)", report["log_loss"]],
        ["calibration error", report["calibration_error"]],
        ["examples", report["examples"]],
    ]
    print_table("scores", ["measure", "value"], rows)
    classes = report["classes"]
    per_class = [[name, c["precision"], c["recall"], c["f1"], c["examples"]] for name, c in classes.items()]
    print_table("by class", ["class", "precision", "recall", "F1", "examples"], per_class)
    confusion = [[f"true {name}", *row] for name, row in zip(classes, report["confusion"], strict=True)]
    print_table("confusion", ["", *classes], confusion)
    calibration = [[f"{c['confidence']:.3f}", c["accuracy"], c["count"]] for c in report["calibration"]]
    print_table("calibration", ["confidence", "accuracy", "examples"], calibration)
    lengths = [[row["words"], row["accuracy"], row["examples"]] for row in report["by_length"]]
    print_table("by length", ["words", "accuracy", "examples"], lengths)


def entities(report: dict) -> None:
    """What `zoo.scoring.entities` found."""
    low, high = report["f1_95"]
    rows = [
        ["entity F1 (seqeval, strict)", f"{report['f1']:.4f}  (95%: {low:.4f} to {high:.4f})"],
        ["precision", report["precision"]],
        ["recall", report["recall"]],
        ["token accuracy", report["token_accuracy"]],
        ["calibration error of confidences", report["calibration_error"]],
        ["sentences / tokens", f"{report['sentences']:,} / {report['tokens']:,}"],
    ]
    print_table("scores", ["measure", "value"], rows)
    classes = [[n, c["precision"], c["recall"], c["f1"], c["entities"]] for n, c in report["classes"].items()]
    print_table("by type", ["type", "precision", "recall", "F1", "entities"], classes)
    names = list(report["confusion"])
    confusion = [[f"true {name}", *report["confusion"][name].values()] for name in names]
    print_table("types of entities that overlap", ["", *names], confusion)
    print_table("errors", ["kind", "entities"], [[kind, n] for kind, n in report["errors"].items()])
    if report["novelty"]:
        novelty = [[name, row["recall"], row["entities"]] for name, row in report["novelty"].items()]
        print_table("entities of the training split, and others", ["", "recall", "entities"], novelty)


def highlight(text: str | bytes, entities: list[dict], console: Console | None = None) -> None:
    """A sentence with its entities coloured, each followed by its type and confidence."""
    text, line, place = text.decode("utf-8", "replace") if isinstance(text, bytes) else text, Text(), 0
    for entity in entities:
        label = entity["label"]
        colour = COLOURS[USUAL.get(label, zlib.crc32(label.encode())) % len(COLOURS)]
        line.append(text[place : entity["start"]]).append(text[entity["start"] : entity["end"]], f"bold {colour}")
        line.append(f" {label} {entity['confidence']:.2f}", f"dim {colour}")
        place = entity["end"]
    (console or Console(highlight=False)).print(line.append(text[place:]), soft_wrap=True)


def frames(report: dict) -> None:
    """What `zoo.scoring.frames` found."""
    rows = [
        [title, _with_interval(report, name)]
        for name, title in {
            "accuracy": "frame accuracy",
            "accuracy_foreground": "frame accuracy, without background",
            "macro_f1": "macro F1 of frames",
            "edit": "edit score",
            "f1_10": "segmental F1@10",
            "f1_25": "segmental F1@25",
            "f1_50": "segmental F1@50",
            "segment_error_rate": "segment (word) error rate",
            "segment_error_rate_decoded": "the same, decoded by places",
            "segment_accuracy": "segment accuracy, boundaries given",
            "segment_accuracy_in_place": "the same, among the labels of its place",
            "calibration_error": "calibration error",
        }.items()
        if name in report
    ]
    counts = " / ".join(f"{report[name]:,}" for name in ("clips", "frames", "segments"))
    print_table("scores", ["measure", "value"], [*rows, ["clips / frames / segments", counts]])
    classes, title = [[n, c["precision"], c["recall"], c["f1"], c["frames"]] for n, c in report["classes"].items()], ""
    if len(classes) > FEW:
        ranked = sorted((row for row in classes if row[-1]), key=lambda row: row[3])
        title = f" (of {len(classes)}: F1 lowest, highest)"
        classes = ranked[:10] + ranked[10:][-5:]
    print_table("by class" + title, ["class", "precision", "recall", "F1", "frames"], classes)
    if len(report["classes"]) <= FEW // 2:
        confusion = [[f"true {n}", *row] for n, row in zip(report["classes"], report["confusion"], strict=True)]
        print_table("confusion", ["", *report["classes"]], confusion)
    if "segment_accuracy_by_place" in report:
        places = [
            [f"{row['place']}: {_few(row['labels'])}", len(row["labels"]), row["accuracy"], row["segments"]]
            for row in report["segment_accuracy_by_place"]
        ]
        print_table("by place, boundaries given", ["place", "labels", "accuracy", "segments"], places)
    calibration = [[f"{c['confidence']:.3f}", c["accuracy"], c["count"]] for c in report["calibration"]]
    print_table("calibration", ["confidence", "accuracy", "frames"], calibration)


def _with_interval(report: dict, name: str) -> str:
    interval = "  (95%: {:.4f} to {:.4f})".format(*report[f"{name}_95"]) if f"{name}_95" in report else ""
    return f"{report[name]:.4f}{interval}"


def _few(labels: list[str]) -> str:
    return ", ".join(labels[:4]) + (" ..." if len(labels) > 4 else "")


def timeline(name: str, segments: list, confidences: np.ndarray, console: Console | None = None) -> None:
    """A clip's segments in a terminal: a line for each, and a bar in colours."""
    console = console or Console(highlight=False)
    width, steps = min(80, console.width), len(confidences)
    bar, table = Text(), Table(title=Text(name), title_justify="left", box=None)
    numbers, before = {label: i for i, label in enumerate(dict.fromkeys(segment.label for segment in segments))}, None
    for column in ("frames", "label", "confidence"):
        table.add_column(column)
    for label, start, end in segments:
        colour = COLOURS[numbers[label] % len(COLOURS)]
        if colour == before:  # neighbours differ
            colour = COLOURS[(numbers[label] + 1) % len(COLOURS)]
        before = colour
        bar.append(" " * (round(end * width / steps) - round(start * width / steps)), f"on {colour}")
        table.add_row(f"{start}-{end - 1}", Text(label, colour), f"{confidences[start:end].mean():.2f}")
    console.print(table)
    console.print(bar)


def translation(report: dict) -> None:
    """What `zoo.text_scores.translation` found."""
    names = {"bleu": "BLEU", "chrf": "chrF", "bleu_lowercase": "BLEU, lower case"}
    interval = lambda name: "{:.2f}  (95%: {:.2f} to {:.2f})".format(report[name], *report[f"{name}_95"])
    rows = [
        *([title, interval(name)] for name, title in names.items()),
        ["length ratio", report["length_ratio"]],
        ["exactly the reference", report["exact"]],
        ["sentences", f"{report['sentences']:,}"],
    ]
    print_table("scores", ["measure", "value"], rows)
    lengths = [[r["words"], f"{r['bleu']:.2f}", f"{r['chrf']:.2f}", r["sentences"]] for r in report["by_length"]]
    print_table("by length of the source", ["words", "BLEU", "chrF", "sentences"], lengths)
    if report["searches"]:
        searches = [
            [r["search"], *(cell for m in ("bleu", "chrf") for cell in (f"{r[m]:.2f}", f"{r[f'{m}_p']:.3f}"))]
            for r in report["searches"]
        ]
        print_table("other searches (p: paired bootstrap against the above)", ["", "BLEU", "p", "chrF", "p"], searches)
    for name, title in names.items():
        Console(highlight=False).print(Text(f"{title}: {report[f'{name}_signature']}"), soft_wrap=True)


def captioning(report: dict) -> None:
    """What `zoo.caption_scores.report` found; maybe with `true`, a share of true sentences, and people's agreement."""
    names = {f"bleu_{n}": f"BLEU-{n}" for n in range(1, 5)} | {"rouge_l": "ROUGE-L", "chrf": "chrF", "cider": "CIDEr-D"}
    interval = lambda name: "{:.2f}  (95%: {:.2f} to {:.2f})".format(report[name], *report[f"{name}_95"])
    shares = {
        "true": "true sentences",
        "length_ratio": "length ratio",
        "distinct": "different captions by pictures",
    }
    rows = [
        *([title, interval(name)] for name, title in names.items()),
        *([title, _with_interval(report, name)] for name, title in shares.items() if name in report),
        ["words said", f"{report['vocabulary']:,}"],
        ["pictures", f"{report['pictures']:,}"],
    ]
    print_table("scores", ["measure", "value"], rows)
    if report["searches"]:
        searches = [
            [r["search"], *(cell for m in ("bleu_4", "cider") for cell in (f"{r[m]:.2f}", f"{r[f'{m}_p']:.3f}"))]
            for r in report["searches"]
        ]
        columns = ["", "BLEU-4", "p", "CIDEr-D", "p"]
        print_table("other searches (p: paired bootstrap against the above)", columns, searches)
    if people := report.get("people"):
        line = f"people, one caption against the others: BLEU-4 {people['bleu_4']:.2f}, CIDEr-D {people['cider']:.2f}"
        Console(highlight=False).print(Text(line), soft_wrap=True)


def language(report: dict) -> None:
    """What `zoo.text_likelihood` found."""
    low, high = report["nats_95"]
    rows = [
        ["nats per character", f"{report['nats_per_character']:.4f}  (95%: {low:.4f} to {high:.4f})"],
        ["bits per character", report["bits_per_character"]],
        ["perplexity", report["perplexity"]],
        ["most probable character right", report["accuracy"]],
        ["characters", report["characters"]],
        ["not in the vocabulary", report["unknown"]],
    ]
    if "longest_copied" in report:
        rows.append(["longest run copied from training", report["longest_copied"]])
    print_table("likelihood of the text", ["measure", "value"], rows)
    console = Console()
    console.print(Text("a sample, at temperature 0.8", style="bold"))
    console.print(Text(report["_sample"]))


def jazz(report: dict) -> None:
    """What `zoo.tune_likelihood` found."""
    rows = [
        ["chord, nats an event", report["chord_nats"]],
        ["duration given the chord", report["duration_nats"]],
        ["length of the tune", report["length_nats"]],
        ["all of it", _with_interval(report, "joint_nats")],
        *([f"chord among the best {k}", report[f"chord_top_{k}"]] for k in (1, 3, 5)),
        ["chords taken for plainer ones", report["plainer"]],
        ["tunes, events", f"{report['tunes']}, {report['events']}"],
    ]
    print_table("likelihood of the tunes", ["measure", "value"], rows)
    written = report["written"]
    rows = [
        ["whole bars", written["full_bars"]],
        ["end with a cadence", written["cadence"]],
        ["... by chance", written["cadence_by_chance"]],
        ["... in the corpus", written["cadence_in_corpus"]],
        ["longest run of events copied", written["longest_copied"]],
        ["... median of the tunes", written["longest_copied_median"]],
        *([f"distance from the corpus: {name}", value] for name, value in written["distances"].items()),
    ]
    print_table(f"{written['tunes']} tunes that it wrote, 32 bars each", ["measure", "value"], rows)
