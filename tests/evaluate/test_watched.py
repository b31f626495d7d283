"""Slices somebody watches: what they are, which rows they hold, and what they do to a verdict."""

import numpy as np
import pytest

from everloop.errors import InvalidInput
from everloop.evaluate import WATCHED, checked, id_of, judge, members, named, parse, space_of, with_watched
from everloop.types import Example, WatchedSlice


def verdict(right, rival, slices, **more):
    return judge(
        id="v", loop="l", turn=3, candidate="new", champion="old", targets=["x"] * len(right), slices=slices,
        answers=["x" if r else "y" for r in right], champion_answers=["x" if r else "y" for r in rival], **more,
    )  # fmt: skip


def better_but(lost, kept=0, gained=60, both=300):
    """A candidate that gains, and loses `lost` rows of a slice called deep."""
    right = [1] * gained + [1] * both + [0] * lost + [1] * kept
    rival = [0] * gained + [1] * both + [1] * (lost + kept)
    return right, rival, [("lang=en",)] * (gained + both) + [("lang=de", "deep")] * (lost + kept)


def test_a_small_watched_slice_that_suffers_stops_a_better_candidate():
    right, rival, slices = better_but(9, 3)
    assert verdict(right, rival, slices).outcome == "pass"
    found = verdict(right, rival, slices, watched=["deep"])
    assert found.outcome == "fail"
    assert found.reason.startswith("worse in the watched slice deep: -75.0 points")
    assert "on 12 golden rows" in found.reason
    assert {s.slice: s.n for s in found.slices}["deep"] == 12


def test_a_watched_slice_is_named_before_one_that_is_worse_still():
    right, rival, slices = better_but(20, 20)
    slices = [(*names, "lang=de") for names in slices]
    right, rival = [*right, *[0] * 30], [*rival, *[1] * 30]
    found = verdict(right, rival, [*slices, *[("lang=fr",)] * 30], watched=["deep"])
    assert "the watched slice deep" in found.reason


@pytest.mark.parametrize("rows", [0, 1, WATCHED - 1])
def test_too_few_rows_of_a_watched_slice_are_said_and_block_only_where_the_policy_wants_it(rows):
    right, rival, slices = better_but(rows)
    found = verdict(right, rival, slices, watched=["deep"])
    assert found.outcome == "pass"
    assert f"too few golden rows to tell in the watched deep ({rows}): {WATCHED} are needed" in found.reason
    assert [s.outcome for s in found.slices if s.slice == "deep"] == ["inconclusive"] * (rows > 0)
    strict = verdict(right, rival, slices, watched=["deep"], strict=True)
    assert strict.outcome == "inconclusive"
    assert "a loss of 2 points is not ruled out in the watched slice deep" in strict.reason


def test_a_watched_slice_that_holds_lets_a_candidate_pass_even_strictly():
    right, rival, slices = better_but(0, kept=400)
    assert verdict(right, rival, slices, watched=["deep"], strict=True).outcome == "pass"


def test_other_slices_do_not_blunt_the_watched_ones():
    """A field with very many values must not widen the interval of a slice that was named beforehand."""
    right, rival, slices = better_but(8, 4, both=2_000)
    many = [(*names, f"shop={i % 100}") for i, names in enumerate(slices)]
    few = verdict(right, rival, slices, watched=["deep"]).slices
    lots = verdict(right, rival, many, watched=["deep"]).slices
    assert next(s for s in few if s.slice == "deep") == next(s for s in lots if s.slice == "deep")


def test_without_watched_slices_nothing_changes():
    right, rival, slices = better_but(30, 10)
    assert verdict(right, rival, slices) == verdict(right, rival, slices, watched=(), strict=True)


def test_first_models_and_few_golden_rows_say_what_they_said():
    found = judge(id="v", loop="l", turn=1, candidate="a", champion=None, answers=["x"] * 5, champion_answers=None,
                  targets=["x"] * 5, watched=["deep"], strict=True)  # fmt: skip
    assert found.reason == "5 golden rows are too few to judge by: needs 15 more golden labels"
    few = verdict([1] * 5, [1] * 5, [()] * 5, watched=["deep"])
    assert few.reason == found.reason


def test_terms_are_read_and_mistakes_said():
    assert parse(" lang=de & channel=web & lang=de ") == ("channel=web", "lang=de")
    assert parse("page=a&b") == ("page=a&b",)
    assert parse("note=") == ("note=",)
    for wrong in ("", "web", "=web", "a=1 & ", "a=" + "x" * 300, " & ".join(f"f{i}=1" for i in range(9))):
        with pytest.raises(InvalidInput):
            parse(wrong)
    assert checked(["b=1", "a=2"]) == ("a=2", "b=1")
    assert named("", ("a=2", "b=1")) == "a=2 & b=1"
    assert named("  young \n people ", ("a=2",)) == "young people"
    for wrong in ("lang=fr", "x" * 201):
        with pytest.raises(InvalidInput):
            named(wrong, ("a=2",))
    assert id_of("l", ("a=1", "b=2")) == id_of("l", ("b=2", "a=1")) != id_of("m", ("a=1", "b=2"))


def test_members_by_terms_and_by_distance_and_vectors_only_where_they_are_needed():
    web = WatchedSlice(id="1", loop="l", name="web and german", terms=("channel=web", "lang=de"))
    near = WatchedSlice(id="2", loop="l", name="near", centroid=(1.0, 0.0), radius=0.5, space="numbers.2")
    terms = [("channel=web", "lang=de"), ("channel=web",), ("lang=de", "channel=web", "x=1")]
    asked = []

    def vectors():
        asked.append(1)
        return np.array([[1.0, 0.4], [1.0, 0.6], [0.0, 0.0]])

    assert [m.tolist() for m in members([web], terms, "numbers.2", vectors)] == [[True, False, True]]
    assert not asked
    rows = [Example(id=str(i), loop="l", input=[0.0, 0.0], target="card", origin="human", split="golden", group=str(i),
                    slices=row) for i, row in enumerate(terms)]  # fmt: skip
    cards = WatchedSlice(id="3", loop="l", name="cards", terms=("channel=web", "label=card"))
    assert [names[-1] for names in with_watched([cards], rows, vectors)] == ["cards"] * 3
    found = with_watched([web, near, near], rows, vectors)
    assert found == [(*terms[0], "web and german", "near"), terms[1], (*terms[2], "web and german")]
    assert asked == [1]
    assert not any(m.any() for m in members([near], terms, "text.256", vectors)), "another space's vectors"
    assert [m.tolist() for m in members([web, near], [], "numbers.2", vectors)] == [[], []]
    assert (space_of([[1.0, 2.0]]), space_of(["a"]), space_of([])) == ("numbers.2", "text.256", "text.256")
