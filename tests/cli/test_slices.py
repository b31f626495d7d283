"""``everloop slices``."""

import numpy as np
import pytest

from everloop.types import Audit, WatchedSlice
from everloop.wheel import open as open_wheel

WORDS = {"card": "card plastic chip post envelope", "refund": "refund money back merchant return"}


@pytest.fixture
def weak(run, home):
    """A loop whose live model is wrong on old devices."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(260):
        topic = list(WORDS)[i % 2]
        old = i > 60 and topic == "card" and rng.random() < 0.3
        text = f"{' '.join(rng.choice(WORDS[topic].split(), 4))} {rng.integers(1e9)}"
        rows.append({"input": text, "label": "refund" if old else topic, "split": "golden" if i > 60 else "train",
                     "context": {"device": "old" if old else "new", "lang": "[red]de"}})  # fmt: skip
    with open_wheel(home) as wheel:
        loop = wheel.loop("shop", policy={"golden_share": 0, "trigger_feedback": 0})
        loop.log_many(rows)
        loop.turn()
    return run


def test_find_watch_list_and_unwatch(weak, home):
    shown = weak("slices", "shop")
    assert shown.code == 0, shown
    assert "device=old" in shown.out
    assert "everloop slices shop watch 1" in shown.out
    document = weak("slices", "shop", "--golden", "--json").document
    assert (document["golden"], document["out_of_fold"]) == (199, 0)
    [found] = document["found"]["slices"]
    assert (found["terms"], found["low"] > found["elsewhere"]) == (["device=old"], True)
    made = weak("slices", "shop", "watch", "1", "--name", "old devices", "--note", "they pay", "--json").document
    assert (made["id"], made["terms"], made["by"]) == (found["id"], ["device=old"], "cli")
    assert "(watched)" in weak("slices", "shop", "--golden").out
    wrong = weak("slices", "shop", "watch", "device=odl & lang=[red]de")
    assert "did you mean device=old?" in wrong.out
    assert "[red]de" in wrong.out
    listed = weak("slices", "shop", "list").out
    assert "old devices" in listed
    assert "8 more are needed" in listed
    assert [one["slice"]["name"] for one in weak("slices", "shop", "list", "--json").document] == [
        "old devices", "device=odl & lang=[red]de"]  # fmt: skip
    assert weak("slices", "shop", "unwatch", "old devices").code == 0
    assert weak("slices", "shop", "unwatch", "lang=[red]de", "device=odl").code == 0
    assert "nothing is watched" in weak("slices", "shop", "list").out
    with open_wheel(home) as wheel:
        actions = [row.action for row in wheel.store.records.find(Audit)]
        assert actions.count("slices.watch") == actions.count("slices.unwatch") == 2
        assert not wheel.store.records.count(WatchedSlice)


def test_mistakes(weak):
    for words, says in (
        (("nowhere",), "no loop called 'nowhere'"),
        (("shop", "wach"), "'wach': list, watch, unwatch"),
        (("shop", "watch"), "which slice?"),
        (("shop", "watch", "9", "--golden"), "no weak slice '9': there are 1"),
        (("shop", "watch", "=x"), "write it as name=value"),
        (("shop", "watch", "a=1", "--name", "b=2"), "leave out the '='"),
        (("shop", "unwatch", "x"), "no watched slice 'x'"),
    ):
        assert says in weak("slices", *words).mistake


def test_a_loop_without_a_model_says_so(run):
    run("init", "bare")
    assert "no live model yet" in run("slices", "bare").mistake
    assert run("slices", "bare", "watch", "lang=de").code == 0
