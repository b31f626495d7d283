"""A fresh interpreter, as the words that start one."""

import sys


def fresh(code: str) -> list[str]:
    """The command that runs `code` in an interpreter which finds modules where this one does.

    Left to itself, ``python -c`` looks for them in the current folder first: a `random.py` of the user's there would be
    run in the place of Python's own.

    >>> fresh("print(1)")[1:3]
    ['-P', '-c']
    """
    return [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"]
