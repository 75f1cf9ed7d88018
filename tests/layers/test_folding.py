"""Folding batch normalisation: the outputs are those of the network as `keras.applications` builds it."""

import keras
import numpy as np
import pytest

from zoo.layers.folding import folded

PICTURES = np.random.default_rng(0).uniform(-1, 1, (2, 75, 75, 3)).astype("float32")


def seasoned(network):
    """Every weight and statistic another: fresh ones would hide a factor that is left out."""
    keras.utils.set_random_seed(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                low, high = (-0.2, 0.2) if "beta" in weight.path or "mean" in weight.path else (0.7, 1.3)
                weight.assign(keras.random.uniform(weight.shape, low, high))
    return network


def normalisations(network):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in network.layers)


@pytest.mark.parametrize(
    "name, left",
    [("MobileNetV2", 0), ("ResNet50", 0), ("EfficientNetB0", 0), ("InceptionV3", 0), ("DenseNet121", 62)],
)
def test_networks_of_keras_applications(name, left):
    make = getattr(keras.applications, name)
    network = seasoned(make(include_top=False, weights=None, input_shape=PICTURES.shape[1:]))
    made, before = folded(network), network(PICTURES).numpy()
    assert normalisations(network) > left == normalisations(made)  # DenseNet has normalisations before convolutions
    np.testing.assert_allclose(made(PICTURES), before, rtol=1e-3, atol=1e-4 * np.abs(before).max())
    assert made.output_shape == network.output_shape and not made.trainable_weights


def test_what_cannot_be_folded_stays():
    x = inputs = keras.Input((12, 12, 3))
    conv = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.Concatenate()([conv, keras.layers.BatchNormalization()(conv)])  # read twice
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, activation="relu")(x))  # not linear
    x = keras.layers.BatchNormalization(axis=1)(keras.layers.Conv2D(4, 3)(x))  # by rows
    x = keras.layers.BatchNormalization(scale=False)(keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(x))
    network = seasoned(keras.Model(inputs, keras.layers.BatchNormalization(center=False)(keras.layers.Conv2D(2, 1)(x))))
    made, pixels = folded(network), np.random.default_rng(1).normal(size=(2, 12, 12, 3)).astype("float32")
    assert (normalisations(network), normalisations(made)) == (5, 3)
    np.testing.assert_allclose(made(pixels), network(pixels), rtol=1e-4, atol=1e-5)
