"""Pictures and films of answers, read back; what they show against the clip; and a clip's timeline."""

import contextlib
import io
import resource
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from rich.console import Console

from zoo import clips, film, tables, video_files
from zoo.clips import Clip
from zoo.errors import ZooError
from zoo.segments import segments

NAMES = ["none", "wave", "jump"]
SHAPES = {"grey": (9, 13, 1), "colour": (8, 40, 3), "wide": (7, 333, 3), "tall": (41, 15, 1), "dot": (1, 1, 3)}
films = pytest.mark.parametrize("suffix", [".gif", ".mp4"])


def example(steps=6, shape=(8, 40, 3), labelled=True, names=NAMES, fps=25.0, seed=0):
    """A clip whose frames are even grounds, neighbours unlike; an answer; and the classes."""
    draw = np.random.default_rng(seed)
    frames = np.broadcast_to(shades(steps)[:, None, None, None], (steps, *shape)).astype(np.uint8)
    probabilities = draw.dirichlet(np.ones(len(names)), steps).astype("float32")
    labels = [names[i] for i in draw.integers(len(names), size=steps)] if labelled else None
    answer = {"labels": [names[i] for i in probabilities.argmax(1)], "probabilities": probabilities}
    return Clip(frames, labels, fps, "clip"), answer, names


def shades(steps):
    return 40 + np.arange(steps) * 47 % 180


def gif(path):
    """Frames of a GIF, uint8 `[T, H, W, 3]`, and what they last, in milliseconds."""
    with Image.open(path) as image:
        frames, lasting = [], 0
        for i in range(image.n_frames):
            image.seek(i)
            frames.append(np.asarray(image.convert("RGB")))
            lasting += image.info.get("duration", 0)
    return np.stack(frames), lasting


def read(path):
    return gif(path)[0] if path.suffix == ".gif" else np.stack(list(clips.camera(path)))


