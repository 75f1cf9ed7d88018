"""The corpus of clips: built alike every time, sound in motion, picture and labels, and beyond a look at one frame."""

import collections
import itertools
import subprocess
import sys
import zlib

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from tasks.corpora import shapes
from tasks.corpora.shapes import Box, State


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """{split: [(name, frames, labels)]} as TFDS stores it, in the order of the names."""
    builder = shapes.Shapes(data_dir=tmp_path_factory.mktemp("once"))
    builder.download_and_prepare()
    splits, names = builder.as_dataset(), builder.info.features["labels"].feature.names
    read = lambda x: (x["name"].decode(), x["frames"], [names[i] for i in x["labels"]])
    return {split: sorted(map(read, splits[split].as_numpy_iterator()), key=lambda clip: clip[0]) for split in splits}


@pytest.fixture(scope="module")
def clips():
    """300 clips: (scene, states, labels, what shows in the noisy frames, the same without noise)."""
    made = [(*shapes.simulate(seed), seed) for seed in range(300)]
    quiet = lambda scene: scene._replace(noise=0.0)
    return [
        (
            scene,
            states,
            np.array(shapes.label(scene, states)),
            shown(scene, shapes.render(scene, states, seed)),
            shown(scene, shapes.render(quiet(scene), states, seed)),
        )
        for scene, states, seed in made
    ]


def shown(scene, frames):
    """How much of each pixel shows a thing, float `[time, 32, 32]`, read from the pixels."""
    row, column = np.mgrid[:32, :32] - 15.5
    background = scene.background + scene.slope[0] * column + scene.slope[1] * row
    show = (frames[..., 0] - background) / (scene.brightness - background)
    for left, top, right, bottom in scene.occluders:
        noise = frames[:, top:bottom, left:right, 0] - scene.cover
        assert abs(noise).max() <= 0.5 + 6 * scene.noise  # looks the same, whatever is behind
        show[:, top:bottom, left:right] = 0
    return show


def centroids(show):
    """x and y of what shows, pixels `[time, 2]`."""
    mass = np.maximum(show.sum((1, 2)), 1e-6)
    return np.stack([(show.sum(axis) * (np.arange(32) + 0.5)).sum(1) / mass for axis in (1, 2)], 1)


def blobs(show):
    """How many things stand side by side in each frame."""
    return (np.diff(show.max(1) > 0.25, axis=1, prepend=False) & (show.max(1) > 0.25)).sum(1)


# Corpus ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_build_is_the_same_in_every_process(corpus):
    code = (
        "import zlib; from tasks.corpora import shapes as s; print([zlib.crc32(x['frames']) for x in s.write('test')])"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True).strip()
    assert printed == str([zlib.crc32(frames) for _, frames, _ in corpus["test"]])
    for (name, frames, labels), clip in zip(corpus["validation"], shapes.write("validation"), strict=True):
        assert (name, labels) == (clip["name"], clip["labels"]) and np.array_equal(frames, clip["frames"])


def test_sizes_types_and_lengths(corpus):
    assert {split: len(found) for split, found in corpus.items()} == shapes.SIZES
    for split, found in corpus.items():
        assert [name for name, *_ in found] == [f"{split}-{i:03}" for i in range(len(found))]
        assert all(frames.dtype == np.uint8 for _, frames, _ in found)
        assert all(frames.shape == (len(labels), 32, 32, 1) for _, frames, labels in found)
        assert {len(labels) for _, _, labels in found} <= set(range(24, 61))
        assert len({len(labels) for _, _, labels in found}) > 20


def test_no_frame_and_no_motion_occurs_twice(corpus, clips):
    frames = [frame.tobytes() for found in corpus.values() for _, frames, _ in found for frame in frames]
    assert len(set(frames)) == len(frames)
    paths = {tuple(state.x + (state.y,) for state in states) for _, states, *_ in clips}
    assert len(paths) == len(clips)


def test_no_label_is_rare_and_none_prevails(corpus):
    for split, found in corpus.items():
        counts = collections.Counter(label for _, _, labels in found for label in labels)
        shares = {label: counts[label] / counts.total() for label in shapes.LABELS}
        assert counts.keys() == shares.keys() and min(shares.values()) > 0.05 and max(shares.values()) < 0.3, split


# Physics --------------------------------------------------------------------------------------------------------------


def test_things_stay_between_the_walls_and_move_as_they_say(clips):
    for scene, states, *_ in clips:
        (x, y), r = (np.array([state.x for state in states]), np.array([state.y for state in states])), scene.radius
        assert np.all((y > r - 1e-9) & (y < 32 - r + 1e-9))
        assert scene.beyond or np.all((x > r - 1e-9) & (x < 32 - r + 1e-9))
        assert scene.pair or np.allclose(x[:, 1] - x[:, 0], scene.spread)
        np.testing.assert_allclose(-np.diff(y), [state.rise for state in states[1:]], atol=1e-9)


