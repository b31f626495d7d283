"""``everloop demo``: turn the wheel on real data, and measure it from outside on rows the wheel never sees."""

import argparse
import re
import shutil
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from everloop.cli.console import Console
from everloop.cli.simulate import Data, People, bootstrap, load
from everloop.collect import build_feedback
from everloop.errors import Conflict, InvalidInput
from everloop.loop import open_turn
from everloop.settings import Settings
from everloop.stats import intervals
from everloop.train import FitJob, fitted, trainer
from everloop.turn.opinions import answers, predictor
from everloop.types import Example, Feedback, Interaction, Model, Review
from everloop.wheel import Loop, Wheel

WRITES_JSON = True
_MARK = "demo.json"
_HOME = "./.everloop-demo"
_SEEN = 0.35  # of the true labels that may be seen in any form
_LEASE = 3.0  # seconds until a run takes over from one that was killed
_WIDE = 110  # columns of a terminal from which the whole table fits
_GOLDEN = 300  # rows of the golden set
_BATCH = 64  # answers on their way to the disk at once, as if so many users asked at the same time


class Plan(NamedTuple):
    """One demo run: who does what when."""

    data: Data
    people: People
    first: list[int]  # rows whose labels start the loop
    turns: list[list[int]]  # rows that come as traffic, turn by turn
    labels: int  # true labels that people may give in any form
    policy: dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The demo's own options."""
    parser.add_argument("--data", default="digits", metavar="NAME|PATH", help="digits, banking77, or a CSV of yours")
    parser.add_argument("--folder", type=Path, help="where banking77's train.csv and test.csv are")
    parser.add_argument("--turns", type=int, default=8, help="turns of the wheel (default 8)")
    parser.add_argument("--feedback", type=float, default=0.3, metavar="SHARE",
                        help="of interactions that draw feedback (default 0.3)")  # fmt: skip
    parser.add_argument("--labels", type=float, default=_SEEN, metavar="SHARE",
                        help=f"of the labels that people may give in any form (default {_SEEN})")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default 0)")
    parser.add_argument("--json", metavar="FILE", dest="json_file", type=Path, help="write the turns here as JSON")


