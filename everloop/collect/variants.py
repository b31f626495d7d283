"""Who answers: each subject or session keeps the variant it was given, and the chance of that is known.

Weighted rendezvous hashing: every variant draws a number from a keyed hash of the subject and its own name, scaled by
its weight, and the lowest wins. When weights change, only those move whom the change concerns: a variant that gains
takes from the others what it gained, and nobody moves between two whose weights stayed.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

from everloop.collect.pseudonyms import Pseudonyms
from everloop.errors import InvalidInput
from everloop.types import LoopSpec, Variant


class Assigned(NamedTuple):
    """A variant, and the probability with which it was the one."""

    variant: Variant
    propensity: float


def assign(spec: LoopSpec, pseudonyms: Pseudonyms, subject: str | None = None, session: str | None = None) -> Assigned:
    """The variant of loop `spec` that a request of `subject` or `session` is for.

    With `spec.sticky` "subject" the subject decides, else the session; with "session" the session alone. Without
    either, and with "request", each request is drawn by itself. The hash is keyed with this installation's key, so
    nobody can pick a name that leads to the variant they want. Raises InvalidInput where no variant has a weight.
    """
    weights = [variant.weight for variant in spec.variants]
    most = max(weights, default=0.0)
    if not most > 0:
        raise InvalidInput(f"loop {spec.name!r} has no variant with a weight above 0; declare one: --variant name=…")
    shares = [weight / most for weight in weights]  # of the largest: their sum can't overflow
    if len(shares) == 1:
        return Assigned(spec.variants[0], 1.0)
    unit = _unit(spec, pseudonyms, subject, session)
    draws = [_draw(unit, variant.name) / share if share else math.inf for variant, share in _each(spec, shares)]
    won = min(range(len(draws)), key=draws.__getitem__)
    return Assigned(spec.variants[won], shares[won] / math.fsum(shares))


def pinned(spec: LoopSpec, name: str) -> Assigned:
    """The variant that a request names, for sure. Raises InvalidInput that lists those there are.

    >>> spec = LoopSpec(name="a", variants=(Variant(name="x", url="http://x/v1", model="m"),))
    >>> pinned(spec, "x").propensity
    1.0
    """
    for variant in spec.variants:
        if variant.name == name:
            return Assigned(variant, 1.0)
    there = ", ".join(variant.name for variant in spec.variants)
    raise InvalidInput(f"variant: loop {spec.name!r} has none called {name[:60]!r}; there are: {there}")


def fallbacks(spec: LoopSpec, assigned: Variant) -> list[Variant]:
    """Who is asked, in order: the one that was assigned, then the others as they are declared."""
    return [assigned, *(variant for variant in spec.variants if variant.name != assigned.name)]


def _each(spec: LoopSpec, shares: Sequence[float]) -> "zip[tuple[Variant, float]]":
    return zip(spec.variants, shares, strict=True)


def _unit(spec: LoopSpec, pseudonyms: Pseudonyms, subject: str | None, session: str | None) -> bytes:
    """What stays the same for whoever keeps their variant; different in each loop, so that loops do not move as one."""
    if spec.sticky == "subject" and subject is not None:
        named = f"{spec.name}/subject/{pseudonyms.of(subject)}"
    elif spec.sticky != "request" and session is not None:
        named = f"{spec.name}/session/{session}"
    else:
        return os.urandom(16)
    return str(pseudonyms.of(named)).encode()


def _draw(unit: bytes, name: str) -> float:
    """An exponential draw: the least of several, each divided by its weight, falls on each as often as it weighs."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=unit[:64]).digest()
    return -math.log(((int.from_bytes(digest, "big") >> 11) + 0.5) * 2.0**-53)
