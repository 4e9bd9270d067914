"""`diffufix repair` on real small projects, as a user runs it: by its command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import make_dream_checkpoint

SHAPES = '''"""Areas."""


class Box:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width + self.height

    def fits(self, other):
        return self.width <= other.width and self.height <= other.height


def total_area(boxes):
    total = 0
    for box in boxes:
        total += box.area()
    return total
'''
TESTS = """from shapes import Box, total_area


def test_area():
    assert Box(3, 4).area() == 12


def test_total():
    assert total_area([Box(2, 5), Box(2, 3)]) == 16


def test_empty():
    assert total_area([]) == 0


def test_fits():
    assert Box(1, 2).fits(Box(1, 3))
    assert not Box(2, 2).fits(Box(1, 3))
"""


def project(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".diffufix" not in path.parts
    }


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    return project(
        tmp_path / "shapes",
        {"src/shapes.py": SHAPES, "tests/test_shapes.py": TESTS,
         "pytest.ini": "[pytest]\npythonpath = src\n"},
    )  # fmt: skip


@pytest.mark.usefixtures("with_plugins")
@pytest.mark.slow
def test_a_repair_leaves_the_tree_alone_and_its_diff_applies(diffufix_cli, shapes: Path) -> None:
    before = snapshot(shapes)
    done = diffufix_cli("repair", "--json", "--model", "mini", "--budget", "90", cwd=shapes)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "repaired"
    assert set(document["turned_green"]) == {
        "tests/test_shapes.py::test_area", "tests/test_shapes.py::test_total",
    }  # fmt: skip
    assert snapshot(shapes) == before
    diff = document["patch"]["diff"]
    subprocess.run(["git", "apply", "-"], cwd=shapes, input=diff, text=True, check=True)
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    assert subprocess.run(tests, cwd=shapes, capture_output=True).returncode == 0
    shown = diffufix_cli("runs", "show", str(document["run_id"]), cwd=shapes)
    assert shown.returncode == 0
    assert "Box.area" in shown.stdout


@pytest.mark.slow
def test_apply_keeps_newlines_and_encoding_and_can_be_undone(diffufix_cli, tmp_path: Path) -> None:
    source = '# -*- coding: latin-1 -*-\r\nNAME = "café"\r\n\r\n\r\n'
    source += "def larger(a, b):\r\n    if a < b:\r\n        return a\r\n    return b\r\n"
    folder = project(
        tmp_path / "p",
        {
            "pair.py": source.encode("latin-1"),
            "test_pair.py": "from pair import larger\n\n\ndef test_larger():\n"
            "    assert larger(1, 2) == 2\n    assert larger(5, 3) == 5\n"
            "    assert larger(4, 4) == 4\n",
        },
    )
    before = snapshot(folder)
    done = diffufix_cli("repair", "--apply", "--model", "mini", "--budget", "90", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    after = (folder / "pair.py").read_bytes()
    assert after != before["pair.py"]
    assert after.startswith('# -*- coding: latin-1 -*-\r\nNAME = "café"\r\n'.encode("latin-1"))
    assert after.count(b"\n") == after.count(b"\r\n")
    undone = diffufix_cli("undo", cwd=folder)
    assert undone.returncode == 0, undone.stderr
    assert snapshot(folder) == before


@pytest.mark.slow
def test_a_checkpoint_in_the_layout_of_diffucoder_runs_the_whole_of_repair(
    diffufix_cli, shapes: Path, tmp_path: Path
) -> None:
    make_dream_checkpoint(tmp_path / "DiffuCoder-tiny")
    before = snapshot(shapes)
    model = str(tmp_path / "DiffuCoder-tiny")
    done = diffufix_cli("repair", "--json", "--model", model, "--budget", "20", cwd=shapes)
    document = json.loads(done.stdout)
    assert done.returncode in (0, 1), done.stderr  # its weights are random
    assert document["generated"] > 0
    assert document["model"]["name"].endswith("DiffuCoder-tiny")
    assert snapshot(shapes) == before


def check(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    for word in words:
        assert word in said, said


def test_nothing_failing(diffufix_cli, shapes: Path) -> None:
    args = ("repair", "-k", "fits", "--model", "mini")
    check(diffufix_cli(*args, cwd=shapes), 0, "nothing to repair")


def test_no_tests(diffufix_cli, tmp_path: Path) -> None:
    project(tmp_path, {"pytest.ini": "[pytest]\n", "a.py": "x = 1\n"})
    check(diffufix_cli("repair", "--model", "mini"), 2, "finds no tests", "hint")


def test_syntax_error_in_the_project(diffufix_cli, tmp_path: Path) -> None:
    test = "import broken\n\n\ndef test_it():\n    assert broken\n"
    project(tmp_path, {"broken.py": "def f(:\n    pass\n", "test_broken.py": test})
    done = diffufix_cli("repair", "--model", "mini")
    check(done, 2, "cannot be collected", "SyntaxError", "hint")


def test_failing_test_that_reaches_no_code_of_the_project(diffufix_cli, tmp_path: Path) -> None:
    project(tmp_path, {"test_sum.py": "def test_sum():\n    assert 1 + 1 == 3\n"})
    check(diffufix_cli("repair", "--model", "mini"), 1, "No failing test executes code", "hint")


def test_flaky(diffufix_cli, tmp_path: Path) -> None:
    test = (
        "from pathlib import Path\n\nfrom code_ import f\n\n\ndef test_once():\n"
        "    mark = Path('mark')\n    seen = mark.exists()\n    mark.touch()\n"
        "    assert f() and seen\n"
    )
    project(tmp_path, {"code_.py": "def f():\n    return True\n", "test_flaky.py": test})
    check(diffufix_cli("repair", "--model", "mini"), 1, "flaky", "hint")


def test_arguments_pytest_rejects(diffufix_cli, shapes: Path) -> None:
    check(diffufix_cli("repair", "tests/missing.py", cwd=shapes), 2, "missing.py", "hint")


def test_sandboxes_that_are_not_there(diffufix_cli, shapes: Path) -> None:
    done = diffufix_cli("repair", "--sandbox", "e2b", "--model", "mini", cwd=shapes)
    check(done, 2, "e2b", "hint")


def test_doctests_are_tests_of_the_file_they_stand_in(diffufix_cli, tmp_path: Path) -> None:
    source = 'def total(values):\n    """Add up.\n\n    >>> total([1, 2, 3])\n    6\n    """\n'
    source += (
        "    result = 0\n    for value in values:\n        result -= value\n    return result\n"
    )
    folder = project(tmp_path, {"sums.py": source})
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --doctest-modules\n")
    done = diffufix_cli("repair", "--model", "mini", "--budget", "60")
    check(done, 0, "Repaired: 1 failing test now passes.", "sums.py::sums.total")
    assert diffufix_cli("apply").returncode == 0
    space: dict[str, Any] = {}
    exec((folder / "sums.py").read_text(), space)
    for values in ([1, 2, 3], [], [4], [2.5, -7, 0.25]):  # whichever way it was mended
        assert space["total"](values) == sum(values)


@pytest.mark.slow
def test_a_hanging_function_is_repaired_or_given_up_in_time(diffufix_cli, tmp_path: Path) -> None:
    source = (
        "def count_down(n):\n    steps = 0\n    while n > 0:\n        steps += 1\n"
        "        n += 1\n    return steps\n"
    )
    test = "from steps import count_down\n\n\n"
    test += "def test_steps():\n    assert count_down(3) == 3\n"
    project(tmp_path, {"steps.py": source, "test_steps.py": test, "conftest.py": LIMIT})
    began = time.monotonic()
    done = diffufix_cli("repair", "--model", "mini", "--budget", "60")
    assert done.returncode in (0, 1), done.stderr
    assert time.monotonic() - began < 200


LIMIT = """import resource

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
"""


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    hard = "def f(x):\n    y = x * 3 + 1\n    z = y - x\n    return z\n"
    test = "import pytest\nfrom hard import f\n\n\n@pytest.mark.parametrize('n', range(5))\n"
    test += "def test_hard(n):\n    assert f(n) == hash(str(n))\n"
    folder = project(tmp_path / "p", {"hard.py": hard, "test_hard.py": test})
    before, scratch = snapshot(folder), tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "diffufix", "repair", "--model", "mini", "--budget", "120"],
        cwd=folder, env={**os.environ, "TMPDIR": str(scratch)}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # where it was ignored
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "candidates tried" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert snapshot(folder) == before
    assert list(scratch.iterdir()) == []
    found = subprocess.run(["pgrep", "-f", str(scratch)], capture_output=True, text=True)
    assert found.stdout == ""
