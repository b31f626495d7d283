"""A person says once what their data may be used for: kept for the future, and taken out of the past."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from everloop.collect.consent import PURPOSES, narrowed
from everloop.errors import InvalidInput
from everloop.ids import now
from everloop.store import Records
from everloop.types import FeedbackFields, Interaction, Preference, Review

SETTLE_SECONDS = 0.5  # until every process has noticed, and what was just being written is there


class Preferred(NamedTuple):
    """What a preference changed."""

    allows: dict[str, bool]  # all that the person has said so far
    interactions: int  # of the past, that now allow less
    feedback: int  # of theirs, on whatever interaction: the same
    reviews: int  # open reviews of theirs, that nobody is asked any more


def checked(said: Mapping[str, bool | None]) -> dict[str, bool | None]:
    """`said` by purpose; InvalidInput for one that can't be said once for all.

    >>> checked({"improve": False})
    {'improve': False}
    """
    for purpose in said:
        if purpose == "service":
            raise InvalidInput("service: who takes that back is to be forgotten: everloop forget SUBJECT")
        if purpose not in PURPOSES:
            raise InvalidInput(f"consent: no purpose {purpose[:40]!r}; a person can say improve and share")
    return dict(said)


def prefer(records: Records, subject: str, said: Mapping[str, bool | None]) -> Preferred:
    """Write down what `subject` (a pseudonym) allows (True), forbids (False) or takes back to the default (None).

    What is forbidden is taken out of the consent of every interaction and all feedback of theirs, which keep their
    positions, and their open reviews are closed. What is allowed holds for the future alone. The caller sees to it that
    nobody erases them meanwhile.
    """
    old = records.get(Preference, subject)
    allows = {**(old.allows if old else {}), **checked(said)}
    merged = {one: bool(allows[one]) for one in PURPOSES if allows.get(one) is not None}
    no = tuple(one for one in merged if not merged[one])
    if said:
        records.replace(Preference(id=subject, allows=merged, at=now()))
    if not no:
        return Preferred(merged, 0, 0, 0)
    changed = _withdraw(records, subject, no)
    if said:  # a request that was on its way has not seen it
        time.sleep(SETTLE_SECONDS)
        changed = tuple(map(sum, zip(changed, _withdraw(records, subject, no), strict=True)))
    return Preferred(merged, *changed)


def _withdraw(records: Records, subject: str, no: tuple[str, ...]) -> tuple[int, ...]:
    """How many interactions, pieces of feedback and reviews were changed, in one transaction."""
    changed = [it for it in records.find(Interaction, subject=subject) if set(no) & set(it.consent)]
    fewer = [_without(it, no) for it in changed]
    theirs = [*records.find(FeedbackFields, subject=subject), *(f for f in records.held() if f.subject == subject)]
    muted = [less for said in theirs if (less := narrowed(said, no)) is not said]
    unasked: list[Review] = []
    if "improve" in no and changed:
        found = records.find(Review, interaction=[it.id for it in changed], state="open")
        unasked = [_skipped(review) for review in found]
    if fewer or muted:
        records.replace(*fewer, *muted, *unasked)
    return len(fewer), len(muted), len(unasked)


def _without(it: Interaction, no: tuple[str, ...]) -> Interaction:
    return replace(it, consent=tuple(one for one in it.consent if one not in no))


def _skipped(review: Review) -> Review:
    return replace(review, state="skipped")
