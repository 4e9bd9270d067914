"""Repairs out of real repositories, and the edits that a pair comes down to."""

from __future__ import annotations

import itertools
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.cli import main as cli
from diffufix.errors import ProjectError
from diffufix.source.edits import apply
from diffufix.train.bugs.history import (
    broken,
    distinct,
    edits_between,
    load_pairs,
    pairs,
    repaired_function,
    write_pairs,
)

STACK = '''"""A stack."""


class Stack:
    def __init__(self):
        self.items = []

    def top(self, default=None):
        """The last one."""
        if len(self.items) > 1:
            return self.items[-1]
        return default


def total(values):
    result = 0
    for value in values:
        result += value
    return result
'''


def git(folder: Path, *args: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    ran = subprocess.run(
        ["git", *names, *args], cwd=folder, capture_output=True, text=True, check=True
    )
    return ran.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Path]:
    """Makes a repository with a commit for each (message, {path: text})."""

    def make(*commits: tuple[str, dict[str, str]]) -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        git(folder, "init", "-q")
        for message, files in commits:
            for path, text in files.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text)
            git(folder, "add", "-A")
            git(folder, "commit", "-q", "--allow-empty", "-m", message)
        return folder

    return make


FIXED = STACK.replace("> 1", "> 0")


def test_a_small_fix_is_found_among_other_commits(repository: Callable[..., Path]) -> None:
    summed = FIXED.replace("result += value", "result = result + value")
    folder = repository(
        ("Start", {"stack.py": STACK, "tests/test_stack.py": "def test_a():\n    x = 1\n"}),
        ("Fix top() of a stack with one item\n\nIt gave the default.", {"stack.py": FIXED}),
        ("Spell out the sum", {"stack.py": summed}),
        ("Fix the test", {"tests/test_stack.py": "def test_a():\n    x = 2\n"}),
        ("Fix a docstring", {"stack.py": summed.replace("The last one", "The last")}),
        ("Fix signature", {"stack.py": summed.replace("default=None", "default=0")}),
    )
    [pair] = pairs(folder)
    assert (pair.path, pair.qualname) == ("stack.py", "Stack.top")
    assert pair.message == "Fix top() of a stack with one item"
    assert pair.commit == git(folder, "rev-list", "HEAD").split()[-2]
    assert pair.before in STACK
    assert pair.after in FIXED
    assert pair.before.startswith("    def top")
    assert list(pairs(folder, commits=3)) == []


def test_the_program_writes_each_pair_once(
    repository: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = repository(
        ("Start", {"stack.py": STACK}),
        ("Fix top", {"stack.py": FIXED}),
        ("Revert, that was wrong", {"stack.py": STACK + "\n# no\n"}),
        ("Fix top again", {"stack.py": FIXED + "\n# no\n"}),
    )
    out = folder.parent / "pairs.jsonl.gz"
    assert cli(["train", "fixes", str(folder), str(folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out.startswith("1 fix: ")
    written = out.read_bytes()
    [pair] = load_pairs(out)
    assert [*distinct([pair, pair])] == [pair]
    write_pairs([pair], out)
    assert out.read_bytes() == written


def test_a_folder_without_history(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no history"):
        list(pairs(tmp_path))
    git(tmp_path, "init", "-q")
    with pytest.raises(ProjectError, match="no history"):
        list(pairs(tmp_path))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("result = 0", "result = 0  # so far"),  # nothing that it does
        ("result = 0", "result ="),  # does not parse
        ("def total(values)", "def total(values, start)"),
        ("    result = 0\n", "    result = 0\n" + "    a = 1\n" * 6),  # too large
    ],
)
def test_what_is_no_repair_of_a_function(old: str, new: str) -> None:
    assert repaired_function(STACK, STACK.replace(old, new)) is None


def test_two_functions_and_other_lines_and_benchmarks() -> None:
    both = FIXED.replace("result = 0", "result = 1")
    assert repaired_function(STACK, both) is None
    assert repaired_function(STACK, FIXED + "\nMORE = 1\n") is None
    assert repaired_function(STACK, FIXED) is not None
    assert repaired_function(*(t.replace("top(", "quicksort(") for t in (STACK, FIXED))) is None


WORDS = st.lists(
    st.sampled_from(["a", "b", "count", " ", "\n    ", "(", ")", " + ", "1", "é", "\r\n"]),
    max_size=25,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(WORDS, WORDS)
def test_edits_lead_from_after_to_before(before: str, after: str) -> None:
    edits = edits_between(before, after)
    text, places = apply(after, edits)
    assert text == before
    assert (before == after) == (not edits)
    for (start, end, first, last), edit in zip(places, edits, strict=True):
        assert (after[first:last], before[start:end]) == (after[edit.start : edit.end], edit.text)
    assert all(one.end < other.start for one, other in itertools.pairwise(edits))


def test_edits_are_no_larger_than_the_change() -> None:
    [edit] = edits_between("return a < b and c", "return a <= b and c")
    assert (edit.start, edit.end, edit.text) == (10, 11, "") or edit.text == "<"
    [edit] = edits_between("f(x, y)", "f(y, x)")
    assert edit.text in "f(x, y)"


def test_hundreds_of_scattered_changes_are_compared_by_lines() -> None:
    after = "".join(f"a{i} = b{i} + c\n" + "".join(f"x{i} = y\n" * 2) for i in range(400))
    before = after.replace(" + c", " - c")
    began = time.process_time()
    edits = edits_between(before, after)
    assert len(edits) == 400
    assert apply(after, edits)[0] == before
    whole = after.replace("y", "z").replace("c", "d")  # every line, without one between that stays
    [edit] = edits_between(whole, after)
    assert apply(after, [edit])[0] == whole
    assert time.process_time() - began < 30


def test_a_pair_breaks_as_a_drawn_bug_does() -> None:
    found = repaired_function(STACK, FIXED)
    assert found is not None
    for seed in range(8):
        made = broken(found[1], found[2], random.Random(seed))
        assert made is not None
        text, node, edits = made
        assert node.name == "top"
        assert "> 0" in text
        assert "> 1" in apply(text, edits)[0]
        assert apply(text, edits)[0].replace("> 1", "> 0") == text
    assert broken("def f(:", "def f(): pass", random.Random(0)) is None


def test_a_pair_brings_what_stands_around_it_and_what_the_tests_say(
    repository: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    test = "def test_top():\n    stack = Stack()\n"
    folder = repository(
        ("Start", {"stack.py": STACK, "tests/test_stack.py": test}),
        ("Fix top", {"stack.py": FIXED, "tests/test_stack.py": test + "    assert stack.top()\n"}),
    )
    out = tmp_path / "pairs.jsonl.gz"
    assert cli(["train", "fixes", str(folder), "--out", str(out)]) == 0
    assert "1 fix:" in capsys.readouterr().out
    (pair,) = load_pairs(out)
    assert pair.qualname == "Stack.top"
    assert pair.failure == "\nassert stack.top()"
    assert "    # self: items" in pair.outline.split("\n")
    assert "def total(values): ..." in pair.outline.split("\n")
    assert "result" in pair.names.split()
    (tmp_path / "empty").mkdir()
    git(tmp_path / "empty", "init", "-q")
    git(tmp_path / "empty", "commit", "-q", "--allow-empty", "-m", "Start")
    none = tmp_path / "none.jsonl.gz"
    assert cli(["train", "fixes", str(tmp_path / "empty"), "--out", str(none)]) == 2
    assert "No fixes were found" in capsys.readouterr().err
    assert not none.exists()
