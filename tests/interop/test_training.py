"""Rows for trainers, and which answers people prefer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.interop import training
from everloop.types import Correction, Example, Interaction, Vote

CHAT = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}


def it(id: str, output: str | None, given: Any = "q", **more: Any) -> Interaction:
    return Interaction(id=id, loop="l", at=1, input=given, output=output, **more)


def vote(id: str, on: str, value: Any, other: str = "", who: str | None = None, **more: Any) -> Vote:
    return Vote(id=id, interaction=on, at=int(id[1:]), value=value, other=other, subject=who, **more)


THERE = {one.id: one for one in (
    it("a", "A"), it("b", "B"), it("c", "C"), it("else", "D", "another question"), it("broken", "E", status="partial"),
    it("none", None), it("tool", "", message={"tool_calls": [1]}),
)}  # fmt: skip


def prefer(*said: Any) -> list[tuple[str, str, str]]:
    return [(p.chosen, p.rejected, p.source) for p in training.pairs(THERE, said).pairs]


def test_corrections_prefer_what_the_person_wrote() -> None:
    said = [Correction(id=f"f{n}", interaction=on, at=n, value=value) for n, (on, value) in enumerate(
        [("a", "better"), ("b", "B"), ("none", "x"), ("broken", "x"), ("tool", "x"), ("absent", "x")])]  # fmt: skip
    (pair,) = training.pairs(THERE, said).pairs
    assert (pair.input, pair.chosen, pair.rejected, pair.evidence) == ("q", "better", "A", ("a", "f0"))


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (vote("f1", "a", "this", "b"), [("A", "B", "vote")]),
        (vote("f1", "a", "other", "b"), [("B", "A", "vote")]),
        (vote("f1", "a", "tie", "b"), []),
        (vote("f1", "a", "both_bad", "b"), []),
        (vote("f1", "a", 1, others=("b", "c")), [("A", "B", "vote"), ("A", "C", "vote")]),
        (vote("f1", "a", 2, "b", others=("b", "c")), [("B", "A", "vote")]),
        (vote("f1", "a", "this", "else"), []),  # another question
        (vote("f1", "a", "this", "broken"), []),
        (vote("f1", "a", "this", "absent"), []),
        (vote("f1", "absent", "this", "a"), []),
        (vote("f1", "a", "this"), []),
    ],
)
def test_votes(said: Vote, meant: list[Any]) -> None:
    assert prefer(said) == meant


def test_voices_are_counted_against_each_other() -> None:
    for_a = [vote(f"f{n}", "a", "this", "b", f"u{n}") for n in range(2)]
    for_b = [vote(f"f{n}", "b", "this", "a", f"u{n}") for n in range(3, 6)]
    found = training.pairs(THERE, [*for_a, *for_b])
    assert [(p.chosen, p.votes) for p in found.pairs] == [("B", 1)]
    even = training.pairs(THERE, [*for_a, *for_b[:2]])
    assert (even.pairs, even.undecided) == ([], 1)
    again = vote("f9", "a", "other", "b", "u0")  # thought again
    assert prefer(for_a[0], again) == [("B", "A", "vote")]
    assert training.pairs(THERE, [vote("f1", "a", "this", "else")]).unequal == 1


VALUES = st.sampled_from(["this", "other", "tie", 1, 2])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), VALUES,
                          st.sampled_from(["u1", "u2", None])), max_size=12))  # fmt: skip
def test_no_pair_says_both_ways(said: list[Any]) -> None:
    votes = [vote(f"f{n}", on, value, other, who) for n, (on, other, value, who) in enumerate(said)]
    found = prefer(*votes)
    assert all(a != b and (b, a) not in {(x, y) for x, y, _ in found} for a, b, _ in found)
    assert len({frozenset(p[:2]) for p in found}) == len(found)


def example(given: Any, target: str = "card", **more: Any) -> Example:
    return Example(**{"id": "e1", "loop": "l", "input": given, "target": target, "origin": "human", "split": "train",
                      "group": "e1", "subjects": ("u1",), **more})  # fmt: skip


def test_rows() -> None:
    asked = [{"role": "user", "content": "where"}]
    assert training.openai_row(example("where")) == {"messages": [*asked, {"role": "assistant", "content": "card"}]}
    assert training.trl_row(example("where")) == {"prompt": asked, "completion": [
        {"role": "assistant", "content": "card"}]}  # fmt: skip
    tools = training.openai_row(example({**CHAT, "tools": [{"type": "function"}]}))
    assert tools["tools"] == [{"type": "function"}]
    assert [m["role"] for m in tools["messages"]] == ["system", "user", "assistant"]
    pair = training.Pair(CHAT, "good", "bad", "vote", (), 1)
    assert training.dpo_row(pair) == {"prompt": "system: Be brief.\n\nuser: Hi", "chosen": "good", "rejected": "bad"}
    assert training.trl_preference_row(pair)["rejected"] == [{"role": "assistant", "content": "bad"}]
    for row in (training.openai_row, training.trl_row):
        with pytest.raises(InvalidInput, match="numbers"):
            row(example([0.5]))
    assert "subjects" not in training.public(example("where"))
    human, machine = (training.labelstudio_task(example("where", origin=o)) for o in ("human", "auto"))
    assert (len(human["annotations"]), len(human["predictions"])) == (1, 0)
    assert (len(machine["annotations"]), len(machine["predictions"])) == (0, 1)
    assert training.argilla_record(example([0.5, 1.0]))["fields"] == {"text": "[0.5,1.0]"}
