"""The corpus of translations: built twice alike, pairs of words held out, beyond memory, and right Portuguese."""

import collections
import itertools
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tasks.corpora import translations
from tasks.corpora.portuguese import (
    WHO,
    Clause,
    Phrase,
    ask,
    declare,
    finish,
    join,
    listing,
    noun_phrase,
    predicate,
    prepositional,
)
from tasks.corpora.translations import again


@pytest.fixture(scope="module")
def written():
    """{split: [(en, pt, pairs)]} as another process has it, whose sets are in another order."""
    code = "import json; from tasks.corpora import translations; print(json.dumps(translations.write()))"
    seed = {"PYTHONHASHSEED": "7"}
    return json.loads(subprocess.check_output([sys.executable, "-c", code], env={**os.environ, **seed}))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """{split: [(en, pt)]} as TFDS stores it."""
    builder = translations.Translations(data_dir=tmp_path_factory.mktemp("once"))
    builder.download_and_prepare()
    assert builder.info.supervised_keys == ("en", "pt")
    assert list(builder.info.features) == ["en", "pt"]
    splits = builder.as_dataset()
    read = lambda split: [(x["en"].decode(), x["pt"].decode()) for x in splits[split].as_numpy_iterator()]
    return {split: read(split) for split in splits}


def everything(corpus):
    return [pair for pairs in corpus.values() for pair in pairs]


def tokens(text):
    return re.findall(r"[\w'-]+", text.lower())


@pytest.mark.slow
def test_every_build_is_the_same_whatever_the_hash_seed(corpus, written):
    for split in corpus:
        assert sorted(corpus[split]) == sorted((en, pt) for en, pt, _ in written[split])


def test_sizes_and_no_sentence_twice(corpus):
    assert {split: len(pairs) for split, pairs in corpus.items()} == translations.SIZES
    sentences = [en for en, _ in everything(corpus)]
    assert len(set(sentences)) == len(sentences)
    assert translations.DEMO not in sentences


