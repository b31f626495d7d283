"""The page of what curation left out: how right each rule is, a sample of it to judge, and the way back. Plain
functions: each runs in a thread."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qs, quote

import numpy as np

from everloop.auditing import noted, unchanged
from everloop.curate import drop_audits, reasons
from everloop.curate.drop_audits import Shown, Standing
from everloop.errors import InvalidInput, NotFound, UserError
from everloop.server.conversation import Budget, asked
from everloop.server.table import Operation
from everloop.server.views import Pages, fall
from everloop.server.wire import Call, Forbidden, Reply, one_line, redirect
from everloop.types import Drop, DropAudit, Input
from everloop.wheel import Loop, Wheel

_FORM_FIELDS = 10
_ANSWERED = 50  # judged drops that are listed, newest first
_CARDS = 50
_BYTES = 120_000  # of strangers' text on a page
_CARD, _LINE = 900, 160  # of it, of one input on a card, and in the list


class Reason(NamedTuple):
    """A row of the table."""

    standing: Standing
    means: str
    judged: bool  # people may judge it
    lasts: bool  # all of it can be taken back
    undrawn: int  # drops that may still be drawn


class Card(NamedTuple):
    """One drawn drop."""

    audit: str
    drop: Drop
    text: str  # what was left out
    cut: bool
    said: str  # of feedback that was left out, what it said
    matched: str
    matched_cut: bool
    twin: bool  # `matched` is another input, not words of the rule


class Judged(NamedTuple):
    """One that somebody has looked at."""

    audit: DropAudit
    drop: Drop
    text: str
    cut: bool


class DropPages:
    """Handlers of the page and of its forms."""

    def __init__(self, wheel: Wheel, pages: Pages):
        self._wheel = wheel
        self._records = wheel.store.records
        self._pages = pages

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the table."""
        path = "/loops/{name}/drops"
        return (
            Operation("GET", path, "What curation left out of a loop, and whether it was right.", self.page,
                      query=(("reason", "show the sample of this one"), ("undo", "1: ask before all of it is undone"))),
            Operation("POST", path, "Draw, judge or take back, from the page.", self.form,
                      also=("application/x-www-form-urlencoded",), roles=("developer", "reviewer"),
                      replies=((303, "Done; the page is next."),)),
        )  # fmt: skip

    def page(self, call: Call) -> Reply:
        """The reasons, and the sample of one of them."""
        return self._shown(call, call.query.get("reason", ""), sure=call.query.get("undo") == "1")

    def form(self, call: Call) -> Reply:
        """A button of the page; what can't be is said on it."""
        loop = self._wheel.get(call.params["name"])
        given = _form_of(call.body)
        reason = given.get("reason", "")
        try:
            self._done(call, loop, reason, given)
        except UserError as error:
            unchanged()
            return self._shown(call, reason, problem=one_line(error))._replace(status=error.status)
        return redirect(f"/loops/{loop.name}/drops?reason={quote(reason)}#sample")

    def _done(self, call: Call, loop: Loop, reason: str, given: dict[str, str]) -> None:
        noted(loop=loop.name, target=reason)
        if given.get("draw"):
            noted(detail="draw")
            drop_audits.draw(self._records, loop.name, reason, drop_audits.SAMPLE, _fresh())
        elif given.get("answer"):
            if given.get("right") not in ("yes", "no"):
                raise InvalidInput("right: yes or no")
            noted(detail=f"{given['answer'][:100]} right: {given['right']}")
            by = f"key:{call.key.id}" if call.key is not None else "somebody"
            drop_audits.answer(self._records, loop.name, given["answer"], right=given["right"] == "yes", by=by)
        elif not _may_undo(call):
            raise Forbidden("a reviewer judges drops; to take them back needs a key of a developer")
        elif given.get("back"):
            noted(target=given["back"], detail="undo")
            loop.undo(given["back"])
        elif given.get("wrong"):
            noted(detail="undo those found wrong")
            for id in drop_audits.wrong(self._records, loop.name, reason):
                loop.undo(id)
        elif given.get("all") == "sure":
            noted(detail="undo all")
            reasons.take_back(self._records, loop.name, reason)
        else:
            raise InvalidInput("nothing was asked: use a button of the page")

    def _shown(self, call: Call, reason: str, *, sure: bool = False, problem: str = "") -> Reply:
        loop = self._wheel.get(call.params["name"])
        rows = [_row(standing) for standing in drop_audits.standings(self._records, loop.name)]
        here = next((row for row in rows if row.standing.reason == reason), None)
        if here is None and reason and not problem:
            raise NotFound(f"nothing was left out of loop {loop.name!r} for {reason[:80]!r}")
        reports = loop.reports()
        last = next((r for r in reversed(reports) if r.kept or r.dropped), None)
        budget = Budget(_BYTES)
        cards, more = self._cards(loop.name, reason, budget) if here is not None else ([], 0)
        return self._pages.render(
            "drops.html", here_path=f"/loops/{loop.name}", spec=loop.spec, reasons=rows, here_reason=here, last=last,
            fall=fall(last, full=True) if last is not None else "", cards=cards, more=more, problem=problem,
            judged=self._judged(loop.name, reason, budget) if here is not None else [],
            sure=sure and here is not None and here.lasts and _may_undo(call), sample=drop_audits.SAMPLE,
            may_undo=_may_undo(call), kept=reasons.kept(reason),
        )  # fmt: skip

    def _cards(self, loop: str, reason: str, budget: Budget) -> tuple[list[Card], int]:
        """The drawn drops nobody has judged, and how many more there are than are shown."""
        audits = drop_audits.waiting(self._records, loop, reason)
        found = self._of(loop, audits[:_CARDS])
        return [_card(one, budget) for one in found], len(audits) - len(found)

    def _judged(self, loop: str, reason: str, budget: Budget) -> list[Judged]:
        answered = [a for a in self._records.find(DropAudit, loop, reason=reason) if a.right is not None]
        answered = sorted(answered, key=lambda audit: (-audit.at, audit.id))[:_ANSWERED]
        by_drop = {audit.interaction: audit for audit in answered}
        return [Judged(by_drop[one.drop.id], one.drop, *_words(one.input, budget, _LINE))
                for one in self._of(loop, answered)]  # fmt: skip

    def _of(self, loop: str, audits: Sequence[DropAudit]) -> list[Shown]:
        """Of each audited drop what it is about, in the order of the audits."""
        found = self._records.find(Drop, loop, id=[audit.interaction for audit in audits]) if audits else []
        drops = {drop.id: drop for drop in found}
        there = [drops[audit.interaction] for audit in audits if audit.interaction in drops]
        return drop_audits.shown(self._records, there, audits)


