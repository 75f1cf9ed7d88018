"""The jazz task from end to end: sources, training, what the SavedModel writes and tells, and the files of a tune."""

import json
import random

import numpy as np
import pytest
import tensorflow as tf

from zoo import charts, chords, plots, serving, tune_examples, tune_files, tune_likelihood
from zoo.charts import Event, Tune
from zoo.errors import ZooError
from zoo.generation import unpacked
from zoo.run import Run

PROMPT = "Dm7:4 G7:4"


def rows(count, seed):
    """Tunes as JSON: ii-V-I and the like in every key, a third of them waltzes."""
    draw = random.Random(seed)
    for i in range(count):
        bar, key = (3 if i % 3 == 2 else 4), draw.randrange(12)
        found = []
        for _ in range(draw.randint(2, 5)):
            if draw.random() < 0.5:
                found += [(2, "m7", bar), (7, "7", bar), (0, "maj7", 2 * bar)]
            else:
                found += [(9, "m7", bar - 2), (2, "7", 2), (7, "7b9", bar), (0, draw.choice(["6", ""]), bar)]
        symbols = [[chords.of((key + root) % 12, kind).symbol, beats] for root, kind, beats in found]
        name = chords.of(key, "").symbol
        yield {"title": f"{seed} {i}", "meter": [bar, 4], "key": name, "tempo": 120, "chords": symbols}


def write(folder, train=60, **splits):
    for seed, (split, count) in enumerate({"train": train, "dev": 6, "test": 1, **splits}.items()):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)))
    return folder


def command(files, runs, *settings):
    values = ["epochs=1", "units=8", "embedding_dim=8", "copies=1", "k1=8", "k2=8", "batch_size=8", "least=2"]
    values += ["dropout=0", "weight_dropout=0"]
    given = [part for value in [*values, *settings] for part in ("--set", value)]
    return ["train", "jazz", "--data", str(files), "--runs", str(runs), *given]


