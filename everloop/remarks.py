"""What a turn's counts say of the machine's labels and of choosing what to ask, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

_NAMED = 6  # groups a sentence names; the others it counts

Counts = Mapping[str, Any]


def of(steps: Mapping[str, Counts]) -> tuple[str, ...]:
    """Everything there is to say of a turn, from the counts of its steps."""
    asked, made = steps.get("label", {}), steps.get("dataset", {})
    said = (left_to_people(made), drift(asked.get("inputs"), made.get("promise")), audits(made.get("auditing")),
            floors(asked.get("floors")), choosing(made.get("gain")))  # fmt: skip
    return tuple(one for one in said if one)


def where(promise: Counts | None) -> str:
    """For which groups the error is bounded, where it is bounded by group; empty where it is for all together.

    >>> where({"by": "class", "groups": [{"group": "a", "threshold": 0.5}], "together": 3, "rest": 0.7})
    'in each of 1 class by itself (a), and in 3 small ones together'
    """
    if not promise or not promise["by"]:
        return ""
    alone = [one["group"] for one in promise["groups"] if one["threshold"] is not None]
    parts = [f"in each of {_many(len(alone), promise['by'])} by itself ({_named(alone)})"] if alone else []
    if promise["rest"] is not None:
        parts.append(f"in {promise['together']} small ones together" if alone else "in all groups together, "
                     "as each is too small to be tested by itself")  # fmt: skip
    return ", and ".join(parts)


def left_to_people(made: Counts) -> str:
    """The groups that nothing is promised for."""
    promise = made.get("promise")
    if not promise or not promise["by"]:
        return ""
    failed = [one for one in promise["groups"] if one["threshold"] is None]
    names = [f"{one['group']}" + (f" (takes about {one['needed']:,} labels drawn at random)" if one["needed"] else "")
             for one in failed]  # fmt: skip
    if promise["rest"] is None and promise["together"]:
        names.append(f"{promise['together']} small ones")
    return f"left to people: {_named(names)}" if names else ""


def drift(inputs: Counts | None, promise: Counts | None) -> str:
    """Whether inputs are as they were when the labels that certify were given."""
    look = inputs.get("found") if inputs else None
    told = ""
    if look:
        told = (f"confidence {look['mean']:.2f} in {look['n']:,} new rows, {look['mean'] - look['change']:.2f} in the "
                f"{look['reference']:,} labelled ones; p = {_p(look['p'])}")  # fmt: skip
    if not inputs or not inputs["since"]:
        return f"inputs are as they were: {told}" if told else ""
    moved = f"inputs have drifted since the labels that certified were given (in turn {inputs['since']}"
    moved += f": {told})" if look and look["shifted"] else ")"
    count = promise["labels"] if promise else 0
    if not promise or not promise["certified"]:
        return f"{moved}: nothing is certified on the {count:,} labels given to rows that came since" if count else (
            f"{moved}: nothing is certified, as no row that came since has a label yet")  # fmt: skip
    return f"{moved}: certified on the last {count:,} only"


def audits(auditing: Counts | None) -> str:
    """How soon a broken promise is heard, and what hearing it sooner would take."""
    if not auditing:
        return ""
    turns, most = auditing["heard_within"], auditing["most"]
    now = f"{auditing['audits']:,} of its labels are audited a turn"
    if turns is not None:
        now += f": an error that climbs to twice the bound over {turns:,} turns or more is heard in time"
    if turns is not None and turns <= auditing["turns"]:
        return now
    needed = f"; over {auditing['turns']:,} turns takes {auditing['needed']:,} a turn"
    return now + needed + (f", and review_budget leaves {most:,}" if auditing["needed"] > most else "")


def floors(asked: Counts | None) -> str:
    """Which weak parts of the traffic people were asked about first."""
    if not asked:
        return ""
    rows = ", ".join(f"{name} {n}" for name, n in list(asked.items())[:_NAMED])
    return f"rows of weak slices asked about first, if there are so many: {rows}" + _others(len(asked))


def choosing(gain: Counts | None) -> str:
    """What choosing brings beside drawing at random.

    >>> found = {"random": 0.16, "chosen": 0.34, "estimate": 0.18, "low": 0.09, "high": 0.27}
    >>> print(choosing({**found, "n": 240, "of_random": 40}))
    a chosen row corrects the model 2.1 times as often as a random one: +18 points [9, 27], n = 240 over all turns
    """
    if not gain:
        return ""
    base, best = gain["random"], gain["chosen"]
    often = (
        f"{best / base:.1f} times as often as a random one" if base else f"in {best * 100:.0f} %, a random one in 0 %"
    )
    points = f"{gain['estimate'] * 100:+.0f} points [{gain['low'] * 100:.0f}, {gain['high'] * 100:.0f}]"
    return f"a chosen row corrects the model {often}: {points}, n = {gain['n']:,} over all turns"


def _many(n: int, by: str) -> str:
    what, plural = ("class", "classes") if by == "class" else ("slice", "slices")
    return f"{n:,} {what if n == 1 else plural}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + _others(len(names))


def _others(n: int) -> str:
    return f" and {n - _NAMED:,} more" if n > _NAMED else ""


def _p(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else f"{p:.0e}"
