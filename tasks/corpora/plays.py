"""Plays: a corpus of running text for character models, scenes of a little theatre that never was.

A grammar writes the scenes, so the corpus needs no download and is the same on every machine. What comes next can be
guessed at several levels, from near to far:

    spelling   some 1,300 forms of words; capitals at the head of sentences, of lines, of names; "a" or "an"
    grammar    verbs agree with their subject, near or far ("the keys of the king are"), in person, number and tense;
               possessives with whom they refer to ("Betta has lost her ring"), determiners with their noun
    verse      a speech is broken into lines of about ten syllables; the last of a scene ends on a rhyme
    people     each has a trade, and swears and talks as it goes; he is he and she is she; only who is on stage speaks,
               as "[Enter ...]" and "[Exit ...]" tell, and whoever is asked answers: the thing that was asked for, with
               the auxiliary that it was asked with ("Did you ...?" "I did not.")

A scene looks so:

    SCENE: a narrow kitchen, before dawn.

    [Enter BETTA and MARLO.]

    BETTA:
    By salt and pepper! Where is the silver spoon,
    Good Marlo?

No speech occurs twice, in the same split or in two.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow_datasets as tfds

from tasks.corpora.plays_words import (
    ADJECTIVES,
    COMPARED,
    COUPLETS,
    DETERMINERS,
    EACH_OTHER,
    MANNER,
    NOUNS,
    OATHS,
    OBJECTS,
    OFTEN,
    OPENINGS,
    OWN,
    PEOPLE,
    PLACES,
    PREPOSITIONS,
    RHYMES,
    SEVERAL,
    TIMES,
    TOPICS,
    VERBS,
    WHENS,
    Verb,
    article,
    finite,
    lines,
    plural,
    split_off,
)

SEED = 2024
CHARACTERS = {"train": 300_000, "validation": 15_000, "test": 30_000}  # of a split: this many, or a scene's more
SPEECHES = range(8, 22)  # of a scene
TENSES = {"present": 9, "past": 7, "will": 4, "perfect": 3, "progressive": 2, "must": 1, "can": 1}


class Noun(NamedTuple):
    """Words that may be a subject or an object; `person` is the pronoun that would stand for them."""

    text: str
    person: str
    alive: bool = True


class Asked(NamedTuple):
    """A question to somebody: what kind, and what its answer takes up."""

    kind: str
    auxiliary: str = ""
    about: Noun = Noun("", "")
    verb: Verb | None = None


BE = VERBS["be"][0]


class Pen(random.Random):
    """The choices behind one scene; `speaker` is who has the word, `hearer` who is spoken to, both in capitals."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.speaker, self.hearer, self.last = "", "", Noun("", "")

    def odds(self, p: float) -> bool:
        return self.random() < p

    def weigh(self, weights: dict):
        return self.choices(list(weights), list(weights.values()))[0]

    # Nouns --------------------------------------------------------------------------------------------------------

    def thing(self, kind: str, dets: str = "", owner: str = "", plain: bool = False) -> Noun:
        """A noun with its determiner and adjectives: "the rusty keys", "his ring", "an old sailor of the king"."""
        nouns = list(NOUNS[kind])
        if kind == "thing" and self.odds(0.5):
            nouns = TOPICS[PEOPLE[self.speaker][1]]
        word = self.choice(nouns)
        several = self.odds(0.1 if kind == "place" else 0.3) and kind != "mass"
        options = DETERMINERS[several].split() if not dets else dets.split()
        if kind == "mass":
            options = [det for det in options if det not in ("a", "every", "another")]
        det = OWN[owner] if owner and self.odds(0.35) else self.choice(options)
        adjectives = []
        while not plain and self.odds(0.3 if not adjectives else 0.1):
            adjectives += [word for word in [self.choice(ADJECTIVES[kind])] if word not in adjectives]
        words = [*adjectives, plural(word) if several else word]
        det = SEVERAL.get(det, det) if several else det
        det = article(words[0]) if det == "a" else det
        person = "they" if several else NOUNS[kind][word] if kind == "person" else "it"
        text = " ".join([det, *words])
        if not plain and self.odds(0.08):
            text += f" {'from' if kind == 'person' else 'of'} {self.of(kind)}"
        return Noun(text, person, kind in ("person", "animal"))

    def of(self, kind: str) -> str:
        return self.place("the") if kind == "person" else self.thing("person", "the this my your", plain=True).text

    def place(self, dets: str = "the the the a my your this that") -> str:
        return self.thing("place", dets, plain=self.odds(0.6)).text

    def name(self) -> Noun:
        """Somebody who is neither speaking nor spoken to."""
        name = self.choice([name for name in PEOPLE if name not in (self.speaker, self.hearer, self.last.text.upper())])
        return Noun(name.title(), PEOPLE[name][0])

    def subject(self, kinds: str = "") -> Noun:
        if self.last.person and self.odds(0.25) and not kinds:
            return self.last._replace(text=self.last.person)
        kind = self.weigh({"I": 5, "you": 3, "we": 1, "name": 4, "person": 6, "thing": 3, "two": 1, "animal": 1})
        if kinds and kind not in kinds.split():
            kind = self.choice(kinds.split())
        if kind in OWN:
            return Noun(kind, kind)
        if kind == "two":
            one, two = self.name(), self.thing("person", "the my your", plain=True)
            self.last = Noun(f"{one.text} and {two.text}", "they")
        else:
            self.last = self.name() if kind == "name" else self.thing(kind)
        return self.last

    def object(self, kind: str, person: str) -> Noun:
        if kind == "person" and self.odds(0.3):
            others = {"I": "you he she they", "we": "you they", "you": "I we he they"}.get(person, "I you we")
            other = self.choice(others.split())
            return Noun(OBJECTS[other], other)
        if kind == "person" and self.odds(0.3):
            return self.name()
        if kind == "person" and person in ("we", "they") and self.odds(0.1):
            return Noun(self.choice(EACH_OTHER), "they")
        kind = "mass" if kind == "thing" and self.odds(0.15) else kind
        return self.thing(kind, owner=person if person != "it" else "")

    # Clauses ------------------------------------------------------------------------------------------------------

    def verb(self, who: Noun, tense: str = "", kinds: str = "thing person alone") -> tuple[Verb, str, str]:
        """A verb, its object and what else follows, and a tense that suits it."""
        kind = self.choice(kinds.split()) if who.alive else "alone"
        verb = self.choice(VERBS[kind if who.alive else "it"])
        tense = tense or self.weigh(TENSES)
        if verb.stative and tense == "progressive":
            tense = "present"
        after = [self.object(kind, who.person).text] if kind != "alone" else []
        if kind == "alone" and self.odds(0.4):
            after.append(self.choice(MANNER))
        if self.odds(0.25 + 0.2 * (kind == "alone")):
            after.append(f"{self.choice(PREPOSITIONS)} {self.place()}")
        if self.odds(0.25) and tense in TIMES:
            after.append(self.choice(TIMES[tense]))
        return verb, tense, " ".join(after)

    def clause(self, who: Noun | None = None, tense: str = "") -> str:
        """Somebody does something, or is somehow; without capital and stop."""
        who = who or self.subject()
        if self.odds(0.2):
            tense, verb, after = tense or self.choice(("present", "past", "will")), BE, self.state(who)
        else:
            verb, tense, after = self.verb(who, tense)
        auxiliary, rest = split_off(verb, who.person, tense)
        if self.odds(0.13):
            words = ["cannot", *rest] if auxiliary == "can" else [auxiliary, "not", *rest]
        else:
            words = finite(verb, who.person, tense)
            if self.odds(0.1) and tense != "progressive":
                words.insert(len(words) > 1 or verb is BE, self.choice(OFTEN))
        return " ".join(filter(None, [who.text, *words, after]))

    def state(self, who: Noun) -> str:
        adjective = self.choice(ADJECTIVES["state" if who.alive else "thing"])
        if self.odds(0.3):
            return f"{self.choice(COMPARED)} than {self.thing('thing', plain=True).text}"
        if self.odds(0.3):
            return f"as {adjective} as {self.thing('animal', 'a the', plain=True).text}"
        return f"{self.choice(('so', 'too', 'most'))} {adjective}" if self.odds(0.25) else adjective

    def relative(self) -> str:
        """A subject with a relative clause, whose verb agrees too: "the men who love the queen sleep"."""
        who = self.last = self.thing("person", "the the this that", plain=True)
        verb, tense, after = self.verb(who, self.choice(("present", "past")), "thing person")
        inner = " ".join([*finite(verb, who.person, tense), after])
        return self.clause(Noun(f"{who.text} who {inner}", who.person))

    # Sentences ----------------------------------------------------------------------------------------------------

    def sentence(self) -> str:
        kind = self.weigh(dict(one=10, two=3, that=2, when=2, relative=2, there=1, order=2, oath=1, want=1))
        if kind == "one":
            return self.clause() + self.choice("....!")
        if kind == "two":
            return f"{self.clause()}, {self.choice(('and', 'and', 'but', 'for', 'yet'))} {self.clause()}."
        if kind == "that":
            who = self.subject("I you we name person")
            head = finite(self.choice(VERBS["that"]), who.person, self.choice(("present", "past")))
            return f"{who.text} {head[0]} that {self.clause()}."
        if kind == "when":
            word = self.choice(list(WHENS))
            first, second = self.clause(tense=WHENS[word][0]), self.clause(tense=WHENS[word][1])
            return f"{word} {first}, {second}."
        if kind == "relative":
            return self.relative() + "."
        if kind == "there":
            thing = self.thing("thing", "a", plain=True) if self.odds(0.5) else Noun("no " + self.mass(), "it")
            verb = finite(BE, thing.person, self.choice(("present", "past")))[0]
            return f"there {verb} {thing.text} {self.choice(PREPOSITIONS)} {self.place()}."
        if kind == "order":
            verb, kinds = self.choice([(verb, kind) for kind in ("thing", "person") for verb in VERBS[kind]])
            never = self.choice(("do not ", "never ", "", "", "let us ", "pray, "))
            return f"{never}{verb.base} {self.object(kinds, 'we' if 'us' in never else 'you').text}!"
        if kind == "want":
            verb, _, after = self.verb(Noun("I", "I"), "present", "thing alone")
            who = self.subject("I you name person")
            return f"{who.text} {finite(VERBS['to'][0], who.person, 'present')[0]} to {verb.base} {after}".strip() + "."
        return self.oath()

    def mass(self) -> str:
        return self.choice(list(NOUNS["mass"]))

    def oath(self) -> str:
        return self.choice(OATHS[PEOPLE[self.speaker][1]]) + "!"

    def question(self) -> tuple[str, Asked]:
        """A question to the hearer, and what its answer needs."""
        kind = self.choice(("you", "you", "other", "where", "who", "why"))
        you = Noun("you", "you")
        if kind == "where":
            what = self.thing("thing", "the my your", plain=self.odds(0.5))
            return f"where {finite(BE, what.person, 'present')[0]} {what.text}?", Asked(kind, about=what)
        if kind == "who":
            what, verb = self.thing("thing", "the my this", plain=self.odds(0.5)), self.choice(VERBS["thing"])
            return f"who {finite(verb, 'he', 'past')[0]} {what.text}?", Asked(kind, about=what, verb=verb)
        who = self.subject("name person") if kind == "other" else you
        tense = self.choice(("present", "past") if kind == "why" else ("present", "past", "perfect", "will"))
        verb, tense, after = self.verb(who, tense)
        auxiliary, rest = split_off(verb, who.person, tense)
        asked = " ".join(filter(None, [auxiliary, who.text, *rest, after])) + "?"
        return ("why " if kind == "why" else "") + asked, Asked(kind, auxiliary, who)

    def answer(self, asked: Asked) -> str:
        """What the one who was asked says first."""
        what = asked.about.person
        if asked.kind == "where":
            is_ = finite(BE, what, "present")[0]
            thing = re.sub(r"\b(my|your)\b", lambda m: {"my": "your", "your": "my"}[m[0]], asked.about.text)
            thing = thing if self.odds(0.6) else what
            return f"{thing} {is_} {self.choice(PREPOSITIONS)} {self.place()}."
        if asked.kind == "who":
            who = self.subject("I name person")
            return f"{who.text} {asked.verb.past} {OBJECTS[what]}."
        if asked.kind == "why":
            return f"because {self.clause()}."
        who = "I" if asked.kind == "you" else what
        no = self.odds(0.5)
        auxiliary = asked.auxiliary
        short = f"{self.choice(('no', 'alas, no') if no else ('yes', 'indeed', 'yes, yes'))}, {who} {auxiliary}"
        reason = f", {self.choice(('for', 'and'))} {self.clause()}" if self.odds(0.7) else ""
        return f"{short}{' not' if no else ''}{reason}."