def test_things_fly_at_one_speed_or_fall_at_one_acceleration(clips):
    bends = []
    for _, states, *_ in clips:
        rise, hit = (np.array([getattr(state, name) for state in states]) for name in ("rise", "hit"))
        bend = -np.diff(rise)[~hit[1:] & ~hit[:-1]]
        bends += bend.tolist()
        steady = abs(np.diff(bend)) < 1e-6
        assert steady.mean() > 0.6  # all but bounces and new legs
    bends = np.array(bends)
    assert np.mean((abs(bends) < 1e-6) | ((bends > 0.08) & (bends < 0.2))) > 0.9


@pytest.mark.parametrize(
    "position, velocity, expected",
    [(20.0, 2.0, (20.0, 2.0, False)), (30.5, 2.0, (27.5, -2.0, True)), (1.5, -1.0, (4.5, 1.0, True))],
)
def test_a_bounce_is_a_reflection(position, velocity, expected):
    assert shapes.reflect(position, velocity, 3.0, 29.0) == expected


def test_pairs_stick_and_part_in_the_open_only(clips):
    sticks = parts = 0
    for scene, states, *_ in clips:
        for before, after in itertools.pairwise(states if scene.pair else ()):
            stuck = [state.x[0] == state.x[1] for state in (before, after)]
            if stuck[0] != stuck[1]:
                sticks, parts = sticks + stuck[1], parts + stuck[0]
                x, r = before.x, scene.radius
                for left, top, right, bottom in scene.occluders:
                    beside = all(right <= x_ - r or x_ + r <= left for x_ in x)
                    assert beside or bottom <= before.y - r or before.y + r <= top
    assert sticks > 30 and parts > 20


# Labels ---------------------------------------------------------------------------------------------------------------


def test_labels_of_states_written_by_hand():
    scene = shapes.simulate(0)[0]._replace(
        shape="square", radius=3.0, pair=True, spread=0.0, beyond=9.0, occluders=(Box(10, 0, 22, 32),)
    )
    cases = [  # x of both, y, moved sideways, rise, hit
        ((-4, -4), 16, True, 1.0, False, "absent"),
        ((36, 36), 16, True, 1.0, True, "absent"),
        ((14, 18), 16, True, 1.0, False, "hidden"),
        ((-4, 16), 16, True, 1.0, False, "hidden"),
        ((4, 8), 16, True, 1.0, False, "merged"),
        ((4, 11), 16, True, 1.0, True, "bounced"),
        ((4, 7), 16, True, 1.0, False, "merged"),
        ((4, 28), 16, True, 1.0, False, "bounced"),
        ((4, 28), 16, True, 1.0, False, "rising"),
        ((4, 28), 16, True, -0.1, False, "falling"),
        ((4, 28), 16, True, 0.0, True, "bounced"),
        ((16, 16), 16, True, 0.0, False, "hidden"),
        ((4, 28), 16, True, 0.0, False, "drifting"),
        ((4, 28), 16, False, 0.0, False, "still"),
        ((8.5, 14), 16, False, 0.0, False, "still"),  # they meet behind the occluder
        ((12.9, 16), 16, False, 0.0, False, "hidden"),  # a tenth of a pixel wide, six high: too little
        ((12.5, 16), 16, False, 0.0, False, "still"),
    ]
    states = [State(x, y, sideways, rise, hit) for x, y, sideways, rise, hit, _ in cases]
    assert shapes.label(scene, states) == [expected for *_, expected in cases]
    single = [label for label in shapes.label(scene._replace(pair=False), states)]
    assert single[4] == "rising" and "merged" not in single


def test_what_is_absent_or_hidden_does_not_show_and_all_else_does(clips):
    for _, _, labels, _, quiet in clips:
        unseen = np.isin(labels, ("absent", "hidden"))
        pixels = np.where(quiet > 0.02, quiet, 0).sum((1, 2))  # less is from rounding
        assert np.all(pixels[unseen] < 2.2) and np.all(pixels[~unseen] > 1.8)


def test_where_it_was_last_seen_tells_absent_from_hidden(clips):
    for _, _, labels, _, quiet in clips:
        gone = True  # nothing is hidden when a clip starts
        for label, show in zip(labels, quiet, strict=True):
            if label in ("absent", "hidden"):
                assert label == ("absent" if gone else "hidden")
            else:
                gone = max(show[:, 0].max(), show[:, 31].max()) > 0.2


