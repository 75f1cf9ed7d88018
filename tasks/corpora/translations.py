"""Translations: a corpus of English sentences and their Brazilian Portuguese, whose words must agree.

A synchronous grammar (Aho and Ullman 1969) writes the pairs, so the corpus needs no download and is the same on every
machine: one derivation gives both sides. Where the languages differ, there is something to compute:

    agreement    articles, possessives, adjectives, participles and "two" follow their noun, near or far
    order        adjectives are behind their noun, but for a few; a question is told by its mark, not by its order
    verbs        person and tense; "to be" is ser, estar, ficar, ter or haver; the prepositions that verbs take
    articles     where English has none ("in Brazil", no Brasil), and none where it has one ("is a doctor", é médica)
    contraction  em + a = na, de + este = deste, por + os = pelos, a + a = à, com + mim = comigo

Held out: words meet in pairs (adjective and noun, verb and object, preposition and noun), and each pair belongs to one
split (`home`). Every sentence of the test split has a pair that the other splits never show, of words that training
does show (SHOWN): its forms must be computed. Lengths are spread out (LENGTHS), since long sentences are the hard ones.

An English sentence has one translation, by these conventions:

    I, you, we, they    are men, unless "they" takes up a feminine subject; "you" is one person, você
    teacher, friend     and their like are men, except in "she is a teacher"
    eu, nós             are left out where the ending of the verb tells them; other pronouns never are
    o meu livro         possessives have an article; "his", "her" and "their" come last: o livro dele
    era, tinha, queria  states of the past are in the imperfect, events in the perfect: comprou
    este, aquele        this, that
"""

from __future__ import annotations

import collections
import functools
import random
import re
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow_datasets as tfds

from tasks.corpora.portuguese import (
    ADJECTIVE,
    COLORS,
    FEELINGS,
    INTENTIONS,
    NAMES,
    NOTHING,
    NOUN,
    NUMERALS,
    OFTEN,
    PRONOUNS,
    REPORTS,
    ROLES,
    SITES,
    TIMES,
    VERB,
    VERBS,
    WHO,
    Clause,
    Phrase,
    able,
    ask,
    declare,
    finish,
    fitting,
    handling,
    join,
    listing,
    noun_phrase,
    nouns,
    predicate,
    prepositional,
    rows,
)

SEED = 2024
SIZES = {"train": 6_000, "validation": 400, "test": 800}
HOMES = 7 * ("train",) + ("validation",) + 2 * ("test",)  # pairs of words are shared out so
SALT = 8  # this one shares small tables fairly
LENGTHS = {range(3, 6): 4, range(6, 11): 7, range(11, 16): 4, range(16, 21): 3, range(21, 26): 2}  # words: weight
SHOWN = 3  # how often, at least, training shows a word of another split
DEMO = "The book is on the table."  # it could be written, and is kept out


# The choices behind a sentence.
def home(a: str, b: str) -> str:
    """The split that a pair of words belongs to."""
    return HOMES[zlib.crc32(" ".join(sorted((a, b))).encode(), SALT) % len(HOMES)]


@functools.cache
def partners(word: str, options: tuple[str, ...], split: str) -> tuple[str, ...]:
    """The options that a word meets in a split or, if it meets none there, all of them."""
    return tuple(option for option in options if home(word, option) in ("train", split)) or options


class Pen(random.Random):
    """The choices behind one sentence of a split; `rich` says how much is added to its bones."""

    def __init__(self, seed: int, split: str, rich: float):
        super().__init__(seed)
        self.split, self.rich, self.said, self.pairs = split, rich, [], []

    def odds(self, p: float) -> bool:
        return self.random() < p

    def weigh(self, weights: dict):
        return self.choices(list(weights), list(weights.values()))[0]

    def row(self, text: str) -> Phrase:
        return Phrase(*self.choice(list(rows(text).values()))[:2])

    def say(self, options: tuple[str, ...], head: str = "") -> str:
        """One of some words; if there is a head, one that it meets in this split."""
        word = self.choice(partners(head, options, self.split) if head else options)
        self.pairs += [(head, word)] if head else []
        self.said.append(word)
        return word


