"""Killed at any instant, the next worker goes on from what is kept of the log, or reads everything, to the same end."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import everloop
from everloop.types import Drop, Placement
from everloop.wheel import Loop
from tests.server.conftest import questions

POLICY = {"golden_share": 0.2, "trigger_feedback": 0, "review_budget": 5}
SCRIPT = """
import os, signal, sys, zlib
import everloop.settings
from everloop import loop as turning
from everloop.store import sqlite_carried
from everloop.turn.workbench import Workbench

def dead(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

home, point = sys.argv[1:]
if point == "before the step is written":
    turning._finish = dead
elif point == "when the step is written":
    Workbench.settle = lambda self, written: dead() if written else None
elif point == "between two parts of what is kept":
    sqlite_carried._PART, calls, compress = 1_000, [], zlib.compress
    zlib.compress = lambda *given: dead() if len(calls) == 2 else (calls.append(1), compress(*given))[1]
elif point == "before the turn is closed":
    marked = turning._marked
    turning._marked = lambda turn, started, name, done: (
        dead() if name == "close" else marked(turn, started, name, done))
everloop.open(settings=everloop.settings.Settings.load(home=home, lease_seconds=1.0)).get("l").turn()
"""
POINTS = ("between two parts of what is kept", "before the step is written", "when the step is written",
          "before the turn is closed")  # fmt: skip


def rows(loop: Loop, first: int, n: int) -> None:
    some = questions(300, 4)[first : first + n]
    loop.log_many({"id": f"q{first + i}", "input": text, "label": topic if i % 2 else None, "at": first + i}
                  for i, (text, topic) in enumerate(some))  # fmt: skip


def written(loop: Loop) -> dict[str, Any]:
    version = loop.wheel.store.datasets.head("l")
    return {
        "places": {p.id: (p.group, p.split, p.turn) for p in loop.records.find(Placement, "l")},
        "drops": {d.id: (d.stage, d.reason, d.matched) for d in loop.records.find(Drop, "l")},
        "hash": version and version.hash, "seen": loop.report().dropped,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_worker_that_is_killed_loses_no_rows_and_doubles_none(tmp_path: Path, point: str) -> None:
    home, whole = tmp_path / "killed", tmp_path / "whole"
    with everloop.open(home) as wheel:
        loop = wheel.loop("l", policy=POLICY)
        rows(loop, 0, 60)
        loop.turn()
        rows(loop, 60, 30)
    shutil.copytree(home, whole)
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(home), point], capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    found = []
    for folder in (home, whole):
        with everloop.open(folder) as wheel:
            loop = wheel.get("l")
            if folder == whole:
                wheel.store.carry.keep("l", [], wheel.store.carry.changes("l"))
            loop.turn()
            rows(loop, 90, 30)
            loop.turn()
            found.append(written(loop))
    assert found[0] == found[1]
