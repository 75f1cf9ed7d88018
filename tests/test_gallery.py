"""Contact sheets, attention maps and captioned pictures, read back; and texts that are wrapped to fit."""

import warnings

import numpy as np
import pytest
from PIL import Image

from zoo import gallery

WORDS = [
    "the",
    "snow",
    "costs",
    "$5",
    "$6,",
    "stands_on",
    "WWWW",
    "\u5c71\u5ddd",
    "^{x}",
    "\\frac",
    "incomprehensibilities",
]


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.fixture
def written(monkeypatch):
    """What is written on a sheet: (text, size in points, left, top), in inches."""
    texts, text = [], gallery._Sheet.text

    def noted(self, left, top, line, size, *rest, **style):
        texts.append((line, size, left, top))
        text(self, left, top, line, size, *rest, **style)

    monkeypatch.setattr(gallery._Sheet, "text", noted)
    return texts


def sentence(seed, words):
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


def plain(colour, height=30, width=40):
    return np.full([height, width, 3], colour, np.uint8)


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def place_of(image, colour):
    """Top, bottom, left and right of the pixels of about a colour."""
    rows, columns = np.nonzero(np.abs(image - colour).max(-1) <= 2)
    return rows.min(), rows.max(), columns.min(), columns.max()


# Choice ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 19, 20, 21, 100])
def test_the_best_the_middling_and_the_worst_are_chosen(count):
    scores = np.random.default_rng(count).permutation(count) / 7
    chosen = gallery.choose(scores)
    places = [i for group in chosen.values() for i in group]
    assert list(chosen) == ["best", "middling", "worst"] and len(set(places)) == len(places) == min(count, 20)
    assert scores[places].tolist() == sorted(scores[places], reverse=True)
    if count >= 20:
        assert [len(group) for group in chosen.values()] == [7, 6, 7]
        ranks = sorted(scores)
        assert {scores[i] for i in chosen["best"]} == set(ranks[-7:])
        assert {scores[i] for i in chosen["worst"]} == set(ranks[:7])
        middle = [ranks.index(scores[i]) for i in chosen["middling"]]
        assert abs(np.mean(middle) - (count - 1) / 2) <= 0.5
    elif count >= 3:
        assert all(chosen.values())


def test_equal_scores_are_taken_in_their_order():
    assert gallery.choose([1.0] * 6, 2, 2, 2) == {"best": [0, 1], "middling": [2, 3], "worst": [4, 5]}


# Texts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 13])
@pytest.mark.parametrize("bold", [False, True])
def test_lines_are_as_wide_as_fits_and_no_word_is_lost(size, bold):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1), dpi=120)
    FigureCanvasAgg(figure)

    def width(line):
        """In inches, as it is drawn."""
        weight = "bold" if bold else "normal"
        drawn = figure.text(0, 0, line, fontsize=size, weight=weight, parse_math=False)
        return drawn.get_window_extent().width / 120

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        for seed in range(3):
            text = sentence(seed, 30)
            lines = gallery.wrapped(text, 1.6, size, lines=100, bold=bold)
            assert all(width(line) <= 1.6 * 1.03 for line in lines)
            assert "".join(lines).replace(" ", "") == text.replace(" ", "")
            for line, following in zip(lines, lines[1:], strict=False):  # none would have held another word
                assert width(f"{line} {following.split()[0]}") > 1.6 * 0.97


def test_what_is_too_much_is_cut_off():
    lines = gallery.wrapped("word " * 50, 1.5, 8, lines=3)
    assert len(lines) == 3 and lines[-1].endswith("...") and not any("..." in line for line in lines[:-1])
    assert gallery.wrapped("one two", 9, 8, lines=1) == ["one two"]
    assert gallery.wrapped(" \n ", 1, 8) == []
    assert len(gallery.wrapped("x" * 1_000_000, 1.5, 8, lines=3)) == 3
    assert gallery.wrapped("WW", 0.01, 8) == ["W", "W"]


# Contact sheets -------------------------------------------------------------------------------------------------------


def test_a_contact_sheet_shows_every_picture_with_its_texts(written, tmp_path):
    draw = np.random.default_rng(0)
    colours = draw.permutation(np.stack(np.meshgrid([30, 130, 230], [30, 130, 230], [30, 130, 230]), -1).reshape(-1, 3))
    colours = colours[np.ptp(colours, 1) > 0]  # the edges of letters are grey
    pictures = [plain(colour, *draw.integers(20, 60, 2)) for colour in colours[:20]]
    chosen = gallery.choose(np.arange(20))
    rows = [
        {"group": group, "caption": f"says {i} $", "score": i / 8, "references": [f"one {i}", f"two {i}", f"three {i}"]}
        for group, members in chosen.items()
        for i in members
    ]
    image = pixels(gallery.contact_sheet(pictures, rows, tmp_path / "new" / "sheet.png"))
    assert image.shape[1] == 1440
    places = {text: place for text, _, *place in written}
    assert [text for text, *_ in written if text in chosen] == list(chosen)
    for colour, row in zip(colours, rows, strict=False):
        top, bottom, left, right = np.array(place_of(image, colour)) / 120
        assert bottom > top and right > left
        i = row["caption"].split()[1]
        lines = [row["caption"], f"CIDEr-D {row['score']:.2f}", f"- one {i}", f"- two {i}"]
        under = [places[line] for line in lines]
        assert f"- three {i}" not in places
        assert all(x <= left + 0.02 and x > right - 2 for x, _ in under)
        assert bottom - 0.1 < under[0][1] < under[1][1] < under[2][1] < under[3][1] < top + 3
        assert places[row["group"]][1] < top


