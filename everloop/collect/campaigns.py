"""Campaigns as the server sees them: declared and versioned, listed for devices, and what came of each."""

import hashlib
import math
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from everloop.client.predicates import parse
from everloop.client.recent import SECONDS
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import now
from everloop.store import Records
from everloop.types import Campaign, FeedbackFields, Interaction

MARK = "uploaded_for"  # where, in the context of what a device sent, it says for which campaign
MOST_ACTIVE = 64  # of a loop: a device takes no more
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_OWN = ("id", "loop", "version", "at")
_CHUNK = 500
_UNSAID = msgspec.structs.asdict(Interaction(id="", loop="", at=0, input=""))
_changing = threading.Lock()  # two changes at once must not get the same version


class Came(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What came of a campaign so far."""

    interactions: int = 0  # that devices sent for it
    moments: int = 0  # of these, what it asked for itself; the others were in a window around that
    bytes: int = 0  # of all of them as JSON, about as the device sent it
    feedback: int = 0  # what was said of them, by anybody and by now
    first: int | None = None  # when the first of them was answered, by the device's clock
    last: int | None = None


def declared(before: Campaign | None, loop: str, id: str, changes: Mapping[str, Any], at: int) -> Campaign:
    """The campaign `id` of a loop with what `changes` says; a new version if that differs from `before`.

    Raises InvalidInput with one line for a name, field, predicate or number that can't be; Conflict for a campaign that
    has ended: devices go on counting what it used, so another one needs another name.

    >>> first = declared(None, "desk", "unsure", {"when": {"confidence": {"below": 0.6}}, "rate": 20}, at=5)
    >>> first.version, declared(first, "desk", "unsure", {"rate": 20}, at=9) is first
    (1, True)
    >>> declared(first, "desk", "unsure", {"state": "paused"}, at=9).version
    2
    """
    if not _ID.fullmatch(id):
        raise InvalidInput(f"campaign {id!r}: use lower-case letters, digits, '-' and '_', at most 63")
    unknown = sorted(set(changes) - set(Campaign.__struct_fields__) | set(_OWN) & set(changes))
    if unknown:
        known = ", ".join(name for name in Campaign.__struct_fields__ if name not in _OWN)
        raise InvalidInput(f"a campaign has no {unknown[0]!r} to set; it has {known}")
    if before is None and "when" not in changes:
        raise InvalidInput('say what it asks for: "when": {"confidence": {"below": 0.6}}')
    there = before or Campaign(id=id, loop=loop, at=at)
    try:
        made = msgspec.convert({**msgspec.to_builtins(there), **changes}, Campaign)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"campaign {id!r}: {' '.join(str(error).split()).replace('$.', '')}") from None
    if made == before:
        return before
    if before is not None and before.state == "ended":
        raise Conflict(f"campaign {id!r} has ended; begin another one under a new name")
    parse(made.when)
    _check(made)
    return made if before is None else msgspec.structs.replace(made, version=before.version + 1)


def find(records: Records, loop: str, id: str) -> Campaign:
    """One campaign; NotFound lists those there are."""
    found = next(iter(records.find(Campaign, loop, id=id)), None)
    if found is None:
        there = ", ".join(one.id for one in records.find(Campaign, loop)) or "none"
        raise NotFound(f"no campaign {id[:60]!r} in loop {loop!r}; there are: {there}")
    return found


def change(
    records: Records, loop: str, id: str, changes: Mapping[str, Any], alongside: Sequence[msgspec.Struct] = ()
) -> Campaign:  # fmt: skip
    """`declared`, in the store, durable on return; `alongside` is written with it. Conflict if too many are active."""
    with _changing:
        before = next(iter(records.find(Campaign, loop, id=id)), None)
        made = declared(before, loop, id, changes, now())
        if made.state == "active" and (before is None or before.state != "active"):
            active = records.count(Campaign, loop, state="active")
            if active >= MOST_ACTIVE:
                raise Conflict(f"{active} campaigns of loop {loop!r} are active, and devices take no more: end one")
        if made is not before:
            records.replace(made, *alongside)
        return made


def _check(made: Campaign) -> None:
    for name in ("before_s", "after_s"):
        if not 0 <= getattr(made, name) <= SECONDS:
            raise InvalidInput(f"{name}={getattr(made, name):g}: between 0 and {SECONDS:g}, which is what devices keep")
    if made.rate is not None and not (math.isfinite(made.rate) and made.rate >= 1):
        raise InvalidInput(f"rate={made.rate:g}: at least 1 upload an hour and device; to stop it, pause it")
    if made.bytes is not None and made.bytes < 1:
        raise InvalidInput(f"bytes={made.bytes}: at least 1; to stop it, pause it")
    if made.until is not None and made.until <= 0:
        raise InvalidInput("until: a time in ms since 1970")


def for_devices(campaigns: Iterable[Campaign], at: int) -> list[Campaign]:
    """Those a device takes part in: active, and not over."""
    return [one for one in campaigns if one.state == "active" and (one.until is None or one.until > at)]


def etag(campaigns: Sequence[Campaign]) -> str:
    """What a list of campaigns is called: the same for the same list, in every process.

    >>> etag([])
    '"4f53cda18c2baa0c"'
    """
    return f'"{hashlib.sha256(msgspec.json.encode(list(campaigns))).hexdigest()[:16]}"'


def came_of(records: Records, loop: str) -> dict[str, Came]:
    """What came of each campaign of a loop, by id. Reads every interaction of the loop."""
    found: dict[str, Came] = {}
    ids: dict[str, list[str]] = {}
    for batch in records.scan(Interaction, loop):
        for _, it in batch:
            why = it.context.get(MARK)
            if isinstance(why, dict) and isinstance(name := why.get("campaign"), str):
                found[name] = _more(found.get(name, Came()), it, "window_of" in why)
                ids.setdefault(name, []).append(it.id)
    for name, several in ids.items():
        chunks = (several[start : start + _CHUNK] for start in range(0, len(several), _CHUNK))
        said = sum(records.count(FeedbackFields, interaction=chunk) for chunk in chunks)
        found[name] = msgspec.structs.replace(found[name], feedback=said)
    return found


def _more(came: Came, it: Interaction, in_window: bool) -> Came:
    return Came(
        interactions=came.interactions + 1,
        moments=came.moments + (not in_window),
        bytes=came.bytes + len(msgspec.json.encode(_said(it))),
        first=it.at if came.first is None else min(came.first, it.at),
        last=it.at if came.last is None else max(came.last, it.at),
    )


def _said(it: Interaction) -> dict[str, Any]:
    """Its fields, but for those that nobody gave."""
    fields = {name: getattr(it, name) for name in Interaction.__struct_fields__ if name not in ("loop", "consent")}
    return {name: value for name, value in fields.items() if value != _UNSAID.get(name)}
