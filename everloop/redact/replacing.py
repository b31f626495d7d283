"""`redact`: what was found becomes a placeholder that says its type and nothing else."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from everloop.errors import InvalidInput
from everloop.redact.folding import fold
from everloop.redact.keys import KEYS
from everloop.redact.network import NETWORK
from everloop.redact.numbers import NUMBERS
from everloop.redact.phone import PHONE
from everloop.redact.recogniser import Finder, Recogniser, Seen, Span, seen

# Where two of equal length overlap, the earlier here names the placeholder.
BUILT_IN: tuple[Finder, ...] = (*KEYS, *NETWORK, *NUMBERS, *PHONE)
WITHHELD = "redacted"  # the placeholder of a passage that keeps changing
DEEPEST = 64  # levels of lists and objects
_ROUNDS = 6
_SHORT = 16  # characters up to which a key of letters, digits and underscores is not looked at
_NAME = re.compile("[a-z][a-z0-9_]{0,39}")
# Words in which nothing was found, under what name: a chat says "role": "user" a million times a day.
_plain_words: set[tuple[str, str]] = set()
_MOST_WORDS, _LONGEST_WORD = 4_096, 12
_NUMBERS = range(10**8, 10**19)  # whole numbers that may be a social security number, a phone or a card


class Redacted(NamedTuple):
    """A text without what was found in it. What was there is kept nowhere."""

    text: str
    counts: dict[str, int]  # placeholders put in, by type
    spans: tuple[Span, ...]  # what was replaced: offsets in the text that came in, in order, never overlapping


class RedactedValue(NamedTuple):
    """A JSON value without what was found in it."""

    value: Any
    counts: dict[str, int]  # placeholders put in, by type


def redact(text: str, recognisers: Sequence[Finder] = BUILT_IN, *, context: str = "") -> Redacted:
    """Replace what the recognisers find by placeholders like ``[email]``.

    **Patterns alone do not find names**, nor street addresses, nor anything else that has no form of its own; for
    those add `presidio()` to `recognisers`, and know that it misses some too.

    `context` is what the text is called where it comes from (the key in an object): "password" and "phone" say more
    than the value can. Overlapping finds become one placeholder over all of them, named after the longest; of equally
    long ones, the earlier in `recognisers` names it. Redacting twice with the same recognisers and context
    changes nothing, because what is left between placeholders is searched again until nothing is found in it (and a
    passage that still changes after six rounds is replaced whole, by ``[redacted]``). Digits of other scripts and
    characters without width are seen through; look-alike letters and digits written as words are not. Linear in the
    length of the text, with the built-in recognisers. Raises InvalidInput for a recogniser whose name can't stand
    in a placeholder.

    >>> redact("write to ada@example.org or pay with 4111 1111 1111 1111").text
    'write to [email] or pay with [card]'
    >>> redact("Ada Lovelace, order 4111 1111 1111 1112").counts
    {}
    """
    plain, offsets = fold(text)
    label = f"{context}=" if context else ""
    asked = _worth_asking(recognisers, seen(label + plain))
    walls = _walls_of(recognisers)
    found = _search(plain, asked, label, walls) if asked else []
    if not found:
        return Redacted(text, {}, ())
    if offsets is not None:
        found = [Span(offsets[start], offsets[end - 1] + 1, name) for start, end, name in found]
    parts, at = [], 0
    for start, end, name in found:
        parts += [text[at:start], f"[{name}]"]
        at = end
    counts = Counter(span.name for span in found)
    return Redacted("".join([*parts, text[at:]]), dict(sorted(counts.items())), tuple(found))


def redact_value(value: Any, recognisers: Sequence[Finder] = BUILT_IN, *, context: str = "") -> RedactedValue:
    """`redact` for every string in a JSON value, keys too. A key is the context of what it holds. Of keys that are the
    same once redacted, the later ones are numbered: nothing they hold is lost.

    A whole number of 9 to 19 digits that is a card, or that its key calls a phone, becomes a string; other
    numbers stay. Raises
    InvalidInput for a value with more than 64 levels, and for one that contains itself.

    >>> redact_value({"user": ["ada@example.org", 7], "password": "lovelace"})
    RedactedValue(value={'user': ['[email]', 7], 'password': '[secret]'}, counts={'email': 1, 'secret': 1})
    """
    counts: Counter[str] = Counter()
    return RedactedValue(
        _walk(value, recognisers if recognisers is BUILT_IN else tuple(recognisers), context, counts, DEEPEST),
        dict(sorted(counts.items())),
    )


def _walk(value: Any, finders: tuple[Finder, ...], context: str, counts: Counter[str], levels: int) -> Any:
    if isinstance(value, str):
        return _text(value, finders, context, counts)
    if isinstance(value, int) and value in _NUMBERS:
        done = redact(str(value), finders, context=context)
        counts.update(done.counts)
        return done.text if done.spans else value
    if not isinstance(value, dict | list | tuple):
        return value
    if not levels:
        raise InvalidInput(f"the value is nested more than {DEEPEST} levels deep; flatten it")
    if isinstance(value, dict):
        out: dict[Any, Any] = {}
        for key, inner in value.items():
            made, says = key, key if isinstance(key, str) else context
            if says is key and not _plain(key):
                made = _key(key, finders, counts, out)
                says = _walls_of(finders).sub(" ", made)  # a placeholder says nothing of what stands under it
            out[made] = _walk(inner, finders, says, counts, levels - 1)
        return out
    return [_walk(inner, finders, context, counts, levels - 1) for inner in value]


def _plain(key: str) -> bool:
    """Whether it can be no more than the name of a field: nearly all keys, and too short for a token."""
    return len(key) < _SHORT and key.isidentifier()


def _key(key: str, finders: tuple[Finder, ...], counts: Counter[str], taken: dict[Any, Any]) -> str:
    """A key without what was found in it, and unlike those that are `taken`."""
    done = redact(key, finders)
    if not done.spans:
        return key
    counts.update(done.counts)
    made, number = done.text, 1
    while made in taken:
        number += 1
        made = f"{done.text} {number}"
    return made


def _text(value: str, finders: tuple[Finder, ...], context: str, counts: Counter[str]) -> str:
    if finders is BUILT_IN and (context, value) in _plain_words:
        return value
    done = redact(value, finders, context=context)
    if done.counts:
        counts.update(done.counts)
    elif finders is BUILT_IN and _is_word(value) and len(_plain_words) < _MOST_WORDS:
        _plain_words.add((context, value))
    return done.text


def _is_word(value: str) -> bool:
    """One word in lower case: "user", "assistant", "stop". Nobody's name is written so."""
    return len(value) <= _LONGEST_WORD and value.isascii() and value.isalpha() and value.islower()