def picture_height(shape):
    """Of a frame on a film: enlarged, a whole number of times, to 320 pixels of width or more."""
    return shape[0] * max(1, -(-320 // shape[1]))


# Files ----------------------------------------------------------------------------------------------------------------


@films
@pytest.mark.parametrize("name", SHAPES)
def test_a_film_has_every_frame_and_a_line_below(suffix, name, tmp_path):
    path, shape = tmp_path / "new" / f"film{suffix}", SHAPES[name]
    assert film.draw(*example(6, shape, labelled=name in ("grey", "wide")), path) == path
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    frames, height = read(path), picture_height(shape)
    assert frames.shape[0] == 6 and frames.shape[1] >= height + 20 and 320 <= frames.shape[2] <= 320 + 2 * shape[1]
    assert frames.shape[1] % 2 == frames.shape[2] % 2 == 0
    middle = frames[:, : height - height // 8, : frames.shape[2] - 2].mean((1, 2))
    np.testing.assert_allclose(middle, np.repeat(shades(6)[:, None], 3, 1), atol=2 if suffix == ".gif" else 8)
    below = frames[:, height:].astype(int)
    assert (below.max((1, 2, 3)) > 100).all() and (np.median(below, (1, 2, 3)) < 40).all()  # a text on black


@films
@pytest.mark.parametrize("steps", [1, 300])
def test_short_and_long_films(suffix, steps, tmp_path):
    path = film.draw(*example(steps, (1, 320, 3), labelled=False), tmp_path / f"film{suffix}")
    assert len(read(path)) == steps


def test_colours_of_frames_are_kept(tmp_path):
    clip, *answer = example(3)
    clip = clip._replace(frames=np.tile(np.uint8([200, 90, 30]), (3, 8, 40, 1)))
    for suffix in (".gif", ".mp4"):
        frames = read(film.draw(clip, *answer, tmp_path / f"film{suffix}"))
        np.testing.assert_allclose(frames[0, 10:40, 10:300].mean((0, 1)), [200, 90, 30], atol=8)


@pytest.mark.parametrize("name", ["FILM.GIF", "FILM.MP4", "STRIP.PNG"])
def test_suffixes_may_be_capitals(name, tmp_path):
    film.draw(*example(2), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("fps, lasting", [(10.0, 600), (25.0, 240), (None, 240)])
def test_films_last_as_long_as_the_clip(fps, lasting, tmp_path):
    clip, *answer = example(6, fps=fps)
    assert gif(film.draw(clip, *answer, tmp_path / "film.gif"))[1] == lasting
    assert video_files.measure(film.draw(clip, *answer, tmp_path / "film.mp4")) == (6, fps or 25.0)
    still = clip._replace(frames=np.zeros_like(clip.frames))  # Pillow joins frames that look the same
    alike = {"labels": ["none"] * 6, "probabilities": np.full([6, 3], 1 / 3)}
    assert gif(film.draw(still._replace(labels=None), alike, NAMES, tmp_path / "still.gif"))[1] == lasting


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_gifs_of_any_rate_last_as_long_as_the_clip(fps, tmp_path):
    lasting = gif(film.draw(*example(60, (3, 320, 3), fps=fps), tmp_path / "film.gif"))[1]
    np.testing.assert_allclose(lasting, 60_000 / fps, rtol=0.05)


@pytest.mark.parametrize(
    "steps, name, labelled",
    [(6, "grey", True), (300, "colour", True), (1, "wide", False), (6, "tall", False), (1, "dot", True)]
    + [(6, "features", True), (300, "features", False), (1, "features", True)],
)
def test_strips_are_pictures(steps, name, labelled, tmp_path):
    clip, *answer = example(steps, SHAPES.get(name, (1, 1, 5)), labelled)
    if name == "features":
        clip = clip._replace(frames=clip.frames[:, 0, 0].astype("float32"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = film.draw(clip, *answer, tmp_path / "strip.png")
    with Image.open(path) as image:
        assert image.format == "PNG" and image.width > 1000 and len(image.convert("L").histogram()) > 2
    assert list(tmp_path.iterdir()) == [path]


# What is refused, and what fails --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["film.avi", "film", "film.gif.txt", "film.jpg"])
def test_other_suffixes_are_refused(name, tmp_path):
    with pytest.raises(ZooError, match=r"^\S+: expected a file name that ends in \.png, \.gif, \.mp4$"):
        film.draw(*example(), tmp_path / "new" / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", film.FORMATS)
@pytest.mark.parametrize("shape", [(8, 40, 3), (5,)], ids=str)
def test_clips_without_frames_are_refused(shape, suffix, tmp_path):
    clip = Clip(np.zeros([0, *shape], np.uint8), [], None, "the clip")
    with pytest.raises(ZooError, match="^the clip: no frames to draw$"):
        film.draw(clip, {"labels": [], "probabilities": np.zeros([0, 3])}, NAMES, tmp_path / f"film{suffix}")
    assert not list(tmp_path.iterdir())


@films
def test_films_of_features_are_refused(suffix, tmp_path):
    clip, *answer = example(6)
    clip = clip._replace(frames=np.zeros([6, 5], "float32"))
    with pytest.raises(ZooError) as error:
        film.draw(clip, *answer, tmp_path / f"film{suffix}")
    assert "clip has features in place of pictures; expected a .png" in str(error.value)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


@contextlib.contextmanager
def full_disk(size):
    """Files end at `size` bytes: every write beyond fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", film.FORMATS)
def test_on_a_full_disk_the_old_file_stays_and_nothing_else(suffix, tmp_path):
    path = tmp_path / f"film{suffix}"
    path.write_text("old")
    with full_disk(1000), pytest.raises((OSError, ZooError)):
        film.draw(*example(20), path)
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "old"


@films
def test_a_failure_between_two_frames_leaves_nothing(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageDraw, "Draw", failing(ImageDraw.Draw, 3))
    with pytest.raises(RuntimeError, match="in the middle"):
        film.draw(*example(), tmp_path / f"film{suffix}")
    assert not list(tmp_path.iterdir())


def test_a_failure_while_a_film_is_written_leaves_nothing(tmp_path, monkeypatch):
    cv2 = video_files._opencv()
    monkeypatch.setattr(cv2, "cvtColor", failing(cv2.cvtColor, 3))
    with pytest.raises(RuntimeError, match="in the middle"):
        film.draw(*example(), tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_a_failure_while_a_strip_is_written_leaves_nothing(tmp_path, monkeypatch):
    def half(figure, path, **_):
        path.write_bytes(b"\x89PNG")
        raise RuntimeError("in the middle")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", half)
    with pytest.raises(RuntimeError, match="in the middle"):
        film.draw(*example(), tmp_path / "strip.png")
    assert not list(tmp_path.iterdir())


def failing(function, at):
    calls = iter(range(at))

    def call(*args, **options):
        if next(calls, None) is None:
            raise RuntimeError("in the middle")
        return function(*args, **options)

    return call


# What is shown --------------------------------------------------------------------------------------------------------


def captions(labels, truth, path):
    """The text's colour and shape on a film of frames with these labels, all of one probability."""
    clip, _, _ = example(len(labels))
    answer = {"labels": labels, "probabilities": np.tile(np.float32([0.9, 0.1]), (len(labels), 1))}
    frames = gif(film.draw(clip._replace(labels=truth), answer, sorted(set(labels)), path))[0]
    below = frames[:, picture_height((8, 40, 3)) :].astype(int)
    brightest = [frame.reshape(-1, 3)[frame.sum(-1).argmax()] for frame in below]
    return brightest, below.sum(-1) > 300


WHITE, GREEN, RED = (255, 255, 255), (144, 238, 144), (250, 128, 114)


def test_right_labels_are_green_and_wrong_ones_red(tmp_path):
    colours, _ = captions(["a", "b", "a"], ["a", "a", "b"], tmp_path / "film.gif")
    np.testing.assert_allclose(colours, [GREEN, RED, RED], atol=12)
    colours, shapes = captions(["a", "b", "a"], None, tmp_path / "film.gif")
    np.testing.assert_allclose(colours, [WHITE] * 3, atol=12)
    assert (shapes[0] == shapes[2]).all() and (shapes[0] != shapes[1]).any()


def test_a_right_label_with_two_spaces_is_green(tmp_path):
    colours, _ = captions(["pick  up"] * 2, ["pick  up"] * 2, tmp_path / "film.gif")
    np.testing.assert_allclose(colours, [GREEN] * 2, atol=12)


@pytest.fixture
def drawn(monkeypatch):
    """The panels of a strip."""

    def panels(clip, answer, names, path):
        figures = []
        monkeypatch.setattr(film, "save", lambda figure, path: figures.append(figure))
        film.draw(clip, answer, names, path)
        return figures[0].axes

    return panels


@pytest.mark.parametrize("steps", [1, 7, 100])
@pytest.mark.parametrize("shape", [(9, 13, 1), (8, 40, 3)], ids=str)
def test_a_strip_shows_frames_labels_and_probabilities_on_one_axis(steps, shape, drawn, tmp_path):
    clip, answer, names = example(steps, shape)
    pictures, labels, curves = drawn(clip, answer, names, tmp_path / "strip.png")
    assert len(pictures.images) == min(12, steps)
    for image, text in zip(pictures.images, pictures.texts, strict=True):
        t = int(text.get_text())
        np.testing.assert_array_equal(image.get_array(), np.repeat(clip.frames[t], 3 // shape[-1], -1))
        left, right, *_ = image.get_extent()
        assert abs((left + right) / 2 - t) <= steps / 12 + 0.5  # about where the frame is in time
    shown = [int(text.get_text()) for text in pictures.texts]
    assert shown == sorted(set(shown)) and (shown[0], shown[-1]) == (0, steps - 1)
    assert [tick.get_text() for tick in labels.get_yticklabels()] == ["true", "predicted"]
    bars = [(round(b.get_y() + b.get_height() / 2), b.get_x(), b.get_x() + b.get_width()) for b in labels.patches]
    rows = [(y, s) for y, row in enumerate((clip.labels, answer["labels"])) for s in segments(row)]
    np.testing.assert_allclose(bars, [(y, s.start, s.end) for y, s in rows])
    colours = {(s.label, bar.get_facecolor()) for bar, (_, s) in zip(labels.patches, rows, strict=True)}
    assert len(colours) == len(dict(colours)) == len({colour for _, colour in colours})
    for line in curves.lines:
        np.testing.assert_allclose(line.get_xdata(), np.arange(steps) + 0.5)
        np.testing.assert_allclose(line.get_ydata(), answer["probabilities"][:, names.index(line.get_label())])
    assert {line.get_label() for line in curves.lines} == set(answer["labels"])
    assert {text.get_text().lstrip("\u200b") for text in curves.get_legend().get_texts()} == set(answer["labels"])
    assert {panel.get_xlim() for panel in (pictures, labels, curves)} == {(0, steps)}


def test_curves_are_of_the_classes_that_are_most_often_the_most_probable(drawn, tmp_path):
    names = [f"class {i}" for i in range(12)]
    chosen = np.repeat(np.arange(12), np.arange(12))  # class i is that of i frames
    answer = {"labels": [names[i] for i in chosen], "probabilities": np.eye(12)[chosen]}
    clip, *_ = example(len(chosen), labelled=False)
    _, labels, curves = drawn(clip, answer, names, tmp_path / "strip.png")
    assert [line.get_label() for line in curves.lines] == names[:3:-1]
    assert [tick.get_text() for tick in labels.get_yticklabels()] == ["predicted"] and len(labels.patches) == 11


def test_labels_that_start_with_an_underscore_are_in_the_legend(drawn, tmp_path):
    *_, curves = drawn(*example(50, names=["_silence_", "yes"]), tmp_path / "strip.png")
    assert {text.get_text().lstrip("\u200b") for text in curves.get_legend().get_texts()} == {"_silence_", "yes"}


def test_labels_with_dollars_are_text(tmp_path):
    assert film.draw(*example(50, names=[r"$\buy$", "sell"]), tmp_path / "strip.png").exists()


# The timeline ---------------------------------------------------------------------------------------------------------


def printed(name, labels, confidences, width=100):
    console = Console(file=io.StringIO(), width=width)
    tables.timeline(name, segments(labels), np.asarray(confidences), console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 100])
def test_a_timeline_prints_every_segment(width):
    draw = np.random.default_rng(0)
    labels = np.repeat(draw.choice(["none", "wave", "[red]jump"], 150), draw.integers(1, 9, 150)).tolist()
    confidences = draw.random(len(labels))
    title, header, *lines = printed("a clip", labels, confidences, width).splitlines()
    assert title.strip() == "a clip" and header.split() == ["frames", "label", "confidence"]
    rows = [line.split() for line in lines[: len(segments(labels))]]
    assert rows == [[f"{a}-{b - 1}", label, f"{confidences[a:b].mean():.2f}"] for label, a, b in segments(labels)]


def test_a_timeline_of_one_frame():
    assert printed("clip", ["wave"], [0.5]).splitlines()[2].split() == ["0-0", "wave", "0.50"]


def bar_of(labels, width):
    shown = []
    tables.timeline("clip", segments(labels), np.ones(len(labels)), SimpleNamespace(width=width, print=shown.append))
    return shown[-1]


@pytest.mark.parametrize("width", [10, 80, 200])
def test_a_timelines_bar_is_to_scale(width):
    bar, cells = bar_of(["sil"] * 30 + ["sp"] * 10 + ["sil"] * 40 + ["jump"] * 20, width), min(80, width)
    assert bar.plain == " " * cells
    ends = [0, *(span.end for span in bar.spans)]
    np.testing.assert_allclose(ends, np.array([0, 30, 40, 80, 100]) * cells / 100, atol=0.5)
    sil, sp, again, jump = (span.style for span in bar.spans)
    assert sil == again and len({sil, sp, jump}) == 3


def test_neighbours_on_a_timelines_bar_have_two_colours():
    none, wave = (span.style for span in bar_of(["none"] * 5 + ["wave"] * 5, 80).spans)
    assert none != wave


@pytest.mark.parametrize("name", ["clips/[raw]/a.mp4", "clips[/raw]/a.mp4"])
def test_a_timeline_is_headed_by_the_name_as_it_is(name):
    assert printed(name, ["wave"] * 50, np.ones(50)).splitlines()[0].strip() == name
