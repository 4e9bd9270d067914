"""Lines that tests execute in other processes count as theirs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from diffufix.testing import run_tests

CODE = """
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor


def cost(item):
    return item * 2


def grade(score):
    if score > 50:
        return "pass"
    return "fail"


def total(items, method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return sum(pool.map(cost, items))


def leave():
    os._exit(0)


if __name__ == "__main__":
    import sys

    print(grade(int(sys.argv[1])))
    leave()
"""
TESTS = """
import os
import subprocess
import sys
import pytest
from work import total

def test_cli():
    shown = subprocess.run([sys.executable, "-m", "work", "50"], capture_output=True, text=True)
    assert not shown.stderr

@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pool(method):
    assert total([1, 2], method) == 6

def test_own_environment():
    code = "import sitecustomize; print(sitecustomize.MARK)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout == "ours\\n", shown
"""


@pytest.mark.parametrize("collector", ["auto", "settrace"])
def test_they_are_found(tmp_path: Path, collector: str) -> None:
    (tmp_path / "work.py").write_text(CODE)
    (tmp_path / "sitecustomize.py").write_text("MARK = 'ours'\n")
    (tmp_path / "test_work.py").write_text(TESTS)
    python = Path(os.environ.get("PROJECT_PYTHON", sys.executable))
    env = {"DIFFUFIX_COLLECTOR": collector}
    run = run_tests(tmp_path, [], python=python, coverage=True, env=env)
    assert {case.outcome for case in run.cases} == {"passed"}, [c.report for c in run.red]
    lines = {
        case.id.partition("::")[2]: run.coverage.get(case.id, {}).get("work.py", frozenset())
        for case in run.cases
    }
    assert {12, 14} <= lines["test_cli"]
    assert 24 in lines["test_cli"]  # of a function that ends the process
    for method in ("fork", "spawn", "forkserver"):
        assert 8 in lines[f"test_pool[{method}]"], method
    assert not lines["test_own_environment"]
    assert not list(tmp_path.glob("diffufix-children-*"))
