"""Reports as tables in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


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
