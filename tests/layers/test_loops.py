"""The time loops of SimpleRNN, LSTM and GRU: any shape, mask and length; what they refuse, keep, compile and export."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf import saved_model_pb2

from tests.layers.test_recurrent import LAYERS, STOCK, assert_close, every_layer, run
from zoo.layers import LSTM
from zoo.layers.training_loop import LENGTHS, bucket, few_rows

FEATURES, UNITS = 3, 4


def pair(name, **options):
    """Keras's layer and the zoo's, with the same weights."""
    layers = [which[name](UNITS, return_sequences=True, return_state=True, **options) for which in (STOCK, LAYERS)]
    for layer in layers:
        layer.build((None, None, FEATURES))
    random = np.random.default_rng(3)
    layers[0].set_weights([random.normal(0, 0.7, w.shape) for w in layers[0].weights])
    layers[1].set_weights(layers[0].get_weights())
    return layers


@st.composite
def batches(draw):
    """Input, initial states (or none) and mask, the rows of which may be anything."""
    batch, steps = draw(st.integers(1, 20)), draw(st.one_of(st.integers(1, 12), st.integers(13, 200)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    kind = draw(st.sampled_from(["none", "right", "left", "holes", "all masked", "one step"]))
    length, place = random.integers(0, steps + 1, (batch, 1)), np.arange(steps)
    mask = {
        "none": None,
        "right": place < length,
        "left": place >= length,
        "holes": random.random((batch, steps)) < 0.6,
        "all masked": np.zeros((batch, steps), bool),
        "one step": place == length,
    }[kind]
    states = [random.normal(0, 1, (batch, UNITS)).astype("float32") for _ in range(2)]
    return random.normal(0, 1, (batch, steps, FEATURES)).astype("float32"), draw(st.sampled_from([[], states])), mask


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("training", [False, True])
def test_any_batch_equals_keras(name, training):
    """Outputs, states, and gradients with respect to input, states and weights."""
    graphs = {}

    @settings(max_examples=8 if training else 5, deadline=None, derandomize=True)
    @given(batches())
    def check(batch):
        x, states, mask = batch
        states = states if name == "lstm" else states[:1]
        expected, actual = (both(graphs, layer, x, states, mask, training) for layer in layers)
        for a, e in zip(actual, expected, strict=True):
            scale = np.abs(e).max() + 1e-3
            np.testing.assert_allclose(a / scale, e / scale, atol=2e-5)

    layers = pair(name)
    check()


def both(graphs, layer, x, states, mask, training):
    """Results and gradients, from a graph that is traced once for any batch and length."""
    key = layer, bool(states), mask is None
    if key not in graphs:

        def step(x, states, masks, weighting):
            with tf.GradientTape() as tape:
                tape.watch([x, *states])
                y, *last = layer(x, initial_state=states or None, mask=masks[0] if masks else None, training=training)
                loss = tf.reduce_sum(y * weighting) + sum(tf.reduce_sum(s * s) for s in last)
            return y, *last, *tape.gradient(loss, [x, *states, *[w.value for w in layer.trainable_weights]])

        graphs[key] = tf.function(
            step,
            [
                tf.TensorSpec([None, None, FEATURES]),
                [tf.TensorSpec([None, UNITS]) for _ in states],
                [] if mask is None else [tf.TensorSpec([None, None], tf.bool)],
                tf.TensorSpec([None, None, UNITS]),
            ],
        )
    weighting = np.cos(np.arange(x.shape[0] * x.shape[1] * UNITS)).reshape(*x.shape[:2], UNITS).astype("float32")
    return [y.numpy() for y in graphs[key](x, states, [] if mask is None else [mask], weighting)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_equals_pytorch(name, training):
    """All outputs and gradients over 200 steps. PyTorch is no dependency; this is run where it is installed."""
    torch = pytest.importorskip("torch")
    _, layer = pair(name)
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[name](FEATURES, UNITS, batch_first=True)
    order = [0, 1, 2, 3] if name == "lstm" else [1, 0, 2]  # PyTorch's GRU has the reset gate first

    def in_order(w):
        return np.concatenate([np.split(np.asarray(w), len(order), -1)[i] for i in order], -1)

    kernel, recurrent, bias = layer.get_weights()
    biases = bias if name == "gru" else [bias, np.zeros_like(bias)]
    values = [in_order(kernel).T, in_order(recurrent).T, *(in_order(b) for b in biases)]
    with torch.no_grad():
        for parameter, value in zip(peer.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value.copy()))
    x = np.random.default_rng(0).normal(0, 1, (5, 200, FEATURES)).astype("float32")
    outputs, gradients = run(layer, x, [], None, training)
    theirs = torch.tensor(x, requires_grad=True)
    y, last = peer(theirs)
    results = [y, *(s[0] for s in (last if name == "lstm" else [last]))]
    weights = [np.cos(np.arange(r.numel())).reshape(r.shape).astype("float32") for r in results]
    sum((r * torch.tensor(w)).sum() for r, w in zip(results, weights, strict=True)).backward()
    assert_close(outputs, [r.detach().numpy() for r in results], 1e-5)
    expected = [theirs.grad, peer.weight_ih_l0.grad.T, peer.weight_hh_l0.grad.T]
    for actual, e in zip(gradients, expected, strict=False):
        e = in_order(e.numpy()) if actual.ndim == 2 else e.numpy()
        np.testing.assert_allclose(actual, e, atol=2e-5 * np.abs(e).max())


@pytest.mark.slow
@every_layer
@pytest.mark.parametrize("masked", [False, True])
def test_recompute(name, masked):
    """The same results, with one value kept every 32 steps."""
    _, layer = pair(name)
    again = LAYERS[name].from_config({**layer.get_config(), "recompute": True})
    again.build((None, None, FEATURES))
    again.set_weights(layer.get_weights())
    assert again.get_config()["recompute"] and "recompute" not in layer.get_config()
    random = np.random.default_rng(0)
    x, mask = random.normal(0, 1, (9, 70, FEATURES)).astype("float32"), random.random((9, 70)) < 0.7
    states = [random.normal(0, 1, (9, UNITS)).astype("float32")] * (2 if name == "lstm" else 1)
    arguments = x, states, mask if masked else None, True, False
    assert_close(run(again, *arguments), run(layer, *arguments), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rnn", "lstm"])
def test_gradient_of_gradient(name):
    """Right without training, as Keras's; refused in training; a nested tape that does not ask for it is no error."""
    x = tf.constant(np.random.default_rng(0).normal(0, 1, (2, 5, FEATURES)), tf.float32)

    def second(layer, training):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x, training=training)[0] ** 2)
            slope = tf.reduce_sum(inner.gradient(loss, x) ** 2)
        return outer.gradient(slope, x)

    stock, ours = pair(name)
    assert_close(second(ours, False), second(stock, False), 1e-4)
    with pytest.raises(NotImplementedError, match="training=False"):
        second(ours, True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="training=False"):
        tf.function(second)(ours, True)
    first = tf.function(lambda x: ours(x, training=True)[0])
    with tf.GradientTape() as outer, tf.GradientTape() as inner:
        outer.watch(x)
        inner.watch(x)
        y = first(x)
    assert_close(inner.gradient(y, x), outer.gradient(y, x), 1e-6)