def dress(pen: Pen, noun: str, role: str = "known") -> Phrase:
    """A noun with what goes before and behind it; the role is of ROLES."""
    kind, mass = NOUN[noun].kind, noun in nouns("mass")
    if kind == "town":
        return noun_phrase("", noun)
    several = noun not in nouns("single") and pen.odds(0.1 if noun in nouns("kin place") else 0.3)
    whose = ["my", "your", "our", "his", "her", "their"] * (noun not in nouns("public") and role != "new")
    dets = ROLES[role][several].split() * (kind != "kin")
    det = pen.choice([det for det in dets + whose if det != "a" or not mass])
    if role == "any" and noun not in nouns("somebody place") and pen.odds(0.6 if mass else 0.2 if several else 0):
        det = ""
    elif whose and pen.odds(0.15):
        det = pen.choice((noun_phrase("my", pen.say(nouns("kin"))), WHO[pen.say(tuple(rows(NAMES)))]))
    adjectives = []
    if kind != "kin" and pen.odds(0.15 + pen.rich / 2):
        adjectives.append(pen.say(fitting(noun), noun))
        if noun in nouns("colored") and adjectives[0] not in COLORS and pen.odds(pen.rich):
            adjectives.append(pen.say(COLORS, noun))
    phrase = noun_phrase(det, noun, several, adjectives)
    if mass or det in whose or isinstance(det, Phrase) or not pen.odds(pen.rich / 2):
        return phrase
    rich, pen.rich = pen.rich, 0  # nothing in this has another
    more = relative(pen, phrase) if pen.odds(0.6) else site(pen, phrase)
    pen.rich = rich
    return join(phrase, more)


def site(pen: Pen, thing: Phrase) -> Phrase:
    """Where a thing or somebody may be."""
    kinds = next((kinds for kinds in SITES if thing.noun in nouns(kinds)), "" if thing.noun else "somebody")
    if not kinds:
        return NOTHING
    heads, grounds = pen.choice(list(rows(SITES[kinds]).values()))
    head = pen.choice(heads.split()).replace("_", " ")
    return prepositional(head, dress(pen, pen.say(nouns(grounds), head)))


def where(pen: Pen, kinds: str) -> Phrase:
    """Where something happens: at the station, but in the city."""
    fixed = nouns("at")
    spots = {head: tuple(n for n in nouns(kinds) if (n in fixed) == (head == "at")) for head in ("at", "in")}
    head = pen.choice([head for head, places in spots.items() if places])
    return prepositional(head, dress(pen, pen.say(spots[head], head)))


def relative(pen: Pen, phrase: Phrase) -> Phrase:
    """Who somebody is by what they do, or what a thing is by what was done to it."""
    if phrase.noun in nouns("human"):
        return declare(action(pen, phrase._replace(en="who", pt="que"), pen.choice(("past", "present"))))
    if not handling(phrase.noun):
        return site(pen, phrase)
    done = Clause(somebody(pen), pen.say(handling(phrase.noun), phrase.noun), "past")
    return join(Phrase("that", "que"), declare(done))


def somebody(pen: Pen, asked: bool = False) -> Phrase:
    """Who does something; one does not ask about oneself."""
    kind = pen.weigh({"pronoun": 5, "name": 2, "noun": 7, "two": 1})
    if kind == "pronoun":
        return WHO[pen.choice(["you", "he", "she", "they"] + ["I", "I", "I", "we", "we"] * (not asked))]
    if kind == "noun":
        return dress(pen, pen.say(nouns("kin human human")), "any")
    names = [WHO[pen.say(tuple(rows(NAMES)))] for _ in range(1 + (kind == "two"))]
    return listing(*names)


def again(who: Phrase) -> Phrase:
    """The pronoun that takes up a subject."""
    taken = WHO["she" if who.person == "he" and who.gender == "f" else who.person]
    return taken._replace(pt="elas", gender="f") if who.person == "they" and who.gender == "f" else taken


# Clauses: (pen, who, tense) -> what is said.
def action(pen: Pen, who: Phrase, tense: str, event: bool = False) -> Clause:
    """Somebody does something."""
    wanted = {"present": "hs", "past": "dhn" if event else "dhns", "now": "n", "then": "n"}.get(tense, "hn")
    verb = pen.say(able(wanted))
    _, pt, kinds, places, _ = VERB[verb]
    after, rest = pt.partition(" ")[2], []
    others = ("I", "you", "we") if who.person in ("he", "they") else ("he", "she", "they")
    pronoun = Phrase(*rows(PRONOUNS)[pen.choice(others)][2:])
    if after and "somebody" in kinds and pen.odds(0.15):
        rest.append(pronoun)
    elif kinds:
        number, head = 1 + pen.odds(pen.rich / 3), verb.split()[-1]
        rest.append(listing(*(dress(pen, pen.say(nouns(kinds), head), "any") for _ in range(number)), after=after))
    elif pen.odds(0.3):
        friend = pronoun if pen.odds(0.4) else dress(pen, pen.say(nouns("somebody"), "with"))
        rest.append(prepositional("with", friend))
    if places == "to":
        rest.append(prepositional("to", dress(pen, pen.say(nouns("somebody"), "to"))))
    elif places and pen.odds(pen.rich / 2 if kinds else 0.7) and len(join(NOTHING, *rest).en.split()) < 6:
        rest.append(where(pen, places))
    return Clause(who, verb, tense, join(NOTHING, *rest))


