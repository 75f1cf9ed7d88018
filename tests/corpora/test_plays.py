"""The corpus of plays: built twice alike, no speech twice, sound English, and people who are on stage."""

import collections
import json
import os
import re
import subprocess
import sys

import pytest

from tasks.corpora import plays, plays_words


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """{split: [scene]} as TFDS stores it."""
    builder = plays.Plays(data_dir=tmp_path_factory.mktemp("once"))
    builder.download_and_prepare()
    assert list(builder.info.features) == ["text"]
    splits = builder.as_dataset()
    return {split: [x["text"].decode() for x in splits[split].as_numpy_iterator()] for split in splits}


def scenes(corpus):
    return [scene for found in corpus.values() for scene in found]


def blocks(scene):
    return scene.strip().split("\n\n")


def speeches(scene):
    """[(speaker, text)]."""
    return [tuple(block.split(":\n", 1)) for block in blocks(scene) if re.match(r"[A-Z]+:\n", block)]


def sentences(corpus):
    """All sentences, on one line and in lower case, with the mark that ends them."""
    texts = [" ".join(text.split()).lower() for scene in scenes(corpus) for _, text in speeches(scene)]
    return [said for text in texts for said in re.findall(r"[^.!?]+[.!?]", text)]


def test_every_build_is_the_same_whatever_the_hash_seed(corpus):
    code = "import json; from tasks.corpora import plays; print(json.dumps(plays.write()))"
    found = json.loads(subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": "7"}))
    assert {split: sorted(texts) for split, texts in found.items()} == {s: sorted(texts) for s, texts in corpus.items()}


def test_sizes_and_characters(corpus):
    for split, size in {"train": 300_000, "validation": 15_000, "test": 30_000}.items():
        assert size <= sum(map(len, corpus[split])) < size + 5_000, split
    for scene in scenes(corpus):
        assert re.fullmatch(r"[\n -~]+", scene) and scene.endswith("\n")
        assert not re.search(r" \n|  |\n\n\n| [,.!?]|[{}_]|\d", scene), scene


def test_no_speech_occurs_twice(corpus):
    found = [text for scene in scenes(corpus) for _, text in speeches(scene)]
    assert len(found) > 1_500 and len(set(found)) == len(found)


def test_training_shows_nearly_all_words_of_the_other_splits(corpus):
    words = {split: set(re.findall(r"[a-z]+", " ".join(texts).lower())) for split, texts in corpus.items()}
    assert 800 < len(words["train"]) < 2_000
    for split in ("validation", "test"):
        assert len(words[split] - words["train"]) < 0.01 * len(words[split])


def test_scenes_have_the_parts_of_scenes(corpus):
    for scene in scenes(corpus):
        first, second, *rest = blocks(scene)
        assert re.fullmatch(r"SCENE: an? [a-z ]+, [a-z ]+\.", first)
        assert re.fullmatch(r"\[Enter [A-Z]+ and [A-Z]+\.\]", second)
        for block in rest[:-1]:
            assert re.fullmatch(r"\[(Enter|Exit) [A-Z]+\.\]|\[S?[Hh]e [a-z]+\.\]|[A-Z]+:\n[^\[\]]+", block), block
        assert rest[-1] == "[Exeunt.]"


def test_lines_are_verse(corpus):
    lines = [line for scene in scenes(corpus) for _, text in speeches(scene) for line in text.split("\n")]
    assert all(re.match("[A-Z]", line) and len(line) < 80 for line in lines)
    assert 25 < sum(map(len, lines)) / len(lines) < 45


def test_only_who_is_on_stage_speaks_and_nobody_twice_running(corpus):
    for scene in scenes(corpus):
        stage, before = set(), ""
        for block in blocks(scene)[1:]:
            if block.startswith(("[Enter", "[Exit")):
                names = set(re.findall("[A-Z]{2,}", block))
                assert names <= stage if "Exit" in block else not names & stage, block
                stage = stage - names if "Exit" in block else stage | names
            elif not block.startswith("["):
                speaker = block.split(":")[0]
                assert speaker in stage and speaker != before
                before = speaker
            elif block != "[Exeunt.]":
                assert block.split()[0] == {"he": "[He", "she": "[She"}[plays.PEOPLE[before].person]


def test_who_is_asked_by_name_answers_with_the_same_auxiliary(corpus):
    by_name = answers = 0
    for scene in scenes(corpus):
        said = speeches(scene)
        for (_, text), (speaker, reply) in zip(said, said[1:], strict=False):
            question = re.search(r"([A-Z][^.!?]*)\?\Z", " ".join(text.split()))
            if not question:
                continue
            if named := re.search(r", ([A-Z][a-z]+)\Z", question[1]):
                assert speaker == named[1].upper()
                by_name += 1
            if asked := re.match("(Do|Did|Have|Will) you ", question[1]):
                flat = " ".join(reply.split()).lower()
                assert re.match(rf"(yes|no|indeed|yes, yes|alas, no), i {asked[1].lower()}( not)?[,.]", flat), reply
                assert ("no," in flat[:9]) == bool(re.match(r"[^.]*?, i \w+ not[,.]", flat)), reply
                answers += 1
            assert not question[1].startswith("Why ") or reply.startswith("Because "), reply
    assert by_name > 100 and answers > 100


def test_oaths_are_those_of_the_trade(corpus):
    found = collections.Counter()
    for scene in scenes(corpus):
        for speaker, text in speeches(scene):
            for oath, trade in (("By salt and tar!", "sailor"), ("By my pearls!", "queen"), ("By ink and fea", "poet")):
                if oath in " ".join(text.split()):
                    found[oath, plays.PEOPLE[speaker].trade == trade] += 1
    assert len(found) == 3 and all(right for _, right in found) and found.total() > 30


def rhyme(word):
    """The end of a word from its last vowel on, as it sounds: in one spelling."""
    sounds = {"key$": "kee", "ea$": "ee", "ead$": "ed", "ane$": "ain", "oan$": "one", "oe$": "ow", "o(o|a)r$": "ore"}
    for pattern, sound in {**sounds, "(eye|ie|(?<![aeo])y)$": "ai"}.items():
        word = re.sub(pattern, sound, word)
    return re.search(r"[aeiou]+y?[^aeiou]*e?$", word)[0]


def test_scenes_end_on_a_rhyme(corpus):
    for scene in scenes(corpus):
        first, second = (re.search(r"([a-z]+)[,.]$", line)[1] for line in speeches(scene)[-1][1].split("\n")[-2:])
        assert first != second and rhyme(first) == rhyme(second), (first, second)


# English, a second time: forms and agreement by other means than the grammar's.
SINGULAR = set(plays_words.NOUNS["person"]) | set(plays_words.NOUNS["animal"]) | set(plays_words.NOUNS["place"])
SINGULAR |= set(plays_words.NOUNS["thing"])
MASS = set(plays_words.NOUNS["mass"])
NAMES = {name.lower() for name in plays_words.PEOPLE}
BASES = {verb.base for verbs in plays_words.VERBS.values() for verb in verbs} - {"be"}
ODD = {"wife": "wives", "thief": "thieves", "knife": "knives", "loaf": "loaves", "wolf": "wolves", "calf": "calves"}
ODD |= {"mouse": "mice", "goose": "geese", "sheep": "sheep", "leaf": "leaves"}
ODD |= {"fisherman": "fishermen", "nobleman": "noblemen", "hangman": "hangmen"}


def in_s(word):
    """The -s form, by the schoolbook."""
    if word[-1] == "y" and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    sibilant = word[-1] in "sxz" or word[-2:] in ("ch", "sh")
    return word + "es" if sibilant or word in ("go", "do", "potato", "echo") else word + "s"


PLURAL = {ODD.get(noun, in_s(noun)) for noun in SINGULAR}
THIRDS = {"has" if base == "have" else in_s(base) for base in BASES}
BETWEEN = "never|always|often|seldom|still"
ONE = "a an this that every another"
SEVERAL = "these those two three some many all other"


def test_forms_of_words():
    assert {plays_words.plural(noun) for noun in SINGULAR} == PLURAL
    forms = {verb.base: verb for verbs in plays_words.VERBS.values() for verb in verbs}
    assert {verb.third for base, verb in forms.items() if base != "be"} == THIRDS
    for base, gerund in dict(swim="swimming", dance="dancing", see="seeing", pity="pitying", beg="begging").items():
        assert forms[base].gerund == gerund
    for base, past in dict(pity="pitied", obey="obeyed", drop="dropped", dance="danced", visit="visited").items():
        assert forms[base].past == past


def test_determiners_agree_with_their_noun(corpus):
    checked = 0
    adjectives = {word for words in plays_words.ADJECTIVES.values() for word in words}
    for said in sentences(corpus):
        words = re.findall("[a-z]+", said)
        for i, word in enumerate(words[:-1]):
            if word not in (ONE + " " + SEVERAL).split() or (word == "that" and words[i + 1] not in adjectives):
                continue
            rest = words[i + 1 :]
            while rest and rest[0] in adjectives and rest[0] not in SINGULAR:
                rest.pop(0)
            if not rest or rest[0] not in SINGULAR ^ PLURAL:
                continue
            assert rest[0] in (SINGULAR if word in ONE.split() else PLURAL), (word, rest[0], said)
            checked += 1
    assert checked > 2_000
    text = " ".join(sentences(corpus))
    assert not re.search(r"\ba (?!use|uni)[aeiou]|\ban (?![aeiou])|\ban use", text)


def verdict(subject, verb):
    """Whether a subject's number and a verb's form agree; None if the form tells nothing."""
    if verb in THIRDS | {"is", "was", "does", "has"}:
        return subject in ("one", "he") or (subject == "I" and verb == "was")
    if verb in BASES | {"are", "were", "do", "have"} and verb not in SINGULAR | PLURAL:
        return subject in ("many", "you") or (subject == "I" and verb not in ("are", "were"))
    return {"am": subject == "I"}.get(verb)


def test_verbs_agree_with_their_subject(corpus):
    """Pronouns, names, and nouns with a determiner at the head of a clause, some with "of the ..." or "who ..." ."""
    pasts = {verb.past for verbs in plays_words.VERBS.values() for verb in verbs}
    counts = collections.Counter()
    head = r"(?:^|, (?:and|but|for|yet) |\b(?:that|if|when|while|unless|because|before|though) |^[^,]*[a-z], )"
    pronouns = re.compile(
        rf"{head}(?P<who>i|you|he|she|it|we|they|{'|'.join(NAMES)}) (?:(?:{BETWEEN}) )?(?P<verb>[a-z]+)"
    )
    noun = "|".join(sorted(SINGULAR | PLURAL | MASS, key=len, reverse=True))
    det = "the|a|an|this|that|these|those|my|your|our|his|her|its|their|every|no|another|two|three|some|many|all|other"
    phrase = rf"(?:{det}) (?:[a-z]+ )??(?P<who>{noun})"
    of = rf"(?: (?:of|from) (?:{det}) (?:[a-z]+ )??(?:{noun}))?"
    nouns = re.compile(rf"{head}{phrase}{of} (?:(?:{BETWEEN}) )?(?P<verb>[a-z]+)")
    related = re.compile(rf"{phrase} who (?P<verb>[a-z]+)")
    for said in sentences(corpus):
        if said.endswith("?"):
            continue
        said = said.strip()
        for pattern, kind in ((pronouns, "pronoun"), (nouns, "noun"), (related, "who")):
            for match in pattern.finditer(said):
                who, verb = match["who"], match["verb"]
                if who == "sheep" or verb in pasts - {"was"}:
                    continue
                one = who in SINGULAR | MASS | NAMES | {"he", "she", "it"}
                subject = {"i": "I", "you": "you"}.get(who, "one" if one else "many")
                agrees = verdict(subject, verb)
                assert agrees is not False, (who, verb, said)
                counts[kind, bool(agrees)] += 1
    assert counts["pronoun", True] > 500 and counts["noun", True] > 500 and counts["who", True] > 100, counts


def test_auxiliaries_take_the_right_form(corpus):
    text = " ".join(said for said in sentences(corpus) if said[-1] in ".!")
    verbs = {verb for verbs in plays_words.VERBS.values() for verb in verbs}
    gap, counts = rf"(?:(?:not|{BETWEEN}) )*", collections.Counter()
    for match in re.finditer(rf"\b(will|must|cannot|do not|does not|did not) {gap}(?!not)([a-z]+)", text):
        assert match[2] in BASES | {"be"}, match[0]
        counts[match[1]] += 1
    for match in re.finditer(rf"\b(?:we|they) have {gap}([a-z]+)", text):
        counts["have"] += match[1] in {verb.participle for verb in verbs}
    for match in re.finditer(r"\b(?:am|is|are) (?:not )?([a-z]+ing)\b", text):
        assert match[1] not in {"loving", "knowing", "having", "wanting", "needing", "hating"}, match[0]
        counts["be"] += 1
    assert min(counts.values()) > 10 and len(counts) == 8, counts
    assert not re.search(r"\b(have|has) (not )?(saw|took|stole|sang|broke|hid|forgot|knew|fell|rose)\b", text)


def test_questions_have_a_base_form_after_do(corpus):
    counts = collections.Counter()
    for said in map(str.strip, sentences(corpus)):
        pattern = rf"(?:why )?(do|did|does|will) (you|he|she|they|{'|'.join(NAMES)}) ([a-z]+).*\?"
        if match := re.fullmatch(pattern, said):
            auxiliary, who, verb = match.groups()
            assert verb in BASES, said
            assert auxiliary in ("did", "will", "do" if who in ("you", "they") else "does"), said
            counts[auxiliary] += 1
    assert counts.total() > 300 and min(counts.values()) > 10, counts
