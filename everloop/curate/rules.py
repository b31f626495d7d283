"""Every rule there is by default, and which of them a loop is judged by when it says nothing.

What is on by default was measured on real rows first (benchmarks/funnel.py). Within rules on single rows, and within
rules on evidence, the order is configuration (`Policy.rules`); strangers register more under kind "rule".
"""

from everloop.curate import rules_row, rules_text, rules_traffic
from everloop.curate.rule import Rule, reason
from everloop.curate.rules_row import CONSENT, DUPLICATE, SEALED
from everloop.registry import register
from everloop.types import Policy

BUILT_IN: tuple[Rule, ...] = (
    *rules_row.DOOR, *rules_text.RULES, *rules_traffic.RULES, rules_row.TWICE, *rules_row.SAID,
)  # fmt: skip
for _rule in BUILT_IN:
    register("rule", _rule.name, _rule)

_DOOR = tuple(rule.name for rule in rules_row.DOOR)
_SAID = (DUPLICATE, "straddles.v1", "contradicted.v1", "no_signal.v1")
# What gives orders to a model would be learned by heart, whatever the model is for.
_WORDS = ("smuggled.v1", "injection.v1", "boilerplate.v1")
DEFAULT_ORDER = (*_DOOR, *_WORDS, "flood.v1", "length.v1", "gibberish.v1", *_SAID)
# People paste logs, code and whole letters into a chat: what is strange there is no noise.
CHAT_ORDER = (*_DOOR, "smuggled.v1", "injection.v1", "flood.v1", *_SAID)


def order(policy: Policy, task: str = "classify") -> tuple[str, ...]:
    """The names of the rules a loop is judged by, in their order; whether people are asked is not configuration."""
    names = policy.rules
    if not names:
        names = CHAT_ORDER if task == "chat" else DEFAULT_ORDER
        if policy.languages:
            names = (*names[: names.index(DUPLICATE)], "language.v1", *names[names.index(DUPLICATE) :])
    return names if CONSENT in names else (CONSENT, *names)


__all__ = ["BUILT_IN", "CHAT_ORDER", "CONSENT", "DEFAULT_ORDER", "DUPLICATE", "SEALED", "order", "reason"]
