"""The frame encoder against its convolutions written out in NumPy, and inside Keras models."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.frames import FrameEncoder

UNITS, FILTERS, SIZE = 16, (4, 6), (9, 12, 2)
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(2, 6, *SIZE)).astype("float32")
FEATURES = DRAW.normal(size=(2, 6, 5)).astype("float32")
PIXELS = DRAW.integers(0, 256, (2, 3, 32, 32, 3)).astype("float32")
every_window = pytest.mark.parametrize("window, causal", [(1, False), (1, True), (3, False), (3, True), (4, True)])
both_inputs = pytest.mark.parametrize("x", [X, FEATURES], ids=["pictures", "features"])


def build(x=X, **options):
    keras.utils.set_random_seed(1)
    encoder = FrameEncoder(UNITS, FILTERS, **options)
    encoder.build((None, None, *x.shape[2:]))
    for weight in encoder.weights:  # biases too
        weight.assign(weight + 0.1 * keras.random.normal(weight.shape))
    return encoder


def numpy_weights(layer):
    return [w.numpy().astype(float) for w in (layer.kernel, layer.bias)]


def convolved(x, kernel):
    """A convolution with stride 2 of a picture [height, width, channels], zeros around it, as TensorFlow has them."""
    size = len(kernel)
    short = [max(0, (-(-n // 2) - 1) * 2 + size - n) for n in x.shape[:2]]
    padded = np.pad(x, [(n // 2, n - n // 2) for n in short] + [(0, 0)])
    patches = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (0, 1))[::2, ::2]
    return np.einsum("hwcij,ijco->hwo", patches, kernel)


def reference(encoder, clip):
    """Every frame's vector by the definition: the first layer sums over the neighbours that there are."""
    before = encoder.window - 1 if encoder.causal else encoder.window // 2
    (first, bias), *rest = [numpy_weights(layer) for layer in (*encoder.convolutions, encoder.projection)]
    pictures, channels = clip.ndim == 4, clip.shape[-1]
    vectors = []
    for t in range(len(clip)):
        x = 0.0
        for k in range(encoder.window):
            if 0 <= t - before + k < len(clip):
                frame, slab = clip[t - before + k], first[..., k * channels : (k + 1) * channels, :]
                x = x + (convolved(frame, slab) if pictures else frame @ slab)
        x = np.maximum(x + bias, 0)
        for kernel, bias_ in rest:
            x = np.maximum((convolved(x, kernel) if kernel.ndim == 4 else x.ravel() @ kernel) + bias_, 0)
        vectors.append(x)
    return np.stack(vectors)


@both_inputs
@every_window
def test_equals_numpy_frame_by_frame(x, window, causal):
    encoder = build(x, window=window, causal=causal)
    found = encoder(x)
    assert found.shape == encoder.compute_output_shape(x.shape) == (2, 6, UNITS)
    expected = np.stack([reference(encoder, clip) for clip in x.astype(float)])
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@both_inputs
@every_window
def test_a_vector_depends_on_its_window_and_on_nothing_else(x, window, causal):
    encoder, steps = build(x, window=window, causal=causal), x.shape[1]
    changed = np.repeat(x[:1], steps, 0)
    changed[range(steps), range(steps)] += 1.0  # a clip for each frame
    difference = np.abs(encoder(changed) - encoder(x[:1])).max(-1)
    t, frame = np.arange(steps), np.arange(steps)[:, None]
    past = t - frame
    inside = (past >= 0) & (past < window) if causal else np.abs(past) <= window // 2
    np.testing.assert_array_equal(difference > 1e-4, inside)
    assert difference[~inside].max() < 1e-6


@both_inputs
@every_window
def test_zeros_after_the_end_change_nothing(x, window, causal):
    encoder = build(x, window=window, causal=causal)
    padded = np.concatenate([x, np.zeros_like(x)], 1)
    np.testing.assert_allclose(encoder(padded)[:, : x.shape[1]], encoder(x), atol=1e-5)


@every_window
def test_pieces_of_a_surrounded_clip_are_encoded_as_the_whole(window, causal):
    encoder = build(window=window, causal=causal)
    around = encoder.surrounded(X)
    pieces = [encoder.encode(around[:, start : start + 2 + window - 1]) for start in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(pieces, 1), encoder(X), atol=1e-5)


@both_inputs
def test_one_trace_for_all_batches_and_lengths(x):
    encoder = build(x, window=3)
    function = tf.function(encoder, input_signature=[tf.TensorSpec([None, None, *x.shape[2:]])])
    for batch, steps in [(1, 1), (2, 6), (1, 4)]:
        part = x[:batch, :steps]
        np.testing.assert_allclose(function(part), encoder(part), atol=1e-5)
    assert function.experimental_get_tracing_count() == 1


def test_dropout_is_one_mask_for_all_frames_of_a_clip():
    encoder = build(FEATURES, dropout=0.5)
    encoder.projection.kernel.assign(np.eye(5, UNITS))
    encoder.projection.bias.assign(np.zeros(UNITS))
    ones = np.ones((50, 6, 5), "float32")
    kept = encoder(ones, training=True).numpy()[..., :5]
    np.testing.assert_allclose(kept, np.repeat(kept[:, :1], 6, 1))
    assert set(np.unique(kept)) == {0.0, 2.0} and 0.3 < kept.mean() / 2 < 0.7
    np.testing.assert_allclose(encoder(ones)[..., :5], ones)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16"])
