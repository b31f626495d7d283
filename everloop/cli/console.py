"""What a command writes with: tables and progress bars on a terminal, plain text in a pipe, JSON when asked for."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

_INDENT = 2
# Control characters but the tab, line and paragraph separators, bidirectional controls, halves of surrogate pairs.
_OBEYED = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")


class Console:
    """One command's output. Under ``--json`` only `document` writes; otherwise everything but `document` does.

    Text of strangers goes through here, so control characters (a terminal obeys them) are made visible.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.terminal = not json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._documented = False

    def say(self, text: str = "") -> None:
        """Lines for people."""
        if not self.json:
            sys.stdout.write("\n".join(visible(line) for line in text.split("\n")) + "\n")

    def warn(self, text: str) -> None:
        """A line on stderr, also under ``--json``."""
        sys.stdout.flush()
        sys.stderr.write(f"everloop: {one_line(text)}\n")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
        """Rows under column names; a cell that is a number stands to the right, None is an empty cell."""
        if self.json:
            return
        if self.terminal:
            self._rich_table(columns, rows, title)
            return
        if title:
            self.say(title)
        cells = [list(columns), *([cell(value) for value in row] for row in rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
        right = _right(columns, rows)
        for row in cells:
            padded = [text.rjust(w) if r else text.ljust(w) for text, w, r in zip(row, widths, right, strict=True)]
            self.say("  ".join(padded).rstrip())

    def facts(self, pairs: Sequence[tuple[str, Any]]) -> None:
        """Name and value, one a line, the values aligned; None is left out."""
        known = [(name, cell(value)) for name, value in pairs if value is not None]
        width = max((len(name) for name, _ in known), default=0)
        for name, value in known:
            self.say(f"{name.ljust(width)}  {value}")

    def document(self, value: Any) -> None:
        """The one JSON document of this run; a command calls it once, whether asked for or not."""
        if not self.json:
            return
        if self._documented:
            raise AssertionError("a run has one JSON document")
        self._documented = True
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=_INDENT).decode() + "\n")

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
        """A bar (a spinner without `total`) on a terminal's stderr while the block runs.

        Gives a function `advance(n=1, what=None)`: so many more are done; `what` renames the work at hand.
        """
        if not self.terminal or not sys.stderr.isatty():
            yield lambda n=1, what=None: None
            return
        from rich.console import Console as Rich
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        columns += [BarColumn(), MofNCompleteColumn()] if total is not None else []
        with Progress(*columns, TimeElapsedColumn(), console=Rich(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)

            def advance(n: int = 1, what: str | None = None) -> None:
                bar.update(task, advance=n, description=what or bar.tasks[0].description)

            yield advance

    def close(self) -> None:
        """Everything is out; raises BrokenPipeError if nobody reads."""
        sys.stdout.flush()

    def _rich_table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str) -> None:
        from rich import box
        from rich.console import Console as Rich
        from rich.table import Table
        from rich.text import Text

        table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE_HEAD,
                      padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip
        for i, (name, right) in enumerate(zip(columns, _right(columns, rows), strict=True)):
            words = all(" " not in cell(row[i]) for row in rows)  # an id must stay whole to be copied
            table.add_column(name, justify="right" if right else "left", no_wrap=words, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell(value)) for value in row))
        Rich(highlight=False).print(table)


def cell(value: Any, most: int | None = None) -> str:
    """One value on one line of a table, in at most `most` characters.

    >>> cell(None), cell(1234567), cell(0.87654), cell("a\\nb"), cell(True), cell("abcdef", most=4)
    ('', '1,234,567', '0.877', 'a b', 'yes', 'abc…')
    """
    text = _text(value)
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.3f}"
        case str():
            return one_line(value)
        case _:
            return one_line(msgspec.json.encode(value).decode())


def one_line(text: str) -> str:
    """Text with its line breaks and runs of blanks as single blanks, and nothing in it that a terminal obeys."""
    return visible(" ".join(text.split()))


def visible(text: str) -> str:
    """Text in which what a terminal obeys stands as what it is: control characters, and reversals of direction.

    >>> visible("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return _OBEYED.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def _right(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Which columns hold numbers only, and at least one."""
    found = []
    for i in range(len(columns)):
        values = [row[i] for row in rows if row[i] is not None]
        found.append(bool(values) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values))
    return found


__all__ = ["Console", "cell", "one_line", "visible"]
