"""Tunes: chords with their durations in quarter notes; prompts and chord charts, text that people write and read.

A prompt is a chain of chords, each with its beats after a colon: `Dm7:4 G7:3/2 C6:2.5`. Without a colon a chord lasts a
bar. Where there are bar lines, `|`, every bar must be full:

    | Dm7 G7 | Cmaj7 | % | C6:3 A7:1 | Dm7 | ~ G7 |

- Chords without a colon share what the others leave of their bar equally.
- `%`, alone in its bar, repeats the bar before: its chords are struck again.
- `~` goes on with the chord before, over a bar line or not; `| Dm7 | ~ G7 |` is `Dm7:6 G7:2`. It may have beats.
- A lone chord with beats may last several whole bars: `| Cmaj7:8 |`.
- A text that begins without a bar line may begin with a shorter bar, if all its chords have beats: a pickup. It is
  filled up in front with N.C., so that the bar lines of the tune are those of the text: `G7:1 | C |` is
  `N.C.:3 G7:1 C:4`.
- A text that ends without a bar line may end with a shorter bar, if all its chords have beats.

A chart is such a text below lines `title: ...`, `meter: 3/4`, `key: Bb`, `tempo: 160`, of which each may be missing.
Beats are multiples of 1/12 of a quarter note everywhere: triplets and semiquavers have a place on that grid.
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
from collections.abc import Iterable, Sequence
from fractions import Fraction
from numbers import Integral, Rational, Real

from zoo import chords
from zoo.chords import Chord
from zoo.errors import ZooError

GRID = 12  # steps of a quarter note
LONGEST = 4096  # quarter notes of one chord: what is longer is a slip of the pen
ROUNDING = Fraction(1, 1000)  # quarter notes; 0.333 is meant to be a third
METER = (4, 4)
TIE, REPEAT = "~", "%"
NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}|/[0-9]{1,9})?|\.[0-9]{1,9}")
KEY = re.compile(r"([A-G])([#b\u266f\u266d]?)\s*(m|min|minor|-|M|maj|major|)")
HEADER = re.compile(r"\s*(title|meter|key|tempo):\s*(.*?)\s*", re.IGNORECASE)
WORD = re.compile(r"\|+(?:\s*\n\s*\|+)*|[^\s|]+")  # a line that ends with a bar line may be followed by one with one
KEYS = (
    ["C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B"],
    ["Cm", "C#m", "Dm", "Ebm", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "Bbm", "Bm"],
)
SHARPS = {"G", "D", "A", "E", "B", "F#", "C#", "Em", "Bm", "F#m", "C#m", "G#m", "D#m", "A#m"}  # the keys that have some


@dataclasses.dataclass
class Event:
    """A chord and how long it lasts, in quarter notes."""

    chord: Chord
    beats: Fraction

    def __post_init__(self):
        self.beats = Fraction(self.beats)


@dataclasses.dataclass
class Tune:
    """Chords one after the other; the first begins with the first bar.

    `meter` is (4, 4), (6, 8) and so on; `key` is the tonic, with an `m` if minor ("Eb", "Am"), or "" if it isn't known;
    `tempo` is in quarter notes a minute, 0 if it isn't known.
    """

    title: str
    events: list[Event]
    meter: tuple[int, int] = METER
    key: str = ""
    tempo: float = 0

    @property
    def bar_beats(self) -> Fraction:
        """Quarter notes of a bar."""
        return Fraction(4 * self.meter[0], self.meter[1])

    @property
    def beats(self) -> Fraction:
        """Quarter notes of the whole tune."""
        return sum((event.beats for event in self.events), Fraction())

    @property
    def bars(self) -> Fraction:
        return self.beats / self.bar_beats

    def spans(self) -> list[tuple[Event, int, Fraction]]:
        """Every event, the bar in which it begins (from 0), and the quarter notes of that bar before it."""
        spans, start = [], Fraction()
        for event in self.events:
            bar = start // self.bar_beats
            spans.append((event, bar, start - bar * self.bar_beats))
            start += event.beats
        return spans

    def transposed(self, semitones: int) -> Tune:
        """The tune so many semitones higher; spelled with sharps or flats as its new key is, if there is one."""
        if semitones % 12 == 0:
            return dataclasses.replace(self, events=[dataclasses.replace(event) for event in self.events])
        key, flats = self.key, None
        if key:
            minor = key.endswith("m")
            key = KEYS[minor][(chords.parse(key.removesuffix("m")).pitch_class + semitones) % 12]
            flats = key not in SHARPS
        events = [Event(event.chord.transposed(semitones, flats), event.beats) for event in self.events]
        return dataclasses.replace(self, events=events, key=key)


def beats_of(value) -> Fraction:
    """A duration in quarter notes, from a number or a string: 4, 1.5, "3/2", 0.333 (a third).

    Raises:
        ZooError: that is no number, not positive, longer than `LONGEST`, or not a multiple of 1/12.
    """
    shown = repr(value) if isinstance(value, Real) and abs(value) < 1e12 else reprlib.repr(value)
    beats = _number(value)
    if beats is None:
        raise ZooError(f"{shown} is no number of beats; expected quarter notes, such as 4, 1.5 or 3/2")
    if beats <= 0:
        raise ZooError(f"{shown} beats; expected more than 0")
    if beats > LONGEST:
        raise ZooError(f"{shown} beats; expected at most {LONGEST} for a chord")
    nearest = Fraction(round(beats * GRID), GRID)
    if abs(beats - nearest) > (0 if isinstance(value, Rational) or "/" in str(value) else ROUNDING):
        raise ZooError(f"{shown} beats; expected a multiple of 1/{GRID} of a quarter note")
    if not nearest:
        raise ZooError(f"{shown} beats; expected 1/{GRID} or more")
    return nearest


def _number(value) -> Fraction | None:
    if isinstance(value, str):
        value = value.strip().removeprefix("+")
        negative = value.startswith("-")
        match = NUMBER.fullmatch(value[negative:])
        if not match or (match[1] or "").strip("/0") == "" and "/" in value:
            return None
        return -Fraction(match[0]) if negative else Fraction(match[0])
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Rational):
        return Fraction(value)
    return Fraction(float(value)) if math.isfinite(value) else None


def meter_of(value) -> tuple[int, int]:
    """A meter, from two integers or a string such as "6/8".

    Raises:
        ZooError: that is no meter.
    """
    parts = value
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]{1,2})\s*/\s*([0-9]{1,2})\s*", value)
        parts = [int(part) for part in match.groups()] if match else ()
    whole = isinstance(parts, Sequence) and len(parts) == 2 and all(map(_integer, parts))
    if not whole or not 1 <= parts[0] <= 32 or parts[1] not in (1, 2, 4, 8, 16):
        raise ZooError(f"{reprlib.repr(value)} is no meter; expected one such as 4/4, 3/4 or 6/8 ([4, 4] in JSON)")
    return (int(parts[0]), int(parts[1]))


def _integer(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def key_of(value) -> str:
    """The name of a key as `Tune` has it ("Eb", "Am"), from "Eb", "Eb major", "Am", "A minor", "A-", or "".

    Raises:
        ZooError: that is no key.
    """
    if not isinstance(value, str) or not (match := KEY.fullmatch(value.strip()) if value.strip() else True):
        raise ZooError(f"{reprlib.repr(value)} is no key; expected a tonic, with an m if minor, such as Eb or Am")
    if match is True:
        return ""
    return match[1] + match[2].translate({0x266F: "#", 0x266D: "b"}) + "m" * (match[3] in ("m", "min", "minor", "-"))


def tempo_of(value) -> float:
    """A tempo in quarter notes a minute, from a number or a string; 0 is an unknown one.

    Raises:
        ZooError: that is none.
    """
    tempo = _number(value)
    if tempo is None or not (tempo == 0 or 1 <= tempo <= 1000):
        raise ZooError(f"{reprlib.repr(value)} is no tempo; expected quarter notes a minute, from 1 to 1000")
    return float(tempo)


def parse_prompt(text: str, meter: tuple[int, int] = METER) -> list[Event]:
    """The events of a text such as "Dm7:4 G7:4" or "| Dm7 G7 | Cmaj7 |"; see above.

    Args:
        text: "" has no events.
        meter: of the bars.

    Raises:
        ZooError: a symbol is no chord, beats are none, or a bar isn't full; names symbol and place.
    """
    meter = meter_of(meter)
    bar_beats = Fraction(4 * meter[0], meter[1])
    barred, events, before = "|" in text, [], []
    for number, (words, open_start, open_end) in enumerate(_bars(text), 1):
        place = f"{f'bar {number}, ' if barred else ''}{_place(text, words[0].start())}"
        if any(word[0] == REPEAT for word in words):
            if len(words) > 1 or not before:
                what = "with other chords in its bar" if before else "with no bar before it"
                raise ZooError(f"{place}: {REPEAT} {what}; it repeats the whole bar before")
            events += [Event(event.chord, event.beats) for event in before]
            continue
        names, beats = zip(*(_chord(word, _place(text, word.start())) for word in words), strict=True)
        stated = sum(filter(None, beats), Fraction())
        share = _share(place, words, bar_beats - stated, beats.count(None)) if barred and None in beats else bar_beats
        before = [Event(chord, length or share) for chord, length in zip(names, beats, strict=True)]
        if barred and None not in beats and stated != bar_beats and not (len(words) == 1 and stated % bar_beats == 0):
            if stated > bar_beats or not (open_start or open_end):
                raise ZooError(f"{place}: {stated} beats in a bar of {meter[0]}/{meter[1]}; expected {bar_beats}")
            if open_start:
                before.insert(0, Event(chords.parse(chords.NO_CHORD), bar_beats - stated))
        for i, event in enumerate(before):
            if event.chord is not None:
                events.append(Event(event.chord, event.beats))
            elif events:
                events[-1].beats += event.beats
                before[i] = Event(events[-1].chord, event.beats)
            else:
                raise ZooError(f"{place}: {TIE} goes on with the chord before it; expected one before it")
    return events


def _bars(text: str) -> list[tuple[list[re.Match], bool, bool]]:
    """The words of every bar, and whether no bar line is before and after it; each word alone without any."""
    words = list(WORD.finditer(text))
    if "|" not in text:
        return [([word], False, False) for word in words]
    bars: list[list[re.Match]] = [[]]
    for word in words:
        if word[0][0] != "|":
            bars[-1].append(word)
        elif bars[-1] or len(bars) == 1:
            bars.append([])
        else:
            raise ZooError(f"bar {len(bars) - 1}, {_place(text, word.start())}: nothing in the bar; expected chords")
    last = len(bars) - 1
    return [(bar, i == 0, i == last) for i, bar in enumerate(bars) if bar]


def _chord(word: re.Match, place: str) -> tuple[Chord | None, Fraction | None]:
    """A chord, or None for the one before; its beats, or None if there are none."""
    symbol, colon, beats = word[0].rpartition(":")
    symbol = symbol if colon else word[0]
    try:
        chord = None if symbol == TIE else chords.parse(symbol)
    except ZooError as error:
        raise ZooError(f"{place}: {error}") from None
    try:
        return chord, beats_of(beats) if colon else None
    except ZooError as error:
        raise ZooError(f"{place}: {word[0]!r}: {error}") from None


def _share(place: str, words, left: Fraction, count: int) -> Fraction:
    if left <= 0 or (left / count * GRID).denominator > 1:
        of = " ".join(word[0] for word in words)
        raise ZooError(
            f"{place}: {left} beats are left for {count} of the chords {of!r}; expected beats after a colon, "
            f"multiples of 1/{GRID} that fill the bar"
        )
    return left / count


def _place(text: str, start: int) -> str:
    line = text.count("\n", 0, start)
    column = start - text.rfind("\n", 0, start)
    return f"line {line + 1}, character {column}" if "\n" in text else f"character {column}"


def format_prompt(events: Iterable[Event]) -> str:
    """ "Dm7:4 G7:3/2": what `parse_prompt` reads back."""
    return " ".join(f"{event.chord.symbol}:{event.beats}" for event in events)


def chart(tune: Tune, columns: int = 4) -> str:
    """A chord chart, `columns` bars a line, that `parse_chart` reads back; the notation is that of this module."""
    if columns < 1:
        raise ZooError(f"{columns} columns; expected at least 1")
    cells, before = [], None
    bars = _cells(tune)
    for bar in bars:
        whole = len(bar) == 1 and bar[0][0] != TIE and bar[0][1] == tune.bar_beats
        shares = all(beats * len(bar) == tune.bar_beats for _, beats in bar)
        words = [label if shares else f"{label}:{beats}" for label, beats in bar]
        cells.append(REPEAT if whole and bar == before else " ".join(words))
        before = bar
    widths = [max(map(len, cells[i::columns])) for i in range(min(columns, len(cells)))]
    lines = []
    for i in range(0, len(cells), columns):
        row = [cell.ljust(width) for cell, width in zip(cells[i : i + columns], widths, strict=False)]
        lines.append(f"| {' | '.join(row)} |")
    if bars and sum(beats for _, beats in bars[-1]) < tune.bar_beats:
        lines[-1] = lines[-1].removesuffix("|").rstrip()  # a bar that isn't closed needn't be full
    tempo = f"{tune.tempo:.9g}" if tune.tempo else ""
    meter = f"{tune.meter[0]}/{tune.meter[1]}"
    heads = {"title": " ".join(tune.title.split()), "meter": meter, "key": tune.key, "tempo": tempo}
    header = [f"{name}: {value}" for name, value in heads.items() if value]
    return "\n".join([*header, "", *lines, ""] if lines else [*header, ""])


def _cells(tune: Tune) -> list[list[tuple[str, Fraction]]]:
    """The labels and beats of every bar: chords cut at the bar lines."""
    bars, room = [], Fraction()
    for event in tune.events:
        label, left = event.chord.symbol, event.beats
        while left:
            if not room:
                bars.append([])
                room = tune.bar_beats
            part = min(left, room)
            bars[-1].append((label, part))
            left, room, label = left - part, room - part, TIE
    return bars


def parse_chart(text: str, meter: tuple[int, int] = METER) -> Tune:
    """A tune from a chart; see above.

    Args:
        meter: of a chart that names none.

    Raises:
        ZooError: what it has is none; names the line.
    """
    tune = Tune("", [], meter_of(meter))
    lines = text.replace("\r\n", "\n").removeprefix("\ufeff").split("\n")
    for number, line in enumerate(lines):
        match = HEADER.fullmatch(line)
        if line.strip() and not match:
            break
        if match:
            name, value = match[1].lower(), match[2]
            try:
                reader = {"title": str, "meter": meter_of, "key": key_of, "tempo": tempo_of}[name]
                setattr(tune, name, reader(value))
            except ZooError as error:
                raise ZooError(f"line {number + 1}: {error}") from None
            lines[number] = ""  # the others keep their numbers
    tune.events = parse_prompt("\n".join(lines), tune.meter)
    return tune
