"""The command as a process: start-up time, pipes, bytes that are not text, and the server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from everloop.cli import COMMANDS


def everloop(*words, **more):
    return subprocess.run([sys.executable, "-m", "everloop.cli", *words], capture_output=True, check=False, **more)


def test_help_loads_next_to_nothing_and_names_every_command():
    ran = everloop("--help")
    assert ran.returncode == 0
    text = ran.stdout.decode()
    assert all(f"\n    {command} " in text for command in COMMANDS)
    assert everloop().stdout == ran.stdout
    code = "import sys; from everloop.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert not {"numpy", "scipy", "sklearn", "starlette", "rich", "everloop.wheel"} & set(loaded)


def test_help_loads_nothing_heavy():
    code = "import sys; from everloop.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not {"numpy", "scipy", "sklearn", "starlette", "rich", "sqlite3"} & set(
        json.loads(ran.stderr.replace("'", '"'))
    )


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "demo"])
def test_each_command_has_help_with_json_and_home(command, capsys):
    from everloop.cli import main

    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "--home DIR" in text


def test_a_pipe_gets_plain_text_and_a_closed_one_is_no_traceback(tmp_path):
    home = str(tmp_path / "home")
    assert everloop("init", "support", "--home", home).returncode == 0
    plain = everloop("status", "--home", home).stdout.decode()
    assert plain.startswith("loop")
    assert plain.isascii()
    assert "\x1b" not in plain
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([sys.executable, "-m", "everloop.cli", "status", "--home", home], stdout=writer,
                         stderr=subprocess.PIPE, check=False)  # fmt: skip
    os.close(writer)
    assert (ran.returncode, ran.stderr) == (1, b"")


@pytest.mark.slow
def test_bytes_that_are_not_text(tmp_path):
    home = str(tmp_path / "home")
    everloop("init", "support", "--home", home)
    for words, data in ([["predict", "support", "-"], b"caf\xe9"], [["predict", "support", b"caf\xe9"], b""]):
        ran = everloop(*words, "--home", home, input=data)
        assert (ran.returncode, ran.stdout) == (2, b"")
        assert b"not valid UTF-8" in ran.stderr
        assert ran.stderr.count(b"\n") == 1
    ran = everloop("predict", "support", "-", "--home", home, "--json", input="café".encode())
    assert json.loads(ran.stdout)["input"] == "café"
    ran = everloop("predict", "support", "-", "--home", home, input=b"x" * 10_000_000)
    assert (ran.returncode, ran.stderr.count(b"\n")) == (2, 1)
    assert b"over 1,000,000 bytes" in ran.stderr


def test_up_serves_until_it_is_told_to_stop(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "everloop.cli", "up", "--home", str(tmp_path / "home"), "--port", str(port)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for _ in range(500):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except urllib.error.URLError:
                assert server.poll() is None
                time.sleep(0.02)
        again = everloop("up", "--home", str(tmp_path / "home"), "--port", str(port))
        assert again.returncode == 2
        assert again.stderr.decode() == f"everloop: port {port} is in use; try: everloop up --port {port + 1}\n"
        server.send_signal(signal.SIGTERM)
        out, _ = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0
    assert f"everloop on http://127.0.0.1:{port}" in out
    assert "open, no keys: loopback only" in out
