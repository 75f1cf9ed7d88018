"""A clip's answer to look at: a strip of frames, labels and probabilities over time, or a film with subtitles."""

from __future__ import annotations

import itertools
import math
import pathlib

import numpy as np

from zoo.clips import Clip
from zoo.errors import ZooError
from zoo.files import replacing
from zoo.plots import new_figure, save
from zoo.segments import segments

FORMATS = (".png", ".gif", ".mp4")
SHOWN = 12  # frames on a strip
CURVES = 8  # classes whose probabilities are drawn: those that are ever the most probable, the longest first
GIF_RATE = 50  # frames a second, at most: browsers slow down faster ones
WIDTH = 320  # pixels of a film, at least: small frames are enlarged so that the label can be read


def draw(clip: Clip, answer: dict, names: list[str], path: pathlib.Path) -> pathlib.Path:
    """Write a `.png` (see `strip`), `.gif` or `.mp4` (see `film`) of a clip and a model's answer, whole or not at all.

    Args:
        clip: its labels, if it has any, are shown as the truth.
        answer: `{"labels", "probabilities"}`; names: of the classes.

    Raises:
        ZooError: another kind of file, a clip without frames, or of features where a film is wanted.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise ZooError(f"{path}: expected a file name that ends in {', '.join(FORMATS)}")
    if not len(clip.frames):
        raise ZooError(f"{clip.name}: no frames to draw")
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".png":
        return strip(clip, answer, names, path)
    if clip.frames.ndim != 4:
        raise ZooError(f"{path}: {clip.name} has features in place of pictures; expected a .png to draw")
    return film(clip, answer, path)


def strip(clip: Clip, answer: dict, names: list[str], path: pathlib.Path) -> pathlib.Path:
    """Frames, true and predicted labels, and probabilities, one above the other, on one axis of time."""
    # Dollars would make a formula, and a legend leaves out what begins with "_".
    written = lambda label: ("\u200b" if label.startswith("_") else "") + label.replace("$", r"\$")
    rows = {"true": clip.labels} if clip.labels else {}
    rows |= {"predicted": answer["labels"]}
    steps, pictures = len(clip.frames), clip.frames.ndim == 4
    inches = min(1.6, max(0.4, 11 / min(SHOWN, steps) * np.divide(*clip.frames.shape[1:3]))) if pictures else 0
    heights = [inches] * pictures + [0.35 * len(rows), 2.2]
    figure = new_figure(12, sum(heights) + 0.9)
    panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    used = list(dict.fromkeys(label for labels in rows.values() for label in labels))
    colours = {label: f"C{i % 10}" for i, label in enumerate(used)}
    if pictures:
        count = min(SHOWN, steps)
        for i, t in enumerate(np.linspace(0, steps - 1, count).round().astype(int)):
            width = steps / count
            image = np.repeat(clip.frames[t], 3 // clip.frames.shape[-1], -1)
            panels[0].imshow(image, extent=(i * width + 0.03 * width, (i + 1) * width - 0.03 * width, 0, 1))
            panels[0].text((i + 0.5) * width, 1.03, str(t), ha="center", va="bottom", fontsize=7)
        panels[0].set(xlim=(0, steps), ylim=(0, 1), aspect="auto")
        panels[0].axis("off")
    panels[-2].set_yticks(range(len(rows)), rows)
    panels[-2].invert_yaxis()
    for y, labels in enumerate(rows.values()):
        for label, start, end in segments(labels):
            panels[-2].barh(y, end - start, left=start, height=0.9, color=colours[label], edgecolor="white")
            if (end - start) / steps > 0.011 * len(label):  # it fits
                place = dict(x=(start + end) / 2, y=y, ha="center", va="center")
                panels[-2].text(**place, s=written(label), fontsize=8, clip_on=True)
    top = sorted(set(answer["labels"]), key=answer["labels"].count, reverse=True)[:CURVES]
    for label in top:
        p = answer["probabilities"][:, names.index(label)]
        panels[-1].plot(np.arange(steps) + 0.5, p, color=colours[label], label=written(label))
    panels[-1].set(ylim=(0, 1.02), xlabel="frame", ylabel="probability")
    panels[-1].grid(alpha=0.3)
    panels[-1].legend(ncols=len(top), fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return save(figure, path)


def film(clip: Clip, answer: dict, path: pathlib.Path) -> pathlib.Path:
    """The clip with the label of every frame, and its probability, below the picture."""
    frames = (
        _subtitled(frame, label, p.max(), clip.labels[t] if clip.labels else None)
        for t, (frame, label, p) in enumerate(zip(clip.frames, answer["labels"], answer["probabilities"], strict=True))
    )
    rate = clip.fps or 25.0
    with replacing(path) as temporary:
        if path.suffix.lower() == ".gif":
            step = math.ceil(rate / GIF_RATE)
            first, *rest = itertools.islice(frames, 0, None, step)
            ends = np.round(np.arange(1, len(rest) + 2) * 100 * step / rate).astype(int)  # hundredths of a second
            durations = (10 * np.diff(ends, prepend=0)).tolist()
            first.save(temporary, "GIF", save_all=True, append_images=rest, duration=durations, loop=0)
        else:
            from zoo.video_files import write_mp4

            write_mp4(temporary, map(np.asarray, frames), rate)
    return path


def _subtitled(frame: np.ndarray, label: str, probability: float, truth: str | None):
    """An RGB image with a line of text below it: green where it is right, red where it is wrong."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(np.repeat(frame, 3 // frame.shape[-1], -1))
    scale = max(1, -(-WIDTH // picture.width))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)
    line = max(20, picture.width // 14)
    sheet = Image.new("RGB", (picture.width + picture.width % 2, (picture.height + line * 3 // 2) // 2 * 2))  # even
    sheet.paste(picture)
    right = truth in (None, label)
    colour = "white" if truth is None else "lightgreen" if right else "salmon"
    text = f"{label}  {probability:.2f}" + ("" if right else f"  (true: {truth})")
    font = ImageFont.load_default(line * 0.8)
    ImageDraw.Draw(sheet).text((sheet.width / 2, picture.height + line * 0.7), text, colour, font, anchor="mm")
    return sheet
