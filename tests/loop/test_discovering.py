"""Inputs no class covers: a turn finds them, brings some to the top, and a person decides what they are."""

import shutil
import threading

import msgspec
import numpy as np
import pytest

import everloop
from everloop import deciding
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.loop import evidence_lease
from everloop.turn.discovering import discover, settle
from everloop.turn.opinions import vectors_of, with_proposals
from everloop.turn.sifting import funnel_of
from everloop.types import Annotation, Audit, Policy, ProposedClass, Review, Turn

POLICY = {"golden_share": 0.0, "trigger_feedback": 0, "near_duplicate": 1.0, "auto_error": 0.0}


def rows(kinds, each, seed):
    """`each` lists of 12 numbers of every kind, in turns; kinds are at right angles."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(each):
        for kind in kinds:
            one = 0.4 * rng.standard_normal(12)
            one[kind] += 4
            found.append([round(float(x), 3) for x in one])
    return found


def told(loop, kinds=(0, 1, 2, 3), each=20):
    labels = [f"c{kind}" for kind in kinds] * each
    loop.log_many({"input": x, "label": y} for x, y in zip(rows(kinds, each, 0), labels, strict=True))


def came(loop, kind, each, name, **more):
    loop.log_many({"id": f"{name}{i}", "input": x, **more} for i, x in enumerate(rows((kind,), each, kind)))


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """Four kinds are known and live; a fifth and a sixth have come in, and more of the known."""
    home = tmp_path_factory.mktemp("turned")
    with everloop.open(home) as wheel:
        loop = wheel.loop("desk", policy=POLICY)
        told(loop)
        loop.turn()
        loop.log_many({"input": x} for x in rows((0, 1, 2, 3), 15, 1))
        came(loop, 6, 20, "six", subject="ann")
        came(loop, 7, 30, "seven", subject="bob")
        loop.turn()
    return home


@pytest.fixture
def wheel(turned, tmp_path):
    shutil.copytree(turned, tmp_path / "home")
    with everloop.open(tmp_path / "home") as wheel:
        yield wheel


@pytest.fixture
def loop(wheel):
    return wheel.get("desk")


def seen(loop):
    """What the last turn's label step saw."""
    store, spec = loop.wheel.store, loop.spec
    funnel = funnel_of(loop._bench, spec, loop.records.find(Turn, loop.name)[-1])
    return store, spec, funnel.evidence, with_proposals(store, loop.name, funnel.pool)


def proposed(loop, state="open"):
    return loop.records.find(ProposedClass, loop.name, state=state)


def test_a_turn_proposes_what_no_class_covers_and_asks_about_it(loop):
    one, two = sorted(proposed(loop), key=lambda c: -c.size)
    assert {id[:5] for id in one.interactions} == {"seven"}
    assert {id[:3] for id in two.interactions} == {"six"}
    assert (one.size, two.size, one.turn) == (30, 20, loop.report().turn)
    assert one.name != two.name
    assert one.nearest in {"c0", "c1", "c2", "c3"}
    asked = [r for r in loop.reviews() if r.why == "novel"]
    assert 1 <= len(asked) <= 8
    assert {r.interaction[:3] for r in asked} <= {"six", "sev"}, asked
    assert loop.reviews()[0].why == "novel"
    counts = next(s for s in loop.report().steps if s.name == "label").counts
    assert (counts["proposed_classes"], counts["novel"]) == (2, len(asked))
    assert len(loop.reviews()) <= Policy().review_fresh
    assert loop.status().proposed_classes == 2


def test_what_was_refused_is_not_proposed_again_nor_what_is_like_it(loop):
    spec, store = loop.spec, loop.wheel.store
    one, two = sorted(proposed(loop), key=lambda c: -c.size)
    deciding.refuse(store, spec, one.id, by="me")
    loop.turn()
    assert [c.id for c in proposed(loop)] == [two.id]  # the same rows, the same proposal
    # Others of the kind, without those that were refused: likeness alone tells.
    for id in one.interactions[10:]:
        loop.feedback(id, label="elsewhere")
    loop.log_many({"id": f"again{i}", "input": x} for i, x in enumerate(rows((7,), 12, 99)))
    came(loop, 9, 15, "nine")
    loop.turn()
    found = {id[:4] for c in proposed(loop) for id in c.interactions}
    assert "nine" in found
    assert not found & {"agai", "seve"}
    assert [c.id for c in proposed(loop, "refused")] == [one.id]
    with pytest.raises(Conflict, match="refused already"):
        deciding.accept(store, loop.wheel.door, spec, one.id, name="x")


