"""Losses of frames and tokens against NumPy, written one by one, and their gradients against finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.losses import FrameAccuracy, FrameLoss, token_losses

CLASSES, CEILING = 4, 4.0
LABELS = np.array([[1, 1, 2, 0, 3], [4, 0, 0, 2, 2], [3, 3, 1, 1, 2], [0, 0, 0, 0, 0]])
SETTINGS = [
    {},
    dict(class_weights=[1.0, 0.5, 3.0, 0.0]),
    dict(label_smoothing=0.1),
    dict(smoothing=0.3),
    dict(class_weights=[2, 1, 0.25, 1], label_smoothing=0.2, smoothing=0.15),
]
every_setting = pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "plain")


def logits_of(scale=2.5, seed=0):
    return np.random.default_rng(seed).normal(size=(*LABELS.shape, CLASSES), scale=scale)


def log_softmax(x):
    return x - np.logaddexp.reduce(x, -1, keepdims=True)


def reference(labels, logits, class_weights=None, label_smoothing=0.0, smoothing=0.0, before=None):
    """The loss by its definition, in float64; `before` are the logits that previous frames have, if not `logits`."""
    log_p, fixed = log_softmax(logits), log_softmax(logits if before is None else before)
    entropy = weight = rough = pairs = 0.0
    for i, t in np.argwhere(labels > 0):
        truth = np.full(CLASSES, label_smoothing / CLASSES)
        truth[labels[i, t] - 1] += 1 - label_smoothing
        w = class_weights[labels[i, t] - 1] if class_weights else 1.0
        entropy, weight = entropy - w * truth @ log_p[i, t], weight + w
        if t and labels[i, t - 1]:
            rough += np.mean(np.minimum(np.abs(log_p[i, t] - fixed[i, t - 1]), CEILING) ** 2)
            pairs += 1
    return (entropy / weight if weight else 0.0) + (smoothing * rough / pairs if pairs else 0.0)


def gradient(loss, logits):
    x = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(LABELS, x)
    return tape.gradient(value, x).numpy()


@every_setting
@pytest.mark.parametrize("scale", [0.1, 2.5, 20])
def test_equals_numpy(settings, scale):
    logits = logits_of(scale)
    loss = FrameLoss(**settings)(LABELS, logits.astype("float32"))
    assert loss.shape == () and loss.dtype == tf.float32
    np.testing.assert_allclose(loss, reference(LABELS, logits, **settings), rtol=1e-5)


@every_setting
def test_gradients_equal_finite_differences_with_the_previous_frame_held_fixed(settings, differences):
    logits = logits_of()
    expected = differences(logits, lambda x: reference(LABELS, x, **settings, before=logits))
    found = gradient(FrameLoss(**settings), logits)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not found[LABELS == 0].any()
    change = np.abs(np.diff(log_softmax(logits), axis=1))[(LABELS[:, 1:] > 0) & (LABELS[:, :-1] > 0)]
    assert change.min() < CEILING < change.max()  # both cases are there
    if "smoothing" in settings:
        free = differences(logits, lambda x: reference(LABELS, x, **settings))
        assert np.abs(found - free).max() > 1e-3


def test_by_hand():
    even = np.zeros([1, 3, 2], "float32")  # two classes, both of probability 1/2
    np.testing.assert_allclose(FrameLoss()([[1, 2, 0]], even), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(FrameLoss([5, 1], 0.3, 9.0)([[1, 2, 0]], even), np.log(2), rtol=1e-6)
    one = np.log([[[0.8, 0.2], [0.8, 0.2]]])
    np.testing.assert_allclose(FrameLoss()([[1, 2]], one), -np.log(0.8 * 0.2) / 2, rtol=1e-6)
    np.testing.assert_allclose(FrameLoss([3, 1])([[1, 2]], one), -(3 * np.log(0.8) + np.log(0.2)) / 4, rtol=1e-6)
    np.testing.assert_allclose(FrameLoss(None, 0.5)([[1, 1]], one), -0.75 * np.log(0.8) - 0.25 * np.log(0.2), rtol=1e-6)
    two, entropy = np.log([[[0.8, 0.2], [0.5, 0.5]]]), -np.log(0.8 * 0.5) / 2
    rough = (np.log(0.8 / 0.5) ** 2 + np.log(0.5 / 0.2) ** 2) / 2
    np.testing.assert_allclose(FrameLoss(smoothing=2.0)([[1, 1]], two), entropy + 2 * rough, rtol=1e-6)
    jump = np.array([[[0.0, 50.0], [50.0, 0.0]]])  # a change of label: no more than the ceiling, and no slope
    np.testing.assert_allclose(FrameLoss(smoothing=1.0)([[2, 1]], jump), CEILING**2, rtol=1e-6)


@every_setting
def test_unlabelled_frames_count_for_nothing(settings):
    loss, logits = FrameLoss(**settings), logits_of().astype("float32")
    other = np.where(LABELS[..., None] > 0, logits, 100 * logits_of(seed=1)).astype("float32")
    np.testing.assert_allclose(loss(LABELS, other), loss(LABELS, logits), rtol=1e-6)
    padded = np.pad(logits, [(0, 1), (0, 3), (0, 0)]), np.pad(LABELS, [(0, 1), (0, 3)])
    np.testing.assert_allclose(loss(padded[1], padded[0]), loss(LABELS, logits), rtol=1e-6)


@every_setting
@pytest.mark.parametrize("shape", [(2, 5), (2, 1), (1, 0)], ids=str)
def test_a_batch_without_labels_costs_nothing(settings, shape):
    x = tf.ones([*shape, CLASSES])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = FrameLoss(**settings)(np.zeros(shape, int), x)
    assert loss == 0 and not tape.gradient(loss, x).numpy().any()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_logits_are_taken_up_to_float32(kind):
    logits = tf.cast(logits_of(scale=300), kind)  # squares and sums of these are beyond float16
    loss = FrameLoss(**SETTINGS[-1])(LABELS, logits)
    exact = reference(LABELS, tf.cast(logits, tf.float64).numpy(), **SETTINGS[-1])
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, exact, rtol=1e-6)
    np.testing.assert_allclose(FrameLoss(**SETTINGS[-1]).call(LABELS, logits), exact, rtol=1e-6)  # not by Keras's cast
    accuracy = FrameAccuracy()
    accuracy.update_state(LABELS, logits)
    expected = (np.argmax(tf.cast(logits, tf.float32), -1) + 1 == LABELS)[LABELS > 0].mean()
    np.testing.assert_allclose(accuracy.result(), expected, rtol=1e-6)


def test_accuracy_by_hand():
    accuracy, right = FrameAccuracy(), np.eye(CLASSES)[[0, 1, 2]][None]
    accuracy.update_state([[0, 0, 0]], right)
    assert accuracy.result() == 0
    accuracy.update_state([[1, 2, 3]], right)
    assert accuracy.result() == 1
    accuracy.update_state([[4, 0, 0]], right)  # a batch with fewer frames counts less
    assert accuracy.result() == 0.75
    accuracy.reset_state()
    accuracy.update_state([[2, 2, 0]], right)
    assert accuracy.result() == 0.5


@every_setting
def test_a_loss_is_made_again_from_its_config(settings):
    loss = FrameLoss(**settings, name="mine")
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert twin.get_config() == loss.get_config() and twin.name == "mine"
    logits = logits_of().astype("float32")
    np.testing.assert_array_equal(twin(LABELS, logits), loss(LABELS, logits))


def test_a_metric_is_made_again_from_its_config():
    metric = FrameAccuracy(name="mine")
    twin = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert isinstance(twin, FrameAccuracy) and twin.get_config() == metric.get_config()


# In Keras models ------------------------------------------------------------------------------------------------------


def compiled(*layers, policy="float32", **settings):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, 3))
    outputs = inputs
    for layer in (*layers, keras.layers.Dense(CLASSES, dtype=policy)):
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.3), loss=FrameLoss(**settings), metrics=[FrameAccuracy()])
    return model


def data(count=8, steps=10):
    """Clips whose labels follow from the frames; the ends of some are unlabelled, their frames zeros."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(count, steps, 3)).astype("float32")
    y = 1 + (x[..., 0] > 0) + 2 * (x[..., 1] > 0)
    padding = np.arange(steps) >= draw.integers(3, steps + 1, count)[:, None]
    x[padding], y[padding] = 0, 0
    return x, y


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_model_learns_and_reports_both(policy):
    settings = dict(class_weights=[2, 1, 0.5, 1], label_smoothing=0.05, smoothing=0.01)
    model, (x, y) = compiled(policy=policy, **settings), data()
    before = FrameLoss(**settings)(y, model(x))
    model.fit(np.tile(x, (15, 1, 1)), np.tile(y, (15, 1)), batch_size=8, shuffle=False, verbose=0)
    found, logits = model.evaluate(x, y, batch_size=8, return_dict=True, verbose=0), model(x)
    assert found["loss"] < 0.6 * before and found["accuracy"] > 0.8
    logits = tf.cast(logits, tf.float64).numpy()
    np.testing.assert_allclose(found["loss"], reference(y, logits, **settings), rtol=0.01)
    np.testing.assert_allclose(found["accuracy"], (logits.argmax(-1) + 1 == y)[y > 0].mean(), atol=0.03)