# Scenes.
def couplet(pen: Pen) -> list[str]:
    """Two lines that rhyme."""
    pair = pen.sample(pen.choice(RHYMES), 2)
    first, second = pen.sample(COUPLETS, 2)
    said = []
    for line, rhyme in ((first, pair[0]), (second, pair[1])):
        who, adjective = pen.subject("I you name"), pen.choice(ADJECTIVES["thing"])
        words = dict(who=who.text, adj=adjective, a=article(adjective), noun=rhyme)
        words |= dict(do=pen.choice(VERBS["alone"]).base, mass=pen.mass(), state=pen.choice(ADJECTIVES["state"]))
        words |= dict(have=finite(VERBS["have"][0], who.person, "present")[0])
        said.append(line.format(**words))
    return [f"{said[0][0].upper()}{said[0][1:]},", f"And {said[1]}."]


def speech(pen: Pen, asked: Asked | None, ending: bool) -> tuple[list[str], Asked | None]:
    """What the speaker says to the hearer: perhaps an answer first, perhaps a question last."""
    said, question, pen.last = [], None, Noun("", "")
    if asked:
        said.append(pen.answer(asked))
    elif pen.odds(0.3):
        said.append(pen.oath())
    elif pen.odds(0.5):
        said.append(f"{pen.choice(OPENINGS[PEOPLE[pen.hearer][0]])} {pen.hearer.title()}, {pen.sentence()}")
    said += [pen.sentence() for _ in range(pen.choice((0, 1, 1, 2, 2, 3, 4)) or ending)]
    if not ending and (pen.odds(0.5) or not said):
        text, question = pen.question()
        said.append(f"{text[:-1]}, {pen.hearer.title()}?" if pen.odds(0.3) else text)
    return said, question


