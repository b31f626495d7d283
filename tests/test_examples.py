"""Every example runs as it is, and says what it should."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SAYS = {
    "campaign.py": "takeover: the window around it",
    "device.py": "arrived: 40 interactions, 4 corrections",
    "gateway.py": "kept: 9 interactions",
    "support_desk.py": "day 1: 0 of 200 right",
    "webpage.py": "arrived: 1 correction, 1 implicit, 1 thumb, 1 vote",
}


QUICK = {"device.py"}


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=[] if path.name in QUICK else [pytest.mark.slow]) for path in EXAMPLES],
    ids=lambda path: path.name,
)  # fmt: skip
def test_it_runs(path):
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert SAYS[path.name] in done.stdout
