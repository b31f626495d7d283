"""Erasure of a subject, inside the writer's transaction: rows, waiting feedback, and examples of every version."""

import sqlite3
from typing import Any

import msgspec
from msgspec.structs import replace

from everloop.store import sqlite_doubts
from everloop.store.digests import subject_key
from everloop.store.encoding import encode
from everloop.store.protocols import Erased
from everloop.store.sqlite_kinds import PROPOSED_CLASS, listed
from everloop.store.sqlite_signals import forget_rows
from everloop.store.sqlite_uses import release_feedback, release_interactions
from everloop.store.sqlite_versions import holders
from everloop.store.statements import query
from everloop.types import DatasetVersion, Example, ProposedClass

_decode_example = msgspec.json.Decoder(Example).decode
_decode_version = msgspec.json.Decoder(DatasetVersion).decode


def erase(connection: sqlite3.Connection, subject: str) -> Erased:
    """Take out everything of `subject` and what hangs on it."""
    of_subject: dict[str, Any] = {"key": subject_key(subject), "subject": subject}

    def ids(name: str, values: Any) -> list[str]:
        return [id for (id,) in connection.execute(query(name), values).fetchall()]

    interactions = ids("interactions_of_subject", of_subject)
    of_subject["interactions"] = listed(interactions)
    feedback = ids("feedback_of_subject", of_subject)
    reviews = ids("reviews_of", of_subject)
    of_subject["reviews"] = listed(reviews)
    doomed = {
        "interaction": ("interactions", "id", interactions),
        "feedback": ("feedback", "id", feedback),
        "held": ("held", "id", ids("held_of_subject", of_subject)),
        "drop": ("drops", "id", [*interactions, *feedback]),
        "drop_audit": ("drop_audits", "interaction", [*interactions, *feedback]),
        "review": ("reviews", "id", reviews),
        "annotation": ("annotations", "id", ids("annotations_of", of_subject)),
        "placement": ("placements", "interaction", interactions),
        "source_answer": ("source_answers", "interaction", interactions),
        "proposed_class": (PROPOSED_CLASS.table, "id", ids("open_classes_of", of_subject)),
        "derived": ("derived", "interaction", [*interactions, *ids("interactions_of_feedback", (listed(feedback),))]),
    }
    wordless = _wordless(connection, of_subject, set(interactions))
    doubting = sqlite_doubts.blanked(connection, set(interactions), {*feedback, *doomed["annotation"][2]})
    rows = {}
    for statement in ("blank", "delete"):
        forget_rows(connection, listed(feedback), None, blank=statement == "blank")
        for word, (table, column, gone) in doomed.items():
            sql = query(statement, table=table, where=query("among", column=column))
            rows[word] = connection.execute(sql, (listed(gone),)).rowcount
    connection.executemany(query("rewrite_class"), [(encode(one).decode(), one.id) for one in wordless])
    sqlite_doubts.rewrite(connection, doubting)
    rows["blob"] = release_interactions(connection, interactions) + release_feedback(
        connection, [*feedback, *doomed["held"][2]]
    )
    rows["example"], versions = _erase_examples(connection, subject)
    models = ids("models_on", (listed(versions),))
    return Erased(rows, tuple(interactions), tuple(versions), tuple(models))


def _wordless(connection: sqlite3.Connection, of: dict[str, Any], gone: set[str]) -> list[ProposedClass]:
    """Classes somebody decided on, blanked where they are, as they are to be written again: without these interactions,
    and without words, which were made of theirs too."""
    found = [PROPOSED_CLASS.decode(body) for (body,) in connection.execute(query("decided_classes_of"), of).fetchall()]
    sql = query("blank", table=PROPOSED_CLASS.table, where=query("among", column="id"))
    connection.execute(sql, (listed(one.id for one in found),))
    return [
        replace(one, name="", words=(), interactions=tuple(id for id in one.interactions if id not in gone))
        for one in found
    ]  # fmt: skip


def _erase_examples(connection: sqlite3.Connection, subject: str) -> tuple[int, list[str]]:
    """How many stored examples went, and the ids of the versions that held them, oldest first."""
    found = []
    for key, version, body in connection.execute(query("examples_of_subject"), (subject_key(subject),)).fetchall():
        example = _decode_example(body)
        if subject in example.subjects:
            found.append((key, version, example.subjects))
    if not found:
        return 0, []
    held = holders(connection, [(key, version) for key, version, _ in found])
    for position, body, count in held:
        version = _decode_version(body)
        changed = replace(version, erased=version.erased + count)
        connection.execute(query("update_version"), (encode(changed).decode(), position))
    keys = listed(key for key, _, _ in found)
    links = [(subject_key(one), key) for key, _, subjects in found for one in subjects]
    connection.executemany(query("forget_example_subject"), links)
    connection.execute(query("forget_removals"), (keys,))
    connection.execute(query("blank", table="examples", where=query("among", column="key")), (keys,))
    connection.execute(query("forget_examples"), (keys,))
    return len(found), [_decode_version(body).id for _, body, _ in held]
