"""The words of `tasks.corpora.plays`: who there is, what there is, what they do, the forms of these, and verse."""

from __future__ import annotations

import re
from typing import NamedTuple

IRREGULAR = dict(wife="wives", thief="thieves", knife="knives", loaf="loaves", wolf="wolves", mouse="mice")
IRREGULAR |= dict(goose="geese", child="children", sheep="sheep", calf="calves", leaf="leaves")


def words(text: str) -> list[str]:
    return text.split()


def phrases(text: str) -> list[str]:
    """'by my crown | on your knees' -> ['by my crown', 'on your knees']."""
    return [" ".join(phrase.split()) for phrase in text.split("|")]


def rows(text: str) -> dict[str, str]:
    """Lines 'key: value' -> {key: value}."""
    return {key.strip(): value for key, value in (line.split(":") for line in text.strip().split("\n"))}


THIRD = ("he", "she", "it")
METRE = 10  # syllables of a line, about
OWN = {"I": "my", "you": "your", "he": "his", "she": "her", "it": "its", "we": "our", "they": "their"}
OBJECTS = {"I": "me", "you": "you", "he": "him", "she": "her", "it": "it", "we": "us", "they": "them"}
DOUBLING = set(words("swim drop stop beg rob run drag win begin sit get put plan forget"))


class Verb(NamedTuple):
    """The forms of a verb; a stative one has no progressive."""

    base: str
    third: str
    past: str
    participle: str
    gerund: str
    stative: bool


def article(word: str) -> str:
    return "an" if re.match("[aeio]|u(?!ni|s[eu])", word) else "a"


def plural(noun: str) -> str:
    if noun in IRREGULAR or noun.endswith(("man", "woman")):
        return IRREGULAR.get(noun) or noun.removesuffix("man") + "men"
    return third(noun)


def third(word: str) -> str:
    """The form in -s, of verbs and of nouns."""
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|sh|ch|x|z|[^o]o)$", word) else "s")


def verbs(text: str) -> list[Verb]:
    """'love | *know knew known' -> their forms; a star marks a stative one."""
    found = []
    for row in text.split("|"):
        base, *rest = row.split()
        base, stative = base.lstrip("*"), base.startswith("*")
        stem = base + base[-1] * (base in DOUBLING)
        ed = stem + "d" if stem.endswith("e") else re.sub(r"(?<=[^aeiou])y$", "i", stem) + "ed"
        past, participle = rest or (ed, ed)
        gerund = re.sub(r"(?<=[^eo])e$", "", stem) + "ing"
        found.append(Verb(base, {"have": "has", "be": "is"}.get(base, third(base)), past, participle, gerund, stative))
    return found


def finite(verb: Verb, person: str, tense: str) -> list[str]:
    """The verb as this person has it: ["sings"], ["has", "sung"], ["will", "sing"]; the first word agrees."""
    third = person in THIRD
    be = {"I": "am"}.get(person, "is" if third else "are")
    if tense in ("will", "must", "can"):
        return [tense, verb.base]
    if tense == "perfect":
        return ["has" if third else "have", verb.participle]
    if tense == "progressive":
        return [be, verb.gerund]
    if verb.base == "be":
        return [be] if tense == "present" else ["was" if third or person == "I" else "were"]
    return [verb.past] if tense == "past" else [verb.third if third else verb.base]


def split_off(verb: Verb, person: str, tense: str) -> tuple[str, list[str]]:
    """The auxiliary, `do` if there is no other, and the rest: ("does", ["sing"]), ("has", ["sung"]), ("is", [])."""
    words = finite(verb, person, tense)
    if len(words) > 1 or verb.base == "be":
        return words[0], words[1:]
    return "did" if tense == "past" else "does" if person in THIRD else "do", [verb.base]


