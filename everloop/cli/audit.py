"""``everloop audit``: who changed what, newest first."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.status import moment
from everloop.errors import InvalidInput
from everloop.types import Audit, Key

_LIMIT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which rows."""
    parser.add_argument("loop", nargs="?", help="one loop; without it all, and what is of no loop")
    parser.add_argument("--by", metavar="WHO", help='a key\'s id, "open" (there were no keys) or "cli"')
    parser.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help=f"print at most so many ({_LIMIT})")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print a row a line."""
    if args.limit < 1:
        raise InvalidInput("--limit: must be 1 or more")
    where = {} if args.by is None else {"by": args.by}
    with opened(args) as wheel:
        rows = wheel.store.records.find(Audit, args.loop, newest=True, limit=args.limit, **where)
        names = {key.id: key.name for key in wheel.store.records.find(Key)}
    console.document(rows)
    if not rows:
        console.say("nothing was changed yet")
        return 0
    console.table(
        ["when", "by", "what", "to what", "detail"],
        [
            [moment(row.at), f"{row.by} {names.get(row.by, '')}".strip(), row.action, row.target, row.detail]
            for row in rows
        ],
    )
    return 0
