"""Failing tests without a suspect: the reason that is said is the one that holds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from diffufix.repair.nowhere import nowhere
from diffufix.testing import run_tests
from diffufix.testing.testcode import test_code as find_test_code
from diffufix.workspace.diagnosis import Diagnosis

KATA = "def half(n):\n    return n * 2\n\n\ndef test_half():\n    assert half(4) == 2\n"
SPAWNS = (
    "import subprocess, sys\n\n\ndef test_it():\n"
    "    done = subprocess.run([sys.executable, 'tool.py'], capture_output=True)\n"
    "    assert done.stdout == b'2'\n"
)
CASES = {
    "one file": ({"kata.py": KATA}, ["kata.py"], "kata.py holds the tests and the code"),
    "processes": ({"tool.py": "print(1)\n", "test_tool.py": SPAWNS}, [], "start other processes"),
    "the test itself": (
        {"test_sum.py": "def test_sum():\n    assert 1 + 1 == 3\n"}, [], "No failing test executes",
    ),
    "a test with a helper of its own": (
        {"test_sum.py": "import pytest\n\n\n@pytest.fixture\ndef two():\n    return 2\n\n\n"
         "class TestSum:\n    def check(self, n):\n        assert n == 3\n\n"
         "    def test_sum(self, two):\n        self.check(two)\n"},
        [], "No failing test executes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_reasons(tmp_path: Path, name: str) -> None:
    files, args, said = CASES[name]
    for path, text in files.items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    run = run_tests(tmp_path, args, python=Path(sys.executable), coverage=True)
    red = tuple(case.id for case in run.red)
    assert red
    found = nowhere(Diagnosis(run, red, tests=find_test_code(tmp_path, run.ids)), tmp_path)
    assert said in found.message
    assert found.hint


def test_a_file_that_this_python_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "new.py").write_text("def f():\n    return 1\n", encoding="utf-8")
    test = "from new import f\n\n\ndef test_f():\n    assert f() == 2\n"
    (tmp_path / "test_new.py").write_text(test, encoding="utf-8")
    run = run_tests(tmp_path, [], python=Path(sys.executable), coverage=True)
    (tmp_path / "new.py").write_text("def f():\n    return <1>\n", encoding="utf-8")
    red = tuple(case.id for case in run.red)
    found = nowhere(Diagnosis(run, red, tests=find_test_code(tmp_path, run.ids)), tmp_path)
    assert "new.py cannot be parsed by the Python that diffufix runs on" in found.message
    assert "No failing test executes `g`" in nowhere(Diagnosis(run, red), tmp_path, "g").message
