"""``everloop init``: declare a loop, or change what was declared."""

import argparse
import difflib
from pathlib import Path
from typing import Any, get_origin

import msgspec

from everloop.auditing import noted
from everloop.cli.console import Console
from everloop.cli.home import acted, opened
from everloop.cli.variants import next_steps, read_declaration, read_variants
from everloop.errors import InvalidInput
from everloop.settings import Settings
from everloop.types import LoopSpec, Policy

_FEWEST_LABELS = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is not given stays as it was declared before, or at its default."""
    parser.add_argument("loop", metavar="NAME", help="lower-case letters, digits, - and _")
    parser.add_argument("--task", choices=["classify", "chat"], help="what kind of answer it gives")
    parser.add_argument("--signal", help='what people do that teaches: "agents correct the suggested intent"')
    parser.add_argument("--capability", help="the number that should improve (accuracy)")
    parser.add_argument("--outcome", help="the number the business wants moved: handoff_rate")
    parser.add_argument("--goal", choices=["up", "down"], help="the way the outcome should move")
    parser.add_argument("--labels", metavar="A,B|FILE", help="the closed set of labels: a list, or a file, one a line")
    parser.add_argument("--trainer", metavar="NAME", help='a trainer by name, like linear_text.v1 ("auto" chooses)')
    parser.add_argument("--policy", metavar="KEY=VALUE", nargs="+", default=[], action="extend",
                        help="how a turn behaves: review_budget=50 margin=0.01")  # fmt: skip
    parser.add_argument("--variant", metavar="KEY=VALUE", nargs="+", default=[], action="append", dest="variants",
                        help="who answers: name=a url=https://host/v1 model=m key_env=VARIABLE weight=0.5; once for "
                        "each, and again to change one")  # fmt: skip
    parser.add_argument("--sticky", choices=["subject", "session", "request"], help="who keeps their variant")
    parser.add_argument("--declare", metavar="FILE", help="all of it from a JSON file, as --json prints it")


def run(args: argparse.Namespace, console: Console) -> int:
    """Declare the loop, then say what was declared and what to do next."""
    given: dict[str, Any] = {} if args.declare is None else read_declaration(args.declare, args.loop)
    given |= {
        name: getattr(args, name)
        for name in ("task", "signal", "capability", "outcome", "goal", "sticky")
        if getattr(args, name) is not None
    }
    if args.labels is not None:
        given["labels"] = read_labels(args.labels)
    if args.trainer is not None:
        given["trainer"] = args.trainer
    if args.policy:
        given["policy"] = read_policy(args.policy)
    with opened(args, create=True) as wheel:
        before = next((loop.spec for loop in wheel.loops() if loop.name == args.loop), None)
        if args.variants:
            there = () if before is None else before.variants
            given["variants"] = read_variants(args.variants, given.get("variants", there))
            if before is None:
                given.setdefault("task", "chat")
        with acted(wheel, "init", target=args.loop, loop=args.loop):
            noted(detail=", ".join(given))
            loop = wheel.loop(args.loop, **given)
        console.document(loop.spec)
        _describe(loop.spec, before, loop.status().sentence, wheel.settings, console)
    return 0


def _describe(spec: LoopSpec, before: LoopSpec | None, sentence: str, settings: Settings, console: Console) -> None:
    if before is None:
        console.say(f"declared loop {spec.name} in {settings.home}")
    else:
        same = msgspec.structs.replace(before, at=spec.at) == spec
        console.say(f"loop {spec.name} was declared already; {'nothing changed' if same else 'changed'}")
    console.say()
    console.say(f"  {sentence}")
    console.say()
    labels = f"{len(spec.labels)}: {', '.join(spec.labels[:5])}{', …' if len(spec.labels) > 5 else ''}"
    variants = ", ".join(f"{one.name} ({one.model}, weight {one.weight:g})" for one in spec.variants)
    different = {name: value for name, value in msgspec.structs.asdict(spec.policy).items()
                 if value != getattr(Policy(), name)}  # fmt: skip
    console.facts([
        ("task", spec.task),
        *([("variants", variants)] if variants else []),
        *([("labels", labels if spec.labels else "any")] if spec.labels or spec.task != "chat" else []),
        *([("trainer", spec.trainer.name)] if spec.task != "chat" else []),
        ("policy", ", ".join(f"{name}={value}" for name, value in different.items()) or "the defaults"),
    ])  # fmt: skip
    missing = [f"--{name}" for name in ("signal", "outcome") if not getattr(spec, name)]
    if missing:
        console.say()
        console.say(f"not declared: {' '.join(missing)}. Until the sentence is whole, `everloop check` can't judge it.")
    if before is not None:
        return
    home = "" if settings.home == Settings().home else f" --home {settings.home}"
    base = f"http://{settings.host}:{settings.port}"
    if spec.task == "chat":
        return console.say(next_steps(spec, base, home))
    console.say(f"""
next:
  everloop up{home}
  curl -X POST {base}/v1/loops/{spec.name}/predict -d '{{"input": "my card has not arrived"}}'
  curl -X POST {base}/v1/feedback -d '{{"interaction": "ID", "kind": "correction", "value": "card_arrival"}}'
or from here:
  everloop predict {spec.name} "my card has not arrived"{home}
  everloop feedback ID --correction card_arrival{home}
  everloop log {spec.name} past.csv{home}      # what you have already: columns input, label
  everloop turn {spec.name}{home}""")


def read_labels(text: str) -> tuple[str, ...]:
    """A closed set of labels from ``a,b`` or from a file with one a line; raises InvalidInput."""
    path = Path(text)
    if "," not in text and path.is_file():
        try:
            words = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{text}: not valid UTF-8 at byte {error.start}") from None
    else:
        words = text.split(",")
    labels = tuple(word.strip() for word in words if word.strip())
    if len(labels) < _FEWEST_LABELS:
        raise InvalidInput(f"--labels {text!r}: neither a file nor a list of two labels or more (a,b)")
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InvalidInput(f"--labels: {twice!r} is there twice")
    return labels


def _policy_value(text: str, of: Any) -> Any:
    """A value as it is written: JSON where it is a list or an object, several words with commas, or a word."""
    if text[:1] in ("[", "{"):
        return msgspec.json.decode(text)
    return tuple(part for part in text.split(",") if part) if get_origin(of) is tuple else text


def read_policy(words: list[str]) -> dict[str, Any]:
    """``key=value`` words as fields of Policy; raises InvalidInput that names the nearest field."""
    fields = {info.name: info.type for info in msgspec.structs.fields(Policy)}
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InvalidInput(f"--policy {word!r}: write it as KEY=VALUE")
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(fields)}"
            raise InvalidInput(f"--policy: no dial called {key!r}; {hint}")
        try:
            found[key] = msgspec.convert(_policy_value(text, fields[key]), fields[key], strict=False)
        except msgspec.DecodeError as error:  # a value that can't be is one, too
            raise InvalidInput(f"--policy {word}: {str(error)[0].lower()}{str(error)[1:]}") from None
    return found
