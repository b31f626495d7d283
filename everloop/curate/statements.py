"""What each piece of feedback says about the label of its interaction's input."""

from collections.abc import Iterable
from typing import Literal

from everloop.types import (
    Annotation,
    Correction,
    Demonstration,
    Feedback,
    Interaction,
    Intervention,
    Label,
    Rating,
    Statement,
    Thumb,
)

Kind = Literal["label", "correction", "demonstration", "intervention", "confirmed", "refuted"]

# What makes a message more than its text; several choices are several answers, and nobody says which one was meant.
_NOT_TEXT = ("tool_calls", "function_call", "refusal", "audio", "choices")
_GOOD, _BAD = 0.75, 0.25  # a rating at or beyond these, as a share of its scale, confirms or refutes the answer


def statements(
    interaction: Interaction, feedback: Iterable[Feedback], annotations: Iterable[Annotation] = ()
) -> tuple[Statement, ...]:
    """The statements about one interaction, oldest first. Of several by one person the last counts: they thought again.

    Votes, comments, implicit signals and outcomes say nothing about which label is right and are left to later stages.
    """
    found: dict[str, Statement] = {}
    for item in sorted(feedback, key=lambda f: (f.at, f.id)):
        said = _said(interaction, item)
        if said is not None:
            key = f"{item.source} {item.subject}" if item.subject is not None else item.id
            found.pop(key, None)
            found[key] = Statement(
                id=item.id, kind=said[0], value=said[1], interaction=interaction.id, subject=item.subject,
                by=item.subject,
            )  # fmt: skip
    for note in sorted(annotations, key=lambda a: (a.at, a.id)):
        found.pop(note.annotator, None)
        found[note.annotator] = Statement(
            id=note.id, kind="annotation", value=note.value, interaction=interaction.id, by=note.annotator
        )
    return tuple(found.values())


def _said(interaction: Interaction, item: Feedback) -> tuple[Kind, str] | None:
    answer = _whole(interaction)
    match item:
        case Correction(value=value):
            return "correction", value
        case Label(value=value):
            return "label", value
        case Demonstration(value=value):
            return "demonstration", value
        case Intervention(reason=reason, hindsight_label=hindsight, value=value) if reason != "no_fault":
            return "intervention", hindsight or value
        case Thumb(value=value) if answer is not None:
            return ("confirmed" if value == "up" else "refuted"), answer
        case Rating(value=value, scale=scale) if answer is not None:
            if value >= _GOOD * scale:
                return "confirmed", answer
            if value <= _BAD * scale:
                return "refuted", answer
    return None


def _whole(interaction: Interaction) -> str | None:
    """The answer, where its text is all of it: one that broke off, or that calls a tool, is nothing to learn by heart,
    however much somebody liked it."""
    more = any((interaction.message or {}).get(name) for name in _NOT_TEXT)
    return None if more or interaction.status != "complete" or not interaction.output else interaction.output
