"""Readers of suites of faults: HumanEvalFix, QuixBugs, BugsInPy, and folders of real bugs.

Each reads the publisher's own files and yields `RepairCase`s. Raises UsageError that names the
file, the line and the field for what is not as published.
"""

from __future__ import annotations

import ast
import tarfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from diffufix.errors import UsageError
from diffufix.evaluation.suites.fields import lines_of, need
from diffufix.evaluation.suites.patches import applied
from diffufix.evaluation.types import RepairCase

# -- HumanEvalFix (bigcode/humanevalpack, octopack: Muennighoff et al., 2023) ----------------------


def humanevalfix(path: Path) -> Iterator[RepairCase]:
    """One function a line: `declaration`, `buggy_solution`, `canonical_solution`, `test`."""
    for where, raw in lines_of(path):
        fields = ("task_id", "entry_point", "declaration", "buggy_solution", "canonical_solution")
        text = {name: need(raw, name, str, where) for name in (*fields, "test")}
        head = text["declaration"]
        if not defines(head + text["buggy_solution"], text["entry_point"]):
            raise UsageError(
                f"{where}: the faulty program does not define {text['entry_point']!r}.",
                "Is this the Python part of HumanEvalFix, and its latest version?",
            )
        yield RepairCase(
            text["task_id"],
            _function_project(text),
            _texts({"solution.py": head + text["canonical_solution"]}),
            kind=str(raw.get("bug_type", "")),
        )


def _function_project(case: Mapping[str, str]) -> Callable[[Path], None]:
    """solution.py and test_solution.py; the publisher's checks run inside one test function."""

    def lay(folder: Path) -> None:
        name, checks = case["entry_point"], textwrap.indent(case["test"].strip() + "\n", "    ")
        (folder / "solution.py").write_text(case["declaration"] + case["buggy_solution"], "utf-8")
        (folder / "test_solution.py").write_text(
            f"from solution import *\nfrom solution import {name}\n\n\n"
            f"def test_{name}():\n{checks}",
            "utf-8",
        )
        (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")

    return lay


def defines(source: str, name: str) -> bool:
    """Whether a program has a function or class of that name at its top level."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, kinds) and node.name == name for node in body)


# -- QuixBugs (Lin et al., 2017) -------------------------------------------------------------------


def quixbugs(folder: Path) -> Iterator[RepairCase]:
    """Programs of a checkout: `python_programs`, `correct_python_programs`, `python_testcases`."""
    programs, right = folder / "python_programs", folder / "correct_python_programs"
    tests = folder / "python_testcases"
    for part in (programs, right, tests):
        if not part.is_dir():
            raise UsageError(
                f"{folder} has no folder {part.name}.", "Name a checkout of jkoppel/QuixBugs."
            )
    for test in sorted(tests.glob("test_*.py")):
        name = test.stem.removeprefix("test_")
        for path in (programs / f"{name}.py", right / f"{name}.py"):
            if not path.is_file():
                raise UsageError(f"{test} tests a program that is not there: {path}.")
        yield RepairCase(
            name,
            _quixbugs_project(folder, name),
            _texts({f"python_programs/{name}.py": (right / f"{name}.py").read_text("utf-8")}),
            tests=(f"python_testcases/test_{name}.py",),
        )


def _quixbugs_project(folder: Path, name: str) -> Callable[[Path], None]:
    """One program with its test; the right program is not in it."""
    wanted = [
        f"python_programs/{name}.py", f"python_testcases/test_{name}.py",
        f"json_testcases/{name}.json", "conftest.py",
    ]  # fmt: skip

    def lay(target: Path) -> None:
        shared = [
            str(path.relative_to(folder))
            for place in ("python_programs", "python_testcases")
            for path in (folder / place).glob("*.py")
            if path.name in ("__init__.py", "node.py", "load_testdata.py")
        ]
        for relative in (*wanted, *shared):
            source = folder / relative
            if source.is_file():
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                (target / relative).write_bytes(source.read_bytes())

    return lay


# -- real bugs: bugs.jsonl with trees/ID.tar.xz ----------------------------------------------------


def real_bugs(folder: Path) -> Iterator[RepairCase]:
    """A line a bug: `id`, `fix` (a unified diff), `tests`, `failing`, ... (docs/evaluate.md)."""
    index = folder / "bugs.jsonl"
    if not index.is_file():
        raise UsageError(
            f"{folder} has no bugs.jsonl.",
            "A folder of real bugs has bugs.jsonl and trees/ID.tar.xz (docs/evaluate.md).",
        )
    for where, raw in lines_of(index):
        name = need(raw, "id", str, where)
        archive = folder / "trees" / f"{name}.tar.xz"
        if not archive.is_file():
            raise UsageError(f"{where}: there is no {archive}.")
        deselected = [x for t in need(raw, "deselect", list, where) for x in ("--deselect", t)]
        yield RepairCase(
            name,
            _unpacked(archive),
            partial(_fixed_files, need(raw, "fix", str, where)),
            tests=(*need(raw, "tests", list, where), *deselected),
            failing=tuple(need(raw, "failing", list, where)),
            requirements=tuple(raw.get("requirements", ())),
            pythonpath=tuple(p for p in raw.get("pythonpath", ()) if p not in (".", "src")),
            kind=str(raw.get("kind", "")),
        )


def _unpacked(archive: Path) -> Callable[[Path], None]:
    def lay(folder: Path) -> None:
        with tarfile.open(archive) as tree:
            tree.extractall(folder, filter="data")

    return lay


def _fixed_files(fix: str, folder: Path) -> Mapping[str, str]:
    return applied(folder, fix)


def _texts(files: Mapping[str, str]) -> Callable[[Path], Mapping[str, str]]:
    return lambda folder: files
