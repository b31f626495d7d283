"""What people say of one input, added up; and whether they contradict each other."""

from collections.abc import Mapping, Sequence

from everloop.curate.rule import Context, Hit
from everloop.types import Evidence, Statement

_SETTLED = ("annotation", "label")
_EVEN = 1e-9  # sums of weights this close are a draw


def ballot(statements: Sequence[Statement], weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """For each label, the weight of what argues for it less the weight of what argues against it.

    A statement weighs what `weights` has for who made it (`Statement.by`), and 1 where it has nothing.

    >>> up = Statement(id="f", kind="confirmed", value="refund", interaction="i", by="ann")
    >>> down = Statement(id="g", kind="refuted", value="refund", interaction="i", by="bot")
    >>> ballot([up, down]), ballot([up, down], {"bot": 0.25})
    ({'refund': 0.0}, {'refund': 0.75})
    """
    votes: dict[str, float] = {}
    for statement in statements:
        weight = weights.get(statement.by, 1.0) if weights and statement.by is not None else 1.0
        votes[statement.value] = votes.get(statement.value, 0.0) + (-weight if statement.kind == "refuted" else weight)
    return votes


def standing(statements: Sequence[Statement], weights: Mapping[str, float] | None = None) -> tuple[Statement, ...]:
    """Of free answers to one question: those that are liked more than disliked, where there is such a one; else all.

    Two different answers that people like are both right; an answer that some like and as many don't is not.
    """
    if any(s.kind in _SETTLED for s in statements):
        return tuple(statements)
    votes = ballot(statements, weights)
    if not any(vote > _EVEN for vote in votes.values()):
        return tuple(statements)
    return tuple(s for s in statements if s.kind == "refuted" or votes[s.value] > _EVEN)


def contradicted(it: Evidence, _: str, context: Context) -> Hit | None:
    """The rule: people disagree about it, with no majority.

    For a label of a closed set, two labels with equal support contradict each other. For free text only an answer's
    own likes and dislikes do.
    """
    if any(s.kind in _SETTLED for s in it.statements):
        return None  # a person was asked, or brought the label: that settles it
    votes = ballot(it.statements, context.weights)
    if not votes:
        return None
    ranked = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    if ranked[0][1] <= _EVEN:
        argued = any(s.kind != "refuted" for s in it.statements)
        return Hit(score=1.0, matched=ranked[0][0]) if argued else None
    if context.task != "chat" and len(ranked) > 1 and ranked[0][1] - ranked[1][1] <= _EVEN:
        return Hit(score=1.0, matched=ranked[1][0])
    return None
