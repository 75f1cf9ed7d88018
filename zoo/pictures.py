"""Pictures: people's files by Pillow, encoded bytes in the graph, and their size made that of a network's input.

All become uint8 `[H, W, 3]`, RGB. Transparent parts show white; of 16 bits the upper 8 count, of an animation the first
frame.
"""

from __future__ import annotations

import io
import os
import pathlib
import re
import warnings
from typing import IO

import numpy as np
import tensorflow as tf
from PIL import BmpImagePlugin, ExifTags, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from zoo import clips
from zoo.errors import ZooError
from zoo.video_files import readable

IMAGES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
EXPECTED = "a picture (JPEG, PNG, GIF, BMP or WebP)"
LARGEST = 1024  # pixels of the longer side of what is loaded: a network for captions sees 224
MOST = 100_000_000  # pixels of a file that can only be decoded as a whole, which takes some 4 to 12 bytes each

# Signature -> Pillow's class. Of `Image.open`, the limit would have to be lifted for the whole process.
KINDS = {
    rb"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    rb"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    rb"GIF8[79]a": GifImagePlugin.GifImageFile,
    rb"BM": BmpImagePlugin.BmpImageFile,
    rb"RIFF....WEBPVP8": WebPImagePlugin.WebPImageFile,
}


def load(path: str | os.PathLike) -> np.ndarray:
    """The picture in a file, uint8 `[H, W, 3]`; see `from_bytes`."""
    path = pathlib.Path(path)
    if not path.exists():
        raise ZooError(f"{path}: no such file; expected {EXPECTED}")
    if not path.is_file():
        raise ZooError(f"{path}: not a file; expected {EXPECTED}")
    try:
        with open(path, "rb") as file:
            return _decoded(file, str(path))
    except OSError as error:
        raise ZooError(f"{path}: cannot be read: {error.strerror}; expected {EXPECTED}") from error


def from_bytes(data: bytes, where: str) -> np.ndarray:
    """The picture that encoded bytes hold, uint8 `[H, W, 3]`, turned as its EXIF orientation says.

    One of more than 1,024 pixels on its longer side is reduced to that many.

    Args:
        data: a JPEG, PNG, GIF, BMP or WebP file.
        where: what to call it if it is malformed.

    Raises:
        ZooError: it is none of these, damaged, cut off, or of more than 100 million pixels. Baseline JPEGs may have
            more: they are decoded at an eighth of their size.
    """
    return _decoded(io.BytesIO(data), where)


def _decoded(file: IO[bytes], where: str) -> np.ndarray:
    head = file.read(16)
    file.seek(0)
    kind = next((kind for signature, kind in KINDS.items() if re.match(signature, head, re.DOTALL)), None)
    if kind is None:
        raise ZooError(f"{where}: {'no picture' if head else 'the file is empty'}; expected {EXPECTED}")
    with warnings.catch_warnings(), readable(where, "a whole picture"):
        warnings.simplefilter("ignore")  # of odd EXIF data, and of sizes, which are looked at below
        with kind(file) as image:
            _check_size(image, where)
            orientation = _orientation(image)
            return _turned(_reduced(image), orientation)


def _check_size(image: Image.Image, where: str) -> None:
    width, height = image.size
    by_parts = image.format == "JPEG" and "progressive" not in image.info
    if width * height > MOST and not by_parts:
        raise ZooError(f"{where}: {width:,} x {height:,} pixels; expected at most {MOST:,}, or a baseline JPEG")


def _orientation(image: Image.Image) -> int:
    """1 to 8, of the EXIF data; a picture is none the worse for damage there."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _reduced(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or "transparency" in image.info:
        image = image.convert("RGBA")  # indices of a palette have no mean
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.BILINEAR, reducing_gap=2.0)
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return np.asarray(white)
    return np.asarray(image.convert("RGB"))


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What the camera stored -> what it saw: orientations 5 to 8 are 1 to 4 of the transposed picture."""
    turns = orientation - 1
    pixels = pixels.swapaxes(0, 1) if turns >= 4 else pixels
    pixels = pixels[:, ::-1] if turns % 4 in (1, 2) else pixels
    pixels = pixels[::-1] if turns % 4 in (2, 3) else pixels
    return np.ascontiguousarray(pixels)


# In the graph ---------------------------------------------------------------------------------------------------------

