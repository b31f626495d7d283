"""The pages of interactions: those of a loop, newest first, and one with all that was said of it and became of it."""

from collections import Counter
from typing import Any, NamedTuple

import msgspec

from everloop import curate
from everloop.collect.consent import PURPOSES
from everloop.curate.reasons import meaning
from everloop.errors import InvalidInput, NotFound
from everloop.server.bodies import Feedbacks
from everloop.server.conversation import PARAMETERS, Block, Budget, answered, asked, attachment
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Reply, reply
from everloop.turn.doubting import shown
from everloop.types import (
    Annotation,
    Correction,
    DatasetVersion,
    Derived,
    Drop,
    FeedbackFields,
    Interaction,
    Model,
    Placement,
    Review,
)
from everloop.wheel import Wheel

_PAGE = 50  # interactions on a page
_SAID = 100  # pieces of feedback on a page; the API has all of them
_VERSIONS = 20
_REVIEWS = 20
_ATTACHED = 60
_BYTES = {"input": 30_000, "answer": 15_000, "context": 4_000, "feedback": 24_000}  # of strangers' text on a page
_BY = {
    "session": "only this session's",
    "subject": "only this person's, by their pseudonym",
    "trace": "only this trace's",
}
_PLAIN = frozenset({"id", "interaction", "at", "loop", "subject", "source", "redacted", "consent", "value", "diff"})


class Told(NamedTuple):
    """One piece of feedback as the page shows it."""

    item: Any
    kind: str
    value: str
    diff: list[tuple[str, str]]  # (sign, text)
    cut: bool
    more: list[tuple[str, str]]  # the other fields that say something


class Became(NamedTuple):
    """What became of an interaction."""

    drop: Drop | None
    why: str  # the rule's sentence
    split: str  # train, golden, test; empty: not placed yet
    versions: list[DatasetVersion]  # that hold its input as an example, newest first
    models: list[Model]  # that were trained on one of them


class InteractionPages:
    """Handlers of the pages, and of the JSON that is theirs alone."""

    def __init__(self, wheel: Wheel, pages: Pages):
        self._wheel = wheel
        self._records = wheel.store.records
        self._pages = pages

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        return [
            Operation("GET", "/v1/interactions/{id}/feedback", "All that was said of an interaction.", self.feedback,
                      Feedbacks, tag="collect", bound=True),
            Operation("GET", "/loops/{name}/interactions", "A loop's interactions, newest first.", self.newest,
                      query=(("before", "position to go on from"), *((name, says) for name, says in _BY.items()))),
            Operation("GET", "/interactions/{id}", "One interaction.", self.interaction, bound=True),
        ]  # fmt: skip

    def feedback(self, call: Call) -> Reply:
        """All of it, oldest first."""
        it = self._found(call)
        return reply(Feedbacks(self._records.find(FeedbackFields, interaction=it.id)))  # type: ignore[arg-type]

    def newest(self, call: Call) -> Reply:
        """A page of a loop's interactions, or the newest of one session, person or trace."""
        name = self._wheel.get(call.params["name"]).name
        by = next(((field, call.query[field]) for field in _BY if call.query.get(field)), None)
        if by is not None:
            found = self._records.find(Interaction, name, newest=True, limit=_PAGE, **{by[0]: by[1]})
            rows = [(0, it) for it in sorted(found, key=lambda it: (it.at, it.id), reverse=True)]
        else:
            rows = self._before(name, _position(call.query.get("before", "")))
        shown = [it for _, it in rows[:_PAGE]]
        said: dict[str, Counter[str]] = {it.id: Counter() for it in shown}
        for item in self._records.find(FeedbackFields, interaction=list(said)):
            said[item.interaction][str(item.__struct_config__.tag)] += 1
        return self._pages.render(
            "interactions.html", loop_name=name, rows=[(it, _opening(it), _answer(it), said[it.id]) for it in shown],
            older=rows[_PAGE - 1][0] if len(rows) > _PAGE else None, first="before" not in call.query, by=by,
        )  # fmt: skip

    def _before(self, loop: str, before: int | None) -> list[tuple[int, Interaction]]:
        """The page and one more, newest first. Positions count for all loops, so how far back to look is tried out."""
        end = self._records.head(Interaction, loop) if before is None else before - 1
        rows: list[tuple[int, Interaction]] = []
        span = 4 * _PAGE
        while end > 0 and len(rows) <= _PAGE:
            start = max(0, end - span)
            found = [row for batch in self._records.scan(Interaction, loop, after=start, upto=end) for row in batch]
            rows += reversed(found)
            end, span = start, span * (2 if found else 8)
        return rows

    def interaction(self, call: Call) -> Reply:
        """One, whole."""
        it = self._found(call)
        said = sorted(self._records.find(FeedbackFields, interaction=it.id), key=lambda f: (f.at, f.id))
        room = Budget(_BYTES["feedback"])
        budgets = {name: Budget(_BYTES[name]) for name in ("input", "answer", "context")}
        context, context_cut = budgets["context"].cut(_json(it.context)) if it.context else ("", False)
        return self._pages.render(
            "interaction.html", it=it, purposes=PURPOSES, asked=asked(it.input, budgets["input"]),
            answered=answered(it, budgets["answer"]), context=context, context_cut=context_cut,
            attachments=[_shown(part) for part in it.attachments[:_ATTACHED]],
            feedback=[_told(item, room) for item in said[-_SAID:]], many=len(said),
            derived=self._records.find(Derived, interaction=it.id),
            reviews=[(review, self._records.find(Annotation, review=review.id))
                     for review in shown(self._records, self._records.find(Review, interaction=it.id)[:_REVIEWS])],
            became=self._became(it),
        )  # fmt: skip

    def _found(self, call: Call) -> Interaction:
        it = self._wheel.interaction(call.params["id"])
        if call.key is not None and call.key.loop not in ("", it.loop):
            raise NotFound(f"no interaction {it.id!r} in loop {call.key.loop!r}")
        return it

    def _became(self, it: Interaction) -> Became:
        drop = self._records.get(Drop, it.id)
        mark = curate.fingerprint(it.input)
        placed = self._records.find(Placement, it.loop, id=mark)
        versions = [v for v in self._wheel.store.datasets.holding(mark) if v.loop == it.loop]
        held = {version.id for version in versions}
        models = [model for model in self._records.find(Model, it.loop) if model.dataset in held]
        return Became(drop, _sentence(drop), placed[0].split if placed else "", versions[::-1], models[::-1])