def test_every_length_is_there(corpus):
    for split, pairs in corpus.items():
        lengths = [len(en.split()) for en, _ in pairs]
        assert min(lengths) >= 3 and max(lengths) <= 25
        buckets = collections.Counter(min((length - 1) // 5, 4) for length in lengths)
        assert all(buckets[i] > 0.08 * len(pairs) for i in range(5)), (split, buckets)


def test_sentences_are_well_formed(corpus):
    for en, pt in everything(corpus):
        for text in (en, pt):
            assert re.fullmatch(r"[A-ZÀ-Ú][\w' ,-]*\w[.?]", text), text
            assert not re.search(r"  | ,|,\S|_|\d", text), text
        assert en[-1] == pt[-1], (en, pt)
        assert not re.search(r"\b[Aa] [aeiou]|\b[Aa]n [^aeiou]|\bi\b|can not|'s's", en), en


def test_training_shows_every_word_of_the_other_splits(corpus):
    for side in (0, 1):
        words = {
            split: collections.Counter(word for pair in corpus[split] for word in tokens(pair[side]))
            for split in corpus
        }
        assert all(words["train"][word] >= 3 for word in words["test"] | words["validation"])


def test_pairs_of_words_are_held_out(written):
    pairs = {split: [set(map(tuple, pairs)) for *_, pairs in written[split]] for split in written}
    seen = {split: set.union(*pairs[split]) for split in pairs}
    assert all(sentence - seen["train"] - seen["validation"] for sentence in pairs["test"])
    assert all(sentence - seen["train"] - seen["test"] for sentence in pairs["validation"])
    assert len(seen["test"] - seen["train"]) > 100


ADJECTIVES = "red white black big small old new expensive cheap good clean dirty broken"
NOUNS = "book letter shirt hat shoe key pen phone bag table chair bed car house"
PLACES = "table chair bed box bag house school hospital museum hotel market park beach"


def test_training_does_not_even_show_held_out_words_side_by_side(corpus):
    """Read off the sentences alone: an adjective right before its noun, a preposition before its noun phrase."""
    places, shown = "|".join(PLACES.split()), collections.defaultdict(set)
    before = rf"\b(on|under|behind|near|in|at|to) (?:the|this|that|my|your|our|his|her|their|a) ({places})\b"
    beside = rf"\b({'|'.join(ADJECTIVES.split())}) ({'|'.join(NOUNS.split())})s?\b"
    for split, pairs in corpus.items():
        for en, _ in pairs:
            shown[split] |= {*re.findall(beside, en), *re.findall(before, en)}
    held = {pair for pair in shown["test"] if translations.home(*pair) == "test"}
    assert len(held) >= 10
    assert not held & (shown["train"] | shown["validation"])
    assert {translations.home(*pair) for pair in shown["train"]} == {"train"}


def nearest(train, test):
    """The translation of the training sentence that shares most words with each sentence (Jaccard)."""
    index = {word: i for i, word in enumerate({word for en, _ in train + test for word in tokens(en)})}
    bags = []
    for pairs in (train, test):
        bags.append(np.zeros((len(pairs), len(index)), np.float32))
        for row, (en, _) in zip(bags[-1], pairs, strict=True):
            row[[index[word] for word in tokens(en)]] = 1
    shared = bags[1] @ bags[0].T
    union = bags[1].sum(1)[:, None] + bags[0].sum(1) - shared
    return [train[i][1] for i in (shared / union).argmax(1)]


def glossary(train):
    """{English word: the Portuguese one that keeps it company most faithfully} (Dice)."""
    en, pt, both = collections.Counter(), collections.Counter(), collections.Counter()
    for source, target in train:
        source, target = set(tokens(source)), set(tokens(target))
        en.update(source), pt.update(target), both.update((a, b) for a in source for b in target)
    best = {}
    for (a, b), count in both.items():
        best[a] = max(best.get(a, (0, "")), (2 * count / (en[a] + pt[b]), b))
    return {word: translation for word, (_, translation) in best.items()}


def test_neither_memory_nor_a_dictionary_solves_it(corpus):
    train, test = corpus["train"], corpus["test"]
    right = sum(guess == pt for guess, (_, pt) in zip(nearest(train, test), test, strict=True))
    assert right < 0.05 * len(test)
    words = glossary(train)
    assert words["book"] == "livro" and words["house"] == "casa"
    assert sum([words[word] for word in tokens(en)] == tokens(pt) for en, pt in test) < 0.05 * len(test)


# What follows is checked against Portuguese as it is written, not against the grammar's tables.
PREPOSITION = re.compile("(on|in|at|from|by|with|to|near) (.+)")


def part(text, who=None):
    """'these small *key' -> a phrase, its noun in the plural; 'at the beach'; or both sides: 'tired/cansado'."""
    if isinstance(text, Phrase) or text in WHO:
        return WHO.get(text, text)
    if found := PREPOSITION.fullmatch(text):
        return prepositional(found[1], part(found[2]))
    if "/" in text:
        en, pt = text.split("/")
        return predicate(en, pt, who) if who else Phrase(en, pt)
    det, *adjectives, noun = text.split()
    return noun_phrase(det.strip("-").replace("_", " "), noun.strip("*").replace("_", " "), noun[0] == "*", adjectives)


def clause(who, verb, *rest):
    """The verb may have a tense, 'go to:past', and 'not'; what is said of ser and estar agrees."""
    who, (verb, *tense) = part(who), verb.removesuffix(":not").split(":")
    parts = (part(text, who if verb in ("ser", "estar") else None) for text in rest)
    return Clause(who, verb, *tense or ["present"], join(Phrase(), *parts))


def told(*parts):
    return finish(declare(clause(*parts)._replace(negated=parts[1].endswith(":not"))))


def asked(word, *parts):
    word = part(word)._replace(noun="") if word else Phrase()
    return finish(ask(clause(*parts), word, inverted=word.en == "where"), "?")


EXAMPLES = """
The book is on the table. = O livro está em cima da mesa. = the book | estar | on the table
The old house is near the beach. = A casa velha fica perto da praia. = the old house | ficar | near the beach
I am hungry. = Estou com fome. = I | estar com | hungry/fome
The girls were thirsty. = As meninas estavam com sede. = the *girl | estar com:past | thirsty/sede
This soup is cold. = Esta sopa está fria. = this soup | estar | cold/frio
The windows are open. = As janelas estão abertas. = the *window | estar | open/aberto
These hotels are cheap. = Estes hotéis são baratos. = these *hotel | ser | cheap/barato
I am twenty years old. = Tenho vinte anos. = I | ter | twenty years old/vinte anos
I was ten years old. = Eu tinha dez anos. = I | ter:past | ten years old/dez anos
We live in Brazil. = Moramos no Brasil. = we | live in | - Brazil
They lived in Portugal. = Eles moravam em Portugal. = they | live in:past | - Portugal
She is from the United States. = Ela é dos Estados Unidos. = she | ser | from - the_United_States
My sister is a doctor. = A minha irmã é médica. = my sister | ser | a doctor/médico
The women were teachers. = As mulheres eram professoras. = the *woman | ser:past | teachers/professor
There is a key in that box. = Há uma chave naquela caixa. = there/ | haver | a key | in that box
I like books. = Gosto de livros. = I | like | - *book
We liked these red keys. = Gostávamos destas chaves vermelhas. = we | like:past | these red *key
The boy does not like her. = O menino não gosta dela. = the boy | like:not | her/ela
Ana thinks about him. = Ana pensa nele. = Ana | think about | him/ele
You worked with me. = Você trabalhou comigo. = you | work:past | with me/mim
They are running with us. = Eles estão correndo conosco. = they | run:now | with us/nós
Maria will travel to France. = Maria vai viajar para a França. = Maria | travel to:will | - France
The children will go to the beach. = As crianças vão à praia. = the *child | go to:will | the beach
He went to that market. = Ele foi àquele mercado. = he | go to:past | that market
We returned to the hotels. = Voltamos aos hotéis. = we | return to:past | the *hotel
My new car was sold by him. = O meu novo carro foi vendido por ele. = my new car | sell:passive | by him/ele
Two beds were painted by the men. = Duas camas foram pintadas pelos homens. = two *bed | paint:passive | by the *man
Did the man read his letter? = O homem leu a carta dele? = | the man | read:past | his letter
Is there a cup on this chair? = Há uma xícara em cima desta cadeira? = | there/ | haver | a cup | on this chair
Does she write letters? = Ela escreve cartas? = | she | write | - *letter
Which shirts did you wash? = Quais camisas você lavou? = which *shirt | you | wash:past
How many apples did João eat? = Quantas maçãs João comeu? = how_many *apple | João | eat:past
Where is the hospital? = Onde fica o hospital? = where/onde | the hospital | ficar
Where are my shoes? = Onde estão os meus sapatos? = where/onde | my *shoe | estar
When will Pedro watch the movie? = Quando Pedro vai assistir ao filme? = when/quando | Pedro | watch:will | the movie
Why are they busy? = Por que eles estão ocupados? = why/por que | they | estar | busy/ocupado
You cannot open this box. = Você não pode abrir esta caixa. = you | open:can:not | this box
I played football. = Joguei futebol. = I | play football:past
Many men knew our city. = Muitos homens conheciam a nossa cidade. = many *man | know:past | our city
I see two big red boxes. = Vejo duas caixas vermelhas grandes. = I | see | two big red *box
She has a beautiful dress. = Ela tem um belo vestido. = she | have | a beautiful dress
I found five oranges. = Encontrei cinco laranjas. = I | find:past | five *orange
I gave a pen to the boy. = Dei uma caneta ao menino. = I | give:past | a pen | to the boy
"""


@pytest.mark.parametrize("example", EXAMPLES.strip().splitlines())
def test_examples(example):
    en, pt, parts = example.split(" = ")
    written = (asked if en[-1] == "?" else told)(*(part.strip() for part in parts.split("|")))
    assert written == (en, pt)


def test_phrases_within_phrases():
    silent = Phrase()
    infinitive = declare(clause(silent, "buy:infinitive", "a orange"))
    assert told("he", "have to", infinitive) == ("He has to buy an orange.", "Ele tem que comprar uma laranja.")
    cat = join(part("the cat"), Phrase("that", "que"), declare(clause("I", "see:past")))
    assert told(cat, "ser:past", "old/velho") == ("The cat that I saw was old.", "O gato que vi era velho.")
    girl = join(part("a girl"), Phrase("who", "que"), declare(clause(silent, "have", "a cat")))
    assert told("I", "know", girl) == ("I know a girl who has a cat.", "Conheço uma menina que tem um gato.")
    need = listing(part("the key"), part("some *pen"), after="de")
    assert told("she", "need", need)[1] == "Ela precisa da chave e de algumas canetas."
    cats = noun_phrase(WHO["Ana"], "cat", True)
    assert told(cats, "sleep:now") == ("Ana's cats are sleeping.", "Os gatos de Ana estão dormindo.")
    hats = noun_phrase(part("my sister"), "hat", True)
    assert told(hats, "ser", "red/vermelho")[1] == "Os chapéus da minha irmã são vermelhos."
    women, both = listing(WHO["Ana"], WHO["Maria"]), listing(WHO["Ana"], WHO["Pedro"])
    assert told(women, "estar", "tired/cansado") == ("Ana and Maria are tired.", "Ana e Maria estão cansadas.")
    assert told(both, "estar", "tired/cansado") == ("Ana and Pedro are tired.", "Ana e Pedro estão cansados.")
    always = clause("I", "lose", "my hat")._replace(often=Phrase("always", "sempre"))
    assert finish(declare(always)) == ("I always lose my hat.", "Sempre perco o meu chapéu.")


@pytest.mark.parametrize(
    "who, pt",
    [
        ("the *girl", "As meninas compraram pão porque elas estavam com fome."),
        ("my sister", "A minha irmã comprou pão porque ela estava com fome."),
        ("the *boy", "Os meninos compraram pão porque eles estavam com fome."),
        ("I", "Comprei pão porque eu estava com fome."),
        ("we", "Compramos pão porque estávamos com fome."),
    ],
)
def test_a_pronoun_takes_up_the_subject(who, pt):
    reason = declare(clause(again(part(who)), "estar com:past", "hungry/fome"))
    assert finish(join(declare(clause(who, "buy:past", "- bread")), Phrase("because", "porque"), reason))[1] == pt


# Masculine, feminine, and both in the plural.
NOUN_FORMS = """pai - pais - | irmão irmã irmãos irmãs | menino menina meninos meninas | - criança - crianças |
    homem mulher homens mulheres | professor maçã professores maçãs | cachorro laranja cachorros laranjas |
    pão sopa - - | bolo carta bolos cartas | jornal revista jornais revistas | livro chave livros chaves |
    copo mesa copos mesas | vestido camisa vestidos camisas | telefone caneta telefones canetas |
    sapato xícara sapatos xícaras | - rua - ruas | chapéu caixa chapéus caixas | hospital bolsa hospitais bolsas |
    hotel cadeira hotéis cadeiras | - praia - praias | museu cama museus camas | carro bicicleta carros bicicletas |
    trem casa trens casas | jardim cozinha - - | mercado loja mercados lojas | parque estação parques estações |
    problema cidade problemas cidades"""
OUTER_FORMS = """o a os as | um uma - - | este esta estes estas | aquele aquela aqueles aquelas | - - dois duas |
    - - muitos muitas | - - alguns algumas | do da dos das | no na nos nas | ao à aos às | pelo pela pelos pelas |
    - - três três | - - cinco cinco | - - dez dez | neste nesta nestes nestas | naquele naquela naqueles naquelas"""
INNER_FORMS = """meu minha meus minhas | seu sua seus suas | nosso nossa nossos nossas | bom boa bons boas |
    novo nova novos novas | belo bela belos belas"""
BEHIND_FORMS = """vermelho vermelha vermelhos vermelhas | branco branca brancos brancas | preto preta pretos pretas |
    pequeno pequena pequenos pequenas | grande grande grandes grandes | caro cara caros caras | alto alta altos altas |
    velho velha velhos velhas | difícil difícil difíceis difíceis | feliz feliz felizes felizes"""


def test_what_stands_by_a_noun_agrees_with_it(corpus):
    read = lambda text: {(form, i) for row in text.split("|") for i, form in enumerate(row.split()) if form != "-"}
    nouns, agreeing = dict(read(NOUN_FORMS)), read(" | ".join((OUTER_FORMS, INNER_FORMS, BEHIND_FORMS)))
    outer, inner, behind = ({form for form, _ in read(text)} for text in (OUTER_FORMS, INNER_FORMS, BEHIND_FORMS))
    checked = 0
    for _, pt in everything(corpus):
        words = ["", *re.findall(r"[\w-]+|[,.?]", pt.lower())]
        for i, noun in ((i, word) for i, word in enumerate(words) if word in nouns):
            beside = [*itertools.takewhile(inner.__contains__, reversed(words[:i]))]
            beside += [word for word in (words[i - len(beside) - 1],) if word in outer]
            beside += itertools.takewhile(behind.__contains__, words[i + 1 :])
            assert all((word, nouns[noun]) in agreeing for word in beside), (beside, noun, pt)
            checked += len(beside)
    assert checked > 10_000


def test_contractions_subjects_and_negation(corpus):
    apart = r"\b(de|em|por) [oa]s?\b|\b(de|em) (est|aquel|el)[ea]s?\b|\ba ([oa]s?|aquel\w+)\b|com (mim|nós)\b"
    one, more = "é|está|foi|tem|vai|era|estava|gosta", "são|estão|foram|têm|vão|eram|estavam|gostam"
    for en, pt in everything(corpus):
        assert not re.search(apart, pt, re.I), pt
        assert not re.match(rf"(Os|As|Estes|Estas|Duas|Muitos) (meus |minhas )?\w+ (não )?({one})\b", pt), pt
        assert not re.match(rf"([OA]|Este|Esta|Uma?) (meu |minha )?\w+ (não )?({more})\b", pt), pt
        assert not re.search(r"\beu (não )?(estou|vou|tenho|gosto|moro)\b|\bnós (não )?\w+mos\b", pt, re.I), pt
        assert ("não" in pt.lower().split()) == bool(re.search(r"\bnot\b|cannot", en)), (en, pt)
