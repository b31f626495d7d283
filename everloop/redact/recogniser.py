"""What finds personal data: a pattern, and a function that says which part of a match it believes."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

_NEAR = re.compile("[0-9](?:[^0-9]{0,4}[0-9])*+")


class Span(NamedTuple):
    """A piece of a text by its offsets in characters, and the type of what was found there."""

    start: int
    end: int  # exclusive
    name: str


class Finder(Protocol):
    """Anything `redact` can ask. `names` are all the types that `find` may give: lower-case, digits and "_"."""

    @property
    def names(self) -> tuple[str, ...]:
        """The types it may find."""

    def find(self, text: str) -> Iterable[Span]:
        """Spans in any order; they may overlap. The same text must always give the same spans."""


def whole(match: re.Match[str]) -> Sequence[tuple[int, int]]:
    """Believe every match; of a pattern with groups, the last group that took part."""
    return (match.span(match.lastindex or 0),)


class Recogniser(NamedTuple):
    """A finder made of a pattern.

    Each pattern is run once over the text, so it must be linear itself: no nested repeats over the same characters
    (Python 3.11's possessive ``*+`` and ``++`` help), or a bound on each repeat.

    >>> order = Recogniser("order", re.compile(r"\\bORD-\\d{6}\\b"))
    >>> list(order.find("about ORD-123456"))
    [Span(start=6, end=16, name='order')]
    """

    name: str  # the type, as in the placeholder: "email" gives "[email]"
    pattern: re.Pattern[str]
    accept: Callable[[re.Match[str]], Iterable[tuple[int, int]]] = whole  # (start, end) in match.string; none: rejected
    # Ways to be skipped that save time and must not change the outcome. Whatever the pattern matches and `accept`
    # believes has
    needs: tuple[str, ...] = ()  # one of these in it, case folded,
    also: tuple[str, ...] = ()  # and one of these,
    digits: int = 0  # at least so many of 0 to 9, with four other characters at most between one and the next,
    word: int = 0  # and so many characters without white space between them.
    before: int | None = None  # it begins at most so many characters before one of `needs`; None: anywhere

    @property
    def names(self) -> tuple[str, ...]:
        """Its one type."""
        return (self.name,)

    def may_find(self, seen: "Seen") -> bool:
        """Whether a text is worth reading."""
        _, _, _, needs, also, digits, word, _ = self
        if digits > seen.digits or word > seen.word:
            return False
        folded = seen.folded
        return not (also and not any(map(folded.__contains__, also))) and (
            not needs or any(map(folded.__contains__, needs))
        )

    def find(self, text: str, folded: str = "") -> list[Span]:
        """What the pattern matches and `accept` believes. `folded` is the text case folded, where that is at hand."""
        near = self.before is not None and len(folded) == len(text)
        matches = self._near(text, folded) if near else self.pattern.finditer(text)
        return [Span(start, end, self.name) for match in matches for start, end in self.accept(match)]

    def _near(self, text: str, folded: str) -> Iterator[re.Match[str]]:
        """The matches that `finditer` gives, tried only where one can begin."""
        match, at = self.pattern.match, 0
        for begin in sorted(self._beginnings(folded)):
            if begin >= at and (found := match(text, begin)) is not None:
                yield found
                at = max(found.end(), begin + 1)

    def _beginnings(self, folded: str) -> set[int]:
        begins: set[int] = set()
        for sign in self.needs:
            where = folded.find(sign)
            while where >= 0:
                begins.update(range(max(0, where - (self.before or 0)), where + 1))
                where = folded.find(sign, where + 1)
        return begins


class Seen(NamedTuple):
    """What is seen of a text at a glance."""

    folded: str  # case folded
    digits: int  # the most of 0 to 9 that stand near each other
    word: int  # the longest word, in characters


def seen(text: str) -> Seen:
    """What decides which recognisers read a text.

    >>> seen("Call 212-555-0187 by 5 PM")
    Seen(folded='call 212-555-0187 by 5 pm', digits=11, word=12)
    """
    folded, clusters = text.casefold(), _NEAR.findall(text)
    digits = max([sum(map(near.count, "0123456789")) for near in clusters]) if clusters else 0
    return Seen(folded, digits, max(map(len, folded.split()), default=0))
