"""Releases: the newest live one decides, and a verdict against yesterday's champion promotes nobody."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.deploy import live, promote, roll_back
from everloop.errors import Conflict
from everloop.types import Model, Spec, Verdict


def verdict(candidate, champion, outcome="pass"):
    return Verdict(id="v", loop="l", turn=1, candidate=candidate, champion=champion, outcome=outcome, reason="r",
                   metric="accuracy", estimate=0.1, low=0.0, high=0.2, n=50, level=0.95, margin=0.02,
                   method="m")  # fmt: skip


def model(id):
    return Model(id=id, loop="l", turn=1, spec=Spec(name="x.v1"), dataset="d", blob="b", size=1, classes=("a",),
                 seconds=0, at=0)  # fmt: skip


def history(*names):
    releases = []
    for name in names:
        current = live(releases)
        releases.append(promote(releases, verdict(name, current.model if current else None)))
    return releases


def test_only_a_pass_against_the_current_champion_goes_live():
    releases = history("m1")
    assert promote(releases, verdict("m2", "m1", "inconclusive")) is None
    assert promote(releases, verdict("m2", "m1", "fail")) is None
    assert promote(releases, verdict("m2", None)) is None
    assert promote(history("m1", "m2"), verdict("m3", "m1")) is None
    assert live([*releases, promote(releases, verdict("m2", "m1"))]).model == "m2"


def test_rollback_goes_back_step_by_step_and_stops_at_the_first():
    releases, models = history("m1", "m2", "m3"), [model(m) for m in ("m1", "m2", "m3")]
    for expected in ("m2", "m1"):
        releases += roll_back("l", releases, models, None, "me", "")
        assert live(releases).model == expected
    with pytest.raises(Conflict, match="nothing to go back to"):
        roll_back("l", releases, models, None, "me", "")


@given(st.lists(st.sampled_from(["m1", "m2", "m3", None]), max_size=12))
def test_after_any_rollbacks_exactly_one_model_is_live(targets):
    releases, models = history("m1", "m2", "m3"), [model(m) for m in ("m1", "m2", "m3")]
    for to in targets:
        before = live(releases).model
        try:
            releases += roll_back("l", releases, models, to, "me", "why")
        except Conflict:
            assert live(releases).model == before
            continue
        assert live(releases).model != before
        assert releases[-2].stage == "rolled_back"
        assert releases[-2].model == before