def _row(standing: Standing) -> Reason:
    name, stand = standing.reason, standing.drops
    drawn = standing.n + standing.open
    undrawn = min(stand, max(0, stand + standing.undone - drawn))
    return Reason(standing, reasons.meaning(name), drop_audits.judged(name), reasons.lasts(name) and stand > 0, undrawn)


def _card(one: Shown, budget: Budget) -> Card:
    text, cut = _words(one.input, budget, _CARD)
    twin = one.matched_input is not None
    matched, short = (
        _words(one.matched_input, budget, _CARD) if twin else budget.cut(one.drop.matched or "", _CARD)
    )  # fmt: skip
    said = budget.cut(one.feedback or "", _LINE)[0]
    return Card(str(one.audit), one.drop, text, cut, said, matched, short, twin)


def _words(given: Input | None, budget: Budget, most: int) -> tuple[str, bool]:
    """An input in words, cut; of a conversation, who said what."""
    if given is None:
        return "", False
    lines, cut, room = [], False, Budget(min(most, budget.left))
    for said in asked(given, room):
        told = " ".join(block.text or f"({block.kind})" for block in said.blocks)
        cut = cut or any(block.cut for block in said.blocks)
        lines.append(f"{said.role}: {told}" if said.role else told)
    text, short = budget.cut("\n".join(lines), most)
    return text, cut or short


def _may_undo(call: Call) -> bool:
    return call.key is None or call.key.role in {"admin", "developer"}


def _form_of(body: bytes) -> dict[str, str]:
    """The fields of a form, the first of each; of what is none, none."""
    try:
        return {name: values[0] for name, values in parse_qs(body.decode(), max_num_fields=_FORM_FIELDS).items()}
    except ValueError:  # not UTF-8, or more fields than a form of ours has
        return {}


def _fresh() -> np.random.Generator:
    return np.random.default_rng(secrets.randbits(128))
