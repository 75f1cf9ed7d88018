"""From a picture to a grid of vectors: `GridEncoder`."""

from __future__ import annotations

import keras
from keras import ops

from zoo.layers.frames import network as application_network

MOMENTUM = 0.95  # of the statistics: trainings are short


@keras.saving.register_keras_serializable("zoo")
class GridEncoder(keras.layers.Layer):
    """A convolutional network without its top: a vector for each place of a picture (Xu et al. 2015).

    Args:
        filters: of the built-in network's convolutions, each of which halves the picture, with batch normalisation
            after it. It is told where a place is by two channels of coordinates (Liu et al. 2018): a sentence says
            "left" and "above".
        network: in place of the built-in one, a network of `keras.applications`.
        weights: of that network: None, "imagenet", or a file, as `keras.applications` takes them.
        trainable: False freezes that network.

    Inputs: pictures `[batch, height, width, 3]` of one known size, 0 to 255.
    Output: `[batch, places, features]`, row by row; `grid` has the numbers of rows and columns.

    Raises:
        ValueError: for an unknown network.
    """

    def __init__(self, filters=(32, 64, 128), network=None, weights=None, trainable=True, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.network, self.given_weights, self.frozen = tuple(filters), network, weights, not trainable
        self.base, self.convolutions, self.norms, self.grid = None, [], [], None

    def build(self, input_shape):
        shape = (None, *input_shape[1:3], 3)
        if self.network:
            options = (self.network, shape[1:], self.given_weights, not self.frozen)
            self.base, self._preprocess = application_network(*options)
            shape = self.base.output_shape
        else:
            options = dict(strides=2, padding="same", use_bias=False, kernel_initializer="he_normal")
            shape = (*shape[:3], 5)
            for i, filters in enumerate(self.filters):
                name = f"convolution_{i}"
                layer = keras.layers.Conv2D(filters, 3 if i else 5, name=name, dtype=self.dtype_policy, **options)
                layer.build(shape)
                self.convolutions.append(layer)
                shape = layer.compute_output_shape(shape)
                norm = keras.layers.BatchNormalization(momentum=MOMENTUM, name=f"norm_{i}", dtype=self.dtype_policy)
                norm.build(shape)
                self.norms.append(norm)
        self.grid, self.features = tuple(shape[1:3]), shape[3]

    def call(self, pictures, training=False):
        x = ops.cast(pictures, "float32")
        if self.base:
            x = self.base(self._preprocess(x), training=training and not self.frozen)
        else:
            batch, rows, columns = ops.shape(x)[0], *x.shape[1:3]
            y, z = ops.meshgrid(ops.linspace(-1.0, 1.0, rows), ops.linspace(-1.0, 1.0, columns), indexing="ij")
            places = ops.broadcast_to(ops.stack([y, z], -1), (batch, rows, columns, 2))
            x = ops.concatenate([x / 127.5 - 1.0, places], -1)
            for convolution, norm in zip(self.convolutions, self.norms, strict=True):
                x = ops.relu(norm(convolution(x), training=training and not self.frozen))
        return ops.reshape(x, (-1, self.grid[0] * self.grid[1], self.features))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.grid[0] * self.grid[1], self.features)

    def get_config(self):
        config = {**super().get_config(), "filters": self.filters, "network": self.network}
        return {**config, "trainable": not self.frozen}
