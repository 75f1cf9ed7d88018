"""Step 3 of the recipe: label the unlabelled reviews by two teachers, and keep those that they are sure of.

The teachers are the classifier of step 2 and a bag of bigrams with naive Bayes weights, both trained on the training
reviews without dev. Their probabilities are averaged; the surest of the unlabelled reviews become more training data,
the setting `extra` (self-training, Yarowsky 1995; with two views of the text, as in co-training, Blum & Mitchell 1998).

python recipes/sentiment/pseudo_label.py --data ../shared/data/sentiment/imdb --model runs/sentiment/imdb-.../export \
    --out runs/pretrain/imdb/pseudo.csv.gz
"""

import argparse
import csv
import gzip
import pathlib
import sys

import numpy as np

from zoo import cli

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of train.csv.gz and unlabelled.csv.gz")
    parser.add_argument("--model", required=True, help="SavedModel of step 2")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="CSV file to write, .csv.gz")
    parser.add_argument("--share", type=float, default=0.8, help="of the unlabelled reviews, the surest, to keep")
    arguments = parser.parse_args()
    cli.quiet_import()
    import tensorflow as tf

    import zoo
    from benchmarks.sentiment import BagOfBigrams
    from zoo import data, files

    texts, labels = files.labelled_table(arguments.data / "train.csv.gz")
    held_out = data.in_dev(tf.constant(texts)).numpy()
    rows = list(zip(texts, labels, strict=True))
    train = [row for row, out in zip(rows, held_out, strict=True) if not out]
    dev = [row for row, out in zip(rows, held_out, strict=True) if out]
    bag = BagOfBigrams([text for text, _ in train], np.array([label == "pos" for _, label in train]))
    model = zoo.load(arguments.model)

    def positive(texts: list[str]) -> np.ndarray:
        probabilities = model.batched("probabilities", texts)["probabilities"][:, 1]
        return (probabilities + bag.probability(texts)) / 2

    right = (positive([text for text, _ in dev]) > 0.5) == np.array([label == "pos" for _, label in dev])
    print(f"both teachers together on dev: {right.mean():.4f}")
    known = set(texts)  # some stand among the unlabelled ones too
    rows = files.table(arguments.data / "unlabelled.csv.gz", ("text",))
    unlabelled = [text for text in dict.fromkeys(row[0] for _, row in rows) if text not in known]
    p = positive(unlabelled)
    sure = np.argsort(-np.abs(p - 0.5), kind="stable")[: int(arguments.share * len(p))]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(arguments.out, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((unlabelled[i], "pos" if p[i] > 0.5 else "neg") for i in sorted(sure))
    print(f"{len(sure):,} reviews, {np.mean(p[sure] > 0.5):.1%} positive: {arguments.out}")


if __name__ == "__main__":
    main()