def test_motion_shows_in_two_frames(clips):
    seen = collections.Counter()
    for scene, states, labels, noisy, _ in clips:
        if scene.pair or scene.noise > 2.5:
            continue
        inside = [all(0 < box.left < box.right < 32 for box in state.boxes(scene.radius)) for state in states]
        whole = np.array([shapes.uncovered(scene, state) for state in states]) & inside
        moves = np.diff(centroids(np.where(noisy > 0.25, noisy, 0)), axis=0)
        for label, (dx, dy) in itertools.compress(zip(labels[1:], moves, strict=True), whole[1:] & whole[:-1]):
            right = {"rising": dy < 0.1, "falling": dy > -0.1, "drifting": abs(dy) < 0.3 < abs(dx)}
            right |= {"still": max(abs(dx), abs(dy)) < 0.3, "bounced": True}
            assert right[label], (label, dx, dy)
            seen[label] += 1
    assert min(seen.values()) > 50 and len(seen) == 5


def test_what_bounced_has_turned_and_was_as_near_to_the_wall_before(clips):
    turned, gaps = [], []
    for scene, _, labels, _, quiet in clips:
        show = (quiet > 0.5).any(1), (quiet > 0.5).any(2)
        gap = np.stack([np.minimum(side.argmax(1), side[:, ::-1].argmax(1)) for side in show], 1)
        for start in np.flatnonzero((labels[2:] == "bounced") & (labels[1:-1] != "bounced")) + 2:
            around = slice(start - 2, start + 2)
            if not scene.pair and start + 2 <= len(quiet) and np.ptp(quiet[around].sum((1, 2))) < 0.5:
                speed = np.diff(centroids(quiet[around]), axis=0)
                turns = speed[0] * speed[-1] < 0
                turned.append(turns.any())
                gaps += gap[around][:, turns].T.tolist()
    gaps = np.mean(gaps, 0)  # free pixels between thing and wall: two frames before it turned, and two after
    assert len(turned) > 40 and np.mean(turned) > 0.9
    assert max(gaps[1:3]) < 2 and max(gaps) < 4 and np.allclose(gaps, gaps[::-1], atol=0.4), gaps


def test_merged_is_one_blob_that_may_as_well_be_a_single_thing(clips):
    agree = []
    for seed, (scene, states, labels, _, quiet) in enumerate(clips):
        if scene.pair and not scene.occluders:
            agree += ((labels == "merged") == (blobs(quiet) == 1)).tolist()
        if scene.pair and "merged" in labels:
            single = scene._replace(pair=False)
            assert "merged" not in shapes.label(single, states)
            np.testing.assert_array_equal(shapes.render(single, states, seed), shapes.render(scene, states, seed))
    assert np.mean(agree) > 0.93
    apart = [blobs(quiet).max() for scene, _, _, _, quiet in clips if not scene.pair and not scene.occluders]
    assert set(apart) == {1}


# Beyond one frame -----------------------------------------------------------------------------------------------------


def looks(show):
    """What one frame tells, `[time, 10]`: place, extent and number of the things in it; -1 where nothing shows."""
    show = np.where(show > 0.25, show, 0)
    mass = show.sum((1, 2))[:, None]
    columns, rows = ((show > 0.3).any(axis) for axis in (1, 2))
    ends = np.stack([end.argmax(1) for side in (columns, rows) for end in (side, side[:, ::-1])], 1)
    return np.where(mass > 1.5, np.concatenate([mass, centroids(show), ends, blobs(show)[:, None]], 1), -1)


def past(look, frames):
    """A frame's look, and how those of the frames before differ from it."""
    earlier = [look[np.maximum(np.arange(len(look)) - i, 0)] for i in range(1, frames)]
    return np.concatenate([look, *(look - other for other in earlier)], 1)


def memory(look):
    """How the thing looked when last seen, how long ago that was, and the most things seen so far."""
    frame = np.arange(len(look))
    last = np.maximum.accumulate(np.where(look[:, 0] > 0, frame, 0))
    return np.concatenate([look[last], (frame - last)[:, None], np.maximum.accumulate(look[:, -1:])], 1)


def test_one_frame_does_not_tell_and_the_past_does(clips):
    features = {
        "one frame": looks,
        "six frames": lambda show: past(looks(show), 6),
        "six frames and memory": lambda show: np.concatenate([past(looks(show), 6), memory(looks(show))], 1),
    }
    accuracy, (train, test) = {}, (clips[:220], clips[220:])
    gather = lambda read, some: np.concatenate([read(noisy) for _, _, _, noisy, _ in some])
    labels = lambda some: np.concatenate([clip[2] for clip in some])
    for name, read in features.items():
        model = ExtraTreesClassifier(60, min_samples_leaf=3, random_state=0).fit(gather(read, train), labels(train))
        accuracy[name] = model.score(gather(read, test), labels(test))
    print(accuracy)
    assert accuracy["one frame"] < 0.42, accuracy
    assert accuracy["six frames"] > accuracy["one frame"] + 0.25, accuracy
    assert accuracy["six frames and memory"] > accuracy["six frames"] + 0.02, accuracy
