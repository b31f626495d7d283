"""Handlers about loops, their turns and the people who work for them. Plain functions: each runs in a thread."""

import msgspec

from everloop.auditing import noted
from everloop.errors import InvalidInput, NotFound
from everloop.server.access import check_loop
from everloop.server.bodies import (
    AnnotateRequest,
    Declaration,
    Erasure,
    Loops,
    LoopView,
    Models,
    Releases,
    Reviews,
    RollbackRequest,
    TurnAsked,
    Turns,
    Versions,
)
from everloop.server.views import number
from everloop.server.wire import Call, Reply, decode, reply
from everloop.server.worker import Turner
from everloop.turn.doubting import shown
from everloop.types import Review
from everloop.wheel import Loop, Wheel

_STATES = ("open", "done", "skipped")


class Declaring:
    """What is declared, and what is known of it."""

    def __init__(self, wheel: Wheel):
        self._wheel = wheel

    def loops(self, call: Call) -> Reply:
        """Every loop the caller may see."""
        own = "" if call.key is None else call.key.loop
        return reply(Loops([_view(loop) for loop in self._wheel.loops() if own in {"", loop.name}]))

    def declare(self, call: Call) -> Reply:
        """Declare a loop or change what is declared."""
        given = decode(call.body, Declaration) if call.body.strip() else Declaration()
        fields = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not msgspec.UNSET}
        return reply(_view(self._wheel.loop(call.params["name"], **fields)))

    def loop(self, call: Call) -> Reply:
        """One loop."""
        return reply(_view(self._wheel.get(call.params["name"])))

    def check(self, call: Call) -> Reply:
        """Does the evidence support the loop's sentence?"""
        return reply(self._wheel.get(call.params["name"]).check())

    def interaction(self, call: Call) -> Reply:
        """One interaction."""
        found = self._wheel.interaction(call.params["id"])
        check_loop(call, found.loop)
        return reply(msgspec.structs.asdict(found))  # whole: somebody reads it

    def erase(self, call: Call) -> Reply:
        """Forget a person."""
        erased = self._wheel.forget(call.params["subject"])
        noted(detail=", ".join(f"{n} {kind}" for kind, n in sorted(erased.rows.items()) if n))
        return reply(Erasure(erased.rows, erased.interactions, erased.versions, erased.models))


class Turning:
    """Turns, the people who work for them, and what comes of them."""

    def __init__(self, wheel: Wheel, worker: Turner | None):
        self._wheel = wheel
        self._worker = worker

    def turns(self, call: Call) -> Reply:
        """Every turn's report."""
        return reply(Turns(self._loop(call).reports()))

    def turn(self, call: Call) -> Reply:
        """One turn's report."""
        return reply(self._loop(call).report(number(call.params["n"])))

    def turn_now(self, call: Call) -> Reply:
        """Open a turn by hand, durably; the worker does the rest."""
        loop = self._loop(call)
        running = loop.status().step
        if running is None:
            loop.advance("hand")
        if self._worker is not None:
            self._worker.wake()
        reports = loop.reports()
        note = "open: the worker does it" if running is None else f"a turn is already open, at {running}"
        return reply(TurnAsked(loop.name, reports[-1].turn if reports else None, note), 202)

    def undo(self, call: Call) -> Reply:
        """Take a drop back."""
        return reply(self._loop(call).undo(call.params["id"]))

    def reviews(self, call: Call) -> Reply:
        """The queue of human work."""
        state = call.query.get("state", "open")
        if state not in _STATES:
            raise InvalidInput(f"state: one of {', '.join(_STATES)}, not {state[:40]!r}")
        limit = _limit(call.query.get("limit"))
        loop = self._loop(call)
        return reply(Reviews(shown(loop.records, loop.reviews(state, limit))))

    def annotate(self, call: Call) -> Reply:
        """One person's answer to a review."""
        asked = decode(call.body, AnnotateRequest)
        review = self._wheel.store.records.get(Review, call.params["id"])
        if review is None:
            raise NotFound(f"no review {call.params['id']!r}")
        check_loop(call, review.loop)
        noted(loop=review.loop)
        note = self._wheel.get(review.loop).annotate(
            review.id, asked.value, annotator=asked.annotator, rationale=asked.rationale, seconds=asked.seconds
        )
        return reply(note)

    def releases(self, call: Call) -> Reply:
        """What was live when, and why."""
        return reply(Releases(self._loop(call).releases()))

    def models(self, call: Call) -> Reply:
        """Every trained model version."""
        return reply(Models(self._loop(call).models()))

    def datasets(self, call: Call) -> Reply:
        """Every dataset version."""
        return reply(Versions(self._wheel.store.datasets.log(self._loop(call).name)))

    def rollback(self, call: Call) -> Reply:
        """Back to an earlier model."""
        asked = decode(call.body, RollbackRequest) if call.body.strip() else RollbackRequest()
        return reply(self._loop(call).rollback(asked.to, by=asked.by, reason=asked.reason))

    def _loop(self, call: Call) -> Loop:
        return self._wheel.get(call.params["name"])


def _view(loop: Loop) -> LoopView:
    return LoopView(loop.spec, loop.status())


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text[:9]) > 0 and len(text) < 9):
        raise InvalidInput(f"limit: a whole number from 1, not {text[:40]!r}")
    return int(text)
