import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import EverloopError
from everloop.features import text

TEXTS = ["my card has not arrived", "", "WHERE is it?", "中文 ünïcode \ud800 \x00", "long " * 3000, "a"] + [
    f"row {i}" for i in range(20)
]


def test_each_text_alone_and_together_to_the_last_bit():
    together = text.vectors(TEXTS)
    assert together.shape == (26, text.SIZE)
    assert together.dtype == np.float32
    assert (np.concatenate([text.vectors([t]) for t in TEXTS]) == together).all()
    assert (text.vectors(TEXTS[::-1])[::-1] == together).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12))
def test_any_texts(texts):
    found = text.vectors(texts)
    length = np.linalg.norm(found, axis=1)
    assert found.shape == (len(texts), text.SIZE)
    assert np.isfinite(found).all()
    assert ((np.abs(length - 1) < 1e-5) | (length == 0)).all()


@pytest.mark.slow
def test_the_same_as_wordllama_itself():
    from wordllama import WordLlama

    folder = Path(str(distribution("wordllama").locate_file("wordllama")))
    oracle = WordLlama.load(cache_dir=folder, disable_download=True)
    plain = [t for t in TEXTS if t and "\ud800" not in t]
    assert text.vectors(plain) == pytest.approx(oracle.embed(plain, norm=True), abs=1e-6)


def test_importing_loads_nothing_heavy_and_loading_never_asks_the_network():
    script = """
import sys
import everloop.train, everloop.evaluate, everloop.stats.paired
heavy = [m for m in ("sklearn", "scipy", "tokenizers", "safetensors", "wordllama", "requests") if m in sys.modules]
assert not heavy, heavy
import socket
def refuse(*a, **k): raise AssertionError("network")
socket.socket.connect = refuse
from everloop.features import text
assert text.vectors(["hello"]).any()
assert "wordllama" not in sys.modules and "requests" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"HOME": "/nonexistent", "PATH": ""})


def test_a_missing_package_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(text, "_loaded", [])
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    with pytest.raises(EverloopError, match="pip install wordllama"):
        text.vectors(["a"])
