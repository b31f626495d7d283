"""The parent of several serving processes, with children that are made to die."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from everloop.server import processes
from everloop.settings import Settings


def test_a_child_that_dies_before_it_is_told_anything_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started = []

    class Dead(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **more: Any):
            super().__init__(*args, **more)
            started.append(self.wait())

    monkeypatch.setattr(processes, "fresh", lambda code: [sys.executable, "-S", "-c", "raise SystemExit(3)"])
    monkeypatch.setattr(processes.subprocess, "Popen", Dead)
    with (tmp_path / "socket").open("wb") as listening:
        child = processes._Child(processes.Part(Settings(home=str(tmp_path)), listening.fileno(), worker=False))
        child.look()
        child._again = 1e-9  # its pause is over
        child.look()
        child.stop(0.0)
    assert started == [3, 3]
    assert "ended with 3; another one starts in" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
