"""``everloop models``: the models of a loop, and which one answers."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.status import interval
from everloop.types import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop."""
    parser.add_argument("loop")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print a line a model, the newest last: its stage, and its verdict."""
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
    rows = [[m.id, m.turn, stages.get(m.id, "candidate"), _shown(verdicts.get(m.id))] for m in models]
    console.table(["model", "turn", "stage", "verdict"], rows)
    return 0


def _shown(verdict: Verdict | None) -> str | None:
    if verdict is None or verdict.candidate_score is None:
        return None if verdict is None else verdict.outcome
    around = interval(verdict.candidate_low, verdict.candidate_high)
    return f"{verdict.outcome}, {verdict.metric} {verdict.candidate_score:.3f} {around or ''} n={verdict.n:,}"
