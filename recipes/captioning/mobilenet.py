"""Quantised MobileNetV2 weights (TensorFlow Lite's, as arrays) -> weights of the network in `keras.applications`.

    python recipes/captioning/mobilenet.py ../shared/data/captioning/cnn/mobilenet_v2_1.0_224_uint8.npz \
        runs/mobilenet.weights.h5 [--name PICTURE ...]

Batch normalisation is folded into the quantised kernels; the network keeps its layers for it, as identities with the
biases. With `--name` the pictures are named by the ImageNet head: the proof that the weights are in their places.
"""

import argparse
import pathlib
import sys

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
from zoo import pictures

SIDE = 224


def kernel(arrays, number: int) -> np.ndarray:
    scale, zero = arrays[f"q{number:02}"]
    return ((arrays[f"w{number:02}"].astype(np.float32) - zero) * scale).astype(np.float32)


def network(arrays):
    """The network without its head, and the head: a matrix and a bias."""
    net = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
    numbers = [int(row[1]) for row in arrays["plan"] if row[0] in ("conv", "dept")]
    layers = [layer for layer in net.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D))]
    norms = [layer for layer in net.layers if isinstance(layer, keras.layers.BatchNormalization)]
    *numbers, head = numbers
    for number, layer, norm in zip(numbers, layers, norms, strict=True):
        layer.set_weights([kernel(arrays, number)])
        bias = arrays[f"b{number:02}"].astype(np.float32)
        norm.set_weights([np.ones_like(bias), bias, np.zeros_like(bias), np.full_like(bias, 1 - norm.epsilon)])
    return net, kernel(arrays, head)[0, 0], arrays[f"b{head:02}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arrays", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path, help="weights file, .weights.h5")
    parser.add_argument("--name", nargs="+", default=[], metavar="PICTURE", help="say what is on these pictures")
    arguments = parser.parse_args()
    with np.load(arguments.arrays, allow_pickle=False) as file:
        net, matrix, bias = network(dict(file))
    net.save_weights(arguments.out)
    print(f"written: {arguments.out} ({net.count_params():,} weights)")
    if arguments.name:
        labels = (arguments.arrays.parent / "imagenet_labels.txt").read_text().splitlines()
        images = np.concatenate([pictures.fit(pictures.load(path)[None], SIDE) for path in arguments.name])
        features = net.predict(images / 128 - 1, verbose=0).mean((1, 2))
        for path, logits in zip(arguments.name, features @ matrix + bias, strict=True):
            p = np.exp(logits - logits.max())
            best = np.argsort(-p)[:3]
            print(f"{pathlib.Path(path).name}: {', '.join(f'{labels[i]} {p[i] / p.sum():.2f}' for i in best)}")


if __name__ == "__main__":
    main()
