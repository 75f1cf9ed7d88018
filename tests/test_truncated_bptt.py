"""Truncated backpropagation through time against a loop over the equations, PyTorch, and one long pass."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import streams, training
from zoo.config import TrainingConfig
from zoo.errors import ZooError
from zoo.layers.stack import RecurrentStack
from zoo.losses import token_losses

SYMBOLS, WIDTH, UNITS, START = 7, 4, 5, 0
TEXT = np.random.default_rng(5).integers(1, SYMBOLS, 61).astype(np.uint16)


class Letters(training.TruncatedBPTT):
    """The smallest model of running text; a row that begins anew reads START in place of its first symbol."""

    def __init__(self, k1, cell="rnn", depth=1, **options):
        super().__init__(k1, name="letters")
        keras.utils.set_random_seed(3)
        self.embedding = keras.layers.Embedding(SYMBOLS, WIDTH)
        self.stack = RecurrentStack(UNITS, depth, cell, return_state=True, **options)
        self.out = keras.layers.Dense(SYMBOLS, dtype="float32")
        self.embedding.build(None)
        self.stack.build((None, None, WIDTH))
        self.out.build((None, None, UNITS))
        for i, weight in enumerate(self.trainable_weights):
            weight.assign(np.random.default_rng(i).normal(0, 0.5, weight.shape))
        self.carry([UNITS] * len(self.stack.stepper()[0](1)))

    def inputs_of(self, symbols, begin):
        symbols = tf.cast(symbols, tf.int32)
        return tf.concat([tf.where(begin[:, None], START, symbols[:, :1]), symbols[:, 1:]], 1)

    def read(self, inputs, states, training=False):
        vectors, states = self.stack(self.embedding(inputs), initial_state=states, training=training)
        return self.out(vectors), states

    def losses(self, outputs, targets):
        return token_losses(outputs, tf.cast(targets, tf.int32))


def compiled(rate=0.5, **options):
    """A model whose step is plain gradient descent: the difference of the weights tells the gradient."""
    model = Letters(**options)
    model.compile(keras.optimizers.SGD(rate))
    return model


def values(model):
    return [weight.numpy() for weight in model.trainable_weights]


def states_of(model, phase="training"):
    return [state.numpy() for state in model.carried[phase]]


def close(found, expected, tolerance=2e-6):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=tolerance)


# The reference: the equations, step by step ---------------------------------------------------------------------------


def rnn(x, states, kernel, recurrent, bias):
    return [tf.tanh(x @ kernel + states[0] @ recurrent + bias)]


def lstm(x, states, kernel, recurrent, bias):
    i, f, g, o = tf.split(x @ kernel + states[0] @ recurrent + bias, 4, 1)
    c = tf.sigmoid(f) * states[1] + tf.sigmoid(i) * tf.tanh(g)
    return [tf.sigmoid(o) * tf.tanh(c), c]


def gru(x, states, kernel, recurrent, bias):
    a_x, r_x, n_x = tf.split(x @ kernel + bias[0], 3, 1)
    a_h, r_h, n_h = tf.split(states[0] @ recurrent + bias[1], 3, 1)
    a, n = tf.sigmoid(a_x + a_h), tf.tanh(n_x + tf.sigmoid(r_x + r_h) * n_h)
    return [a * states[0] + (1 - a) * n]


STEPS = {"rnn": rnn, "lstm": lstm, "gru": gru}


def loop(cell, weights, states, inputs):
    """Logits `[rows, symbols]` after each step, and the states there; all that a model of any depth reads."""
    embedding, *layers, kernel, bias = weights
    size, depth, logits, history = 2 if cell == "lstm" else 1, len(layers) // 3, [], []
    for token in np.transpose(inputs):
        x, after = tf.gather(embedding, token), []
        for layer in range(depth):
            new = STEPS[cell](x, states[layer * size : (layer + 1) * size], *layers[layer * 3 : layer * 3 + 3])
            after, x = [*after, *new], new[0]
        states = after
        logits.append(x @ kernel + bias)
        history.append(states)
    return logits, history


def by_hand(cell, weights, states, window, begin, counted, k1):
    """The loss of a window and its gradients, no further back than its start; and the states after k1 steps."""
    weights = [tf.constant(w) for w in weights]
    states = [tf.constant(np.where(begin[:, None], 0, s).astype("float32")) for s in states]
    inputs = window[:, :-1].astype(int)
    inputs[begin, 0] = START
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits, history = loop(cell, weights, states, inputs)
        total = 0.0
        for t, row in np.argwhere(counted.T > 0):
            total -= tf.nn.log_softmax(logits[t][row])[int(window[row, t + 1])]
        loss = total / int((counted > 0).sum())
    gradients = [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, weights)]
    return float(loss), gradients, [s.numpy() for s in history[k1 - 1]]


# Gradients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "depth"), [("rnn", 1), ("lstm", 2), ("gru", 1)])
def test_a_window_of_everything_is_full_backpropagation(cell, depth):
    model = compiled(1.0, k1=12, cell=cell, depth=depth)
    before = values(model)
    window, begin, counted = TEXT[:26].reshape(2, 13), np.array([True, True]), np.ones([2, 12], "float32")
    zeros = [np.zeros([2, UNITS], "float32")] * len(model.carried["training"])
    loss, gradients, last = by_hand(cell, before, zeros, window, begin, counted, 12)
    logs = model.train_on_batch({"symbols": window, "begin": begin}, counted, return_dict=True)
    assert float(logs["loss"]) == pytest.approx(loss, rel=1e-5) == float(logs["nats"])
    close([b - a for a, b in zip(values(model), before, strict=True)], gradients)
    close(states_of(model), last)


def test_full_backpropagation_equals_pytorch():
    torch = pytest.importorskip("torch")
    model = compiled(1.0, k1=30, cell="lstm")
    before = values(model)
    embedding, kernel, recurrent, bias, out, out_bias = before
    read, score = torch.nn.LSTM(WIDTH, UNITS, batch_first=True), torch.nn.Linear(UNITS, SYMBOLS)
    given = [kernel.T, recurrent.T, bias, np.zeros_like(bias), out.T, out_bias]
    with torch.no_grad():
        for parameter, value in zip([*read.parameters(), *score.parameters()], given, strict=True):
            parameter.copy_(torch.tensor(value.copy()))
    table = torch.tensor(embedding, requires_grad=True)
    inputs = TEXT[:30].astype(np.int64)
    inputs[0] = START
    outputs = score(read(table[torch.tensor(inputs)][None])[0])[0]
    torch.nn.functional.cross_entropy(outputs, torch.tensor(TEXT[1:31].astype(np.int64))).backward()
    expected = [table.grad, read.weight_ih_l0.grad.T, read.weight_hh_l0.grad.T, read.bias_ih_l0.grad]
    expected += [score.weight.grad.T, score.bias.grad]
    model.train_on_batch({"symbols": TEXT[None, :31], "begin": np.array([True])}, np.ones([1, 30], "float32"))
    close([b - a for a, b in zip(values(model), before, strict=True)], [e.numpy() for e in expected])


@pytest.mark.parametrize(
    ("cell", "k1", "k2", "restart"),
    [("rnn", 2, 5, 0), ("lstm", 1, 4, 3), ("gru", 3, 5, 0), ("rnn", 4, 4, 0), ("lstm", 3, 3, 2)],
)
def test_updates_are_those_of_a_loop_with_a_constant_state_at_the_start(cell, k1, k2, restart):
    """Six updates: of the loss of the last k1 symbols, through the last k2 steps, from states of the weights then."""
    model = compiled(k1=k1, cell=cell)
    weights, states = values(model), [np.zeros([3, UNITS], "float32")] * len(model.carried["training"])
    restarted = 0
    batches = streams.training(TEXT, 3, k1, k2, seed=1, restart=restart)
    for n, (x, counted) in enumerate(batches.take(6).as_numpy_iterator()):
        late = counted[~x["begin"]]
        assert (late == (np.arange(k2) >= k2 - k1)).all() and (counted[x["begin"]] == 1).all()
        restarted += n > 0 and x["begin"].any()
        loss, gradients, states = by_hand(cell, weights, states, x["symbols"], x["begin"], counted, k1)
        weights = [w - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
        logs = model.train_on_batch(x, counted, return_dict=True)
        assert float(logs["loss"]) == pytest.approx(loss, rel=1e-4)
        close(values(model), weights, 1e-5)
        close(states_of(model), states, 1e-5)
    assert bool(restarted) == bool(restart)


def test_the_gradient_goes_back_as_far_as_k2_and_no_further():
    """A longer window has another gradient, of the same loss: what came in between k1 and k2 steps before counts."""
    found = {}
    for k2 in (2, 4, 6):
        model = compiled(1.0, k1=2)
        end = 20
        states, _ = loop("rnn", values(model), [tf.zeros([1, UNITS])], TEXT[None, : end - k2].astype(int))[::-1]
        for variable, state in zip(model.carried["training"], states[-1], strict=True):
            variable.assign(state)
        before = values(model)
        counted = np.array([[0.0] * (k2 - 2) + [1.0] * 2], "float32")
        x = {"symbols": TEXT[None, end - k2 : end + 1], "begin": np.array([False])}
        loss = float(model.train_on_batch(x, counted, return_dict=True)["loss"])
        found[k2] = loss, np.concatenate([(b - a).ravel() for a, b in zip(values(model), before, strict=True)])
    assert found[2][0] == pytest.approx(found[4][0], rel=1e-5) == found[6][0]
    assert np.abs(found[4][1] - found[2][1]).max() > 1e-3
    assert np.abs(found[6][1] - found[4][1]).max() > 1e-4


# States ---------------------------------------------------------------------------------------------------------------


def long_pass(model, text):
    """Logits and final states of one pass over a text `[rows, time]`, from nothing."""
    inputs = model.inputs_of(tf.constant(text), tf.ones([len(text)], tf.bool))
    return model.read(inputs, [tf.zeros([len(text), state.shape[1]]) for state in model.carried["dev"]])


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "mingru", "minlstm"])
@pytest.mark.parametrize(("training", "k1", "k2"), [(False, 2, 5), (True, 2, 5)])
def test_states_carried_over_many_windows_are_those_of_one_long_pass(cell, training, k1, k2):
    model = Letters(k1, cell, depth=2)
    step = k1 if training else k2  # in dev the windows are chunks
    text = TEXT[:60].reshape(2, 30)
    expected, states = long_pass(model, text[:, : step * 5])
    run = tf.function(lambda symbols, begin: model({"symbols": symbols, "begin": begin}, training=training))
    for n in range(5):
        window = text[:, n * step : n * step + k2 + 1]
        logits = run(tf.constant(window), tf.fill([2], n == 0))
        close([logits[:, :step]], [expected[:, n * step : (n + 1) * step]], 1e-5)
    close(states_of(model, "training" if training else "dev"), states, 1e-5)


def test_windows_of_any_lengths():
    model = Letters(4, "gru")
    text, place = TEXT[:60].reshape(3, 20), 0
    expected, states = long_pass(model, text[:, :19])
    for length in (1, 4, 3, 9, 2):  # of one that is longer than k1, dev's state is that at its end
        x = {"symbols": text[:, place : place + length + 1], "begin": np.full(3, place == 0)}
        close([model(x)], [expected[:, place : place + length]], 1e-5)
        place += length
    close(states_of(model, "dev"), states, 1e-5)
    model({"symbols": text[:, :3], "begin": np.full(3, True)}, training=True)  # shorter than k1, in training
    _, states = long_pass(model, text[:, :2])
    close(states_of(model), states, 1e-5)


def test_begin_is_of_a_row():
    """A row that begins anew is as if nothing had been before it; its neighbours go on."""
    model = Letters(4, "lstm")
    read = lambda rows, begin: model({"symbols": TEXT[rows], "begin": np.array(begin)}).numpy()
    first, second, third = (np.arange(5) + np.array([[0], [20], [40]]) + 4 * n for n in range(3))
    read(first, [True] * 3), read(second, [False] * 3)
    mixed = read(third, [False, True, False])
    read(first, [True] * 3), read(second, [False] * 3)
    going_on, anew = read(third, [False] * 3), read(third, [True] * 3)
    close([mixed], [np.stack([going_on[0], anew[1], going_on[2]])], 1e-6)
    assert np.abs(going_on - anew).max(axis=(1, 2)).min() > 1e-2


def test_there_may_be_another_number_of_rows():
    model = Letters(4)
    read = lambda rows, begin: model({"symbols": TEXT[np.array(rows)[:, None] + np.arange(5)], "begin": begin}).numpy()
    read([0, 20, 40], np.full(3, True))
    expected = read([4, 24, 44], np.full(3, False))
    read([0, 20, 40], np.full(3, True))
    close([read([4, 24], np.full(2, False))], [expected[:2]], 1e-6)
    read([0, 20], np.full(2, True))
    more = read([4, 24, 44], np.full(3, False))  # a row that was not there before has nothing before it
    close([more[:2]], [expected[:2]], 1e-6)
    states = long_pass(model, TEXT[None, 44:48])[1]
    inputs = tf.constant(TEXT[None, 44:48].astype(int))
    close([more[2:]], [model.read(inputs, [tf.zeros_like(s) for s in states])[0]], 1e-6)


@pytest.mark.slow
def test_looking_at_dev_does_not_disturb_training():
    batches = list(streams.training(TEXT, 3, 2, 4, seed=1, restart=0).take(6))
    dev = streams.once(TEXT[::-1].copy(), 2, 7)
    models = [compiled(k1=2, cell="lstm"), compiled(k1=2, cell="lstm")]
    for x, counted in batches:
        for model in models:
            model.train_on_batch(x, counted)
        training.score(models[0], dev)
    close(values(models[0]), values(models[1]), 1e-7)
    close(states_of(models[0]), states_of(models[1]), 1e-7)
    scores = training.score(models[0], dev)
    for x, counted in batches[:2]:  # nor the other way round
        models[1].train_on_batch(x, counted)
    models[1].set_weights(models[0].get_weights())
    assert training.score(models[1], dev) == pytest.approx(scores, rel=1e-6)


# Scores ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k2", [1, 6, 13, 60, 100])
def test_nats_are_exact_whatever_the_windows(k2):
    """Windows count different numbers of symbols: the mean is over symbols, not over windows."""
    model = compiled(k1=1, cell="gru")
    logits, _ = long_pass(model, TEXT[None, :-1])
    log_p = tf.nn.log_softmax(logits[0]).numpy()
    nats = -log_p[np.arange(60), TEXT[1:]].mean()
    scores = training.score(model, streams.once(TEXT, 1, k2))
    assert scores["nats"] == pytest.approx(nats, rel=1e-5)
    assert scores["accuracy"] == pytest.approx((log_p.argmax(1) == TEXT[1:]).mean(), rel=1e-5)


class Pairs(training.TruncatedBPTT):
    """Symbols of two columns, outputs of two tensors."""

    def __init__(self, k1):
        super().__init__(k1, name="pairs")
        keras.utils.set_random_seed(1)
        self.layer = RecurrentStack(UNITS, 1, "rnn", return_state=True)
        self.first, self.second = keras.layers.Dense(3), keras.layers.Dense(1)
        self.layer.build((None, None, 2))
        self.first.build((None, UNITS)), self.second.build((None, UNITS))
        self.carry([UNITS])

    def read(self, inputs, states, training=False):
        y, states = self.layer(tf.cast(inputs, tf.float32), initial_state=states, training=training)
        return {"kind": self.first(y), "size": self.second(y)}, states

    def losses(self, outputs, targets):
        losses, right = token_losses(outputs["kind"], targets[:, 0])
        return losses + (outputs["size"][:, 0] - tf.cast(targets[:, 1], tf.float32)) ** 2, right


def test_symbols_of_columns_and_outputs_of_parts():
    draw = np.random.default_rng(0)
    symbols = np.stack([draw.integers(0, 3, 40), draw.integers(0, 5, 40)], 1).astype(np.int32)
    model = Pairs(2)
    model.compile(keras.optimizers.SGD(0.0))
    state = np.zeros([2, UNITS])
    kernel, recurrent, bias, first, first_bias, second, second_bias = values(model)
    for n, (x, counted) in enumerate(streams.training(symbols, 2, 2, 5, 0, 0).take(4).as_numpy_iterator()):
        losses, h = [], state
        for t in range(5):
            h = np.tanh(x["symbols"][:, t] @ kernel + h @ recurrent + bias)
            state = h if t == 1 else state
            kind, size = h @ first + first_bias, (h @ second + second_bias)[:, 0]
            target = x["symbols"][:, t + 1]
            chosen = np.log(np.exp(kind).sum(1)) - kind[np.arange(2), target[:, 0]]
            losses.append(chosen + (size - target[:, 1]) ** 2)
        expected = np.mean(losses if n == 0 else losses[-2:])
        assert float(model.train_on_batch(x, counted, return_dict=True)["loss"]) == pytest.approx(expected, rel=1e-4)


def test_mixed_precision_carries_float32():
    with training.precision("mixed_bfloat16"):
        model = compiled(k1=2, cell="lstm")
    exact = compiled(k1=2, cell="lstm")
    for x, counted in streams.training(TEXT, 3, 2, 4, 1, 0).take(4):
        losses = [float(m.train_on_batch(x, counted, return_dict=True)["loss"]) for m in (model, exact)]
        assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert {state.dtype for state in states_of(model)} == {np.dtype("float32")}
    close(states_of(model), states_of(exact), 0.05)


# Going on after a kill ------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def fit(folder, options):
    config = TrainingConfig(epochs=2, checkpoint_seconds=0.0, patience=0, learning_rate=0.02, averaging=0.9)
    model = Letters(**options)
    model.compile(training.optimizer(config, 8))
    batches, dev = streams.training(TEXT, 3, options["k1"], 4, seed=2, restart=4), streams.once(TEXT[30:], 2, 4)
    said = []
    state = training.fit(model, batches, dev, config, folder, 4, ("nats", "min"), "this", said.append)
    return model, state, said


@pytest.mark.slow
@pytest.mark.parametrize(("after", "k1", "cell", "depth"), [(3, 4, "lstm", 2), (4, 2, "gru", 1)])
def test_a_killed_training_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch, after, k1, cell, depth):
    """In an epoch, and at its end: weights, the states carried, dropout's draws and the scores."""
    options = dict(k1=k1, cell=cell, depth=depth, dropout=0.2, weight_dropout=0.3)
    monkeypatch.setattr(training.plots, "learning_curves", lambda *_: None)  # takes longer than all else
    save, saved = training.Checkpoint.save, itertools.count(1)

    def counted(self, state):
        save(self, state)
        if next(saved) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training.Checkpoint, "save", counted)
        with pytest.raises(Killed):
            fit(tmp_path / "cut", options)
    model, state, said = fit(tmp_path / "cut", options)
    assert said[0].startswith(f"resuming from the checkpoint at step {after} ")
    whole, expected, _ = fit(tmp_path / "whole", options)
    close(model.get_weights(), whole.get_weights(), 1e-6)
    close(states_of(model), states_of(whole), 1e-6)
    assert np.abs(states_of(model)[0]).min() > 0
    drop = lambda history: [{k: v for k, v in row.items() if k != "seconds"} for row in history]
    for row, expected_row in zip(drop(state.history), drop(expected.history), strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5)


def test_a_gradient_that_would_not_reach_all_of_an_update_is_refused():
    training.check_truncation(3, 3)
    with pytest.raises(ZooError, match="k1=4, k2=3: expected k1 to be at most k2"):
        training.check_truncation(4, 3)
