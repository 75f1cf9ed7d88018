"""Batch normalisation of a network that is not trained, put into the convolutions before it: `folded`."""

from __future__ import annotations

import collections

import keras
import numpy as np

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def folded(network: keras.Model) -> keras.Model:
    """A functional model with the same outputs for prediction, without the batch normalisation after convolutions.

    With constant statistics it multiplies and shifts the channels of what the convolution gives, so its factors can be
    in the kernel, and its shifts in the bias; TensorFlow does it in passes over memory that take as long as the
    convolutions do. It is left where a convolution has an activation, is used twice, or is of a kind that is not known.

    The layers that stay as they are belong to both models.
    """
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    readers = collections.Counter(id(tensor) for layer in layers for tensor in keras.tree.flatten(layer.input))
    readers.update(id(tensor) for tensor in network.outputs)
    convolutions = {id(layer.output): layer for layer in layers if _linear(layer)}
    pairs = {}  # names of convolutions and of the normalisations after them
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.axis in (-1, len(layer.input.shape) - 1):
            convolution = convolutions.get(id(layer.input))
            if convolution is not None and readers[id(layer.input)] == 1:
                pairs[convolution.name] = layer
    dropped = {layer.name for layer in pairs.values()}

    def clone(layer):
        if layer.name in dropped:
            return keras.layers.Identity(name=layer.name)
        if layer.name not in pairs:
            return layer
        return type(layer).from_config({**layer.get_config(), "use_bias": True})

    def call(layer, *inputs, **options):
        return inputs[0] if isinstance(layer, keras.layers.Identity) else layer(*inputs, **options)

    made = keras.models.clone_model(network, clone_function=clone, call_function=call)
    for name, normalisation in pairs.items():
        kernel, bias = _folded(network.get_layer(name), normalisation)
        made.get_layer(name).set_weights([kernel, bias])
    made.trainable = False
    return made


def _linear(layer) -> bool:
    return type(layer) in CONVOLUTIONS and layer.activation is keras.activations.linear


def _folded(convolution, normalisation) -> tuple[np.ndarray, np.ndarray]:
    array = keras.ops.convert_to_numpy
    kernel, *bias = convolution.get_weights()
    factor = 1 / np.sqrt(array(normalisation.moving_variance) + normalisation.epsilon)
    factor *= array(normalisation.gamma) if normalisation.scale else 1.0
    shift = array(normalisation.beta) if normalisation.center else 0.0
    bias = ((bias[0] if bias else 0.0) - array(normalisation.moving_mean)) * factor + shift
    by_channel = factor.reshape(kernel.shape[2:]) if isinstance(convolution, keras.layers.DepthwiseConv2D) else factor
    return kernel * by_channel, bias
