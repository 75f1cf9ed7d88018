"""What is told of tunes that were written: copies, cadences, distributions; and the likelihood of others."""

import itertools
import random
import struct
from fractions import Fraction

import numpy as np
import pytest

from zoo import charts, chords, plots, tune_likelihood
from zoo.charts import Event, Tune
from zoo.events import DURATION, STEP, TYPE, Vocabulary

KNOWN = Vocabulary(("", "m7", "7", "maj7", "m", "dim", "aug"), (Fraction(1, 2), Fraction(1), Fraction(4)), ((4, 4),))


def tune(text, meter=(4, 4)):
    return Tune("A tune", charts.parse_prompt(text), meter)


def random_tunes(count, seed, kinds=("", "7", "N.C."), roots=(0, 5, 7)):
    """So alike that runs come back."""
    draw = random.Random(seed)
    for _ in range(count):
        some = [Event(chords.of(draw.choice(roots), draw.choice(kinds)), 4) for _ in range(draw.randint(1, 60))]
        yield Tune("", some)


def plain(tunes):
    return [tune_likelihood.plain(each, KNOWN) for each in tunes]


def longest(tune, others):
    """By trying every pair of places; how the first events are reached doesn't matter."""
    best = 0
    for other in others:
        for i, j in itertools.product(range(len(tune)), range(len(other))):
            n = int(tune[i][1:] == other[j][1:])
            while n and i + n < len(tune) and j + n < len(other) and tune[i + n] == other[j + n]:
                n += 1
            best = max(best, n)
    return best if best >= tune_likelihood.SEED else 0


@pytest.mark.parametrize("seed", range(4))
def test_the_longest_copied_run_is_that_of_trying_everything(seed):
    own, theirs = plain(random_tunes(12, seed)), plain(random_tunes(12, 100 + seed))
    runs = tune_likelihood._runs(theirs)
    found = [tune_likelihood.longest_copied(each, runs) for each in own]
    assert found == [longest(each, theirs) for each in own]
    assert len(set(found)) > 2 and max(found) > 4


def test_a_copy_in_another_key_is_a_copy_and_one_with_other_durations_is_not():
    original = tune("Dm7:4 G7:4 Cmaj7:4 A7:4 Dm7:4 G7:4 C:8")
    corpus = plain([original, tune("F:4 Bb:4 F:4 C7:4 F:4")])
    runs = tune_likelihood._runs(corpus)
    copied = lambda each: tune_likelihood.longest_copied(plain([each])[0], runs)
    assert copied(original) == copied(original.transposed(7)) == 7
    assert copied(tune("Bm7:4 Ebm7:4 Ab7:4 Dbmaj7:4 Bb7:4 F7:4")) == 4
    assert copied(tune("Dm7:4 G7:4 Cmaj7:4")) == 0  # three events are found anywhere
    assert copied(tune("Dm7:2 G7:2 Cmaj7:2 A7:2 Dm7:2 G7:2 C:2")) == 0


def test_events_are_told_alike_in_all_keys():
    some = tune("N.C.:2 Dm7/A:2 G13:4 N.C.:4 C:1/12 F:47/12 Gb7:4")
    expected = [
        (None, "N.C.", "2"),
        (None, "m7", "2"),
        (5, "7", "4"),
        (None, "N.C.", "4"),
        (10, "", "4"),  # from the G before the silence; the C has no length on the grid
        (1, "7", "4"),
    ]
    for semitones in range(12):
        assert tune_likelihood.plain(some.transposed(semitones), KNOWN) == expected


def described(written, corpus):
    return tune_likelihood.describe([tune(text) for text in written], [tune(text) for text in corpus], KNOWN)


def test_cadences_are_last_motions_beside_those_within_the_tunes():
    fifth, tritone, other, silent = "Dm7:4 G7:4 C:4", "Dm7:4 Db7:4 C:4", "C:4 F:4 D7:4", "G7:4 C:4 N.C.:4"
    found = described([fifth, tritone, other, silent], [fifth, other])
    assert found["cadence"] == 0.5 and found["cadence_in_corpus"] == 0.5
    assert found["cadence_by_chance"] == pytest.approx((2 + 2 + 1 + 1) / (2 + 2 + 2 + 1))
    assert described([other], [fifth])["cadence"] == 0
    assert np.isnan(described(["C:4"], [fifth])["cadence_by_chance"])  # one chord has no motion


def test_full_bars_and_lengths():
    found = described(["C:4 G7:4", "C:4 G7:2", "C:4 F:4 G:4", "C:8"], ["C:4"])
    assert found["full_bars"] == 0.75 and found["tunes"] == 4 and found["events_median"] == 2


def test_distances_are_total_variations():
    same = described(["Dm7:4 G7:4", "C:8"], ["C:8", "Dm7:4 G7:4"])
    assert set(same["distances"].values()) == {0} and same["longest_copied"] == 0
    found = described(["C:4 F:4 G7:4 C:4"], ["Dm7:8 G7:4"])
    # types 3/4 major, 1/4 seventh against halves of minor and seventh; motions none, 5, 2, 5 against none, 5
    assert found["distances"]["types"] == pytest.approx((3 / 4 + 1 / 2 + 1 / 4) / 2)
    assert found["distances"]["motions"] == pytest.approx((1 / 4 + 0 + 1 / 4) / 2)
    assert found["distances"]["durations"] == pytest.approx(1 / 2)
    assert found["distributions"]["types"]["written"] == {"": 0.75, "7": 0.25}
    assert found["distributions"]["motions"]["written"] == {"5": 0.5, "none": 0.25, "2": 0.25}
    apart = described(["C:4 C:4"], ["Dm7:8 G7:8"])["distances"]
    assert apart["types"] == apart["durations"] == 1


