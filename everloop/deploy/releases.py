"""Releases as pure functions over the rows: the live one, a promotion, a rollback."""

from collections.abc import Sequence

from everloop.errors import Conflict, NotFound
from everloop.ids import new_id, now
from everloop.types import Model, Release, Verdict


def live(releases: Sequence[Release]) -> Release | None:
    """The release that decides what answers: the newest that went live. `releases` are oldest first."""
    return next((r for r in reversed(releases) if r.stage == "live"), None)


def promote(releases: Sequence[Release], verdict: Verdict) -> Release | None:
    """The release a verdict leads to: live if it passes and the champion it was judged against still is; else None.

    A verdict against a champion that has since been replaced proves nothing about the one that answers now.
    """
    now_live = live(releases)
    champion = now_live.model if now_live else None
    if verdict.outcome != "pass" or verdict.champion != champion:
        return None
    return Release(
        id=new_id(), loop=verdict.loop, model=verdict.candidate, stage="live", verdict=verdict.id,
        previous=champion, reason=verdict.reason, at=now(),
    )  # fmt: skip


def roll_back(
    loop: str, releases: Sequence[Release], models: Sequence[Model], to: str | None, by: str, reason: str
) -> list[Release]:
    """Two releases: the live model rolled back, and the one before it (or model `to`) live again.

    Raises Conflict when nothing is live or there is nothing before it, NotFound for a model this loop does not have.
    """
    current = live(releases)
    if current is None or current.model is None:
        raise Conflict(f"loop {loop!r} has no live model to roll back")
    if to is None:
        target = _before(releases, current)
        if target is None:
            raise Conflict(f"loop {loop!r}: {current.model} is the first model that went live; nothing to go back to")
    else:
        matches = [m.id for m in models if m.id == to or (len(to) >= 8 and m.id.startswith(to))]
        if len(matches) != 1:
            raise NotFound(f"loop {loop!r} has no model {to!r}; see: everloop models {loop}")
        target = matches[0]
        if target == current.model:
            raise Conflict(f"model {target} is live already")
    at = now()
    why = reason or "rolled back by hand"
    return [
        Release(id=new_id(), loop=loop, model=current.model, stage="rolled_back", reason=why, by=by, at=at),
        Release(id=new_id(), loop=loop, model=target, stage="live", previous=current.model, reason=why, by=by, at=at),
    ]


def _before(releases: Sequence[Release], current: Release) -> str | None:
    """The last model that was live before `current` and was not itself rolled back."""
    undone = {r.model for r in releases if r.stage == "rolled_back"} | {current.model}
    return next((r.model for r in reversed(releases) if r.stage == "live" and r.model not in undone), None)
