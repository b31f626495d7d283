"""What the reasons of drops mean, and which of them can be taken back: one by one, or all that a reason left out."""

from msgspec.structs import replace

from everloop import registry
from everloop.auditing import along
from everloop.curate import listening
from everloop.curate.rule import reason
from everloop.curate.rules import BUILT_IN
from everloop.errors import InvalidInput
from everloop.store import Records
from everloop.types import Drop

_HONEST = "keeps the golden and test rows honest"
# Drops that nobody can take back: honest evaluation hangs on most of them, and consent is the person's alone to give.
_KEPT = {
    "no_consent": "is the person's own choice",
    **dict.fromkeys(("straddles", "sealed", "golden_twin", "golden_unverified"), _HONEST),
}
_LATE = {
    "golden_unverified": "set aside for evaluation, and nobody has said yet what is right",
    "golden_twin": "nearly the same as a golden row, which nothing may be trained on",
    "sealed": "the same as a sealed test row",
    "edited_out": "a person took it out of the dataset",
    listening.REASON: listening.SAYS,
}
_AT_ONCE = 5_000


def meaning(name: str) -> str:
    """Why a reason leaves something out, in words a person understands.

    >>> meaning("empty"), meaning("never_heard_of")
    ('nothing in it', 'never heard of')
    """
    rules = [*BUILT_IN, *(registry.find("rule", rule) for rule in registry.names("rule"))]
    known = {reason(rule.name): rule.says for rule in rules}
    return str(known.get(name) or _LATE.get(name) or name.replace("_", " "))


def kept(name: str) -> str:
    """Why a drop for this reason can't be taken back; empty where it can.

    >>> kept("sealed"), kept("length")
    ('keeps the golden and test rows honest', '')
    """
    return _KEPT.get(name, "")


def lasts(name: str) -> bool:
    """Whether taking all of a reason back would change anything: what nobody has labelled stays unlabelled."""
    return not kept(name) and name != "no_signal"


def taken_back(drop: Drop) -> Drop:
    """The drop, undone; InvalidInput where that can't be."""
    if why := kept(drop.reason):
        raise InvalidInput(f"a drop for {drop.reason!r} {why}; it can't be undone")
    return replace(drop, undone=True)


def take_back(records: Records, loop: str, name: str) -> int:
    """Take back all that a reason left out; how many. Killed on the way, some of them are: do it again.

    Raises InvalidInput for a reason that is kept, or of which nothing would come.
    """
    if not lasts(name):
        why = kept(name) or "says that nobody has labelled it: that can't be taken back, only mended"
        raise InvalidInput(f"a drop for {name!r} {why}")
    count = 0
    for batch in records.scan(Drop, loop, batch=_AT_ONCE):  # in small transactions: others write in between
        found = [taken_back(drop) for _, drop in batch if drop.reason == name and not drop.undone]
        if found:
            records.replace(*found, *(along() if not count else ()))
            count += len(found)
    return count
