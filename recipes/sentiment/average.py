"""Step 6 of the recipe: a weighted mean of the weights before and after the last epoch (Wortsman et al. 2022).

Replaces the weights of the run and exports it anew.

python recipes/sentiment/average.py --data ../shared/data/sentiment/imdb --before runs/pretrain/imdb/classifier
"""

import argparse
import pathlib

from zoo import cli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="DATA of the run")
    parser.add_argument("--before", type=pathlib.Path, required=True, help="folder of the run that it started from")
    parser.add_argument("--share", type=float, default=0.25, help="of the weights after it")
    arguments = parser.parse_args()
    cli.quiet_import()
    from zoo import training
    from zoo.run import Run

    run = Run("sentiment", arguments.data)
    model = run.trained().build()
    training.load_weights(model, arguments.before / "best.npz")
    before = model.get_weights()
    training.load_weights(model, run.folder / "best.npz")
    model.set_weights([a + arguments.share * (b - a) for a, b in zip(before, model.get_weights(), strict=True)])
    training.save_weights(model, run.folder / "best.npz")
    print(f"written: {run.export(run.folder / 'export')}")


if __name__ == "__main__":
    main()
