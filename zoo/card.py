"""The model card: what a model is, what it was trained on, how good it is; as JSON, and the same facts as Markdown."""

from __future__ import annotations

import json
import os
import pathlib
import platform


def machine() -> str:
    """This machine, in words."""
    processor = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{os.cpu_count()} x {processor}, no GPU" if not _gpus() else f"{processor}, {_gpus()} GPU"


def _gpus() -> int:
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def versions() -> dict[str, str]:
    import keras
    import numpy
    import tensorflow

    import zoo

    return {
        "zoo": zoo.__version__,
        "tensorflow": tensorflow.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
    }


def write(card: dict, folder: pathlib.Path) -> None:
    (folder / "model_card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(markdown(card), encoding="utf-8")


def markdown(card: dict) -> str:
    """The card for reading."""
    training, data = card["training"], card["data"]
    lines = [
        f"# {card['task']}, version {card['version']}",
        "",
        f"{card['summary'].capitalize()} ({card['shape']}).",
        "",
        card["intended_use"],
        "",
        *_facts(
            {
                "architecture": card["architecture"],
                "parameters": f"{card['parameters']:,}",
                "size": f"{card['bytes'] / 1e6:.1f} MB",
            }
        ),
        "",
        "## How good it is",
        "",
        *_metrics(card["metrics"]),
        "## What it was trained on",
        "",
        *_facts(data),
        "",
        "## How it was trained",
        "",
        *_facts({k: v for k, v in training.items() if k != "config"}),
        *_facts({"versions": ", ".join(f"{k} {v}" for k, v in card["versions"].items())}),
        *_facts({"configuration": " ".join(f"`{k}={_short(v)}`" for k, v in training["config"].items())}),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in card["limits"]),
    ]
    if card.get("published"):
        lines += ["", "## Beside published figures", "", "| system | score |", "|---|---:|"]
        lines += [f"| {row['system']} | {row['score']} |" for row in card["published"]]
    return "\n".join(lines) + "\n"


def _facts(facts: dict) -> list[str]:
    return [f"- **{name.replace('_', ' ')}**: {_short(value)}" for name, value in facts.items()]


def _short(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)


def _metrics(metrics: dict) -> list[str]:
    if not metrics:
        return ["Not measured yet: `zoo evaluate` does it.", ""]
    lines = []
    for split, entry in metrics.items():
        report = entry["report"]
        plain = {k: v for k, v in report.items() if isinstance(v, (int, float))}
        lines += [f"On **{split}** (`{entry['command']}`):", "", "| measure | value |", "|---|---:|"]
        for name, value in plain.items():
            interval = report.get(f"{name}_95")
            extra = f" (95%: {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
            lines.append(
                f"| {name.replace('_', ' ')} | {value:.4f}{extra} |"
                if isinstance(value, float)
                else f"| {name} | {value:,} |"
            )
        for name, title in (("classes", "class"), ("by_length", None), ("searches", None)):
            lines += _nested(report.get(name), title)
        signatures = {name: f"`{value}`" for name, value in report.items() if name.endswith("_signature")}
        lines += ["", *_facts(signatures), ""] if signatures else [""]
    return lines


def _nested(rows, title) -> list[str]:
    """A table of a report's dictionary of rows, or list of rows."""
    if not rows:
        return []
    if isinstance(rows, dict):
        rows = [{title: name, **values} for name, values in rows.items()]
    head = list(rows[0])
    cells = [[f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    return ["", f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(row)} |" for row in cells)]
