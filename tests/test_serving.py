"""SavedModels: what they answer, what they need, and what happens when they are damaged."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from zoo import serving
from zoo.errors import ZooError
from zoo.run import Run

TEXTS = [
    "I love this film.",
    "",
    "\U0001f600 \U0001f44d\U0001f3fd",
    "It isn't bad at all, <br /> but I can't say that it's good. " * 20,
    b"caf\xe9 \xff was dreadful",
    "\u041f\u043b\u043e\u0445\u043e",
    "lone surrogate \ud800",
    "nul \x00 byte",
]


@pytest.fixture(scope="module")
def quantized(tiny, tmp_path_factory):
    """The tiny run once more, its embedding exported as int8."""
    runs = tmp_path_factory.mktemp("quantized")
    run = Run("sentiment", "", tiny.folder.parent.parent)
    run.folder = runs / "sentiment" / "builtin"
    shutil.copytree(tiny.folder, run.folder)
    values = json.loads((run.folder / "config.json").read_text())
    (run.folder / "config.json").write_text(json.dumps({**values, "quantize": True}))
    run.export(run.folder / "export")
    return run


def probabilities(run, texts):
    """Those of the in-memory model."""
    task, model = run.model()
    encoded = tf.constant([text.encode("utf-8", "replace") if isinstance(text, str) else text for text in texts])
    return task.signatures(model)["probabilities"][0](encoded)["probabilities"].numpy()


@pytest.mark.parametrize("name", ["tiny", "quantized"])
def test_the_saved_model_answers_like_the_model_in_memory(name, request):
    run = request.getfixturevalue(name)
    expected = probabilities(run, TEXTS)
    loaded = serving.load(run.folder / "export")
    np.testing.assert_allclose(loaded.batched("probabilities", TEXTS)["probabilities"], expected, atol=1e-5)
    labels = np.array(loaded.card["labels"])[expected.argmax(1)]
    answers = loaded(TEXTS)
    assert [answer["label"] for answer in answers] == labels.tolist()
    np.testing.assert_allclose([answer["probability"] for answer in answers], expected.max(1), atol=1e-5)


def test_quantization_makes_the_model_smaller_and_hardly_changes_it(tiny, quantized):
    sizes = [
        (run.folder / "export/variables/variables.data-00000-of-00001").stat().st_size for run in (tiny, quantized)
    ]
    assert sizes[1] < sizes[0]
    np.testing.assert_allclose(probabilities(quantized, TEXTS), probabilities(tiny, TEXTS), atol=0.05)


FRESH = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
serve = model.signatures["serving_default"]
(name, spec), = serve.structured_input_signature[1].items()
assert (name, spec.dtype, spec.shape.as_list()) == ("text", tf.string, [None]), spec
answers = serve(tf.constant(json.loads(sys.argv[2])))
assert not {"zoo", "tasks"} & set(sys.modules)  # TensorFlow itself imports Keras
print(json.dumps([answers["label"].numpy().astype(str).tolist(), answers["probability"].numpy().tolist()]))
"""


def test_tensorflow_alone_loads_it_in_a_fresh_process(script, tiny, served):
    texts = ["I love this film.", "", "It was a mess, \U0001f600"]
    labels, found = json.loads(script(FRESH, tiny.folder / "export", json.dumps(texts)))
    here = served(texts)
    assert labels == [answer["label"] for answer in here]
    np.testing.assert_allclose(found, [answer["probability"] for answer in here], atol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 70])
def test_a_batch_of_any_size_answers_each_input_as_if_alone(served, size):
    texts = [f"{TEXTS[i % len(TEXTS)]!s} {'fine words ' * i}" for i in range(size)]
    answers = served(texts)
    assert len(answers) == size
    for text, answer in list(zip(texts, answers, strict=True))[::7]:
        alone = served(text)
        assert alone["label"] == answer["label"]
        assert alone["probability"] == pytest.approx(answer["probability"], abs=1e-5)


def test_one_string_gives_one_answer_and_a_list_gives_a_list(served):
    assert served(["fine"]) == [served("fine")] == [served(b"fine")]
    assert served("fine").keys() == {"label", "probability"}


def test_a_review_of_a_hundred_thousand_words(served):
    answer = served("good and bad " * 33_334)
    assert answer["label"] in served.card["labels"] and 0.5 <= answer["probability"] <= 1


@pytest.mark.parametrize("wrong", [3, None, ["nested"], 1.5])
def test_what_is_no_string_is_named_by_its_place(served, wrong):
    with pytest.raises(ZooError, match=f"input 1: expected a string, got {type(wrong).__name__}"):
        served(["fine", wrong])


