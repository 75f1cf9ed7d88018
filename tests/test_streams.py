"""Parallel streams against the same windows cut in plain Python, and that the file is read only where it is needed."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import streams
from zoo.errors import ZooError


def arrays(batches, count=None):
    """(symbols, begin, weights) of each batch."""
    batches = batches if count is None else batches.take(count)
    return [(x["symbols"], x["begin"], weights) for x, weights in batches.as_numpy_iterator()]


def ring_window(symbols, start, size):
    return [symbols[(start + i) % len(symbols)] for i in range(size)]


# Training -------------------------------------------------------------------------------------------------------------


def test_the_picture_of_the_module():
    found = arrays(streams.training(np.frombuffer(b"abcdefghijkl", np.uint8), 2, 2, 3, seed=0, restart=0), 3)
    rows = [[bytes(row).decode() for row in symbols] for symbols, _, _ in found]
    assert rows == [["abcd", "ghij"], ["cdef", "ijkl"], ["efgh", "klab"]]  # with the one to predict after the last
    assert [weights.tolist() for _, _, weights in found] == [[[1, 1, 1]] * 2, [[0, 1, 1]] * 2, [[0, 1, 1]] * 2]
    assert [begin.tolist() for _, begin, _ in found] == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize(
    ("count", "rows", "k1", "k2"),
    [(50, 4, 3, 5), (50, 4, 5, 5), (53, 7, 1, 6), (10, 9, 2, 9), (3, 5, 4, 8)],
)
def test_windows_go_on_around_the_ring(count, rows, k1, k2):
    """Row r begins a share of the corpus after row r - 1 and moves by k1, past the end and on at the beginning."""
    symbols = np.random.default_rng(0).integers(0, 1000, count)
    fitting = streams.fitting_rows(count, rows, k2)
    batches = streams.training(symbols, rows, k1, k2, seed=0, restart=0)
    assert batches.element_spec[0]["symbols"].shape == [fitting, k2 + 1]
    steps = 2 * count // k1 + 2  # more than once around
    for n, (window, begin, weights) in enumerate(arrays(batches, steps)):
        for r in range(fitting):
            assert window[r].tolist() == ring_window(symbols, r * (count // fitting) + n * k1, k2 + 1)
        assert begin.tolist() == [n == 0] * fitting
        late = [1.0] * k2 if n == 0 else [0.0] * (k2 - k1) + [1.0] * min(k1, k2)
        assert weights.dtype == np.float32 and weights.tolist() == [late] * fitting


def test_every_symbol_of_a_row_counts_once():
    """What the weights count of one row, batch after batch, follows without a gap or a repetition."""
    symbols = np.arange(200)
    counted = []
    for window, _, weights in arrays(streams.training(symbols, 1, 3, 7, seed=0, restart=0), 20):
        counted += window[0, 1:][weights[0] > 0].tolist()
    assert counted == list(range(1, 1 + 7 + 19 * 3))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 300), rows=st.integers(1, 40), k2=st.integers(1, 40))
def test_rows_are_as_many_as_fit(count, rows, k2):
    fitting = streams.fitting_rows(count, rows, k2)
    assert 1 <= fitting <= rows
    assert fitting == 1 or count // fitting > k2  # a window and the symbol after it, in each
    assert fitting == rows or fitting == 1 or count // (fitting + 1) <= k2
    assert streams.steps_per_pass(count, fitting, k2) == max(1, round((count - 1) / (fitting * k2)))


def test_restarts_are_as_rare_as_asked_for():
    symbols = np.arange(1000)
    found = arrays(streams.training(symbols, 20, 5, 10, seed=3, restart=8), 200)
    begin = np.stack([begin for _, begin, _ in found[1:]])
    expected, deviation = begin.size / 8, np.sqrt(begin.size / 8 * 7 / 8)
    assert abs(begin.sum() - expected) < 4 * deviation
    assert begin.any(0).all() and not begin.all(1).any()  # every row sooner or later, and not all together
    for _, begins, weights in found:
        assert (weights[begins] == 1).all()  # nothing before it was predicted in another batch
        assert (weights[~begins] == np.array([0] * 5 + [1] * 5)).all()
    assert all(begin.all() for _, begin, _ in arrays(streams.training(symbols, 4, 5, 5, seed=3, restart=1), 5))


@pytest.mark.parametrize("restart", [0, 3])
def test_the_batch_of_a_step_is_the_same_in_every_run(restart):
    symbols = np.random.default_rng(0).integers(0, 50, 400)
    run = lambda seed: streams.training(symbols, 6, 2, 4, seed, restart)
    whole, again, other = (arrays(run(seed), 30) for seed in (1, 1, 2))
    resumed = arrays(run(1).skip(13), 17)
    for expected, found in itertools.chain(zip(whole, again, strict=True), zip(whole[13:], resumed, strict=True)):
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)
    different = [not np.array_equal(a[1], b[1]) for a, b in zip(whole, other, strict=True)]
    assert any(different) == bool(restart)


# One pass -------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(count=st.integers(2, 120), rows=st.integers(1, 20), k2=st.integers(1, 12))
def test_once_predicts_each_symbol_but_the_first_exactly_once(count, rows, k2):
    """And from the symbol before it; a row begins with nothing before, and goes on from there without a gap."""
    symbols, counted, last = np.arange(count), collections.Counter(), {}
    for n, (window, begin, weights) in enumerate(arrays(streams.once(symbols, rows, k2))):
        assert begin.tolist() == [n == 0] * len(window)
        for r, i in np.argwhere(weights):
            target = int(window[r, i + 1])
            assert window[r, i] == target - 1
            assert r not in last or last[r] == target - 1
            counted[target], last[r] = counted[target] + 1, target
    assert counted == {i: 1 for i in range(1, count)}


def test_once_ends():
    assert len(list(streams.once(np.arange(100), 4, 5))) == int(streams.once(np.arange(100), 4, 5).cardinality()) == 5


# Symbols of several columns, and of every type ------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [(), (1,), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_a_symbol_may_have_columns(tmp_path, dtype, columns):
    values = np.random.default_rng(0).integers(0, 256, (60, *columns)).astype(dtype)
    cuts = [0, 7, 7, 8, 40, 60]  # an empty piece too
    spec = tf.TensorSpec([None, *columns], dtype)
    parts = lambda: (values[a:b] for a, b in itertools.pairwise(cuts))
    mapped = streams.write(tf.data.Dataset.from_generator(parts, output_signature=spec), tmp_path / "new" / "symbols")
    np.testing.assert_array_equal(mapped, values)
    assert mapped.dtype == dtype and not mapped.flags.writeable
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["symbols"]
    for batches in (streams.training(mapped, 4, 2, 5, 0, 0), streams.once(mapped, 4, 5)):
        assert batches.element_spec[0]["symbols"] == tf.TensorSpec([4, 6, *columns], dtype)
        assert batches.element_spec[0]["begin"] == tf.TensorSpec([4], tf.bool)
        assert batches.element_spec[1] == tf.TensorSpec([4, 5], tf.float32)
        (window, _, _), (after, _, _) = arrays(batches, 2)
        step = 2 if batches.cardinality() > 100 else 5
        for r in range(4):
            np.testing.assert_array_equal(window[r], values[r * 15 : r * 15 + 6])
            np.testing.assert_array_equal(after[r], values[r * 15 + step :][:6])


@pytest.mark.parametrize(("count", "said"), [(0, "0 symbols;"), (1, "1 symbol;")])
def test_too_few_symbols(tmp_path, count, said):
    pieces = tf.data.Dataset.from_tensors(tf.zeros([count], tf.int32))
    with pytest.raises(ZooError, match=f"a corpus of {said} expected at least two"):
        streams.write(pieces, tmp_path / "symbols")
    assert not list(tmp_path.iterdir())


def test_two_symbols_are_enough(tmp_path):
    symbols = streams.write(tf.data.Dataset.from_tensors(tf.constant([3, 4])), tmp_path / "symbols")
    window, begin, weights = arrays(streams.training(symbols, 8, 2, 3, 0, 0), 1)[0]
    assert (window.tolist(), begin.tolist(), weights.tolist()) == ([[3, 4, 3, 4]], [True], [[1, 1, 1]])
    (once,) = arrays(streams.once(symbols, 8, 3))
    assert (once[0][0, :2].tolist(), once[2].tolist()) == ([3, 4], [[1, 0, 0]])


# Memory ---------------------------------------------------------------------------------------------------------------


def test_the_file_is_read_where_it_is_needed(tmp_path, script):
    """Of 64 MB little is ever in the process's memory, neither when they are written nor when batches are made."""
    pytest.importorskip("psutil")
    program = """if True:
        import itertools, pathlib, sys
        import numpy as np, psutil, tensorflow as tf
        from zoo import streams
        sizes = []
        def work(count):
            pieces = tf.data.Dataset.range(count).map(lambda i: tf.cast(tf.range(2**18), tf.uint16))
            symbols = streams.write(pieces, pathlib.Path(sys.argv[1]))
            sizes.append(psutil.Process().memory_info().rss / 2**20)
            batches = streams.training(symbols, 16, 50, 50, 0, 0), streams.once(symbols, 16, 50)
            for batch, _ in itertools.chain.from_iterable(each.take(50) for each in batches):
                assert batch["symbols"].shape == [16, 51]
            sizes.append(psutil.Process().memory_info().rss / 2**20)
            return symbols.nbytes / 2**20
        work(4)  # what TensorFlow itself takes
        print(work(128), max(sizes[2:]) - sizes[1])
    """
    size, grown = map(float, script(program, tmp_path / "symbols").split())
    assert size == 64 and grown < 24
