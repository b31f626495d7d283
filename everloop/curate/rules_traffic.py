"""Rules on traffic: floods, and rows that are not like the rest of their loop.

Each keeps a small memory and judges a row by those before it, so what it says does not depend on where one turn ends
and the next begins, and a decision is never taken back because of what came later. The price is stated: the first rows
of a loop, from which its own distribution is learned, pass; so do the first of a flood.
"""

import math
import re
from typing import Any

from msgspec import Struct, field

from everloop.curate.language import foreign, identify
from everloop.curate.rule import Context, Hit, Passing, Rule

_TIDY = 4_096  # rows between two clearings of what is too old or too rare to matter

# --- floods ---------------------------------------------------------------------------------------------------------

_MINUTE_MS = 60_000
_FASTEST = 60  # rows a person sends in a minute, at most
_SAME = 5  # times a person sends the same in a minute, at most


class FloodMemory(Struct):
    """For everybody seen in the last minutes: the minute, the rows in it, how often each text."""

    minutes: dict[str, tuple[int, int, dict[str, int]]] = field(default_factory=dict)
    newest: int = 0
    rows: int = 0


def flood(row: Passing, memory: FloodMemory, _: Context) -> Hit | None:
    """One person (or session), one minute: more rows than a person types, or the same text over and over.

    What comes without a person and without a session is not counted: an import is not a flood.
    """
    if row.who is None:
        return None
    minute = row.at // _MINUTE_MS
    memory.newest = max(memory.newest, minute)
    memory.rows += 1
    if memory.rows % _TIDY == 0:
        memory.minutes = {who: m for who, m in memory.minutes.items() if m[0] >= memory.newest - 1}
    known = memory.minutes.get(row.who)
    if known is None or known[0] < minute:
        known = (minute, 0, {})
    elif known[0] > minute:
        return None  # it came late; its minute is over
    texts = known[2]
    times = texts[row.fingerprint] = texts.get(row.fingerprint, 0) + 1
    memory.minutes[row.who] = (minute, known[1] + 1, texts)
    if times > _SAME:
        return Hit(float(times), f"the same input {times} times in a minute")
    return Hit(float(known[1] + 1), f"{known[1] + 1} rows in a minute") if known[1] >= _FASTEST else None


# --- length ---------------------------------------------------------------------------------------------------------

_LEARN = 500  # distinct texts until a loop's own distribution is known
_AGAIN = 256  # distinct texts between two looks at it
_BINS = 8  # a doubling of the length
_FACTOR, _DEVIATIONS = 8.0, 6.0  # too long: so many times the middle length, and so many deviations from it


class LengthMemory(Struct):
    """How many distinct texts of each length (in eighths of a doubling), and from where on one is too long."""

    counts: dict[int, int] = field(default_factory=dict)
    n: int = 0
    longest: float = math.inf  # characters


def length(row: Passing, memory: LengthMemory, _: Context) -> Hit | None:
    """Much longer than the loop's texts: over eight times the middle one and six robust deviations (1.48 MAD of the
    logarithm) away. Short ones are left alone: "yes" and "no" are answers."""
    if row.text is None:
        return None
    size = len(row.text)
    hit = Hit(round(size / memory.longest, 3), f"{size} characters") if size > memory.longest else None
    if row.fresh:
        at = round(_BINS * math.log2(size + 1))
        memory.counts[at] = memory.counts.get(at, 0) + 1
        memory.n += 1
        if memory.n >= _LEARN and memory.n % _AGAIN == 0:
            middle = _middle(memory.counts, memory.n)
            apart: dict[int, int] = {}
            for value, count in memory.counts.items():
                apart[abs(value - middle)] = apart.get(abs(value - middle), 0) + count
            spread = max(1, _middle(apart, memory.n)) * 1.4826 / _BINS
            memory.longest = 2.0 ** (middle / _BINS + max(math.log2(_FACTOR), _DEVIATIONS * spread))
    return hit


def _middle(counts: dict[int, int], n: int) -> int:
    """The median of values given with their counts."""
    so_far = 0
    for value in sorted(counts):
        so_far += counts[value]
        if 2 * so_far >= n:
            return value
    raise ValueError("no values")


# --- keyboard mash --------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[a-z]+")
_ENOUGH = 8_192  # distinct texts from which the table of transitions is as good as it gets
_LETTERS = 10  # a text with fewer says nothing
_TENTH = 10.0  # the histogram's bins: a tenth of a bit
_SURPRISE, _SPREADS = 1.2, 5.0  # bits, and robust deviations, above the middle
_PURE = 0.9  # share of the letters that must be a to z


class GibberishMemory(Struct):
    """How often each letter follows each in the loop's distinct texts, and how surprising those are."""

    pairs: dict[str, int] = field(default_factory=dict)
    bits: dict[str, float] = field(default_factory=dict)  # surprise of a pair, as of the last look
    unseen: float = 0.0  # of one that had not been seen
    scores: dict[int, int] = field(default_factory=dict)  # how many texts had a mean of so many tenths of a bit
    scored: int = 0
    highest: float = math.inf
    n: int = 0


