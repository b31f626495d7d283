"""Work in other processes: the same results in order, also when a process dies."""

import os
import signal
import subprocess
import sys
import time

import pytest

from everloop.engine import apart, each, local


def square(x):
    return x * x


def who(_):
    return os.getpid()


def die_elsewhere(x):
    pid, value = x
    if os.getpid() != pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def nested(x):
    return each(square, [x, x + 1])


def fail(x):
    raise ValueError(f"no {x}")


def test_what_stands_in_the_current_folder_is_not_run(tmp_path, monkeypatch):
    for name in ("random", "signal", "threading", "everloop"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the current folder was run')")
    monkeypatch.chdir(tmp_path)
    assert apart(who, None) != os.getpid()


def test_results_come_in_order():
    assert each(square, [3, 1, 2]) == [9, 1, 4]
    assert each(square, []) == []


def test_it_uses_another_process_where_there_is_a_core_for_it():
    used = set(each(who, range(8)))
    assert os.getpid() in used
    assert len(used) > 1 or local.cores() == 1


def test_a_process_that_is_killed_costs_time_and_nothing_else():
    assert each(die_elsewhere, [(os.getpid(), n) for n in range(3)]) == [0, 1, 2]
    assert each(square, [1, 2]) == [1, 4]


def test_what_a_function_raises_arrives():
    with pytest.raises(ValueError, match="no 1"):
        each(fail, [1, 2])


def test_a_script_without_a_guard_is_not_run_twice(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\nfrom everloop.engine import each\nfrom operator import neg\nprint(each(neg, [1, 2, 3]))"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "once\n[-1, -2, -3]\n"
    assert done.stderr == ""


def test_apart_runs_elsewhere_and_may_use_more_processes_itself():
    assert apart(who, 0) != os.getpid()
    assert apart(nested, 2) == [4, 9]
    assert apart(die_elsewhere, (os.getpid(), 5)) == 5
    with pytest.raises(ValueError, match="no 1"):
        apart(fail, 1)


def test_no_processes_of_processes():
    assert each(nested, [1, 2]) == [[1, 4], [4, 9]]


def endless(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    while True:
        sum(range(1000))


def endless_twice(folder):
    each(endless, [folder, folder])


def running(folder):
    """Pids that were written down in `folder` and are still at work."""
    found = []
    for pid in map(int, os.listdir(folder)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        found.append(pid)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_goes_on_when_the_process_that_asked_is_gone(tmp_path, end):
    code = "import sys; from everloop.engine import apart; from tests.engine.test_local import endless_twice; "
    code += "apart(endless_twice, sys.argv[1])"
    asking = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        wait_until(lambda: len(os.listdir(tmp_path)) == min(2, local.cores()))
        asking.send_signal(end)
        asking.wait(20)
        wait_until(lambda: not running(tmp_path))
    finally:
        asking.kill()
        for pid in running(tmp_path):
            os.kill(pid, signal.SIGKILL)


def wait_until(true):
    for _ in range(300):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it never came to that")
