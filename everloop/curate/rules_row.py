"""Rules on what a row is: whether it may be learned from, is whole, is new, has a place, and somebody said something.

They are cheap, exact and always right about what they say; what is a matter of judgement is in the other files.
"""

from everloop.curate.ballot import contradicted
from everloop.curate.inputs import normalise, text_of
from everloop.curate.rule import Context, Hit, Rule
from everloop.types import Evidence, Interaction

_LARGEST = 1e100  # of a number a model can learn from; neither infinity nor NaN is at most that


def _no_consent(it: Interaction, _: str, __: Context) -> Hit | None:
    return None if "improve" in it.consent else Hit()


def _invalid(it: Interaction, _: str, context: Context) -> Hit | None:
    if not isinstance(it.input, list):
        # No trainer reads an object that is no conversation: one of them would stop every turn.
        odd = (
            isinstance(it.input, dict) and context.task == "classify" and not isinstance(it.input.get("messages"), list)
        )
        return Hit() if context.width or odd else None
    if not all(abs(x) <= _LARGEST for x in it.input) or (context.width is not None and len(it.input) != context.width):
        return Hit(score=float(len(it.input)))
    return None


def _empty(it: Interaction, _: str, __: Context) -> Hit | None:
    text = text_of(it.input)
    return Hit() if (not it.input if text is None else not normalise(text)) else None


def _sealed(_: Interaction, fingerprint: str, context: Context) -> Hit | None:
    return Hit(matched=fingerprint) if fingerprint in context.sealed else None


def _duplicate(it: Interaction, fingerprint: str, context: Context) -> Hit | None:
    first = context.first.get(fingerprint, it.id)
    return Hit(score=1.0, matched=first) if first != it.id else None


def _straddles(_: Evidence, fingerprint: str, context: Context) -> Hit | None:
    twin = context.straddling.get(fingerprint)
    return Hit(matched=twin) if twin is not None else None


def _near_duplicate(it: Evidence, _: str, __: Context) -> Hit | None:
    if it.group == it.id or it.split != "train" or it.statements:
        return None
    return Hit(matched=it.group)


def _no_signal(it: Evidence, _: str, __: Context) -> Hit | None:
    return None if any(s.kind != "refuted" for s in it.statements) else Hit()


def _said_already(_: Evidence, __: str, ___: Context) -> Hit | None:
    return None  # it takes the vectors of all rows: `repeats.without_repeats` decides, after the other rules


CONSENT, SEALED, DUPLICATE = "no_consent.v1", "sealed.v1", "duplicate.v1"
MEANING = "semantic_duplicate.v1"
DOOR = (
    Rule(CONSENT, "interaction", _no_consent, "the person did not agree that it may be learned from"),
    Rule("invalid.v1", "interaction", _invalid, "not finite, or not the kind or length of input this loop takes"),
    Rule("empty.v1", "interaction", _empty, "nothing in it"),
    Rule(SEALED, "interaction", _sealed, "the same as a sealed test row"),
)
TWICE = Rule(
    DUPLICATE, "interaction", _duplicate, "the same input again; what was said of it counts for the first"
)  # fmt: skip
SAID = (
    Rule("straddles.v1", "evidence", _straddles, "a near-duplicate of both a golden row and a training row"),
    Rule("near_duplicate.v1", "evidence", _near_duplicate, "nearly the same as a row there is, and nobody said a word"),
    Rule(MEANING, "evidence", _said_already, "it says the same as a row there is, in other words"),
    Rule("contradicted.v1", "evidence", contradicted, "people disagree about it, with no majority"),
    Rule("no_signal.v1", "evidence", _no_signal, "nobody said what is right, and the machine is not sure enough"),
)
