"""``everloop drops``: what curation left out and why, whether its rules are right, and the way back."""

import argparse
import secrets
import sys

import numpy as np

from everloop.cli.console import Console, cell
from everloop.cli.home import acted, opened
from everloop.cli.status import interval
from everloop.curate import drop_audits, reasons
from everloop.curate.drop_audits import Shown, Standing
from everloop.errors import InvalidInput
from everloop.types import Drop, DropAudit
from everloop.wheel import Loop

_WIDE = 60
_DO = ("audit", "undo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A loop lists reasons; with a reason, examples; audit and undo work on a reason's sample."""
    parser.add_argument("loop")
    parser.add_argument("what", nargs="*", metavar="REASON | audit REASON | undo REASON",
                        help="a reason shows examples of it; audit draws a random sample to look at; undo takes back "
                        "what was found wrong")  # fmt: skip
    parser.add_argument("--sample", type=int, metavar="N",
                        help=f"so many, drawn at random ({drop_audits.SAMPLE})")  # fmt: skip
    parser.add_argument("--right", nargs="+", default=[], metavar="ID", help="audit: these drops are right")
    parser.add_argument("--wrong", nargs="+", default=[], metavar="ID", help="audit: these drops are wrong")
    parser.add_argument("--all", action="store_true", help="undo: the whole sample, not only what was found wrong")
    parser.add_argument("--every", action="store_true", help="undo: all that the reason left out, sampled or not")
    parser.add_argument("--by", default="me", help="audit: who looks (me)")


def run(args: argparse.Namespace, console: Console) -> int:
    """List, show, audit or undo."""
    n = drop_audits.SAMPLE if args.sample is None else args.sample
    if not 1 <= n <= drop_audits.MOST:
        raise InvalidInput(f"--sample: 1 to {drop_audits.MOST:,}")
    do, reasons = (args.what[0], args.what[1:]) if args.what[:1] and args.what[0] in _DO else ("", args.what)
    if len(reasons) > 1 or (do and not reasons):
        raise InvalidInput(f"one reason: everloop drops {args.loop} {f'{do} ' if do else ''}REASON")
    if (args.right or args.wrong) and do != "audit":
        raise InvalidInput(f"--right and --wrong answer an audit: everloop drops {args.loop} audit REASON --right ID …")
    reason = reasons[0] if reasons else None
    if args.every and (do != "undo" or args.all):
        raise InvalidInput(f"--every takes back all of a reason: everloop drops {args.loop} undo REASON --every")
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        if do == "audit":
            assert reason is not None
            _audit(loop, reason, n, args, console)
        elif do == "undo":
            assert reason is not None
            if args.every:
                _undo_every(loop, reason, console)
            else:
                _undo(loop, reason, everything=args.all, console=console)
        elif reason is None and args.sample is None:
            _reasons(drop_audits.standings(loop.records, loop.name), loop.name, console)
        else:
            found = drop_audits.examples(loop.records, loop.name, reason, n, _fresh())
            _show(drop_audits.shown(loop.records, found), console)
            console.say(f"is this right? everloop drops {loop.name} audit {reason or 'REASON'}")
    return 0


def _fresh() -> np.random.Generator:
    return np.random.default_rng(secrets.randbits(128))


def _reasons(found: list[Standing], loop: str, console: Console) -> None:
    console.document(found)
    if not found:
        console.say("nothing was left out yet; a turn does that")
        return
    console.table(
        ["reason", "drops", "undone", "looked at", "right", "95 %", ""],
        [[s.reason, s.drops, s.undone, s.n, s.estimate, interval(s.low, s.high), s.sentence() if s.doubted else ""]
         for s in found],
    )  # fmt: skip
    console.say(f"examples: everloop drops {loop} REASON; whether a rule is right: everloop drops {loop} audit REASON")


def _show(found: list[Shown], console: Console) -> None:
    console.document(found)
    console.table(
        ["id", "reason", "score", "input", "matched"],
        [[s.drop.id, s.drop.reason, s.drop.score, _about(s), _matched(s)] for s in found],
    )  # fmt: skip


def _about(one: Shown) -> str:
    text = "(erased)" if one.input is None else cell(one.input, _WIDE)
    return f"{one.feedback} on: {text}" if one.feedback else text


def _matched(one: Shown) -> str:
    return cell(one.drop.matched if one.matched_input is None else one.matched_input, _WIDE)


def _audit(loop: Loop, reason: str, n: int, args: argparse.Namespace, console: Console) -> None:
    records = loop.records
    for id, right in [*((id, True) for id in args.right), *((id, False) for id in args.wrong)]:
        with acted(loop.wheel, "drops.audit", target=id, loop=loop.name):
            told = drop_audits.answer(records, loop.name, id, right=right, by=args.by)
            if told.reason != reason:
                raise InvalidInput(f"drop {id!r} was left out for {told.reason!r}, not {reason!r}")
    if not (args.right or args.wrong):
        with acted(loop.wheel, "drops.draw", target=reason, loop=loop.name):
            drawn = drop_audits.draw(records, loop.name, reason, n, _fresh())
        _ask(loop, drawn, args.by, console)
    _result(loop, reason, console, answered=bool(args.right or args.wrong))


def _ask(loop: Loop, drawn: list[DropAudit], by: str, console: Console) -> None:
    """On a terminal one after the other; elsewhere the list, to be answered with --right and --wrong."""
    by_id = {d.id: d for d in loop.records.find(Drop, loop.name, id=[a.interaction for a in drawn])}
    found = drop_audits.shown(loop.records, [by_id[a.interaction] for a in drawn if a.interaction in by_id], drawn)
    if console.json:
        return console.document(found)
    if not (console.terminal and sys.stdin.isatty()):
        _show(found, console)
        return console.say("answer with: --right ID … --wrong ID …")
    for at, one in enumerate(found, start=1):
        console.say(f"{at} of {len(found)}  {_about(one)}\n    matched: {_matched(one) or 'nothing'}")
        while (said := input("    right to leave this out? [y/n/s(kip)/q(uit)] ").strip().lower()[:1]) not in set(
            "ynsq"
        ):
            pass
        if said == "q":
            return None
        if said != "s":
            with acted(loop.wheel, "drops.audit", target=one.drop.id, loop=loop.name):
                drop_audits.answer(loop.records, loop.name, str(one.audit), right=said == "y", by=by)
    return None


def _result(loop: Loop, reason: str, console: Console, *, answered: bool) -> None:
    one = next((s for s in drop_audits.standings(loop.records, loop.name) if s.reason == reason), None)
    if answered:
        console.document(one)
    if one is None:
        return
    share = f": {one.estimate:.3f} {interval(one.low, one.high)} n={one.n}" if one.estimate is not None else ""
    console.say(f"{reason}{share}; {one.sentence()}; {one.open} still to look at")
    if one.doubted:
        console.say(f"take the wrong ones back with: everloop drops {loop.name} undo {reason}")


def _undo(loop: Loop, reason: str, *, everything: bool, console: Console) -> None:
    ids = drop_audits.sampled(loop.records, loop.name, reason) if everything else drop_audits.wrong(
        loop.records, loop.name, reason
    )  # fmt: skip
    undone = []
    for id in ids:
        with acted(loop.wheel, "undo", target=id, loop=loop.name):
            undone.append(loop.undo(id))
    console.document(undone)
    console.say(f"taken back: {len(undone):,} drops for {reason}; the next turn keeps them"
                if undone else f"nothing to take back: no drop for {reason} was found wrong")  # fmt: skip


def _undo_every(loop: Loop, reason: str, console: Console) -> None:
    with acted(loop.wheel, "undo", target=reason, loop=loop.name):
        count = reasons.take_back(loop.records, loop.name, reason)
    console.document({"undone": count})
    console.say(f"taken back: {count:,}, all of {reason}; the next turn keeps them")
