"""Docs cannot lie: the README's code runs, its tree names every file, its table every setting."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from everloop.cli import COMMANDS
from everloop.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_session_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})  # our own file
    assert "turn 1 of support" in out.getvalue()


def test_every_command_in_a_console_block_exists():
    named = set(re.findall(r"everloop ([a-z]+)", "\n".join(blocks("console")) + README))
    assert named - {"is"} <= set(COMMANDS) | {"demo"}


def test_every_setting_has_its_line_with_its_default():
    for info in msgspec.structs.fields(Settings):
        assert f"| `EVERLOOP_{info.name.upper()}` | `{info.default}` |" in README, info.name


def files():
    listed = subprocess.run(["git", "ls-files", "everloop"], cwd=ROOT, capture_output=True, text=True, check=False)
    return [Path(line) for line in listed.stdout.splitlines()]


@pytest.mark.skipif(not files(), reason="not a git checkout")
def test_the_tree_names_every_file_and_nothing_else():
    tree = README.split("<!-- tree -->")[1].split("<!-- /tree -->")[0]
    named = set(re.findall(r"^\s*([\w./]+\.(?:py|sql|html|css|js|svg))\s", tree, re.MULTILINE))
    there = {path.name for path in files() if path.suffix in {".py", ".sql"} and path.name != "__init__.py"}
    assert there <= named, f"not in the README's tree: {sorted(there - named)}"
    assert {n for n in named if n.endswith((".py", ".sql"))} <= there


def test_help_in_the_docs_is_what_help_says():
    out = subprocess.run([sys.executable, "-m", "everloop.cli", "--help"], capture_output=True, text=True, check=True)
    assert all(command in out.stdout for command in COMMANDS)
