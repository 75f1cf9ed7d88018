"""The Flickr8k corpus as a folder that `make train TASK=captioning DATA=` takes.

    python recipes/captioning/flickr8k.py ../shared/data/captioning runs/flickr8k

`dev` and `test` have pictures (224 x 224); `train` has features of MobileNetV2, made of pictures of 128 x 128 enlarged
to 224 x 224, as they are and mirrored. Enlarged pictures give other features than sharp ones: the cosine of the pooled
features is 0.75. Of the sharp ones the pooled features were published with the corpus; so those of each picture's grid
are scaled, feature by feature, to have these as their means.
"""

import gzip
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
from zoo import pictures  # noqa: E402
from zoo.layers.grids import GridEncoder  # noqa: E402

SIDE = 224
LIMIT = 3.0  # that a feature is scaled by, at most; what is missing then is added to all places


def sharpened(grid: np.ndarray, pooled: np.ndarray) -> np.ndarray:
    """Grids of features `[pictures, places, features]`, with these means over places, `[pictures, features]`."""
    grid, pooled = grid.astype(np.float32), pooled[:, None]
    grid *= np.minimum(pooled / (grid.mean(1, keepdims=True) + 1e-6), LIMIT)
    return (grid + np.maximum(pooled - grid.mean(1, keepdims=True), 0)).astype(np.float16)


def unpacked(archive: pathlib.Path, names: list[str], folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as file:
        inside = {pathlib.PurePosixPath(name).stem: name for name in file.namelist()}
        for name in names:
            (folder / name).write_bytes(file.read(inside[pathlib.PurePosixPath(name).stem]))


def main(source: pathlib.Path, out: pathlib.Path) -> None:
    flickr, captions = source / "flickr8k", {}
    with gzip.open(flickr / "Flickr8k.token.txt.gz", "rt", encoding="utf-8") as file:
        for line in file:
            name, caption = line.rstrip("\n").split("\t")
            captions.setdefault(name.partition("#")[0], []).append(caption)
    names = {split: (flickr / f"Flickr_8k.{split}Images.txt").read_text().split() for split in ("train", "dev", "test")}
    for split, archive in {
        "dev": "images_devtest_224",
        "test": "images_devtest_224",
        "train": "images_train_128",
    }.items():
        folder = out / split if split != "train" else out / "pictures_of_train"
        unpacked(flickr / f"{archive}.zip", names[split], folder)
        (out / split).mkdir(exist_ok=True)
        prefixes = ("", "mirrored-") if split == "train" else ("",)
        lines = [f"{prefix}{name}\t{text}\n" for prefix in prefixes for name in names[split] for text in captions[name]]
        (out / split / "captions.txt").write_text("".join(lines), encoding="utf-8")

    weights = out / "mobilenet.weights.h5"
    network = source / "cnn" / "mobilenet_v2_1.0_224_uint8.npz"
    subprocess.run([sys.executable, HERE / "mobilenet.py", network, weights], check=True)
    eye = GridEncoder(network="MobileNetV2", weights=str(weights), trainable=False)
    eye.build((None, SIDE, SIDE, 3))
    see = tf.function(lambda images: tf.cast(eye(tf.round(pictures.fit(images, SIDE))), tf.float16))
    with np.load(flickr / "mobilenetv2_pooled_u8.npz", allow_pickle=False) as file:
        rows = {str(name).removesuffix(".jpg"): row for row, name in enumerate(file["ids"])}
        published = 6 * (file["q"] / np.float32(255)) ** 2
    features = np.lib.format.open_memmap(out / "grids.npy", "w+", np.float16, (2 * len(names["train"]), 49, 1280))
    for start in range(0, len(names["train"]), 50):
        some = names["train"][start : start + 50]
        images = np.stack([pictures.load(out / "pictures_of_train" / name) for name in some])
        pooled = published[[rows[name.removesuffix(".jpg")] for name in some]]
        for place, given in ((start, images), (len(names["train"]) + start, images[:, :, ::-1])):
            features[place : place + len(some)] = sharpened(see(given).numpy(), pooled)
        print(f"\rfeatures of {start + len(some):,} of {len(names['train']):,} pictures", end="", flush=True)
    every = [prefix + name for prefix in ("", "mirrored-") for name in names["train"]]
    np.savez(out / "train" / "features.npz", names=np.array(every), features=features)
    (out / "grids.npy").unlink()
    print(f"\nwritten: {out}")
    print(f'next: make train TASK=captioning DATA={out} PRESET=flickr8k SET="encoder_weights={weights}"')


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
