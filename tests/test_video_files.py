"""Clips in files of people's own: every layout read back, what is malformed named with its file and frame."""

import os

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zoo import clips
from zoo.errors import ZooError, explain

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, at the first video; here by `write_video`

T, H, W = 6, 12, 16
LABELS = ["none", "wave", "wave", "none", "jump", "jump"]
INTERVALS = "start,end,label\n4,6,jump\n1,3,wave\n"
RAW = np.random.default_rng(0).integers(0, 256, (T, H, W, 4), np.uint8)
COLOUR, GREY = RAW[..., :3], RAW[..., :1]


def smooth(count=T, height=32, width=48):
    """Frames that survive lossy coding: a bar that grows on a grey ground."""
    frames = np.full((count, height, width, 3), 128, np.uint8)
    for t in range(count):
        frames[t, :, : (t + 1) * width // count] = (160, 150 - 2 * t, 140)
    return frames


def write_video(path, frames, fps=10.0, codec="mp4v"):
    if path.suffix == ".gif":
        first, *rest = map(Image.fromarray, frames)
        first.save(path, save_all=True, append_images=rest, duration=1000 / fps)
        return path
    size = frames.shape[2], frames.shape[1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def write_images(folder, frames, pattern="{}.png"):
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        Image.fromarray(frame.squeeze()).save(folder / pattern.format(t))
    return folder


def write_npz(path, **arrays):
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


def rows(path):
    """What iterating a source of people's own gives, as the command line would report its errors."""
    try:
        data = clips.read(path)
        for examples in data.values():
            assert examples.cardinality() == sum(1 for _ in examples)
        return {split: list(examples.as_numpy_iterator()) for split, examples in data.items()}
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        raise ZooError(line) from error


def only(path):
    """The one training example of a source: frames, labels, name."""
    (row,) = rows(path)["train"]
    return row["frames"], [label.decode() for label in row["labels"]], row["name"].decode()


def refusal(path):
    with pytest.raises(ZooError) as caught:
        rows(path)
    line = str(caught.value)
    assert "\n" not in line and "Traceback" not in line
    return line


# Layouts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [(GREY[..., 0], GREY), (GREY, GREY), (COLOUR, COLOUR), (RAW, COLOUR)],
    ids=["THW", "THW1", "THW3", "THW4"],
)
def test_frames_in_npz(given, expected, tmp_path):
    write_npz(tmp_path / "clip one.npz", frames=given, labels=LABELS)
    frames, labels, name = only(tmp_path)
    np.testing.assert_array_equal(frames, expected)
    assert frames.dtype == np.uint8 and labels == LABELS and name == "clip one"


NUMBERS = np.array([0, 1, 1, 0, 2, 2])
WRITTEN = {
    "strings": dict(labels=LABELS),
    "bytes": dict(labels=np.array(LABELS, "S")),
    "classes": dict(labels=NUMBERS, classes=["none", "wave", "jump"]),
    "names": dict(labels=NUMBERS.astype(np.uint8), names=["none", "wave", "jump"]),
    "intervals": dict(starts=[4, 1], ends=[6, 3], interval_labels=["jump", "wave"]),
    "whole floats": dict(starts=[4.0, 1.0], ends=[6.0, 3.0], interval_labels=["jump", "wave"]),
    "seconds": dict(start_seconds=[0.4, 0.09], end_seconds=[0.6, 0.34], interval_labels=["jump", "wave"], fps=10.0),
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_labels_in_npz(written, tmp_path):
    write_npz(tmp_path / "a.npz", frames=GREY, **written)
    assert only(tmp_path)[1] == LABELS


def test_bare_integers_are_labels_as_they_are_written(tmp_path):
    write_npz(tmp_path / "a.npz", frames=GREY, labels=np.array([3, 3, -1, 0, 12, 12]))
    assert only(tmp_path)[1] == ["3", "3", "-1", "0", "12", "12"]


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8])
def test_features_in_npz(dtype, tmp_path):
    features = np.arange(T * 26).reshape(T, 26).astype(dtype)
    write_npz(tmp_path / "a.npz", features=features, labels=LABELS)
    assert clips.read(tmp_path)["train"].element_spec["frames"] == tf.TensorSpec([None, 26], tf.float32)
    frames, labels, _ = only(tmp_path)
    np.testing.assert_array_equal(frames, features.astype(np.float32))
    assert frames.dtype == np.float32 and labels == LABELS