def test_where_what_seemed_novel_was_known_fewer_such_rows_are_asked_about(loop):
    full = discover(loop.records, loop.spec, 9, *seen(loop)[2:], vectors_of).share
    reviews = [r for r in loop.reviews() if r.why == "novel"]
    for review in reviews:
        loop.annotate(review.id, "c0", annotator="ann")  # of a class with twenty other labelled rows
    less = discover(loop.records, loop.spec, 9, *seen(loop)[2:], vectors_of).share
    assert less == pytest.approx(full * 2 / (len(reviews) + 2))
    assert full == pytest.approx(0.2)


def test_where_it_was_new_as_many_are_asked_about_as_ever(loop):
    for review in [r for r in loop.reviews() if r.why == "novel"]:
        loop.annotate(review.id, "something else", annotator="ann")
    assert discover(loop.records, loop.spec, 9, *seen(loop)[2:], vectors_of).share == pytest.approx(0.2)


def test_a_turn_without_a_live_model_leaves_what_is_open(loop, wheel):
    bare = wheel.loop("bare", policy=POLICY)
    came(bare, 5, 30, "five")
    bare.turn()
    assert proposed(bare) == []
    assert "once a model" in deciding.classes(wheel.store, bare.spec).waits


def test_the_same_rows_give_the_same_and_the_order_of_the_pool_counts_for_nothing(loop):
    store, spec, evidence, pool = seen(loop)
    first = discover(store.records, spec, 2, evidence, pool, vectors_of)
    again = discover(store.records, spec, 2, evidence[::-1], pool[::-1], vectors_of)
    assert first == again
    assert len(first.classes) == 2
    lease = store.records.lease("turn:desk", "x", 9)
    gone = msgspec.structs.replace(first.classes[0], interactions=("nobody",))
    assert settle(store.records, loop.name, first._replace(classes=[gone]), lease) is None
    assert settle(store.records, loop.name, first, lease, ["erased"]) is None


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_cannot_be_compared_is_left_out(loop):
    store, spec, evidence, pool = seen(loop)
    odd = ["a text among numbers", [1e300] * 12, [0.0] * 12, [1.0]]
    more = [msgspec.structs.replace(pool[0], id=f"odd{i}", interaction=f"odd{i}", input=x) for i, x in enumerate(odd)]
    found = discover(store.records, spec, 2, evidence, [*pool, *more * 9], vectors_of)
    assert found.classes == discover(store.records, spec, 2, evidence, pool, vectors_of).classes
    assert not any(row.interaction.startswith("odd") for _, row in found.novel)
    none = discover(store.records, spec, 2, evidence, more, vectors_of)
    assert (none.classes, none.looked) == ([], True)
    assert not discover(store.records, spec, 2, evidence[:9], pool, vectors_of).looked


def test_accepted_it_goes_to_the_queue_with_its_name(loop, wheel):
    one = max(proposed(loop), key=lambda c: c.size)
    asked_before = {r.interaction: r for r in loop.reviews()}
    done = deciding.accept(wheel.store, wheel.door, loop.spec, one.id, name=" lucky  seven ", by="me")
    assert (done.proposed.state, done.proposed.label, done.labelled, done.added) == (
        "accepted",
        "lucky seven",
        0,
        False,
    )
    queue = {r.interaction: r for r in loop.reviews()}
    for id in one.interactions:
        review = queue[id]
        if id in asked_before and asked_before[id].why == "random":
            assert review == asked_before[id]
        else:
            assert review.proposal == "lucky seven"
    assert loop.records.count(Annotation, loop.name) == 0
    for id in one.interactions:
        loop.annotate(queue[id].id, "lucky seven")
    loop.turn()
    assert "lucky seven" in loop.models()[-1].classes
    assert one.id not in {c.id for c in proposed(loop)}