def test_the_mask_that_a_model_carries_changes_nothing():
    x, y = data()
    plain, masked = compiled(), compiled(keras.layers.Masking())
    masked.set_weights(plain.get_weights())
    np.testing.assert_allclose(masked.evaluate(x, y, verbose=0), plain.evaluate(x, y, verbose=0), rtol=1e-5)


def test_a_compiled_model_is_saved_and_loaded(tmp_path):
    model, (x, y) = compiled(**SETTINGS[-1]), data()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-6)


# Of tokens ------------------------------------------------------------------------------------------------------------

VOCABULARY = 6
IDS = np.array([2, 5, 0, 1, 1, 3], np.int32)
every_smoothing = pytest.mark.parametrize("smoothing", [0, 0.1, 0.9])


def token_logits(scale=2.5, seed=0):
    return np.random.default_rng(seed).normal(size=(len(IDS), VOCABULARY), scale=scale)


def token_reference(logits, smoothing):
    """The losses by their definition, in float64."""
    truth = np.full(logits.shape, smoothing / VOCABULARY)
    truth[range(len(IDS)), IDS] += 1 - smoothing
    return -(truth * log_softmax(logits)).sum(1)


@every_smoothing
@pytest.mark.parametrize("scale", [0.1, 2.5, 9])
def test_tokens_equal_numpy(smoothing, scale):
    logits = token_logits(scale)
    losses, right = token_losses(tf.constant(logits, tf.float32), IDS, smoothing)
    assert losses.dtype == tf.float32 and right.dtype == tf.bool
    np.testing.assert_allclose(losses, token_reference(logits, smoothing), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(right, logits.argmax(1) == IDS)


@every_smoothing
def test_gradients_of_tokens_equal_finite_differences(smoothing, differences):
    """In a graph of unknown sizes; each loss weighs something else."""
    logits, weights = token_logits(), np.random.default_rng(1).normal(size=len(IDS))

    @tf.function(input_signature=[tf.TensorSpec([None, VOCABULARY]), tf.TensorSpec([None], tf.int32)])
    def slopes(x, ids):
        with tf.GradientTape() as tape:
            tape.watch(x)
            losses, _ = token_losses(x, ids, smoothing)
            total = tf.reduce_sum(losses * tf.cast(weights, tf.float32))
        return tape.gradient(total, x)

    expected = differences(logits, lambda x: token_reference(x, smoothing) @ weights)
    np.testing.assert_allclose(slopes(tf.constant(logits, tf.float32), IDS), expected, atol=1e-6)


def test_tokens_by_hand():
    some = tf.math.log([[0.1, 0.6, 0.2, 0.1]] * 3)
    losses, right = token_losses(some, tf.constant([1, 2, 0]))
    np.testing.assert_allclose(losses, -np.log([0.6, 0.2, 0.1]), rtol=1e-6)
    assert right.numpy().tolist() == [True, False, False]
    losses, _ = token_losses(some + 7.0, tf.constant([1, 2, 0]), 0.4)
    spread = -0.1 * np.log(0.1 * 0.6 * 0.2 * 0.1)
    np.testing.assert_allclose(losses, -0.6 * np.log([0.6, 0.2, 0.1]) + spread, rtol=1e-5)
    for smoothing in (0.0, 0.3):
        np.testing.assert_allclose(token_losses(tf.zeros([1, 4]), tf.constant([3]), smoothing)[0], np.log(4), rtol=1e-6)


@every_smoothing
def test_a_token_that_seemed_impossible_has_a_finite_loss_and_its_gradient(smoothing):
    logits = tf.Variable([[0.0, 500.0, 0.0, 0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        (loss,), (right,) = token_losses(logits, tf.constant([0]), smoothing)
    assert np.isfinite(loss) and not right
    truth = np.full(VOCABULARY, smoothing / VOCABULARY) + (1 - smoothing) * np.eye(VOCABULARY)[0]
    np.testing.assert_allclose(tape.gradient(loss, logits)[0], np.eye(VOCABULARY)[1] - truth, atol=1e-6)


def test_no_tokens():
    losses, right = token_losses(tf.zeros([0, VOCABULARY]), tf.zeros([0], tf.int32), 0.1)
    assert losses.shape == right.shape == (0,)
