"""The translation task from end to end: sources, training, and what the SavedModel answers."""

import dataclasses
import json
import random

import numpy as np
import pytest
import tensorflow as tf

from tasks.translation import Config, Translation
from zoo import data, serving
from zoo.config import configure
from zoo.run import Run

NOUNS = {"dog": "hund", "cat": "katze", "horse": "pferd", "bird": "vogel", "man": "mann", "woman": "frau"}
VERBS = {"sees": "sieht", "likes": "mag", "feeds": "füttert"}


def pairs(count, seed):
    """English and a German without articles whose verb comes last."""
    draw = random.Random(seed)
    for _ in range(count):
        (a, b), (verb, other) = draw.sample(list(NOUNS.items()), 2), draw.choice(list(VERBS.items()))
        yield f"The {a[0]} {verb} the {b[0]}.", f"{a[1].capitalize()} {b[1]} {other}."


def write(folder, count=300, **sides):
    """train, val and test in en and de; `sides` replace whole files."""
    for seed, (split, size) in enumerate({"train": count, "val": 40, "test_one": 40}.items()):
        for language, lines in zip(("en", "de"), zip(*pairs(size, seed), strict=True), strict=True):
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n")
    for name, text in sides.items():
        (folder / name.replace("_", ".", 1)).write_text(text)
    return folder


def command(files, runs, *settings):
    values = ["epochs=25", "batch_size=20", "units=24", "decoder_units=32", "embedding_dim=16", "vocabulary_size=80"]
    values += ["learning_rate=0.01", "warmup=0.1", "dropout=0", "label_smoothing=0.05", *settings]
    given = [part for value in values for part in ("--set", value)]
    return ["train", "translation", "--data", str(files), "--runs", str(runs), *given]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("parallel"))


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    from zoo import cli

    runs = tmp_path_factory.mktemp("runs")
    assert cli.main(command(files, runs)) == 0
    return Run("translation", str(files), runs)


@pytest.fixture(scope="module")
def model(run):
    return serving.load(run.folder / "export")


def test_it_learns_and_reports(run, zoo, files):
    code, out, err = zoo("evaluate", "translation", "--data", files, "--runs", run.folder.parent.parent)
    assert code == 0, err
    report = json.loads((run.folder / "evaluation/test/report.json").read_text())["report"]
    assert report["bleu"] > 90 and report["exact"] > 0.9 and report["chrf"] > 90
    assert [row["search"] for row in report["searches"]] == ["greedy", "beam 5", "beam 10"]
    assert (run.folder / "evaluation/test/by_length.png").is_file() and "BLEU" in out
    assert report["bleu_signature"].startswith("nrefs:1")


def test_answers_with_alternatives(model):
    answer = model("The dog sees the cat.")
    assert answer["text"] == "Hund katze sieht." and answer["unknown"] == 0 and answer["score"] < 0
    texts = [answer["text"], *(a["text"] for a in answer["alternatives"])]
    assert 2 <= len(texts) == len(set(texts)) <= 5 and all(texts)
    assert model.card["languages"] == ["en", "de"]


def test_options(model):
    text = "The dog sees the cat."
    assert model.card["options"] == {"beam_width": 5, "max_length": 0}
    greedy = model(text, beam_width=1)
    assert greedy["alternatives"] == [] and greedy["text"] == model(text)["text"]
    assert len(model([text], beam_width=3)[0]["alternatives"]) <= 2 < len(model(text, beam_width=20)["alternatives"])
    short = model(text, max_length=1)
    assert len(short["text"].split()) <= 1
    for options, message in (
        ({"beam_width": 0}, "beam_width=0: expected a whole number, at least 1"),
        ({"temperature": 1}, "'temperature': expected one of: beam_width, max_length"),
    ):
        with pytest.raises(Exception, match=message):
            model(text, **options)


def test_odd_inputs_get_an_answer(model):
    odd = ["", " \n", "the", "\U0001f600 \u65e5\u672c", b"caf\xe9 \xff dog", "a\x00b", "x" * 5000]
    answers = model(odd)
    assert answers[0] == answers[1] and answers[0]["text"] == "" and answers[0]["alternatives"] == []
    assert answers[3] == {"text": odd[3], "score": 0, "unknown": 2, "alternatives": []}  # handed back
    assert answers[6]["text"] and answers[4]["unknown"] == 2
    assert all(np.isfinite(answer["score"]) for answer in answers)