def test_explain():
    assert "own gradient" in LSTM(3).explain()
    assert "32nd" in LSTM(3, recompute=True).explain()
    for options, reason in (
        ({"activation": "relu"}, "relu"),
        ({"recurrent_activation": "hard_sigmoid"}, "hard_sigmoid"),
        ({"recurrent_dropout": 0.25}, "0.25"),
        ({"unroll": True}, "unroll"),
    ):
        assert "Keras's loop" in LSTM(3, **options).explain() and reason in LSTM(3, **options).explain()
    assert "reset_after" in LAYERS["gru"](3, reset_after=False).explain()


@every_layer
@pytest.mark.parametrize("training", [False, True])
def test_takes_its_own_loop(name, training, monkeypatch):
    """Otherwise the tests above would compare Keras with itself."""
    _, layer = pair(name)
    monkeypatch.setattr(keras.layers.RNN, "inner_loop", None)
    layer(tf.zeros([2, 3, FEATURES]), training=training)
    with pytest.raises(TypeError):
        LAYERS[name](UNITS, activation="relu")(tf.zeros([2, 3, FEATURES]), training=training)


def test_few_lengths():
    lengths = [int(bucket(n)) for n in range(1, 2049)]
    assert all(padded >= n for n, padded in enumerate(lengths, 1))
    assert len(set(lengths)) == 8 + 4 * 5  # up to 64, and four an octave
    assert max(padded / n for n, padded in enumerate(lengths, 1) if n > 32) <= 1.25
    assert int(bucket(10**6)) == 10**6 > max(LENGTHS)
    assert [int(few_rows(rows)) for rows in (1, 2, 8, 9, 16, 17, 33)] == [1, 2, 8, 12, 16, 20, 36]


@pytest.mark.slow
def test_few_compilations(tmp_path, script):
    """Of 60 lengths and two batch sizes: as many XLA modules as there are padded shapes, twice (forward, backward)."""
    program = """if True:
        import os, sys
        os.environ["XLA_FLAGS"] = f"--xla_dump_to={sys.argv[1]} --xla_dump_hlo_as_text"
        import numpy as np, tensorflow as tf
        from zoo.layers import LSTM
        layer = LSTM(4)
        layer.build((None, None, 3))
        @tf.function(input_signature=[tf.TensorSpec([None, None, 3])])
        def step(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(loss, layer.trainable_variables)
        for length in range(1, 61):
            step(np.zeros([8 if length % 2 else 3, length, 3], "float32"))
    """
    script(program, tmp_path)
    modules = {path.name.split(".")[0] for path in tmp_path.glob("*before_optimizations.txt")}
    assert len(modules) == 2 * 2 * 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_export_is_portable(name, tmp_path, script):
    """A SavedModel of standard kernels that TensorFlow alone runs: any batch, any length, masks on either side."""
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(9, FEATURES, mask_zero=True),
            keras.layers.Bidirectional(LAYERS[name](UNITS, return_sequences=True)),
            LAYERS[name](UNITS),
        ]
    )
    model.export(tmp_path / "model", verbose=False)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "model" / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    assert functions
    assert not any(f.attr["_XlaMustCompile"].b for f in functions)
    assert not any("Xla" in node.op for f in functions for node in f.node_def)
    random = np.random.default_rng(0)
    inputs = [random.integers(0, 9, shape).astype("int32") for shape in ((1, 1), (1, 20), (3, 7), (17, 33))]
    for x in inputs:
        x[:, : x.shape[1] // 3] = 0
    np.savez(tmp_path / "inputs.npz", *inputs)
    program = """if True:
        import sys, numpy as np, tensorflow as tf
        served, inputs = tf.saved_model.load(sys.argv[1]), np.load(sys.argv[2])
        np.savez(sys.argv[3], *[served.serve(inputs[key]).numpy() for key in inputs.files])
    """
    script(program, tmp_path / "model", tmp_path / "inputs.npz", tmp_path / "outputs.npz")
    outputs = np.load(tmp_path / "outputs.npz")
    for x, key in zip(inputs, outputs.files, strict=True):
        assert_close(outputs[key], model(x), 1e-5)
