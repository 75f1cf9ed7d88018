"""How much dev flatters: accuracy on dev reviews whose film train has too, and on the others.

Train and test share no film (Maas et al. 2011), but dev is a random tenth of train, whose files keep the reviews of a
film near each other. Here a dev review's film counts as known if the training review that shares most rare capitalised
words with it, weighted by rarity, stands within 60 rows of it.

python recipes/sentiment/films.py --data ../shared/data/sentiment/imdb --model runs/sentiment/imdb-.../export
"""

import argparse
import collections
import math
import pathlib
import re

import numpy as np

from zoo import cli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of train.csv.gz")
    parser.add_argument("--model", required=True, nargs="+", help="SavedModels")
    arguments = parser.parse_args()
    cli.quiet_import()
    import tensorflow as tf

    import zoo
    from zoo import data, files

    texts, labels = files.labelled_table(arguments.data / "train.csv.gz")
    in_dev = data.in_dev(tf.constant(texts)).numpy()
    known = film_known(texts, in_dev)
    dev = [text for text, chosen in zip(texts, in_dev, strict=True) if chosen]
    positive = np.array([label == "pos" for label, chosen in zip(labels, in_dev, strict=True) if chosen])
    print(f"film known: {known.sum():,} of {len(known):,} dev reviews")
    for path in arguments.model:
        right = (zoo.load(path).batched("probabilities", dev)["probabilities"][:, 1] > 0.5) == positive
        print(f"{path}: {right.mean():.4f}; known {right[known].mean():.4f}, not {right[~known].mean():.4f}")


def film_known(texts: list[str], in_dev: np.ndarray, distance: int = 60) -> np.ndarray:
    """For each dev review, whether its film has a training review; bool `[dev reviews]`."""
    names = [set(re.findall(r"\b[A-Z][a-z]{2,}\b", text)) for text in texts]
    counts = collections.Counter(name for found in names for name in found)
    rarity = {name: math.log(len(texts) / count) for name, count in counts.items() if 2 <= count <= 60}
    places = collections.defaultdict(list)
    for row in np.flatnonzero(~in_dev):
        for name in names[row] & rarity.keys():
            places[name].append(row)
    known = []
    for row in np.flatnonzero(in_dev):
        shared = collections.Counter()
        for name in names[row] & rarity.keys():
            for other in places[name]:
                shared[other] += rarity[name]
        best = max(shared, key=shared.get, default=None)
        known.append(best is not None and abs(best - row) <= distance)
    return np.array(known)


if __name__ == "__main__":
    main()
