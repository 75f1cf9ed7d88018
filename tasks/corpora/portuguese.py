"""A little English and Brazilian Portuguese, both at once: words, their forms, phrases and clauses.

What `tasks.corpora.translations` writes its sentences with. Every function makes both sides of a `Phrase`; only
`finish` contracts what stands together (em + a = na).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

# Words. Irregular forms follow a stroke; the article of a noun tells its gender.
NOUNS = {
    "kin": "mother a mãe, father o pai, sister a irmã, brother o irmão/irmãos",
    "person": "boy o menino, girl a menina, man/men o homem, woman/women a mulher, child/children a criança",
    "job": "teacher o professor, doctor o médico, student o aluno",
    "friend": "friend o amigo",
    "animal": "dog o cachorro, cat o gato",
    "food": "apple a maçã, orange a laranja, cake o bolo",
    "meal": "bread o pão, cheese o queijo, meat a carne, soup a sopa",
    "drink": "coffee o café, milk o leite, water a água",
    "text": "book o livro, newspaper o jornal, magazine a revista, letter a carta",
    "clothes": "shirt a camisa, dress o vestido, hat o chapéu, shoe o sapato",
    "tool": "key a chave, phone o telefone, pen a caneta, cup a xícara, glass o copo",
    "case": "box a caixa, bag a bolsa",
    "furniture": "table a mesa, chair a cadeira, bed a cama",
    "vehicle": "car o carro, bicycle a bicicleta, bus o ônibus, train o trem",
    "room": "kitchen a cozinha, bedroom o quarto, garden o jardim",
    "home": "house a casa",
    "building": "school a escola, hospital o hospital, museum o museu, hotel o hotel",
    "shop": "market o mercado, store a loja, station a estação",
    "outdoors": "park o parque, street a rua, city a cidade, beach a praia",
    "opening": "door a porta, window a janela",
    "thought": "problem o problema, idea a ideia, question a pergunta",
    "show": "movie o filme, game o jogo",
    "town": """Brazil o Brasil, France a França, the_United_States os Estados_Unidos, Portugal - Portugal,
        Lisbon - Lisboa""",
}
GROUPS = {
    "human": "person job friend",
    "somebody": "kin human",
    "mass": "meal drink",
    "small": "text clothes tool food",
    "goods": "text clothes tool case furniture vehicle",
    "colored": "clothes case furniture vehicle opening home pen cup phone",
    "place": "home building shop outdoors",
    "public": "person place opening show",  # nobody's own
    "single": "mass room mother father",
    "at": "shop building beach",
}
QUALITIES = {  # ser
    "colored": "red vermelho, white branco, black preto",
    "animal case furniture vehicle room place opening food": "big grande, small pequeno",
    "clothes furniture vehicle text tool home building": "old velho, new novo",
    "clothes furniture vehicle text tool hotel": "expensive caro, cheap barato",
    "clothes animal place": "beautiful belo",
    "text show thought hotel food mass": "good bom",
    "text show thought": "interesting interessante, difficult difícil",
    "human": "tall alto, intelligent inteligente",
}
CONDITIONS = {  # estar
    "human animal": "tired cansado, sick doente",
    "human": "happy feliz, busy ocupado",
    "clothes vehicle room tool opening": "clean limpo, dirty sujo",
    "furniture vehicle cup glass phone window": "broken quebrado",
    "opening shop case": "open aberto, closed fechado",
    "soup coffee milk water": "hot quente, cold frio",
}
COLORS, BEFORE = ("red", "white", "black"), ("good", "new", "beautiful")
FEELINGS = "hungry = fome | thirsty = sede | sleepy = sono | afraid = medo | cold = frio"
# A verb, its Portuguese, its objects, where; d: they are direct, h: it may be a habit, n: it lasts, s: it is a state.
VERBS = """read/read = ler : text : room outdoors : dhn | write/wrote/written = escrever : book letter : room : dhn |
    buy/bought = comprar : goods food mass : shop town : dh | sell/sold = vender : goods : shop outdoors town : dh |
    eat/ate/eaten = comer : food meal : room outdoors : dhn | drink/drank/drunk = beber : drink : room : dhn |
    see/saw/seen = ver : somebody animal vehicle : outdoors shop : dh | lose/lost = perder : tool clothes : place : d |
    find/found = encontrar : small animal : place : d | open = abrir : opening case :: dh |
    close = fechar : opening case :: dh | clean = limpar : room furniture opening :: hn |
    wash = lavar : clothes vehicle cup glass :: dhn | paint = pintar : home building opening furniture :: dn |
    make/made = fazer : cake soup coffee bread :: dhn | look for = procurar : tool clothes somebody animal : place : n |
    wait for = esperar : somebody bus train : shop : hn | help = ajudar : somebody : room shop : hn |
    visit = visitar : somebody museum town :: h | think/thought about = pensar em : thought somebody :: hn |
    talk to = falar com : somebody : place : hn | go/went/gone to = ir a : shop outdoors building :: hn |
    travel to = viajar para : town :: hn | return to = voltar a : building shop outdoors town :: h |
    watch = assistir a : show : room : hn | give/gave/given = dar : small : to : dh |
    sleep/slept = dormir :: bedroom hotel garden : hn | work = trabalhar :: building shop town : hn |
    run/ran/run = correr :: outdoors garden : hn | play football = jogar futebol :: outdoors school : hn |
    like = gostar de : goods mass somebody animal show home town :: s | want = querer : goods mass animal :: s |
    need = precisar de : tool clothes vehicle job mass :: s | have/had = ter : goods animal thought :: s |
    know/knew/known = conhecer : somebody building town book :: s | live in = morar em : town home hotel city :: s"""
INTENTIONS = "want to = querer | need to = precisar | have/had to = ter que"
PREPOSITIONS = """in = em | at = em | on = em cima de | under = embaixo de | behind = atrás de | near = perto de |
    in front of = na frente de | with = com | from = de | to = a | by = por"""
SITES = {  # what may be where
    "small case": "on under = furniture | in = case room",
    "animal": "on under behind = furniture | in = room | near = home building outdoors",
    "somebody": "at = building shop | in = room | near in_front_of behind = home building shop",
    "furniture": "in = room | near = opening furniture",
    "vehicle": "in_front_of behind near = home building shop",
    "place": "near = building shop outdoors | behind in_front_of = building | in = town",
}
TIMES = {
    "past": "yesterday = ontem | last week = na semana passada",
    "present": "every day = todos os dias | at night = à noite",
    "will": "tomorrow = amanhã | on Saturday = no sábado",
    "now": "now = agora",
}
OFTEN = "always = sempre | never = nunca"
REPORTS = "I think that = acho que | I know that = sei que"
DETERMINERS = """= | the = o | a = um | this = este | these = este | that = aquele | those = aquele | my = o meu |
    our = o nosso | your = o seu | many = muito | some = algum | which = qual | how many = quanto"""
NUMERALS = "two = dois | three = três | five = cinco | ten = dez | twenty = vinte"
ROLES = {  # determiners of one thing and of several: of what is known, of any, of what is new
    "known": ("the the the this that", "the the these those"),
    "any": ("the the a a a this that", "the these two three five ten many some"),
    "new": ("a", "two three five ten many some"),
}
PRONOUNS = """I = eu : me : mim | you = você : you : você | he = ele : him : ele | she = ela : her : ela |
    we = nós : us : nós | they = eles : them : eles"""
NAMES = "Ana = f | Maria = f | Pedro = m | João = m"

# Their forms.
CONJUGATION = {  # I, he, we and they of the present, the past and the imperfect; gerund; participle
    "-ar": "o/a/amos/am ei/ou/amos/aram ava/ava/ávamos/avam ando ado",
    "-er": "o/e/emos/em i/eu/emos/eram ia/ia/íamos/iam endo ido",
    "-ir": "o/e/imos/em i/iu/imos/iram ia/ia/íamos/iam indo ido",
    "ser": "sou/é/somos/são fui/foi/fomos/foram era/era/éramos/eram",
    "estar": "estou/está/estamos/estão",
    "haver": "há/há/há/há - havia/havia/havia/havia",
    "ter": "tenho/tem/temos/têm - tinha/tinha/tínhamos/tinham",
    "ir": "vou/vai/vamos/vão fui/foi/fomos/foram",
    "ver": "vejo/vê/vemos/veem vi/viu/vimos/viram - - visto",
    "ler": "leio/lê/lemos/leem",
    "dar": "dou/dá/damos/dão dei/deu/demos/deram",
    "fazer": "faço/faz/fazemos/fazem fiz/fez/fizemos/fizeram - - feito",
    "poder": "posso/pode/podemos/podem",
    "querer": "quero/quer/queremos/querem",
    "perder": "perco/perde/perdemos/perdem",
    "dormir": "durmo/dorme/dormimos/dormem",
    "abrir": "- - - - aberto",
    "escrever": "- - - - escrito",
}
SPELLING = {  # what an ending makes of a word: the first rule that fits
    "s": r"(s|x|ch|sh|[^aeiou]o)$>\1es ([^aeiou])y$>\1ies have$>has $>s",
    "ed": "e$>ed $>ed",
    "ing": r"e$>ing ^([^aeiou]*[aeiou])([^aeiouwxy])$>\1\2\2ing $>ing",
    "f": r"\b(u|algu)m$>\1ma dois$>duas cinco$>cinco (est|aquel)e$>\1a meu$>minha seu$>sua bom$>boa "
    r"([st])or$>\1ora o$>a $>",
    "plural": r"ão$>ões m$>ns ([aou])l$>\1is el$>éis il$>eis ([rz])$>\1es ([^s])$>\1s $>",
    "-ar": r"c[+]e>que g[+]e>gue [+]>",
    "-er": r"c[+]o>ço [+]>",
    "-ir": r"[+]>",
}
CONTRACTIONS = r"""\bde\s(?=([oa]s?|(est|aquel|el)[ea]s?)\b)>d \bem\s(?=([oa]s?|(est|aquel|el)[ea]s?)\b)>n
    \bpor\s(?=[oa]s?\b)>pel \ba\sa(?=s?\b|quel)>à \ba\s(?=os?\b)>a \bcom\smim\b>comigo \bcom\snós\b>conosco"""
TENSES = {  # those with an auxiliary: that and the form behind it, in both languages
    "now": ("am", "ing", "estar", "present", "gerund"),
    "then": ("was", "ing", "estar", "imperfect", "gerund"),
    "passive": ("was", "participle", "ser", "past", "participle"),
    "will": ("will", "", "ir", "present", "infinitive"),
    "can": ("can", "", "poder", "present", "infinitive"),
}
PERSONS = {"I": "am was do", "you": "are were do", "he": "is was does", "we": "are were do", "they": "are were do"}


class Phrase(NamedTuple):
    """The same in both languages, and what other words agree with."""

    en: str = ""
    pt: str = ""
    gender: str = "m"
    person: str = "he"  # its English pronoun: I, you, he (of either gender), we or they
    noun: str = ""  # its head, in English and singular


NOTHING = Phrase()


class Noun(NamedTuple):
    """Its forms are singular and plural."""

    kind: str
    gender: str
    en: tuple[str, str]
    pt: tuple[str, str]


class Clause(NamedTuple):
    """What is said of a subject; the tense is of TENSES, or present, past or infinitive."""

    subject: Phrase
    verb: str  # of VERBS or INTENTIONS, or "to be" in Portuguese
    tense: str
    rest: Phrase = NOTHING
    negated: bool = False
    often: Phrase = NOTHING


@functools.cache
def rows(text: str) -> dict[str, list[str]]:
    """'a/b = c : d | e = f', over several lines perhaps -> {'a': ['a/b', 'c', 'd'], 'e': ['e', 'f']}"""
    fields = ([" ".join(field.split()) for field in re.split("[=:]", row)] for row in text.split("|"))
    return {re.sub(r"/\S+", "", row[0]): row for row in fields}


def words(text: str) -> list[list[str]]:
    """'key a chave, the_map o mapa' -> [['key', 'a', 'chave'], ['the map', 'o', 'mapa']]"""
    return [[word.replace("_", " ") for word in entry.split()] for entry in text.split(",")]


@functools.cache
def nouns(kinds: str) -> tuple[str, ...]:
    """'animal house' -> ('dog', 'cat', 'house')"""
    parts = (nouns(GROUPS[kind]) if kind in GROUPS else OF_KIND.get(kind, (kind,)) for kind in kinds.split())
    return sum(parts, ())


# Forms of words.
@functools.cache
def spell(word: str, ending: str) -> str:
    """story, s -> stories; run, ing -> running; bom, f -> boa; jardim, plural -> jardins"""
    rules = (rule.split(">") for rule in SPELLING[ending].split())
    old, new = next(rule for rule in rules if re.search(rule[0], word))
    return re.sub(old, new, word, count=1)


def agree(word: str, gender: str, several: bool = False) -> str:
    """novo -> novas, professor -> professora, verde -> verde"""
    word = spell(word, "f") if gender == "f" else word
    return spell(word, "plural") if several else word


def conjugate(verb: str, tense: str, person: str = "I") -> str:
    """ler, present, we -> lemos; jogar, past, I -> joguei; comer, gerund -> comendo"""
    if tense == "infinitive":
        return verb
    i = ("present", "past", "imperfect", "gerund", "participle").index(tense)
    own, group = CONJUGATION.get(verb, "").split()[i:][:1], f"-{verb[-2:]}"
    regular = not own or own == ["-"]
    forms = (CONJUGATION[group].split()[i] if regular else own[0]).split("/")
    form = forms[{"I": 0, "we": 2, "they": 3}.get(person, 1) % len(forms)]
    return spell(f"{verb[:-2]}+{form}", group) if regular else form


def noun(kind: str, en: str, article: str, pt: str) -> Noun:
    """'person', 'man/men', 'o', 'homem'; towns keep their article."""
    both = lambda word, ending: (*word.split("/"), spell(word, ending))[:2]
    pt = f"{article} {pt}".removeprefix("- ") if kind == "town" else pt
    return Noun(kind, "f" if article == "a" else "m", both(en, "s"), both(pt, "plural"))


NOUN = {entry.en[0]: entry for kind, text in NOUNS.items() for entry in (noun(kind, *word) for word in words(text))}
OF_KIND = {kind: tuple(word for word in NOUN if NOUN[word].kind == kind) for kind in NOUNS}
BE = {pt: ["be", pt, "", "", "s"] for pt in ("ser", "estar", "estar com", "ficar", "ter", "haver")}
VERB = rows(VERBS) | {en: [*row, "", "", "s"] for en, row in rows(INTENTIONS).items()} | BE
ADJECTIVE = {en: (pt, kinds, "ser") for kinds, text in QUALITIES.items() for en, pt in words(text)}
ADJECTIVE |= {en: (pt, kinds, "estar") for kinds, text in CONDITIONS.items() for en, pt in words(text)}
WHO = {en: Phrase(en, pt, "m", en) for en, pt, *_ in rows(PRONOUNS).values()}
WHO |= {"she": Phrase("she", "ela", "f")} | {name: Phrase(name, name, gender) for name, gender in rows(NAMES).values()}
OWNERS = {"his": Phrase("his", "ele"), "her": Phrase("her", "ela"), "their": Phrase("their", "eles")}


@functools.cache
def fitting(noun: str) -> tuple[str, ...]:
    """What a noun may be."""
    return tuple(word for word, (_, kinds, _) in ADJECTIVE.items() if noun in nouns(kinds))


@functools.cache
def handling(noun: str) -> tuple[str, ...]:
    """What may be done to it."""
    return tuple(verb for verb, (_, _, kinds, _, flags) in VERB.items() if "d" in flags and noun in nouns(kinds))


@functools.cache
def able(flags: str) -> tuple[str, ...]:
    """Verbs with one of some flags."""
    return tuple(verb for verb in rows(VERBS) if set(flags) & set(VERB[verb][4]))


# The grammar: both sides at once.
def join(*phrases: Phrase) -> Phrase:
    """One after the other; the first one leads."""
    en, pt = (" ".join(filter(None, side)) for side in zip(*(phrase[:2] for phrase in phrases), strict=True))
    return phrases[0]._replace(en=en, pt=pt)


def listing(*phrases: Phrase, after: str = "") -> Phrase:
    """a, b and c -> a, b e c; or, after 'de', a, de b e de c. Only women together are women."""
    if len(phrases) == 1:
        return phrases[0]
    en, pt = zip(*(phrase[:2] for phrase in phrases), strict=True)
    pt = [pt[0], *(f"{after} {phrase}".strip() for phrase in pt[1:])]
    gender = "f" if all(phrase.gender == "f" for phrase in phrases) else "m"
    sides = (f"{', '.join(side[:-1])} {also} {side[-1]}" for side, also in ((en, "and"), (pt, "e")))
    return Phrase(*sides, gender, "they")


def noun_phrase(det: str | Phrase, noun: str, several: bool = False, adjectives: Sequence[str] = ()) -> Phrase:
    """'these', 'key', True, ('small', 'red') -> these small red keys, estas chaves vermelhas pequenas.

    `det` is of DETERMINERS, NUMERALS or OWNERS, or whoever owns it.
    """
    _, gender, en, pt = NOUN[noun]
    owner = OWNERS.get(det) or (det._replace(en=f"{det.en}'s") if isinstance(det, Phrase) else None)
    fit = lambda text: agree(text, gender, several)
    if det in rows(NUMERALS):
        first = [agree(rows(NUMERALS)[det][1], gender)]
    else:
        first = map(fit, ("o" if owner else rows(DETERMINERS)[det][1]).split())
    before = [fit(ADJECTIVE[word][0]) for word in adjectives if word in BEFORE]
    behind = [fit(ADJECTIVE[word][0]) for word in reversed(adjectives) if word not in BEFORE]
    en = " ".join(filter(None, [owner.en if owner else det, *adjectives, en[several]]))
    pt = " ".join(filter(None, [*first, *before, pt[several], *behind, f"de {owner.pt}" if owner else ""]))
    return Phrase(en, pt, gender, "they" if several else "he", noun)


def prepositional(preposition: str, phrase: Phrase) -> Phrase:
    return join(Phrase(*rows(PREPOSITIONS)[preposition]), phrase)


def predicate(en: str, pt: str, subject: Phrase) -> Phrase:
    """What a subject is: tired, cansada."""
    return Phrase(en, agree(pt, subject.gender, subject.person in ("we", "they")))


def english(clause: Clause, asked: bool = False) -> str:
    """The English side; if asked, the auxiliary comes first."""
    subject, verb, tense, rest, negated, often = clause
    (forms, *particle), third = VERB[verb][0].split(), subject.person == "he"
    base, *irregular = forms.split("/")
    past, *participle = irregular or [spell(base, "ed")]
    if tense in TENSES:
        first, form = TENSES[tense][:2]
        main = {"ing": spell(base, "ing"), "participle": (participle or [past])[0]}.get(form, base)
    elif base == "be":
        first, main = {"present": "am", "past": "was"}[tense], ""
    elif tense != "infinitive" and (asked or negated):
        first, main = {"present": "do", "past": "did"}[tense], base
    else:
        first, main = "", {"past": past, "present": spell(base, "s") if third else base}.get(tense, base)
    if first in ("am", "was", "do"):
        first = PERSONS[subject.person].split()[("am", "was", "do").index(first)]
    head = [first, subject.en] if asked else [subject.en, first]
    return " ".join(filter(None, [*head, "not" * negated, often.en, main, *particle, rest.en]))


def portuguese(clause: Clause, inverted: bool = False) -> str:
    """The Portuguese side, not yet contracted; if inverted, the subject is behind the verb."""
    subject, verb, tense, rest, negated, often = clause
    (infinitive, *after), flags = VERB[verb][1].split(), VERB[verb][4]
    simple = (infinitive, "imperfect" if tense == "past" and "s" in flags else tense, "")
    auxiliary, own, form = TENSES[tense][2:] if tense in TENSES else simple
    first = conjugate(auxiliary, own, subject.person)
    main = conjugate(infinitive, form) if form and infinitive != auxiliary else ""
    if form == "participle":
        main = predicate("", main, subject).pt
    told = subject.pt in ("eu", "nós") and first != conjugate(auxiliary, own, "he")
    head = [first, subject.pt] if inverted else ["" if told else subject.pt, "não" * negated, often.pt, first, main]
    return " ".join(filter(None, [*head, *after, rest.pt]))


def declare(clause: Clause) -> Phrase:
    return Phrase(english(clause), portuguese(clause))


def ask(clause: Clause, word: Phrase = NOTHING, inverted: bool = False) -> Phrase:
    """A question, after a word like 'where' perhaps."""
    return join(word, Phrase(english(clause, asked=True), portuguese(clause, inverted)))


def finish(said: Phrase, mark: str = ".") -> tuple[str, str]:
    """Both sides as they are written."""
    en, pt = re.sub(r"\ba(?= [aeiou])", "an", said.en).replace("can not", "cannot"), said.pt
    for rule in CONTRACTIONS.split():
        pt = re.sub(*rule.split(">"), pt)
    return tuple(text[0].upper() + text[1:] + mark for text in (en, pt))