def _search(text: str, finders: Sequence[Finder], label: str, walls: re.Pattern[str]) -> list[Span]:
    """Spans in order. `label` stands before the text's beginning while it is searched."""
    found: list[Span] = []
    pieces = _between(text, 0, len(text), [wall.span() for wall in walls.finditer(text)])
    for left in range(_ROUNDS, -1, -1):
        again: list[tuple[int, int]] = []
        for start, end in pieces:
            head = label if start == 0 else ""
            hits = _hits(head + text[start:end], finders, len(head), start)
            if hits and not left:
                hits = [Span(start, end, WITHHELD)]
            found += hits
            if hits:
                again += _between(text, start, end, [hit[:2] for hit in hits])
        pieces = again
        if not pieces:
            break
    return sorted(found)


def _between(text: str, start: int, end: int, taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pieces of text[start:end] that are not taken and not blank."""
    edges = [start, *(edge for span in taken for edge in span), end]
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b and not text[a:b].isspace()]


def _hits(piece: str, finders: Sequence[Finder], head: int, offset: int) -> list[Span]:
    """What the finders see in a piece, overlaps joined; the first `head` characters are the label's."""
    folded = piece.casefold()
    found = [
        (max(span.start, head), span.end, span.start - span.end, order, span.name)
        for order, finder in enumerate(finders)
        for span in (finder.find(piece, folded) if isinstance(finder, Recogniser) else finder.find(piece))
        if span.end > max(span.start, head)
    ]
    if not found:
        return []
    found.sort()
    joined: list[tuple[int, int, tuple[int, int, str]]] = []
    for start, end, shortness, order, name in found:
        best = (shortness, order, name)  # the least of these is the longest, then the earliest recogniser
        if joined and start < joined[-1][1]:
            first, last, rank = joined[-1]
            joined[-1] = (first, max(last, end), min(rank, best))
        else:
            joined.append((start, end, best))
    return [Span(start - head + offset, end - head + offset, best[2]) for start, end, best in joined]


def _worth_asking(finders: Sequence[Finder], glance: Seen) -> list[Finder]:
    """Those that may find something in a text, or in any piece of it: what they need is not there otherwise."""
    return [finder for finder in finders if not isinstance(finder, Recogniser) or finder.may_find(glance)]


def _walls_of(finders: Sequence[Finder]) -> re.Pattern[str]:
    return _OWN_WALLS if finders is BUILT_IN else _walls(frozenset(name for one in finders for name in one.names))


@lru_cache(64)
def _walls(names: frozenset[str]) -> re.Pattern[str]:
    """Placeholders that are in a text already: nothing is looked for in or across them."""
    for name in sorted(names):
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"recogniser name {name!r} needs lower-case letters, digits and '_', like 'staff_id'")
    return re.compile(rf"\[(?:{'|'.join(sorted(names | _OWN | {WITHHELD}))})\]")


_OWN = frozenset(name for finder in BUILT_IN for name in finder.names)
_OWN_WALLS = _walls(_OWN)
