"""The demo, as a newcomer runs it; and killed at random instants, as life does."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from everloop.cli import main

BANKING = Path(__file__).parents[2].parent / "shared" / "data" / "banking77"


def demo(folder, *more):
    target = folder / "out.json"
    assert main(["demo", "--home", str(folder / "home"), "--json", str(target), *more]) == 0
    return json.loads(target.read_text())


def holds(result, share, seen=0.35):
    """What the demo must show, whatever the data."""
    last = result["turns"][-1]["test_accuracy"]
    assert last["estimate"] >= share * result["ceiling"]["estimate"]
    assert last["low"] > result["baseline"]["high"]
    assert result["labels_seen"]["share"] <= seen
    before = result["baseline"]["estimate"]
    for turn in result["turns"]:
        now = turn["test_accuracy"]["estimate"]
        assert now >= before - 0.01, f"turn {turn['turn']} promoted a model that is worse"
        before = now


@pytest.mark.slow
def test_digits(tmp_path, capsys):
    result = demo(tmp_path)
    holds(result, 0.94)
    keys = {"turn", "interactions", "feedback", "kept", "dropped", "auto_labelled", "human_labels", "candidates",
            "verdict", "model", "test_accuracy", "seconds"}  # fmt: skip
    assert all(keys <= turn.keys() for turn in result["turns"])
    assert [turn["turn"] for turn in result["turns"]] == list(range(1, 9))
    assert {"baseline", "ceiling", "data", "seed"} <= result.keys()
    assert "every label true" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 10))
def test_digits_over_seeds(tmp_path, seed):
    holds(demo(tmp_path, "--seed", str(seed)), 0.94)


@pytest.mark.slow
@pytest.mark.skipif(not BANKING.is_dir(), reason="needs banking77 in ../shared/data")
def test_banking77(tmp_path):
    holds(demo(tmp_path, "--data", "banking77", "--folder", str(BANKING)), 0.94)


@pytest.mark.slow
@pytest.mark.skipif(not BANKING.is_dir(), reason="needs banking77 in ../shared/data")
def test_banking77_where_most_labels_are_asked_for(tmp_path):
    few = ("--feedback", "0.1", "--labels", "0.3")
    holds(demo(tmp_path, "--data", "banking77", "--folder", str(BANKING), *few), 0.955, seen=0.3)


def told(result):
    """What must not depend on where a run was interrupted: dataset hashes, model bytes, verdicts, accuracy."""
    return [
        (t["dataset_hash"], t["model_blob"], t["verdict"], t["test_accuracy"], t["dropped"], t["promoted"])
        for t in result["turns"]
    ]  # fmt: skip


@pytest.mark.slow
def test_another_machine_makes_the_same_datasets_and_almost_the_same_probabilities(tmp_path):
    """Another processor, as far as one machine can play it: other vector instructions and numbers of threads."""
    runs = []
    for number, changed in enumerate((
        {"OPENBLAS_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    )):  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, "-m", "everloop.cli", "demo", "--turns", "4", "--home", str(folder / "home"),
                   "--json", str(folder / "out.json")]  # fmt: skip
        subprocess.run(command, check=True, env={**os.environ, **changed}, stdout=subprocess.DEVNULL)
        probe = f"import everloop; l = everloop.open({str(folder / 'home')!r}).get('digits'); print(PROBABILITIES)"
        probe = probe.replace("PROBABILITIES", "[l.answer([i / 64] * 64).confidence for i in range(64)]")
        shown = subprocess.run([sys.executable, "-c", probe], check=True, env={**os.environ, **changed},
                               capture_output=True, text=True)  # fmt: skip
        runs.append((told(json.loads((folder / "out.json").read_text())), json.loads(shown.stdout)))
    (one, first), (two, second) = runs
    assert [turn[0] for turn in one] == [turn[0] for turn in two]
    assert max(abs(a - b) for a, b in zip(first, second, strict=True)) <= 1e-6


@pytest.mark.slow
def test_killed_at_ten_random_instants_it_ends_the_same(tmp_path):
    arguments = ["--turns", "4"]
    (tmp_path / "whole").mkdir()
    whole = demo(tmp_path / "whole", *arguments)
    target = tmp_path / "out.json"
    command = [sys.executable, "-m", "everloop.cli", "demo", "--home", str(tmp_path / "home"), "--json", str(target),
               *arguments]  # fmt: skip
    rng = random.Random(20)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "TERM": "dumb"}}
    killed = 0
    for _ in range(10):
        process = subprocess.Popen(command, **quiet)
        time.sleep(rng.uniform(0.8, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += process.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, timeout=120, **quiet)
    assert killed >= 5
    assert told(json.loads(target.read_text())) == told(whole)
