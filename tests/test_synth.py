"""The synthesiser by its spectrum, its levels and its edges."""

import itertools
import time
import wave
from fractions import Fraction

import numpy as np
import pytest

from zoo import synth, voicing
from zoo.charts import parse_chart
from zoo.voicing import Note

KEYS = {"chords": [52, 69, 75], "bass": [28, 55, 69]}


def note(pitch=69, start=0, end=4, part="chords", velocity=80):
    return Note(Fraction(start), Fraction(end), pitch, velocity, part)


def spectrum(sound):
    """Frequencies in Hz and magnitudes."""
    return np.fft.rfftfreq(len(sound), 1 / synth.RATE), np.abs(np.fft.rfft(sound * np.hanning(len(sound))))


@pytest.mark.parametrize("part,pitch", [(part, key) for part, keys in KEYS.items() for key in keys])
def test_the_spectrum_peaks_at_the_note(part, pitch):
    frequencies, magnitudes = spectrum(synth.render([note(pitch, part=part)], 4, 120))
    assert frequencies[magnitudes.argmax()] == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=0.6)


def test_the_tones_have_overtones_that_fade_sooner_than_the_note():
    for part in ("chords", "bass"):
        sound = synth.tone(part, 45, 2 * synth.RATE)
        shares = []
        for piece in (sound[: synth.RATE // 2], sound[-synth.RATE // 2 :]):
            frequencies, magnitudes = spectrum(piece)
            lowest = (frequencies > 85) & (frequencies < 165)
            shares.append(magnitudes[frequencies > 165].sum() / magnitudes[lowest].sum())
        assert shares[0] > 0.1 and shares[1] < shares[0]


def test_the_length_is_that_of_the_beats_and_a_tail():
    for beats, tempo in ((16, 120), (Fraction(13, 3), 97), (7, 200.5)):
        sound = synth.render([note(end=1)], beats, tempo)
        assert len(sound) == round((float(beats) * 60 / tempo + synth.TAIL) * synth.RATE)


def test_no_sample_clips_however_many_notes_sound():
    crowd = [note(pitch, velocity=127) for pitch in range(48, 84)] + [note(28, part="bass", velocity=127)]
    for notes in (crowd, [note(velocity=1)]):
        sound = synth.render(notes, 4, 120)
        assert sound.dtype == np.float32 and 0.5 < np.abs(sound).max() < synth.PEAK


def test_notes_begin_and_end_without_clicks():
    sound = synth.render([note(69, 0, 1), note(45, 2, 3, "bass")], 4, 120)
    assert sound[0] == 0 and np.abs(sound[-100:]).max() == 0
    fade = round(synth.RELEASE * synth.RATE)
    half = synth.RATE // 2
    assert np.abs(sound[half + fade + 1 : 2 * half]).max() == 0  # the pause
    steps = np.abs(np.diff(sound))
    edges = [steps[:20], steps[half + fade - 20 : half + fade], steps[2 * half : 2 * half + 20]]
    assert max(edge.max() for edge in edges) < 0.03 < steps.max()


def test_a_note_beyond_the_end_is_cut_and_silence_is_silent():
    assert len(synth.render([note(end=100)], 1, 120)) == round((0.5 + synth.TAIL) * synth.RATE)
    assert not synth.render([], 4, 120).any()


def test_each_note_sounds_at_its_time():
    sound = synth.render([note(60, 2, 3)], 4, 60)
    assert not sound[: 2 * synth.RATE].any() and sound[2 * synth.RATE + 5 : 2 * synth.RATE + 500].any()


def test_a_wav_file_has_the_samples(tmp_path):
    sound = np.sin(np.arange(5000) / 7).astype("float32")
    path = synth.write_wav(np.append(sound, [3, -3]), tmp_path / "a.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22_050)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert np.abs(samples[:-2] / 32767 - sound).max() <= 0.5 / 32767 + 1e-7
    assert samples[-2:].tolist() == [32767, -32767]


def test_a_chorus_is_rendered_faster_than_it_plays():
    tune = parse_chart("| Dm7 G7 " * 32 + "|")
    notes, began = voicing.voiced(tune), time.perf_counter()
    seconds = len(synth.render(notes, tune.beats, 160)) / synth.RATE
    assert seconds > 48 and time.perf_counter() - began < seconds / 5  # far off on an idle machine


def test_the_same_notes_make_the_same_sound():
    tune = parse_chart("| C F | G7 | C |")
    one, other = (synth.render(voicing.voiced(tune), tune.beats, 140) for _ in range(2))
    assert np.array_equal(one, other)
    swung = synth.render(voicing.voiced(parse_chart("| C:3/2 F:5/2 |"), True), 4, 140)
    straight = synth.render(voicing.voiced(parse_chart("| C:3/2 F:5/2 |")), 4, 140)
    assert len(swung) == len(straight) and not np.array_equal(swung, straight)
    assert all(np.isfinite(part).all() for part in itertools.chain([one, swung]))
