"""Tests that hang, fork or leave threads, and Ctrl-C: a run ends, and leaves no process."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from diffufix.errors import ProjectError
from diffufix.testing import run_tests
from tests.support.runs import Make, outcomes

PYTHON = Path(sys.executable)

HANG = """
import os, subprocess, sys, time

def spin():
    while True:
        try:
            sum(range(100))
        except Exception:
            pass

def test_good(): pass

def test_hang():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(os.environ["NOTES"], "w").write(str(child.pid))
    spin()

def test_after(): pass
"""


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def await_death(pid: int) -> None:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_hang_names_the_test_and_leaves_no_process(make: Make, tmp_path: Path) -> None:
    root = make({"test_a.py": HANG})
    env = {"NOTES": str(tmp_path / "pid")}
    with pytest.raises(ProjectError, match=r"test_a.py::test_hang"):
        run_tests(root, [], python=PYTHON, timeout=3, env=env)
    await_death(int((tmp_path / "pid").read_text()))


def test_ctrl_c_leaves_no_process(make: Make, tmp_path: Path) -> None:
    root = make({"test_a.py": HANG})
    notes = tmp_path / "pid"

    def interrupt(*_: object) -> None:
        if notes.exists() and notes.read_text():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_tests(root, [], python=PYTHON, timeout=60, env={"NOTES": str(notes)})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    await_death(int(notes.read_text()))


def test_a_hang_that_no_signal_ends(make: Make, tmp_path: Path) -> None:
    deaf = "import signal\n\n\ndef test_deaf():\n"
    deaf += "    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n    while True: pass\n"
    root = make({"test_a.py": deaf})
    with pytest.raises(ProjectError, match=r"test_a.py::test_deaf hangs and cannot"):
        run_tests(root, [], python=PYTHON, test_timeout=0.5, timeout=300)


def test_a_test_that_hangs_can_be_a_failing_test(make: Make, tmp_path: Path) -> None:
    root = make({"test_a.py": HANG})
    run = run_tests(
        root, [], python=PYTHON, test_timeout=1, env={"NOTES": str(tmp_path / "pid")}, coverage=True
    )
    assert list(outcomes(run).values()) == ["passed", "failed", "passed"]
    hung = run.red[0]
    assert hung.message == "Timeout: still running after 1 s"
    assert [frame.function for frame in hung.frames] == ["test_hang", "spin"]
    assert 7 in run.coverage[hung.id]["test_a.py"]


def test_a_thread_that_never_ends_does_not_hold_up_the_run(make: Make) -> None:
    root = make(
        {
            "test_a.py": """
            import threading, time
            def test_a():
                threading.Thread(target=time.sleep, args=(600,)).start()
            """
        }
    )
    run = run_tests(root, [], python=PYTHON, timeout=60)
    assert outcomes(run) == {"test_a": "passed"}
    assert run.seconds < 50


def test_a_fork_that_comes_back_to_pytest_says_nothing(make: Make) -> None:
    root = make(
        {
            "test_a.py": """
            import os
            def test_fork():
                pid = os.fork()
                assert pid == 0 or os.waitpid(pid, 0)
            """
        }
    )
    run = run_tests(root, ["-W", "ignore"], python=PYTHON, coverage=True)
    assert outcomes(run) == {"test_fork": "passed"}
