"""Reviews: a corpus of short English opinions that cannot be judged by counting words.

A grammar writes the reviews, so the corpus needs no download and is the same on every machine. Each production
returns words *and* their polarity, computed from the polarities of its parts: compositional semantics in its
plainest form. A sentence is a template with slots, and the table that holds the template says what it does to the
polarity of what fills them:

    keep       "nobody can deny that {clause}"    the polarity of the clause
    flip       "I can't say that {clause}"        the opposite
    contrast   "although {lose}, {win}"           the polarity of the part that wins; the other is its opposite

The tables come in near-minimal pairs ("I doubt that" flips, "I have no doubt that" does not), and templates are
chosen without regard to what fills them. So "superb" is about as common in negative reviews as in positive ones,
and so is "not": a bag of words has next to nothing to go by, while a model that reads from left to right can follow
the composition. The label is the writer's own verdict on the whole thing. Opinions of others, first impressions,
what might have been and what is conceded ("Admittedly, ...") do not decide it, wherever they stand.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import tensorflow_datasets as tfds

SEED = 2024
SIZES = {"train": 4_000, "validation": 500, "test": 1_000}
WORDS = range(5, 61)  # in a review
KEEPS = 0.8  # share of templates that keep a polarity; with far fewer, a small model finds no way in


def options(text: str) -> tuple[str, ...]:
    """'a | b | c', over several lines perhaps -> ('a', 'b', 'c')."""
    return tuple(" ".join(option.split()) for option in text.split("|"))


def table(good: str, bad: str) -> dict[int, tuple[str, ...]]:
    """Options by sign: words that praise and words that blame, or templates that keep a polarity and that flip it."""
    return {+1: options(good), -1: options(bad)}


ASPECTS = {  # what one reviews, and its parts; a final s makes a plural
    "film": options("plot | acting | dialogue | music | ending | camera work | script | special effects"),
    "restaurant": options("soup | service | wine list | desserts | fish | decor | starters | menu"),
    "phone": options("screen | battery | camera | keyboard | speakers | software | design | signal"),
    "book": options("plot | characters | prose | opening | ending | dialogue | illustrations | translation"),
    "hotel": options("room | breakfast | staff | pool | view | beds | location | service"),
    "game": options("graphics | plot | controls | music | tutorial | puzzles | design | levels"),
}
FACTS = {  # sentences without an opinion
    "film": options("I saw it on a rainy Tuesday | It runs for two hours | It opened here in May"),
    "restaurant": options("We were a party of six | We had booked a week ahead | It is next to the station"),
    "phone": options("I have had it for a month | It came in a grey box | I bought it for work"),
    "book": options("I read it on the train | It has four hundred pages | It came out in May"),
    "hotel": options("We stayed for three nights | It is near the harbour | I was there for work"),
    "game": options("I played it on the train | It takes about ten hours | I bought it in a sale"),
}
ADJECTIVES = table(
    "superb | wonderful | excellent | brilliant | impressive | lovely | delightful | splendid | fantastic | charming",
    "dull | dreadful | terrible | awful | disappointing | dismal | tedious | horrible | mediocre | poor",
)
NOUNS = table(
    "a masterpiece | a triumph | a gem | a treat | a delight | a success",
    "a mess | a disaster | a flop | a failure | a letdown | a waste of money",
)
LIKE = table("love | enjoy | like | adore | admire", "hate | dislike | loathe | detest | resent")  # I ... it
MOVE = table(
    "delight | impress | thrill | please | charm", "bore | annoy | disappoint | irritate | depress"
)  # it ... me
BETTER, HOPED = {+1: "better", -1: "worse"}, {+1: "hoped", -1: "feared"}
OTHERS = options("my brother | my sister | the critics | my neighbours | the people at work | most of my friends")
RIVALS = options("the last one | people say | the adverts suggest | I was told | its rivals")

# Clauses about the whole thing or a part of it. Plain ones stand inside other clauses.
PLAIN = table(
    "{it} {was} {adj} | {it} {was} quite {adj} | {it} {was} truly {adj} | {it} {was} rather {adj}",
    "{it} {was}n't {adj} | {it} {was} not at all {adj}",
)
CLAUSES = table(
    """{it} {was} {adj} | {it} {was} really {adj} | {it} {was} nothing if not {adj} | {it} {was} never less than {adj} |
    I found {it} quite {adj} | I can only call {it} {adj} | nobody could fail to find {it} {adj} |
    I {liked} {it} | I really {liked} {it} | I could not help but {like} {it} | nobody could fail to {like} {it} |
    {it} {moved} me | {it} really {moved} me | {it} did not fail to {move} me | {it} never failed to {move} me""",
    """{it} {was}n't {adj} | {it} {was} hardly {adj} | {it} {was} anything but {adj} | {it} {was} less than {adj} |
    I failed to find {it} {adj} | nobody would call {it} {adj} | there was nothing {adj} about {it} |
    I didn't {like} {it} | I never {liked} {it} | I can't say I {liked} {it} | nobody could {like} {it} |
    {it} did not {move} me | {it} failed to {move} me | {it} never {moved} me | nothing in {it} {moved} me""",
)
FRAMES = table(
    """nobody can deny that {clause} | I have no doubt that {clause} | I don't mind saying that {clause} |
    I would not be wrong to say that {clause} | I can honestly say that {clause} | it is true that {clause} |
    I would not hesitate to claim that {clause} | I don't think anybody could deny that {clause}""",
    """nobody can claim that {clause} | I doubt that {clause} | I don't think that {clause} |
    I would be wrong to say that {clause} | I can't say that {clause} | it is not true that {clause} |
    I would hesitate to claim that {clause} | I would never say, even to be polite, that {clause}""",
)
# Verdicts on the whole thing: comparison, hope and fear, what might have been, questions, the opinions of others.
VERDICTS = table(
    """{it} was even more {adj} than {rival} | {it} was no less {adj} than {rival} | {it} was as {adj} as {rival} |
    {it} was {better} than {rival} | {it} was a good deal {better} than {rival} |
    I {hoped} that {it} would be {adj}, and it was | I {hoped} that {it} would be {adj}, and I was not wrong |
    {it} could not have been more {adj} | was {it} {adj}? It was | was {it} {adj}? Yes, indeed |
    I expected {noun}, and that is what I got | I was told that it was {noun}, and I can't disagree |
    {who} {liked} {it}, and so did I | {who} {liked} {it}; I agree | unlike {who}, I {liked} {it}""",
    """{it} was less {adj} than {rival} | {it} was not as {adj} as {rival} | {it} was far from as {adj} as {rival} |
    {it} was no {better} than {rival} | I have known {better} |
    I {hoped} that {it} would be {adj}, but it was not | I {hoped} that {it} would be {adj}, but I was wrong |
    {it} could have been more {adj} | was {it} {adj}? It was not | was {it} {adj}? No, not really |
    I expected {noun}, and that is not what I got | I was told that it was {noun}, and I can't agree |
    {who} {liked} {it}; I did not | {who} {liked} {it}; I don't agree | like {who}, I didn't {like} {it}""",
)
ADVICE = table(
    "I would come back to it | I would not hesitate to come back to it",
    "I would not come back to it | I would hesitate to come back to it",
)
# Two opposed parts: clauses, clauses in time, nouns.
CONTRASTS = options(
    """{lose}, but {win} | {lose}, yet {win} | {lose}; nevertheless, {win} | although {lose}, {win} |
    even though {lose}, {win} | {win}, although {lose} | {win}, even though {lose} | {win}, though {lose}"""
)
CHANGES = options(
    """at first {lose}, but by the end {win} | by the end {win}, though at first {lose} |
    initially {lose}; later on, {win} | in the end {win}, even if {lose} to begin with"""
)
SURPRISES = options(
    """I expected {lose} and got {win} | I got {win} where I had expected {lose} | it was {win}, not {lose} |
    instead of {lose}, I found {win} | it started as {lose} and ended as {win} | it ended as {win}, not as {lose}"""
)
TURNS = options("Still, | Nonetheless, | All the same, | For all that,")  # what follows decides
CONCESSIONS = options("Granted, | Admittedly, | True, | I admit that")  # what follows does not


