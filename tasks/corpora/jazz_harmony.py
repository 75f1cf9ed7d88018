"""The tables of `tasks.corpora.standards`: keys, what chords of a function are, bars of cadences, titles.

Chords are a degree of the key of the section and a function (FUNCTIONS), bars are apart by "|", "-" goes on with the
chord before, and chords share their bar: "2m 5D | 1T | -". Rows are apart by lines or ";;".
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

KEYS = dict(F=16, Bb=15, Eb=15, C=14, Ab=8, G=9, Db=5, D=5, A=3, E=3, Gb=2, B=2)  # as in real books, about
MINOR_KEYS = dict(C=14, D=13, G=12, F=10, A=9, E=6, Bb=5, B=3, Eb=2, **{"F#": 3, "C#": 2, "G#": 2})
SCALE = dict(C=0, D=2, E=4, F=5, G=7, A=9, B=11)
LETTERS = "CDEFGAB"

FUNCTIONS = {  # of a chord: its qualities and extensions, and how common they are
    "T": {"maj7": 8, "6": 4, "maj9": 2, "69": 2, "": 2, "maj7#11": 1},  # major tonic
    "t": {"m": 3, "m6": 4, "m7": 4, "mM7": 2, "m9": 1, "m69": 1},  # minor tonic
    "P": {"maj7": 6, "6": 3, "": 1, "maj7#11": 1},  # major subdominant
    "p": {"m6": 4, "m7": 5, "m": 1, "mM7": 1},  # minor subdominant
    "m": {"m7": 12, "m9": 3, "m11": 1},  # ii, iii, vi
    "h": {"m7b5": 1},  # ii of a minor key
    "D": {"7": 12, "9": 4, "13": 3, "7sus4": 1, "7b9": 1, "9sus4": 1},  # dominant of a major chord
    "d": {"7b9": 6, "7": 5, "7#9": 2, "7#5": 2, "7b13": 1, "7alt": 1},  # dominant of a minor chord
    "S": {"7": 5, "7#11": 3, "9": 2, "13": 1},  # a tritone from a dominant
    "B": {"7": 5, "9": 3, "7#11": 1, "13": 1},  # backdoor
    "b": {"7": 8, "9": 3, "13": 2},  # tonic and subdominant of the blues
    "o": {"dim7": 1},
}
TONICS = "Ttb"
FAMILIES = {function: family for family in ("TP", "tpm", "h", "DdSBb", "o") for function in family}  # sound alike

# Four bars and eight, in the key of the section.
MAJOR_OPENINGS = """
    1T | 6m | 2m | 5D
    1T | 6d | 2m | 5D
    1T 6m | 2m 5D | 1T 6m | 2m 5D
    1T 6m | 2m 5D | 3m 6d | 2m 5D
    1T | - | 2m | 5D
    1T | 2m 5D | 1T | 5m 1D
    2m | 5D | 1T | -
    2m | 5D | 1T | 6d
    2m 5D | 1T | 2m 5D | 1T
    2m 5D | 3m 6d | 2m 5D | 1T
    1T | 4p b7B | 1T | 5m 1D
    1T | 4p | b7B | 1T
    1T | 7h 3d | 6m | 5m 1D
    1T | 3d | 6d | -
    1T #1o | 2m #2o | 3m | 6d
    1T | b3o | 2m | 5D
    6m | 2m | 5D | 1T
    3m | 6d | 2m | 5D
    1T | b7B | 1T | 6d
    1T | b6S | 5D | 1T
    1T | - | #4h | 4p
    4P | 4p | 3m | b3o
    1T | 2D | - | 2m 5D
    1T | b3P | b6P | 5D
    1T 4b | 1T 6d | 2m | 5D
    """
MAJOR_MIDDLES = """
    4P | 4p b7B | 1T | 6d
    4P | - | 2D | -
    4P | #4o | 1T | 6d
    6m | 2D | 2m | 5D
    3m | 6d | 2D | 5D
    4P | 4p | 3m 6d | 2m 5D
    2D | - | 2m | 5D
    7h 3d | 6m | 2D | 2m 5D
    6m b6S | 5m 1D | 4P | b7B
    3m b3o | 2m 5D | 3m 6d | 2m 5D
    #4h 7d | 3m | 2m | 5D
    3D | 6D | 2D | 5D
    1T | 1D | 4P | 4p
    """
MAJOR_ENDINGS = """
    2m | 5D | 1T | -
    2m 5D | 1T | - | -
    3m 6d | 2m 5D | 1T | -
    1T 6d | 2m 5D | 1T | -
    4P 4p | 3m 6d | 2m 5D | 1T
    4p | b7B | 1T | -
    2m | 4p b7B | 1T | -
    #4h 4p | 3m b3o | 2m 5D | 1T
    2D | 2m 5D | 1T | -
    2h | 5d | 1T | -
    2m | b2S | 1T | -
    6d | 2D | 5D | 1T
    """
MINOR_OPENINGS = """
    1t | 2h 5d | 1t | 2h 5d
    1t | - | 2h | 5d
    1t | 4p | 1t | 5d
    1t | b7B | b6S | 5d
    1t 6h | 2h 5d | 1t 6h | 2h 5d
    1t | 4p b7B | b3T | b6P
    4p | b7B | b3T | b6P
    2h | 5d | 1t | -
    2h 5d | 1t | 2h 5d | 1t
    1t | 5m 1d | 4p | -
    1t | b6S 5d | 1t | b6S 5d
    1t | 6h | b6S | 5d
    1t | b3B | b6S | 5d
    """
MINOR_MIDDLES = """
    4p | - | 1t | -
    4p | b7B | b3T | 5d
    2h | 5d | 1t | 6h
    5m 1d | 4p | b7B | b3T
    4p | 1t | b6S | 5d
    4p | 7o | 1t | 6h
    b6P | 2h | 5d | -
    """
MINOR_ENDINGS = """
    2h | 5d | 1t | -
    2h 5d | 1t | - | -
    1t 6h | 2h 5d | 1t | -
    b6S | 5d | 1t | -
    b6S 5d | 1t | 2h 5d | 1t
    4p | 2h 5d | 1t | -
    b2S | - | 1t | -
    2D | 5d | 1t | -
    """
MAJOR_BACK = "2m | 5D ;; 2m 5D | 3m 6d ;; 2D | 2m 5D ;; 3m 6d | 2m 5D ;; b6S | 5D ;; 4p b7B | 2m 5D"  # home, open
MINOR_BACK = "2h | 5d ;; 2h 5d | 1t 5d ;; b6S | 5d ;; 4p | 2h 5d"
ALOFT = "2m 5D | 1T ;; 2m | 5D ;; 1T | 2m 5D ;; 1T | - ;; 2m b2S | 1T"  # two bars in another major key
MINOR_ALOFT = "2h 5d | 1t ;; 1t | - ;; 1t | 2h 5d"
ABROAD = {"4": 6, "b6": 3, "3": 3, "b3": 3, "6": 2, "b2": 1, "2": 2, "5": 1}  # keys of a bridge of a major tune
MINOR_ABROAD = {"b3": 6, "b6": 4, "4": 2, "b7": 2, "1": 1}  # likewise of a minor one
CYCLES = """
    3D | - | 6D | - | 2D | - | 5D | -
    7m 3D | - | 3m 6D | - | 6m 2D | - | 2m 5D | -
    3D | - | b3S | - | 2D | - | b2S | -
    7m | 3D | 3m | 6D | 6m | 2D | 2m | 5D
    """
BLUES = (  # 4 + 4 + 4 bars
    """1b | - | - | - ;; 1b | 4b | 1b | - ;; 1b | 4b | 1b | 5m 1D ;; 1b | 4b #4o | 1b | 5m b5S
    1T | 7h 3d | 6m 2D | 5m 1D""",
    """4b | - | 1b | - ;; 4b | #4o | 1b | 6d ;; 4b | - | 1b | 3h 6d ;; 4b | 4p b7B | 3m 6d | b3m b6D
    4b | #4o | 3m | 6d""",
    "5D | 4b | 1b ;; 2m | 5D | 1b ;; 2m | b2S | 1b ;; 6d | 2D 5D | 1b ;; 2D | 5D | 1b ;; b6S | 5D | 1b",
)
MINOR_BLUES = (
    "1t | - | - | - ;; 1t | 4p | 1t | - ;; 1t | 2h 5d | 1t | 1d ;; 1t | 4p | 1t | 5m 1d",
    "4p | - | 1t | - ;; 4p | b7B | 1t | - ;; 4p | - | 1t | 6h",
    "b6S | 5d | 1t ;; 2h | 5d | 1t ;; 5d | 4p | 1t ;; b2S | 5d | 1t ;; 6h | 2h 5d | 1t",
)
RHYTHM = (  # 2 + 2 + 2 bars, then 2 that lead on or that end
    "1T 6d | 2m 5D ;; 1T #1o | 2m #2o ;; 1T 6m | 2m 5D ;; 1T b3o | 2m b2S",
    "3m 6d | 2m 5D ;; 1T 6d | 2m 5D ;; 3m b3o | 2m 5D ;; 3D 6D | 2D 5D",
    "5m 1D | 4P 4p ;; 1T 1D | 4b #4o ;; 5m b5S | 4P b7B ;; 1D | 4b #4o",
    "1T 6d | 2m 5D ;; 3m 6d | 2m 5D ;; 1T | 2m 5D",
    "1T 5D | 1T ;; 2m 5D | 1T ;; 3m 6d 2m 5D | 1T ;; 1T | -",
)
TURNAROUNDS = "1T 6d | 2m 5D ;; 3m 6d | 2m 5D ;; 1T b3o | 2m 5D ;; 1T b3S | b6P b2S ;; 1T 6d 2m 5D | -"
MINOR_TURNAROUNDS = "1t 6h | 2h 5d ;; 1t | 2h 5d ;; 1t b3B | b6S 5d"
MINOR_BLUES_TURNAROUNDS = "2h 5d ;; 5d ;; b6S 5d"
BLUES_TURNAROUNDS = "1b 6d 2m 5D ;; 5D ;; 2m 5D ;; b6S 5D"