def gibberish(row: Passing, memory: GibberishMemory, _: Context) -> Hit | None:
    """Keyboard mash: letters follow each other as they hardly do in this loop's own texts.

    The mean surprise (−log2 of the probability of a letter after another) is compared with the loop's other texts.
    Only texts in a to z are judged, and none whose function words show another language.
    """
    if row.text is None or not row.fresh:
        return None
    text = row.text[:400].lower()
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    if letters < _LETTERS or (not text.isascii() and letters < _PURE * sum(map(str.isalpha, text))):
        return None
    joined = f" {' '.join(words)} "
    pairs = list(map(str.__add__, joined, joined[1:]))
    hit = None
    if memory.bits:
        get, unseen = memory.bits.get, memory.unseen
        mean = sum(get(pair, unseen) for pair in pairs) / len(pairs)
        if mean > memory.highest and identify(text) is None:
            hit = Hit(round(mean - memory.highest, 2), f"{mean:.1f} bits a letter")
        _score(memory, mean)
    if memory.n < _ENOUGH and hit is None:  # mash must not teach what is usual
        counts = memory.pairs
        for pair in pairs:
            counts[pair] = counts.get(pair, 0) + 1
        memory.n += 1
        if memory.n >= _LEARN and (memory.n & (memory.n - 1) == 0 or memory.n in {_LEARN, _ENOUGH}):
            _table(memory)
    return hit


def _score(memory: GibberishMemory, mean: float) -> None:
    if memory.scored >= _ENOUGH:
        return
    at = round(mean * _TENTH)
    memory.scores[at] = memory.scores.get(at, 0) + 1
    memory.scored += 1
    if memory.scored >= _LEARN // 2 and memory.scored % _AGAIN == 0:
        middle = _middle(memory.scores, memory.scored)
        apart: dict[int, int] = {}
        for value, count in memory.scores.items():
            apart[abs(value - middle)] = apart.get(abs(value - middle), 0) + count
        spread = 1.4826 * max(1, _middle(apart, memory.scored)) / _TENTH
        memory.highest = middle / _TENTH + max(_SURPRISE, _SPREADS * spread)


def _table(memory: GibberishMemory) -> None:
    """Surprise by pair, with half a count for what was not seen."""
    after: dict[str, float] = {}
    for pair, count in memory.pairs.items():
        after[pair[0]] = after.get(pair[0], 0.0) + count
    memory.bits = {
        pair: math.log2((after[pair[0]] + 13.5) / (count + 0.5)) for pair, count in memory.pairs.items()
    }  # fmt: skip
    middle = sorted(after.values())[len(after) // 2]
    memory.unseen = math.log2((middle + 13.5) / 0.5)


# --- templates ------------------------------------------------------------------------------------------------------

_LONG = 12  # words of a beginning or an end that many texts share
_REPEATS = 20  # distinct texts with it that pass
_MOST = 200_000  # beginnings and ends kept in mind


class TemplateMemory(Struct):
    """In how many distinct texts each beginning and each end was."""

    seen: dict[str, int] = field(default_factory=dict)


def template(row: Passing, memory: TemplateMemory, _: Context) -> Hit | None:
    """The same long beginning or end in many different texts: a form, a signature, a generator.

    Words are compared without their digits, so "ticket 123" and "ticket 456" are the same.
    """
    if row.text is None or len(row.text) < 3 * _LONG:
        return None
    words = _DIGITS.sub("0", row.text[:2_000].casefold() if len(row.text) <= 4_000 else
                        f"{row.text[:2_000]} {row.text[-2_000:]}".casefold()).split()  # fmt: skip
    if len(words) < _LONG:
        return None
    hit = None
    for key, where in ((f"^{' '.join(words[:_LONG])}", "begins"), (f"{' '.join(words[-_LONG:])}$", "ends")):
        times = memory.seen.get(key, 0)
        if times >= _REPEATS and hit is None:
            hit = Hit(float(times), f"{where} like {times} others: {key.strip('^$')[:60]}")
        if row.fresh:
            memory.seen[key] = times + 1
    if len(memory.seen) > _MOST:  # what came once in so long a time is no template
        memory.seen = {key: times for key, times in memory.seen.items() if times > 1}
    return hit


_DIGITS = re.compile(r"\d+")

# --- language -------------------------------------------------------------------------------------------------------

_SOME = 100  # texts of known language until the loop's own is clear
_OWN = 0.05  # a language with this share of them is the loop's too


class LanguageMemory(Struct):
    """How many distinct texts were in each language."""

    counts: dict[str, int] = field(default_factory=dict)
    n: int = 0


def language(row: Passing, memory: LanguageMemory, context: Context) -> Hit | None:
    """In a language the loop does not speak: none of those declared, or of those with at least 5 % of its texts."""
    if row.text is None:
        return None
    own: Any = context.languages
    if not own:
        if row.fresh and (found := identify(row.text)) is not None:
            memory.counts[found.code] = memory.counts.get(found.code, 0) + 1
            memory.n += 1
        if memory.n < _SOME:
            return None
        own = [code for code, count in memory.counts.items() if count >= _OWN * memory.n]
    other = foreign(row.text, own)
    return Hit(other.score, other.code) if other else None


RULES = (
    Rule("flood.v1", "traffic", flood, "more from one person in a minute than a person types", FloodMemory, True),
    Rule("length.v1", "traffic", length, "much longer than the other texts of this loop", LengthMemory, True),
    Rule("gibberish.v1", "traffic", gibberish, "letters in an order that means nothing here", GibberishMemory, True),
    Rule("template.v1", "traffic", template, "the same long beginning or end as many others", TemplateMemory, True),
    Rule("language.v1", "traffic", language, "in a language this loop does not speak", LanguageMemory, True),
)
