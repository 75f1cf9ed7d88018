"""Searches: the best values come out as arguments, and an interrupted search goes on."""

import re

import keras_tuner
import pytest

from tasks.sentiment import Config, Sentiment
from zoo import tuning
from zoo.config import as_assignments, configure


@pytest.fixture
def fits(monkeypatch):
    """A small search space; and the list of what was trained, each a dictionary of values."""

    class Fits(list):
        stop_at = 0  # the number of the training that is interrupted

    trained, fit = Fits(), tuning._Search.fit

    def counted(self, hp, model, **kwargs):
        trained.append(dict(hp.values))
        if trained.stop_at == len(trained):
            raise KeyboardInterrupt
        return fit(self, hp, model, **kwargs)

    monkeypatch.setattr(tuning._Search, "fit", counted)
    space = lambda cls, hp: {"units": hp.Choice("units", [4, 5, 6]), "dropout": hp.Float("dropout", 0.1, 0.3)}
    monkeypatch.setattr(Sentiment, "search_space", classmethod(space))
    return trained


@pytest.fixture
def tune(zoo, corpus, tmp_path):
    def call(tuner, *argv):
        small = ("--set", "embedding_dim=4", "--set", "batch_size=160", "--set", "max_length=24")
        return zoo("tune", "sentiment", "--data", corpus, "--runs", tmp_path, "--tuner", tuner, *small, *argv)

    return call


@pytest.mark.slow
def test_a_search_says_settings_that_train_takes_and_is_not_repeated(tune, fits):
    code, out, err = tune("random", "--trials", "2", "--epochs", "1")
    assert code == 0, err
    assert len(fits) == 2 and "resuming" not in out
    command = out.strip().splitlines()[-1]
    config = configure(Config, Sentiment.presets, "base", re.findall(r"--set (\S+)", command))
    best = next(values for values in fits if values["units"] == config.units)
    assert config.dropout == pytest.approx(best["dropout"], rel=1e-3)
    assert re.search(r"best dev accuracy: 0\.\d{4}", out)

    code, again, err = tune("random", "--trials", "2", "--epochs", "1")
    assert code == 0, err
    assert len(fits) == 2 and "2 trials are done" in again
    assert again.strip().splitlines()[-1] == command

    fits.stop_at = 3
    code, other, _ = tune("random", "--trials", "2", "--epochs", "2")
    assert code == 130 and len(fits) == 3 and "resuming" not in other  # another configuration is searched anew


@pytest.mark.slow
def test_an_interrupted_hyperband_search_goes_on(tune, fits):
    fits.stop_at = 2
    code, _, err = tune("hyperband", "--epochs", "3")
    assert code == 130 and "the same command goes on" in err
    done, fits.stop_at = len(fits) - 1, 0
    code, out, err = tune("hyperband", "--epochs", "3")
    assert code == 0, err
    assert "resuming the search" in out and f"{done} trials are done" in out
    assert sum(values["tuner/epochs"] == 3 for values in fits) >= 2
    trained = [v for i, v in enumerate(fits) if i != done]  # without the one that was cut short
    assert len(trained) == 6  # 3 for one epoch, the best of them for 3; 2 for 3 epochs
    assert "best dev accuracy" in out and "tuner/" not in out.strip().splitlines()[-1]


def test_the_declared_search_space_gives_valid_configurations():
    for seed in range(20):
        hp = keras_tuner.HyperParameters()
        Sentiment.search_space(hp)
        hp.values = {p.name: p.random_sample(seed) for p in hp.space}
        values = Sentiment.search_space(hp)
        configure(Config, Sentiment.presets, "base", as_assignments(values))