def scene(pen: Pen, seen: set[str]) -> str:
    """A scene; its speeches are none of those seen, and are added to them."""
    cast = pen.sample(list(PEOPLE), pen.choice((2, 3, 3, 4)))
    stage, off = cast[:2], cast[2:]
    adjective = pen.choice(ADJECTIVES["place"])
    place = f"{article(adjective)} {adjective} {pen.choice(list(NOUNS['place']))}"
    parts = [f"SCENE: {place}, {pen.choice(PLACES)}.", f"[Enter {stage[0]} and {stage[1]}.]"]
    pen.speaker, pen.hearer, asked = stage[0], stage[1], None
    size = pen.choice(SPEECHES)
    for i in range(size):
        ending = i == size - 1
        while True:
            said, question = speech(pen, asked, ending)
            text = "\n".join([lines(said), *couplet(pen)]) if ending else lines(said)
            if text not in seen:
                break
        seen.add(text)
        parts.append(f"{pen.speaker}:\n{text}")
        if pen.odds(0.08):
            verb = pen.choice(VERBS["alone"])
            parts.append(f"[{PEOPLE[pen.speaker][0].title()} {verb.third}.]")
        if ending:
            break
        before = pen.speaker
        if question:
            pen.speaker = pen.hearer
        elif off and pen.odds(0.3):
            stage.append(off.pop())
            parts.append(f"[Enter {stage[-1]}.]")
            pen.speaker = stage[-1]
        elif len(stage) > 2 and pen.odds(0.25):
            stage.remove(before)
            parts.append(f"[Exit {before}.]")
            pen.speaker = pen.choice(stage)
        else:
            pen.speaker = pen.choice([name for name in stage if name != before])
        others = [name for name in stage if name != pen.speaker]
        pen.hearer, asked = before if before in others and pen.odds(0.6) else pen.choice(others), question
    return "\n\n".join([*parts, "[Exeunt.]"]) + "\n\n"


def write() -> dict[str, list[str]]:
    """The scenes of all splits."""
    splits, seen, seeds = {}, set(), random.Random(SEED)
    for split, size in CHARACTERS.items():
        splits[split] = []
        while sum(map(len, splits[split])) < size:
            splits[split].append(scene(Pen(seeds.getrandbits(64)), seen))
    return splits


class Plays(tfds.core.GeneratorBasedBuilder):
    """Scenes of a little theatre, written by a grammar: running text for character models."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
        return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(scenes) for split, scenes in write().items()}

    def _generate_examples(self, scenes: list[str]) -> Iterator[tuple[int, dict]]:
        for i, text in enumerate(scenes):
            yield i, {"text": text}
