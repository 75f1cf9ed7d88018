"""Notes to sound, in NumPy: an electric piano by frequency modulation, a plucked bass by addition, and WAV files.

The piano is a carrier modulated by itself with a decaying index, which darkens the tone as it dies away, and, for the
stroke, briefly by a partial far above it (Chowning, "The synthesis of complex audio spectra by means of frequency
modulation", J. AES 21, 1973). The bass is a sum of the harmonics of a string plucked near its end, the higher the
sooner gone.
"""

from __future__ import annotations

import pathlib
import wave
from collections.abc import Iterable

import numpy as np

from zoo.files import replacing
from zoo.voicing import Note

RATE = 22_050  # samples a second
TAIL = 0.5  # seconds after the last beat, for the sound to die away
RELEASE = 0.08  # seconds that a note sounds after its end, fading
ATTACK = {"chords": 0.004, "bass": 0.003}  # seconds
GAIN = {"chords": 0.5, "bass": 1.0}
PEAK = 0.9  # of full scale: no sample reaches it


def render(notes: Iterable[Note], beats: float, tempo: float, rate: int = RATE) -> np.ndarray:
    """The sound of notes, float32 `[T]` between -PEAK and PEAK; `T` is that of the beats and `TAIL`, in samples.

    Args:
        beats: of the whole tune, quarter notes; tempo: quarter notes a minute; rate: samples a second.
    """
    seconds = 60 / tempo
    length = round((float(beats) * seconds + TAIL) * rate)
    sound, notes = np.zeros(length, "float32"), list(notes)
    fade = np.cos(np.linspace(0, np.pi / 2, max(2, round(RELEASE * rate)), dtype="float32")) ** 2
    longest: dict[tuple[str, int], int] = {}
    places = []
    for note in notes:
        start = round(float(note.start) * seconds * rate)
        count = max(0, min(round(float(note.end) * seconds * rate) - start + len(fade), length - start))
        places.append((start, count))
        longest[note.part, note.pitch] = max(count, longest.get((note.part, note.pitch), 0))
    tones = {key: tone(*key, count, rate) for key, count in longest.items()}  # the same key sounds many times
    for note, (start, count) in zip(notes, places, strict=True):
        struck = tones[note.part, note.pitch][:count] * np.float32(GAIN[note.part] * (note.velocity / 127) ** 1.5)
        ending = min(len(fade), count)
        struck[count - ending :] *= fade[len(fade) - ending :]
        sound[start : start + count] += struck
    return limited(sound)


def tone(part: str, pitch: int, count: int, rate: int = RATE) -> np.ndarray:
    """`count` samples of a key that is held, float32; it begins at zero and its peak is about 1."""
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    time = np.arange(count, dtype="float32") / rate
    turn = 2 * np.pi * frequency * np.arange(count) / rate  # float64: a phase grows large
    sound = {"chords": _electric_piano, "bass": _plucked}[part](turn, time, frequency, rate)
    rising = np.minimum(1, time / ATTACK[part])
    return (sound * rising * rising * (3 - 2 * rising)).astype("float32")


def _electric_piano(turn, time, frequency, rate):
    body = np.exp(-time * (0.8 + frequency / 800))
    sound = np.sin(turn + (0.25 + 0.75 * np.exp(-3 * time)) * body * np.sin(turn))
    partial = next((n for n in (14, 9, 5, 3) if (n + 1) * frequency < 0.4 * rate), 2)  # below what the rate can carry
    tine = np.exp(-30 * time) * np.sin(partial * turn)
    return body * sound + 0.08 * tine


def _plucked(turn, time, frequency, rate):
    orders = [n for n in range(1, 13) if n * frequency < min(2500, 0.45 * rate)] or [1]
    weights = {n: abs(np.sin(np.pi * n * 0.22)) / n**1.6 for n in orders}
    sound = sum(w * np.exp(-time * (1.0 + 0.9 * (n - 1))) * np.sin(n * turn) for n, w in weights.items())
    return sound / sum(weights.values())


def limited(sound: np.ndarray) -> np.ndarray:
    """Brought to an even level and bent softly below `PEAK`, by tanh: loud chords don't clip."""
    loudest = np.abs(sound).max(initial=0)
    return PEAK * np.tanh(1.2 * sound / loudest) if loudest > 0 else sound


def write_wav(sound: np.ndarray, path: pathlib.Path, rate: int = RATE) -> pathlib.Path:
    """Write samples between -1 and 1, `[T]`, as 16-bit mono, whole or not at all; what is outside is cut."""
    samples = np.round(np.clip(sound, -1, 1) * 32767).astype("<i2")
    with replacing(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path