@pytest.fixture(scope="module", autouse=True)
def quick():
    """What takes longest, and is looked at elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_likelihood, "WRITTEN", 2)
        patch.setattr(plots, "learning_curves", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tunes"))


@pytest.fixture(scope="module")
def run(files, tmp_path_factory, quick):
    from zoo import cli

    runs = tmp_path_factory.mktemp("runs")
    assert cli.main(command(files, runs)) == 0
    return Run("jazz", str(files), runs)


@pytest.fixture(scope="module")
def model(run):
    return serving.load(run.folder / "export")


@pytest.fixture(scope="module")
def tune(run):
    """The one of the test split."""
    return tune_examples.tunes(run.corpus.split("test"))[0]


def pairs(events):
    return [(event.chord.symbol, event.beats) for event in events]


# Writing --------------------------------------------------------------------------------------------------------------


def test_a_tune_goes_on_from_the_prompt_and_has_as_many_bars_as_are_asked_for(model):
    found = model.generate(PROMPT, bars=8, seed=3)
    assert pairs(found.events[:2]) == [("Dm7", 4), ("G7", 4)] and len(found.events) > 2
    assert found.bars == 8 and found.meter == (4, 4)
    assert pairs(model.generate(PROMPT, bars=8, seed=3).events) == pairs(found.events)
    assert pairs(model.generate(PROMPT, bars=8, seed=4).events) != pairs(found.events)
    for bars, seed in ((1, 0), (3, 1), (33, 2), (140, 3)):
        assert model.generate("", bars=bars, seed=seed).bars == bars
    whole = model.generate("Dm7:4 G7:4 C:24", bars=8, seed=1)
    assert pairs(whole.events) == [("Dm7", 4), ("G7", 4), ("C", 24)]  # nothing is left to write
    types_ = {event.chord.type for event in found.events[2:]}
    assert types_ <= {*model.card["types"], "N.C."}


def test_without_bars_a_tune_has_some_number_of_whole_ones(model):
    found = [model.generate(PROMPT, seed=seed) for seed in range(4)]
    assert all(tune.bars.denominator == 1 and tune.bars > 2 for tune in found)
    assert len({tune.bars for tune in found}) > 1
    long = Tune("", charts.parse_prompt("Dm7:4 G7:4") * 70)  # longer than any tune that it predicts
    assert model.generate(long, seed=0).bars > 140


def test_the_number_of_events_can_be_told(model):
    assert len(model.generate(PROMPT, bars=90, length=5, seed=1).events) == 7
    assert len(model.generate(PROMPT, bars=90, length=20, seed=1).events) == 22
    assert pairs(model.generate(PROMPT, length=0).events) == [("Dm7", 4), ("G7", 4)]
    longer, shorter = (model.generate("", bars=90, length=length, seed=2).events for length in (19, 11))
    assert pairs(longer)[:11] == pairs(shorter)


def test_a_stream_gives_the_same_as_generate(model):
    options = dict(bars=24, seed=5, temperature=0.7, top_k=12, top_p=0.9)
    stream = model.stream(PROMPT, **options)
    assert isinstance(next(stream), Event)  # as soon as it is drawn
    streamed = list(model.stream(PROMPT, **options))
    assert pairs(streamed) == pairs(model.generate(PROMPT, **options).events[2:])
    session = model.session(PROMPT, bars=24, seed=5)
    first = list(session.stream(4, 0.7, 12, 0.9, 5))
    rest = list(session.stream(None, 0.7, 12, 0.9, 5))
    assert pairs(first + rest) == pairs(streamed) and session.ended and len(session.events) == 2 + len(streamed)


@pytest.mark.parametrize("prompt", ["C:1/3 Dm7:1/3 G7:1/3 C:1/3", "C:1/12", "F:5/4", "F:15/4", "C:47/12 F:1/4"])
def test_a_prompt_off_the_grid_is_kept_and_bars_are_full_nevertheless(model, prompt):
    given = charts.parse_prompt(prompt)
    for bars in (2, 1) if sum(event.beats for event in given) < 4 else (2,):
        found = model.generate(prompt, bars=bars, seed=1)
        assert pairs(found.events[: len(given)]) == pairs(given)
        assert found.bars == bars and all(event.beats > 0 for event in found.events)


def test_waltzes(model):
    waltz = model.generate("Dm7:3 G7:3", bars=7, seed=1, meter=(3, 4))
    assert waltz.beats == 21 and waltz.meter == (3, 4)
    assert pairs(model.generate(Tune("", waltz.events[:2], (3, 4)), bars=7, seed=1).events) == pairs(waltz.events)
    assert model.generate("| Dm7 G7:1 | C", bars=4, seed=1, meter="3/4").bars == 4
    again = model.generate(Tune("", waltz.events[:2]), bars=7, seed=1, meter=[3, 4])
    assert again.meter == (3, 4) and pairs(again.events) == pairs(waltz.events)


def test_answers_as_other_models_give_them(model):
    answer = model(PROMPT, bars=4, seed=1)
    assert answer["chords"][:2] == ["Dm7", "G7"] and sum(answer["beats"]) == 16
    assert model([PROMPT, ""], bars=4, seed=1)[0] == answer


FRESH = """
import sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
found = model.signatures["serving_default"](bars=tf.constant([4, 9]), meter=tf.constant([[4, 4], [3, 4]]))
beats = [sum(row[:n]) for row, n in zip(found["beats"].numpy(), found["count"].numpy())]
assert beats == [16, 27] and "zoo" not in sys.modules, beats
import zoo
from zoo import charts
print(charts.format_prompt(zoo.load(sys.argv[1]).generate(sys.argv[2], bars=8, seed=3).events))
"""


def test_the_same_seed_gives_the_same_tune_in_a_fresh_process(run, model, script):
    """And TensorFlow alone loads it."""
    here = model.generate(PROMPT, bars=8, seed=3)
    assert script(FRESH, run.folder / "export", PROMPT).strip() == charts.format_prompt(here.events)


# Telling --------------------------------------------------------------------------------------------------------------


def test_a_score_is_what_the_network_says(run, model, tune):
    task, network = run.model()
    found = model.score(tune)
    assert found.shape == (len(tune.events), 2) and found.dtype == np.float32
    assert np.isfinite(found).all() and (found < 0).all()
    rows_ = tf.constant(task.vocabulary.rows(tune)[None])
    states = unpacked(network, tf.zeros([1, sum(state.shape[1] for state in network.carried["dev"])]))
    step, expected = network.stepper(), []
    for place in range(len(tune.events)):  # one row after the other
        vectors, states = step(rows_[:, place], states)
        each, _ = network.log_probabilities(vectors, rows_[:, place], rows_[:, place + 1])
        expected.append([each["chord"][0], each["duration"][0]])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_scores_do_not_depend_on_other_tunes(model):
    prompts = ["Dm7:4 G7:4 Cmaj7:8", "C:4", "", "N.C.:4 F:4 F:2 Bb7:2 " * 10]
    tunes = [Tune("", charts.parse_prompt(prompt)) for prompt in prompts]
    together = model.read_rows([model.vocabulary.rows(each) for each in tunes])
    for each, prompt, found in zip(tunes, prompts, together, strict=True):
        alone = model.score(prompt)
        assert alone.shape == (len(each.events), 2)
        np.testing.assert_allclose(alone, np.stack([found["chord"], found["duration"]], 1), atol=1e-4)
    assert model.score("").shape == (0, 2)


def test_rare_chords_are_noted_as_what_they_are_read_as(model, capsys):
    assert pairs(model.generate("Dm7:4 G7alt/B:4", bars=4, seed=1).events[:2]) == [("Dm7", 4), ("G7alt/B", 4)]
    assert "zoo: note: G7alt/B is read as G7" in capsys.readouterr().err
    np.testing.assert_array_equal(model.score("Dm7:4 G7alt/B:4"), model.score("Dm7:4 G7:4"))
    capsys.readouterr()
    model.generate("Dm7:4 G7:4 Gb:4 F#:4", length=0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("prompt", "options", "part"),
    [
        ("Dm7:4 Hx7:4", {}, "'Hx7'"),
        ("Dm7:4 G7zz:4", {}, "G7zz"),
        ("Dm7:four", {}, "Dm7:four"),
        ("| Dm7:3 G7:3 | C |", {}, "bar 1, character 3: 6 beats in a bar of 4/4; expected 4"),
        ("| Dm7 | G7:3 | C |", {"meter": (4, 4)}, "bar 2"),
        (PROMPT, {"meter": (5, 4)}, "meter 5/4: this model knows 4/4, 3/4"),
        (Tune("", [], (6, 8)), {}, "meter 6/8: this model knows"),
        (PROMPT, {"meter": 3}, "no meter"),
        (PROMPT, {"bars": 1}, "the prompt has 2 bars; expected at most bars=1"),
        (PROMPT, {"bars": 0}, "bars=0: expected a whole number from 1"),
        (PROMPT, {"bars": 2.5}, "bars=2.5"),
        (PROMPT, {"length": -1}, "length=-1"),
        (PROMPT, {"temperature": -0.5}, "temperature=-0.5"),
        (PROMPT, {"top_p": 2}, "top_p=2"),
        (PROMPT, {"seed": "x"}, "seed='x'"),
        (7, {}, "prompt: expected text such as 'Dm7:4 G7:4'"),
        (["Dm7"], {}, "prompt: expected text"),
    ],
)
def test_what_can_not_be_is_refused(model, prompt, options, part):
    for verb in (model.generate, lambda *a, **o: list(model.stream(*a, **o))):
        with pytest.raises(ZooError) as caught:
            verb(prompt, **options)
        assert part in str(caught.value) and "\n" not in str(caught.value)


# The command line -----------------------------------------------------------------------------------------------------


def test_five_files_are_written_and_say_what_was_generated(run, model, zoo, tmp_path):
    line = ["generate", "jazz", "--model", run.folder / "export", "--prompt", PROMPT, "--bars", "8", "--seed", "3"]
    code, out, err = zoo(*line, "--out", tmp_path / "new" / "tune")
    assert code == 0, err
    kinds = ("mid", "musicxml", "png", "txt", "wav")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [f"tune.{kind}" for kind in kinds]
    expected = model.generate(PROMPT, bars=8, seed=3, temperature=0.8)
    assert all(str(tmp_path / "new" / f"tune.{kind}") in out for kind in kinds)
    assert pairs(charts.parse_chart(out[: out.index("written:")]).events) == pairs(expected.events)
    found = tune_files.read_back(tmp_path / "new" / "tune")
    assert set(found) == {"mid", "musicxml", "txt"}
    for tune in found.values():
        assert pairs(tune.events) == pairs(expected.events) and tune.bars == 8 and tune.title == "tune"


def test_the_chart_is_printed_and_a_seed_that_was_not_given_is_told(run, model, zoo, refused):
    line = ["generate", "jazz", "--model", run.folder / "export"]
    code, out, err = zoo(*line, "--bars", "6", "--meter", "3/4")
    seed = int(err.split("seed: ")[1])
    expected = model.generate(bars=6, meter=(3, 4), seed=seed, temperature=0.8)
    assert code == 0 and pairs(charts.parse_chart(out).events) == pairs(expected.events)
    for options, part in (
        (["--prompt", "| Dm7:3 G7:3 | C |"], "bar 1, character 3: 6 beats"),
        (["--length", "0"], "nothing to write"),
        (["--bars", "4", "--out", "tune.mid"], "without an ending"),
    ):
        assert part in refused(*line, *options)


def test_a_report_adds_up_to_the_scores(run, model, tune, zoo, files):
    code, out, err = zoo("evaluate", "jazz", "--data", files, "--runs", run.folder.parent.parent)
    assert code == 0, err
    report = json.loads((run.folder / "evaluation/test/report.json").read_text())["report"]
    score = model.score(tune).sum(0)
    bars = np.log(
        np.mean(
            model.signature("begin")(  # how often so many bars are drawn, nearly
                bars=tf.zeros([20_000], tf.int32),
                meter=tf.tile([tune.meter], [20_000, 1]),
                seed=tf.constant(1, tf.int64),
            )["last"].numpy()[:, 5]
            == tune.bars
        )
    )
    assert report["tunes"] == 1 and report["events"] == len(tune.events)
    assert report["chord_nats"] == pytest.approx(-score[0] / len(tune.events), rel=1e-4)
    assert report["duration_nats"] == pytest.approx(-score[1] / len(tune.events), rel=1e-4)
    assert report["length_nats"] * len(tune.events) == pytest.approx(-bars, abs=0.4)
    parts = ("chord_nats", "duration_nats", "length_nats")
    assert report["joint_nats"] == pytest.approx(sum(report[part] for part in parts), rel=1e-6)
    assert report["joint_nats_95"] == [pytest.approx(report["joint_nats"])] * 2  # of one tune
    assert (run.folder / "evaluation/test/distributions.png").is_file() and "whole bars" in out
    assert report["written"]["tunes"] == 2 and report["written"]["full_bars"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "more"),
    [
        (["stop=bernoulli", "experts=motion", "keys=tonic", "cell=rnn"], {}),
        (["stop=symbol", "count_steps=true", "half=true", "cell=mingru"], {"only": 3}),
    ],
)
def test_other_ways_to_end_and_other_experts(settings, more, files, zoo, tmp_path):
    """Of tunes in 3/4 alone, too."""
    if more:
        files = tmp_path / "waltzes"
        files.mkdir()
        for split in ("train", "dev"):
            waltzes = [json.dumps(row) for row in rows(90, len(split)) if row["meter"][0] == more["only"]]
            (files / f"{split}.jsonl").write_text("\n".join(waltzes))
    code, _, err = zoo(*command(files, tmp_path / "runs", *settings))
    assert code == 0, err
    model = serving.load(next((tmp_path / "runs/jazz").iterdir()) / "export")
    meter = (3, 4) if more else (4, 4)
    assert model.vocabulary.meters[0] == meter
    prompt = f"Dm7:{meter[0]} G7:{meter[0]}"
    for seed in range(3):
        found = model.generate(prompt, length=40, seed=seed)
        assert found.meter == meter and (found.bars.denominator == 1 or len(found.events) == 42)
        assert model.generate(prompt, bars=5, seed=seed).bars == 5
    score = model.score(found)
    assert score.shape == (len(found.events), 2) and np.isfinite(score).all()


# Sources --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ({"bars": 3}, "line 2: the chords' 8 beats are 2 bars of 4/4; expected 3 bars, as it says"),
        ({"chords": [["Dm7", 4], ["Hx7", 4]]}, "line 2: chord 2: chord symbol 'Hx7'"),
        ({"chords": [["Dm7", 0]]}, "line 2: chord 1, 'Dm7': 0 beats; expected more than 0"),
        ({"meter": [4, 3]}, "line 2: [4, 3] is no meter"),
    ],
)
def test_bad_files_are_refused(line, part, refused, tmp_path):
    good = {"title": "A tune", "chords": [["Dm7", 4], ["G7", 4]], "bars": 2}
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps(row) for row in (good, {**good, **line})))
    assert part in refused(*command(tmp_path, tmp_path / "runs"))


def test_too_little_to_learn_from_and_windows_that_can_not_be_are_refused(refused, files, tmp_path):
    assert "k1=9, k2=8" in refused(*command(files, tmp_path / "runs", "k1=9"))
    (tmp_path / "train.jsonl").write_text('{"chords": [["Dm7", 4]]}\n')
    assert refused(*command(tmp_path, tmp_path / "runs"))
