"""The grid encoder: its convolutions written out in NumPy, places row by row, and networks of keras.applications."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.grids import GridEncoder

FILTERS, SIZE = (4, 6), (9, 12)
PIXELS = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), np.uint8)


def built(size=SIZE, **options):
    keras.utils.set_random_seed(1)
    encoder = GridEncoder(**options)
    encoder.build((None, *size, 3))
    return encoder


@pytest.fixture(scope="module")
def encoder():
    encoder = built(filters=FILTERS)
    for weight in encoder.weights:  # statistics too
        weight.assign(weight + 0.1 * keras.random.normal(weight.shape))
    return encoder


def convolved(x, kernel, gamma, beta, mean, variance):
    """A convolution with stride 2 of `[height, width, channels]`, zeros around it as TensorFlow has them; batch
    normalisation by these statistics; ReLU."""
    size = len(kernel)
    short = [max(0, (-(-n // 2) - 1) * 2 + size - n) for n in x.shape[:2]]
    padded = np.pad(x, [(n // 2, n - n // 2) for n in short] + [(0, 0)])
    rows, columns = (-(-n // 2) for n in x.shape[:2])
    at = lambda i, j: np.tensordot(padded[2 * i : 2 * i + size, 2 * j : 2 * j + size], kernel, 3)
    found = np.array([[at(i, j) for j in range(columns)] for i in range(rows)])
    return np.maximum((found - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)


def test_equals_numpy(encoder):
    """Pixels of -1 to 1, and as channels the place from the top and from the left, of -1 to 1 as well."""
    height, width = SIZE
    down, right = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    found = encoder(PIXELS)
    assert encoder.grid == (3, 3) and found.shape == encoder.compute_output_shape(PIXELS.shape) == (2, 9, 6)
    for picture, vectors in zip(PIXELS.astype(float), found, strict=True):
        x = np.dstack([picture / 127.5 - 1, down, right])
        for layer, norm in zip(encoder.convolutions, encoder.norms, strict=True):
            x = convolved(x, layer.kernel.numpy().astype(float), *norm.get_weights())
        np.testing.assert_allclose(vectors, x.reshape(9, 6), rtol=1e-4, atol=1e-5)


def test_places_go_row_by_row():
    """Of a dark picture with one bright square, the vector of that place changes most. (Padding as TensorFlow has it
    moves what a place sees to the bottom and to the right.)"""
    encoder = built((16, 32))
    assert encoder.grid == (2, 4)
    dark = np.zeros([8, 16, 32, 3], np.uint8)
    bright = dark.copy()
    for place in range(8):
        row, column = divmod(place, 4)
        bright[place, 8 * row + 4 : 8 * row + 8, 8 * column + 4 : 8 * column + 8] = 255
    change = np.linalg.norm(encoder(bright) - encoder(dark), axis=-1)
    assert change.argmax(1).tolist() == list(range(8))


def test_it_knows_where_a_place_is():
    """Of a picture of one colour: in its middle, where no edge is near, all that differs is the place."""
    encoder = built((64, 64), filters=FILTERS)
    inner = tf.reshape(encoder(np.full([1, 64, 64, 3], 90, np.uint8)), [16, 16, -1])[4:12, 4:12]
    assert np.ptp(inner, axis=0).max() > 0.1 and np.ptp(inner, axis=1).max() > 0.1


def test_pictures_do_not_influence_each_other_and_may_be_floats(encoder):
    for picture, vectors in zip(PIXELS, encoder(PIXELS.astype("float32")), strict=True):
        np.testing.assert_allclose(encoder(picture[None])[0], vectors, atol=1e-5)


def test_in_a_graph_of_an_unknown_batch(encoder):
    graph = tf.function(encoder, [tf.TensorSpec([None, *SIZE, 3], tf.uint8)])
    for count in (2, 1):
        np.testing.assert_allclose(graph(PIXELS[:count]), encoder(PIXELS[:count]), atol=1e-5)


def test_mixed_precision_is_near(encoder):
    half = built(filters=FILTERS, dtype="mixed_bfloat16")
    half.set_weights(encoder.get_weights())
    vectors = half(PIXELS)
    assert vectors.dtype == tf.bfloat16 and {weight.dtype for weight in half.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(vectors, tf.float32), encoder(PIXELS), atol=0.1)


def test_all_of_it_is_trained(encoder):
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(encoder(PIXELS, training=True) ** 2)
    gradients = tape.gradient(total, encoder.trainable_variables)
    assert len(gradients) == 3 * len(FILTERS) and all(np.any(g) for g in gradients)


def test_configuration_there_and_back(encoder):
    again = GridEncoder.from_config(encoder.get_config())
    again.build((None, *SIZE, 3))
    again.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(again(PIXELS), encoder(PIXELS))
    frozen = GridEncoder(network="MobileNetV2", trainable=False)
    for layer in (frozen, GridEncoder.from_config(frozen.get_config())):
        assert (layer.network, layer.frozen) == ("MobileNetV2", True)


# Networks of keras.applications ---------------------------------------------------------------------------------------

LARGER = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module", params=[True, False], ids=["trained", "frozen"])
def network(request):
    encoder = built((64, 64), network="MobileNet", trainable=request.param)
    for layer in encoder.base.layers:  # whose random weights would give next to nothing
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(0.03 * layer.moving_variance)
        elif encoder.frozen and layer.weights:  # normalisation is folded into kernels
            layer.kernel.assign(0.03**-0.5 * layer.kernel)
    return encoder


def test_a_network_sees_what_its_own_preprocessing_gives_it(network):
    expected = network.base(LARGER / np.float32(127.5) - 1)  # as MobileNet has it
    own = keras.applications.mobilenet.preprocess_input(LARGER.astype("float32"))
    np.testing.assert_allclose(own, LARGER / 127.5 - 1, atol=1e-6)
    assert network.grid == (2, 2) and network.compute_output_shape((None, 64, 64, 3)) == (None, 4, 1024)
    np.testing.assert_allclose(network(LARGER), tf.reshape(expected, [2, 4, 1024]), atol=1e-4)
    assert np.ptp(network(LARGER)) > 0.1


def test_a_frozen_network_is_the_same_in_training_and_has_nothing_to_train(network):
    before = network.get_weights()
    trained, not_trained = network(LARGER, training=True), network(LARGER)
    if not network.frozen:
        assert len(network.trainable_variables) == 81  # 27 convolutions, and two of each normalisation
        assert np.abs(trained - not_trained).max() > 0.1  # batch statistics
        return
    assert network.trainable_variables == []
    np.testing.assert_allclose(trained, not_trained, atol=1e-5)
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["LeNet", "mobilenet_v2"])
def test_an_unknown_network(name):
    with pytest.raises(ValueError, match=f"no network {name!r} in keras.applications; there are: .*MobileNetV2"):
        built(network=name)