def lines(sentences: list[str]) -> str:
    """Sentences with their capitals, broken into lines of about `METRE` syllables; lines begin with capitals too."""
    text, found, count = " ".join(said[0].upper() + said[1:] for said in sentences), [[]], 0
    for word in text.split():
        if count >= METRE or (count >= METRE - 2 and found[-1][-1][-1] in ".!?"):
            found.append([])
            count = 0
        found[-1].append(word)
        count += syllables(word)
    if len(found) > 1 and len(found[-1]) == 1:  # no line is a single word's, unless it is the only one
        last = found.pop()
        found[-1] += last
    return "\n".join(line[0].upper() + line[1:] for line in map(" ".join, found))


def syllables(word: str) -> int:
    """Groups of vowels, without a mute e: about right for English."""
    word = re.sub(r"[^a-z]", "", word.lower())
    return max(1, len(re.findall(r"[aeiouy]+", re.sub(r"(?<=[^aeioul])e(s|d)?$|(?<=[aeiou]l)e(s)?$", "", word))))


VERBS = {
    "thing": verbs(
        """find found found | hide hid hidden | carry | break broke broken | sell sold sold | buy bought bought | drop |
        steal stole stolen | *want | lose lost lost | keep kept kept | bring brought brought | throw threw thrown |
        *need | mend | paint | count | bury | burn | lift | polish | borrow | take took taken | fetch | touch | follow |
        watch | *deserve | forget forgot forgotten | guard | drag | win won won | praise | share | *have had had |
        examine | swallow | draw drew drawn | hold held held | weigh | choose chose chosen | clean | kick"""
    ),
    "person": verbs(
        """*love | *fear | *trust | follow | see saw seen | hear heard heard | *know knew known | *hate | rob |
        forgive forgave forgiven | meet met met | teach taught taught | marry | praise | mock | call | answer | thank |
        kiss | help | serve | warn | watch | betray | comfort | scold | obey | deceive | remember | visit | curse |
        *owe | flatter | ask | blame | envy | pity | defend | find found found | catch caught caught | leave left left |
        strike struck struck | chase | forget forgot forgotten | miss | charm | bless"""
    ),
    "alone": verbs(
        """sleep slept slept | sing sang sung | laugh | weep wept wept | wait | dance | fall fell fallen | run ran run |
        speak spoke spoken | dream | swim swam swum | work | pray | whistle | tremble | wander | smile | sigh | beg |
        stand stood stood | rise rose risen | kneel knelt knelt | cough | shout | whisper | march | hurry | stumble |
        fight fought fought | yawn | sit sat sat | hesitate | repent | boast | complain | stop | ride rode ridden"""
    ),
    "it": verbs(
        """shine shone shone | fall fell fallen | burn | break broke broken | rust | vanish | tremble | wait | remain |
        sink sank sunk | glitter | crack | move | creak | lean | decay | grow grew grown"""
    ),
    "that": verbs(
        """say said said | think thought thought | *know knew known | swear swore sworn | hope | *fear | *believe |
        hear heard heard | dream | see saw seen | *doubt | remember | suspect | feel felt felt"""
    ),
    "to": verbs("*want"),
    "be": verbs("be was been"),
    "have": verbs("*have had had"),
}


class Role(NamedTuple):
    """A pronoun and a trade."""

    person: str
    trade: str


PEOPLE = {
    name: Role(person, trade)
    for line, person in (
        (
            """MARLO sailor | GRIMBALD king | TOBIAS fool | PERRIN thief | HUGO soldier | CRISPIN doctor | BRANDO cook |
            LUCAN poet | OSWIN farmer | BARNABY merchant | JASPER monk | WILMOT king | DUNSTAN monk | PIPKIN fool""",
            "he",
        ),
        (
            """BETTA cook | ODALINE queen | ISOLINE poet | MIRABEL maid | AGATHA farmer | FENELLA thief |
            TAMSIN sailor | ROSAMUND doctor | CORDULA merchant | VIOLANTE soldier | SERAPHINE queen | ELSPETH maid""",
            "she",
        ),
    )
    for name, trade in map(words, phrases(line))
}


