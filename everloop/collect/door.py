"""What everything from outside passes before it is written: who it is of becomes a pseudonym, what is private goes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from everloop.collect.attachments import Keeper
from everloop.collect.consent import Preferences
from everloop.collect.pseudonyms import Pseudonyms
from everloop.redact import BUILT_IN, Finder, Recogniser, redact_value

_HOLDS_TEXT = (str, dict, tuple, list)


class Door(NamedTuple):
    """One installation's door."""

    pseudonyms: Pseudonyms
    recognisers: Sequence[Recogniser | Finder] = BUILT_IN  # empty: nothing is redacted
    max_input_bytes: int = 1_000_000
    keeper: Keeper | None = None  # None: attachments stay where they are
    preferences: Preferences | None = None  # None: nobody ever said anything

    def clean(self, fields: dict[str, Any], names: Sequence[str]) -> dict[str, int]:
        """Redact those of `fields` that are named, in place; how often each type was found.

        Raises InvalidInput for a value nested too deep to look through.
        """
        found: dict[str, int] = {}
        if not self.recognisers:
            return found
        for name in names:
            if name not in fields:
                continue
            given = fields[name]
            if isinstance(given, _HOLDS_TEXT) and not _numbers(given):
                fields[name], counts = redact_value(given, self.recognisers, context=name)
                for kind, n in counts.items():
                    found[kind] = found.get(kind, 0) + n
        return found


def _numbers(value: Any) -> bool:
    """A vector: measurements, in which nobody writes a card number."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], int | float)
