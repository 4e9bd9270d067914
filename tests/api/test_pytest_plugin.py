"""`pytest --diffufix`, from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from diffufix.pytest_plugin import own_arguments

BROKEN = "def total(prices):\n    return sum(prices) + 1\n"
TESTS = (
    "from shop import total\n\n\n"
    "def test_total():\n    assert total([1, 2]) == 3\n\n\n"
    "def test_nothing():\n    assert total([]) == 0\n"
)


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "DIFFUFIX_ACCEPT": "plausible",
        "DIFFUFIX_MODEL": "mini",
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "diffufix.pytest_plugin", *args],
        cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    # The option in the project's settings: the runs inside of the repair must not take it.
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --diffufix --diffufix-budget 150\n")
    (tmp_path / "shop.py").write_text(BROKEN)
    (tmp_path / "test_shop.py").write_text(TESTS)
    return tmp_path


@pytest.mark.slow
def test_what_failed_is_repaired_below_the_summary(project: Path) -> None:
    done = run(project, "--tb=line", "--diffufix-apply")
    assert done.returncode == 1, done.stdout + done.stderr  # as the tests made it
    summary, _, below = done.stdout.partition("= diffufix =")
    assert "2 failed" in summary
    assert "-    return sum(prices) + 1" in below, done.stderr
    assert "undo" in below
    assert (project / "shop.py").read_text() != BROKEN
    assert run(project, "-q").stdout.endswith("diffufix: nothing failed, nothing to repair\n")


def test_nothing_is_repaired_where_tests_were_not_run(project: Path) -> None:
    (project / "test_shop.py").write_text("import nowhere\n")
    done = run(project, "-q")
    assert done.returncode == 2
    assert "diffufix: pytest was interrupted, nothing was repaired" in done.stdout
    (project / "pytest.ini").write_text("[pytest]\n")
    assert "diffufix" not in run(project, "-q").stdout


def test_only_arguments_of_pytest_go_on() -> None:
    given = [
        "--diffufix",
        "-x",
        "--diffufix-budget",
        "3",
        "tests",
        "--diffufix-budget=4",
        "-k",
        "a",
    ]
    assert own_arguments([*given, "--diffufix-apply"]) == ["-x", "tests", "-k", "a"]
