"""The command line. Each command is a module with ``add_arguments(parser)`` and ``run(args, console) -> int``.

Only the module of the command that was asked for is loaded, so that ``everloop --help`` answers at once.
Exit codes: 0 done, 1 it failed, 2 the user can mend it. Errors are one line on stderr.
"""

import argparse
import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from everloop.cli.console import Console, one_line
from everloop.errors import EverloopError, InvalidInput, UserError

# In the order in which somebody meets them.
COMMANDS = {
    "demo": "turn the wheel on real data and print what happened",
    "init": "declare a loop: what usage teaches, what that improves, what that drives",
    "up": "serve the gateway, the worker and the pages",
    "predict": "ask a loop for an answer",
    "feedback": "say what an answer was worth",
    "log": "import interactions, with or without labels, from a CSV or JSONL file",
    "import": "bring what other tools logged: Langfuse, OpenAI batches, NVIDIA, any table",
    "review": "list the open reviews, or answer one",
    "annotators": "who answers reviews, how far they agree, and how far each one's word goes",
    "turn": "turn the wheel once, now",
    "status": "where each loop stands, and what it waits for",
    "slices": "where the live model is weak, and the slices no candidate may get worse in",
    "classes": "inputs that fit no class, as proposed new ones: accept or refuse them",
    "signals": "how late and how complete a loop's declared signals come in",
    "derive": "derive a loop's signals anew over all its history",
    "check": "whether each loop is a flywheel or only accumulates data",
    "models": "the models of a loop, and which one answers",
    "rollback": "put the model before back in front",
    "campaign": "what devices are asked to send, and what came of it",
    "datasets": "the versions of a loop's dataset, as people use code: log, diff, branch, edit, merge, blame, export",
    "export": "write a dataset version to a JSONL or CSV file",
    "drops": "what curation left out and why, and whether its rules are right",
    "undo": "take back what curation left out",
    "consent": "what a person allows their data to be used for",
    "forget": "erase a person everywhere",
    "keys": "who may call the server: create, list, rotate, revoke",
    "audit": "who changed what",
    "version": "which Everloop this is",
}
_MODULES = {"import": "importing"}  # commands whose module can't be called like them
_DONE, _FAILED, _MISTAKE, _INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """One line for a mistake instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{message} (see: {self.prog} --help)")


class _Aligned(argparse.HelpFormatter):
    """The help of a command stands beside it, however long its name: argparse forgets that commands are indented."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)
        self._action_max_length = max(map(len, COMMANDS)) + 4


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code and never raises."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["--version"]:
        words[0] = "version"
    try:
        args = _parse(words)
        console = Console(json=args.json)
        code: int = args.module.run(args, console)
        console.close()
        return code
    except SystemExit as ended:  # argparse has printed --help, or the server has said why it can't
        if isinstance(ended.code, str):
            sys.stderr.write(f"everloop: {one_line(ended.code)}\n")
            return _FAILED
        return ended.code or _DONE
    except BrokenPipeError:  # the reader (`| head`) had enough; keep the interpreter's last flush quiet too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get("EVERLOOP_DEBUG", "") not in {"", "0"}:
            traceback.print_exception(error)
        code, line = _explained(error)
        sys.stdout.flush()
        sys.stderr.write(f"everloop: {one_line(line)}\n")
        return code


def _parse(words: list[str]) -> argparse.Namespace:
    """The arguments of the command among `words`, with its module as `module`."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InvalidInput("an argument is not valid UTF-8") from None
    parser = _Parser(
        prog="everloop", description="An open, self-hosted data flywheel.", allow_abbrev=False,
        formatter_class=_Aligned,
    )  # fmt: skip
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", parser_class=_Parser)
    name = words[0] if words else "--help"
    if name.startswith("-") and name not in {"-h", "--help"}:
        raise InvalidInput(f"the command comes first: everloop COMMAND {name} … (see: everloop --help)")
    if not name.startswith("-") and name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean: everloop {near[0]}" if near else "see: everloop --help"
        raise InvalidInput(f"no command {name!r}; {hint}")
    for command, summary in COMMANDS.items():
        below = commands.add_parser(command, help=summary, description=f"{summary[0].upper()}{summary[1:]}.",
                                    allow_abbrev=False)  # fmt: skip
        if command == name:
            module = importlib.import_module(f"everloop.cli.{_MODULES.get(command, command)}")
            if getattr(module, "WRITES_JSON", False):  # its own --json FILE: the run is long, the table is for people
                below.set_defaults(json=False)
            else:
                below.add_argument("--json", action="store_true", help="one JSON document on stdout, nothing else")
            below.add_argument("--home", metavar="DIR", help="the folder (default: EVERLOOP_HOME, or ./.everloop)")
            module.add_arguments(below)
            below.set_defaults(module=module)
    return parser.parse_args(words or ["--help"])


def _explained(error: BaseException) -> tuple[int, str]:
    """The exit code for an exception, and the one line a person gets."""
    match error:
        case UserError():
            return _MISTAKE, str(error)
        case EverloopError():
            return _FAILED, str(error)
        case KeyboardInterrupt():
            return _INTERRUPTED, "interrupted"
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            return _FAILED, f"{(error.strerror or str(error)).lower()}{where}"
        case _:
            return _FAILED, f"unexpected {type(error).__name__}: {error} (EVERLOOP_DEBUG=1 shows where)"


__all__ = ["COMMANDS", "main"]