class Said(NamedTuple):
    """Words, and what they amount to: +1 is praise, -1 is blame."""

    text: str
    polarity: int


class Pen(random.Random):
    """The choices behind one review. If `novel`, it may say of a thing what only the test split says."""

    def __init__(self, seed: int, novel: bool = True):
        super().__init__(seed)
        self.novel, self.name = novel, self.choice(list(ASPECTS))

    def sign(self, plus: float = 0.5) -> int:
        return +1 if self.random() < plus else -1

    def whole(self) -> str:
        return self.choice((f"the {self.name}", f"this {self.name}", f"the {self.name} as a whole", "it"))

    def part(self) -> str:
        return f"the {self.choice(ASPECTS[self.name])}"

    def adjective(self, thing: str, polarity: int) -> str:
        return self.choice([word for word in ADJECTIVES[polarity] if self.novel or not is_novel(thing, word)])


def is_novel(thing: str, adjective: str) -> bool:
    """Whether only the test split may say this of that: a quarter of all pairs, e.g. "the soup" and "superb"."""
    return zlib.crc32(f"{thing} {adjective}".encode()) % 4 == 0


def until(polarity: int, production: Callable[..., Said], *args) -> Said:
    """Draw from a production until it says something of this polarity."""
    while (said := production(*args)).polarity != polarity:
        pass
    return said