def _sentence(drop: Drop | None) -> str:
    """Why it was left out, in words a person understands."""
    if drop is None:
        return ""
    return meaning(drop.reason)


def _shown(part: Any) -> Block:
    return attachment({"blob": part.hash, "media": part.media, "size": part.size, "name": part.name or part.where})


def _told(item: Any, room: Budget) -> Told:
    fields = msgspec.structs.asdict(item)
    value, cut = room.cut(_text(fields.get("value")), 2_000)
    diff: list[tuple[str, str]] = []
    if isinstance(item, Correction) and item.diff:
        for sign, text in item.diff:
            shown, short = room.cut(text, 2_000)
            diff.append((sign, shown + ("…" if short else "")))
    defaults = {f.name: f.default for f in msgspec.structs.fields(type(item))}
    more = [
        (name.replace("_", " "), room.cut(_field(name, said), 1_000)[0])
        for name, said in fields.items()
        if name not in _PLAIN and said != defaults.get(name) and said not in (None, (), {}, "")
    ]  # fmt: skip
    return Told(item, str(item.__struct_config__.tag), value, diff, cut, more)


def _opening(it: Interaction) -> str:
    """The first words of what was asked."""
    said = [one for one in asked(it.input, Budget(600)) if one.role != PARAMETERS]
    last = next((one for one in reversed(said) if one.role in ("user", "") and one.blocks), said[-1] if said else None)
    words = " ".join(block.text or f"({block.kind})" for block in last.blocks) if last else ""
    return " ".join(words.split())[:120]


def _answer(it: Interaction) -> str:
    """The first words of the answer, or what it calls."""
    said = answered(it, Budget(900))
    words = " ".join(
        f"calls {block.name}({block.text})" if block.kind == "call" else block.text or f"({block.kind})"
        for block in (said.blocks if said else ())
    )
    return " ".join(words.split())[:160]


def _field(name: str, value: Any) -> str:
    return f"{value:.0%} of it" if name == "distance" else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2 if isinstance(value, dict) else 0).decode()


def _position(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"before: a position, not {text[:40]!r}")
    return int(text)
