"""What honest tests do that forgers do, too: they write files, start processes, call things often,
take longer once they are right, and live in files that are links."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from diffufix.types import State

MARKS = """
    def grade(score):
        if score >= 75:
            return "merit"
        if score > 50:
            return "pass"
        return "fail"

    def save(path):
        open(path, "w").write("new")
        return grade(50)

    def fib(n):
        if n <= 1:
            return 1
        return fib(n - 1) + fib(n - 2)
    """
TESTS = """
    import os, subprocess, sys, threading, time
    from pathlib import Path
    from marks import fib, grade, save

    HERE = Path(__file__).parent

    def test_output():
        (HERE / "out" / "report.txt").write_text(grade(20))
        assert grade(50) == "pass"

    def test_output_after():
        assert grade(50) == "pass"
        (HERE / "out" / "later.txt").write_text(grade(20))

    def test_saved():
        assert save(HERE / "out" / "saved.txt") == "pass"

    def test_rewritten():
        assert grade(50) == "pass"
        (HERE / "conftest.py").write_text("")

    def test_process():
        code = "import marks; print(marks.grade(50))"
        env = {"PYTHONPATH": str(HERE.parent)}
        shown = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True)
        assert shown.stdout == b"pass\\n"

    def test_sleeps():
        assert grade(50) == "pass"
        time.sleep(0.7)
        thread = threading.Thread(target=time.sleep, args=(0.3,))
        thread.start()
        thread.join()
        assert grade(20) == "fail"

    def test_computes():
        assert grade(50) == "pass"
        assert sum(grade(n % 100) == "pass" for n in range(2_000_000)) > 1

    def test_fib():
        assert fib(26) == 121393
    """
RIGHT = ("score > 50", "score >= 50")


@pytest.fixture(scope="module")
def project(make_project: Any) -> Any:
    files = {"marks.py": MARKS, "tests/test_marks.py": TESTS, "tests/conftest.py": "X = 1\n"}
    files |= {f"tests/out/{name}.txt": "old" for name in ("report", "later", "saved")}
    return make_project(files)


@pytest.fixture(scope="module")
def screen(project: Any) -> Any:
    with project.screen() as screen:
        screen.check(project.tests)
        yield screen


def of(name: str) -> str:
    return f"tests/test_marks.py::{name}"


@pytest.mark.parametrize(
    ("test", "state"),
    [
        ("test_output", State.PASS),  # so does the unedited project
        ("test_output_after", State.PASS),  # it does not get there, but no edited code writes
        ("test_process", State.PASS),  # bytecode, made without our variables
        ("test_rewritten", State.SUSPICIOUS),
    ],
)
def test_what_is_written(project: Any, screen: Any, ask: Any, test: str, state: State) -> None:
    verdict = ask(screen, project.edit("marks.py", *RIGHT), [of(test)])
    assert verdict.state is state, verdict


def test_what_edited_code_writes_among_tests(project: Any, ask: Any) -> None:
    candidate = project.edit("marks.py", "return grade(50)", 'return "pass"')
    with project.screen() as screen:  # the unedited project has not been seen to do it
        assert ask(screen, candidate, [of("test_saved")]).state is State.SUSPICIOUS
        screen.check([of("test_saved")])
        assert ask(screen, candidate, [of("test_saved")]).state is State.PASS


@pytest.mark.parametrize("test", ["test_sleeps", "test_computes"])
def test_it_takes_longer_once_it_is_right(project: Any, screen: Any, ask: Any, test: str) -> None:
    verdict = ask(screen, project.edit("marks.py", *RIGHT), [of(test)])
    assert verdict.state is State.PASS, verdict


def test_a_hot_function_is_confirmed(project: Any) -> None:
    candidate = project.edit("marks.py", "        return 1\n", "        return n\n")
    kept = {test: o for test, o in project.baseline.items() if test == of("test_fib")}
    assert kept
    verdict = project.confirm(candidate, targets=[of("test_fib")])
    assert verdict.state is State.PASS, verdict


def test_a_source_behind_links(make_project: Any, ask: Any) -> None:
    """The file is edited that the links lead to, whatever they are called."""
    project = make_project(
        {
            "shared/marks.py": MARKS,
            "tests/test_marks.py": """
                from lib.marks import grade
                from lib.other import grade as other

                def test_both():
                    assert grade(50) == other(50) == "pass"
                """,
        }
    )
    os.mkdir(project.root / "lib")
    for name in ("marks.py", "other.py"):
        os.symlink("../shared/marks.py", project.root / "lib" / name)
    sandbox = project.sandbox

    def linked() -> Any:
        made = sandbox()
        for name in ("marks.py", "other.py"):
            path = os.path.join(made.tree, "lib", name)
            os.unlink(path)
            os.symlink("../shared/marks.py", path)
        return made

    object.__setattr__(project, "sandbox", linked)
    with project.screen() as screen:
        for path in ("shared/marks.py", "lib/marks.py"):
            candidate = project.edit(path, *RIGHT)
            verdict = ask(screen, candidate, project.tests)
            assert verdict.state is State.PASS, (path, verdict)


def test_somebody_else_fills_the_disk(tmp_path: Any) -> None:
    sys.path.insert(0, str(tmp_path))
    from diffufix.verify.inside import supervise

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "before").write_bytes(b"0" * 4096)
    disk = supervise.Disk([str(tmp_path / "mine")])
    disk.free = [disk.free[0] + supervise.DISK + 1]  # as if so much had vanished
    assert not disk.flooded()
    disk.began -= 3600  # as if the file had been written meanwhile
    disk.free = [disk.free[0] + supervise.DISK + 1]
    os.truncate(tmp_path / "mine" / "before", 0)
    assert not disk.flooded()


def test_what_makes_classes_names_them(make_project: Any, ask: Any) -> None:
    project = make_project(
        {
            "kinds.py": """
                def kind(name, size):
                    class Kind:
                        width = size + 1
                    Kind.__name__ = Kind.__qualname__ = name
                    Kind.__module__, Kind.__doc__ = "shop", "Made."
                    return Kind
                """,
            "test_kinds.py": """
                from kinds import kind

                def test_kind():
                    box = kind("Box", 2)
                    assert (box.__name__, box.width) == ("Box", 2)
                """,
        }
    )
    edited = project.edit("kinds.py", "size + 1", "size")
    with project.screen() as screen:
        assert ask(screen, edited, ["test_kinds.py::test_kind"]).passed
