"""Faults with a known right answer, as projects on disk: what bench/trust.py measures on.

Three sources, all of development data: real bugs (`bugs.jsonl` and `trees/` of a folder, see its
README), small functions (a JSONL of `task_id`, `declaration`, `buggy_solution`,
`canonical_solution`, `test`), and mutants of the real bugs' projects with their fixes in place.
Touches the folder that a case is laid into.
"""

from __future__ import annotations

import ast
import itertools
import json
import random
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.repair import make_project
from diffufix.source.functions import functions
from diffufix.source.syntax import parse
from diffufix.train.bugs.corrupt import Corruptor


@dataclass(frozen=True)
class Case:
    """One fault: `path` is the faulty file, `fixed` its right text, `buggy` its text in the case.

    `tests` are pytest's arguments, `python` the interpreter that has what the project needs.
    """

    id: str
    project: str
    source: str  # real, mutant, small
    path: str
    fixed: str
    buggy: str
    tests: tuple[str, ...]
    python: str
    pythonpath: tuple[str, ...] = ()
    archive: Path | None = None
    task: dict[str, str] = field(default_factory=dict)
    qualname: str = ""

    def lay(self, folder: Path) -> None:
        """The project with the fault in it."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.archive is None:
            make_project(self.task, folder)
        else:
            with tarfile.open(self.archive) as archive:
                archive.extractall(folder, filter="tar")
        (folder / self.path).write_bytes(self.buggy.encode())


def small(path: Path, python: str) -> Iterator[Case]:
    """Functions with hidden reference solutions."""
    for line in path.read_text().splitlines():
        task = json.loads(line)
        head = task["declaration"]
        yield Case(
            task["task_id"].replace("/", "-"), task["task_id"], "small", "solution.py",
            head + task["canonical_solution"], head + task["buggy_solution"], (), python,
            task=task,
        )  # fmt: skip


def real(folder: Path, pythons: dict[str, str]) -> Iterator[Case]:
    """The bugs of a folder; `pythons` maps a bug's id to its interpreter."""
    for line in (folder / "bugs.jsonl").read_text().splitlines():
        bug = json.loads(line)
        if bug["id"] not in pythons:
            continue
        archive = folder / "trees" / f"{bug['id']}.tar.xz"
        with tarfile.open(archive) as tree:
            member = next(m for m in tree.getmembers() if _name(m.name) == bug["path"])
            file = tree.extractfile(member)
            assert file is not None
            buggy = file.read().decode()
        extra = [x for test in bug["deselect"] for x in ("--deselect", test)]
        yield Case(
            bug["id"], bug["project"], "real", bug["path"], patched(buggy, bug["fix"]), buggy,
            (*bug["tests"], *extra), pythons[bug["id"]],
            tuple(bug["pythonpath"]), archive,
            qualname="" if bug["qualname"] == "<module>" else bug["qualname"],
        )  # fmt: skip


def mutants(cases: list[Case], seed: int, each: int, scratch: Path) -> Iterator[Case]:
    """Of each real case with its fix in place, up to `each` mutants that some of its tests see."""
    for case in cases:
        rng = random.Random(f"{seed} {case.id}")
        tree = parse(case.fixed)
        found, made = functions(tree), 0
        folder = scratch / case.id
        case.lay(folder)
        target = folder / case.path
        for _ in range(12 * each):
            name, node = rng.choice(found)
            offers = Corruptor(case.fixed, node)
            edit = offers.draw(rng) if offers.offers else None
            if edit is None:
                continue
            text = case.fixed[: edit.start] + edit.text + case.fixed[edit.end :]
            if dump(text) in (None, dump(case.fixed)):
                continue
            target.write_bytes(text.encode())
            failed, passed = outcomes(case, folder)
            if 0 < failed <= max(3, passed // 2) and passed:
                made += 1
                yield Case(
                    f"{case.id}-m{made}", case.project, "mutant", case.path, case.fixed, text,
                    case.tests, case.python, case.pythonpath, case.archive, qualname=name,
                )  # fmt: skip
            if made == each:
                break


def outcomes(case: Case, folder: Path) -> tuple[int, int]:
    """Tests that fail and that pass, by plain pytest."""
    paths = ":".join(str(folder / name) for name in (".", "src", *case.pythonpath))
    command = [case.python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
    try:
        ran = subprocess.run(
            [*command, *case.tests], cwd=folder, timeout=60, capture_output=True, text=True,
            env={"PYTHONPATH": paths, "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 0, 0
    words = (ran.stdout.strip().splitlines() or [""])[-1].replace(",", "").split()
    count = {w.rstrip("s"): int(n) for n, w in itertools.pairwise(words) if n.isdigit()}
    return (0, 0) if "error" in count else (count.get("failed", 0), count.get("passed", 0))


def patched(text: str, fix: str) -> str:
    """A file's text with a unified diff of it applied."""
    lines = text.splitlines(keepends=True)
    out, at = [], 0
    for piece in fix.split("\n@@ -")[1:]:
        head, _, body = piece.partition("\n")
        first = int(head.split(" ")[0].split(",")[0])
        start = first - 1 if head.split(" ")[0].split(",")[-1] != "0" else first
        out += lines[at:start]
        at = start
        for line in body.split("\n"):
            if line.startswith("+"):
                out.append(line[1:] + "\n")
            elif line.startswith(("-", " ")):
                if line.startswith(" "):
                    out.append(lines[at])
                at += 1
            elif not line:
                continue
    return "".join(out + lines[at:])


def dump(text: str) -> str | None:
    """A text's syntax tree as text; None where it has none."""
    try:
        return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError):
        return None


def _name(name: str) -> str:
    return name.removeprefix("./")
