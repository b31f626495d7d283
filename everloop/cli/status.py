"""``everloop status``: where each loop stands, and what it waits for."""

import argparse
from datetime import UTC, datetime

from everloop.cli.console import Console
from everloop.cli.home import chosen, opened
from everloop.reading import VARIANT_ROWS
from everloop.report import Status, VariantUse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One loop, or all."""
    parser.add_argument("loop", nargs="?", help="one loop in full; without it all of them")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print one loop's status in full, or a table of all."""
    with opened(args) as wheel:
        if args.loop is None and not wheel.loops():
            console.document([])
            console.say("no loop yet; declare one with: everloop init NAME --task classify")
            return 0
        found = [loop.status() for loop in chosen(wheel, args.loop)]
    if args.loop is not None:
        console.document(found[0])
        _in_full(found[0], console)
        return 0
    console.document(found)
    console.table(
        ["loop", "accuracy", "interactions", "feedback", "reviews", "turns"],
        [
            [s.loop, _standing(s), s.interactions, sum(s.feedback.values()), s.reviews,
             s.turns]
            for s in found
        ],
    )  # fmt: skip
    for status in found:
        console.say(f"{status.loop} waits for {status.waiting_for}")
    return 0


def _in_full(status: Status, console: Console) -> None:
    console.say(status.sentence)
    console.say()
    since = f", since {moment(status.live_since)}" if status.live_since is not None else ""
    console.facts([
        ("live" if status.live or status.task != "chat" else "answered by", f"{status.answered_by()}{since}"),
        ("accuracy", _measured(status)),
        ("interactions", status.interactions),
        ("feedback", ", ".join(f"{n:,} {kind}" for kind, n in sorted(status.feedback.items())) or "none"),
        ("held", f"{status.held:,} wait for their interaction (all loops)" if status.held else None),
        ("reviews", f"{status.reviews:,} open"),
        ("turns", status.turns),
        ("choosing", status.choosing or None),
        ("step", status.step),
        ("waiting for", status.waiting_for),
    ])  # fmt: skip
    for doubt in status.doubts:
        console.say(f"{doubt} (everloop drops {status.loop})")
    if status.variants:
        console.say()
        console.table(
            ["variant", "model", "share", "answers", "failed", "ms", "first token", "cost", "thumbs up"],
            [[v.name, v.model, v.share, v.answers, v.failed, v.latency_ms, v.first_token_ms, f"{v.cost:.6f}", _liked(v)]
             for v in status.variants],
            title=f"the newest {VARIANT_ROWS} interactions",
        )  # fmt: skip


def _standing(status: Status) -> str | None:
    if status.live:
        return _measured(status)
    return "nothing is live" if status.task != "chat" and not status.variants else status.answered_by()


def _liked(used: VariantUse) -> str | None:
    return None if used.up is None else f"{used.up:.3f} {interval(used.up_low, used.up_high)} n={used.thumbs:,}"


def _measured(status: Status) -> str | None:
    if status.accuracy is None:
        return None
    around = interval(status.accuracy_low, status.accuracy_high)
    return f"{status.accuracy:.3f} {around} n={status.accuracy_n:,}"


def interval(low: float | None, high: float | None) -> str | None:
    """An interval as it is shown beside its estimate.

    >>> interval(0.81, 0.9)
    '[0.810, 0.900]'
    """
    return None if low is None or high is None else f"[{low:.3f}, {high:.3f}]"


def moment(at: int) -> str:
    """Milliseconds since 1970 as a time a person reads, in UTC.

    >>> moment(0)
    '1970-01-01 00:00Z'
    """
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")
