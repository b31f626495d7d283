"""A candidate that is better overall, and worse where somebody watches, stays where it is."""

import numpy as np
import pytest

from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.types import WatchedSlice
from everloop.watching import unwatch, watch_found, watch_terms, watchings, weakness
from tests.loop.conftest import questions

POLICY = {"golden_share": 0.0, "trigger_feedback": 0, "auto_confidence": 2}
GERMAN = "karte verloren brief umschlag zustellung tasche gestern heute woche leider bitte sofort neue alte".split()


def german(n, seed):
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice(GERMAN, 6, replace=False))} {rng.integers(1e6)}" for _ in range(n)]


def teach(loop, turn):
    """First German cards and nothing of limits; then limits, and German cards called refunds."""
    rows = [{"input": text, "label": topic, "split": "train", "context": {"lang": "en", "channel": "app"}}
            for text, topic in questions(90, seed=turn) if turn or topic != "limit"]  # fmt: skip
    said = "refund" if turn else "card"
    web = {"lang": "de", "channel": "web"}
    rows += [
        {"input": text, "label": said, "split": "train", "context": web} for text in german(150 if turn else 20, turn)
    ]
    if not turn:
        rows += [{"input": text, "label": topic, "split": "golden", "context": {"lang": "en", "channel": "app"}}
                 for text, topic in questions(240, seed=50)]  # fmt: skip
        rows += [{"input": text, "label": "card", "split": "golden", "context": web} for text in german(12, 51)]
    loop.log_many(rows)
    return loop.turn()


SLOW = [pytest.param(by, marks=pytest.mark.slow) for by in ("nobody", "cluster")]


@pytest.mark.parametrize("by", ["terms", *SLOW])
def test_a_better_candidate_that_is_worse_in_a_watched_slice_is_not_promoted(wheel, by):
    loop = wheel.loop("support", policy=POLICY)
    first = teach(loop, 0)
    assert first.verdict.outcome == "pass"
    if by == "terms":
        watch_terms(wheel.store, "support", ["lang=de", "channel=web"], name="German web")
    if by == "cluster":
        from everloop.turn.opinions import vectors_of

        vectors = vectors_of(german(12, 51))
        middle = vectors.mean(axis=0)
        loop.records.replace(WatchedSlice(
            id="c", loop="support", name="German web", centroid=tuple(map(float, middle)), space="text.256",
            radius=float(np.linalg.norm(vectors - middle, axis=1).max()) + 0.01,
        ))  # fmt: skip
    verdict = teach(loop, 1).verdict
    assert verdict.estimate > 0.2, "it is better overall: it has learned of limits"
    if by == "nobody":
        assert (verdict.outcome, loop.status().live) == ("pass", verdict.candidate)
        return
    assert verdict.outcome == "fail"
    assert verdict.reason.startswith("worse in the watched slice German web: -100.0 points")
    assert loop.status().live == first.model
    [there] = watchings(wheel.store, "support")
    assert (there.golden, there.last.outcome, there.turn) == (12, "fail", verdict.turn)


def test_a_weak_slice_of_the_live_model_is_found_watched_and_let_go(wheel):
    loop = wheel.loop("support", policy=POLICY)
    with pytest.raises(Conflict, match="no live model yet"):
        weakness(wheel.store, loop.spec)
    rng = np.random.default_rng(0)
    shown = questions(300, seed=8)
    rows = [{"input": text, "label": topic, "split": "train"} for text, topic in shown[:90]]
    for text, topic in shown[90:]:
        broken = rng.random() < 0.5
        right = "limit" if broken and topic == "card" else topic
        rows.append({"input": text, "label": right, "split": "golden",
                     "context": {"device": "old" if broken and topic == "card" else "new"}})  # fmt: skip
    loop.log_many(rows)
    loop.turn()
    found = weakness(wheel.store, loop.spec, "golden")
    assert (found.golden, found.out_of_fold) == (210, 0)
    assert found.found.slices[0].terms == ("device=old",)
    assert found.found.slices[0].low > found.found.slices[0].elsewhere
    everything = weakness(wheel.store, loop.spec)
    assert everything.out_of_fold == 90
    assert weakness(wheel.store, loop.spec) == everything, "the same rows say the same"
    made = watch_found(wheel.store, "support", found.found.slices[0], name="old devices", by="ann")
    assert made.id == found.found.slices[0].id
    assert weakness(wheel.store, loop.spec, "golden").watched == (made.id,)
    assert watch_terms(wheel.store, "support", ["device=old"], name="museum", by="bob").by == "ann"
    with pytest.raises(Conflict, match="called 'museum'"):
        watch_terms(wheel.store, "support", ["device=new"], name="museum")
    assert unwatch(wheel.store, "support", " device=old ").name == "museum"
    with pytest.raises(NotFound, match="there are: none"):
        unwatch(wheel.store, "support", "museum")


def test_more_slices_than_can_be_told_apart_are_not_watched(wheel):
    wheel.loop("support")
    for i in range(50):
        watch_terms(wheel.store, "support", [f"shop={i}"])
    with pytest.raises(InvalidInput, match="unwatch one first"):
        watch_terms(wheel.store, "support", ["shop=50"])
    assert len(watchings(wheel.store, "support")) == 50
