"""What reviews say of other people's rows, inside the writer's transaction: it goes when those people are erased."""

import sqlite3

from msgspec.structs import replace

from everloop.store.encoding import encode
from everloop.store.sqlite_kinds import kind_of, listed
from everloop.store.statements import query
from everloop.types import Doubt, Review

_REVIEW = kind_of(Review)


def blanked(connection: sqlite3.Connection, interactions: set[str], statements: set[str]) -> list[Review]:
    """Reviews with a doubt that names one of these, as they are to be written again; blanked where they are.

    A label that nobody who is left has given is no longer told.
    """
    found = [_REVIEW.decode(body) for (body,) in connection.execute(query("doubting_reviews")).fetchall()]
    less = []
    for review in found:
        left = _without(review.doubt, interactions, statements)
        if left != review.doubt:
            less.append(replace(review, doubt=left))
    sql = query("blank", table=_REVIEW.table, where=query("among", column="id"))
    connection.execute(sql, (listed(review.id for review in less),))
    return less


def rewrite(connection: sqlite3.Connection, reviews: list[Review]) -> None:
    """Write them, those that are there still."""
    connection.executemany(query("rewrite_review"), [(encode(one).decode(), one.id) for one in reviews])


def _without(doubt: Doubt, interactions: set[str], statements: set[str]) -> Doubt:
    said = tuple(id for id in doubt.said if id not in statements)
    return replace(
        doubt, said=said, given=doubt.given if said or not doubt.said else None,
        supporting=tuple(id for id in doubt.supporting if id not in interactions),
        opposing=tuple(id for id in doubt.opposing if id not in interactions),
        others=tuple(id for id in doubt.others if id not in interactions),
    )  # fmt: skip
