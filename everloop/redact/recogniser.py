"""What finds personal data: a pattern, and a function that says which part of a match it believes."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol


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
    # Two ways to be skipped that save time and must not change the outcome:
    needs: tuple[str, ...] = ()  # one of these is in whatever the pattern matches, case folded
    digits: int = 0  # and at least so many of 0 to 9

    @property
    def names(self) -> tuple[str, ...]:
        """Its one type."""
        return (self.name,)

    def may_find(self, folded: str, digits: int) -> bool:
        """Whether a text, given case folded and by its number of digits, is worth reading."""
        return digits >= self.digits and (not self.needs or any(map(folded.__contains__, self.needs)))

    def find(self, text: str) -> list[Span]:
        """What the pattern matches and `accept` believes."""
        return [
            Span(start, end, self.name) for match in self.pattern.finditer(text) for start, end in self.accept(match)
        ]
