"""Which language a short text is in: by its script, or by the function words in it.

Function words ("the", "que", "nicht") are among the commonest words of any text and carry its language, not its topic,
so a table of some dozens a language tells real sentences apart without a model. Texts of one or two words often have
none, and then nothing is said: `identify` prefers silence to a guess. benchmarks/funnel.py measures how often it is
wrong.
"""

import re
from collections.abc import Collection
from typing import NamedTuple


class Language(NamedTuple):
    """A language, and how sure that is."""

    code: str  # ISO 639-1
    score: float  # share of the evidence that speaks for it, 0..1


_WORDS = {
    "en": """a the and is are was were of to in that it you for with on have has be this not but my your what how can do
     does did why when where which from they will would there i me we he she an or if at by about so please need want
     am been could should get got any been know""",
    "es": """el la los las que y en de un una es no por para con se lo como más pero sus le ya o este sí porque esta
     cuando muy sin sobre también me hay donde qué cómo mi tu su yo está estoy puedo tengo quiero cuál hola gracias del
     al nos""",
    "fr": """le la les de des et est un une du que qui dans pour pas ne je vous nous il elle sur avec ce cette mon ma
     mes ou où par plus mais sont au aux comment pourquoi quand puis suis ai avez être c'est j'ai n'est votre mes ont
     merci bonjour quel quelle""",
    "de": """der die das und ist nicht ich sie es ein eine einen dem den zu mit auf für von im wie was warum wann wo
     kann mein meine meiner haben habe hat sind bin wird werden auch aber oder wenn noch nach bei aus mir mich wir ihr
     wurde bitte kein keine""",
    "it": """il lo la gli le che di e è un una non per con del della sono ho mi si come ma anche più perché quando dove
     cosa posso mio mia questo questa nel alla dei delle ha hai grazie ciao vorrei quanto i""",
    "pt": """o os as que de e em um uma não para com do da no na por se mais como mas foi ao ele das dos meu minha
     você está estou tem tenho eu isso este esta quando onde porque qual são obrigado olá posso quero fazer""",
    "nl": """de het een en van ik is niet dat die in op te zijn met voor aan er mijn je u wat hoe waarom wanneer waar
     kan heb heeft maar ook om naar dit deze als bij nog wordt geen mij ben wil""",
    "sv": """och att det är en ett som på av för jag inte med den har till min mitt vad hur varför när kan om du vi de
     men eller från var så mig ska vill""",
    "da": """og at det er en et som på af for jeg ikke med den har til min mit hvad hvordan hvorfor hvornår kan om du vi
     de men eller fra var så mig skal vil""",
    "no": """og å det er en et som på av for jeg ikke med den har til min mitt hva hvordan hvorfor når kan om du vi de
     men eller fra var så meg skal vil""",
    "pl": """i w nie na się że z do to jest jak o co ale po mi moja mój czy za od dlaczego kiedy gdzie mogę mam jestem
     tak już dla tego przez być są może chcę""",
    "cs": """a se v na je že s z do to jak o co ale po mi moje můj proč kdy kde mohu mám jsem tak už pro být jsou může
     chci ne nebo""",
    "ro": """și în de la cu nu este o un pe că să ce mi am are pentru din care cum când unde dar sunt sau mai meu mea
     vreau pot""",
    "tr": """ve bir bu için ne ben mi mı de da ile çok var yok nasıl neden ama gibi daha benim değil olarak o şu kadar
     istiyorum kartım""",
    "fi": """ja on ei se että en mutta mitä miten miksi milloin missä minun olen voin kun niin tai oli myös mun tämä
     haluan""",
    "id": """yang dan di ini itu dengan untuk tidak saya dari pada ke apa bagaimana mengapa kapan ada akan bisa kartu
     sudah anda adalah""",
    "vi": """của và là không tôi có được cho một này với để khi như thế nào bạn ở trong tại sao""",
}  # fmt: skip
_OF: dict[str, tuple[str, ...]] = {}
for _code, _list in _WORDS.items():
    for _word in set(_list.split()):
        _OF[_word] = (*_OF.get(_word, ()), _code)
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")), ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("zh", re.compile("[\u4e00-\u9fff]")), ("uk", re.compile("[іїєґІЇЄҐ]")), ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")), ("he", re.compile("[\u0590-\u05ff]")),
    ("fa", re.compile("[پچژگ]")), ("ar", re.compile("[\u0600-\u06ff]")), ("hi", re.compile("[\u0900-\u097f]")),
    ("bn", re.compile("[\u0980-\u09ff]")), ("ta", re.compile("[\u0b80-\u0bff]")), ("th", re.compile("[\u0e00-\u0e7f]")),
    ("ka", re.compile("[\u10a0-\u10ff]")), ("hy", re.compile("[\u0530-\u058f]")),
)  # fmt: skip
_ANY = re.compile("[\u0370-\u1fff\u3040-\ud7af]")
_GROUPS = {"ru": "[\u0400-\u04ff]", "uk": "[\u0400-\u04ff]", "fa": "[\u0600-\u06ff]", "ar": "[\u0600-\u06ff]",
           "ja": "[\u3040-\u30ff\u4e00-\u9fff]"}  # fmt: skip
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_MOST = 400  # characters that are looked at
_FEWEST, _AHEAD = 2.0, 2.0  # function words for a language, and how many times those of the next best
_CLEARLY = 3.0  # the same, where something is to be left out for it
CODES = tuple(sorted({*_WORDS, *(code for code, _ in _SCRIPTS)}))


def tally(text: str) -> dict[str, float]:
    """For each language, how many words of the text are its function words; of a script that only some languages are
    written in, how many letters.

    >>> tally("wie alt ist the house")
    {'de': 2.0, 'en': 1.0}
    """
    text = text[:_MOST]
    if _ANY.search(text):
        letters = sum(map(str.isalpha, text)) or 1
        for code, script in _SCRIPTS:
            if script.search(text):
                count = len(re.findall(_GROUPS.get(code, script.pattern), text))
                if count > 0.5 * letters:
                    return {code: float(count)}
    votes: dict[str, float] = {}
    for word in _TOKEN.findall(text.lower()):
        for code in _OF.get(word, ()):
            votes[code] = votes.get(code, 0.0) + 1.0
    return votes


def identify(text: str) -> Language | None:
    """The language of a text, or None where too little says so.

    >>> identify("where is my card and why was it declined").code, identify("¿dónde está mi tarjeta y por qué?").code
    ('en', 'es')
    >>> identify("где моя карта?").code, identify("visa mastercard") is None
    ('ru', True)
    """
    votes = tally(text)
    if not votes:
        return None
    best = max(votes, key=lambda code: (votes[code], code))
    most = votes.pop(best)
    second = max(votes.values(), default=0.0)
    if most < _FEWEST or most < _AHEAD * second:
        return None
    return Language(best, round(most / (most + second), 3))


def foreign(text: str, own: Collection[str]) -> Language | None:
    """The language of a text that is clearly in none of `own`; None where it may be.

    >>> foreign("mein Konto ist gesperrt, was kann ich machen", ["en"]).code, foreign("was ist das", ["de", "en"])
    ('de', None)
    """
    votes = tally(text)
    other = max((code for code in votes if code not in own), key=lambda code: (votes[code], code), default=None)
    if other is None:
        return None
    ours = max((votes.get(code, 0.0) for code in own), default=0.0)
    if votes[other] < _CLEARLY or votes[other] < _CLEARLY * ours:
        return None
    return Language(other, round(1 - ours / votes[other], 3))