def test_an_answer_does_not_depend_on_the_rest_of_the_batch(model):
    texts = ["The dog sees the cat.", "", "The bird likes the man. " * 5]
    for alone, together in zip(map(model, texts), model(texts), strict=True):
        assert alone["text"] == together["text"]
        np.testing.assert_allclose(alone["score"], together["score"], rtol=1e-4)


def test_long_texts_are_translated_sentence_by_sentence(model):
    sentences = ["The dog sees the cat.", "The bird likes the man."] * 200
    one = [model(sentence) for sentence in sentences[:2]]
    answer = model(" ".join(sentences))
    assert answer["text"] == " ".join(a["text"] for a in one * 200)
    np.testing.assert_allclose(answer["score"], 200 * sum(a["score"] for a in one), rtol=1e-3)
    assert len(model("dog " * 5000)["text"]) > 0  # one sentence of 5,000 words


@pytest.mark.slow
def test_attention_is_drawn(run, model, zoo, refused, tmp_path):
    source, target, weights = model.attention("The dog sees the cat.")
    assert "".join(source) == "\u2581The\u2581dog\u2581sees\u2581the\u2581cat.</s>"
    assert "".join(target) == "\u2581Hund\u2581katze\u2581sieht.</s>"
    assert weights.shape == (len(target), len(source))
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
    line = ["predict", "translation", "--model", run.folder / "export", "The dog sees the cat."]
    code, out, err = zoo(*line, "--attention", tmp_path / "out.png")
    assert code == 0 and json.loads(out)["text"] == "Hund katze sieht.", err
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert "expected one input" in refused(*line, "more", "--attention", tmp_path / "two.png")
    assert ".png" in refused(*line, "--attention", tmp_path / "out.pdf")


FRESH = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
out = model.signatures["serving_default"](tf.constant(["The dog sees the cat.", ""]))
assert out["text"].numpy().tolist() == [b"Hund katze sieht.", b""], out
out = model.signatures["search"](
    text=tf.constant(["The dog sees the cat."]), beam_width=tf.constant(2), max_length=tf.constant(20)
)
assert out["alternatives_text"].shape == (1, 1)
assert "zoo" not in sys.modules
"""


@pytest.mark.slow
def test_tensorflow_alone_loads_it(run, script):
    script(FRESH, run.folder / "export")


@pytest.mark.parametrize("source", ["en", "pt"])
def test_tfds_in_both_directions(source, mocked_tfds):
    """TFDS's own features and splits, with examples made up by TFDS."""
    mocked_tfds("ted_hrlr_translate/pt_to_en", ("train", "validation", "test"), 40)
    corpus = data.open_corpus(Translation, "ted_hrlr_translate/pt_to_en")
    task = Translation(Config(source=source, vocabulary_size=200))
    train = task.training_examples(corpus.split("train"))
    task.learn(train)
    other = {"en": "pt", "pt": "en"}[source]
    assert task.assets["languages"] == [source, other]
    x, y = next(iter(task.encoded(corpus.split("dev"))))
    example = next(iter(corpus.split("dev")))
    for ids, language in ((x["source"][:-1], source), (x["target"][1:], other), (y[:-1], other)):
        expected = " ".join(example[language].numpy().decode().split())
        assert task._subwords[0].decode(ids[None])[0].numpy().decode() == expected


@pytest.mark.slow
def test_samples_of_subwords_are_other_ways_to_cut_up_the_same(files):
    task = Translation(Config(vocabulary_size=200, subword_samples=4, subword_alpha=0.1, seed=3))
    train = Translation.from_files(files)["train"].take(20)
    task.learn(task.training_examples(train))
    once, again = (list(task.encoded(task.training_examples(train))) for _ in range(2))
    assert len(once) == 80
    sentences = [task._subwords[0].decode(y[None, :-1])[0].numpy().decode() for _, y in once]
    assert sentences == [e["de"].numpy().decode() for e in train] * 4
    assert len({tuple(y.numpy()) for _, y in once[::20]}) > 1
    best = list(task.encoded(train))
    for (_, a), (_, b), (_, c) in zip(once, again, best * 4, strict=True):
        np.testing.assert_array_equal(a, b)
        assert len(a) >= 1 and len(c) >= 1
    for (_, a), (_, c) in zip(once[:20], best, strict=True):
        np.testing.assert_array_equal(a, c)


