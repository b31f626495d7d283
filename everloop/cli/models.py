"""``everloop models``: the models of a loop, and which one answers."""

import argparse
from typing import Any

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.status import interval, moment
from everloop.types import Verdict

_KILOBYTE = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop."""
    parser.add_argument("loop")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print a line a model, the newest last: what it was trained with, its verdict, its stage."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        models, live = loop.models(), loop.status().live
        stages = {release.model: release.stage for release in loop.releases()}
        verdicts = {verdict.candidate: verdict for verdict in wheel.store.records.find(Verdict, loop.name)}
    if live is not None:
        stages[live] = "live"
    console.document([
        {"model": model, "stage": stages.get(model.id), "verdict": verdicts.get(model.id)} for model in models
    ])  # fmt: skip
    if not models:
        console.say(f"no model yet; {args.loop} learns its first one in a turn: everloop turn {args.loop}")
        return 0
    rows = []
    for model in models:
        verdict = verdicts.get(model.id)
        shown: list[Any] = [None, None, None]
        if verdict is not None:
            around = interval(verdict.candidate_low, verdict.candidate_high)
            shown = [verdict.outcome, verdict.candidate_score, around]
        rows.append([model.id, model.turn, model.spec.name, len(model.classes), model.size // _KILOBYTE, model.seconds,
                     *shown, stages.get(model.id, "candidate"), moment(model.at)])  # fmt: skip
    console.table(["model", "turn", "trainer", "classes", "kB", "seconds", "verdict", "score", "interval", "stage",
                   "trained"], rows)  # fmt: skip
    return 0
