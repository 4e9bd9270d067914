"""A case through `diffufix repair`, and three answers: green, right, called repaired.

The command runs as a process of its own, as a user would run it, on a copy of the faulty project.
Its patch is then judged without it: applied to a fresh copy, the tests run in a sandbox, before and
after. Touches temporary folders only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffufix.config import Settings, load_settings
from diffufix.errors import DiffufixError
from diffufix.evaluation.environments import Environments
from diffufix.evaluation.rightness import Rightness, Versions, rightness
from diffufix.evaluation.suites.patches import applied
from diffufix.evaluation.types import RepairCase, Row
from diffufix.sandbox import Sandbox
from diffufix.testing import fresh_copy
from diffufix.types import PASSED, RED, TestRun
from diffufix.workspace.choice import choose
from diffufix.workspace.diagnosis import Suite

TESTS = 300  # that the comparison with the fix runs at most
HANG = 20.0  # seconds for a phase of a test when a patch is judged
LEAST = 2.0  # the same without it, at least
GRACE = 900.0  # seconds beyond the budget after which the command is ended


@dataclass(frozen=True)
class RepairPlan:
    """How every case is repaired: `options` go to `diffufix repair` as they are."""

    budget: float = 60.0
    model: str = ""
    sandbox: str = "auto"
    options: tuple[str, ...] = ()
    image: str = ""

    def command(self, case: RepairCase, python: str) -> list[str]:
        words = [sys.executable, "-P", "-m", "diffufix", "repair", "--json"]
        words += [f"--budget={self.budget:g}", f"--sandbox={self.sandbox}"]
        words += [f"--model={self.model}"] if self.model else []
        words += [f"--image={self.image}"] if self.image else []
        words += [f"--python={python}"] if python else []
        return [*words, *self.options, *case.tests]


def run_case(case: RepairCase, plan: RepairPlan, environments: Environments) -> Row:
    """One row. What goes wrong with the case itself is in its `status`, not raised."""
    row: Row = {"id": case.id, "kind": case.kind, "green": False, "right": False, "called": False,
                "load": round(os.getloadavg()[0], 1)}  # fmt: skip
    began = time.monotonic()
    try:
        python = environments.python_for(case)
        with _project(case) as project:
            document, seconds = _repaired(case, plan, python, project.root)
            row |= _said(document) | {"seconds": round(seconds, 2)}
            if document.get("patch"):
                patched = applied(project.root, document["patch"]["diff"])
                row |= _judged(project, plan, python, patched)
                row["called"] = document["status"] == "repaired"
    except DiffufixError as error:
        row |= {"status": "not run", "message": f"{error.message} {error.hint}".strip()}
        row.setdefault("seconds", round(time.monotonic() - began, 2))
    return row


def check_case(case: RepairCase, plan: RepairPlan, environments: Environments) -> Row:
    """The publisher's fix in the place of a patch: it must be green, and the fault must be seen."""
    row: Row = {"id": case.id, "kind": case.kind, "green": False, "right": False, "called": False,
                "load": round(os.getloadavg()[0], 1), "status": "checked"}  # fmt: skip
    began = time.monotonic()
    try:
        python = environments.python_for(case)
        with _project(case) as project:
            fixed = dict(case.fixed(project.root))
            row |= _judged(project, plan, python, fixed)
    except DiffufixError as error:
        row |= {"status": "not run", "message": f"{error.message} {error.hint}".strip()}
    return row | {"seconds": round(time.monotonic() - began, 2)}


# -- the command -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Laid:
    """A case in a folder, with room beside it."""

    case: RepairCase
    root: Path
    scratch: Path


@contextmanager
def _project(case: RepairCase) -> Iterator[_Laid]:
    with tempfile.TemporaryDirectory(prefix="diffufix-case-") as name:
        scratch = Path(name).resolve()
        root = scratch / "project"
        root.mkdir()
        case.lay(root)
        yield _Laid(case, root, scratch)


def _repaired(
    case: RepairCase, plan: RepairPlan, python: str, root: Path
) -> tuple[Mapping[str, Any], float]:
    """What `diffufix repair --json` said, and its seconds."""
    own = [str(root / name) for name in case.pythonpath]
    paths = [*own, *filter(None, [os.environ.get("PYTHONPATH", "")])]
    env = {**os.environ, **({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})}
    began = time.monotonic()
    process = subprocess.Popen(
        plan.command(case, python), cwd=root, env=env, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=plan.budget + GRACE)
    except BaseException as error:
        process.terminate()  # it ends its own children
        out, err = process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return {"status": "hung", "message": _tail(err)}, time.monotonic() - began
    seconds = time.monotonic() - began
    try:
        return json.loads(out), seconds
    except ValueError:
        return {"status": "crashed", "message": _tail(err)}, seconds


