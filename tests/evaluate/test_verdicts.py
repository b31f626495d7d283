import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.evaluate import ENOUGH, judge


def verdict(right, rival, **more):
    """A verdict on rows that the candidate and the champion get right (1) or wrong (0)."""
    given = {
        "id": "v", "loop": "l", "turn": 3, "candidate": "new", "champion": "old", "targets": ["x"] * len(right),
        "answers": ["x" if r else "y" for r in right],
        "champion_answers": None if rival is None else ["x" if r else None for r in rival],
    }  # fmt: skip
    if rival is None:
        given["champion"] = None
    return judge(**{**given, **more})


def mixed(both, better, worse, neither):
    return [1] * (both + better) + [0] * (worse + neither), [1] * both + [0] * better + [1] * worse + [0] * neither


def test_a_better_candidate_passes():
    found = verdict(*mixed(160, 30, 6, 4))
    assert found.outcome == "pass"
    assert found.estimate == pytest.approx(0.12)
    assert (found.n, found.metric, found.method, found.level, found.margin) == (200, "accuracy", "tango", 0.95, 0.02)
    assert found.candidate_score == pytest.approx(0.95)
    assert found.champion_score == pytest.approx(0.83)
    assert found.candidate_low < 0.95 < found.candidate_high
    assert "95.0% right against 83.0% on 200 golden rows (+12.0 points" in found.reason


def test_a_worse_candidate_fails():
    found = verdict(*mixed(160, 6, 30, 4))
    assert found.outcome == "fail"
    assert found.reason.startswith("worse: 83.0% right against 95.0%")


def test_a_small_loss_is_never_a_pass_however_sure():
    """Not inferior by the margin, yet worse on the rows at hand: this is the ratchet that must not turn."""
    found = verdict(*mixed(100_000, 20, 60, 0))
    assert found.low > -0.02
    assert found.outcome != "pass"


def test_a_gain_that_may_be_luck_is_inconclusive():
    found = verdict(*mixed(20, 6, 5, 9))
    assert found.estimate > 0
    assert found.outcome == "inconclusive"
    assert "so many rows show differences from about" in found.reason


def test_equal_answers_on_enough_rows_pass():
    assert verdict([1] * 300, [1] * 300).outcome == "pass"
    assert verdict([1] * 60, [1] * 60).outcome == "inconclusive", "60 rows can't rule out a loss of 2 points"


@pytest.mark.parametrize("n", [0, 1, 7, ENOUGH - 1])
def test_few_rows_are_inconclusive_and_say_how_many_are_missing(n):
    found = verdict([1] * n, [0] * n)
    assert found.outcome == "inconclusive"
    assert f"needs {ENOUGH - n} more golden labels" in found.reason
    assert found.n == n
    assert (found.estimate is None) == (n == 0)


def test_a_slice_that_suffers_stops_a_better_candidate():
    right, rival = mixed(400, 60, 0, 0)
    web = ["channel=web"] * 400 + ["channel=app"] * 60
    right = right + [0] * 30 + [1] * 10
    rival = rival + [1] * 40
    slices = [(name,) for name in web] + [("channel=phone",)] * 40
    found = verdict(right, rival, slices=slices)
    assert found.estimate > 0
    assert found.outcome == "fail"
    assert "worse in channel=phone: -75.0 points" in found.reason
    assert [(s.slice, s.outcome, s.n) for s in found.slices] == [
        ("channel=app", "pass", 60),
        ("channel=phone", "fail", 40),
        ("channel=web", "pass", 400),
    ]


def test_small_slices_are_not_judged_and_many_slices_are_corrected():
    right, rival = mixed(400, 60, 0, 0)
    few = verdict(right + [0] * 10, rival + [1] * 10, slices=[()] * 460 + [("rare",)] * 10)
    assert few.slices == ()
    assert few.outcome == "pass"
    one = verdict(right, rival, slices=[("all",)] * 460)
    many = verdict(right, rival, slices=[("all", *(f"s{i}" for i in range(20)))] * 460)
    assert many.slices[0].high - many.slices[0].low > one.slices[0].high - one.slices[0].low


def test_near_duplicates_count_as_dependent():
    right, rival = mixed(150, 15, 3, 12)
    apart = verdict(right, rival, groups=[str(i) for i in range(180)])
    copied = verdict(right * 4, rival * 4, groups=[str(i) for i in range(180)] * 4)
    assert apart == verdict(right, rival)
    assert copied.method == "tango, clustered"
    assert copied.n == 720
    assert copied.high - copied.low >= apart.high - apart.low
    assert copied.candidate_high - copied.candidate_low >= 0.99 * (apart.candidate_high - apart.candidate_low)


def test_the_first_model_must_beat_the_best_constant_answer():
    targets = ["a"] * 30 + ["b"] * 30
    good = verdict([1] * 60, None, answers=targets, targets=targets)
    assert good.outcome == "pass"
    assert good.estimate == pytest.approx(0.5)
    assert good.champion is None
    assert good.champion_score is None
    constant = verdict([1] * 60, None, answers=["a"] * 60, targets=targets)
    assert constant.outcome == "inconclusive"
    assert "answering always the same would get 50.0%" in constant.reason


def test_the_first_model_is_judged_out_of_fold_while_golden_rows_are_few():
    found = verdict([1, 1], None, out_of_fold=([1] * 80 + [0] * 20, 0.5))
    assert (found.outcome, found.n, found.method) == ("pass", 100, "wilson, out of fold")
    assert found.candidate_score == pytest.approx(0.8)
    assert verdict([1, 1], None, out_of_fold=([1] * 55 + [0] * 45, 0.5)).outcome == "inconclusive"
    assert verdict([1, 1], None, out_of_fold=([1] * 100, 1.0)).outcome == "inconclusive", "one label so far"
    assert verdict([1, 1], None, out_of_fold=([1] * 5, 0.2)).outcome == "inconclusive"
    nothing = verdict([], None)
    assert (nothing.outcome, nothing.n, nothing.candidate_score, nothing.estimate) == ("inconclusive", 0, None, None)


def test_a_candidate_worse_by_the_margin_seldom_passes():
    rng = np.random.default_rng(11)
    passes = 0
    for _ in range(400):
        draw = rng.choice(3, 300, p=[0.06, 0.08, 0.86])  # truly worse by 2 points
        passes += verdict((draw != 1).astype(int), (draw != 0).astype(int)).outcome == "pass"
    assert passes / 400 <= 0.05 + 0.03


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 8), st.integers(0, 3)), max_size=80))
def test_a_verdict_never_contradicts_its_numbers(rows):
    found = verdict(
        [r for r, *_ in rows], [c for _, c, *_ in rows],
        groups=[str(g) for *_, g, _ in rows], slices=[(f"s{s}",) for *_, s in rows],
    )  # fmt: skip
    assert found.n == len(rows)
    if found.outcome == "pass":
        assert found.estimate >= 0
        assert found.n >= ENOUGH
        assert all(s.outcome != "fail" for s in found.slices)
    if found.outcome == "fail":
        assert found.high < 0 or any(s.high < -found.margin for s in found.slices)
    if found.estimate is not None:
        assert found.low - 1e-9 <= found.estimate <= found.high + 1e-9
        assert found.candidate_low <= found.candidate_score <= found.candidate_high
    assert "\n" not in found.reason


def test_lengths_that_differ_raise():
    with pytest.raises(ValueError, match="as many as the targets"):
        verdict([1, 1], [1, 1], targets=["x"])
