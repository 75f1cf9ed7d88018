"""Entities: a corpus of English sentences whose persons, places, organisations and dates cannot be looked up.

A template grammar writes the sentences, so the corpus needs no download and is the same on every machine. A rule is
a list of options with slots. A slot with a type is an entity, whatever it is made of; the rest is none:

    "{PER:full} is a {job} at the {ORG:of} ."    where `of` is "University of {plain}", and `plain` a town

A list of names does not solve it, for three reasons:

    held out    each name word belongs to one split (`home`), so the names of the test split are new to a reader of
                the others; how they are made ("-ville", "-ov", "& Sons") and where they stand is all there is to go by
    ambiguous   Lincoln is a person, a town or a club; names double as words (Will, May, Mark, Rose), above all at the
                head of a sentence, where everything has a capital; a place that plays a match is an organisation
    look-alike  titles and nationalities have capitals, prices and rooms have four digits, and are nothing; headlines
                are all capitals, some sentences have none, and entities may stand side by side ("Porto Portugal")

Tokens are as in the Penn Treebank, tags are IOB2. A date is what points at a day or a longer stretch of the calendar,
by name, by number or from today ("last Tuesday", "next spring", "tomorrow", "the 3rd of June", "the 1990s"), with the
words "last", "next", "this" and "the" that belong to it. Prepositions are outside; so are the titles and articles of
other names ("Dr. Silva", "the University of Lisbon"). Times of day, ages, durations and bare seasons are no dates.
"""

from __future__ import annotations

import itertools
import random
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow_datasets as tfds

SEED = 2024
SIZES = {"train": 3_000, "validation": 400, "test": 800}
HOMES = 7 * ("train",) + ("validation",) + 2 * ("test",)  # names are shared out about as the sentences are
SALT = 3211  # this one shares small tables fairly, and leaves the names of DEMO to the test split
LENGTHS = range(3, 41)  # of a sentence, in tokens
TYPES = ("PER", "LOC", "ORG", "DATE")
TAGS = ("O", *(f"{prefix}-{kind}" for kind in TYPES for prefix in "BI"))
DEMO = "Lucas Ferreira is a professor at UFV"  # the example of the demo: it could be written, and is kept out
LOWER, BARE = 0.055, 0.1  # shares of sentences all in lower case, and of those that lose their full stop


def options(text: str) -> tuple[str, ...]:
    """'a | 2 * b | 08..10', over several lines perhaps -> ('a', 'b', 'b', '08', '09', '10')."""
    found = []
    for option in (" ".join(part.split()) for part in text.split("|")):
        times, option, first, last = re.fullmatch(r"(?:(\d) \* )?((\d+)\.\.(\d+)|.*)", option).groups()
        some = [str(i).zfill(len(first)) for i in range(int(first), int(last) + 1)] if first else [option]
        found += some * int(times or 1)
    return tuple(found)


def names(text: str) -> tuple[str, ...]:
    """'Lima New_York | Lind Sand + gren holm' -> ('Lima', 'New York', 'Lindgren', 'Lindholm', 'Sandgren', ...)."""
    parts = [[half.split() for half in part.split("+")] for part in text.split("|")]
    made = (a + b for stems, *ends in parts for a in stems for b in (ends[0] if ends else [""]) if a.lower() != b)
    return tuple(name.replace("_", " ") for name in made)


