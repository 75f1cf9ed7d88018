"""Chord symbols: what jazz charts write above the staff, and what sounds.

A symbol is read as root, longest known spelling of a quality, then extensions and changes of the quality ("sus4",
"add7"), with or without parentheses, then a bass after a slash. All spellings of one chord become one `Chord`, so that
`parse(chord.symbol) == chord`. What has several readings in the wild is decided at the tables, a line each.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Collection, Iterator

from zoo.errors import ZooError

NO_CHORD = "N.C."
QUALITIES = {  # a closed list, with the degrees of the major scale that sound
    name: tuple(degrees.split())
    for name, degrees in (
        *(("", "1 3 5"), ("m", "1 b3 5"), ("dim", "1 b3 b5"), ("aug", "1 3 #5"), ("sus4", "1 4 5"), ("sus2", "1 2 5")),
        *(("5", "1 5"), ("6", "1 3 5 6"), ("m6", "1 b3 5 6"), ("7", "1 3 5 b7"), ("maj7", "1 3 5 7")),
        *(("m7", "1 b3 5 b7"), ("m7b5", "1 b3 b5 b7"), ("dim7", "1 b3 b5 bb7"), ("mM7", "1 b3 5 7")),
        *(("dimM7", "1 b3 b5 7"), ("aug7", "1 3 #5 b7"), ("augM7", "1 3 #5 7"), ("7sus4", "1 4 5 b7")),
        *(("7sus2", "1 2 5 b7"), ("maj7sus4", "1 4 5 7")),
    )
}
_ADDED = {"9": "add9", "11": "add11", "13": "add13"}
# In the order in which they are written. 9, 11 and 13 stand on a seventh (or sixth), add9, add11 and add13 elsewhere;
# 11 and 13 imply a 9, add11 and add13 don't. M7 is a major seventh beside the seventh that the quality has.
EXTENSIONS = ("alt", "b5", "#5", "9", "b9", "#9", "11", "#11", "13", "b13", *_ADDED.values(), "M7", "no3", "no5")

_WRITTEN = {"aug7": "7#5", "augM7": "maj7#5"}  # as charts do
_PLAINER = {"7sus4": "7", "7sus2": "7", "maj7sus4": "maj7", "aug7": "aug", "augM7": "aug", "m7b5": "dim"}
_PLAINER |= {"dim7": "dim", "dimM7": "dim", "m7": "m", "mM7": "m", "m6": "m"}
_PLAINER |= dict.fromkeys(("7", "maj7", "6", "sus4", "sus2", "5"), "")

# An extension and a quality that are another quality together, perhaps with extensions.
_MERGES = {
    "alt": {"": "7 alt", "aug7": "7 alt"},
    "b5": {"m": "dim", "m7": "m7b5", "mM7": "dimM7"},
    "#5": {"": "aug", "7": "aug7", "maj7": "augM7"},
    "no3": {"": "5", "m": "5"},
    "M7": {"": "maj7", "m": "mM7", "dim": "dimM7", "aug": "augM7", "sus4": "maj7sus4"}
    | {"5": "maj7 no3", "6": "maj7 add13", "m6": "mM7 add13"},
    "add7": {"": "7", "m": "m7", "aug": "aug7", "sus4": "7sus4", "sus2": "7sus2"}  # MusicXML's: a minor seventh
    | {"5": "7 no3", "6": "7 add13", "m6": "m7 add13"},
    "add6": {"": "6", "m": "m6"},  # and add13 elsewhere
    "sus4": {"": "sus4", "m": "sus4", "5": "sus4", "7": "7sus4", "m7": "7sus4", "maj7": "maj7sus4"}
    | {"aug": "sus4 #5", "aug7": "7sus4 #5", "augM7": "maj7sus4 #5", "m7b5": "7sus4 b5"}
    | {"6": "sus4 add13", "m6": "sus4 add13", "sus2": "sus4 add9"},
    "sus2": {"": "sus2", "m": "sus2", "5": "sus2", "7": "7sus2", "m7": "7sus2"}
    | {"aug": "sus2 #5", "aug7": "7sus2 #5", "6": "sus2 add13", "sus4": "sus4 add9"},
}
_CHANGES = ("sus4", "sus2", "add7", "add6")  # what a merge must have taken away
_ORDER = (*EXTENSIONS, *_CHANGES)

_SCALE = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_STEPS = (0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6)  # letters up for semitones up: a bass is spelled as a degree of the chord
_NOTE = re.compile(r"[A-G](?:##|bb|#|b)?")


def _place(note: str) -> int:
    return (_SCALE[note[0]] + note.count("#") - note.count("b")) % 12


def _semitones(degree: str) -> int:
    """From the root up to a degree such as b9, within an octave."""
    number = int(degree.lstrip("b#"))
    return (list(_SCALE.values())[(number - 1) % 7] + degree.count("#") - degree.count("b")) % 12


def _above(root: str, semitones: int, flats: bool) -> str:
    letter = "CDEFGAB"[("CDEFGAB".index(root[0]) + _STEPS[semitones]) % 7]
    off = (_place(root) + semitones - _SCALE[letter] + 6) % 12 - 6
    if abs(off) > 1:
        return (_FLATS if flats else _SHARPS)[(_place(root) + semitones) % 12]
    return letter + ("b" if off < 0 else "#") * abs(off)


def _canonical(quality: str, extensions: Collection[str]) -> tuple[str, tuple[str, ...]]:
    """One way of saying each chord: qualities that extensions change, extensions that say nothing new."""
    left = sorted(set(extensions), key=_ORDER.index)
    while merged := next((name for name in left if quality in _MERGES.get(name, {})), None):
        quality, *more = _MERGES[merged][quality].split(" ")
        left = sorted({*left, *more} - ({merged} - {*more}), key=_ORDER.index)
    names = (
        {"add13" if name == "add6" else name for name in left}
        - set(QUALITIES[quality])
        - ({"M7"} if "7" in QUALITIES[quality] else set())
    )
    if "7" in quality:
        names = {"9" if name == "add9" else name for name in names}
        if "sus4" in quality and "11" in names:
            names = names - {"11"} | {"9"}
        if {"11", "13"} <= names:
            names = names - {"11"} | {"add11"}
        if names & {"11", "13"} and not names & {"b9", "#9"}:
            names -= {"9"}
    elif "6" in quality:
        names = {"9" if name == "add9" else "add11" if name == "11" else name for name in names} - {"13", "add13"}
    else:
        names = {_ADDED.get(name, name) for name in names}
    names -= ({"add11"} if "sus4" in quality else set()) | ({"9", "add9"} if "sus2" in quality else set())
    return quality, tuple(sorted(names, key=_ORDER.index))


@dataclasses.dataclass(frozen=True)
class Chord:
    """A chord, or none (`root` ""), in canonical form whatever is given: `Chord("C", "7", ("#5",))` has quality aug7.

    Attributes:
        root: the note as spelled: "C", "F#", "Bb"; "" for no chord.
        quality: one of `QUALITIES`.
        extensions: some of `EXTENSIONS`, in that order.
        bass: the note below a slash as spelled; "" if that is the root.

    Raises:
        ZooError: not a note, quality or extension, or an extension that the quality can't have.
    """

    root: str
    quality: str = ""
    extensions: tuple[str, ...] = ()
    bass: str = ""

    def __post_init__(self):
        quality, extensions, bass = "", (), ""
        if self.root:
            for note in filter(None, (self.root, self.bass)):
                if not (isinstance(note, str) and _NOTE.fullmatch(note)):
                    raise ZooError(f"{note!r} is no note of a chord; expected a letter A to G with #, b or neither")
            if self.quality not in QUALITIES or any(e not in _ORDER for e in self.extensions):
                what = f"quality {self.quality!r} with extensions {list(self.extensions)}"
                raise ZooError(f"{what}: expected qualities of {list(QUALITIES)} and extensions of {list(EXTENSIONS)}")
            quality, extensions = _canonical(self.quality, self.extensions)
            for name in extensions:
                if name in _CHANGES or (name == "alt" and quality != "7"):
                    raise ZooError(f"a chord of quality {quality!r} cannot be {name!r}; expected e.g. 7sus4 or 7alt")
            bass = self.bass if self.bass and _place(self.bass) != _place(self.root) else ""
        for name, value in (("quality", quality), ("extensions", extensions), ("bass", bass)):
            object.__setattr__(self, name, value)  # as the class is frozen

    def __str__(self):
        return self.symbol

    @property
    def _kind(self) -> str:
        text, rest = _WRITTEN.get(self.quality, self.quality), list(self.extensions)
        top = next((name for name in ("13", "11", "9") if name in rest), None)
        if top:
            text = text.replace("7", top, 1) if "7" in text else text + top  # C13b9, C69
            rest.remove(top)
        parts = ["add" + name if name in ("9", "M7") else name for name in rest]
        if text in ("", "5") and parts and parts[0][0] in "b#":  # Cb9 is a chord on C flat
            parts[0] = f"({parts[0]})"
        return text + "".join(parts)

    @property
    def symbol(self) -> str:
        """The one canonical symbol: "Bbm7b5", "C7b9#11", "Dm7/G", "N.C."."""
        return self.root + self._kind + (f"/{self.bass}" if self.bass else "") if self.root else NO_CHORD

    @property
    def type(self) -> str:
        """The symbol without the root; a bass is the number of semitones above it: "m7", "7b9", "m7/5"."""
        if not self.root:
            return NO_CHORD
        return self._kind + (f"/{(_place(self.bass) - _place(self.root)) % 12}" if self.bass else "")

    @property
    def pitch_class(self) -> int:
        """Of the root: 0 (C) to 11; -1 for no chord."""
        return _place(self.root) if self.root else -1

    @property
    def degrees(self) -> tuple[str, ...]:
        """What sounds, as degrees of the major scale on the root, lowest first: ("1", "3", "5", "b7", "b9")."""
        if not self.root:
            return ()
        degrees, names = set(QUALITIES[self.quality]), set(self.extensions)
        if names & {"b5", "#5", "no5", "alt"}:
            degrees -= {"5"}
        if "no3" in names:
            degrees -= {"3", "b3"}
        if names & {"11", "13"} and not names & {"b9", "#9", "alt"}:  # a 13th chord goes without the 11th
            degrees |= {"9"}
        degrees |= {name.removeprefix("add").replace("M", "") for name in names - {"alt", "no3", "no5"}}
        if "alt" in names:
            degrees |= {"b9", "#9", "b13"}
        return tuple(sorted(degrees, key=lambda d: (int(d.lstrip("b#")), _semitones(d))))

    @property
    def pitches(self) -> tuple[int, ...]:
        """Pitch classes that sound, each once: the bass, the root, then the others by degree; () for no chord."""
        bass = [_place(self.bass)] if self.bass else []
        return tuple(dict.fromkeys(bass + [(_place(self.root) + _semitones(d)) % 12 for d in self.degrees]))

    def transposed(self, semitones: int, flats: bool | None = None) -> Chord:
        """The chord moved up (down if negative). `flats`: spell black keys as flats; None: as the root has it."""
        if not self.root or (flats is None and semitones % 12 == 0):
            return self
        moved = (self.pitch_class + int(semitones)) % 12
        return of(moved, self.type, "#" not in self.root if flats is None else flats)

    def simplified(self) -> Iterator[Chord]:
        """This chord, then plainer and plainer ones: no bass, an extension less, a plainer quality ... a triad."""
        yield self
        plain = self
        while True:
            if plain.bass:
                plain = dataclasses.replace(plain, bass="")
            elif plain.extensions:
                plain = dataclasses.replace(plain, extensions=plain.extensions[:-1])
            elif plain.root and plain.quality in _PLAINER:
                plain = dataclasses.replace(plain, quality=_PLAINER[plain.quality])
            else:
                return
            yield plain


_DELTA = ("^", "Δ", "△")
_MAJOR = ("maj", "Maj", "MAJ", "M", "ma", "Ma", *_DELTA)
_MINOR = ("m", "min", "Min", "MIN", "mi", "Mi", "-", "−", "–")
_DIMINISHED, _HALF, _AUGMENTED = ("o", "dim", "Dim", "°", "º"), ("h", "%", "ø", "Ø", "hdim"), ("+", "aug", "Aug")


def _spellings() -> dict[str, tuple[str, ...]]:
    """Spelling -> quality and extensions that follow from it."""
    table = {"": ("",), "5": ("5",), "sus": ("sus4",), "sus4": ("sus4",), "sus2": ("sus2",), "sus24": ("sus4", "add9")}
    table |= {"major": ("",), "minor": ("m",), "alt": ("7", "alt"), "67": ("7", "add13"), "+5": ("aug",)}
    table["5b"] = ("", "b5")  # Band-in-a-Box: the fifth is flat, the third stays major
    table["2"] = ("sus2",)  # not add9: so do Choi's Real Book chords in Harte's notation
    table["4"] = ("sus4",)  # the fifth, which Band-in-a-Box leaves out, is no harm
    table["susb9"] = ("7sus4", "b9")  # the Phrygian chord, which has a seventh
    table |= {name: ("",) for name in _MAJOR if name not in ("ma", "Ma", *_DELTA)}  # "madd9" is minor
    table |= {name: ("maj7",) for name in _DELTA}  # a lone triangle: a major seventh, as most players read it
    table |= {name: ("m",) for name in _MINOR} | {name: ("aug",) for name in _AUGMENTED}
    table |= {name: ("dim",) for name in _DIMINISHED}  # without a 7 a triad, though players often add it
    table |= {name: ("m7b5",) for name in _HALF}
    table |= {m + delta: ("mM7",) for m in _MINOR for delta in _DELTA}
    families = {"": "7", "dom": "7", "sus": "7sus4"}
    families |= dict.fromkeys(_MAJOR, "maj7") | dict.fromkeys(_MINOR, "m7") | dict.fromkeys(_HALF, "m7b5")
    families |= dict.fromkeys(_DIMINISHED, "dim7") | dict.fromkeys(_AUGMENTED, "aug7")  # "+9": no raised ninth
    for stems, quality in ((_MINOR, "mM7"), (_DIMINISHED, "dimM7"), (_AUGMENTED, "augM7")):
        families |= {stem + major: quality for stem in stems for major in _MAJOR}
    for stem, quality in families.items():
        table |= {stem + "7": (quality,)} | {stem + top: (quality, top) for top in _ADDED}
    for stem, quality in (("", "6"), *((m, "6") for m in _MAJOR), *((m, "m6") for m in _MINOR)):
        table |= {stem + "6": (quality,), stem + "69": (quality, "9"), stem + "6/9": (quality, "9")}
    return table


def _tokens() -> dict[str, tuple[str, ...]]:
    """Spelling -> the extension that it is, after a quality."""
    table = {sign + number: (f"b{number}",) for sign in ("b", "-") for number in ("5", "9", "13")}  # "7-9": flat ninth
    table |= {sign + number: (f"#{number}",) for sign in ("#", "+") for number in ("5", "9", "11")}
    table |= {"b6": ("b13",), "#4": ("#11",)}
    table |= {"add" + name: value for name, value in table.items() if name[0] in "b#"}
    table |= {"add2": ("add9",), "add4": ("add11",), "add6": ("add6",), "add7": ("add7",)}
    table |= {"add" + top: ("add" + top,) for top in _ADDED} | {top: (top,) for top in _ADDED}
    table |= {add + major + "7": ("M7",) for add in ("", "add") for major in _MAJOR}
    table |= {"+": ("#5",), "aug": ("#5",), "sus": ("sus4",), "sus4": ("sus4",), "sus2": ("sus2",), "alt": ("alt",)}
    table |= {word + number: (f"no{number}",) for word in ("no", "omit") for number in "35"}
    return table | {"_": ()}  # Impro-Visor's trailing mark changes no note


_SPELLINGS, _TOKENS = _spellings(), _tokens()
# Behind Impro-Visor's backslash is a chord to play below; its root is taken for a bass. Its "6" in "Eb7/B6" is a "b".
_BASS = re.compile(r"[/\\]([A-G](?:##|bb|#|b|6)?)")


def _longest(table, text: str, at: int) -> str | None:
    longest = max(map(len, table))
    return next((text[at : at + n] for n in range(longest, -1, -1) if text[at : at + n] in table), None)


def _refusal(symbol: str, part: str, expected: str) -> ZooError:
    return ZooError(f"chord symbol {symbol[:60]!r}: {part[:30]!r} not understood; expected {expected}")


def _body(root: str, text: str, symbol: str) -> Chord:
    """The chord on `root` of all that follows it in `symbol`."""
    start = _longest(_SPELLINGS, text, 0)
    if start == "5b" and text[2:3].isdigit():
        start = "5"
    quality, *extensions = _SPELLINGS[start]
    at, inside, bass = len(start), False, ""
    while at < len(text):
        if text[at] == (")" if inside else "("):
            inside, at = not inside, at + 1
        elif inside and text[at] in ", ":
            at += 1
        elif not inside and (slash := _BASS.fullmatch(text, at)):
            bass, at = slash[1].replace("6", "b"), len(text)
        elif token := _longest(_TOKENS, text, at):
            extensions += _TOKENS[token]
            at += len(token)
        else:
            raise _refusal(symbol, text[at:], "e.g. m7, 7b9, maj7#11, sus4, (add9) or a bass such as /E")
    if inside:
        raise _refusal(symbol, text[text.rindex("(") :], "a closing parenthesis")
    return _checked(symbol, root, quality, extensions, bass)


def _checked(symbol: str, root: str, quality: str, extensions: Collection[str], bass: str = "") -> Chord:
    try:
        return Chord(root, quality, tuple(extensions), bass)
    except ZooError as error:
        raise ZooError(f"chord symbol {symbol[:60]!r}: {error}") from None


def parse(symbol: str) -> Chord:
    """The chord of a symbol: "Dm7", "C7(b9,#11)", "F#-7b5/E", "N.C.".

    Raises:
        ZooError: not understood; it names the symbol and the part where reading stopped.
    """
    if not isinstance(symbol, str):
        raise ZooError(f"{symbol!r} is no chord symbol; expected text such as Dm7 or N.C.")
    return _parse(symbol)


@functools.lru_cache(4096)
def _parse(symbol: str) -> Chord:
    text = symbol.strip().replace("♭", "b").replace("♯", "#")
    if text.upper() in ("N.C.", "NC", "N.C", "N"):
        return Chord("")
    root = _NOTE.match(text)
    if not root:
        raise _refusal(symbol, text, "a root such as C, F# or Bb, or N.C.")
    return _body(root[0], text[root.end() :], symbol)


@functools.lru_cache(4096)
def of(pitch_class: int, type: str, flats: bool = True) -> Chord:
    """The chord whose `.pitch_class` and `.type` these are; `flats`: black keys are flats, not sharps.

    Raises:
        ZooError: no pitch class, or not the type of a chord.
    """
    if pitch_class == -1 or type == NO_CHORD:
        return Chord("")
    kind = re.fullmatch(r"(.*?)(?:/([0-9]|1[01]))?", type, re.DOTALL)
    if not 0 <= pitch_class < 12 or not kind:
        raise ZooError(f"pitch class {pitch_class}, type {type!r}: expected 0 to 11, and e.g. m7, 7b9 or m7/5")
    root = (_FLATS if flats else _SHARPS)[pitch_class]
    chord = _body(root, kind[1], type)
    return dataclasses.replace(chord, bass=_above(root, int(kind[2]), flats)) if kind[2] else chord


_HARTE = {"": "", "maj": "", "min": "m", "hdim": "m7b5", "hdim7": "m7b5", "minmaj7": "mM7", "maj6": "6", "min6": "m6"}
_HARTE |= {name: name for name in ("dim", "aug", "dim7", "maj7", "maj9", "maj13", "sus2", "sus4", "5", "6")}
_HARTE |= {stem + top: short + top for stem, short in (("", ""), ("min", "m")) for top in ("7", "9", "11", "13")}
_DEGREE = re.compile(r"\*?[b#]*(?:1[0-3]|[1-9])")


def parse_harte(symbol: str) -> Chord:
    """The chord of a symbol in Harte's notation (Harte et al., ISMIR 2005): "Eb:min7(*5,b9)/b3", "N".

    "s" counts as a sharp, as Choi's Real Book chords have it. Stacks get their short names: b7, 9, 11, 13 is "13".

    Raises:
        ZooError: not understood; it names the symbol and the part.
    """
    if symbol == "N":
        return Chord("")
    parts = re.fullmatch(rf"({_NOTE.pattern})(?::(\w*)(?:\(([^()]*)\))?)?(?:/([^/]*))?", symbol)
    if not parts:
        raise _refusal(symbol, symbol, "Harte's notation, e.g. C:maj7(9)/3")
    root, short, listed, slash = parts.groups()
    if (short or "") not in _HARTE:
        raise _refusal(symbol, short, f"a shorthand of {', '.join(filter(None, _HARTE))}")
    degrees = {"1"} if listed and not short else set(_body(root, _HARTE[short or ""], symbol).degrees)
    listed = listed.replace("s", "#").split(",") if listed else []
    slash = "1" if slash is None else slash.replace("s", "#")
    for degree in [*listed, slash]:
        if not _DEGREE.fullmatch(degree):
            raise _refusal(symbol, degree, "a degree such as b9 or *5")
    for degree in listed:
        degrees = degrees - {degree[1:]} if degree[0] == "*" else degrees | {degree}
    chord = _of_degrees(root, degrees, symbol)
    return dataclasses.replace(chord, bass=_above(root, _semitones(slash.lstrip("*")), "#" not in root))


def _of_degrees(root: str, degrees: set[str], symbol: str) -> Chord:
    """The quality that explains most of the degrees (a fifth may be missing), with the others as extensions."""
    fitting = [name for name, parts in QUALITIES.items() if set(parts) - {"5"} <= degrees]
    if not fitting:
        raise _refusal(symbol, "*1", "a root")
    quality = max(fitting, key=lambda name: (len(degrees & set(QUALITIES[name])), -len(QUALITIES[name])))
    left = degrees - set(QUALITIES[quality])
    if left & {"13", "b13"}:
        left -= {"11"}
    if quality == "7" and left == {"#9", "#11", "b13"}:
        left = {"alt"}
    same = {"2": "add9", "4": "add11", "6": "add13", "7": "M7", "b7": "add7", "b6": "b13", "#4": "#11"}
    return _checked(symbol, root, quality, [same.get(degree, degree) for degree in left])
