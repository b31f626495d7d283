"""``everloop keys``: who may call the server. The first key can only be made here."""

import argparse
import re

from everloop import keys
from everloop.cli.console import Console
from everloop.cli.home import acted, opened
from everloop.cli.status import moment
from everloop.errors import InvalidInput
from everloop.ids import now
from everloop.types import Key
from everloop.wheel import Wheel

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TAKES_ID = {"list": False, "create": False, "rotate": True, "revoke": True}
_ONLY_CREATE = ("role", "name", "loop", "origin", "rate", "days")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which key."""
    parser.add_argument("action", nargs="?", choices=[*_TAKES_ID], default="list", help="list is what happens without")
    parser.add_argument("id", nargs="?", metavar="ID", help="of the key to rotate or revoke: not its secret")
    parser.add_argument("--role", choices=keys.ROLES, help="admin may all; developer all but keys, audit and erasure; "
                        "reviewer sees the pages and answers; client sends; publishable is for web pages")  # fmt: skip
    parser.add_argument("--name", help="what it is for, in your words")
    parser.add_argument("--loop", help="the only loop it is for")
    parser.add_argument(
        "--origin", action="append", metavar="URL", help="a page a publishable key is used from; repeat"
    )
    parser.add_argument("--rate", type=float, metavar="N", help="requests a second at most (EVERLOOP_RATE)")
    parser.add_argument("--days", type=float, metavar="N", help="it ends after so many days")
    parser.add_argument("--grace", metavar="TIME", help="how long the old one still works: 24h (default), 30m, 7d, 0")


def run(args: argparse.Namespace, console: Console) -> int:
    """List, create, rotate or revoke."""
    if _TAKES_ID[args.action] and args.id is None:
        raise InvalidInput(f"which one? everloop keys {args.action} ID; everloop keys list shows them")
    if not _TAKES_ID[args.action] and args.id is not None:
        raise InvalidInput(f"keys {args.action} takes no id")
    strange = [name for name in _ONLY_CREATE if getattr(args, name) is not None and args.action != "create"]
    if strange:
        raise InvalidInput(f"--{strange[0]} is for: everloop keys create")
    if args.grace is not None and args.action != "rotate":
        raise InvalidInput("--grace is for: everloop keys rotate")
    if args.action == "create" and args.role is None:
        raise InvalidInput(f"--role: one of {', '.join(keys.ROLES)}")
    grace = seconds(args.grace or "24h")
    with opened(args, create=args.action == "create") as wheel:
        match args.action:
            case "create":
                return _create(wheel, args, console)
            case "rotate":
                return _rotate(wheel, args.id, grace, console)
            case "revoke":
                return _revoke(wheel, args.id, console)
        return _list(wheel, console)


def _create(wheel: Wheel, args: argparse.Namespace, console: Console) -> int:
    with acted(wheel, "key.create"):
        made = keys.create(
            wheel.store.records, args.name or "", args.role, loop=args.loop or "", origins=args.origin or (),
            rate=args.rate, days=args.days,
        )  # fmt: skip
    _shown_once(made, console)
    if len(wheel.store.records.find(Key)) == 1:
        console.say("\nFrom now on everybody needs a key, on this machine too.")
        if made.key.role != "admin":
            console.say(f"This one can't make others; a key that can: {keys.MAKE_ONE}")
    return 0


def _rotate(wheel: Wheel, id: str, grace: float, console: Console) -> int:
    with acted(wheel, "key.rotate"):
        made = keys.rotate(wheel.store.records, id, grace)
    old = keys.stored(wheel.store.records, id)
    _shown_once(made, console)
    console.say(f"\nThe old one, {id}, " + (f"works until {moment(old.until or 0)}." if grace else "works no more."))
    return 0


def _revoke(wheel: Wheel, id: str, console: Console) -> int:
    with acted(wheel, "key.revoke"):
        key = keys.revoke(wheel.store.records, id)
    console.document(_public(key))
    console.say(f"revoked: {key.id} ({key.role}{', ' + key.name if key.name else ''}); it stops within a second")
    if not any(k.role == "admin" and keys.usable(k, now()) for k in wheel.store.records.find(Key)):
        console.warn(f"no admin key works any more; to make one: {keys.MAKE_ONE}")
    return 0


def _list(wheel: Wheel, console: Console) -> int:
    found = wheel.store.records.find(Key)
    console.document([_public(key) for key in found])
    if not found:
        console.say(f"no keys: everybody on this machine may do everything; to close it: {keys.MAKE_ONE}")
        return 0
    console.table(
        ["id", "role", "name", "loop", "state", "until", "made"],
        [[key.id, key.role, key.name, key.loop or "all", keys.state(key, now()),
          moment(key.until) if key.until is not None else None, moment(key.at)] for key in found],
    )  # fmt: skip
    return 0


def _shown_once(made: keys.Made, console: Console) -> None:
    key = made.key
    console.document({**_public(key), "secret": made.secret})
    console.say(made.secret)
    console.say("\nThis is shown once and stored nowhere; keep it where secrets are kept.")
    console.facts([
        ("id", key.id), ("role", key.role), ("name", key.name or None), ("loop", key.loop or None),
        ("pages", ", ".join(key.origins) or None), ("until", moment(key.until) if key.until is not None else None),
    ])  # fmt: skip


def _public(key: Key) -> dict[str, object]:
    """A key without its hash."""
    fields = {name: getattr(key, name) for name in key.__struct_fields__ if name != "hash"}
    return {**fields, "state": keys.state(key, now())}


def seconds(text: str) -> float:
    """A length of time: a number and s, m, h or d; InvalidInput for anything else.

    >>> seconds("24h"), seconds("90s"), seconds("0")
    (86400.0, 90.0, 0.0)
    """
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)([smhd]?)", text.strip())
    if found is None or (not found[2] and float(found[1])):
        raise InvalidInput(f"--grace {text[:40]!r}: write a time like 24h, 30m, 7d or 0")
    return float(found[1]) * _UNITS[found[2] or "s"]