NAMES = {  # shared out by `home`
    "given": """Lucas Ana Bruno João Beatriz Thiago Camila Rafael Inês Mariana Diego Lucía Javier Carmen Pablo Marta
        Álvaro Elena Miguel Pilar Andrés Marco Giulia Chiara Matteo Francesca Paolo Pierre Amélie Julien Antoine Hélène
        Étienne Claire Hans Greta Jürgen Klaus Stefan Pieter Anneke Femke Willem Lars Ingrid Bjørn Astrid Signe Liv
        Jukka Ivan Olga Dmitri Sergei Svetlana Yuri Tatiana Piotr Agnieszka Zofia Jan Zoltán László Milan Jelena Goran
        Nikos Eleni Sofia Mehmet Ayşe Elif Omar Fatima Yusuf Layla Hassan Khalid Noor David Miriam Yael Reza Shirin
        Arjun Priya Rahul Ananya Vikram Sanjay Wei Mei Hiroshi Yuki Kenji Takumi Haruka Seojun Linh Budi Siti Kwame Kofi
        Abena Chidi Ngozi Adaeze Tunde Thabo Naledi Wanjiru Tesfaye James Emma Oliver Sarah Thomas Henry Lucy Edward
        Peter Jane Laura Fiona Liam Niamh Aoife Gareth Angus Daniel Rachel Kevin Brian Walter Martha""",
    "calling": """Will Mark May Rose Bill Hope Grace Faith Frank Grant Jack Pat Sue Rob Drew Dawn April June August
        Summer Penny Chase Art Gene Ray Violet Iris Ivy Joy Lily Pearl Amber Guy Earl Rich Nick Bob Max Melody""",
    "away": """Victoria Sydney Jordan Chelsea Paris Florence Georgia Virginia Carolina Adelaide Israel Charlotte
        Savannah Brooklyn Orlando Santiago Valencia Verona Vienna Alexandria Troy Chad India Austin Dallas Madison
        Preston Dakota""",
    "family": """Ferreira Silva da_Silva dos_Santos Ribeiro Teixeira García Castillo Morales Delgado de_la_Cruz Ortega
        Moreau Lefèvre Dubois Schneider Fischer von_Arnim van_Dijk de_Vries van_den_Berg Bakker Jansen Nieminen
        Kowalczyk Nowak Dvořák Horváth Szabó Kovács Haddad Mansour Al-Masri Al-Rashid Khan Cohen Levy Sharma Patel Singh
        Banerjee Wang Chen Liu Zhou Kim Cho Tran Okafor Adeyemi Mensah Diallo Traoré Ndlovu Smith Taylor Davies Walsh
        Murphy O'Neill O'Brien McCarthy Campbell Turner""",
    "trade": """Baker Brown Young King Cook Hunter Long Price Rich Banks Stone Park Bush Bell March Day Bishop Black
        White Green Rivers Lake Sharp Swift Strong Wise Fox Wolf Bird Rice Love Power Law Small""",
    "namesake": """Lincoln Washington Wellington Hamilton Jackson Houston Austin Dallas Madison Cleveland Lancaster
        Kingston Preston Burton Hastings Warwick Stafford Durham Carlisle Hudson Dayton Nelson Darwin Bolton Kent York
        London Sheffield Ireland Holland England Livingston Bristol Milan Paris Jordan""",
    "made": """Lind Sand Ek Ny Sjö Dal Norr Söder Gran Björk Sund Wall + ström gren qvist berg dahl lund man holm stedt
        | Rosen Gold Silber Linden Eisen Hirsch Wein Blumen Alten Grün Stein Kirch + berg stein feld mann bach thal heim
        baum | Ross Bianch Pell Mart Ferr Lomb Gall Rin Mor Bern Cast Zan Fior + ini etti elli ucci one ari ato | Ivan
        Petr Pavl Bogdan Stan Vlad Dimitr Kras Yur Roman Gavril Luk Sav + ov ovich enko ovski escu | Kowal Malin Lewand
        Zielin Kamin Jabłon Majew Szyman + ski | Naka Yama Taka Kawa Fuji Mori Ishi Matsu Oka Ima Hana Kiyo + mura moto
        da hashi shima saki gawa no | Papado Nikola Christo Gianno Stavro Theodoro Panago + poulos | Rodrígu Martín
        Álvar Gonzál Ramír Domíngu Gutiérr Hernánd Jimén Vázqu Sánch + ez | Anders Robin Eric Peter Thom Harri Jack
        Steven Matti Hender Wat Simp Fergus + son | Öz Ak Kara Demir Er Kaya Yük Gün Tan + türk can kan tekin soy men |
        Venkata Rama Krishna Gopala + swamy murthy""",
    "english": """Ash Oak Elm Brad Har Wes Nor Sut Hamp Wal Stan Clif Thorn Red Whit Bark Lang Hol Wing Bram Cal Pem Ald
        Bur + ton ford field worth ham ley wick bury combe well""",
    "foreign": """Rock Spring Green Fair Cedar Mason Jasper Glen River + ville burg dale port field wood | Alten Neuen
        Lieben Hohen Ober Nieder Wolfs Marien + burg dorf stadt heim hausen tal furt | Novo Staro Belo Krasno Zeleno
        Kameno + grad gorsk polye slav | Beau Mont Clair Haute Belle Aigue Roche + val court fort rive mont ville |
        Lille Stor Vester Nord Kongs Elve + vik fjord havn sund by hamn | Al Mir Tal Val + menda anca onda ares | Nishi
        Kita Minami Naga + yama zaki hama oka sawa | Bel Mont Cas Vill Roc + orio aro ella ina""",
    "listed": """Lisbon Porto Viçosa Belo_Horizonte São_Paulo Rio_de_Janeiro Buenos_Aires Lima Bogotá Montevideo
        Mexico_City Madrid Barcelona Seville Lyon Brussels Amsterdam Utrecht Berlin Munich Cologne Zürich Rome Turin
        Copenhagen Oslo Stockholm Helsinki Warsaw Kraków Prague Budapest Sofia Athens Istanbul Cairo Dakar Lagos Nairobi
        Addis_Ababa Cape_Town Tehran Karachi Mumbai Delhi Dhaka Ho_Chi_Minh_City Jakarta Kuala_Lumpur Shanghai Beijing
        Seoul Tokyo Osaka Toronto Montreal New_York New_Orleans Los_Angeles Chicago Boston St._Louis St._Petersburg
        St._Gallen Moscow Kyiv Dublin Edinburgh Glasgow Oxford Reading Bath Nice""",
    "saint": "Marcos Pedro Isidro Tomás Felipe Vicente Lorenzo Carlos Gabriel Nicolás Esteban Salvador Fermín Julián",
    "country": """Brazil Argentina Chile Peru Colombia Mexico Canada Portugal Spain France Italy Germany Austria Belgium
        Denmark Norway Sweden Finland Iceland Poland Hungary Greece Turkey Croatia Egypt Morocco Senegal Ghana Nigeria
        Kenya South_Africa Lebanon Jordan Israel Iran Qatar India Pakistan Sri_Lanka China Japan South_Korea Thailand
        Indonesia Australia New_Zealand Chad Georgia Wales Scotland""",
    "region": "U.S. U.K. Netherlands Philippines Bahamas Alps Andes Balkans Caucasus Highlands Himalayas Pyrenees",
    "brand": """Nord Alt Tele Solar Micro Vita Euro Inter Omni Trans Petro Agro Digi Medi Geo Bio Nova Astra Luma Quanta
        Hydro Velo Opti Ferro Aqua Terra Sino Helio + bank tel corp soft gen max tech air link ware media dyne via cell
        flex pharm lab tron net""",
    "university": "UF UE UN UT UC UL UP + B C D G L M N P R S V | UFR UFS UES UNI UPT + B C M P R",
    "agency": "B C D F G L N P R T V + BC BM CP DF DN FC GB LR MF NP PR RB RC TF TV VN",
}
WORDS = {
    "initial": "A. B. C. D. E. F. G. H. J. K. L. M. N. R. S. T. W.",
    "weekday": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "month": "January February March April May June July August September October November December",
    "season": "spring summer autumn winter",
    "nationality": """Brazilian Danish Italian French Japanese Nigerian Turkish Polish Canadian Egyptian Indian American
        British Kenyan Dutch Greek Korean Cuban Norwegian""",
    "title": "Dr. Professor President Mr. Mrs. Ms. Judge Captain Minister Sergeant Bishop",
    "job": """professor engineer nurse lawyer painter chemist judge pilot banker actor editor surgeon farmer poet
        teacher architect economist violinist diplomat""",
    "head": "director president chief_executive treasurer spokesman secretary vice-president",
    "win": "1-0 2-0 2-1 3-0 3-1 3-2 4-1 4-2",
}
PHRASES = {
    # Names.
    "double": "{made}-{made}",
    "first": "6 * {given} | {calling} | {away}",
    "last": "4 * {family} | 7 * {made} | 2 * {trade} | 3 * {namesake} | {english} | {double}",
    "full": "9 * {first} {last} | {first} {initial} {last} | {initial} {last} | {first} {given} {last}",
    "who": "3 * {PER:full} | 2 * {PER:last} | {PER:first}",
    "town": "3 * {english} | 3 * {foreign} | 2 * {namesake} | {away}",
    "plain": "3 * {listed} | 4 * {town}",
    "city": """9 * {plain} | Port {town} | San {saint} | {english}-on-Sea | {town} Heights | {town} Bay | {town} Falls |
        New {english}""",
    "street": "{last} Street | {last} Square | {town} Road",
    "site": "3 * {street} | {last} Bridge | {town} Airport | {town} Park | {town} Station",
    "area": "2 * {region} | {town} Hills | {last} Islands | {town} Valley",
    "place": "4 * {LOC:city} | 2 * {LOC:country} | the {LOC:area}",
    "company": """3 * {brand} | {last} & {last} | {last} & Sons | {last} Motors | {last} Brothers | {town} Holdings |
        {plain} Airlines | {last} Foods | {last} Ltd. | {brand} Inc. | {brand} Group | {town} Steel |
        Bank of {country} | {last} Press | {town} Energy | {last} Pictures | {last} , {last} & {last}""",
    "college": "3 * {university} | {plain} University | {last} College | {town} Institute of Technology",
    "of": "4 * University of {plain} | University of {country}",
    "body": """Museum of {plain} | {last} Foundation | {plain} City Council | {plain} Symphony Orchestra |
        Central Bank of {country} | {last} Institute""",
    "paper": "{plain} Herald | {plain} Gazette | {town} Times | {plain} Post",
    "club": """5 * {plain} | {town} United | {town} Rovers | {plain} City | FC {plain} | Real {plain} |
        Sporting {plain} | AC {plain} | Dynamo {foreign}""",
    "school": "2 * {ORG:college} | the {ORG:of}",
    "firm": "4 * {ORG:company} | {ORG:agency}",
    "org": "6 * {firm} | 2 * {school} | the {ORG:body}",
    # Dates.
    "birth": "{d} {month} {early} | {month} {d} , {early} | {early}",
    "day": "{month} {d} | {d} {month} | the {nth} of {month} | {weekday} , {month} {d} | {month} {nth}",
    "exact": """{d} {month} {year} | {month} {d} , {year} | {iso} | {01..28}/{01..12}/{year} |
        the {nth} of {month} {year} | {weekday} , {d} {month} {year}""",
    "iso": "{year}-{01..12}-{01..28}",
    "long": "{month} {year} | {month} of {year} | the {season} of {year} | the {192..201}0s",
    "past": "last {weekday} | last {month} | last {season} | last year | last week | last month | yesterday",
    "next": "next {weekday} | next {month} | next {season} | this {season} | next year | next week | tomorrow",
    "then": """3 * on {DATE:weekday} | on {DATE:day} | on {DATE:exact} | in {DATE:month} | 2 * in {DATE:year} |
        in {DATE:long} | 2 * {DATE:past}""",
    "soon": "on {DATE:weekday} | on {DATE:day} | in {DATE:month} | 2 * {DATE:next}",
    # Neither.
    "thing": "the budget | the report | the contract | the plan | the new law | the letter | the proposal",
    "money": "$ {n} million | $ {few},{three} | {n} million euros | {three} pounds | {year} dollars",
    "percent": "{few} percent | {few}.{few} percent | {n} percent",
    "crowd": "some {few},{three} people | about {year} people | {n} people | more than {three} people",
    # Parts of sentences.
    "quote": """we are leaving | it is too late | I never met {PER:last} | nobody told {PER:first} |
        {LOC:city} is home | we will never sell to {firm} | I will miss {place} |
        nothing has changed since {DATE:early} | the {nationality} team was better | I grew up in {LOC:city}""",
    "ask": "may I speak to {who} | will they listen | will {who} come | who wrote {thing} | how far is {LOC:city}",
    "source": """{PER:full} of {org} | {title} {PER:last} | 2 * {PER:full} | {PER:last} | {firm} |
        the {nationality} {job} | the {ORG:paper} | police in {LOC:city} | the {head} of {org}""",
    "clause": """{LOC:country} and {LOC:country} signed the treaty of {LOC:city} | the {nationality} army left {place} |
        {PER:full} sold a boat in {LOC:city} to {PER:full} for {money} | {who} 's lawyer left {LOC:city} for {place} |
        {ORG:company} closed its factory in {LOC:city} , {LOC:country} | {PER:last} replaced {PER:last} at {org} |
        {ORG:company} sued {ORG:company} and {PER:full} for {money} | {who} wrote to {title} {PER:last} about {thing} |
        the {nationality} government fined {ORG:company} {money} | {LOC:country} closed its border with {LOC:country} |
        {title} {PER:last} flew from {LOC:city} to {LOC:city} | the {nationality} {job} {PER:full} died in {LOC:city} |
        {PER:first} and {PER:full} got married in {LOC:city} | {PER:full} , {PER:full} and {PER:full} left {org} |
        {ORG:agency} and {ORG:agency} signed a contract | the police arrested {PER:full} near {LOC:site} |
        {ORG:company} bought {ORG:company} for {money} | shares in {ORG:company} rose {percent} | {org} praised {who} |
        {who} accused {firm} of hiding {thing} | {crowd} were evacuated from {LOC:city} | an earthquake shook {place} |
        {firm} opened an office in {LOC:city} | {crowd} marched through {LOC:city} | {PER:full} became {head} of {org} |
        prices in {place} rose {percent} | {PER:full} left {org} for {org} | {who} met {who} in {LOC:city} |
        {who} lost {money} in {place} | a fire closed {LOC:site} | {PER:full} joined {org} | {firm} hired {PER:full} |
        it snowed in {LOC:city}""",
    # Sentences, by kind.
    "sentence": """9 * {news} | 5 * {people} | 3 * {places} | 3 * {firms} | 3 * {sport} | 2 * {list} | 3 * {letter} |
        2 * {HEADLINE} | 6 * {nothing}""",
    "news": """2 * {clause} . | 3 * {clause} {then} . | 2 * {then} , {clause} . | {clause} {then} , {source} said . |
        {source} said that {clause} . | {source} said {then} that {clause} . | according to {source} , {clause} . |
        {clause} , but {clause} . | {clause} {then} , and {clause} . | did {who} say that {clause} ?""",
    "people": """2 * {PER:full} is a {job} at {org} . | the play by {PER:full} opens in {LOC:city} {soon} . |
        the {job} , {PER:full} , has lived in {LOC:city} {LOC:country} for {n} years . | " {ask} ? " asked {who} . |
        {PER:full} ( born {DATE:birth} in {LOC:city} ) was a {nationality} {job} . | {who} may visit {place} {soon} . |
        {PER:full} ( {DATE:early} - {DATE:year} ) was a {job} from {place} . | will {who} come to {LOC:city} {soon} ? |
        {PER:full} , the new {head} of {org} , was born in {LOC:city} . | {title} {PER:last} will see you {soon} . |
        {PER:full} , who joined {org} {then} , is now {head} of {org} . | {PER:first} was {n} in {DATE:year} . |
        " {quote} , " {who} told the {ORG:paper} {then} . | {PER:full} , {n} , teaches music in {LOC:city} . |
        {who} 's sister works for {org} in {LOC:city} . | can {PER:first} and {PER:first} come {soon} ? |
        {who} , not {who} , signed {thing} . | " {quote} , " said {PER:full} . | {who} will not resign . |
        {who} agreed .""",
    "places": """it will rain in {LOC:city} and {LOC:city} {soon} . | bus {year} stops at {LOC:site} in {LOC:city} . |
        {LOC:city} is {n} miles from {LOC:city} . | the train to {LOC:city} leaves from {LOC:city} at {few} a.m. |
        {LOC:city} , home to {few},{three} {nationality} students , has a new mayor , {PER:full} . |
        the museum in {LOC:city} {LOC:country} opens in {DATE:2026..2040} . | {LOC:city} was quiet {then} . |
        flights from {LOC:city} to {LOC:city} start {soon} . | {LOC:country} exports more rice than {LOC:country} . |
        {who} lives at {n} {LOC:street} , {LOC:city} . | rents in {LOC:city} are {percent} higher . |
        we are in {place} .""",
    "firms": """{ORG:company} , which {PER:full} founded in {DATE:year} , makes {few},{three} cars a year . |
        {firm} did not comment . | {ORG:company} shares closed at $ {few}.{n} , up {percent} . |
        {ORG:company} and {ORG:company} will merge in {DATE:2026..2040} . |
        {ORG:company} , based in {LOC:city} , owns {n} percent of {ORG:company} . | {firm} may sell its ships {soon} . |
        students at {school} marched against the war {then} . | {school} was founded in {DATE:early} by {PER:full} . |
        {who} studied law at {school} and medicine at {school} . | room {year} at {school} is closed . |
        the {ORG:of} ( {ORG:university} ) reopens {soon} . |
        the {head} of {firm} , {PER:full} , will speak at {school} {soon} . | will {firm} buy {ORG:company} ?""",
    "sport": """2 * {ORG:club} {0..4} , {ORG:club} {0..4} | {ORG:country} beat {ORG:country} {win} in {LOC:city} . |
        {ORG:club} {0..4} {ORG:club} {0..4} | {PER:full} ( {LOC:country} ) beat {PER:full} ( {LOC:country} ) {sets} |
        {ORG:country} {0..4} , {ORG:country} {0..4} | {PER:last} scored twice as {ORG:club} beat {ORG:club} {win} . |
        {ORG:club} beat {ORG:club} {win} {then} . | {ORG:club} defeated {ORG:club} {win} in {LOC:city} . |
        {ORG:club} and {ORG:club} drew 1-1 {then} . | {ORG:club} sacked {PER:full} {then} . |
        {ORG:club} play {ORG:club} {soon} . | {PER:last} beat {PER:last} {sets} . |
        {ORG:club} signed the {nationality} striker {PER:full} from {ORG:club} for {money} .""",
    "list": """3 * {few}. {PER:full} ( {LOC:country} ) {n}.{few} seconds | {PER:full} {n}.{few} , {PER:full} {n}.{few} |
        {few}. {ORG:club} {n} {n} {three} | present : {PER:full} , {PER:full} , {PER:full} and {PER:full} . |
        tour dates : {DATE:day} {LOC:city} , {DATE:day} {LOC:city} , {DATE:day} {LOC:city} | {PER:full} {ORG:college} |
        speakers : {PER:full} {ORG:college} , {PER:full} {ORG:college} | 2 * {LOC:DATELINE} , {DATE:day} - {clause} . |
        {PER:full} , {org} , {LOC:city} , {LOC:country} | {LOC:city} {n} , {LOC:city} {n} , sunny |
        {DATE:exact} {ORG:club} - {ORG:club} | room {year} : {PER:full} {ORG:college} | {DATE:weekday} : {who} , {who} |
        2 * {LOC:DATELINE} {DATE:iso}""",
    "DATELINE": "{plain}",
    "letter": """{PER:first} , please call {PER:first} before {DATE:weekday} . | {PER:first} , see you {soon} ! |
        dear {PER:first} , thank you for your letter of {DATE:day} . | {DATE:month} is too late ; can we meet {soon} ? |
        your order of {DATE:exact} came to {money} . | the shop is closed from {DATE:weekday} to {DATE:day} . |
        the meeting {soon} is in room {year} . | the contract with {firm} ends in {DATE:2026..2040} . |
        {DATE:weekday} 's meeting is in room {year} . | page {year} was last changed on {DATE:iso} . |
        the rent goes up by {percent} {soon} . | kind regards , {PER:full} | {crowd} came {then} .""",
    "HEADLINE": """{ORG:company} to cut {few},{three} jobs in {LOC:city} | {nationality} {job} arrested in {place} |
        prices up {percent} in {LOC:country} | {PER:last} quits as {head} of {org} | {job} may face trial over {thing} |
        {PER:last} beats {PER:last} {sets} | {ORG:club} beat {ORG:club} {win} | {nationality} {job} wins {money} |
        {who} to leave {org} | strike begins {soon} | will {PER:last} go ? | storm hits {place}""",
    "nothing": """will the {job} and the {nationality} {job} agree on {thing} ? | summer was short and winter long . |
        mark my words : the {nationality} {job} will lose {money} . | price rises of {percent} hurt the {job} most . |
        march to the end of the hall and turn left at room {year} . | the {nationality} team won by {few} points . |
        the {head} will meet the {nationality} {job} at {few} p.m. | grant the {job} {n} days to study {thing} . |
        baker wanted : {few} hours a day , {three} pounds a week . | the {job}s may march again over {thing} . |
        " it will cost {money} , " the {nationality} {job} said . | dawn came early , and the {job} left at {few} a.m. |
        the {nationality} {job} , who is {n} , has lost {money} . | long queues formed outside room {year} . |
        only {n} of {three} {nationality} voters liked {thing} . | grace and speed made the {job} famous . |
        hope is not a plan , the {nationality} {job} wrote . | sales rose {percent} , not {percent} . |
        {crowd} voted against {thing} . | bill the {job} for {n} hours . | the bill came to {money} . |
        rose bushes cost {money} . | stone walls cost {money} . | may I see {thing} ?""",
    # Numbers.
    "few": "1..9",
    "sets": "6-4 , 6-3 | 7-5 , 6-2 | 6-1 , 3-6 , 6-4 | 6-0 , 6-4 | 7-6 , 7-5",
    "n": "11..98",
    "three": "100..999",
    "early": "1910..1949",
    "year": "1970..2023",
    "d": "1..28",
    "nth": "{4..20}th | 1st | 2nd | 3rd | 21st | 22nd | 23rd",
}
RULES = {slot: names(text) for slot, text in (NAMES | WORDS).items()}
RULES |= {slot: options(text) for slot, text in PHRASES.items()}
ONCE = {*NAMES, "weekday", "month", "job", "clause"}  # these say nothing twice in a sentence