def test_precision_policies(policy):
    exact, encoder = build(window=3), build(window=3, dtype=policy)
    encoder.set_weights(exact.get_weights())
    found = encoder(X)
    assert found.dtype == encoder.compute_dtype == policy.removeprefix("mixed_")
    assert {w.dtype for w in encoder.weights} == {encoder.variable_dtype}
    scale = np.abs(exact(X)).max()
    np.testing.assert_allclose(tf.cast(found, "float32") / scale, exact(X) / scale, atol=0.03)
    model = keras.Sequential([encoder, keras.layers.Dense(1, dtype="float32")])
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    losses = [model.train_on_batch(X, np.ones((2, 6, 1))) for _ in range(8)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] / 2


@both_inputs
@pytest.mark.parametrize("window, causal", [(3, False), (4, True)])
def test_config_and_saved_models(x, window, causal, tmp_path):
    encoder = build(x, window=window, causal=causal, dropout=0.2, name="frames")
    twin = FrameEncoder.from_config(encoder.get_config())
    twin.build((None, None, *x.shape[2:]))
    assert twin.get_config() == encoder.get_config()
    twin.set_weights(encoder.get_weights())
    np.testing.assert_array_equal(twin(x), encoder(x))
    inputs = keras.Input((None, *x.shape[2:]))
    model = keras.Model(inputs, keras.layers.Dense(3)(encoder(inputs)))
    assert model.output_shape == (None, None, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_layer("frames").get_config() == encoder.get_config()
    np.testing.assert_array_equal(loaded(x), model(x))


def test_a_keras_mask_is_passed_on():
    masked = keras.layers.Masking()(tf.constant(np.where(np.arange(6)[:, None] < 4, FEATURES, 0)))
    mask = build(FEATURES, window=3)(masked)._keras_mask
    np.testing.assert_array_equal(mask, [[True] * 4 + [False] * 2] * 2)


# Networks of keras.applications ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """An encoder whose network has seen these frames in training, once: else its features would be about 1e-12."""
    keras.utils.set_random_seed(1)
    encoder = FrameEncoder(UNITS, network="MobileNetV2")
    encoder.build((None, None, *PIXELS.shape[2:]))
    for layer in normalisations(encoder):
        layer.momentum = 0.0
    encoder(PIXELS, training=True)
    return encoder


@pytest.fixture(scope="module")
def frozen(trained, tmp_path_factory):
    """Another with the same network, from a file."""
    path = tmp_path_factory.mktemp("network") / "mobilenet.weights.h5"
    trained.base.save_weights(path)
    encoder = FrameEncoder(UNITS, network="MobileNetV2", weights=str(path), trainable=False)
    encoder.build((None, None, *PIXELS.shape[2:]))
    return encoder


def normalisations(encoder):
    return [layer for layer in encoder.base.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_a_network_sees_frames_one_at_a_time_scaled_as_its_authors_did(trained):
    kernel, bias = numpy_weights(trained.projection)
    features = np.stack([[trained.base(frame[None] / 127.5 - 1)[0] for frame in clip] for clip in PIXELS])
    expected = np.maximum(features @ kernel + bias, 0)
    assert expected.std() > 0.1
    np.testing.assert_allclose(trained(PIXELS), expected, rtol=1e-3, atol=1e-3)


def test_a_network_is_trained(trained):
    assert len(trained.trainable_weights) == len(trained.base.trainable_weights) + 2 > 100
    assert not any(np.allclose(layer.moving_variance, 1) for layer in normalisations(trained))


def test_a_frozen_network_stays_as_it_is(trained, frozen, tmp_path):
    assert [id(w) for w in frozen.trainable_weights] == [id(w) for w in frozen.projection.weights]
    inputs = keras.Input((None, *PIXELS.shape[2:]))
    model = keras.Model(inputs, frozen(inputs))
    before = frozen.projection.get_weights()
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
    model.train_on_batch(PIXELS, np.ones((2, 3, UNITS)))
    np.testing.assert_allclose(frozen.base(PIXELS[0]), trained.base(PIXELS[0]), rtol=1e-3, atol=1e-3)
    assert not any(map(np.array_equal, before, frozen.projection.get_weights()))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(PIXELS), model(PIXELS), rtol=1e-5, atol=1e-5)
    assert len(loaded.trainable_weights) == 2


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(window=0), "window must be a positive number, and odd if not causal; got 0"),
        (dict(window=2), "got 2"),
        (dict(window=-1, causal=True), "got -1"),
        (dict(network="MobileNetV2", window=3), "MobileNetV2 takes one frame at a time; got window=3"),
        (dict(network="MobileNet22"), "no network 'MobileNet22' in keras.applications; there are: .*MobileNetV2"),
        (dict(network="vgg16"), "no network 'vgg16' .*VGG16"),  # the module
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        FrameEncoder(UNITS, **options)(PIXELS)
