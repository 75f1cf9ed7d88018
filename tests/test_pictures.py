"""Pictures of every kind that people send: decoded alike by Pillow and in the graph, refused in one line."""

import io
import json
import struct
import warnings
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zoo import pictures
from zoo.errors import ZooError

H, W = 12, 20
ROWS, COLUMNS = np.mgrid[:H, :W]
SMOOTH = np.stack([ROWS * 20, COLUMNS * 12, (ROWS + COLUMNS) * 8], -1).astype(np.uint8)
RANDOM = np.random.default_rng(0).integers(0, 256, (H, W, 4), np.uint8)


def encoded(pixels, kind="PNG", mode=None, **options) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def png(width, height, depth, kind, rows: bytes) -> bytes:
    """A PNG file written by hand: Pillow writes neither few bits nor 16 of colour, nor only a header."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.fixture(scope="module")
def decode():
    return tf.function(pictures.decode, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.fixture(params=["Pillow", "graph"])
def decoded(request, decode):
    """Both ways to decode bytes, in turn."""
    return {"Pillow": lambda data: pictures.from_bytes(data, "it"), "graph": lambda data: decode(data).numpy()}[
        request.param
    ]


def refusal(load, *arguments):
    with pytest.raises(ZooError) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def three(grey):
    return np.repeat(grey[..., None], 3, -1)


def on_white(colour, alpha):
    weight = alpha.astype(float)[..., None] / 255
    return np.round(colour * weight + 255 * (1 - weight)).astype(np.uint8)


PALETTE = Image.fromarray(SMOOTH).quantize(7)
SIXTEEN = np.linspace(0, 65535, H * W).reshape(H, W).astype(np.uint16)
EXACT = {
    "colour": (encoded(SMOOTH), SMOOTH),
    "grey": (encoded(RANDOM[..., 0]), three(RANDOM[..., 0])),
    "grey and alpha": (
        encoded(Image.merge("LA", [Image.fromarray(RANDOM[..., c]) for c in (0, 3)])),
        on_white(three(RANDOM[..., 0]), RANDOM[..., 3]),
    ),
    "RGBA": (encoded(RANDOM), on_white(RANDOM[..., :3], RANDOM[..., 3])),
    "palette": (encoded(PALETTE), np.asarray(PALETTE.convert("RGB"))),
    "palette with one transparent": (
        encoded(PALETTE, transparency=2),
        np.where(np.asarray(PALETTE)[..., None] == 2, 255, np.asarray(PALETTE.convert("RGB"))),
    ),
    "16 bits of grey": (encoded(SIXTEEN), three((SIXTEEN // 256).astype(np.uint8))),
    "16 bits of colour": (
        png(W, H, 16, 2, b"".join(b"\0" + row.astype(">u2").tobytes() for row in SMOOTH.astype(int) * 257)),
        SMOOTH,
    ),
    "1 bit": (encoded(SMOOTH[..., 0] > 99), three(np.where(SMOOTH[..., 0] > 99, 255, 0).astype(np.uint8))),
    "2 bits": (
        png(4, 2, 2, 0, bytes([0, 0b00011011, 0, 0b11100100])),
        three(np.array([[0, 85, 170, 255], [255, 170, 85, 0]], np.uint8)),
    ),
    "4 bits": (png(2, 1, 4, 0, bytes([0, 0x3F])), three(np.array([[51, 255]], np.uint8))),
    "one pixel": (encoded(SMOOTH[5:6, 5:6]), SMOOTH[5:6, 5:6]),
    "GIF": (encoded(PALETTE, "GIF"), np.asarray(PALETTE.convert("RGB"))),
    "animated GIF": (
        encoded(PALETTE, "GIF", save_all=True, append_images=[Image.new("P", (W, H))] * 3),
        np.asarray(PALETTE.convert("RGB")),
    ),
    "BMP": (encoded(SMOOTH, "BMP"), SMOOTH),
    "32 bit BMP": (encoded(SMOOTH, "BMP", "RGBA"), SMOOTH),
    "grey BMP": (encoded(RANDOM[..., 0], "BMP"), three(RANDOM[..., 0])),
    "BMP with a palette": (encoded(PALETTE, "BMP"), np.asarray(PALETTE.convert("RGB"))),
}


@pytest.mark.parametrize("kind", EXACT)
def test_exactly_the_pixels_that_were_written(kind, decoded):
    data, expected = EXACT[kind]
    found = decoded(data)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_within_its_loss(mode, decoded):
    found = decoded(encoded(SMOOTH, "JPEG", mode, quality=97, subsampling=0)).astype(int)
    expected = np.asarray(Image.fromarray(SMOOTH).convert(mode).convert("RGB")).astype(int)
    assert found.shape == (H, W, 3) and np.abs(found - expected).max() < 16


def test_both_ways_agree_on_jpeg(decode):
    for options in (dict(quality=60), dict(progressive=True), dict(quality=30, subsampling=2)):
        data = encoded(RANDOM[..., :3], "JPEG", **options)
        difference = pictures.from_bytes(data, "it").astype(int) - decode(data).numpy()
        assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(9))
def test_orientation(orientation, order, decoded):
    """Stored with its first row at the top, bottom, left or right: Pillow's own transpositions are the reference."""
    seen = np.kron(np.array([[250, 150, 20], [90, 60, 200]], np.uint8), np.ones([8, 8], np.uint8))
    store = [None, None, 0, 3, 1, 5, 2, 6, 4][orientation]  # the inverse of what brings it upright
    image = Image.fromarray(three(seen))
    exif = Image.Exif()
    exif.endian = order
    exif.update({0x010F: "Maker", 0x0110: "Model of a camera", 0x0112: orientation, 0x011A: 72.0})
    data = encoded(image if store is None else image.transpose(store), "JPEG", quality=99, exif=exif)
    assert np.abs(decoded(data).astype(int) - three(seen)).max() < 6