# The first directory of EXIF data: after the byte order, its offset (8) and its length, entries of 12 bytes each. The
# orientation is tag 0x0112, one number of 16 bits.
EXIF = (
    r"\C*?Exif\x00\x00(?:"
    r"II\*\x00\x08\x00\x00\x00\C\C(?:\C{12}){0,40}?\x12\x01\x03\x00\x01\x00\x00\x00([\x01-\x08])\x00"
    r"|MM\x00\*\x00\x00\x00\x08\C\C(?:\C{12}){0,40}?\x01\x12\x00\x03\x00\x00\x00\x01\x00([\x01-\x08])"
    r")\C*"
)


def decode(data: tf.Tensor) -> tf.Tensor:
    """Encoded bytes, a scalar `tf.string` -> uint8 `[H, W, 3]`, by kernels of TensorFlow's own.

    As `from_bytes`, but of its own size; no WebP, no BMP of fewer than 8 bits or compressed; what is transparent in a
    GIF is as TensorFlow leaves it. Orientation is read from EXIF data in the first 64 KiB of a JPEG.

    Raises:
        tf.errors.InvalidArgumentError: when it runs, on bytes that are no such picture.
    """
    starts = lambda signature: tf.strings.substr(data, 0, len(signature)) == signature
    pixels = tf.case(
        [
            (starts(b"\xff\xd8\xff"), lambda: _jpeg(data)),
            (starts(b"\x89PNG"), lambda: _png(data)),
            (starts(b"BM"), lambda: _bmp(data)),
        ],
        default=lambda: tf.io.decode_image(data, 3, expand_animations=False),  # a GIF, or nothing that it knows
    )
    return tf.ensure_shape(pixels, [None, None, 3])


def _jpeg(data: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE")
    orientation = tf.strings.regex_replace(tf.strings.substr(data, 0, 1 << 16), f"^{EXIF}$", r"\1\2")
    orientation = tf.where(tf.strings.length(orientation) == 1, orientation, b"\1")
    turns = tf.cast(tf.io.decode_raw(orientation, tf.uint8)[0], tf.int32) - 1
    pixels = tf.cond(turns >= 4, lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    turns %= 4
    pixels = tf.cond((turns == 1) | (turns == 2), lambda: pixels[:, ::-1], lambda: pixels)
    return tf.cond(turns >= 2, lambda: pixels[::-1], lambda: pixels)


def _png(data: tf.Tensor) -> tf.Tensor:
    pixels = tf.io.decode_png(data, 4)
    depth = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 24, 1), tf.uint8)[0], tf.int32)
    # What is opaque has 255, but where the kernel adds it to pictures of 1, 2 or 4 bits: 1, 3 or 15.
    opaque = tf.reduce_all(pixels[..., 3] == tf.cast(2 ** tf.minimum(depth, 8) - 1, tf.uint8))
    return tf.cond(opaque, lambda: pixels[..., :3], lambda: on_white(pixels))


def _bmp(data: tf.Tensor) -> tf.Tensor:
    pixels = tf.ensure_shape(tf.io.decode_bmp(data), [None] * 3)

    def coloured():  # the kernel leaves the indices of a palette as they are; its entries are blue, green, red, 0
        begin, header = tf.unstack(tf.io.decode_raw(tf.strings.substr(data, 10, 8), tf.int32), 2)
        palette = tf.strings.substr(data, 14 + header, begin - 14 - header)
        colours = tf.reshape(tf.io.decode_raw(palette, tf.uint8), [-1, 4])[:, 2::-1]
        return tf.gather(colours, tf.cast(pixels[..., 0], tf.int32))

    # A fourth byte is seldom alpha: 0 throughout.
    return tf.cond(tf.shape(pixels)[2] == 1, coloured, lambda: pixels[..., :3])


def on_white(pixels: tf.Tensor) -> tf.Tensor:
    """RGBA, uint8 `[H, W, 4]` -> uint8 `[H, W, 3]` on a white ground."""
    colour, alpha = pixels[..., :3], pixels[..., 3:]

    def mixed():
        weight = tf.cast(alpha, tf.int32)
        return tf.cast((tf.cast(colour, tf.int32) * weight + 255 * (255 - weight) + 127) // 255, tf.uint8)

    return tf.cond(tf.reduce_all(alpha == 255), lambda: colour, mixed)


def fit(images: tf.Tensor, size: int) -> tf.Tensor:
    """Images `[B, H, W, C]`, uint8 or float in 0..255, C 1, 3 or 4 (alpha is dropped) -> float32 `[B, size, size, 3]`.

    Bilinear, with antialiasing; the aspect is not kept, as it was not in corpora of squares. Images of this size keep
    their values. All dimensions may be unknown until the graph runs.
    """
    return clips.convert(images, size, size, 3)