class Sentence(NamedTuple):
    """Tokens and their IOB2 tags."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def home(name: str) -> str:
    """The split a name belongs to. The last word decides, so that York and New York stay together."""
    return HOMES[zlib.crc32(name.split()[-1].encode(), SALT) % len(HOMES)]


class Pen(random.Random):
    """The choices behind one sentence of a split."""

    def __init__(self, seed: int, split: str):
        super().__init__(seed)
        self.split, self.said = split, []

    def fill(self, slot: str) -> str:
        """Text for a slot 'rule', 'first..last' or 'TYPE:rule'; the latter as '<TYPE text >'."""
        kind, _, rule = slot.rpartition(":")
        text = self.choice(RULES.get(rule) or options(rule))
        while rule in NAMES and home(text) != self.split:
            text = self.choice(RULES[rule])
        text = re.sub(r"{([\w.:]+)}", lambda slot: self.fill(slot[1]), text)
        self.said += [(rule, text)] if rule in ONCE else []
        text = text.upper() if rule.isupper() else text
        return f"<{kind} {text} >" if kind else text


def parse(text: str) -> Sentence:
    """'in <LOC Port Ashton > .' -> ('in', 'Port', 'Ashton', '.'), ('O', 'B-LOC', 'I-LOC', 'O')."""
    tokens, tags, tag = [], [], "O"
    for piece in text.split():
        if piece.startswith("<"):
            tag = f"B-{piece[1:]}"
        elif piece == ">":
            tag = "O"
        else:
            tokens, tags, tag = [*tokens, piece], [*tags, tag], tag.replace("B-", "I-")
    return Sentence(tuple(tokens), tuple(tags))


def compose(pen: Pen) -> Sentence:
    """A sentence with its capitals where they belong or, at times, nowhere."""
    tokens, tags = parse(re.sub(r"\ba (?=[aeioAEIO])", "an ", pen.fill("sentence")))
    size = len(tokens) - (tokens[-1] == "." and pen.random() < BARE)
    starts = lambda i: i == 0 or tokens[i - 1] == "-" or tokens[:i] == ('"',)
    cased = (token[0].upper() + token[1:] if starts(i) else token for i, token in enumerate(tokens[:size]))
    case = str.lower if pen.random() < LOWER else str
    return Sentence(tuple(map(case, cased)), tags[:size])


def write() -> dict[str, list[Sentence]]:
    """All splits; no sentence occurs twice."""
    splits, seen, seeds = {}, set(), random.Random(SEED)
    for split, size in SIZES.items():
        splits[split] = []
        while len(splits[split]) < size:
            pen = Pen(seeds.getrandbits(64), split)
            tokens, tags = compose(pen)
            stutters = len(set(pen.said)) < len(pen.said) or any(a == b for a, b in itertools.pairwise(tokens))
            if not stutters and tokens not in seen and len(tokens) in LENGTHS and DEMO not in " ".join(tokens):
                seen.add(tokens)
                splits[split].append(Sentence(tokens, tags))
    return splits


class Entities(tfds.core.GeneratorBasedBuilder):
    """Sentences with their persons, places, organisations and dates, written by a grammar."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}

    def _info(self) -> tfds.core.DatasetInfo:
        parts = {"tokens": tfds.features.Text(), "tags": tfds.features.ClassLabel(names=TAGS)}
        features = tfds.features.FeaturesDict({key: tfds.features.Sequence(part) for key, part in parts.items()})
        keys = ("tokens", "tags")
        return tfds.core.DatasetInfo(builder=self, description=__doc__, features=features, supervised_keys=keys)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(sentences) for split, sentences in write().items()}

    def _generate_examples(self, sentences: list[Sentence]) -> Iterator[tuple[int, dict]]:
        for i, sentence in enumerate(sentences):
            yield i, sentence._asdict()
