"""Step 1 of the recipe: a language model on the training and the unlabelled reviews (not on dev, not on test).

python recipes/sentiment/pretrain.py --data ../shared/data/sentiment/imdb --out runs/pretrain/imdb
"""

import argparse
import pathlib

from zoo import cli

PRESETS = {
    "imdb": dict(
        epochs=34, steps=400, batch_size=64, learning_rate=2e-3, schedule="linear", warmup=0.025, decay=0.5,
        precision="mixed_bfloat16", patience=0, seed=1,
    )
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="folder of train.csv.gz and unlabelled.csv.gz")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the encoder")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    cli.quiet_import()
    from tasks.sentiment import Sentiment
    from zoo import data, files, pretraining
    from zoo.config import configure

    config = configure(pretraining.Config, PRESETS, "imdb", arguments.set)
    corpus = data.open_corpus(Sentiment, str(arguments.data))
    (train,), (dev,) = (corpus.strings(split, "text") for split in ("train", "dev"))
    unlabelled = [row[0] for _, row in files.table(arguments.data / "unlabelled.csv.gz", ("text",))]
    pretraining.pretrain(train + unlabelled, dev, config, arguments.out)


if __name__ == "__main__":
    main()
