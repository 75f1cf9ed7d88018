"""The language model against its definition, and the way from running text to a task's first weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo import pretraining, text
from zoo.errors import ZooError
from zoo.layers import LSTM

WORDS = 50


def language_model(negatives=8):
    keras.utils.set_random_seed(3)
    recurrent = keras.layers.Bidirectional(LSTM(6, return_sequences=True), name="recurrent")
    model = pretraining.BidirectionalLanguageModel(
        keras.layers.Embedding(WORDS, 5, name="embedding"), recurrent, negatives, dropout=0.0
    )
    model(tf.zeros([1, 4], tf.int32))
    model.embedding.set_weights([np.random.default_rng(0).normal(size=(WORDS, 5))])
    model.bias.assign(np.random.default_rng(1).normal(size=WORDS))
    return model


@pytest.fixture
def ids():
    return np.random.default_rng(2).integers(0, WORDS, (3, 7)).astype("int32")


def test_forward_states_see_no_later_word_and_backward_states_no_earlier_one(ids):
    model = language_model()
    forward, backward = (q.numpy() for q in model(ids))
    changed = ids.copy()
    changed[:, 3] = (ids[:, 3] + 1) % WORDS
    forward_changed, backward_changed = (q.numpy() for q in model(changed))
    # The query at place t is for the word t + 1 (forward), or t (backward, from the state at t + 1).
    same = [np.allclose(forward[:, t], forward_changed[:, t], atol=1e-6) for t in range(6)]
    assert same == [True] * 3 + [False] * 3
    same = [np.allclose(backward[:, t], backward_changed[:, t], atol=1e-6) for t in range(6)]
    assert same == [False] * 3 + [True] * 3


def full_loss(model, ids):
    """Mean of -log softmax of the next and of the previous word, in NumPy."""
    table, bias = model.embedding.get_weights()[0].astype("float64"), model.bias.numpy()
    losses = []
    for query, target in zip(model(ids), (ids[:, 1:], ids[:, :-1]), strict=True):
        logits = query.numpy() @ table.T + bias
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses.append(-np.take_along_axis(log_p, target[..., None], -1).mean())
    return np.mean(losses)


def test_the_loss_outside_training_is_that_of_the_full_softmax(ids):
    model = language_model()
    loss = model.compute_loss(ids, y_pred=model(ids), training=False)
    assert float(loss) == pytest.approx(full_loss(model, ids), abs=1e-5)


def test_the_sampled_loss_of_all_words_is_that_of_the_full_softmax(ids):
    model = language_model(negatives=WORDS)  # drawn without replacement: every word
    loss = model.compute_loss(ids, y_pred=model(ids), training=True)
    assert float(loss) == pytest.approx(full_loss(model, ids), abs=1e-3)


def test_running_text_is_every_text_after_a_zero():
    vocabulary = ["", "[UNK]", "a", "b"]
    ids = pretraining.running_text(["b a", "", "a c"], vocabulary)
    assert ids.tolist() == [0, 3, 2, 0, 0, 2, 1]


def test_chunks_are_pieces_of_the_text_each_once_a_pass():
    ids = np.arange(100, dtype="int32")
    batches = list(pretraining.chunks(ids, 10, 3, seed=1).take(6).as_numpy_iterator())
    pieces = np.concatenate([x for x, _ in batches])
    assert all(np.array_equal(x, y) for x, y in batches)
    assert (np.diff(pieces) == 1).all()
    one_pass, next_pass = pieces[:9], pieces[9:]  # 100 // 10 - 1 pieces
    for part in (one_pass, next_pass):
        assert sorted(part[:, 0] - part[:, 0].min()) == list(range(0, 90, 10))
    again = pretraining.chunks(ids, 10, 3, seed=1).take(6).as_numpy_iterator()
    assert np.array_equal(pieces, np.concatenate([x for x, _ in again]))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """An encoder trained on a language in which every word says what its neighbours are."""
    folder = tmp_path_factory.mktemp("pretrained")
    texts = ["one two three four five " * 12] * 40
    config = pretraining.Config(
        vocabulary_size=8, embedding_dim=8, units=12, negatives=4, length=16, batch_size=16, steps=20, epochs=6,
        learning_rate=0.05, dropout=0.0,
    )  # fmt: skip
    said = []
    pretraining.pretrain(texts, texts[:4], config, folder, said.append)
    return folder, said


def test_it_learns_what_there_is_to_learn(pretrained):
    folder, said = pretrained
    assert said[0].startswith("2,440 words to train on, 244 to measure on")
    history = (folder / "history.csv").read_text().splitlines()
    column = history[0].split(",").index("dev_loss")
    losses = [float(row.split(",")[column]) for row in history[1:]]
    # Only at a text's ends does a neighbour have to be guessed.
    assert losses[0] > 2 * losses[-1] and losses[-1] < 0.3


def test_a_task_starts_from_the_encoder(pretrained, corpus, tmp_path):
    from tasks.sentiment import Config, Sentiment
    from zoo.run import Run

    folder, _ = pretrained
    config = Config(embedding_dim=8, units=12, init=str(folder))
    run = Run("sentiment", str(corpus), tmp_path)
    task = run.prepare(config)
    assert task.assets["vocabulary"][:2] == [text.PADDING, text.UNKNOWN]
    assert set(task.assets["vocabulary"][2:]) == {"one", "two", "three", "four", "five"}
    model = task.compiled(1)
    with np.load(folder / "encoder.npz") as arrays:
        np.testing.assert_array_equal(model.embedding.get_weights()[0], arrays["embedding"])
        for i, weight in enumerate(model.stack.recurrent_layers[0].get_weights()):
            np.testing.assert_array_equal(weight, arrays[f"recurrent_{i}"])
    with pytest.raises(ZooError, match="other sizes"):
        Sentiment(Config(embedding_dim=8, units=16, init=str(folder)), task.assets).compiled(1)


def test_an_encoder_that_is_not_there(refused, corpus, tmp_path):
    line = refused("train", "sentiment", "--data", corpus, "--runs", tmp_path, "--set", f"init={tmp_path}/none")
    assert line.startswith(f"{tmp_path}/none/vocabulary.txt: not found")


@pytest.mark.slow
def test_a_task_starts_from_a_run(tiny, corpus, tmp_path):
    from zoo.run import Run

    run = Run("sentiment", str(corpus), tmp_path)
    task = run.prepare(run.configure("small", ["embedding_dim=8", "units=8", f"init={tiny.folder}"]))
    trained, model = tiny.model()
    assert task.assets["vocabulary"] == trained.assets["vocabulary"]
    for found, expected in zip(task.compiled(1).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_weights_of_a_run_by_themselves(tiny, tmp_path):
    task, model = tiny.model()
    again = task.build()
    pretraining.load_run(str(tiny.folder), again)
    for found, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ZooError) as error:
        pretraining.load_run(str(tmp_path), again)
    assert str(error.value) == f"{tmp_path}/best.npz: not found; expected the folder of a run"
    for weights in (model.get_weights()[:-1], [np.zeros([2, 3])] * len(model.get_weights())):
        np.savez(tmp_path / "best.npz", *weights)
        with pytest.raises(ZooError, match="weights of other sizes than the configuration's") as error:
            pretraining.load_run(str(tmp_path), again)
        assert "\n" not in str(error.value)