def nouns(text: str, person: str = "it") -> dict[str, str]:
    return dict.fromkeys(text.split(), person)


NOUNS = {
    "person": nouns(
        """king sailor soldier cook thief poet doctor farmer priest fool merchant brother father son husband uncle
        baron duke beggar baker miller painter captain judge gardener knight prince hangman fisherman stranger
        neighbour cousin servant goldsmith nobleman wizard ghost jailer piper barber""",
        "he",
    )
    | nouns("queen sister mother daughter wife aunt widow duchess princess nurse maid witch nun milkmaid", "she"),
    "animal": nouns("dog cat horse goat pig wolf goose mouse owl crow fox hen donkey bear eagle hare toad sheep calf"),
    "thing": nouns(
        """key ring lantern spoon knife sword crown letter map bell candle cup basket barrel rope purse coin mirror book
        chest loaf pie onion apple boot cloak hat glove button needle drum flute fiddle ladder hammer wheel cart plough
        saddle net anchor sail oar helmet shield arrow flag potion bottle pillow blanket curtain throne jewel pearl
        sceptre kettle pan ladle cheese pudding sausage bone feather stone rose leaf ballad verse song sermon prayer
        scale ledger carpet box hook broom bucket apron egg turnip riddle joke mask puppet""",
    ),
    "mass": nouns(
        """gold bread silence wine honey salt silver money courage patience mercy wisdom straw smoke butter flour love
        dust wool iron ink justice sorrow rain luck pepper milk thunder moonlight""",
    ),
    "place": nouns(
        """kitchen cellar barn tower garden harbour forest castle market chapel tavern stable bridge mill field cave
        island river palace prison attic courtyard village orchard meadow dungeon library pantry bakery churchyard
        lighthouse valley inn well hall shore""",
    ),
}
TOPICS = rows(  # things that a trade talks about
    """king: crown throne sword flag sceptre horn chain
    queen: pearl mirror jewel ring rose curtain crown
    sailor: anchor sail oar net rope hook map
    cook: kettle ladle pan pie onion pudding spoon
    soldier: sword shield helmet arrow drum boot flag
    thief: purse key coin ladder glove mask lock
    poet: ballad verse song book candle feather flute
    doctor: potion bottle bandage needle pillow leech pill
    farmer: plough cart turnip apple egg saddle bucket
    maid: broom apron basket blanket button candle bucket
    monk: prayer sermon bell candle book robe psalm
    merchant: ledger scale coin carpet barrel chest box
    fool: riddle joke bell hat puppet mask drum"""
)
TOPICS = {trade: words(things) for trade, things in TOPICS.items()}
NOUNS["thing"] |= {word: "it" for things in TOPICS.values() for word in things}
OATHS = rows(
    """king: by my crown | by the bones of my fathers | on your knees
    queen: by my pearls | heaven help this house | oh, what a court is this
    sailor: by salt and tar | blow, winds, blow | by all the fishes of the sea
    cook: by salt and pepper | by my best kettle | oh, my poor soup
    soldier: by drum and trumpet | by my sword | to arms, to arms
    thief: by moon and shadow | hush, hush | by these ten quick fingers
    poet: oh, sweet muse | by ink and feather | what music is in this
    doctor: by bile and blood | by all the herbs of the hill | breathe, breathe
    farmer: by mud and manure | by hay and harvest | a plague upon this weather
    maid: mercy upon us | by bucket and broom | bless my soul
    monk: heaven forgive us | by bell and book | amen, amen
    merchant: by pound and penny | nothing is free | by my honest scales
    fool: hey nonny, hey | by my cap and bells | ha, ha, and ha again"""
)
OATHS = {trade: phrases(oaths) for trade, oaths in OATHS.items()}
OPENINGS = {
    "he": phrases("good | dear | sir | old | honest | my lord | poor | brave master | friend"),
    "she": phrases("good | dear | madam | sweet | honest | my lady | poor | fair mistress | friend"),
}
ADJECTIVES = {
    "person": words(
        """brave proud old young hungry jealous foolish wise gentle cruel drunken blind weary merry loyal angry pale
        humble idle clever cunning lonely happy noble wicked greedy tall bald stubborn famous"""
    ),
    "state": words(
        """brave proud old young hungry jealous foolish wise gentle cruel blind weary merry loyal angry pale silent
        humble idle cunning lonely happy wicked greedy sick ready sorry afraid lost thirsty cold guilty"""
    ),
    "thing": words(
        """golden silver broken rusty heavy empty small wooden hollow bright dusty ancient painted stolen precious
        ugly strange crooked cold warm sharp old new red black white green forgotten useless royal wet"""
    ),
    "animal": words("black white old hungry wild lame grey clever lazy fat little mad sleepy brown wet"),
    "mass": words("sweet pure bitter cold old good false plain holy stale fresh true strange"),
    "place": words(
        """dark quiet narrow cold old empty ruined distant secret dusty green lonely haunted royal little gloomy
        sunny crowded forgotten"""
    ),
}
COMPARED = words(
    """colder older wiser braver prouder younger paler happier angrier lonelier merrier wearier emptier brighter
    stranger sharper smaller warmer sweeter heavier"""
)
OFTEN = words("never always often seldom still")
MANNER = phrases(
    """quietly | badly | loudly | gladly | alone | slowly | too well | like a child | like a fool | in vain |
    for nothing | all day | for love | without shame | in silence | in secret | with care | once more"""
)
PREPOSITIONS = words("in near behind beside outside")
TIMES = {
    "present": phrases("every night | every morning | in winter | on Sundays | all the time | at noon"),
    "past": phrases("last night | yesterday | long ago | this morning | in the war | last winter | that day"),
    "will": phrases("tomorrow | tonight | before dawn | next spring | by and by | when the bell rings"),
    "progressive": phrases("now | even now | at this hour"),
}
WHENS = {  # the tenses of both clauses
    "if": ("present", "will"),
    "when": ("past", "past"),
    "while": ("past", "past"),
    "unless": ("present", "must"),
    "because": ("past", "present"),
    "before": ("past", "past"),
    "though": ("present", "present"),
}
DETERMINERS = {
    False: "the the the a a this that my my your our every no another",
    True: "the the the these those my your our two three some many no all",
}
SEVERAL = {"this": "these", "that": "those", "a": "some", "every": "all", "another": "other"}
EACH_OTHER = ["each other"]
PLACES = phrases("before dawn | at noon | by night | in the rain | at sunset | in winter | by candlelight | in a storm")
RHYMES = [
    words(rhyme)
    for rhyme in phrases(
        """night light knight flight sight | sea key tree bee knee | king ring spring string | bay hay day clay |
        house mouse louse | door floor shore | bread bed thread shed | rain train chain grain lane | moon spoon |
        crown town gown clown | stone bone throne loan | hand sand land band | bell well shell spell | sky pie fly eye |
        book cook hook brook | hat cat rat mat | snow crow bow foe | wine vine mine shrine | hill mill till will"""
    )
]
COUPLETS = phrases(
    """the world is {state}, and {adj} is the {noun} | there is no {mass} to find beside the {noun} |
    {who} {have} {a} {adj} song about the {noun} | all men must {do}, and {adj} grows the {noun} |
    {who} {have} to {do} tonight beside the {noun} | the {state} will {do} before they find the {noun} |
    {who} {have} dreamt of {mass} and of the {noun} | the fools may {do}, the wise will keep the {noun} |
    no {mass} can buy the {adj}, {adj} {noun} | {who} {have} no {mass}, and we have the {noun} |
    who does not {do} will never see the {noun} | farewell to {mass}, farewell to the {noun}"""
)
