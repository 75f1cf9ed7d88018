"""Files of frames: arrays in npz files, folders of images (by Pillow), videos and cameras (by OpenCV).

Whatever a damaged file makes a decoder raise becomes one `ZooError` that names the file.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from zoo.errors import ZooError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".m4v", ".gif")
LARGEST = 320  # pixels of the longer side of a decoded frame: a minute of full HD would be 11 GB
OVERCOUNT = 2  # containers that only estimate their number of frames promise one or two too many


@contextlib.contextmanager
def readable(path: pathlib.Path, what: str):
    """Reading a foreign file: what goes wrong inside means that the file is at fault."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:  # decoders raise anything: zlib.error, struct.error, SyntaxError, KeyError ...
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ZooError(f"{path}: damaged or cut off? expected {what}: {reason}") from error


def in_order(paths) -> list[pathlib.Path]:
    """By the names, with numbers inside them as numbers: 2.png before 10.png; hidden files are left out."""

    def key(path):
        parts = re.split(r"(\d+)", path.name)
        return [int(part) if i % 2 else part.lower() for i, part in enumerate(parts)], path.name

    return sorted((path for path in paths if not path.name.startswith(".")), key=key)


# Arrays ---------------------------------------------------------------------------------------------------------------


def npz_headers(path: pathlib.Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Name -> (shape, dtype) of the arrays in an npz file, of which only the headers are read."""
    headers = {}
    with readable(path, "a whole npz file (numpy.savez)"), zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name, suffix = os.path.splitext(member.filename)
            if suffix != ".npy":
                continue
            with archive.open(member) as file:
                shape, dtype = _header(file)
                left = member.file_size - file.tell()
            if not dtype.hasobject and left < math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{name} ends before its {shape} values of {dtype}")
            headers[name] = shape, dtype
    return headers


def _header(file):
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):  # 3.0 is for structured arrays only
        raise ValueError(f"an array of format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def npz_array(path: pathlib.Path, name: str) -> np.ndarray:
    """One array of an npz file; arrays of Python objects are refused, never unpickled."""
    with readable(path, "a whole npz file (numpy.savez)"), zipfile.ZipFile(path) as archive:
        with archive.open(f"{name}.npy") as file:
            if _header(file)[1].hasobject:
                raise ZooError(
                    f"{path}: {name} is an array of Python objects; expected numbers, or strings (dtype=str)"
                )
        with archive.open(f"{name}.npy") as file:
            return np.lib.format.read_array(file, allow_pickle=False)


# Images ---------------------------------------------------------------------------------------------------------------


def images(folder: pathlib.Path) -> list[pathlib.Path]:
    """The images of a folder, in order."""
    return in_order(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)


def decode_images(paths: Sequence[pathlib.Path]) -> np.ndarray:
    """uint8 `[T, H, W, C]` of images of one size, made smaller to `LARGEST`; C is 1 where all are grey, else 3."""
    frames, size = [], None
    for path in paths:
        frame = _image(path)
        size = size or frame.shape[:2]
        if frame.shape[:2] != size:
            found, expected = (f"{width} x {height}" for height, width in (frame.shape[:2], size))
            raise ZooError(f"{path}: {found} pixels; expected {expected}, as {paths[0].name} has")
        frames.append(_smaller(frame))
    channels = max(frame.shape[-1] for frame in frames)
    return np.stack([np.broadcast_to(frame, (*frames[0].shape[:2], channels)) for frame in frames])


def _smaller(frame: np.ndarray) -> np.ndarray:
    """A frame `[H, W, C]` whose longer side is at most `LARGEST`."""
    scale = LARGEST / max(frame.shape[:2])
    if scale >= 1:
        return frame
    size = [max(1, round(n * scale)) for n in frame.shape[1::-1]]
    image = Image.fromarray(frame if frame.shape[-1] > 1 else frame[..., 0]).resize(size, Image.Resampling.BOX)
    return np.asarray(image).reshape(*size[::-1], -1)


def _image(path: pathlib.Path) -> np.ndarray:
    with readable(path, "a whole PNG, JPEG or BMP image"), Image.open(path, formats=("PNG", "JPEG", "BMP")) as image:
        if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would cut off at 255
            return (np.asarray(image) >> 8).astype(np.uint8)[:, :, None]
        if image.mode in ("1", "L", "LA"):
            return np.asarray(image.convert("L"))[:, :, None]
        colour = "RGBA" if image.mode == "P" else "RGB"  # Pillow warns when a transparent palette becomes RGB
        return np.asarray(image.convert(colour))[:, :, :3]


# Videos ---------------------------------------------------------------------------------------------------------------


def _opencv():
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silent: what is wrong with a file is said in one line
    try:
        import cv2
    except ImportError:
        raise ZooError("videos and cameras need OpenCV: pip install 'recurrent-zoo[video]'") from None
    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, 5
    logging.setLogLevel(0)
    return cv2


@contextlib.contextmanager
def _capture(source: int | str | os.PathLike):
    cv2 = _opencv()
    if isinstance(source, int):
        capture, expected = cv2.VideoCapture(source), f"camera {source}: cannot be opened; expected a camera's number"
    else:
        capture = cv2.VideoCapture(os.fspath(source), cv2.CAP_FFMPEG)
        expected = f"{source}: cannot be opened; expected a whole video that FFmpeg decodes ({' '.join(VIDEOS)})"
    try:
        if not capture.isOpened() or _cut_off(source):
            raise ZooError(expected)
        yield capture
    finally:
        capture.release()


def _cut_off(source) -> bool:
    """Whether a GIF, which doesn't promise a number of frames, lacks the mark at its end."""
    path = pathlib.Path(str(source))
    return path.suffix.lower() == ".gif" and not path.read_bytes().rstrip(b"\0").endswith(b";")


def measure(path: pathlib.Path) -> tuple[int, float | None]:
    """Number of frames that a video's container promises, 0 if it doesn't; frames a second, None if it doesn't say."""
    cv2 = _opencv()
    with _capture(path) as capture:
        count, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    return max(0, int(count)), fps if math.isfinite(fps) and fps > 0 else None


def count_frames(path: pathlib.Path) -> int:
    """Number of frames that a video decodes to: exact, for the time that decoding takes."""
    with _capture(path) as capture:
        count = 0
        while capture.grab():
            count += 1
    return count


def camera(source: int | str | os.PathLike) -> Iterator[np.ndarray]:
    """The frames of a video file (a path) or of a camera (its number), uint8 `[H, W, 3]`, RGB, as they are asked for.

    Raises:
        ZooError: it can't be opened; no frame can be decoded; a file decodes to clearly fewer frames than it promises.
    """
    cv2 = _opencv()
    with _capture(source) as capture:
        promised = 0 if isinstance(source, int) else int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        count = 0
        while True:
            whole, frame = capture.read()
            if not whole:
                break
            count += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if not count:
        name = f"camera {source}" if isinstance(source, int) else source
        raise ZooError(f"{name}: frame 0 cannot be decoded; expected at least one frame")
    if count < promised - OVERCOUNT:
        raise ZooError(f"{source}: breaks at frame {count}; expected {promised} frames, as the file promises")


def decode_video(path: pathlib.Path) -> np.ndarray:
    """All frames of a video, uint8 `[T, H, W, 3]`, made smaller to `LARGEST`."""
    with readable(path, "frames of one size"):
        return np.stack([_smaller(frame) for frame in camera(path)])


def write_mp4(path: pathlib.Path, frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames, uint8 `[H, W, 3]`, RGB, height and width even, as a video that browsers play (VP9)."""
    cv2 = _opencv()
    frames = iter(frames)
    first = next(frames)
    writer = cv2.VideoWriter(os.fspath(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"vp09"), fps, first.shape[1::-1])
    count = 0
    try:
        if not writer.isOpened():
            raise ZooError(f"{path}: OpenCV cannot write this video; expected a name that ends in .mp4")
        for frame in itertools.chain([first], frames):
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        writer.release()
    with contextlib.suppress(ZooError):  # OpenCV says nothing of a disk that is full
        if measure(path)[0] == count:
            return
    raise ZooError(f"{path}: cannot be written whole; is the disk full? free some space or name another folder")
