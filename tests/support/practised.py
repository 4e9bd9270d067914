"""A small project with passing tests, for tests of self-play."""

from __future__ import annotations

import subprocess
from pathlib import Path

CODE = '''"""Small sums."""


def clamp(value, low, high):
    if value < low:
        return low
    if value > high:
        return high
    return value


def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)


def evens(values):
    return [value for value in values if value % 2 == 0]


def widest(words):
    best = ""
    for word in words:
        if len(word) > len(best):
            best = word
    return best


def count(words, wanted):
    found = 0
    for word in words:
        if word == wanted:
            found += 1
    return found


def untested(value):
    return value + 41


class Stack:
    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.append(item)
        return len(self.items)

    def pop(self):
        if not self.items:
            return None
        return self.items.pop()
'''
TESTS = """from sums import Stack, clamp, count, evens, widest, mean


def test_clamp():
    assert [clamp(v, 1, 3) for v in (0, 1, 2, 3, 4)] == [1, 1, 2, 3, 3]


def test_mean():
    assert mean([1, 2, 6]) == 3


def test_evens():
    assert evens([1, 2, 3, 4]) == [2, 4]


def test_widest():
    assert widest(["a", "ccc", "bb"]) == "ccc"


def test_count():
    assert count(["a", "b", "a"], "a") == 2


def test_stack():
    stack = Stack()
    assert stack.push(1) == 1 and stack.push(2) == 2
    assert stack.pop() == 2 and stack.pop() == 1 and stack.pop() is None
"""
CONFIG = '[tool.pytest.ini_options]\npythonpath = ["."]\n'


def write_project(folder: Path) -> Path:
    """The project, with a git history in which `widest` was once wrong."""
    (folder / "tests").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(CONFIG)
    (folder / "tests" / "test_sums.py").write_text(TESTS)
    (folder / "sums.py").write_text(CODE.replace("len(word) > len(best)", "len(word) < len(best)"))
    _git(folder, "init", "-q")
    _commit(folder, "Sums")
    (folder / "sums.py").write_text(CODE)
    _commit(folder, "Fix the widest word")
    return folder


def _commit(folder: Path, message: str) -> None:
    _git(folder, "add", ".")
    _git(folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message)


def _git(folder: Path, *args: str) -> None:
    subprocess.run(["git", *args], cwd=folder, check=True)
