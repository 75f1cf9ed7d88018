"""Spans of tokens and the tags that write them: strings <-> ids <-> spans, inside the graph.

A model's tags are BIOES (Ratinov & Roth 2009: a little better to learn than BIO), numbered so that arithmetic tells
them apart: 0 is O, and 1 + 4 k + (0, 1, 2, 3) are B, I, E and S of type k. What people give and get is IOB2.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from zoo import conll
from zoo.errors import ZooError, note
from zoo.files import splits_among
from zoo.layers.crf import best_tags

PARTS = "BIES"


def bioes(labels: list[str]) -> list[str]:
    """The tags of these types of entities, in the order of their ids."""
    return ["O", *(f"{part}-{label}" for label in labels for part in PARTS)]


def examples(sentences: list[conll.Sentence]) -> tf.data.Dataset:
    """`{"tokens", "tags"}`, `tf.string` `[tokens]` each, of sentences in IOB2; those without tokens are left out."""
    sentences = [s for s in sentences if s.tokens]
    lengths = [len(s.tokens) for s in sentences]
    columns = {"tokens": [t for s in sentences for t in s.tokens], "tags": [t for s in sentences for t in s.tags]}
    ragged = {
        name: tf.RaggedTensor.from_row_lengths(tf.constant(flat, tf.string), lengths) for name, flat in columns.items()
    }
    return tf.data.Dataset.from_tensor_slices(ragged)


def from_tfds(builder) -> dict[str, tf.data.Dataset]:
    """The splits of a prepared TFDS builder with a sequence of tokens and one of tags; tags of any scheme.

    Raises:
        ZooError: it has no such features.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    inner = {name: f.feature for name, f in features.items() if isinstance(f, tfds.features.Sequence)}
    texts = [n for n, f in inner.items() if isinstance(f, tfds.features.Text) and n in ("tokens", "words")]
    tags = [n for n, f in inner.items() if isinstance(f, tfds.features.ClassLabel) and n in ("ner", "tags", "ner_tags")]
    if not (texts and tags and all(conll.TAG.fullmatch(name) for name in inner[tags[0]].names)):
        raise ZooError(
            f"TFDS {builder.info.full_name} is no corpus of tagged tokens: expected sequences named tokens and ner or "
            f"tags among its features, found {', '.join(features)}"
        )
    names, splits = inner[tags[0]].names, {}
    for split, name in splits_among(builder.info.splits).items():
        rows = builder.as_dataset(split=name, shuffle_files=False).as_numpy_iterator()
        pairs = [(list(row[texts[0]]), [names[i] for i in row[tags[0]]]) for row in rows]
        splits[split] = examples([_sentence(*pair) for pair in pairs])
        odd = sum(len(tokens) != len(tags_) for tokens, tags_ in pairs)
        if odd:
            what = f"TFDS {builder.info.full_name}, {name}: {odd} sentences"
            note(f"{what} have not as many tags as tokens; cut to the fewer")
    return splits


def _sentence(tokens, tags):
    count = min(len(tokens), len(tags))
    return conll.Sentence(tokens[:count], conll.to_iob2(tags[:count]), 0)


