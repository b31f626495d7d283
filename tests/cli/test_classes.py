"""``everloop classes``."""

import pytest

from everloop.types import Annotation, Audit, ProposedClass, Review
from everloop.wheel import open as open_wheel


@pytest.fixture
def found(run, home):
    """A loop with two proposals, as a turn leaves them."""
    with open_wheel(home) as wheel:
        loop = wheel.loop("desk", labels=["card", "refund"])
        loop.log_many({"id": f"{kind}{n}", "input": f"[red]{kind} please {n}"} for kind in ("oil", "dog")
                      for n in range(12 + (kind == "oil")))  # fmt: skip
        wheel.store.records.replace(*(
            ProposedClass(
                id=f"{kind * 5}", loop="desk", turn=1, name=f"{kind}_please", words=(kind, "[red]please"), score=0.4,
                interactions=tuple(f"{kind}{n}" for n in range(12)), nearest="card", size=12 + (kind == "oil"),
            ) for kind in ("oil", "dog")
        ))  # fmt: skip
    return run


def test_list_show_accept_and_refuse(found, home):
    listed = found("classes", "desk")
    assert listed.code == 0, listed
    assert "oil_please" in listed.out
    assert "[red]please" in listed.out
    assert "accept 1 --as NAME" in listed.out
    assert [one["proposed"]["size"] for one in found("classes", "desk", "--json").document["open"]] == [13, 12]
    assert "[red]oil please 9" in found("classes", "desk", "show", "1").out
    assert len(found("classes", "desk", "show", "dog_please", "--json").document["typical"]) == 10
    words = ("classes", "desk", "accept", "1", "--as", "oil", "--label-shown", "--annotator", "ann")
    said = found(*words).out
    assert "accepted: oil, now a label of desk" in said
    assert "10 labelled, as the word of ann" in said
    assert "2 wait for a person" in said
    assert "refused" in found("classes", "desk", "refuse", "dogdog").out
    last = found("classes", "desk").out
    assert "no class is proposed" in last
    assert "accepted" in last
    assert "refused" in last
    with open_wheel(home) as wheel:
        assert wheel.get("desk").spec.labels == ("card", "refund", "oil")
        assert {n.annotator for n in wheel.store.records.find(Annotation)} == {"ann"}
        assert wheel.store.records.count(Review, state="open") == 2
        assert [(row.action, row.target) for row in wheel.store.records.find(Audit)] == [
            ("classes.accept", "oiloiloiloiloil"), ("classes.refuse", "dogdogdogdogdog")]  # fmt: skip


def test_mistakes(found):
    for words, says in (
        (("nowhere",), "no loop called 'nowhere'"),
        (("desk", "acept"), "'acept': list, show, accept, refuse"),
        (("desk", "accept"), "which class?"),
        (("desk", "accept", "3"), "no proposed class '3'"),
        (("desk", "refuse", "cat"), "open are: oiloiloiloiloil (oil_please)"),
        (("desk", "accept", "1", "--as", "x" * 501), "at most 500"),
    ):
        assert says in found("classes", *words).mistake


def test_a_loop_without_a_model_says_what_it_waits_for(run):
    run("init", "bare")
    assert "once a model of the loop's own is live" in run("classes", "bare").out