def state(pen: Pen, it: str, templates: dict[int, tuple[str, ...]] = CLAUSES) -> Said:
    """Say something of `it`, in words of one polarity and a template that keeps or flips that."""
    polarity, effect = pen.sign(), pen.sign(KEEPS)
    like, move = pen.choice(LIKE[polarity]), pen.choice(MOVE[polarity])
    past = lambda verb: verb + ("d" if verb.endswith("e") else "ed")
    words = {"it": it, "was": "were" if it.endswith("s") else "was", "adj": pen.adjective(it, polarity)}
    words |= {"like": like, "liked": past(like), "move": move, "moved": past(move), "noun": pen.choice(NOUNS[polarity])}
    words |= {"better": BETTER[polarity], "hoped": HOPED[polarity]}
    words |= {"who": pen.choice(OTHERS), "rival": pen.choice(RIVALS)}
    return Said(pen.choice(templates[effect]).format(**words), effect * polarity)


def frame(pen: Pen, it: str) -> Said:
    """Say something about a plain clause: a negation may stand far from what it negates, and may meet another."""
    clause, effect = state(pen, it, PLAIN), pen.sign(KEEPS)
    return Said(pen.choice(FRAMES[effect]).format(clause=clause.text), effect * clause.polarity)


def opine(pen: Pen, it: str) -> Said:
    """An opinion of the whole thing or of a part."""
    return frame(pen, it) if pen.random() < 0.25 else state(pen, it)


def contrast(pen: Pen) -> Said:
    """The whole against a part of it."""
    win = opine(pen, pen.whole())
    lose = until(-win.polarity, opine, pen, pen.part())
    return Said(pen.choice(CONTRASTS).format(win=win.text, lose=lose.text), win.polarity)


def change(pen: Pen) -> Said:
    """The last opinion against the first."""
    win = state(pen, pen.whole())
    lose = until(-win.polarity, state, pen, "it")
    return Said(pen.choice(CHANGES).format(win=win.text, lose=lose.text), win.polarity)


def surprise(pen: Pen) -> Said:
    """What it was against what was expected."""
    polarity = pen.sign()
    win, lose = pen.choice(NOUNS[polarity]), pen.choice(NOUNS[-polarity])
    return Said(pen.choice(SURPRISES).format(win=win, lose=lose), polarity)


def verdict(pen: Pen) -> Said:
    """A sentence with the writer's opinion of the whole thing."""
    simple = lambda pen: opine(pen, pen.whole())
    marked = lambda pen: state(pen, pen.whole(), VERDICTS)
    return pen.choices((simple, marked, contrast, change, surprise), weights=(3, 5, 3, 2, 1))[0](pen)


def review(pen: Pen) -> Said:
    """A verdict alone, or with remarks that agree with it, or that it overrides, or that are conceded; and facts."""
    main = verdict(pen)
    agree, oppose = (until(sign, opine, pen, pen.part()).text for sign in (main.polarity, -main.polarity))
    sentences = pen.choices(
        (
            [main.text],
            [agree, main.text],
            [main.text, agree],
            [main.text, pen.choice(ADVICE[main.polarity])],
            [oppose, f"{pen.choice(TURNS)} {main.text}"],
            [main.text, f"{pen.choice(CONCESSIONS)} {oppose}"],
            [f"{pen.choice(CONCESSIONS)} {oppose}", main.text],
        ),
        weights=(5, 2, 2, 1, 1, 1, 1),
    )[0]
    if pen.random() < 0.3:
        sentences.insert(pen.choice((0, len(sentences))), pen.choice(FACTS[pen.name]))
    return Said(" ".join(text[0].upper() + text[1:] + "." for text in sentences), main.polarity)


def write() -> dict[str, list[Said]]:
    """All splits: the classes alternate, and no review occurs twice."""
    splits, seen, seeds = {}, set(), random.Random(SEED)
    for split, size in SIZES.items():
        splits[split] = []
        while len(splits[split]) < size:
            said = review(Pen(seeds.getrandbits(64), novel=split == "test"))
            wanted = said.polarity == (-1) ** len(splits[split])
            if wanted and said.text not in seen and len(said.text.split()) in WORDS:
                seen.add(said.text)
                splits[split].append(said)
    return splits


class Reviews(tfds.core.GeneratorBasedBuilder):
    """Short reviews of films, restaurants, phones, books, hotels and games, written by a grammar."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["negative", "positive"])}
            ),
            supervised_keys=("text", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(reviews) for split, reviews in write().items()}

    def _generate_examples(self, reviews: list[Said]) -> Iterator[tuple[int, dict]]:
        for i, said in enumerate(reviews):
            yield i, {"text": said.text, "label": "positive" if said.polarity > 0 else "negative"}