def test_those_shown_are_the_persons_word(loop, wheel):
    loop = wheel.loop("desk", labels=["c0", "c1", "c2", "c3"])
    one = max(proposed(loop), key=lambda c: c.size)
    shown = [row.interaction for row in deciding.shown(loop.records, one).typical]
    assert len(shown) == 10
    with pytest.raises(InvalidInput, match="not one of the rows"):
        deciding.accept(wheel.store, wheel.door, loop.spec, one.id, labelled=["six0"])
    done = deciding.accept(
        wheel.store, wheel.door, loop.spec, one.id, name="seven", labelled=shown[:7], annotator="eve"
    )
    assert (done.labelled, done.added) == (7, True)
    assert loop.spec.labels == ("c0", "c1", "c2", "c3", "seven")
    notes = loop.records.find(Annotation, loop.name)
    assert {(n.interaction, n.value, n.annotator) for n in notes} == {(id, "seven", "eve") for id in shown[:7]}
    again = deciding.accept(wheel.store, wheel.door, loop.spec, one.id, name="seven")
    assert (again.labelled, again.added) == (0, False)
    assert loop.records.count(Annotation, loop.name) == 7
    assert {r.interaction for r in loop.records.find(Review, loop.name, state="done")} == set(shown[:7])
    loop.turn()
    assert loop.report().human_labels == 7


def test_a_label_a_closed_set_does_not_have_says_how_to_add_it(loop, wheel):
    loop = wheel.loop("desk", labels=["c0", "c1", "c2", "c3"])
    review = next(r for r in loop.reviews() if r.why == "novel")
    with pytest.raises(InvalidInput, match="everloop init desk --labels c0,c1,…"):
        loop.annotate(review.id, "seven")
    wheel.loop("desk", labels=[])
    loop.annotate(review.id, "seven")


def test_who_is_erased_takes_the_proposal_along(loop, wheel):
    one, two = sorted(proposed(loop), key=lambda c: -c.size)  # bob's and ann's
    deciding.refuse(wheel.store, loop.spec, two.id)
    wheel.forget("bob")
    assert proposed(loop) == []
    loop.log("more", id="six99", subject="carl")
    wheel.forget("ann")
    (left,) = proposed(loop, "refused")
    assert (left.id, left.name, left.words, left.interactions) == (two.id, "", (), ())
    with pytest.raises(NotFound, match="open are: none"):
        deciding.accept(wheel.store, wheel.door, loop.spec, one.id)


def test_whoever_forbids_the_use_is_neither_shown_nor_asked_about(loop, wheel):
    one = max(proposed(loop), key=lambda c: c.size)
    wheel.consent("bob", improve=False)
    assert deciding.shown(loop.records, one).typical == []
    done = deciding.accept(wheel.store, wheel.door, loop.spec, one.id, name="seven")
    assert done.asked == 0


def test_a_decision_waits_for_a_turn_that_writes(loop, wheel, monkeypatch):
    one = proposed(loop)[0]
    lease = wheel.store.records.lease(evidence_lease(loop.name), "a turn", 30)
    threading.Timer(0.2, wheel.store.records.unlease, [lease]).start()
    assert deciding.refuse(wheel.store, loop.spec, one.id).proposed.state == "refused"
    monkeypatch.setattr(deciding, "_WAIT", 0.0)
    assert wheel.store.records.lease(evidence_lease(loop.name), "a turn", 30)
    with pytest.raises(Conflict, match="try again"):
        deciding.refuse(wheel.store, loop.spec, proposed(loop)[0].id)


def test_mistakes(loop, wheel):
    spec, door = loop.spec, wheel.door
    one = proposed(loop)[0]
    for which in ("nothing", "", one.id[:3]):
        with pytest.raises(NotFound, match="open are"):
            deciding.refuse(wheel.store, spec, which)
    for name in ("\x00", "x" * 600, "a\x07b"):
        with pytest.raises(InvalidInput):
            deciding.accept(wheel.store, door, spec, one.id, name=name)
    with pytest.raises(InvalidInput, match="annotator"):
        deciding.accept(wheel.store, door, spec, one.id, name="x", annotator="")
    assert deciding.named(loop.records, "desk", one.id[:6]) == one
    assert loop.records.find(Audit) == []
    assert len(proposed(loop)) == 2
