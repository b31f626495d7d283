"""Strings made to hurt: a megabyte takes about eight times the work of an eighth of it, for each recogniser.

A pattern that goes back and forth would take 64 times, so the bound between is wide: three times what linear work
takes, in processor time, in one of six looks. What else the machine does decides nothing.
"""

import time

import pytest

from everloop.redact import BUILT_IN, Recogniser, redact

UNITS = [
    "a", "0", "1 ", "1-", "1.", "a@", "a.", "@", "a@b.", "://", "://a:", "://:", ":", "1:", "::1", "f:", "+1",
    "+1 (", "00 1",
    "00", "(0", "01 ", "(11) 1", "call ", "call 1", "phone:", "212 ", "1-212-", "x1", "DE89 ", "DE89", "bc1q", "1B",
    "=",
    "password=", 'password="', "password='", 'password=\\"', "password is ", "token:", "token=a1", "api_key", '"', "\\",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN A PRIVATE KEY-----\\n", "A: b\n", "eyJaaaaaaaa.", "eyJ.", "sk-", "ghp_",
    "xoxb-", "AKIA", "SG.aaaaaaaaaaaaaaaaaaaaa.", "Bearer ", "bearer a", "https://hooks.slack.com/services/", "ssn ",
    "123-45-",
    "1234 ", "12345678901234567890", "4111 1111 1111 1111 ", "4111 ", "[email]", "[", "\u200b1", "\uff11", "é", " ",
    "\n",
]  # fmt: skip
SMALL = 1 << 17
FACTOR = 8


def seconds(recogniser: object, text: str) -> float:
    begun = time.process_time()
    redact(text, [recogniser])  # type: ignore[list-item]
    return time.process_time() - begun


def test_matches_are_counted_and_bounded() -> None:
    """Without a clock: what `accept` is handed never adds up to more than the text."""
    for finder in BUILT_IN:
        assert isinstance(finder, Recogniser)
        for unit in UNITS:
            text = unit * (4_000 // len(unit))
            handed = sum(match.end() - match.start() for match in finder.pattern.finditer(text))
            assert handed <= len(text)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(len(BUILT_IN)))
def test_time_grows_with_the_length(index: int) -> None:
    for unit in UNITS:
        text = unit * (SMALL * FACTOR // len(unit))
        tries: list[tuple[float, float]] = []
        while not tries or not grows_evenly(*tries[-1]):
            assert len(tries) < 6, (BUILT_IN[index], unit, tries)
            tries.append((seconds(BUILT_IN[index], text), seconds(BUILT_IN[index], text[:SMALL])))


def grows_evenly(whole: float, part: float) -> bool:
    """What goes back and forth never looks so; what is linear does in one of several looks, whatever else runs."""
    return whole < 0.25 or whole < 3 * FACTOR * part  # too short to measure is fast enough


def test_what_is_quadratic_would_be_noticed() -> None:
    assert not grows_evenly(64.0, 1.0)
    assert grows_evenly(8.5, 1.0)
