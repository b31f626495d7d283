from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def banking77():
    """((texts, labels) to train on, (texts, labels) to test on)."""
    import csv

    folder = SHARED / "banking77"
    if not folder.is_dir():
        pytest.skip(f"the Banking77 data are not at {folder}; see the README of the shared data")
    result = []
    for name in ("train.csv", "test.csv"):
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        result.append(([row["text"] for row in rows], [row["category"] for row in rows]))
    return tuple(result)
