"""What a person agreed to: three purposes, the browser's Sec-GPC signal, and what they said once for all time.

Why it is decided like this is in decisions/0008-consent.md.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any

from msgspec.structs import replace

from everloop.errors import InvalidInput
from everloop.store import Records
from everloop.types import Feedback, FeedbackFields, Interaction, Preference

PURPOSES = ("service", "improve", "share")  # answer and keep; learn from; leave the installation
DEFAULT = ("service", "improve")
UNSTORED = "unstored-"  # begins the id of an answer of which nothing was kept: feedback on it is for nothing
NOT_STORED = "without consent to service nothing of this is stored; feedback on it is not taken"
IGNORED = "not stored: there is no consent to that"
_REFRESH_SECONDS = 0.25  # until a first preference, written by another process, is noticed


class Preferences:
    """What people said once and for all, by pseudonym. Where nobody ever did, asking costs nothing."""

    def __init__(self, records: Records):
        self._records = records
        self._any: tuple[float, bool] = (-1.0, False)

    def of(self, subject: str | None) -> Mapping[str, bool]:
        """Purposes the person (a pseudonym) allowed or forbade; empty where nothing was said."""
        if subject is None or not self._there():
            return {}
        found = self._records.get(Preference, subject)
        return found.allows if found else {}

    def _there(self) -> bool:
        checked, found = self._any
        if not found and time.monotonic() - checked > _REFRESH_SECONDS:
            found = self._records.head(Preference, "") > 0
            self._any = (time.monotonic(), found)
        return found


def purposes(given: Any) -> tuple[str, ...]:
    """`given` as purposes, each once and in their order; InvalidInput for anything else.

    >>> purposes(["share", "service", "share"])
    ('service', 'share')
    """
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise InvalidInput(f"consent: expected a list of {', '.join(PURPOSES)}")
    for one in given:
        if one not in PURPOSES:
            raise InvalidInput(f"consent: no purpose {one[:40]!r}; there are {', '.join(PURPOSES)}")
    return tuple(one for one in PURPOSES if one in given)


def agreed(given: Any, allows: Mapping[str, bool]) -> tuple[str, ...]:
    """The consent of one request: what it says, or the default and what the person allowed; never what they forbade.

    >>> agreed(None, {}), agreed(["service", "improve", "share"], {"improve": False})
    (('service', 'improve'), ('service', 'share'))
    >>> agreed(None, {"share": True})
    ('service', 'improve', 'share')
    """
    said = purposes(given) if given is not None else (*DEFAULT, *(one for one, yes in allows.items() if yes))
    return tuple(one for one in PURPOSES if one in said and allows.get(one, True))


def signalled(header: str) -> bool:
    """Whether the value of a request's `Sec-GPC` header says that the person opts out.

    >>> signalled("1"), signalled("0"), signalled("")
    (True, False, False)
    """
    return header.strip() == "1"


def under_gpc(given: Any) -> Any:
    """The `consent` of a request whose browser opts out: never to share, and to improve only where it says so itself.

    >>> under_gpc(None), under_gpc(["service", "improve", "share"])
    (('service',), ('service', 'improve'))
    """
    return ("service",) if given is None else tuple(one for one in purposes(given) if one != "share")


def narrowed(said: Feedback, no: Collection[str]) -> Feedback:
    """Feedback without the purposes `no`, which the person who gave it forbids; it may still allow less than it says,
    as its interaction does.

    >>> from everloop.types import Thumb
    >>> narrowed(Thumb(id="f", interaction="i", at=0, value="up"), ["improve"]).consent
    ('service', 'share')
    """
    had = PURPOSES if said.consent is None else said.consent
    return replace(said, consent=tuple(one for one in had if one not in no)) if set(no) & set(had) else said


def stored(record: Any) -> bool:
    """Whether there is consent to keep an interaction, or a piece of feedback, at all."""
    if isinstance(record, Interaction):
        return "service" in record.consent
    if not isinstance(record, FeedbackFields):
        return True
    return not record.interaction.startswith(UNSTORED) and (record.consent is None or "service" in record.consent)