def run(args: argparse.Namespace, console: Console) -> int:
    """Run the demo; a run that was interrupted goes on where it stopped."""
    if args.turns < 1:
        raise InvalidInput(f"--turns {args.turns}: at least 1")
    if args.seed < 0:
        raise InvalidInput(f"--seed {args.seed}: can't be negative")
    for name in ("feedback", "labels"):
        if not 0 < getattr(args, name) <= 1:
            raise InvalidInput(f"--{name} {getattr(args, name)}: a share, above 0 and at most 1")
    started = time.perf_counter()
    plan = _plan(load(args.data, args.folder), args)
    home = _prepared(Path(args.home or _HOME), args)
    data = plan.data
    console.say(
        f"{data.name}: {len(data.inputs):,} rows, {len(plan.people.classes)} classes; {len(plan.first)} of them "
        f"labelled to start with, the rest come as traffic. {len(data.test_inputs):,} test rows stay outside."
    )
    with (
        Wheel(Settings.load(home=str(home), lease_seconds=_LEASE)) as wheel,
        console.progress("turning the wheel", args.turns + 2) as step,
    ):
        loop = _declared(wheel, plan)
        step(0, what="learning from the first labels")
        _start(loop, plan)
        baseline = _measured(loop, plan, loop.report(0).live)
        step(1)
        rows = []
        for number, traffic in enumerate(plan.turns, start=1):
            step(0, what=f"turn {number} of {args.turns}")
            _turn(loop, plan, number, traffic)
            rows.append(_row(loop, plan, number))
            step(1)
        step(0, what="the same trainer, given every true label")
        ceiling = _ceiling(loop, plan)
        step(1)
        seen = _labels_seen(loop, plan)
    result = {
        "data": data.name, "seed": args.seed, "baseline": baseline, "ceiling": ceiling, "labels_seen": seen,
        "share_of_ceiling": round(rows[-1]["test_accuracy"]["estimate"] / ceiling["estimate"], 4),
        "turns": rows, "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    _print(console, result, home)
    if args.json_file is not None:
        args.json_file.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return 0


def _plan(data: Data, args: argparse.Namespace) -> Plan:
    """Divide the rows, and set the loop's policy by how many there are."""
    seed, turns = args.seed, args.turns
    first, rest = bootstrap(data.labels, seed)
    people = People(seed, tuple(sorted(set(data.labels))), feedback=args.feedback)
    if len(rest) < turns:
        raise InvalidInput(f"{turns} turns need at least {turns} rows of traffic; there are {len(rest)}")
    traffic = [part.tolist() for part in np.array_split(np.array(rest), turns)]
    said = people.feedback * len(rest)
    audit = max(2, len(rest) // turns // 60)
    labels = int(args.labels * len(data.labels))
    # A golden set that is a sample of the traffic costs an answer of the reviewers for each row. Where they can't
    # afford it, its rows are those with feedback, which are as fair a sample here, as these users speak up without
    # regard to whether the answer was right; but the other rows set aside then teach nothing.
    asked = labels - len(first) - said >= 2 * _GOLDEN
    golden_share = round(min(0.3, _GOLDEN / (len(rest) if asked else said)), 3)
    golden = golden_share * (len(rest) if asked else said)
    policy = {
        "golden_share": golden_share,
        "golden_source": "traffic" if asked else "feedback",
        # What so many golden rows can show, where 6 in 100 are answered differently by two models.
        "margin": round(max(0.02, 0.5 / golden**0.5), 3),
        "trigger_feedback": 0,
        # Of the reviewers' own answers 3 % are wrong, and by these the machine is measured: no stricter promise can be
        # certified here with a few hundred of them.
        "auto_error": 0.1,
        "auto_audit": audit,
    }
    return Plan(data, people, first, traffic, labels, policy)


def _prepared(home: Path, args: argparse.Namespace) -> Path:
    """The demo's folder: an unfinished run of the same demo is taken up again, a finished one is started over."""
    what = {"data": args.data, "turns": args.turns, "seed": args.seed, "feedback": args.feedback,
            "labels": args.labels}  # fmt: skip
    mark = home / _MARK
    if home.exists() and any(home.iterdir()):
        if not mark.is_file():
            raise InvalidInput(f"{home} holds something else than a demo; give an empty folder with --home")
        there = msgspec.json.decode(mark.read_bytes())
        if there == {**what, "finished": False}:
            return home
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    mark.write_bytes(msgspec.json.encode({**what, "finished": False}))
    return home


def _declared(wheel: Wheel, plan: Plan, **more: int) -> Loop:
    return wheel.loop(
        _named(plan.data.name), signal="people correct the answer or say whether it was right",
        capability="accuracy", labels=list(plan.people.classes), policy={**plan.policy, **more},
    )  # fmt: skip


def _afforded(loop: Loop, plan: Plan, number: int) -> dict[str, int]:
    """How many rows the reviewers may be asked about in a turn: of the labels that may still be seen more from turn to
    turn, as the pool to choose from grows. The feedback and the golden rows to come are set aside, with two standard
    deviations."""
    weights = range(number, len(plan.turns) + 1)
    coming = sum(map(len, plan.turns[number - 1 :]))
    share = plan.policy["golden_share"] if plan.policy["golden_source"] == "traffic" else 0.0
    known = plan.people.feedback * (1 - share) + share  # of what comes, what is seen without being chosen
    left = plan.labels - len(_seen(loop, plan, plan.turns[: number - 1])) - known * coming
    spare = left - 2 * (known * (1 - known) * coming) ** 0.5
    room = max(0, int(spare * weights[0] / sum(weights)))
    each, golden = len(plan.turns[0]), round(share * len(plan.turns[0]))
    return {
        "review_budget": max(19, each // 10, round(1.25 * room)) + 3 * golden,
        "review_fresh": max(0, room - plan.policy["auto_audit"]),
    }


def _named(data: str) -> str:
    """A loop's name from whatever somebody's file is called.

    >>> _named("Mé data (1)"), _named("数据")
    ('me-data-1', 'demo')
    """
    plain = unicodedata.normalize("NFKD", data).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9_]+", "-", plain).strip("-_")[:63] or "demo"


def _start(loop: Loop, plan: Plan) -> None:
    """Turn 0: the labels that were brought along."""
    loop.seal(plan.data.test_inputs)
    loop.log_many(
        {"id": f"start-{row:06d}", "at": row, "input": plan.data.inputs[row], "label": plan.data.labels[row],
         "split": "train"}
        for row in sorted(plan.first)
    )  # fmt: skip
    while not loop.reports() or loop.report(0).state == "open":
        _advanced(loop)
    loop.live(fresh=True)


def _advanced(loop: Loop) -> str | None:
    """The next step; while the lease of a run that was killed lasts, wait for it."""
    until = time.monotonic() + 2 * _LEASE
    while True:
        try:
            return loop.advance("hand")
        except Conflict:
            if time.monotonic() > until:
                raise
            time.sleep(_LEASE / 10)


def _turn(loop: Loop, plan: Plan, number: int, traffic: Sequence[int]) -> None:
    """Traffic with feedback, then a turn, in the middle of which the reviewers work the queue."""
    records = loop.wheel.store.records
    if any(report.turn >= number and report.state == "closed" for report in loop.reports()[-1:]):
        return
    open_now = open_turn(loop.wheel.store, loop.name)
    if open_now is None:
        loop = _declared(loop.wheel, plan, **_afforded(loop, plan, number))
        _stream(loop, plan, traffic)
    # The reviewers come once the queue is filled, and first of all if a run was interrupted while they worked.
    done = open_now.steps[-1].name if open_now is not None and open_now.steps else None
    while done != "close":
        if done == "label":
            _work_the_queue(loop, plan, records.find(Review, loop.name, state="open"))
        done = _advanced(loop)
    loop.live(fresh=True)


def _stream(loop: Loop, plan: Plan, traffic: Sequence[int]) -> None:
    records, door = loop.wheel.store.records, loop.wheel.door
    for start in range(0, len(traffic), _BATCH):
        writes: list[Interaction | Feedback] = []
        for row in traffic[start : start + _BATCH]:
            id = f"demo-{row:06d}"
            answer = records.get(Interaction, id) or loop.answer(plan.data.inputs[row], id=id, subject=f"user-{row}")
            said = plan.people.says(row, plan.data.labels[row], answer)
            writes.append(answer)
            if said is not None:
                given = {**said, "id": f"{id}.said", "interaction": id, "subject": f"user-{row}"}
                writes.append(build_feedback(given, door))
        records.put(*writes)


def _work_the_queue(loop: Loop, plan: Plan, queue: Sequence[Review]) -> None:
    for review in queue:
        row = int(review.interaction.rsplit("-", 1)[1])
        again = review.why == "suspect"
        said = plan.people.reviews(row, plan.data.labels[row], again)
        loop.annotate(review.id, said, annotator="second reviewer" if again else "reviewer", seconds=4.0)


def _measured(loop: Loop, plan: Plan, model_id: str | None) -> dict[str, Any]:
    """Accuracy of a model on the untouched test rows; abstaining is never right."""
    total = len(plan.data.test_labels)
    model = loop.records.get(Model, model_id) if model_id else None
    right = 0
    if model is not None:
        given = answers(predictor(loop.wheel.store, model), plan.data.test_inputs)
        right = sum(a == b for a, b in zip(given, plan.data.test_labels, strict=True))
    return _accuracy(right, total)


def _accuracy(right: int, total: int) -> dict[str, Any]:
    found = intervals.wilson(right, total)
    return {"estimate": round(found.estimate, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": total}


def _row(loop: Loop, plan: Plan, number: int) -> dict[str, Any]:
    report = loop.report(number)
    verdict = report.verdict
    return {
        "turn": number, "interactions": report.interactions, "feedback": report.feedback, "kept": report.kept,
        "dropped": report.dropped, "auto_labelled": report.auto_labelled, "auto_error": report.auto_error,
        "auto_wrong": _wrong(loop, plan, report.dataset),
        "audited": None if report.audited is None else {
            "estimate": report.audited.estimate, "low": report.audited.low, "high": report.audited.high,
            "n": report.audited.n, "alarms": report.audited.alarms,
        }, "human_labels": report.human_labels,
        "candidates": report.candidates, "remarks": list(report.remarks),
        "verdict": None if verdict is None else {
            "outcome": verdict.outcome, "estimate": verdict.estimate, "low": verdict.low, "high": verdict.high,
            "n": verdict.n, "reason": verdict.reason,
        },
        "model": report.live, "promoted": report.release is not None, "dataset_hash": report.dataset_hash,
        "model_blob": None if report.model is None else _blob(loop, report.model),
        "test_accuracy": _measured(loop, plan, report.live), "seconds": report.seconds,
        "candidate_accuracy": _measured(loop, plan, report.model)["estimate"] if report.model else None,
    }  # fmt: skip


def _blob(loop: Loop, id: str) -> str:
    model = loop.records.get(Model, id)
    assert model is not None
    return model.blob


def _ceiling(loop: Loop, plan: Plan) -> dict[str, Any]:
    """The loop's own trainer with every true label of the training rows."""
    spec = loop.models()[-1].spec
    examples = [
        Example(id=f"{row:08d}", loop=loop.name, input=value, target=label, origin="human", split="train",
                group=f"{row:08d}")
        for row, (value, label) in enumerate(zip(plan.data.inputs, plan.data.labels, strict=True))
    ]  # fmt: skip
    model = trainer(spec).load(fitted(FitJob(spec, examples)))
    given = answers(model, plan.data.test_inputs)
    return _accuracy(sum(a == b for a, b in zip(given, plan.data.test_labels, strict=True)), len(given))


def _labels_seen(loop: Loop, plan: Plan) -> dict[str, Any]:
    rows = _seen(loop, plan, plan.turns)
    return {"rows": len(rows), "share": round(len(rows) / len(plan.data.labels), 4)}


def _seen(loop: Loop, plan: Plan, turns: Sequence[Sequence[int]]) -> set[int]:
    """Rows of the first labels and of `turns` whose true label anybody could have learned from people: brought,
    corrected, confirmed, or reviewed."""
    rows = set(plan.first)
    for traffic in turns:
        for row in traffic:
            answer = loop.records.get(Interaction, f"demo-{row:06d}")
            said = answer and plan.people.says(row, plan.data.labels[row], answer)
            if said and said["value"] != "down":
                rows.add(row)
    return rows | {int(r.interaction.rsplit("-", 1)[1]) for r in loop.reviews(state="done")}


def _print(console: Console, result: dict[str, Any], home: Path) -> None:
    def shown(found: dict[str, Any]) -> str:
        return f"{found['estimate']:.1%} ({found['low']:.1%} to {found['high']:.1%})"

    table = [
        (r["turn"], r["interactions"], r["feedback"], r["kept"], sum(r["dropped"].values()), r["human_labels"],
         r["auto_labelled"], _audit(r), _told(r), shown(r["test_accuracy"]), r["seconds"])
        for r in result["turns"]
    ]  # fmt: skip
    names = (
        "turn",
        "came in",
        "feedback",
        "kept",
        "dropped",
        "people",
        "machine",
        "of it wrong",
        "candidate",
        "live on test rows",
        "s",
    )
    whole = not console.terminal or shutil.get_terminal_size().columns >= _WIDE
    shown_columns = range(len(names)) if whole else (0, 1, 5, 6, 8, 9)
    console.table([names[i] for i in shown_columns], [[row[i] for i in shown_columns] for row in table])
    turns = result["turns"]
    console.say()
    console.facts([
        ("never retrained", shown(result["baseline"])),
        ("after the last turn", shown(turns[-1]["test_accuracy"])),
        ("every label true", shown(result["ceiling"])),
        ("share of that reached", f"{result['share_of_ceiling']:.1%}, having seen "
                                  f"{result['labels_seen']['share']:.1%} of the labels in any form"),
    ])  # fmt: skip
    for remark in turns[-1].get("remarks", ()):  # a run that an older version began may have none
        console.say(f"  {remark}")
    console.say(f"\nThe loop is in {home}; look at it with: everloop up --home {home}")
    (home / _MARK).write_bytes(
        msgspec.json.encode({**msgspec.json.decode((home / _MARK).read_bytes()), "finished": True})
    )


def _wrong(loop: Loop, plan: Plan, version: str | None) -> float | None:
    """The share of the machine's labels in a dataset version that are truly wrong, which only a demo can know."""
    examples = loop.wheel.store.datasets.examples(version, "train") if version else []
    own = [e for e in examples if e.origin == "auto"]
    if not own:
        return None
    truth = [plan.data.labels[int(e.evidence[0].rsplit("-", 1)[1])] for e in own]
    return round(sum(e.target != label for e, label in zip(own, truth, strict=True)) / len(own), 4)


def _audit(row: dict[str, Any]) -> str:
    """What people found of the machine's labels, so far."""
    audited = row["audited"]
    if audited is None or audited["estimate"] is None:
        return ""
    return f"{audited['estimate']:.1%} ({audited['low']:.1%} to {audited['high']:.1%}) of {audited['n']}"


def _told(row: dict[str, Any]) -> str:
    verdict = row["verdict"]
    if verdict is None:
        return "none"
    estimate = "" if verdict["estimate"] is None else f" {verdict['estimate']:+.1%}"
    return f"{verdict['outcome']}{estimate}" + (", live" if row["promoted"] else "")
