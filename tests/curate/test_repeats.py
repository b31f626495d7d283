"""Rows that say the same: left out of the pool where that is certified, never against what a person said or undid."""

import numpy as np
import pytest
from msgspec.structs import replace

from everloop.curate import Funnel, repeats
from everloop.curate.rules import DEFAULT_ORDER
from everloop.curate.rules_row import MEANING
from everloop.types import Evidence, LoopSpec, Policy, Statement

SPEC = LoopSpec(name="l", policy=Policy(rules=(*DEFAULT_ORDER, MEANING)))
TOPICS = 60


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    monkeypatch.setattr(repeats, "MAX_DIFFERENT", 0.2)  # 17 rows certify it, and 34 begin the search


def row(name, said="", split="train", **more):
    statements = (Statement(id=f"s{name}", kind="label", value=said, interaction=f"i{name}"),) if said else ()
    return Evidence(id=name, loop="l", input=name, interaction=f"i{name}", group=name, split=split,
                    statements=statements, **more)  # fmt: skip


def vectors(texts):
    """The direction of a text is the number it begins with; what follows a dot turns it a little."""
    found = np.zeros((len(texts), 200), np.float32)
    for n, text in enumerate(texts):
        topic, _, other = text.partition(".")
        found[n, int(topic)] = 1
        if other:
            found[n, 100 + int(topic)] = 0.02 * int(other)
    return found


def funnel(pool, wrong=0, topics=TOPICS):
    known = [row(f"{n}", f"label {n}") for n in range(topics)]
    known += [row(f"{n}.1", "another" if n < wrong else f"label {n}") for n in range(topics)]
    return Funnel(known, list(pool), [], [], [], 200, (("duplicate", 3), ("semantic_duplicate", 0), ("no_signal", 9)))


def passed(made, spec=SPEC, undone=()):
    return repeats.without_repeats(
        made, spec, 4, vectors=vectors, label_of=lambda one: one.statements[0].value, undone=undone
    )


def test_what_says_the_same_as_a_labelled_row_or_one_before_it_goes():
    done = passed(funnel([row("7.2"), row("70"), row("70.1"), row("71")]))
    assert done.meaning.threshold is not None
    assert [one.id for one in done.pool] == ["70", "71"]
    first, second = done.drops
    assert (first.id, first.matched, first.reason, first.stage) == ("i7.2", "i7.1", "semantic_duplicate", "curate")
    assert (first.loop, first.turn, second.id, second.matched) == ("l", 4, "i70.1", "i70")
    assert 0.99 < first.score <= 1
    assert done.waterfall == (("duplicate", 3), ("semantic_duplicate", 2), ("no_signal", 7))
    assert repeats.alike(done)["meaning"]["n"] == TOPICS


def test_a_loop_that_does_not_ask_for_it_is_left_as_it_is():
    made = funnel([row("7.2")])
    assert passed(made, replace(SPEC, policy=Policy())) is made
    assert repeats.alike(made) == {}


def test_what_was_taken_back_stays_and_is_a_row_like_any_other():
    pool = [row("70"), row("70.1"), row("70.2")]
    undone = {("i70.1", "semantic_duplicate"), ("i70.2", "length")}
    done = passed(funnel(pool), undone=undone)
    assert [one.id for one in done.pool] == ["70", "70.1"]
    assert [drop.matched for drop in done.drops] == ["i70.1"]


def test_golden_rows_and_rows_with_a_word_said_of_them_stay():
    refuted = (Statement(id="s", kind="refuted", value="label 7", interaction="i7.3"),)
    pool = [row("7.2", split="golden"), row("8.2", split="test"), replace(row("7.3"), statements=refuted)]
    assert passed(funnel(pool)).pool == pool


def test_nothing_goes_for_being_like_a_golden_row():
    made = funnel([row("70.1")])
    made.evidence.append(row("70", "label 70", split="golden"))
    assert len(passed(made).pool) == 1


@pytest.mark.parametrize(("wrong", "topics", "why"), [(30, TOPICS, None), (0, 20, 34)])
def test_where_nothing_can_be_promised_nothing_goes(wrong, topics, why):
    made = funnel([row("7.2")], wrong, topics)
    done = passed(made)
    assert done._replace(meaning=None) == made
    told = repeats.alike(done)["meaning"]
    assert told["threshold"] is None
    assert told["labelled"] == 2 * topics
    assert told["needed"] == (None if why is None else 2 * why)


def test_thumbs_up_certify_nothing():
    made = funnel([row("7.2")])
    up = [replace(one, statements=tuple(replace(s, kind="confirmed") for s in one.statements)) for one in made.evidence]
    done = passed(made._replace(evidence=up))
    assert done.meaning.n == 0
    assert done.pool == made.pool


def test_nothing_at_all_and_numbers():
    empty = Funnel([], [], [], [], [], 0, ())
    assert passed(empty).pool == []
    numbers = [replace(one, input=vectors([one.input])[0].tolist()) for one in [*funnel([]).evidence, row("7.2")]]
    done = passed(empty._replace(evidence=numbers[:-1], pool=numbers[-1:]))
    assert [drop.id for drop in done.drops] == ["i7.2"]
    assert done.waterfall == (("semantic_duplicate", 1),)