def intention(pen: Pen, who: Phrase, tense: str) -> Clause:
    """Somebody wants to do something."""
    return Clause(who, pen.choice(list(rows(INTENTIONS))), tense, declare(action(pen, NOTHING, "infinitive")))


def feeling(pen: Pen, who: Phrase, tense: str) -> Clause:
    """Somebody is hungry (com fome) or tired (cansado)."""
    passing = (word for word in fitting("boy") if ADJECTIVE[word][2] == "estar")
    word = pen.say((*rows(FEELINGS), *passing), who.noun)
    if word in rows(FEELINGS):
        return Clause(who, "estar com", tense, Phrase(*rows(FEELINGS)[word]))
    return Clause(who, "estar", tense, predicate(word, ADJECTIVE[word][0], who))


def state(pen: Pen, who: Phrase, tense: str) -> Clause:
    """Somebody is ten years old, from Brazil, a doctor or somewhere."""
    kind = pen.weigh({"age": 1, "origin": 1, "job": 2, "site": 2})
    if kind == "age":
        age, anos = rows(NUMERALS)[pen.choice(("ten", "twenty"))]
        return Clause(who, "ter", tense, Phrase(f"{age} years old", f"{anos} anos"))
    if kind == "origin":
        return Clause(who, "ser", tense, prepositional("from", dress(pen, pen.say(nouns("town"), "from"))))
    if kind == "job":
        job = NOUN[pen.say(nouns("job"), who.noun)]
        called = job.en[1] if who.person in ("we", "they") else f"a {job.en[0]}"
        return Clause(who, "ser", tense, predicate(called, job.pt[0], who))
    return Clause(who, "estar", tense, site(pen, who))


def quality(pen: Pen, who: Phrase, tense: str) -> Clause:
    """Somebody or something is old (velho, é) or cold (frio, está)."""
    like = who.noun if who.noun and who.noun not in nouns("kin") else "boy"
    word = pen.say(fitting(like), who.noun)
    pt, _, be = ADJECTIVE[word]
    very = Phrase("very", "muito") if be == "ser" and word not in COLORS and pen.odds(0.2) else NOTHING
    return Clause(who, be, tense, join(very, predicate(word, pt, who)))


def location(pen: Pen, who: Phrase, tense: str) -> Clause:
    """Something is somewhere: of places, fica."""
    return Clause(who, "ficar" if who.noun in nouns("place") else "estar", tense, site(pen, who))


def passive(pen: Pen, who: Phrase, tense: str) -> Clause:
    """Something was made by somebody."""
    verb = pen.say(handling(who.noun), who.noun)
    return Clause(who, verb, "passive", prepositional("by", dress(pen, pen.say(nouns("somebody"), "by"))))


def existence(pen: Pen, who: Phrase, tense: str) -> Clause:
    """There is something somewhere; `who` is "there"."""
    thing = dress(pen, pen.say(nouns("small case animal furniture vehicle human")), "new")
    return Clause(who._replace(person=thing.person), "haver", tense, join(thing, site(pen, thing)))


MAKERS = {action: 10, intention: 2, state: 3, feeling: 3, quality: 5, location: 3, passive: 2, existence: 2}
SUBJECTS = {
    quality: "somebody somebody small furniture vehicle mass thought show place opening",
    location: "small case animal furniture vehicle place",
    passive: "text clothes furniture home cake",
}


def clause(pen: Pen, make: Callable, tense: str = "", asked: bool = False) -> Clause:
    """A clause of some sort, with a subject that fits."""
    usual = {"past": 5, "present": 4, "will": 2, "now": 2, "can": 1} if make is action else {}
    tense = tense or pen.weigh(usual or {"present": 3, "past": 1})
    kind = pen.choice(SUBJECTS.get(make, "somebody").split())
    if make is existence:
        return make(pen, Phrase("there"), tense)
    who = somebody(pen, asked) if kind == "somebody" else dress(pen, pen.say(nouns(kind)))
    return make(pen, who, tense)


# Sentences.
def tell(pen: Pen, said: Clause) -> Phrase:
    """A statement; it is denied, or there is a time, or how often."""
    if said.verb != "haver" and pen.odds(0.12):
        return declare(said._replace(negated=True))
    if said.verb in rows(VERBS) and said.tense == "present" and pen.odds(0.3):
        return declare(said._replace(often=pen.row(OFTEN)))
    if said.verb in rows(VERBS) and "s" not in VERB[said.verb][4] and said.tense in TIMES and pen.odds(0.4):
        time = pen.row(TIMES[said.tense])
        return join(time, declare(said)) if pen.odds(0.2) else join(declare(said), time)
    return declare(said)


