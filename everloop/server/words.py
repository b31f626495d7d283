"""Numbers, times and ids as a person reads them: the filters of the pages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NONE = "–"


def count(value: float | None) -> str:
    """A whole number with its thousands apart.

    >>> count(12345)
    '12,345'
    """
    return NONE if value is None else f"{value:,.0f}"


def share(value: float | None) -> str:
    """A share (0..1) in percent, to a tenth.

    >>> share(0.9273), share(None)
    ('92.7 %', '–')
    """
    return NONE if value is None else f"{value * 100:.1f} %"


def percent(value: float) -> str:
    """A share (0..1) in percent, without a needless decimal.

    >>> percent(0.95), percent(0.995)
    ('95 %', '99.5 %')
    """
    return f"{round(value * 100, 2):g} %"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign.

    >>> points(0.0123), points(-0.02), points(0.0)
    ('+1.2', '−2.0', '0.0')
    """
    if value is None:
        return NONE
    text = f"{value * 100:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def seconds(value: float | None) -> str:
    """A duration.

    >>> seconds(0.0042), seconds(3.21), seconds(75), seconds(7265)
    ('4 ms', '3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if value is None:
        return NONE
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def cost(value: float) -> str:
    """A cost in the loop's currency.

    >>> cost(0.0), cost(1.5)
    ('0', '1.50')
    """
    return f"{value:.2f}" if value else "0"


def when(ms: int) -> str:
    """A time in UTC, to the minute.

    >>> when(1_700_000_000_000)
    '14 Nov 2023, 22:13 UTC'
    """
    return f"{_date(ms):%-d %b %Y, %H:%M} UTC"


def opening(text: str) -> str:
    """A sentence with its first letter large.

    >>> opening("the candidate is better")
    'The candidate is better'
    """
    return text[:1].upper() + text[1:]


def iso(ms: int) -> str:
    """A time for machines.

    >>> iso(1_700_000_000_000)
    '2023-11-14T22:13:20Z'
    """
    return f"{_date(ms):%Y-%m-%dT%H:%M:%SZ}"


def short(id: str) -> str:
    """The end of an id, which tells ids of the same minute apart.

    >>> short("0190d2f0-8d2e-7c3a-9f6b-3c1d5e7a9b2c"), short("m1")
    ('…\\u20605e7a9b2c', 'm1')
    """
    return id if len(id) <= 12 else f"…\u2060{id[-8:]}"  # a word joiner: no line ends between the two


def pairs(counts: Mapping[str, Any]) -> str:
    """The plain numbers and words of a mapping in one line; what is nested is left to the report.

    >>> pairs({"kept": 1200, "model": "0190d2f0-8d2e-7c3a-9f6b-3c1d5e7a9b2c", "waterfall": [["a", 1]], "release": None})
    'kept 1,200, model …\\u20605e7a9b2c'
    """
    shown = []
    for name, value in counts.items():
        if isinstance(value, bool):
            shown.append(f"{name} {'yes' if value else 'no'}")
        elif isinstance(value, int | float):
            shown.append(f"{name} {value:,g}" if isinstance(value, float) else f"{name} {value:,}")
        elif isinstance(value, str):
            plain = not (len(value) == 36 and value.count("-") == 4)
            shown.append(f"{name} {value if plain else short(value)}".strip())
    return ", ".join(shown).replace("_", " ")


def _date(ms: int) -> datetime:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a client's clock may say anything
        return datetime.fromtimestamp(0, UTC)


FILTERS = {f.__name__: f for f in (count, share, percent, points, seconds, cost, when, iso, opening, short, pairs)}
