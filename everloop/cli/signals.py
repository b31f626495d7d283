"""``everloop signals``: how well what a loop declares comes in; and, with ``--declare``, declaring it."""

import argparse
from pathlib import Path
from typing import Any

import msgspec

from everloop.cli.console import Console
from everloop.cli.home import acted, opened
from everloop.cli.status import moment
from everloop.collect.monitoring import DAYS, SignalHealth, SignalsHealth
from everloop.errors import InvalidInput, NotFound


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, how far to look back, and declarations."""
    parser.add_argument("loop")
    parser.add_argument("--days", type=float, default=DAYS, help=f"look back so far (default {DAYS:g})")
    parser.add_argument("--declare", metavar="FILE", help="declare the signals in a JSON file, a list of SignalSpec, "
                        "and no others; see everloop/types/collected.py")  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the signals' health."""
    if not 0 < args.days < 36_500:
        raise InvalidInput(f"--days {args.days:g}: must be above 0")
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        if args.declare is not None:
            with acted(wheel, "signals", target=args.loop, loop=args.loop):
                wheel.loop(args.loop, signals=_read(Path(args.declare)))
        found = loop.signals(args.days)
    console.document(found)
    _print(found, console)
    return 0


def _read(path: Path) -> list[Any]:
    if not path.is_file():
        raise NotFound(f"no file {path}")
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not JSON: {' '.join(str(error).split())}") from None
    if not isinstance(found, list):
        raise InvalidInput(f"{path}: expected a list of signals")
    return found


def _print(found: SignalsHealth, console: Console) -> None:
    if not found.signals:
        console.say(f"loop {found.loop} declares no signals; declare them with: "
                    f"everloop signals {found.loop} --declare FILE")  # fmt: skip
    else:
        console.table(
            ["signal", "kind", "came", "last", "late p50 s", "p99 s", "late", "clock off", "in", "expected", "verdict"],
            [
                [one.name, one.kind, one.rows, None if one.last is None else moment(one.last), one.late_p50,
                 one.late_p99, _share(one.late, one.late_low, one.late_high, one.rows), one.clock_off,
                 _share(one.having, one.having_low, one.having_high, one.asked), one.expected, one.verdict]
                for one in found.signals
            ],
            title=f"the last {found.days:g} days",
        )  # fmt: skip
        for one in found.signals:
            _remark(one, console)
    if found.derived:
        console.say("derived: " + ", ".join(f"{n:,} {rule}" for rule, n in sorted(found.derived.items())))
    if found.held:
        many = "1 piece of feedback waits" if found.held == 1 else f"{found.held:,} pieces of feedback wait"
        console.say(f"{many} for an interaction (all loops), the oldest for {found.held_oldest or 0:,.0f} s")


def _remark(one: SignalHealth, console: Console) -> None:
    if one.silent:
        console.say(f"{one.name}: {one.silent:,} windows closed without a word")
    if one.after_window:
        console.say(f"{one.name}: {one.after_window:,} came after their window and do not count")
    if one.verdict == "fail":
        console.say(f"{one.name}: fewer come than expected; about {one.missing:,} of {one.asked:,} are missing")


def _share(value: float | None, low: float | None, high: float | None, n: int) -> str | None:
    return None if value is None else f"{value:.3f} [{low:.3f}, {high:.3f}] n={n:,}"
