"""``everloop predict``: ask a loop for an answer; the answer is kept."""

import argparse
import sys
from typing import Any

import msgspec

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.reading import read_text
from everloop.errors import InvalidInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, the input, and whose it is."""
    parser.add_argument("loop")
    parser.add_argument("input", help="the input; - reads it from stdin")
    parser.add_argument("--parse", action="store_true", help="the input is JSON: a list of numbers or an object")
    parser.add_argument("--subject", help="the person it belongs to (kept as a pseudonym)")
    parser.add_argument("--session")
    parser.add_argument("--context", metavar="KEY=VALUE", nargs="+", default=[], action="extend",
                        help="what else is known; slices are read from it")  # fmt: skip
    parser.add_argument("--id", help="your own id: the same call again is the same interaction")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the answer, how sure the model is, and the id to give feedback on."""
    context = dict(_pair(word) for word in args.context)
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        text = read_text(sys.stdin.buffer, wheel.settings.max_input_bytes) if args.input == "-" else args.input
        given = _parsed(text) if args.parse else text
        made = loop.predict(given, subject=args.subject, session=args.session, context=context or None, id=args.id)
    console.document(msgspec.structs.asdict(made))  # whole: somebody reads it
    if made.output is None:
        console.say(f"no answer: nothing is live in {made.loop} yet, so it abstains and asks for labels")
    else:
        console.say(made.output)
    console.facts([
        ("confidence", made.confidence),
        ("else", ", ".join(f"{other.value} {other.confidence:.3f}" for other in made.alternatives) or None),
        ("interaction", made.id),
    ])  # fmt: skip
    return 0


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise InvalidInput(f"--context {word!r}: write it as KEY=VALUE")
    return key, value


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the input is not JSON: {error}") from None