def test_the_values_that_are_shown_are_the_commonest_of_both_sides():
    kinds = [chords.Chord("C", quality).type for quality in chords.QUALITIES]
    known, shown = Vocabulary(tuple(kinds), KNOWN.durations, KNOWN.meters), tune_likelihood.SHOWN
    of = lambda names: [Tune("", [Event(chords.of(0, name), 4) for i, name in enumerate(names) for _ in range(i + 1)])]
    shares = tune_likelihood.describe(of(kinds), of(kinds[1:]), known)["distributions"]["types"]
    assert list(shares["written"]) == list(shares["corpus"]) == kinds[::-1][:shown]
    rare = tune_likelihood.describe(of(kinds), of(kinds[:1]), known)["distributions"]["types"]
    assert list(rare["corpus"]) == kinds[:1] and set(rare["written"]) == {kinds[0], *kinds[::-1][: shown - 1]}
    total = len(kinds) * (len(kinds) + 1) / 2
    assert rare["written"][kinds[0]] == pytest.approx(1 / total)  # one of the least, but shown beside the corpus's


# Likelihood -----------------------------------------------------------------------------------------------------------


class Model:
    """Log-probabilities that follow from the rows, so that sums can be made by hand."""

    vocabulary = KNOWN

    def read_rows(self, rows):
        assert all(row[-1, TYPE] == 0 and (row[1:-1, TYPE] > 0).all() for row in rows)  # with the end
        found = []
        for row in rows:
            after = row[1:]
            chord = -np.where(after[:, TYPE] > 0, after[:, TYPE], 10.0)
            length = np.append([-3.0], np.zeros(len(after) - 1))
            hits = {f"top_{k}": (after[:, TYPE] > 0) & (after[:, STEP] % 6 < k) for k in (1, 3, 5)}
            found.append({"chord": chord, "duration": -0.5 * after[:, DURATION], "length": length, **hits})
        return found

    def generate(self, bars, seed, temperature):
        return tune(" ".join(["Dm7:4 G7:4"] * (bars // 2)))


def test_a_report_is_of_sums_over_events_with_the_ends_paid():
    tunes = [*random_tunes(40, 7, kinds=("", "7", "maj7")), tune("C:1/12")]  # of the last one nothing is left
    steps = []
    report = tune_likelihood.report(Model(), tunes, progress=lambda *step: steps.append(step))
    rows = [KNOWN.rows(each)[1:] for each in tunes[:-1]]
    events = sum(map(len, rows))
    by_tune = np.array([[row[:, TYPE].sum() + 10, 0.5 * row[:, DURATION].sum(), 3] for row in rows])
    assert report["tunes"] == 40 and report["events"] == events
    for part, nats in zip(("chord", "duration", "length"), by_tune.sum(0) / events, strict=True):
        assert report[f"{part}_nats"] == pytest.approx(nats)
    assert report["joint_nats"] == pytest.approx(by_tune.sum() / events)
    low, high = report["joint_nats_95"]
    assert low < report["joint_nats"] < high and high - low < 0.5 * report["joint_nats"]
    for k in (1, 3, 5):
        right = sum((row[:, STEP] % 6 < k).sum() for row in rows)
        assert report[f"chord_top_{k}"] == pytest.approx(right / events)
    assert steps[-1][0] == steps[-1][1] and [step[0] for step in steps] == sorted(step[0] for step in steps)
    assert report["written"]["tunes"] == tune_likelihood.WRITTEN and report["written"]["full_bars"] == 1


def test_the_share_of_chords_that_are_taken_for_plainer_ones():
    tunes = [tune("C:4 C6:4 Dm7/G:4 Dm7:4"), tune("N.C.:4 Bb:4 Bb7alt:4")]
    assert tune_likelihood.plainer_share(KNOWN, tunes) == pytest.approx(3 / 7)
    assert tune_likelihood.plainer_share(KNOWN, []) == 0


# Pictures -------------------------------------------------------------------------------------------------------------


def test_distributions_are_drawn_side_by_side(tmp_path, monkeypatch):
    figures, save = [], plots.save
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure) or save(figure, path))
    report = {"written": described(["Dm7:4 G7:4 C:8", "F:4 Bb:4"], ["Em7:2 A7:2 D:4"])}
    path = tmp_path / "distributions.png"
    assert tune_likelihood.draw(report, tmp_path) == [path]
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG") and width > 2 * height
    panels = figures[0].axes
    assert [axes.get_title() for axes in panels] == ["types", "motions", "durations"]
    for axes, sides in zip(panels, report["written"]["distributions"].values(), strict=True):
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert set(names) == {name for shares in sides.values() for name in shares}
        for bars, (side, shares) in zip(axes.containers, sides.items(), strict=True):
            assert bars.get_label() == side
            assert [bar.get_height() for bar in bars] == [shares.get(name, 0) for name in names]
            assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