def tag_ids(tags: tf.RaggedTensor, labels: list[str]) -> tf.RaggedTensor:
    """IOB2 tags, ragged `tf.string` `[batch, (tokens)]` -> ids of `bioes(labels)`; types not among them count as O."""
    names = tf.constant([f"{part}-{label}" for label in labels for part in "BI"])
    dense = tags.to_tensor("O")
    same = tf.equal(dense[:, :, None], names)
    place = tf.argmax(same, -1, tf.int32)  # 2 k + (0, 1): B, I
    ids = tf.where(tf.reduce_any(same, -1), 1 + 4 * (place // 2) + place % 2, 0)
    begins, ends = bounds(ids)
    part = tf.where(begins, tf.where(ends, 3, 0), tf.where(ends, 2, 1))
    ids = tf.where(ids > 0, ids - (ids - 1) % 4 + part, 0)
    return tf.RaggedTensor.from_tensor(ids, tags.row_lengths())


def bounds(ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where spans begin and where they end, bool like the ids `[batch, time]`.

    Any sequence of tags has a reading, conlleval's: a span begins where none goes on.
    """
    kind, part = (ids - 1) // 4, (ids - 1) % 4
    earlier = lambda x: tf.pad(x[:, :-1], [[0, 0], [1, 0]])
    goes_on = (ids > 0) & (earlier(ids) > 0) & tf.equal(kind, earlier(kind))
    goes_on &= ((part == 1) | (part == 2)) & (earlier(part) < 2)
    return (ids > 0) & ~goes_on, (ids > 0) & ~tf.pad(goes_on[:, 1:], [[0, 0], [0, 1]])


@keras.saving.register_keras_serializable("zoo")
class EntityF1(keras.metrics.Metric):
    """F1 of whole spans of the right type (Tjong Kim Sang & De Meulder 2003), of ids of BIOES tags `[batch, time]`.

    Predictions are a `CRF`'s output, of which the best path counts, or scores of tags. In training only, for the
    choice of the epoch; reports are seqeval's.
    """

    def __init__(self, name="f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.right, self.predicted, self.true = (
            self.add_variable((), "zeros", name=kind) for kind in ("right", "predicted", "true")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        true, predicted = _spans(tf.cast(y_true, tf.int32)), _spans(best_tags(y_pred))
        for variable, found in (
            (self.right, (true > 0) & tf.equal(true, predicted)),
            (self.predicted, predicted > 0),
            (self.true, true > 0),
        ):
            variable.assign_add(tf.reduce_sum(tf.cast(found, tf.float32)))

    def result(self):
        return tf.math.divide_no_nan(2 * self.right, self.predicted + self.true)


def _spans(ids):
    """Where a span begins a number made of its length and type; 0 elsewhere."""
    begins, ends = map(tf.where, bounds(ids))  # the nth that begins is the nth that ends
    length = tf.cast(ends[:, 1] - begins[:, 1] + 1, tf.int32)
    kind = (tf.gather_nd(ids, begins) - 1) // 4
    return tf.scatter_nd(begins, length * 2**12 + kind, tf.shape(ids, tf.int64))


def answer(text, tokens, starts, ends, ids, probability, conditional, labels) -> dict[str, tf.Tensor]:
    """What a SavedModel answers: the tags in IOB2 with their probabilities, and the entities.

    Args:
        text: `tf.string` `[batch]`, UTF-8; tokens `[batch, (time)]` with their starts and ends in it, all ragged.
        ids: BIOES `[batch, time]`; their probabilities, and those given the tag before.

    Returns:
        Padded tensors; `steps` and `entities_count` `[batch]` say how many are true.
    """
    steps = tokens.row_lengths()
    tokens, starts, ends = tokens.to_tensor(""), starts.to_tensor(), ends.to_tensor()
    ids, probability, conditional = (x[:, : tf.shape(tokens)[1]] for x in (ids, probability, conditional))
    begins, finishes = bounds(ids)
    first, last = tf.where(begins), tf.where(finishes)
    so_far = tf.cumsum(tf.math.log(tf.maximum(conditional, 1e-30)), 1)
    confidence = tf.exp(tf.gather_nd(so_far, last) - tf.gather_nd(so_far, first)) * tf.gather_nd(probability, first)
    start, end = tf.gather_nd(starts, first), tf.gather_nd(ends, last)
    entities = {
        "text": tf.strings.substr(tf.gather(text, first[:, 0]), start, end - start, unit="UTF8_CHAR"),
        "label": tf.gather(tf.constant(labels), (tf.gather_nd(ids, first) - 1) // 4),
        "start": start,
        "end": end,
        "confidence": confidence,
    }
    rows = {
        name: tf.RaggedTensor.from_value_rowids(values, first[:, 0], tf.shape(text, tf.int64)[0])
        for name, values in entities.items()
    }
    names = tf.constant(["O", *(f"{part}-{label}" for label in labels for part in "BI")])
    return {
        "tokens": tokens,
        "tags": tf.gather(names, tf.where(ids > 0, 1 + 2 * ((ids - 1) // 4) + tf.where(begins, 0, 1), 0)),
        "confidences": probability,
        "steps": tf.cast(steps, tf.int32),
        "entities_count": tf.cast(rows["text"].row_lengths(), tf.int32),
        **{f"entities_{name}": values.to_tensor() for name, values in rows.items()},
    }