@pytest.mark.parametrize("count", [1, 5, 9])
def test_groups_of_any_number_and_pictures_of_any_size(count, tmp_path):
    shapes = [(1, 1), (2000, 3), (3, 2000), (700, 1500)]
    pictures = [plain(90, *shapes[i % 4]) for i in range(count)]
    rows = [{"group": "a", "caption": sentence(i, 60 * i), "score": 0.0, "references": []} for i in range(count)]
    image = pixels(gallery.contact_sheet(pictures, rows, tmp_path / "sheet.png"))
    assert image.shape[1] == 1440 and image.shape[0] < 3 * 1440


# Attention ------------------------------------------------------------------------------------------------------------


def test_the_best_to_the_worst_of_many_pictures(written, tmp_path):
    """They are read once, one after the other; each is with its own caption, score and reference."""
    scores = np.random.default_rng(9).permutation(40) + 0.5
    captions, references = [f"said {i}" for i in range(40)], [[f"true {i}"] for i in range(40)]
    colours = [np.array([255, 6 * i, 0]) for i in range(40)]
    pictures = (plain(colour) for colour in colours)
    path = gallery.best_to_worst(pictures, captions, references, scores, tmp_path / "sheet.png")
    assert path == tmp_path / "sheet.png" and next(pictures, None) is None
    chosen = gallery.choose(scores)
    lines = [line for line, *_ in written]
    assert [line for line in lines if line in chosen] == ["best", "middling", "worst"]
    assert [line for line in lines if line.startswith("said")] == [
        f"said {i}" for group in chosen.values() for i in group
    ]
    image = pixels(path)
    places = {i: place_of(image, colours[i]) for group in chosen.values() for i in group}
    inch = image.shape[1] / gallery.WIDTH
    for i, (_, bottom, left, right) in places.items():
        at = next((x, y) for line, _, x, y in written if line == f"said {i}")
        assert left - 5 <= at[0] * inch <= right and 0 < at[1] * inch - bottom < inch
        below = [line for line, _, x, y in written if abs(x - at[0]) < 0.01 and 0 <= y - at[1] < 0.6]
        assert any(f"{scores[i]:.0f}" in line or f"{scores[i]:.1f}" in line for line in below), below
        assert any(f"true {i}" in line for line in below)


def test_fewer_pictures_than_a_sheet_has(tmp_path):
    path = gallery.best_to_worst(iter([plain(9)]), ["a"], [["b"]], np.array([1.0]), tmp_path / "sheet.png")
    assert pixels(path).shape[1] > 500


def test_a_map_lights_what_was_looked_at():
    ground = np.random.default_rng(1).integers(100, 256, size=(70, 140, 3), dtype=np.uint8)
    weights = np.zeros([7, 7], np.float32)
    weights[2, 5] = 0.6
    share = gallery.lit(ground, weights) / ground.astype(float)
    assert share[25, 110] == pytest.approx(1, abs=0.02)  # the middle of the cell
    assert share[60:].max() < gallery.DARK + 0.01 and share[:, :60].max() < gallery.DARK + 0.01
    assert (np.diff(share.mean(-1)[25, 70:110]) > -0.02).all()  # smooth on the way there
    np.testing.assert_array_equal(gallery.lit(ground, np.full([7, 7], 1 / 49)), ground)
    assert gallery.lit(ground, np.zeros([1, 1])).max() <= 64


def test_attention_maps_have_a_panel_for_each_word_below_the_caption(written, tmp_path):
    words = WORDS[:7]
    weights = np.zeros([8, 2, 2], np.float32)
    weights[:, 0, 0] = 1
    weights[3] = [[0, 0], [0, 1]]
    image = pixels(gallery.attention_maps(plain(200, 50, 60), [*words, "</s>"], weights, tmp_path / "maps.png"))
    (caption, *_), *titles = written
    assert caption == " ".join(words) and [title for title, *_ in titles] == words
    for i, (_, _, middle, top) in enumerate(titles):
        left, above = int((middle - 1.1) * 120), int((top + 0.3) * 120)
        panel = image[above : above + 200, left : left + 264].mean(-1)
        corners = panel[20, 20], panel[-20, -20]
        assert np.ptp(corners) > 100 and (corners[0] < corners[1]) == (i == 3)


@pytest.mark.parametrize("shape", [(1, 1), (1000, 3), (3, 1000), (1500, 2000)])
def test_maps_of_pictures_of_any_size_and_long_captions(shape, tmp_path):
    pieces = sentence(3, 20).split()
    weights = np.random.default_rng(2).dirichlet(np.ones(49), 20).reshape(20, 7, 7)
    assert pixels(gallery.attention_maps(plain(9, *shape), pieces, weights, tmp_path / "maps.png")).shape[1] < 1500
    pixels(gallery.attention_maps(plain(9, *shape), ["</s>"], weights[:1], tmp_path / "none.png"))


# One picture ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (40, 30), (30, 40), (1000, 10), (10, 1000), (1500, 2000)])
@pytest.mark.parametrize("words", [0, 5, 50])
def test_a_picture_keeps_its_shape_above_its_caption(shape, words, written, tmp_path):
    path = gallery.captioned(plain([200, 30, 90], *shape), sentence(4, words), tmp_path / "one.png")
    top, bottom, left, right = place_of(pixels(path), [200, 30, 90])
    height, width = bottom - top + 1, right - left + 1
    assert height / width == pytest.approx(shape[0] / shape[1], rel=0.02, abs=2 / width) or min(height, width) < 12
    assert all(y * 120 > bottom for *_, y in written) and len(written) >= (words > 0)