FIRST = """Crooked Paper Velvet Borrowed Wooden Marble Rusty Copper Tangerine Lopsided Second-hand Upstairs Patient
    Reluctant Left-handed Salted Folded Unpaid Whispering Stubborn Cardboard Plaid Tin Lukewarm Woollen"""
SECOND = """Lantern Harbour Umbrella Pelican Ledger Staircase Tramline Teapot Postman Weathervane Orchard Elevator
    Typewriter Cobbler Lighthouse Napkin Bicycle Suitcase Gondola Accordion Mailbox Radiator Chimney"""
WHO = "Edna Otis Winifred Horace Lucinda Mabel Percival Agnes Clarence Philippa Rufus Henrietta Barnabas"
TITLES = {
    "blues": "{first} {second} Blues ;; Blues for the {first} {second} ;; {who}'s {second} Blues",
    "waltz": "{first} {second} Waltz ;; Waltz of the {first} {second}",
    "": "{first} {second} ;; The {first} {second} ;; {first} {second} for {who} ;; {who} and the {second}",
}
FORMS = {"aaba": 32, "abac": 22, "short": 8, "rhythm": 8, "blues": 20}
FEELS = {(56, 80): 3, (100, 160): 6, (180, 280): 3}  # tempos in 4/4; a waltz's are WALTZES
WALTZES = (90, 190)


class Step(NamedTuple):
    """A chord: letters and semitones of its root above the tonic, function, kind ("m7") and beats."""

    letters: int
    semitones: int
    function: str
    beats: float
    kind: str = ""

    def above(self, letters: int, semitones: int, function: str, beats: float) -> Step:
        return Step((self.letters + letters) % 7, (self.semitones + semitones) % 12, function, beats)


HOME = Step(0, 0, "", 0)


@functools.cache
def table(text: str) -> tuple[str, ...]:
    """The rows."""
    return tuple(" ".join(row.split()) for row in re.split(";;|\n", text) if row.strip())


def degree(text: str) -> tuple[int, int]:
    """ "b6" -> letters and semitones above the tonic."""
    letters = int(text[-1]) - 1
    return letters, (SCALE[LETTERS[letters]] + text.count("#") - text.count("b")) % 12
