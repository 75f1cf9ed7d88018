"""Step 3 of the recipe: more training examples, for the setting `extra`.

- Pseudo-labelled reviews: the classifier of step 2 and a bag of bigrams with naive Bayes weights, both trained on the
  training reviews without dev, label the unlabelled reviews. Their probabilities are averaged, and the surest reviews
  kept (self-training, Yarowsky 1995; with two views of the text, as in co-training, Blum & Mitchell 1998).
- Pieces: one to three sentences from the beginning and from the end of every training review, with the review's label.
  Without them the classifier is lost on a text of one sentence, which no review is.

python recipes/sentiment/more_examples.py --data ../shared/data/sentiment/imdb --model runs/sentiment/imdb-.../export \\
    --out runs/pretrain/imdb
"""

import argparse
import csv
import gzip
import pathlib
import random
import re
import sys

import numpy as np

from zoo import cli

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of train.csv.gz and unlabelled.csv.gz")
    parser.add_argument("--model", required=True, help="SavedModel of step 2")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for extra.csv.gz")
    parser.add_argument("--share", type=float, default=0.8, help="of the unlabelled reviews, the surest, to keep")
    arguments = parser.parse_args()
    cli.quiet_import()
    import zoo
    from benchmarks.sentiment import BagOfBigrams
    from tasks.sentiment import Sentiment
    from zoo import data, files

    corpus = data.open_corpus(Sentiment, str(arguments.data))
    train, dev = (list(zip(*corpus.strings(split, "text", "label"), strict=True)) for split in ("train", "dev"))
    bag = BagOfBigrams([text for text, _ in train], np.array([label == "positive" for _, label in train]))
    model = zoo.load(arguments.model)

    def positive(texts: list[str]) -> np.ndarray:
        probabilities = model.batched("probabilities", texts)["probabilities"][:, 1]
        return (probabilities + bag.probability(texts)) / 2

    right = (positive([text for text, _ in dev]) > 0.5) == np.array([label == "positive" for _, label in dev])
    print(f"both teachers together on dev: {right.mean():.4f}", flush=True)
    known = {text for text, _ in train + dev}  # some stand among the unlabelled ones too
    rows = files.table(arguments.data / "unlabelled.csv.gz", ("text",))
    unlabelled = [text for text in dict.fromkeys(row[0] for _, row in rows) if text not in known]
    p = positive(unlabelled)
    sure = np.argsort(-np.abs(p - 0.5), kind="stable")[: int(arguments.share * len(p))]
    examples = [(unlabelled[i], "positive" if p[i] > 0.5 else "negative") for i in sorted(sure)]
    print(f"{len(examples):,} pseudo-labelled reviews, {np.mean(p[sure] > 0.5):.1%} positive")
    draw = random.Random(1)
    short = [(piece, label) for text, label in train for piece in pieces(text, draw)]
    print(f"{len(short):,} beginnings and ends")
    path = arguments.out / "extra.csv.gz"
    with files.replacing(path) as temporary, gzip.open(temporary, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(examples + short)
    print(f"written: {path}")


def pieces(text: str, draw: random.Random) -> list[str]:
    """One to three sentences from the beginning of a review, and from its end; nothing of one of fewer than six."""
    sentences = [s for s in re.split(r"(?:<br />)+|(?<=[.!?])\s+", text) if len(s.split()) > 2]
    if len(sentences) < 6:
        return []
    return [" ".join(sentences[: draw.randint(1, 3)]), " ".join(sentences[-draw.randint(1, 3) :])]


if __name__ == "__main__":
    main()
