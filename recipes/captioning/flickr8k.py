"""The Flickr8k corpus as a folder that `make train TASK=captioning DATA=` takes: pictures, captions, split lists.

    python recipes/captioning/flickr8k.py ../shared/data/captioning/flickr8k runs/flickr8k
"""

import gzip
import pathlib
import sys
import zipfile


def main(source: pathlib.Path, out: pathlib.Path) -> None:
    images = out / "images"
    images.mkdir(parents=True, exist_ok=True)
    for archive in sorted(source.glob("images_*.zip")):
        with zipfile.ZipFile(archive) as file:
            for name in file.namelist():
                if not name.endswith("/"):
                    stem = pathlib.PurePosixPath(name).name
                    (images / (stem if stem.endswith(".jpg") else f"{stem}.jpg")).write_bytes(file.read(name))
    for lists in source.glob("Flickr_8k.*Images.txt"):
        (out / lists.name).write_bytes(lists.read_bytes())
    with gzip.open(source / "Flickr8k.token.txt.gz", "rb") as file:
        (out / "Flickr8k.token.txt").write_bytes(file.read())
    print(f"written: {out} ({sum(1 for _ in images.iterdir()):,} pictures)")
    print(f"next: make train TASK=captioning DATA={out} PRESET=flickr8k")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
