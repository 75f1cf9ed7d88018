"""One recording (or match) left out at a time: gesture phases and tennis shots, from the joints of a body.

python recipes/video/left_out.py gesture ../shared/data/video/gesture_phase
python recipes/video/left_out.py tennis  ../shared/data/video/tennis_pose

For each of them a model is trained on all others, of which an eighth is dev, and scored on the one left out, once. The
configuration is the same for all; results are printed and kept in runs/left_out/<corpus>.json.
"""

import argparse
import json
import pathlib

import numpy as np

from zoo import cli

JOINTS = ("left_hand", "right_hand", "left_wrist", "right_wrist", "head", "spine")
PIECE = 96  # frames of a recording that go to train or to dev together
SETTINGS = {
    "gesture": "window=9 encoder_units=128 units=96 dropout=0.4 epochs=30 batch_size=8 learning_rate=0.003 warp=0.2 "
    "averaging=0.99 patience=0 class_weights=0.5",
    "tennis": "window=5 encoder_units=64 units=64 dropout=0.4 epochs=20 batch_size=32 learning_rate=0.003 warp=0.2 "
    "averaging=0.99 patience=0",
}


def gesture(folder: pathlib.Path) -> dict[str, list]:
    """Recording -> one clip: joints relative to the spine and how fast they move, and labels.

    Both are in units of their spread in the recording: persons sit at different places.
    """
    table = np.load(folder / "gesture_phase.npz", allow_pickle=False)
    columns = table["raw_columns"].tolist()
    groups = {}
    for name in sorted(key.removesuffix("_raw") for key in table.files if key.endswith("_raw")):
        joints = {
            joint: table[f"{name}_raw"][:, [columns.index(f"{joint}_{axis}") for axis in "xyz"]] for joint in JOINTS
        }
        places = np.concatenate([joints[joint] - joints["spine"] for joint in JOINTS[:-1]], 1)
        parts = [(part - part.mean(0)) / part.std(0) for part in (places, np.gradient(places, axis=0))]
        groups[name] = [(np.concatenate(parts, 1), table[f"{name}_label"])]
    return groups


def tennis(folder: pathlib.Path) -> dict[str, list]:
    """Match -> windows of a second, with the shot at every frame."""
    table = np.load(folder / "tennis_shots.npz", allow_pickle=False)
    rows = list(zip(table["match"].tolist(), table["x"].astype(np.float32), table["label"], strict=True))
    return {
        match: [(x, np.repeat(label, len(x))) for m, x, label in rows if m == match]
        for match in sorted({m for m, *_ in rows})
    }


def write(folder: pathlib.Path, groups: dict[str, list], left_out: str) -> pathlib.Path:
    """The clips as files: train, dev (every eighth piece) and test."""
    for name, clips in groups.items():
        pieces = [(x, y, 0) for x, y in clips] if name == left_out else list(cut(clips))
        for i, (x, y, start) in enumerate(pieces):
            split = folder / ("test" if name == left_out else "dev" if i % 8 == 7 else "train")
            split.mkdir(parents=True, exist_ok=True)
            np.savez(split / f"{name}-{i}-{start}.npz", features=x, labels=y)
    return folder


def cut(clips: list):
    for x, y in clips:
        for start in range(0, len(x), PIECE):
            yield x[start : start + PIECE], y[start : start + PIECE], start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=SETTINGS)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--set", action="append", default=[], help="other settings, as of zoo train")
    arguments = parser.parse_args()
    cli.quiet_import()
    from zoo import tables
    from zoo.run import Run

    groups = {"gesture": gesture, "tennis": tennis}[arguments.corpus](arguments.source)
    home = pathlib.Path("runs/left_out")
    reports = {}
    for name in groups:
        data = write(home / arguments.corpus / name, groups, name)
        run = Run("video", str(data), home)
        run.train("base", [*SETTINGS[arguments.corpus].split(), *arguments.set])
        reports[name] = run.evaluate("test")
    (home / f"{arguments.corpus}.json").write_text(json.dumps(reports, indent=1) + "\n")
    measures = ("accuracy", "macro_f1", "edit", "f1_50", "segment_accuracy")
    rows = [[name, report["frames"], *(report[measure] for measure in measures)] for name, report in reports.items()]
    weights = [row[1] for row in rows]
    means = [float(np.average([row[i] for row in rows], weights=weights)) for i in range(2, len(measures) + 2)]
    columns = ["", "frames", *(measure.replace("_", " ").replace("accuracy", "acc.") for measure in measures)]
    tables.print_table("left out", columns, [*rows, ["mean by frames", sum(weights), *means]])


if __name__ == "__main__":
    main()
