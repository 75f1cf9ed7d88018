"""`TokenEncoder` against the same thing done a token at a time."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zoo.layers.tokens import TokenEncoder
from zoo.text import TokenVectorizer

SENTENCES = [["ana", "met", "Ana", "in", "Porto", "and", "ana", "left"], ["Porto", "!"], ["extraordinarily", "ana"]]


@pytest.fixture(scope="module")
def features():
    letters = sorted({letter for row in SENTENCES for token in row for letter in token})
    read = TokenVectorizer(["", "[UNK]", "ana", "porto", "in"], ["", "[UNK]", *letters[3:]], length=10)
    return read(tf.ragged.constant(SENTENCES)).to_tensor()


def encoder(**options):
    keras.utils.set_random_seed(0)
    return TokenEncoder(5, 20, word_dim=4, character_dim=3, character_units=6, **options)


@pytest.mark.parametrize("training", [False, True])
def test_equals_one_token_at_a_time(features, training):
    layer = encoder()
    vectors = layer(features, training=training).numpy()
    peer = keras.layers.Bidirectional(keras.layers.LSTM(6))
    peer.build((None, None, 3))
    peer.set_weights(layer.reader.get_weights())
    assert vectors.shape == (3, 8, 4 + 12)
    for row, sentence in enumerate(SENTENCES):
        for place in range(len(sentence)):
            word, _, *letters = features[row, place].numpy()
            letters = np.array([i for i in letters if i])[None]
            expected = [layer.embedding.embeddings.numpy()[word], peer(layer.letters(letters)).numpy()[0]]
            np.testing.assert_allclose(vectors[row, place], np.concatenate(expected), atol=1e-5)


def test_the_mask_and_what_follows_it(features):
    layer = encoder()
    mask = layer.compute_mask(features).numpy()
    assert mask.sum(1).tolist() == [8, 2, 2]
    assert layer(features)._keras_mask.numpy().tolist() == mask.tolist()
    wider = tf.pad(features, [[0, 1], [0, 3], [0, 0]])
    np.testing.assert_allclose(layer(wider)[:3, :8], layer(features), atol=1e-6)


def test_word_dropout_takes_words_for_unknown_in_training_only(features):
    layer = encoder(word_dropout=0.5)
    table = layer.embedding
    table.build(())
    unknown = table.embeddings.numpy()[1]
    known = features.numpy()[:, :, 0] > 1
    words = layer(tf.tile(features, [20, 1, 1]), training=True).numpy()[:, :, :4]
    share = (words == unknown).all(-1)[np.tile(known, [20, 1])].mean()
    assert 0.35 < share < 0.65
    assert not (layer(features).numpy()[:, :, :4] == unknown).all(-1)[known].any()
    padding = features.numpy()[:, :, 0] == 0
    np.testing.assert_array_equal(words[:3][padding], np.tile(table.embeddings.numpy()[0], [padding.sum(), 1]))


def test_gradients_reach_everything_in_a_graph(features):
    layer = encoder()
    layer.build((None, None, features.shape[-1]))

    @tf.function(input_signature=[tf.TensorSpec([None, None, 12], tf.int32)])
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return [tf.reduce_max(tf.abs(tf.convert_to_tensor(g))) for g in tape.gradient(loss, layer.trainable_variables)]

    assert all(g > 0 for g in gradients(features)) and all(g > 0 for g in gradients(features[1:2, :2]))


def test_config_and_words_alone(features):
    layer = TokenEncoder.from_config(encoder(word_dropout=0.2).get_config())
    assert (layer.word_dropout, layer.character_units, layer(features).shape[-1]) == (0.2, 6, 16)
    alone = TokenEncoder(5, 20, word_dim=4, character_units=0)
    np.testing.assert_array_equal(alone(features), alone.embedding(features[:, :, 0]))