def _tail(err: bytes) -> str:
    return err.decode(errors="replace").strip()[-300:]


def _said(document: Mapping[str, Any]) -> Row:
    row: Row = {
        "status": document.get("status"),
        "probability": document.get("probability"),
        "tried": document.get("tried", 0),
        "generated": document.get("generated", 0),
        "suspects": [f"{s['path']}::{s['qualname']}" for s in document.get("suspects", ())][:20],
        "model": (document.get("model") or {}).get("name", ""),
        "weights": (document.get("model") or {}).get("hash", ""),
    }
    if patch := document.get("patch"):
        row |= {"diff": patch["diff"], "alternatives": len(document.get("alternatives", ()))}
    elif message := document.get("message"):
        row["message"] = str(message)[-300:]
    return row


# -- the judgement ---------------------------------------------------------------------------------


def _judged(project: _Laid, plan: RepairPlan, python: str, patched: Mapping[str, str]) -> Row:
    """Whether the patch is green and right, by runs of the tests before and after it."""
    case, fresh = project.case, project.scratch / "fresh"
    fresh.mkdir()
    case.lay(fresh)
    fixed = dict(case.fixed(fresh))
    faulty = {path: (fresh / path).read_text("utf-8") for path in {*patched, *fixed}}
    settings = load_settings(
        fresh,
        case.tests,
        {"sandbox": plan.sandbox, "image": plan.image or None, "python": python or None},
        {},
    )
    run = _tests(settings, project.scratch, patched, case.pythonpath, HANG)
    slowest = max((each.seconds for each in run.green), default=HANG)
    # A fault may hang in every test: it is not waited for much longer than the patch takes.
    first = _tests(
        settings, project.scratch, {}, case.pythonpath, min(HANG, max(LEAST, 5 * slowest))
    )
    before, after = _outcomes(first), _outcomes(run)
    wanted = [test for test in case.failing if test in before]
    wanted = wanted or [test for test, outcome in before.items() if outcome in RED]
    red = [test for test in wanted if after.get(test) != PASSED]
    broken = [t for t, outcome in before.items() if outcome == PASSED != after.get(t)]
    if not wanted:
        return {"why": "the tests do not see the fault: none fails before the patch"}
    if red or broken:
        why = f"{len(red)} of {len(wanted)} tests still fail, {len(broken)} others do now"
        return {"green": False, "right": False, "why": why}
    versions = Versions(faulty, {**faulty, **fixed}, {**faulty, **patched})
    passing = [test for test, outcome in after.items() if outcome == PASSED]
    found = _right(settings, project.scratch, versions, [*wanted, *passing])
    return {"green": True, "right": found.right, "why": found.why}


def _outcomes(run: TestRun) -> dict[str, str]:
    """By test; files or folders that cannot be collected are in it, too."""
    cases = (*run.cases, *run.collection_errors)
    return {each.id: each.outcome for each in cases}


def _tests(
    settings: Settings,
    scratch: Path,
    files: Mapping[str, str],
    pythonpath: Sequence[str],
    hang: float,
) -> TestRun:
    def lay(tree: Path) -> None:
        for path, text in files.items():
            (tree / path).write_bytes(text.encode())

    with Suite(settings, choose(settings), scratch, lay) as suite:
        suite.env |= _paths(settings.root, pythonpath)
        return suite.run(test_timeout=hang, timeout=GRACE)


def _paths(root: Path, names: Sequence[str]) -> dict[str, str]:
    paths = [str(root / name) for name in names]
    return {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}


def _right(
    settings: Settings, scratch: Path, versions: Versions, tests: Sequence[str]
) -> Rightness:
    place = choose(settings)

    def make() -> Sandbox:
        tree = fresh_copy(settings.root, scratch)
        for path, text in versions.fixed.items():
            (tree / path).write_bytes(text.encode())
        return place.make(tree)

    return rightness(
        versions, make, root=settings.root, python=place.python, args=settings.pytest_args,
        tests=list(dict.fromkeys(tests))[:TESTS], env={},
    )  # fmt: skip