@pytest.mark.parametrize("pattern", ["{}.png", "img-{}.BMP", "a1_{:03d}.png"])
def test_a_folder_of_images_in_the_order_of_their_numbers(pattern, tmp_path):
    frames = np.concatenate([COLOUR, COLOUR[::-1]])
    write_images(tmp_path / "my.clip", frames, pattern)
    (tmp_path / "my.clip" / "labels.txt").write_text("\ufeff" + "\r\n".join(f" {n} " for n in range(12)))
    (tmp_path / "my.clip" / "notes.md").write_text("left alone")
    read, labels, name = only(tmp_path)
    np.testing.assert_array_equal(read, frames)
    assert labels == [str(n) for n in range(12)] and name == "my.clip"


def test_images_grey_and_coloured_of_many_modes(tmp_path):
    folder = write_images(tmp_path / "a", GREY)
    (folder / "labels.csv").write_text(INTERVALS)
    frames, labels, _ = only(tmp_path)
    np.testing.assert_array_equal(frames, GREY)
    assert labels == LABELS
    Image.fromarray(RAW[1]).save(folder / "1.png")
    Image.fromarray(GREY[2, ..., 0].astype(np.uint16) * 257).save(folder / "2.png")
    Image.fromarray(GREY[3, ..., 0]).convert("P").save(folder / "3.png", transparency=bytes(256))
    frames, _, _ = only(tmp_path)
    np.testing.assert_array_equal(frames[1], COLOUR[1])
    for t in (0, 2, 3):
        np.testing.assert_array_equal(frames[t], np.repeat(GREY[t], 3, -1))


CODECS = [("mp4", "mp4v"), ("mp4", "vp09"), ("avi", "MJPG"), ("mkv", "mp4v"), ("mov", "mp4v"), ("gif", "")]


@pytest.mark.parametrize(("suffix", "codec"), CODECS)
def test_a_video_is_written_and_read_back(suffix, codec, tmp_path, capfd):
    video = write_video(tmp_path / f"a.{suffix}", smooth(), codec=codec)
    (tmp_path / "a.csv").write_text(INTERVALS)
    (tmp_path / "other.txt").write_text("belongs to no clip")
    (tmp_path / ".hidden.npz").write_text("")
    frames, labels, name = only(tmp_path)
    assert frames.shape == smooth().shape and labels == LABELS and name == "a"
    assert np.abs(frames.astype(int) - smooth()).mean() < 4  # the codecs blur colours
    np.testing.assert_array_equal(np.stack(list(clips.camera(video))), frames)
    clip = clips.load(video)
    np.testing.assert_array_equal(clip.frames, frames)
    assert (clip.labels, clip.fps, clip.name) == (LABELS, pytest.approx(10), "a")
    assert capfd.readouterr() == ("", "")


def test_seconds_beside_a_video(tmp_path):
    """Frame t has the label of the interval that (t + 0.5) / 10 s lies in: 0.05, 0.15, 0.25 ..."""
    write_video(tmp_path / "a.mp4", smooth(), fps=10)
    (tmp_path / "a.csv").write_text("label,start_seconds,end_seconds\nb,.25,0.451\na,0.06,.15\nc,0.04,0.06\n")
    assert only(tmp_path)[1] == ["c", "none", "b", "b", "b", "none"]


def test_splits_and_order(tmp_path):
    for split, names in {"train": ["c10", "c9"], "valid": ["x"], "test": ["y"], "other": ["z"]}.items():
        for name in names:
            write_npz(tmp_path / split / f"{name}.npz", frames=GREY if name == "c9" else COLOUR, labels=LABELS)
    names = {split: [row["name"].decode() for row in found] for split, found in rows(tmp_path).items()}
    assert names == {"train": ["c9", "c10"], "dev": ["x"], "test": ["y"]}


