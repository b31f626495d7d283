"""A folder of its own for each test, and the command line in this process."""

import json
from typing import Any, NamedTuple

import pytest

from everloop.cli import main


class Ran(NamedTuple):
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    @property
    def mistake(self) -> str:
        """The one line of a user's mistake; fails if it was anything else."""
        assert (self.code, self.out) == (2, ""), self
        assert self.err.startswith("everloop: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("everloop: ").rstrip("\n")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of this test, also for commands without --home."""
    monkeypatch.setenv("EVERLOOP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def run(capsys, home):
    """`run("status", "--json")`: a command, to the end."""

    def run(*words: str) -> Ran:
        capsys.readouterr()
        code = main(list(words))
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def support(run):
    """A declared loop called support, with a closed set of labels; gives `run`."""
    assert run("init", "support", "--labels", "card_arrival,card_lost,top_up").code == 0
    return run
