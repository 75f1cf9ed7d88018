"""From pictures to vectors, frame by frame: `FrameEncoder`."""

from __future__ import annotations

import inspect

import keras
from keras import ops

from zoo.layers.folding import folded


def application(name: str):
    """The constructor of that name in `keras.applications`, and its `preprocess_input`; ValueError if there is none."""
    make = getattr(keras.applications, name, None)
    if not callable(make):
        there = sorted(n for n in dir(keras.applications) if callable(getattr(keras.applications, n)))
        raise ValueError(f"no network {name!r} in keras.applications; there are: {', '.join(there)}")
    return make, inspect.getmodule(make).preprocess_input


def network(name: str, shape, weights=None, trainable: bool = True, pooling: str | None = None):
    """A network of `keras.applications` without its top, for pictures of that shape, and its `preprocess_input`.

    Args:
        weights: None, "imagenet", or a file.
        trainable: False for one that is to stay as it is; its batch normalisation is folded into the convolutions.
        pooling: "avg" for a vector; None for a grid of them.

    Raises:
        ValueError: for an unknown network, or weights that are not here and can't be downloaded.
    """
    make, preprocess = application(name)
    try:
        base = make(include_top=False, pooling=pooling, weights=weights, input_shape=shape)
    except Exception as error:
        if "URL fetch failure" not in str(error):
            raise
        raise ValueError(
            f"encoder_weights={weights}: the download can't be reached; give the path of a weights file"
        ) from None
    return base if trainable else folded(base), preprocess


@keras.saving.register_keras_serializable("zoo")
class FrameEncoder(keras.layers.Layer):
    """A convolutional network on every frame of every clip in one call, the time folded into the batch.

    That is the lower part of LRCN (Donahue et al. 2015). Every convolution of the built-in network halves the picture;
    the first one sees `window` neighbouring frames as channels, which makes it a convolution over time as well: a
    movement is seen where it happens. (It has no batch normalisation, which takes as long as the convolutions do.)

    Frames may also come as features, from another network or as poses, say; then only the projection is left.

    Args:
        units: the width of a frame's vector.
        filters: of the built-in network's convolutions.
        window: number of frames that a frame's vector depends on.
        causal: whether these are the frame and those before it, or as many before as after it.
        dropout: the rate before the projection, one mask for all frames of a clip.
        network: in place of the built-in one, a network of `keras.applications`, without its top, averaged over space.
            It takes frames one at a time (`window=1`) and in three channels, with values of 0 to 255.
        weights: of that network: None, "imagenet", or a file, as `keras.applications` takes them.
        trainable: False freezes that network, and it alone.

    Inputs: float `[batch, time, height, width, channels]`, or features `[batch, time, features]`; of mean 0 and
        variance 1, but for a `network`. Frames that are padding must be zeros, as those around a clip are taken to be.
    Output: `[batch, time, units]`, of the compute dtype.

    Raises:
        ValueError: for an unknown network, or one with a window, and for an even window that is not causal.
    """

    def __init__(
        self,
        units,
        filters=(32, 64, 96, 128),
        window=1,
        causal=False,
        dropout=0.0,
        network=None,
        weights=None,
        trainable=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if window < 1 or (window % 2 == 0 and not causal):
            raise ValueError(f"window must be a positive number, and odd if not causal; got {window}")
        if network:
            application(network)
        if network and window != 1:
            raise ValueError(f"{network} takes one frame at a time; got window={window}")
        self.units, self.filters, self.window, self.causal = units, tuple(filters), window, causal
        self.dropout, self.network, self.given_weights, self.frozen = dropout, network, weights, not trainable
        self.supports_masking = True
        dtype = self.dtype_policy
        self.base, self.convolutions = None, []
        self.drop = keras.layers.Dropout(dropout, noise_shape=(None, 1, None), dtype=dtype, name="dropout")
        self.projection = keras.layers.Dense(units, activation="relu", dtype=dtype, name="projection")

    def build(self, input_shape):
        shape = (None, *input_shape[2:-1], input_shape[-1] * self.window)
        if len(shape) == 2:
            features = shape[1]
        elif self.network:
            given = (self.network, shape[1:], self.given_weights, not self.frozen)
            self.base, self._preprocess = network(*given, pooling="avg")
            features = self.base.output_shape[-1]
        else:
            for i, filters in enumerate(self.filters):
                self.convolutions.append(self._convolution(f"convolution_{i}", filters, 3 if i else 5))
                self.convolutions[-1].build(shape)
                shape = self.convolutions[-1].compute_output_shape(shape)
            features = shape[1] * shape[2] * shape[3]
        self.projection.build((None, None, features))

    def _convolution(self, name, filters, size):
        options = dict(padding="same", activation="relu", kernel_initializer="he_normal", dtype=self.dtype_policy)
        return keras.layers.Conv2D(filters, size, strides=2, name=name, **options)

    def call(self, frames, training=False):
        return self.encode(self.surrounded(frames), training=training)

    def surrounded(self, frames):
        """Frames with the `window - 1` frames of zeros around the clip that its first and last windows reach into."""
        before = self.window - 1 if self.causal else self.window // 2
        around = [(0, 0), (before, self.window - 1 - before)]
        return ops.pad(frames, around + [(0, 0)] * (len(frames.shape) - 2)) if self.window > 1 else frames

    def encode(self, frames, training=False):
        """Frames with their neighbours, `[batch, window - 1 + time, ...]` -> `[batch, time, units]`."""
        batch, steps = ops.shape(frames)[0], ops.shape(frames)[1] - self.window + 1
        x = ops.concatenate([frames[:, i : i + steps] for i in range(self.window)], axis=-1)
        x = ops.reshape(x, (-1, *x.shape[2:]))
        if self.base:
            x = self.base(self._preprocess(x), training=training and not self.frozen)
        for convolution in self.convolutions:
            x = convolution(x)
        x = ops.reshape(x, (batch, steps, self.projection.kernel.shape[0]))
        return self.projection(self.drop(x, training=training))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.units)

    def get_config(self):
        names = ("units", "filters", "window", "causal", "dropout", "network")
        config = {**super().get_config(), **{name: getattr(self, name) for name in names}}
        return {**config, "trainable": not self.frozen}