def test_an_interval_past_the_end_is_cut_with_a_note(tmp_path, capsys):
    folder = write_images(tmp_path / "a", GREY)
    (folder / "labels.csv").write_text("start,end,label\n0,2,a\n4,9,b\n")
    assert only(tmp_path)[1] == ["a", "a", "none", "none", "b", "b"]
    note = f"zoo: note: {folder / 'labels.csv'}: line 3: 1 interval ends past the last frame; cut off there\n"
    assert capsys.readouterr().err == note
    assert clips.load(folder).labels[-1] == "b" and capsys.readouterr().err == note


def test_one_clip_needs_no_labels(tmp_path):
    folder = write_images(tmp_path / "a", COLOUR)
    video = write_video(tmp_path / "b.mp4", smooth())
    npz = write_npz(tmp_path / "c.npz", features=np.ones([T, 3]), fps=25)
    found = [clips.load(path) for path in (folder, str(video), npz)]
    assert [clip.labels for clip in found] == [None] * 3 and [clip.name for clip in found] == ["a", "b", "c"]
    assert [clip.fps for clip in found] == [None, 10.0, 25.0] and found[2].frames.dtype == np.float32
    (tmp_path / "b.txt").write_text("What was said.\n")
    assert clips.load(video, labelled=False).labels is None
    with pytest.raises(ZooError, match=r"b\.txt: 1 labels for 6 frames"):
        clips.load(video)


# Malformed ------------------------------------------------------------------------------------------------------------

BAD_NPZ = {
    "neither": (dict(labels=LABELS), "expected one of the arrays frames and features; found labels"),
    "both": (dict(frames=GREY, features=np.ones([T, 2])), "expected one of the arrays frames and features"),
    "floats": (dict(frames=GREY / 255.0), "frames are float64 of shape [6, 12, 16, 1]; expected uint8 [T, H, W]"),
    "channels": (dict(frames=RAW[..., :2]), "[6, 12, 16, 2]; expected uint8 [T, H, W] or [T, H, W, C]"),
    "rank": (dict(features=np.ones(T)), "features are float64 of shape [6]; expected numbers [T, F]"),
    "text": (dict(features=np.full([T, 2], "x")), "features are <U1 of shape [6, 2]; expected numbers"),
    "none": (dict(frames=GREY[:0], labels=LABELS[:0]), "no frames; expected at least one"),
    "no labels": (dict(frames=GREY), "a clip without labels; expected an array labels, or starts, ends"),
    "few": (dict(frames=GREY, labels=LABELS[1:]), "5 labels for 6 frames; expected one for each"),
    "many": (dict(frames=GREY, labels=[*LABELS, "x"]), "7 labels for 6 frames"),
    "empty": (dict(frames=GREY, labels=["a", " ", *LABELS[2:]]), "frame 1: the label is empty"),
    "objects": (dict(frames=GREY, labels=np.array(LABELS, object)), "labels is an array of Python objects; expected"),
    "object frames": (dict(frames=np.array([None]), labels=["a"]), "frames are object of shape [1]; expected uint8"),
    "classes": (dict(frames=GREY, labels=NUMBERS, classes=["a", "b"]), "frame 4: label 2; expected 0 to 1, in classes"),
    "float labels": (dict(frames=GREY, labels=np.ones(T)), "labels are float64 of shape [6]; expected a list of str"),
    "surrogate": (dict(frames=GREY, labels=["\ud800"] * T), "expected labels in UTF-8"),
    "latin": (dict(frames=GREY, labels=np.array([b"\xe9"] * T)), "expected labels in UTF-8"),
    "two kinds": (dict(frames=GREY, labels=LABELS, interval_labels=["a"]), "labels and interval_labels; expected one"),
    "no ends": (dict(frames=GREY, interval_labels=["a"], starts=[0]), "interval_labels without ends; expected it"),
    "no fps": (dict(frames=GREY, interval_labels=["a"], start_seconds=[0], end_seconds=[1]), "without fps"),
    "fps": (dict(frames=GREY, labels=LABELS, fps=-1.0), "fps is float64 of shape (); expected a number above 0"),
    "lengths": (dict(frames=GREY, interval_labels=["a"], starts=[0, 1], ends=[1, 2]), "starts are int64 of shape [2]"),
    "backwards": (dict(frames=GREY, interval_labels=["a"], starts=[3], ends=[3]), "interval 0: from 3 to 3; expected"),
    "halves": (
        dict(frames=GREY, interval_labels=["a"], starts=[0.5], ends=[3]),
        "interval 0: start is '0.5'",
    ),
    "not finite": (dict(features=np.array([[0.0], [np.nan]]), labels=["a", "b"]), "frame 1: a feature is not finite"),
    "too large": (dict(features=np.array([[1e300]]), labels=["a"]), "frame 0: a feature is not finite"),
}


