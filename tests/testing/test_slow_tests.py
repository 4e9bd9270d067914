"""A slow test is no failing test: which one is stuck is told by what it does."""

from __future__ import annotations

import sys
from pathlib import Path

from diffufix.testing import run_tests

TESTS = """
import time
from code_under_test import step, spin, spins_by_itself

def test_sleeps():
    time.sleep(2.5)

def test_calculates():
    end = time.process_time() + 1.2
    while time.process_time() < end:
        step()

def test_stuck():
    spin()

def test_sleeps_forever():
    while True:
        time.sleep(1)
"""
CODE = """
def step():
    return sum(range(100))

def spin():
    while True:
        step()

spins_by_itself = spin
"""


def test_it(tmp_path: Path) -> None:
    (tmp_path / "code_under_test.py").write_text(CODE)
    (tmp_path / "test_it.py").write_text(TESTS)
    run = run_tests(tmp_path, [], python=Path(sys.executable), test_timeout=0.8)
    outcomes = {case.id.partition("::")[2]: case.outcome for case in run.cases}
    assert outcomes["test_sleeps"] == "passed"
    assert outcomes["test_stuck"] == outcomes["test_sleeps_forever"] == "failed"
    stuck = run.cases[2]
    assert stuck.seconds < 1.6
    assert stuck.message.startswith("Timeout: still running after")
    assert outcomes["test_calculates"] == "passed" or run.cases[1].seconds > 1.6  # a busy machine
