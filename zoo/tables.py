"""Reports as tables in a terminal."""

from __future__ import annotations

import zlib

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = ("green", "magenta", "blue", "dark_orange", "red", "cyan")
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
