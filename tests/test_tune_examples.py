"""Where the tunes of the jazz task come from: the built-in corpus and others through TFDS, files; and in which keys."""

import json
import random
import types
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from tasks.corpora import standards
from tasks.jazz import Config, Jazz
from zoo import chords, tune_examples
from zoo.errors import ZooError
from zoo.events import ROOT


def pairs(events):
    return [(event.chord.symbol, event.beats) for event in events]


@pytest.fixture
def files(tmp_path):
    """Ten tunes as JSON lines, each with another number of beats."""
    draw, kinds = random.Random(1), ("m7", "7", "maj7", "")
    with open(tmp_path / "train.jsonl", "w") as file:
        for i in range(10):
            events = [[chords.of(draw.randrange(12), draw.choice(kinds)).symbol, 4] for _ in range(9)]
            row = {"title": str(i), "key": ["C", "Eb", "F#m"][i % 3], "chords": [["C", i + 1], *events]}
            print(json.dumps(row), file=file)
    return tmp_path


def test_the_built_in_corpus_through_tfds(tmp_path):
    builder = standards.Standards(data_dir=tmp_path)
    builder.download_and_prepare()
    splits, written = Jazz.from_tfds(builder), standards.write()
    assert set(splits) == {"train", "dev", "test"}
    assert all(splits["dev"].element_spec[name] == spec for name, spec in tune_examples.SPEC.items())
    found = tune_examples.tunes(splits["dev"])
    expected = {tune.title: tune for tune in written["validation"]}
    assert {tune.title for tune in found} == set(expected)
    for tune in found:
        original = expected[tune.title]
        steps = [(symbol, step.beats) for symbol, step in zip(original.symbols(), original.steps, strict=True)]
        assert pairs(tune.events) == steps and tune.bars.denominator == 1
        assert (tune.meter, tune.key, tune.tempo) == (original.meter, original.key, original.tempo)
    dev = splits["dev"].take(6)
    in_c = tune_examples.tunes(dev, in_c=True)
    assert {tune.key for tune in in_c} <= {"C", "Cm"}
    for tune, other in zip(in_c, tune_examples.tunes(dev), strict=True):
        up = chords.parse(other.key.removesuffix("m")).pitch_class
        there = [(event.chord.pitch_class + up * (event.chord.root != "")) % 12 for event in tune.events]
        assert there == [event.chord.pitch_class % 12 for event in other.events]


def builder_of(features, examples):
    data = tf.data.Dataset.from_tensors(examples)
    info = types.SimpleNamespace(features=features, splits={"train": None}, full_name="tunes/1.0.0")
    return types.SimpleNamespace(info=info, as_dataset=lambda split, shuffle_files: data)


def test_tfds_with_chords_and_beats_alone():
    example = {"chords": tf.constant(["Dm7", "G7"]), "beats": tf.constant([4, 1.5])}
    found = tune_examples.tunes(Jazz.from_tfds(builder_of(example, example))["train"])
    assert len(found) == 1 and pairs(found[0].events) == [("Dm7", 4), ("G7", Fraction(3, 2))]
    assert (found[0].title, found[0].meter, found[0].key, found[0].tempo) == ("train-0", (4, 4), "", 0)
    with pytest.raises(ZooError, match="expected features chords and beats; it has label, text"):
        Jazz.from_tfds(builder_of({"label": 0, "text": ""}, example))


def test_training_hears_each_tune_in_all_keys_by_turns(files):
    train = Jazz.from_files(files)["train"]
    for keys in ("all", "tonic"):
        task = Jazz(Config(copies=12, least=2, keys=keys))
        task.learn(train)
        plain = [row.numpy() for row in task.encoded(train)]
        several = [row.numpy() for row in task.encoded_for_training(train)]
        assert len(several) == 12 * len(plain)
        without = lambda rows_: sorted(np.delete(row, ROOT, 1).tobytes() for row in rows_)
        assert without(several) == sorted(without(plain) * 12)  # but for the roots they are the same
        heard = {}
        for row in several:
            heard.setdefault(np.delete(row, ROOT, 1).tobytes(), set()).add(int(row[1, ROOT]))
        assert {len(roots) for roots in heard.values()} == {12} if keys == "all" else {1}
        assert [row.tobytes() for row in several[: len(plain)]] != [row.tobytes() for row in plain]
        again = [row.numpy().tobytes() for row in task.encoded_for_training(train)]
        assert again == [row.tobytes() for row in several]
