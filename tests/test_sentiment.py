"""What is particular to the sentiment task."""

import pytest

from tasks.sentiment import Config
from zoo.run import Run


def test_extra_examples_are_trained_on_and_nothing_else(corpus, tmp_path):
    (tmp_path / "extra.csv").write_text("text,label\nzyzzyva is fine,pos\nzyzzyva is bad,neg\n")
    run = Run("sentiment", str(corpus), tmp_path)
    task = run.prepare(Config(batch_size=1, extra=str(tmp_path / "extra.csv")))
    batches, dev, size = run.batches(task)
    assert size == 322 and "zyzzyva" in task.assets["vocabulary"]
    assert task.assets["labels"] == ["negative", "positive"]  # the short names are the long ones
    assert sum(len(y) for _, y in dev) == 40
    word = task.assets["vocabulary"].index("zyzzyva")
    assert sum(int((x.numpy() == word).sum()) for x, _ in batches.take(size)) == 2


@pytest.mark.parametrize(("content", "part"), [(None, "No such file"), ("text\nalone\n", "'label'")])
def test_extra_examples_that_cannot_be_read(content, part, corpus, refused, tmp_path):
    path = tmp_path / "extra.csv"
    if content:
        path.write_text(content)
    line = refused("train", "sentiment", "--data", corpus, "--runs", tmp_path, "--set", f"extra={path}")
    assert line.startswith(f"{path}: ") and part in line


def test_several_classes(zoo, tmp_path, training_of):
    rows = "".join(f"{word} {i},{label}\n" for i in range(40) for word, label in (("up", 2), ("down", 0), ("flat", 1)))
    (tmp_path / "train.csv").write_text("text,label\n" + rows)
    (tmp_path / "test.csv").write_text("text,label\nup,2\ndown,0\nflat,1\n")
    code, out, err = zoo(*training_of(tmp_path / "runs", tmp_path, epochs=12, batch_size=16))
    assert code == 0, err
    code, out, err = zoo("evaluate", "sentiment", "--data", tmp_path, "--runs", tmp_path / "runs")
    assert code == 0 and "1.0000" in out, (out, err)