# Damage ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tiny, tmp_path):
    return shutil.copytree(tiny.folder / "export", tmp_path / "1")


def cut_off(file):
    file.write_bytes(file.read_bytes()[:-7])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove(file):
    file.unlink()


@pytest.mark.parametrize("damage", [cut_off, flip_a_bit, remove])
@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
)
def test_a_damaged_file_is_named(copy, name, damage):
    damage(copy / name)
    with pytest.raises(ZooError) as error:
        serving.load(copy)
    assert str(error.value).startswith(str(copy / name))


@pytest.mark.parametrize("content", [b"", b'{"task": "senti', b"\xff\xfe", b"[]", b"null", b"{}", b'{"files": 3}'])
def test_a_bad_card_is_named(copy, content):
    (copy / "model_card.json").write_bytes(content)
    with pytest.raises(ZooError) as error:
        serving.load(copy)
    assert str(error.value).startswith(str(copy / "model_card.json"))


def test_files_that_no_longer_fit_each_other(copy):
    """The inventory is right, the SavedModel isn't one."""
    (copy / "saved_model.pb").write_bytes(b"nonsense")
    card = json.loads((copy / "model_card.json").read_text())
    card["files"] = {k: v for k, v in serving.inventory(copy).items() if k.startswith(("saved", "var"))}
    (copy / "model_card.json").write_text(json.dumps(card))
    with pytest.raises(ZooError, match="not a SavedModel that TensorFlow"):
        serving.load(copy)


@pytest.mark.parametrize("name", ["nobody", "no/such/path", ""])
def test_a_model_that_is_not_there(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError):
        serving.load(name)


def test_a_task_name_or_a_shelf_gives_the_newest_version(copy, monkeypatch):
    for version in ("2", "10", "9"):
        shutil.copytree(copy, copy.parent / version)
    (copy.parent / "11").mkdir()  # no card: no version
    assert serving.locate(copy.parent) == copy.parent / "10"
    monkeypatch.setattr(serving, "SHELVES", (copy.parent.parent,))
    assert serving.locate(copy.parent.name) == copy.parent / "10"


# Writing --------------------------------------------------------------------------------------------------------------


def test_a_new_folder_replaces_the_old_one_whole(tmp_path):
    for content in ("old", "new"):
        with serving.new_folder(tmp_path / "a" / "b") as folder:
            (folder / content).write_text(content)
            assert folder.parent == tmp_path / "a" and folder.name != "b"
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["new"]
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_leaves_no_half_folder_and_keeps_the_old_one(tmp_path, failure, existing):
    target = tmp_path / "model"
    if existing:
        target.mkdir()
        (target / "old").write_text("old")
    with pytest.raises(type(failure)), serving.new_folder(target) as folder:
        (folder / "half").write_text("half")
        raise failure
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")] == ["model", "model/old"] * existing


def test_the_card_lists_every_file_and_reads_as_markdown(tiny, served):
    export = tiny.folder / "export"
    present = {p.relative_to(export).as_posix() for p in export.rglob("*") if p.is_file()}
    assert present == {*served.card["files"], "model_card.json", "MODEL_CARD.md"}
    assert served.card["training"]["config"] == json.loads(json.dumps(dataclasses.asdict(tiny.trained().config)))
    text = (export / "MODEL_CARD.md").read_text()
    for part in ("# sentiment", f"{served.card['parameters']:,}", "reviews/1.0.0", "`units=8`", "English only"):
        assert part in text


# Options and attention ------------------------------------------------------------------------------------------------

OPTIONS = {"beam_width": 5, "max_length": 0}


def speaker(folder, attention=False, **facts):
    """A SavedModel that repeats what it was asked, with its options; it attends to letters, from the last to the first.

    `facts` go into its card.
    """

    def serve(text):
        return {"text": tf.strings.join([text, "by default"], " ")}

    def search(text, beam_width, max_length):
        return {"text": tf.strings.join([text, *map(tf.strings.as_string, (beam_width, max_length))], " ")}

    def look(text):
        letters = tf.strings.unicode_split(text, "UTF-8").to_tensor()
        weights = tf.eye(tf.shape(letters)[1], batch_shape=tf.shape(text))[:, ::-1]
        return {"source_pieces": letters, "target_pieces": letters[:, ::-1], "weights": weights}

    strings, number = tf.TensorSpec([None], tf.string, "text"), lambda name: tf.TensorSpec([], tf.int32, name)
    signatures = {
        "serving_default": tf.function(serve, [strings]),
        "search": tf.function(search, [strings, *map(number, OPTIONS)]),
        **({"attention": tf.function(look, [strings])} if attention else {}),
    }
    tf.saved_model.save(tf.Module(), str(folder), signatures)
    card = {"task": "echo", "version": 1, "summary": "text -> text", "files": serving.inventory(folder), **facts}
    (folder / serving.CARD).write_text(json.dumps(card))
    return serving.load(folder)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    return speaker(tmp_path_factory.mktemp("speaking"), attention=True, options=OPTIONS)


