"""``everloop campaign``: what devices are asked to send, and what came of it."""

import argparse
import re
from typing import Any

import msgspec

from everloop.auditing import entry
from everloop.cli.console import Console, cell
from everloop.cli.home import opened
from everloop.collect.campaigns import Came, came_of, change
from everloop.errors import InvalidInput
from everloop.ids import now
from everloop.types import Campaign
from everloop.wheel import Loop

_DAY = 86_400_000
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop alone lists; with a name and something to change, that campaign is declared or changed."""
    parser.add_argument("loop")
    parser.add_argument("id", nargs="?", metavar="ID", help="the campaign's name; without it, all are listed")
    parser.add_argument("--when", metavar="JSON", help="""what is asked for: '{"confidence": {"below": 0.6}}'""")
    parser.add_argument("--rate", type=float, metavar="N", help="uploads an hour and device, at most")
    parser.add_argument("--bytes", metavar="SIZE", help="and device, over its life: 5MB")
    parser.add_argument("--days", type=float, metavar="N", help="it ends by itself after so many days")
    parser.add_argument("--before", type=float, metavar="S", help="what was seen so many seconds before is sent too")
    parser.add_argument("--after", type=float, metavar="S", help="and after")
    parser.add_argument("--priority", choices=["critical", "normal", "bulk"], help="its place in the queue (normal)")
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--pause", action="store_const", const="paused", dest="state", help="send nothing for now")
    state.add_argument("--resume", action="store_const", const="active", dest="state", help="go on")
    state.add_argument("--end", action="store_const", const="ended", dest="state", help="for ever")


def run(args: argparse.Namespace, console: Console) -> int:
    """List, or change one and show it."""
    changes = _changes(args)
    if changes and args.id is None:
        raise InvalidInput(f"which campaign? everloop campaign {args.loop} ID …")
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        if changes:
            row = entry("cli", "campaign", target=args.id, loop=loop.name, detail=", ".join(changes))
            change(loop.records, loop.name, args.id, changes, (row,))
        _show(loop, args.id, console, changed=bool(changes))
    return 0


def _changes(args: argparse.Namespace) -> dict[str, Any]:
    given = {"rate": args.rate, "before_s": args.before, "after_s": args.after, "priority": args.priority,
             "state": args.state}  # fmt: skip
    found = {name: value for name, value in given.items() if value is not None}
    if args.when is not None:
        try:
            found["when"] = msgspec.json.decode(args.when)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidInput(f"--when: not JSON: {error}") from None
    if args.bytes is not None:
        found["bytes"] = read_size(args.bytes)
    if args.days is not None:
        if not 0 < args.days < 36_500:
            raise InvalidInput(f"--days {args.days:g}: more than 0, and less than 36,500")
        found["until"] = now() + int(args.days * _DAY)
    return found


def _show(loop: Loop, id: str | None, console: Console, *, changed: bool) -> None:
    campaigns = loop.records.find(Campaign, loop.name)
    if id is not None:
        campaigns = [one for one in campaigns if one.id == id]
        if not campaigns:
            raise InvalidInput(
                f"no campaign {id!r} in loop {loop.name!r}; to begin it, say what it asks for with --when '{{…}}'"
            )
    came = came_of(loop.records, loop.name)
    console.document([{"campaign": one, "came": came.get(one.id, Came())} for one in campaigns])
    if not campaigns:
        console.say(f"no campaign; begin one: everloop campaign {loop.name} unsure"
                    """ --when '{"confidence": {"below": 0.6}}' --rate 20 --bytes 5MB --days 7""")  # fmt: skip
        return
    if id is not None:
        _describe(campaigns[0], came.get(id, Came()), console, changed=changed)
        return
    rows = [[one.id, one.version, standing(one), _json(one.when), *_numbers(came.get(one.id, Came()))]
            for one in campaigns]  # fmt: skip
    console.table(["campaign", "version", "state", "when", "moments", "interactions", "bytes", "feedback"], rows)


def _describe(one: Campaign, came: Came, console: Console, *, changed: bool) -> None:
    window = f"{one.before_s:g} s before, {one.after_s:g} s after" if one.before_s or one.after_s else None
    console.facts([
        ("campaign", f"{one.id}, version {one.version}"),
        ("state", standing(one)),
        ("when", _json(one.when)),
        ("rate", None if one.rate is None else f"{one.rate:g} an hour and device"),
        ("bytes", None if one.bytes is None else f"{one.bytes:,} a device"),
        ("window", window),
        ("priority", one.priority),
        ("came", f"{came.moments:,} moments, {came.interactions:,} interactions, {came.bytes:,} bytes, "
                 f"{came.feedback:,} feedback on them"),
    ])  # fmt: skip
    if changed and one.state == "active":
        console.say("devices with Client(…, campaigns=True) hear of it within their campaign_seconds (five minutes)")


def _numbers(came: Came) -> list[int]:
    return [came.moments, came.interactions, came.bytes, came.feedback]


def standing(one: Campaign) -> str:
    """Its state in words, with the days it has left."""
    if one.state != "active" or one.until is None:
        return one.state
    left = (one.until - now()) / _DAY
    return f"active, {left:.1f} days left" if left > 0 else "over"


def read_size(text: str) -> int:
    """Bytes of "5MB", "300 kB", "1GiB" or "4096"; InvalidInput for anything else.

    >>> read_size("5MB"), read_size("1.5 KiB"), read_size("4096")
    (5000000, 1536, 4096)
    """
    found = _SIZE.fullmatch(text.strip())
    unit = found and _UNITS.get(found[2].upper())
    if not found or unit is None:
        raise InvalidInput(f"--bytes {text!r}: a number with B, kB, MB, GB, KiB, MiB or GiB after it: 5MB")
    return int(float(found[1]) * unit)


def _json(when: dict[str, Any]) -> str:
    return cell(msgspec.json.encode(when).decode(), most=60)
