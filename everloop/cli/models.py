"""``everloop models``: the models of a loop, and which one answers."""

import argparse
import hashlib

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.status import interval
from everloop.errors import NotFound
from everloop.loop import rebuild
from everloop.types import Verdict
from everloop.wheel import Loop

_ENOUGH = 8  # characters of an id's end, as the pages show it, that name a model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, and perhaps a model to be made again."""
    parser.add_argument("loop")
    parser.add_argument("--rebuild", metavar="MODEL", help="train it again from its dataset version: same bytes?")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print a line a model, the newest last: its stage, and its verdict."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        if args.rebuild is not None:
            return _rebuilt(loop, args.rebuild, console)
        status = loop.status()
        models, live, chat, answered = loop.models(), status.live, status.task == "chat", status.answered_by()
        stages = {release.model: release.stage for release in loop.releases()}
        verdicts = {verdict.candidate: verdict for verdict in wheel.store.records.find(Verdict, loop.name)}
    if live is not None:
        stages[live] = "live"
    console.document([
        {"model": model, "stage": stages.get(model.id), "verdict": verdicts.get(model.id)} for model in models
    ])  # fmt: skip
    if not models:
        if chat:
            console.say(f"a chat loop has no model of its own; {args.loop} is answered by {answered}")
        else:
            console.say(f"no model yet; {args.loop} learns its first one in a turn: everloop turn {args.loop}")
        return 0
    rows = [[m.id, m.turn, stages.get(m.id, "candidate"), _shown(verdicts.get(m.id))] for m in models]
    console.table(["model", "turn", "stage", "verdict"], rows)
    return 0


def _rebuilt(loop: Loop, wanted: str, console: Console) -> int:
    """Train a model again and compare: 0 if every byte is the same, 1 if not."""
    found = [m for m in loop.models() if m.id == wanted or (len(wanted) >= _ENOUGH and m.id.endswith(wanted))]
    if len(found) != 1:
        raise NotFound(f"loop {loop.name!r} has no model {wanted!r}; see: everloop models {loop.name}")
    with console.progress(f"training {found[0].id} again"):
        data = rebuild(loop.wheel.store, found[0])
    same = hashlib.sha256(data).hexdigest() == found[0].blob
    console.document({"model": found[0].id, "same": same, "bytes": len(data)})
    erased = loop.wheel.store.datasets.get(found[0].dataset)
    why = f": {erased.erased} examples were erased since" if erased is not None and erased.erased else ""
    console.say(f"{found[0].id}: {len(data):,} bytes, " + ("all the same" if same else f"not the same{why}"))
    return 0 if same else 1


def _shown(verdict: Verdict | None) -> str | None:
    if verdict is None or verdict.candidate_score is None:
        return None if verdict is None else verdict.outcome
    around = interval(verdict.candidate_low, verdict.candidate_high)
    return f"{verdict.outcome}, {verdict.metric} {verdict.candidate_score:.3f} {around or ''} n={verdict.n:,}"