@pytest.mark.parametrize(("arrays", "part"), BAD_NPZ.values(), ids=BAD_NPZ)
def test_a_bad_npz_is_refused(arrays, part, tmp_path):
    path = write_npz(tmp_path / "bad.npz", **arrays)
    line = refusal(tmp_path)
    assert line.startswith(f"{path}: ") and part in line, line


BAD_LABELS = {
    "few": ("labels.txt", "a\nb\n", "2 labels for 6 frames; expected one for each"),
    "many": ("labels.txt", "a\n" * 7, "7 labels for 6 frames"),
    "blank": ("labels.txt", "a\n\nb\n", "line 2: the label is empty"),
    "nothing": ("labels.txt", "", "line 1: the label is empty"),
    "latin": ("labels.txt", b"\xe9\n" * 6, "expected a text file in UTF-8"),
    "overlap": ("labels.csv", "start,end,label\n2,4,b\n0,3,a\n", "line 2: starts at 2, inside the interval of line 3"),
    "backwards": ("labels.csv", "start,end,label\n2,4,b\n1,1,a\n", "line 3: from 1 to 1; expected an end after"),
    "beyond": ("labels.csv", "start,end,label\n6,8,b\n", "line 2: starts at 6; expected a start before the end of the"),
    "negative": ("labels.csv", "start,end,label\n-1,8,b\n", "line 2: start is '-1'; expected a whole number of frames"),
    "no number": ("labels.csv", "start,end,label\n1,x,b\n", "line 2: end is 'x'; expected a whole number of frames"),
    "nan": ("labels.csv", "start,end,label\n1,nan,b\n", "line 2: end is 'nan'"),
    "no label": ("labels.csv", "start,end,label\n1,2,\n", "line 2: the label is empty"),
    "no column": ("labels.csv", "start,stop,label\n1,2,a\n", "line 1: no column 'end'"),
    "seconds": (
        "labels.csv",
        "start_seconds,end_seconds,label\n1,2,a\n",
        "line 1: seconds, of a clip whose",
    ),
}


