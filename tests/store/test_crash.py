"""Killed at any instant, and several processes on one folder: what was acknowledged is there, and nothing by halves."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from everloop.store import Store, open_store
from everloop.types import FeedbackFields, Interaction

SCRIPT = Path(__file__).with_name("write_until_killed.py")
SIZE = 7


def start(folder: Path, batches: int) -> "subprocess.Popen[str]":
    command = [sys.executable, str(SCRIPT), str(folder), str(batches)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_whole(store: Store, acknowledged: list[tuple[str, str]]) -> None:
    seen = Counter(r.id.rsplit("-", 1)[0] for r in store.records.find(Interaction))
    assert set(seen.values()) <= {SIZE}
    thumbs = Counter(r.id.rsplit("-", 1)[0] for r in store.records.find(FeedbackFields))
    assert thumbs == seen
    assert store.records.held() == []
    for what, name in acknowledged:
        if what == "batch":
            assert seen[name] == SIZE
        elif what == "version":
            assert [e.target for e in store.datasets.examples(name)] == [name] * 20
        else:
            assert store.blobs.size(name) == len(store.blobs.get(name))
    for version in store.datasets.log("support"):
        assert len(store.datasets.examples(version.id)) == version.size == 20


def lines(output: str) -> list[tuple[str, str]]:
    return [
        (what, name)
        for what, name in (line.split() for line in output.splitlines() if line.endswith(tuple("0123456789abcdef")))
    ]


@pytest.mark.slow
def test_kill_nine_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[tuple[str, str]] = []
    chance = random.Random(7)
    for _ in range(10):
        process = start(tmp_path, 100_000)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        output, _ = process.communicate()
        acknowledged += lines(first + output[: output.rfind("\n") + 1])
        with open_store(tmp_path) as store:
            check_whole(store, acknowledged)
    assert len(acknowledged) > 50


@pytest.mark.slow
def test_processes_share_a_folder(tmp_path: Path) -> None:
    """Opened, made and written at once; each gets its turn."""
    processes = [start(tmp_path / "new", 150) for _ in range(3)]
    acknowledged = []
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        acknowledged += lines(output)
    with open_store(tmp_path / "new") as store:
        assert store.records.count(Interaction) == 3 * 150 * 2 * SIZE
        check_whole(store, acknowledged)
