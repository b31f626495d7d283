"""Killed at random instants, what is kept up to date comes to the same as if it had never been."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from everloop.store import open_store
from everloop.types import Correction, Derived, FeedbackFields, Implicit, Interaction, LoopSpec, Outcome, SignalSpec

DAY, T0, MANY = 86_400_000, 1_800_000_000_000, 600
SPEC = LoopSpec(name="l", signals=(SignalSpec(name="contact", kind="outcome", window_s=7 * 86_400, silence=0.0),))
TIMES = [str(T0 + days * DAY) for days in (0, 4, 8, 9)]


def fill(folder: Path) -> None:
    chance = random.Random(3)
    with open_store(folder) as store:
        rows: list[Interaction | FeedbackFields] = []
        for n in range(MANY):
            rows.append(Interaction(id=f"i{n}", loop="l", at=T0 - chance.randrange(20) * DAY, output="an answer",
                                    input=f"question {n % 40}", session=f"s{n // 4}"))  # fmt: skip
            if n % 3 == 0:
                rows.append(Correction(id=f"c{n}", interaction=f"i{n}", at=T0, value=f"an answer {n}"))
            if n % 4 == 0:
                rows.append(Outcome(id=f"o{n}", interaction=f"i{n}", at=T0, value=1, name="contact"))
            if n % 5 == 0:
                rows.append(Implicit(id=f"p{n}", interaction=f"i{n}", at=T0, value="copy"))
        store.records.put(SPEC, *rows)


def content(folder: Path) -> tuple[list[Derived], list[FeedbackFields]]:
    with open_store(folder) as store:
        derived = sorted(store.records.find(Derived), key=lambda one: one.id)
        # A silence says when it was written, if the interaction's clock was behind.
        said = sorted(store.records.find(FeedbackFields), key=lambda one: one.id)
        return derived, [replace(one, at=0) if getattr(one, "silent", False) else one for one in said]


@pytest.mark.slow
def test_killed_at_random_instants_it_comes_to_the_same(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("tend_until_killed.py"))]
    fill(tmp_path / "straight")
    subprocess.run([*command, str(tmp_path / "straight"), "me", *TIMES], check=True, capture_output=True)
    fill(tmp_path / "killed")
    chance, kills = random.Random(7), 0
    while True:
        running = subprocess.Popen(
            [*command, str(tmp_path / "killed"), f"worker {kills}", *TIMES], stdout=subprocess.PIPE
        )  # fmt: skip
        assert running.stdout is not None
        last = b""
        for _ in range(chance.randint(1, 2 + kills)):  # so many steps are whole; in the next one it dies
            last = running.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.02))
        running.kill()
        out, _ = running.communicate()
        if b"done" in last + out:
            break
        kills += 1
    straight, killed = content(tmp_path / "straight"), content(tmp_path / "killed")
    assert kills >= 2
    assert killed == straight
    assert sum(getattr(one, "silent", False) for one in straight[1]) > 100
    assert len(straight[0]) > MANY // 3
