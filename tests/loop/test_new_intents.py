"""Intents that nobody labelled, among real questions: a turn proposes them, and hardly anything else."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from everloop import deciding
from everloop.types import ProposedClass, Review

DATA = Path(__file__).parents[3] / "shared" / "data" / "clinc150" / "data_full.json"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="needs CLINC150 in ../shared/data/clinc150"),
]
POLICY = {"golden_share": 0.0, "trigger_feedback": 0, "auto_error": 0.0}


def split(held_out, labelled, rest, seed=0):
    """(rows with labels, rows without), the held-out intents whole among the latter; and the held-out intents."""
    rows = json.loads(DATA.read_text(encoding="utf-8"))["train"]
    rng = np.random.default_rng(seed)
    out = set(rng.choice(sorted({c for _, c in rows}), held_out, replace=False).tolist())
    rows = [rows[i] for i in rng.permutation(len(rows))]
    known = [row for row in rows if row[1] not in out]
    new = [row for row in rows if row[1] in out][: 50 * held_out]
    return known[:labelled], known[labelled : labelled + rest] + new, out


def filled(wheel, known, pool):
    loop = wheel.loop("desk", policy=POLICY)
    loop.log_many({"input": text, "label": label} for text, label in known)
    loop.turn()
    loop.log_many({"input": text} for text, _ in pool)
    while loop.advance("hand") != "label":
        pass
    return loop


def test_held_out_intents_are_proposed(wheel):
    known, pool, out = split(8, 2_000, 2_000)
    truth = dict(pool)
    loop = filled(wheel, known, pool)
    found, pure, members = set(), [], []
    for one in loop.records.find(ProposedClass, "desk", state="open"):
        kinds = Counter(truth[row.input] for row in deciding.shown(loop.records, one, one.size).typical)
        intent, most = kinds.most_common(1)[0]
        pure.append(most / one.size)
        members.append(intent in out)
        found |= {intent} & out if pure[-1] >= 0.7 else set()
        print(one.name, one.size, intent, round(pure[-1], 2), intent in out, round(one.score, 2))
    step = next(step for step in loop.report().steps if step.name == "label")
    asked = loop.records.find(Review, "desk", state="open", turn=loop.report().turn)
    novel = [truth[r.input] in out for r in asked if r.why == "novel"]
    print(
        f"{len(found)} of {len(out)} found; {np.mean(members):.0%} of {len(members)} proposals are of them, "
        f"their purity {np.mean(pure):.0%}; {sum(novel)} of {len(novel)} novel questions; {step.seconds} s"
    )
    assert len(found) >= len(out) / 2
    assert np.mean(members) >= 0.7
    assert np.mean(pure) >= 0.8
    assert np.mean(novel) >= 0.7


def test_where_every_intent_is_known_hardly_anything_is_proposed(wheel):
    known, pool, _ = split(0, 2_500, 1_500)
    loop = filled(wheel, known, pool)
    assert len(loop.records.find(ProposedClass, "desk")) <= 2