@pytest.fixture(scope="module")
def without_options(tmp_path_factory):
    return speaker(tmp_path_factory.mktemp("without"))


def test_options_reach_the_model_and_the_others_keep_their_defaults(speaking):
    assert speaking("so") == {"text": "so by default"}
    assert speaking("so", beam_width=3) == {"text": "so 3 0"}
    assert speaking(b"so", max_length=7) == {"text": "so 5 7"}
    assert speaking(["so", "ja"], max_length=0, beam_width=1) == [{"text": "so 1 0"}, {"text": "ja 1 0"}]
    assert speaking([], beam_width=1) == speaking([]) == []


@pytest.mark.parametrize("options", [{}, {"beam_width": 2}], ids=str)
def test_many_answers_come_in_order_and_tell_how_far_they_are(speaking, options):
    texts, told = [f"{'so ' * (i * 7 % 11)}{i}" for i in range(150)], []
    answers = speaking.answers(texts, progress=lambda *counts: told.append(counts), **options)
    end = "2 0" if options else "by default"
    assert answers == speaking(texts, **options) == [{"text": f"{text} {end}"} for text in texts]
    assert told == [(64, 150), (128, 150), (150, 150)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "option beam_width=0: expected a whole number, at least 1"),
        ({"beam_width": -2}, "option beam_width=-2: expected a whole number, at least 1"),
        ({"max_length": -1}, "option max_length=-1: expected a whole number, at least 0"),
        ({"beam_width": 2.0}, "option beam_width=2.0: expected a whole number, at least 1"),
        ({"beam_width": "3"}, "option beam_width='3': expected a whole number, at least 1"),
        ({"max_length": None}, "option max_length=None: expected a whole number, at least 0"),
        ({"max_length": True}, "option max_length=True: expected a whole number, at least 0"),
        ({"beams": 3}, "option 'beams': expected one of: beam_width, max_length"),
        ({"beam_width": 3, "text": 1}, "option 'text': expected one of: beam_width, max_length"),
    ],
    ids=str,
)
def test_a_wrong_option_is_named(speaking, options, message):
    for call in (lambda: speaking("so", **options), lambda: speaking.answers(["so"], **options)):
        with pytest.raises(ZooError) as error:
            call()
        assert str(error.value) == message


def test_texts_by_beam_width(speaking):
    texts, told = [f"{'so ' * (i * 7 % 11)}{i}" for i in range(70)], []
    first, others = speaking.by_beam_width(texts, {"greedy": 1, "wide": 9}, lambda *counts: told.append(counts))
    assert first == [f"{text} by default" for text in texts]
    assert others == {name: [f"{text} {end}" for text in texts] for name, end in (("greedy", "1 0"), ("wide", "9 0"))}
    assert told == [(64, 210), (70, 210), (134, 210), (140, 210), (204, 210), (210, 210)]
    assert speaking.by_beam_width(["so"], {}) == (["so by default"], {})


def test_a_model_without_options_says_so(without_options, served):
    message = "^option 'beam_width': expected one of: none; this model has no options$"
    for model in (without_options, served):
        with pytest.raises(ZooError, match=message):
            model("so", beam_width=3)
    assert without_options("so") == {"text": "so by default"}


def test_a_wrong_input_is_named_beside_options(speaking):
    with pytest.raises(ZooError, match="^input 1: expected a string, got list$"):
        speaking(["so", ["ja"]], beam_width=3)


def test_what_a_model_looked_at(speaking):
    source, target, weights = speaking.attention("z\u00f6g")
    assert (source, target) == (["z", "\u00f6", "g"], ["g", "\u00f6", "z"])
    np.testing.assert_array_equal(weights, [[0, 0, 1], [0, 1, 0], [1, 0, 0]])


def test_a_model_without_attention_says_so(without_options, served):
    for model in (without_options, served):
        with pytest.raises(ZooError) as error:
            model.attention("so")
        assert str(error.value) == f"{model.path}: this {model.card['task']} model has no attention to show"
