"""Handlers about what curation left out: examples, audits of a reason. Plain functions: each runs in a thread."""

import secrets

import numpy as np
from msgspec import Struct

from everloop.auditing import noted
from everloop.curate import drop_audits, reasons
from everloop.curate.drop_audits import Shown, Standing
from everloop.errors import InvalidInput
from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, decode, reply
from everloop.types import Drop, DropAudit, Role
from everloop.wheel import Loop, Wheel

_PEOPLE: tuple[Role, ...] = ("developer", "reviewer")
_KEY = "key:"  # who answers, where a key does and gives no name


class Drops(Struct, frozen=True):
    """Drops with what they are about, drawn at random."""

    drops: list[Shown]


class Audited(Struct, frozen=True):
    """What is known of each reason's drops: how many, and the share that is right."""

    reasons: list[Standing]


class AuditDraw(Struct, frozen=True, forbid_unknown_fields=True):
    """Draw drops of a reason to look at."""

    reason: str
    sample: int = drop_audits.SAMPLE


class AuditAnswer(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it was right to leave it out."""

    right: bool
    by: str = ""  # who looked; empty: the key


class ReasonUndo(Struct, frozen=True, forbid_unknown_fields=True):
    """Take back all that a reason left out."""

    reason: str


class Undone(Struct, frozen=True):
    """How many drops were taken back; the next turn keeps them."""

    undone: int


class Dropping:
    """What was left out of a loop."""

    def __init__(self, wheel: Wheel):
        self._wheel = wheel
        self._records = wheel.store.records

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the table."""
        op, path = Operation, "/v1/loops/{name}/drops"
        return (
            op("GET", path, "What curation left out, drawn at random.", self.examples, Drops, tag="turns",
               query=(("reason", "only this one"), ("sample", f"so many; {drop_audits.SAMPLE} by default"))),
            op("GET", f"{path}/audits", "How many drops there are by reason, and the audited share that is right.",
               self.standings, Audited, tag="turns"),
            op("POST", f"{path}/audits", "Draw a random sample of a reason's drops, for a person to look at.",
               self.draw, Drops, AuditDraw, "turns", roles=_PEOPLE),
            op("POST", f"{path}/audits/{{id}}", "Say whether a drawn drop was right.", self.answer, DropAudit,
               AuditAnswer, "turns", roles=_PEOPLE),
            op("POST", f"{path}/undo", "Take back all that a reason left out.", self.undo, Undone, ReasonUndo, "turns"),
        )  # fmt: skip

    def examples(self, call: Call) -> Reply:
        """Drops at random."""
        loop, text = self._loop(call), call.query.get("sample", str(drop_audits.SAMPLE))
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= drop_audits.MOST):
            raise InvalidInput(f"sample: a number from 1 to {drop_audits.MOST:,}, not {text[:40]!r}")
        found = drop_audits.examples(self._records, loop.name, call.query.get("reason"), int(text), _fresh())
        return reply(Drops(drop_audits.shown(self._records, found)))

    def standings(self, call: Call) -> Reply:
        """The share of right drops by reason."""
        return reply(Audited(drop_audits.standings(self._records, self._loop(call).name)))

    def draw(self, call: Call) -> Reply:
        """A sample to look at."""
        loop, wanted = self._loop(call), decode(call.body, AuditDraw)
        noted(loop=loop.name, target=wanted.reason)
        drawn = drop_audits.draw(self._records, loop.name, wanted.reason, wanted.sample, _fresh())
        drops = {d.id: d for d in self._records.find(Drop, loop.name, id=[a.interaction for a in drawn])}
        there = [drops[a.interaction] for a in drawn if a.interaction in drops]
        return reply(Drops(drop_audits.shown(self._records, there, drawn)))

    def answer(self, call: Call) -> Reply:
        """What a person found."""
        loop, said = self._loop(call), decode(call.body, AuditAnswer)
        by = said.by.strip()[:200] or (f"{_KEY}{call.key.id}" if call.key is not None else "somebody")
        noted(loop=loop.name)
        return reply(drop_audits.answer(self._records, loop.name, call.params["id"], right=said.right, by=by))

    def undo(self, call: Call) -> Reply:
        """All of a reason, whatever people found of it."""
        loop, wanted = self._loop(call), decode(call.body, ReasonUndo)
        noted(loop=loop.name, target=wanted.reason)
        return reply(Undone(reasons.take_back(self._records, loop.name, wanted.reason)))

    def _loop(self, call: Call) -> Loop:
        return self._wheel.get(call.params["name"])


def _fresh() -> np.random.Generator:
    return np.random.default_rng(secrets.randbits(128))
