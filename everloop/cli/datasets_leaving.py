"""``everloop datasets LOOP blame | export``: where an example came from, and versions as files for other tools."""

import argparse
from contextlib import suppress
from pathlib import Path

from everloop import versions
from everloop.cli.console import Console, cell
from everloop.cli.status import moment
from everloop.cli.writing import csv_lines, say_what_may_leave, write_whole
from everloop.errors import Conflict, InvalidInput
from everloop.wheel import Wheel

OPTIONS = ("format", "out", "split", "shareable", "force")
SHEET = ".datasheet.md"  # behind the file's own name
_SHOWN = 60
PLAIN: dict[versions.Format, str] = {"jsonl": ".jsonl", "csv": ".csv", "parquet": ".parquet"}  # known by its ending


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of these actions."""
    group = parser.add_argument_group("export")
    group.add_argument("--format", choices=[*versions.FORMATS], help="what reads it (by the ending of FILE)")
    group.add_argument("--out", type=Path, metavar="FILE", help=f"the file; beside it comes FILE{SHEET}")
    group.add_argument("--split", choices=["train", "golden"], help="only this part (what is trained on alone: train)")
    group.add_argument("--shareable", action="store_true", help="only what everybody it is made of agreed to share")
    group.add_argument("--force", action="store_true", help="overwrite the file and its datasheet")


def blame(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    """From an example to its evidence, its versions and its models."""
    found = versions.blame(wheel.store, loop, args.words[0])
    console.document(found)
    console.facts([
        ("example", found.example), ("input", cell(found.input, 200)), ("target", found.target),
        ("origin", found.origin), ("split", found.split), ("versions", len(found.versions)),
        ("evidence gone", found.missing or None),
    ])  # fmt: skip
    console.say()
    console.table(["version", "made", "what", "target", "weight", "by", "why"],
                  [[s.version, moment(s.at), s.what, s.target, s.weight, s.by, cell(s.why, _SHOWN)]
                   for s in found.steps])  # fmt: skip
    if found.evidence:
        console.say()
        console.table(["evidence", "id", "when", "who", "said", "source"],
                      [[s.kind, s.id, moment(s.at), s.who, cell(s.value, _SHOWN), s.source]
                       for s in found.evidence[: args.limit]])  # fmt: skip
        if len(found.evidence) > args.limit:
            console.say(f"{args.limit:,} of {len(found.evidence):,}; --limit shows more")
    console.say()
    if not found.models:
        console.say("no model was made from a version that holds it")
        return
    console.table(["model", "turn", "as", "in", "stages", "live"],
                  [[m.model, m.turn, m.target, "training" if m.part == "train" else m.part,
                    ", ".join(m.releases) or "never released", m.live] for m in found.models])  # fmt: skip


def export(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    """Write a file and its datasheet, whole or not at all."""
    path: Path | None = args.out
    if path is None:
        raise InvalidInput("say where to: --out FILE")
    format: versions.Format | None = args.format or next(
        (name for name, ending in PLAIN.items() if ending == path.suffix.lower()), None
    )  # fmt: skip
    if format is None:
        raise InvalidInput(f"--out {path}: say which --format; there are: {', '.join(versions.FORMATS)}")
    sheet = path.with_name(path.name + SHEET)
    fresh = not path.exists()
    if not fresh and not args.force:  # before the work, which may take a while
        raise Conflict(f"{path} is there already; --force overwrites it and its datasheet")
    version = versions.named(wheel.store.datasets, loop, args.words[0])
    made = versions.export(wheel.store, wheel.get(loop).spec, version, format, file=path.name, split=args.split,
                           shareable=args.shareable, csv_lines=csv_lines)  # fmt: skip
    # The sheet first: wherever this is interrupted, no file is without one. A sheet without its file is left over from
    # that, and nothing to be kept.
    write_whole(sheet, [made.sheet.encode()], force=args.force or fresh)
    try:
        size = write_whole(path, made.chunks, force=args.force)
    except BaseException:
        if fresh:
            with suppress(FileNotFoundError):
                sheet.unlink()
        raise
    console.document({
        "file": str(path), "datasheet": str(sheet), "format": format, "version": version.id, "hash": version.hash,
        "split": made.split, "rows": made.rows, "shareable": made.shareable, "withheld": made.withheld,
        "unshared": made.unshared, "bytes": size,
    })  # fmt: skip
    console.say(f"{made.rows:,} rows of {version.id} as {format} into {path} ({size:,} bytes), and {sheet.name}")
    if made.split and not args.split:
        console.say("the golden examples are not in it: they are for judging what was trained (--split golden)")
    if not made.rows and format in {"dpo", "trl-preference"}:
        console.say("there are no preferences: they come from corrections and from votes between two answers")
    say_what_may_leave(console, args.shareable, made.shareable, made.unshared, made.withheld)