@pytest.mark.parametrize(("name", "content", "part"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_bad_labels_of_a_folder_are_refused(name, content, part, tmp_path):
    path = write_images(tmp_path / "a", GREY) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refusal(tmp_path)
    assert line.startswith(f"{path}: ") and part in line, line


def test_labels_that_are_missing_or_there_twice_are_refused(tmp_path):
    folder = write_images(tmp_path / "train" / "a", GREY)
    assert refusal(tmp_path) == f"{folder}: a clip without labels; expected labels.txt or labels.csv in it"
    for name in ("labels.txt", "labels.csv"):
        (folder / name).write_text("x")
    assert refusal(tmp_path).startswith(f"{folder / 'labels.txt'}: labels.csv is there as well")
    video = write_video(tmp_path / "b.mp4", smooth())
    (tmp_path / "train").rename(tmp_path / ".train")
    assert refusal(tmp_path) == f"{video}: a clip without labels; expected b.txt or b.csv beside it"


def test_sources_without_clips_are_refused(tmp_path):
    assert "no clips found; expected NAME.npz, a folder NAME/ of images" in refusal(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "README").write_text("x")
    assert refusal(tmp_path).startswith(f"{tmp_path / 'train'}: no clips found")
    (tmp_path / "train" / "a").mkdir()
    assert refusal(tmp_path).startswith(f"{tmp_path / 'train' / 'a'}: no frames; expected images")
    assert "expected a folder of clips" in refusal(tmp_path / "train" / "README")
    for path, part in ((tmp_path / "x.mp4", "no such file"), (tmp_path / "train" / "README", "no clip; expected NAME")):
        with pytest.raises(ZooError, match=part):
            clips.load(path)


@pytest.mark.parametrize(
    ("other", "part"),
    [
        (dict(frames=GREY), "frames; expected features of width 26, as in"),
        (dict(features=np.ones([T, 30])), "features of width 30; expected features of width 26, as in"),
    ],
)
def test_clips_of_mixed_kinds_are_refused(other, part, tmp_path):
    first = write_npz(tmp_path / "train" / "a.npz", features=np.ones([T, 26]), labels=LABELS)
    second = write_npz(tmp_path / "test" / "b.npz", labels=LABELS, **other)
    assert refusal(tmp_path) == f"{second}: {part} {first}"


def test_images_of_two_sizes_are_refused(tmp_path):
    folder = write_images(tmp_path / "a", GREY)
    (folder / "labels.csv").write_text(INTERVALS)
    Image.fromarray(GREY[3, 2:, :, 0]).save(folder / "3.png")
    assert refusal(tmp_path) == f"{folder / '3.png'}: 16 x 10 pixels; expected 16 x 12, as 0.png has"


def damage(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = bytes(255 - byte for byte in content[middle : middle + 64])
    damaged = {"empty": b"", "text": b"hello\n" * 50, "half": content[:middle]}
    path.write_bytes(damaged.get(how, content[:middle] + flipped + content[middle + 64 :]))


CHECKED = ["a.npz", "2.png"]  # formats with checksums
WHOLE = [*CHECKED, "2.jpg", "2.bmp", "a.mp4", "a.avi", "a.mkv", "a.gif"]
DAMAGED = [(name, how) for name in WHOLE for how in ("empty", "text", "half")] + [(name, "flipped") for name in CHECKED]


@pytest.mark.parametrize(("name", "how"), DAMAGED)
def test_damaged_files_are_refused(name, how, tmp_path, capfd):
    path = tmp_path / name
    if name == "a.npz":
        write_npz(path, frames=COLOUR, labels=LABELS)
    elif name[0] == "2":
        path = write_images(tmp_path / "a", COLOUR, "{}" + path.suffix) / name
        (path.parent / "labels.csv").write_text(INTERVALS)
    else:
        write_video(path, smooth(40, 64, 96), codec="MJPG" if name == "a.avi" else "mp4v")
        (tmp_path / "a.txt").write_text("x\n" * 40)
    damage(path, how)
    line = refusal(tmp_path)
    assert line.startswith(f"{path}: ") and "expected" in line, line
    assert "\n" not in capfd.readouterr().err.strip()


def test_a_video_that_breaks_off_is_named_with_the_frame(tmp_path):
    path = write_video(tmp_path / "a.avi", smooth(40, 64, 96), codec="MJPG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = clips.camera(path)
    seen = 0
    with pytest.raises(ZooError, match=r"a\.avi: breaks at frame \d+; expected 40 frames") as caught:
        for _ in frames:
            seen += 1
    assert 0 < seen < 40 and f"frame {seen};" in str(caught.value)


@pytest.mark.parametrize("source", [987, "missing.mp4"])
def test_a_camera_that_is_not_there(source, capfd):
    with pytest.raises(ZooError, match=r"(camera 987|missing\.mp4): cannot be opened; expected"):
        next(clips.camera(source))
    assert capfd.readouterr() == ("", "")