@pytest.mark.slow
def test_sutskever_2014_has_the_papers_384_million_parameters():
    """160,000 and 80,000 words of 1,000, as many for the softmax, and 64 million in eight layers of LSTM cells."""
    config = configure(Config, Translation.presets, "sutskever2014")
    assets = {"source_pieces": [""] * config.vocabulary_size, "target_pieces": [""] * config.target_vocabulary_size}
    model = Translation(config, assets).build()
    words = 1_000 * (160_000 + 80_000 + 80_000)
    cells = 8 * 4 * (1_000 * 1_000 * 2)
    biases = 8 * 4 * 1_000 + 80_000  # which the paper does not count
    assert words + cells == 384_000_000
    assert model.count_params() == words + cells + biases


TINY = ["units=8", "decoder_units=8", "embedding_dim=8", "vocabulary_size=60", "epochs=1", "batch_size=50"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "more"),
    [
        ("plain", []),
        ("sutskever2014", ["target_vocabulary_size=70"]),
        ("luong", ["scheduled_sampling=0.5", "subword_samples=2", "decoder_depth=2", "cell=gru"]),
    ],
)
def test_presets_train_and_serve(preset, more, files, tmp_path, zoo, refused):
    settings = [part for value in [*TINY, *more] for part in ("--set", value)]
    code, _, err = zoo("train", "translation", "--data", files, "--runs", tmp_path, "--preset", preset, *settings)
    assert code == 0, err
    export = next((tmp_path / "translation").iterdir()) / "export"
    answer = serving.load(export)("The dog sees the cat.")
    assert set(answer) == {"text", "score", "unknown", "alternatives"}
    if preset == "plain":
        line = refused("predict", "translation", "--model", export, "The dog", "--attention", tmp_path / "out.png")
        assert "no attention" in line


@pytest.mark.parametrize(
    ("files_", "settings", "part"),
    [
        ({"train_de": "Eins.\n"}, (), "train.en has 300 lines and "),
        ({}, ("source=fr",), "no language 'fr' in this corpus; there are: en, de"),
        ({"train_fr": "Un.\n" * 300}, (), 'SET="source=en target=de"'),
        ({"train_fr": "Un.\n" * 300}, ("source=en", "target=fr"), "no fr"),
        ({"train_en": ""}, (), "train.en: the file is empty"),
    ],
)
def test_bad_files_are_refused(files_, settings, part, refused, tmp_path):
    write(tmp_path, **files_)
    assert part in refused(*command(tmp_path, tmp_path / "runs", *settings))
    assert not list((tmp_path / "runs").rglob("*.npz"))


def test_a_model_of_other_languages_is_told(run, refused, tmp_path):
    for name in ("train", "test"):
        for language in ("en", "fr"):
            (tmp_path / f"{name}.{language}").write_text("".join(f"{n} dogs.\n" for n in range(60)))
    line = refused(
        "evaluate", "translation", "--data", tmp_path, "--runs", tmp_path / "r", "--model", run.folder / "export"
    )
    assert "from en into de; this split has: en, fr" in line


def test_long_sentences_are_cut_in_training_and_told(tmp_path, capfd):
    write(tmp_path, 60)
    for language in ("en", "de"):
        with open(tmp_path / f"train.{language}", "a") as file:
            file.write("dog " * 5000 + "\n")
    task = Translation(Config(vocabulary_size=60))
    train = task.training_examples(Translation.from_files(tmp_path)["train"])
    task.learn(train)
    assert "1 training pair is longer than 80 subwords" in capfd.readouterr().err
    assert max(len(y) for _, y in task.encoded(train)) == 81


def test_settings_reach_the_model():
    config = dataclasses.replace(Config(), units=8, decoder_units=12, embedding_dim=6, decoder_depth=2, tied="none")
    model = Translation(config, {"source_pieces": [""] * 20}).build()
    assert model.decoder.units == 12 and model.decoder.depth == 2 and len(model.bridge) == 4
    assert model.source_embedding is not model.target_embedding and model.softmax.shape == (20, 6)
    logits = model.logits(model({"source": tf.constant([[4, 3]]), "target": tf.constant([[2, 5, 6]])}))
    assert logits.shape == (1, 3, 20)
