"""The mean of the weights of several runs that started from the same ones (Wortsman et al. 2022).

Replaces the weights of the run and exports it anew.

python recipes/average.py sentiment --data ../shared/data/sentiment/imdb \\
    --others runs/pretrain/imdb/{classifier,adversarial}
"""

import argparse
import pathlib

import numpy as np

from zoo import cli


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help="TASK of the runs")
    parser.add_argument("--data", required=True, help="DATA of the run")
    parser.add_argument("--others", type=pathlib.Path, nargs="+", required=True, help="folders of the other runs")
    arguments = parser.parse_args()
    cli.quiet_import()
    from zoo import training
    from zoo.run import Run

    run = Run(arguments.task, arguments.data)
    model = run.trained().build()
    weights = []
    for folder in (run.folder, *arguments.others):
        training.load_weights(model, folder / "best.npz")
        weights.append(model.get_weights())
    model.set_weights([np.mean(arrays, axis=0) for arrays in zip(*weights, strict=True)])
    training.save_weights(model, run.folder / "best.npz")
    print(f"written: {run.export(run.folder / 'export')}")


if __name__ == "__main__":
    main()