def question(pen: Pen) -> Phrase:
    """A question about everything or about a part."""
    kind = pen.weigh({"all": 4, "who": 1, "which": 2, "when": 1, "why": 1, "where": 1})
    tense = pen.choice(("past", "will"))
    if kind == "all":
        return ask(clause(pen, pen.weigh(MAKERS), asked=True))
    if kind == "who":
        return declare(action(pen, Phrase("who", "quem"), tense, True))
    if kind == "which":
        verb = pen.choice([verb for verb in rows(VERBS) if "d" in VERB[verb][4]])
        noun = pen.say(nouns(VERB[verb][2]), verb)
        many = noun not in nouns("mass") and pen.odds(0.5)
        return ask(Clause(somebody(pen, True), verb, "past"), noun_phrase("how many" if many else "which", noun, many))
    if kind == "when":
        return ask(action(pen, somebody(pen, True), tense, True), Phrase("when", "quando"))
    if kind == "why":
        return ask(clause(pen, pen.choice((action, feeling, quality)), asked=True), Phrase("why", "por que"))
    thing = dress(pen, pen.say(nouns("small animal place")))
    return ask(location(pen, thing, "present")._replace(rest=NOTHING), Phrase("where", "onde"), inverted=True)


def compound(pen: Pen, kind: str) -> Phrase:
    """Two clauses or more; a pronoun may take up the subject of the first."""
    comma = lambda said: Phrase(f"{said.en},", f"{said.pt},")
    if kind == "two":
        make, tense = pen.choice((action, quality, location, state, feeling)), pen.choice(("past", "present"))
        first, second = (tell(pen, clause(pen, make, tense)) for _ in range(2))
        return join(comma(first), pen.row("and = e | but = mas"), second)
    if kind == "while":
        first, second = (declare(clause(pen, action, "then")) for _ in range(2))
        return join(Phrase("while", "enquanto"), comma(first), second)
    who, tense = somebody(pen), pen.choice(("past", "present"))
    if kind == "because":
        done, reason = declare(action(pen, who, tense)), declare(feeling(pen, again(who), tense))
        return join(done, Phrase("because", "porque"), reason)
    silent, number = who._replace(en="", pt=""), 2 + pen.odds(0.4)
    return listing(*(declare(action(pen, silent if i else who, "past", True)) for i in range(number)))


def sentence(pen: Pen, long: bool) -> tuple[Phrase, str]:
    """A sentence and the mark that ends it."""
    if not long and pen.odds(0.25):
        return question(pen), "?"
    kind = pen.weigh({"one": 2, "two": 4, "because": 4, "series": 4, "while": 1}) if long else "one"
    said = tell(pen, clause(pen, pen.weigh(MAKERS))) if kind == "one" else compound(pen, kind)
    reported = long and kind != "while" and pen.odds(0.3)
    return join(pen.row(REPORTS), said) if reported else said, "."


class Pair(NamedTuple):
    """A sentence in both languages, and the pairs of words that meet in it."""

    en: str
    pt: str
    pairs: tuple[tuple[str, str], ...]


def attempt(pen: Pen, length: range) -> Pair | None:
    """A sentence, unless its length, its pairs or its words will not do."""
    said, mark = sentence(pen, long=length.start > 10)
    homes = {home(*pair) for pair in pen.pairs}
    held_out = pen.split in homes and homes <= {"train", pen.split}
    clumsy = len(set(pen.said)) < len(pen.said) or re.search(r"\b(not|never) .*\bsome\b", said.en)
    if held_out and not clumsy and len(said.en.split()) in length:
        return Pair(*finish(said, mark), tuple(pen.pairs))
    return None


def write() -> dict[str, list[Pair]]:
    """All splits: no English sentence occurs twice, and training shows every word that the others have."""
    splits, seen, seeds = {split: [] for split in SIZES}, {DEMO}, random.Random(SEED)
    shown = collections.Counter()  # words of the training split
    while split := next((split for split, size in SIZES.items() if len(splits[split]) < size), None):
        length = seeds.choices(list(LENGTHS), list(LENGTHS.values()))[0]
        while not (pair := attempt(Pen(seeds.getrandbits(64), split, length.start / 20), length)):
            pass
        words = re.findall(r"[\w'-]+", f"{pair.en} {pair.pt}".lower())
        if pair.en in seen or split != "train" and any(shown[word] < SHOWN for word in words):
            continue
        seen.add(pair.en)
        splits[split].append(pair)
        shown.update(words if split == "train" else [])
    return splits


class Translations(tfds.core.GeneratorBasedBuilder):
    """English sentences and their Brazilian Portuguese, written by a grammar."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.Translation(languages=("en", "pt"))
        return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features, supervised_keys=("en", "pt"))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(pairs) for split, pairs in write().items()}

    def _generate_examples(self, pairs: list[Pair]) -> Iterator[tuple[int, dict]]:
        for i, pair in enumerate(pairs):
            yield i, {"en": pair.en, "pt": pair.pt}