def test_orientation_in_png_and_damaged_exif(decoded):
    data = encoded(SMOOTH, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert decoded(data).shape == (H, W, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(pictures.from_bytes(encoded(SMOOTH, exif=exif), "it"), np.rot90(SMOOTH, -1))


def test_webp(tmp_path):
    (tmp_path / "a.webp").write_bytes(encoded(SMOOTH, "WEBP", lossless=True))
    np.testing.assert_array_equal(pictures.load(tmp_path / "a.webp"), SMOOTH)


# Sizes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_large_pictures_are_reduced(kind, mode):
    if kind == "JPEG" and mode in ("P", "RGBA"):
        pytest.skip("no such JPEG")
    colours = Image.fromarray(np.array([[[200, 0, 0], [0, 90, 250]]], np.uint8)).resize((3000, 750), 0)
    colours = colours.quantize(2) if mode == "P" else colours.convert(mode)
    found = pictures.from_bytes(encoded(colours, kind), "it")
    assert found.shape == (256, 1024, 3)
    reference = np.asarray(colours.convert("RGB"))
    for there, here in ((100, 34), (2900, 990)):
        assert np.abs(found[128, here].astype(int) - reference[400, there]).max() <= 3


def test_a_line_of_pixels_keeps_one():
    assert pictures.from_bytes(encoded(np.zeros([1, 5000], np.uint8)), "it").shape == (1, 1024, 3)


def test_sixteen_bits_are_scaled_before_they_are_reduced():
    data = encoded(np.full([10, 2048], 40000, np.uint16))
    assert (pictures.from_bytes(data, "it") == 40000 // 256).all()


def test_a_huge_picture_is_refused_by_its_header_but_for_jpeg():
    expected = "big.png: 20,000 x 20,000 pixels; expected at most 100,000,000, or a baseline JPEG"
    assert refusal(pictures.from_bytes, png(20_000, 20_000, 8, 2, b""), "big.png") == expected
    gif = b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\1\0\0;"
    assert refusal(pictures.from_bytes, gif, "big.gif").startswith("big.gif: 65,535 x 65,535 pixels; expected at most")
    with warnings.catch_warnings():  # more than Pillow warns of
        warnings.simplefilter("error")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, 100
        try:
            assert pictures.from_bytes(encoded(SMOOTH, "JPEG"), "it").shape == SMOOTH.shape
        finally:
            Image.MAX_IMAGE_PIXELS = limit


# Bad input ------------------------------------------------------------------------------------------------------------


def test_what_is_no_picture(tmp_path, decode):
    for name, data, message in (
        ("text.jpg", b"These are no pixels.", "no picture; expected a picture (JPEG, PNG, GIF, BMP or WebP)"),
        ("empty.png", b"", "the file is empty; expected a picture (JPEG, PNG, GIF, BMP or WebP)"),
    ):
        (tmp_path / name).write_bytes(data)
        assert refusal(pictures.load, tmp_path / name) == f"{tmp_path / name}: {message}"
        assert refusal(pictures.from_bytes, data, "the 2nd") == f"the 2nd: {message}"
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data)
    assert refusal(pictures.load, tmp_path).startswith(f"{tmp_path}: not a file; expected a picture")
    assert refusal(pictures.load, tmp_path / "no.png").startswith(f"{tmp_path / 'no.png'}: no such file; expected a")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_what_is_cut_off(kind, share, decode):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(noise, kind)
    data = data[: int(len(data) * share)]
    assert refusal(pictures.from_bytes, data, "half.jpg").startswith("half.jpg: damaged or cut off? expected a whole")
    if kind != "GIF" or share < 0.3:  # of a GIF, TensorFlow leaves black what is missing
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(data)


def test_changed_bytes_never_raise_anything_else(decode):
    draw = np.random.default_rng(2)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        whole = np.frombuffer(encoded(SMOOTH, kind), np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[draw.integers(8, len(data), 3)] = draw.integers(0, 256, 3)
            try:
                assert pictures.from_bytes(data.tobytes(), "it").shape[-1] == 3
            except ZooError as error:
                assert "\n" not in str(error)


# In the graph ---------------------------------------------------------------------------------------------------------


def test_decoding_needs_nothing_but_tensorflow(tmp_path, script):
    module = tf.Module()
    module.files = tf.function(
        lambda data: tf.map_fn(
            lambda one: pictures.fit(pictures.decode(one)[None], 8)[0], data, fn_output_signature=tf.float32
        ),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, tmp_path / "export")
    for name, data in dict(a=encoded(SMOOTH, "JPEG"), b=encoded(RANDOM), c=encoded(SMOOTH, "BMP")).items():
        (tmp_path / name).write_bytes(data)
    code = """
import pathlib, sys, tensorflow as tf
folder = pathlib.Path(sys.argv[1])
data = [(folder / name).read_bytes() for name in "abc"]
print(tf.saved_model.load(str(folder / "export")).files(data).numpy().round(2).tolist(), "zoo" in sys.modules, sep="; ")
"""
    found, imported = script(code, tmp_path).strip().split("; ")
    expected = [pictures.fit(pictures.load(tmp_path / name)[None], 8).numpy()[0] for name in "abc"]
    assert imported == "False"
    np.testing.assert_allclose(np.array(json.loads(found)), expected, atol=0.02)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_fit(channels):
    fit = tf.function(lambda x: pictures.fit(x, H), input_signature=[tf.TensorSpec([None] * 4, tf.uint8)])
    images = RANDOM[None, ..., :channels]
    square = images[:, :, :H]
    expected = np.broadcast_to(square[..., :3], (1, H, H, 3))
    np.testing.assert_array_equal(fit(square).numpy(), expected.astype(np.float32))
    found = fit(np.repeat(np.repeat(square, 2, 1), 3, 2)).numpy()
    assert found.shape == (1, H, H, 3) and found.dtype == np.float32
    flat = fit(np.full([2, 30, 7, channels], 77, np.uint8)).numpy()
    np.testing.assert_allclose(flat, 77, atol=1e-3)
