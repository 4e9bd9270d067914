"""`diffufix repair --sandbox docker`: the whole loop with nothing of the project outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffufix.sandbox import reap
from diffufix.sandbox.engine import connect

pytestmark = [
    pytest.mark.docker,
    # docker-py leaves the connection of a refused request to the garbage collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CALC = """def add(a, b):
    return a - b


def largest(numbers):
    best = numbers[0]
    for number in numbers:
        if number > best:
            best = number
    return best
"""
TESTS = """from calc import add, largest


def test_add():
    assert add(2, 3) == 5
    assert add(7, -4) == 3
    assert add(0, 9) == 9


def test_largest():
    assert largest([1, 3, 2]) == 3
"""


def project(folder: Path, tests: str = TESTS) -> Path:
    """With a conftest.py that leaves a trace wherever it is imported."""
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "calc"\nversion = "1"\n')
    (folder / "calc.py").write_text(CALC)
    (folder / "tests" / "test_calc.py").write_text(tests)
    trace = f"try:\n    open({str(folder / 'trace')!r}, 'w')\nexcept OSError:\n    pass\n"
    (folder / "tests" / "conftest.py").write_text(trace)
    return folder


def command(image: str, *more: str) -> list[str]:
    where = ["--sandbox", "docker", "--image", image]
    return [sys.executable, "-m", "diffufix", "repair", "--model", "mini", *where, *more]


@pytest.mark.slow
def test_a_project_is_repaired_in_a_container(tmp_path: Path, test_image: str) -> None:
    folder = project(tmp_path / "calc")
    done = subprocess.run(
        command(test_image, "--apply", "--budget", "200"),
        cwd=folder, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Repaired" in done.stdout
    assert not (folder / "trace").exists()
    fixed: dict[str, object] = {}
    exec((folder / "calc.py").read_text(), fixed)
    assert fixed["add"](20, 22) == 42  # type: ignore[operator]


@pytest.mark.slow
def test_a_killed_repair_leaves_nothing_running(tmp_path: Path, test_image: str) -> None:
    hard = "from calc import add\n\n\ndef test_hard():\n    assert add(1, 2) == hash('3')\n"
    folder, scratch = project(tmp_path / "calc", hard), tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        command(test_image, "--budget", "300"), cwd=folder, text=True,
        env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    label = f"{reap.LABEL}={reap.owner(process.pid)}"
    with contextlib.closing(connect()) as engine:
        for line in process.stderr:
            if "candidates tried" in line:
                break
        assert engine.api.containers(filters={"label": label})
        assert list(scratch.glob("diffufix-*"))
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 60
        while engine.api.containers(all=True, filters={"label": label}):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    done = subprocess.run(
        [sys.executable, "-m", "diffufix", "clean", "--yes"], cwd=folder,
        env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True,
    )  # fmt: skip
    assert "killed runs" in done.stdout, done.stderr
    assert not list(scratch.glob("diffufix-*"))


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    folder = project(tmp_path / "calc")
    done = subprocess.run(
        command("diffufix-no-such-image:1"), cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2
    assert "diffufix-no-such-image:1" in done.stderr
    assert "hint" in done.stderr
    assert not (folder / "trace").exists()
