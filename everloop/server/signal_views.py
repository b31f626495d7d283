"""Declared signals: how well they come in, for people and for programs, and their columns."""

import math
from typing import Any

from msgspec import Struct

from everloop.collect.monitoring import DAYS, SignalsHealth
from everloop.errors import InvalidInput
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Reply, reply
from everloop.wheel import Wheel

_ROWS, _MOST_ROWS = 1_000, 100_000  # of the columns in one answer
_MOST_DAYS = 36_500.0


class Columns(Struct, frozen=True):
    """The rows of a declared signal, column by column, oldest first."""

    loop: str
    signal: str
    rows: int
    columns: dict[str, list[Any]]


class SignalPages:
    """Handlers of the page, and of the JSON behind it."""

    def __init__(self, wheel: Wheel, pages: Pages):
        self._wheel = wheel
        self._pages = pages

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        loop = "/v1/loops/{name}"
        return [
            Operation("GET", f"{loop}/signals", "How late and how complete declared signals come in.", self.health,
                      SignalsHealth, tag="loops", query=(("days", f"look back so far; {DAYS:g} by default"),)),
            Operation("GET", f"{loop}/signals/{{signal}}", "A declared signal's rows, column by column.", self.columns,
                      Columns, tag="loops",
                      query=(("limit", f"the newest so many, at most {_MOST_ROWS:,}; {_ROWS:,} by default"),
                             ("kind", "implicit or outcome, where both have that name"))),
            Operation("GET", "/loops/{name}/signals", "How a loop's signals come in.", self.page,
                      query=(("days", "look back so far"),)),
        ]  # fmt: skip

    def health(self, call: Call) -> Reply:
        """How the signals of a loop come in."""
        return reply(self._wheel.get(call.params["name"]).signals(_days(call)))

    def columns(self, call: Call) -> Reply:
        """The newest rows of one signal."""
        loop, name = self._wheel.get(call.params["name"]), call.params["signal"]
        text = call.query.get("limit", str(_ROWS))
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST_ROWS and len(text) < 9):
            raise InvalidInput(f"limit: a whole number from 1 to {_MOST_ROWS:,}, not {text[:40]!r}")
        kind = call.query.get("kind")
        if kind not in {None, "implicit", "outcome"}:
            raise InvalidInput(f"kind: implicit or outcome, not {str(kind)[:40]!r}")
        found = self._wheel.store.signals.columns(loop.name, name, kind=kind, limit=int(text))
        return reply(Columns(loop.name, name, len(found["at"]), found))

    def page(self, call: Call) -> Reply:
        """The same for a person."""
        loop = self._wheel.get(call.params["name"])
        return self._pages.render("signals.html", here_path=f"/loops/{loop.name}", spec=loop.spec,
                                  health=loop.signals(_days(call)))  # fmt: skip


def _days(call: Call) -> float:
    text = call.query.get("days", f"{DAYS:g}")
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not 0 < days <= _MOST_DAYS:
        raise InvalidInput(f"days: a number above 0, not {text[:40]!r}")
    return days
