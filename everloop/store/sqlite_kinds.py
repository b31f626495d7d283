"""The kinds of records there are, the table each lives in, and the fields each can be found by."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from everloop import types
from everloop.errors import InvalidInput
from everloop.store.digests import subject_key
from everloop.store.statements import query

HASHED = frozenset({"subject", "session"})  # these columns hold subject_key(…) of the text


class Kind(NamedTuple):
    """How one kind of record is stored."""

    word: str  # what messages call it
    table: str
    columns: tuple[str, ...]  # fields kept beside id, loop and body
    filters: frozenset[str]  # fields `find` takes
    decode: Callable[[str | bytes], Any]
    key: str  # the columns that make it unique: "id", or "id, loop" where two loops may have the same id
    tag: str | None  # one kind of feedback among the ten
    insert: str
    upsert: str


# Fields of which one value means few rows: where one is given, the indexes of the others are not to be used. SQLite
# has no statistics to know that by.
SELECTIVE = frozenset({"id", "subject", "session", "trace", "interaction", "review", "candidate", "group", "dataset"})

_UNINDEXED_FILTERS = frozenset({"dataset"})  # a column for erasure's sake


def _kind(word: str, table: str, of: Any, *columns: str, key: str = "id", tag: str | None = None) -> Kind:
    quoted = [f'"{name}"' for name in columns]
    parts = {
        "table": table,
        "columns": "".join(f"{name}, " for name in quoted),
        "marks": ", ".join("?" * (len(columns) + 3)),
    }
    updates = "".join(f"{name} = excluded.{name}, " for name in quoted)
    return Kind(
        word=word,
        table=table,
        columns=columns,
        filters=frozenset({"id", *columns}) - _UNINDEXED_FILTERS,
        decode=msgspec.json.Decoder(of).decode,
        key=key,
        tag=tag,
        insert=query("insert", **parts),
        upsert=query("upsert", **parts, key=key, updates=updates),
    )


def _feedback(tag: str | None) -> Kind:
    return _kind("feedback", "feedback", types.Feedback, "kind", "interaction", "subject", tag=tag)


FEEDBACK = _feedback(None)
INTERACTION = _kind("interaction", "interactions", types.Interaction, "subject", "trace", "session")
LOOP = _kind("loop", "loops", types.LoopSpec)
DERIVED = _kind("derived signal", "derived", types.Derived, "rule", "interaction")
SOURCE_ANSWER = _kind("source's answer", "source_answers", types.SourceAnswer, "source", "turn", "interaction")
PROPOSED_CLASS = _kind("proposed class", "proposed_classes", types.ProposedClass, "state")
OF_INTERACTIONS = (DERIVED, SOURCE_ANSWER)  # made of interactions beside the turn: not to outlive one that was erased

_KINDS: dict[type[Struct], Kind] = {
    types.LoopSpec: LOOP,
    types.Interaction: INTERACTION,
    types.FeedbackFields: FEEDBACK,
    **{of: _feedback(str(of.__struct_config__.tag)) for of in types.FeedbackFields.__subclasses__()},
    types.Placement: _kind("placement", "placements", types.Placement, "group", "interaction", key="id, loop"),
    types.Drop: _kind("drop", "drops", types.Drop, "turn", "reason", "undone", "taken_back"),
    types.DropAudit: _kind("audited drop", "drop_audits", types.DropAudit, "reason", "interaction"),
    types.Review: _kind("review", "reviews", types.Review, "state", "turn", "interaction"),
    types.Annotation: _kind("annotation", "annotations", types.Annotation, "review", "interaction"),
    types.Model: _kind("model", "models", types.Model, "turn", "dataset"),
    types.Verdict: _kind("verdict", "verdicts", types.Verdict, "candidate", "turn"),
    types.SourceAnswer: SOURCE_ANSWER,
    types.ProposedClass: PROPOSED_CLASS,
    types.Release: _kind("release", "releases", types.Release),
    types.Key: _kind("key", "keys", types.Key),
    types.Audit: _kind("audit entry", "audits", types.Audit, "by", "action"),
    types.Campaign: _kind("campaign", "campaigns", types.Campaign, "state", key="id, loop"),
    types.Derived: DERIVED,
    types.Mark: _kind("mark", "marks", types.Mark),
    types.Preference: _kind("preference", "preferences", types.Preference),
    types.WatchedSlice: _kind("watched slice", "watched_slices", types.WatchedSlice),
    types.Turn: _kind("turn", "turns", types.Turn, "number", "state"),
}


def kind_of(of: type[Struct]) -> Kind:
    """How records of this class are stored; InvalidInput if they are not.

    >>> kind_of(types.Drop).table
    'drops'
    """
    try:
        return _KINDS[of]
    except KeyError:
        raise InvalidInput(f"{of.__name__} is not a kind of record the store keeps") from None


def conditions(kind: Kind, loop: str | None, where: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """A WHERE clause made of known columns only, and the values to bind; InvalidInput for a field that isn't one.

    >>> conditions(kind_of(types.Drop), "support", {"turn": 3})
    ('loop = ? AND "turn" = ?', ['support', 3])
    """
    terms: list[str] = []
    values: list[Any] = []
    selective = any(name in SELECTIVE for name in where)
    fixed = [("loop", loop)] if loop is not None else []
    fixed += [("kind", kind.tag)] if kind.tag is not None else []
    for name, value in fixed:
        terms.append(f"+{name} = ?" if selective else f"{name} = ?")
        values.append(value)
    for name, value in where.items():
        if name == "position" and isinstance(value, range):
            terms.append("position >= ? AND position < ?")
            values += [value.start, value.stop]
            continue
        if name not in kind.filters:
            known = ", ".join(sorted(kind.filters))
            raise InvalidInput(f"{kind.word} can't be found by {name!r}; it can by: {known}")
        column = f'"{name}"' if name in SELECTIVE or not selective else f'+"{name}"'
        if value is None:
            terms.append(f"{column} IS NULL")
        elif isinstance(value, list | tuple | set | frozenset):
            terms.append(query("among", column=column))
            values.append(listed(_bound(name, one) for one in value))
        else:
            terms.append(f"{column} = ?")
            values.append(_bound(name, value))
    return " AND ".join(terms) or "1", values


def listed(values: Any) -> str:
    """Values as the JSON text that `json_each(?)` takes."""
    return msgspec.json.encode(list(values)).decode()


def _bound(name: str, value: Any) -> Any:
    if not isinstance(value, str if name in HASHED else str | int):
        raise InvalidInput(f"{name!r} can't be looked for by a {type(value).__name__}")
    return subject_key(value) if name in HASHED else value
