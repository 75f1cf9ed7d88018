"""GRID speaker 1 as clips that the zoo reads: a `.npz` for each, with its frames and the word spoken at every frame.

python recipes/video/grid.py ../shared/data/video/grid_s1 runs/grid
"""

import argparse
import io
import pathlib
import zipfile

import numpy as np
from PIL import Image

ROWS, COLUMNS = 5, 15  # of a strip: a clip's frames, row by row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="folder with strips.zip and labels.npz")
    parser.add_argument("target", type=pathlib.Path, help="receives train/, dev/ and test/")
    arguments = parser.parse_args()
    table = np.load(arguments.source / "labels.npz", allow_pickle=False)
    rows = zip(table["ids"], table["frame_labels"], table["n_frames"], table["split"], strict=True)
    with zipfile.ZipFile(arguments.source / "strips.zip") as strips:
        for name, labels, count, split in rows:
            folder = arguments.target / str(split)
            folder.mkdir(parents=True, exist_ok=True)
            frames = tiles(strips.read(f"{name}.jpg"))[:count]
            np.savez_compressed(folder / f"{name}.npz", frames=frames, labels=table["vocab"][labels[:count]])
    for folder in sorted(arguments.target.iterdir()):
        print(f"{folder}: {len(list(folder.glob('*.npz')))} clips")


def tiles(strip: bytes) -> np.ndarray:
    """The frames on a strip, uint8 `[75, 40, 64]`."""
    sheet = np.asarray(Image.open(io.BytesIO(strip)).convert("L"))
    height, width = sheet.shape[0] // ROWS, sheet.shape[1] // COLUMNS
    return sheet.reshape(ROWS, height, COLUMNS, width).swapaxes(1, 2).reshape(-1, height, width)


if __name__ == "__main__":
    main()
