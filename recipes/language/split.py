"""Text to train the final model on: all but the last tenth, which is test.

    python recipes/language/split.py ../shared/data/language/tinyshakespeare/input.txt runs/shakespeare

What is to be decided is decided before, on a training on the text itself, whose dev is the tenth before the last. Here
dev is the end of train: it tells whether training goes well, and nothing else.
"""

import pathlib
import sys

from zoo.text_files import TEST

DEV = 0.05  # of the text


def main(text: str, folder: str) -> None:
    text, folder = pathlib.Path(text).read_text(encoding="utf-8"), pathlib.Path(folder)
    end = int(len(text) * (1 - TEST))
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in (
        ("train", text[:end]),
        ("dev", text[end - int(len(text) * DEV) : end]),
        ("test", text[end:]),
    ):
        (folder / f"{split}.txt").write_text(part, encoding="utf-8")
        print(f"{folder / split}.txt: {len(part):,} characters")
    print(f"next: make train TASK=language DATA={folder} PRESET=shakespeare")


if __name__ == "__main__":
    main(*sys.argv[1:])
