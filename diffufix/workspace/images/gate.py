"""Does the suite work in its image? It must be collected, and say the same thing twice.

Touches a scratch copy of the project, which the sandbox removes.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffufix.errors import ProjectError
from diffufix.sandbox.reap import scratch_prefix
from diffufix.testing import copy_project, flaky, run_tests
from diffufix.types import TestRun
from diffufix.workspace.choice import Runtime

TIMEOUT = 1800.0  # seconds for the whole suite, once
_NAMED = 5  # tests named in a message


@dataclass(frozen=True)
class Gate:
    """What the suite did: how many tests ended how, seconds of the first run."""

    tests: int
    outcomes: dict[str, int]
    seconds: float
    sandbox: str

    def document(self) -> dict[str, Any]:
        return asdict(self)


def check(root: Path, place: Runtime, args: Sequence[str] = ()) -> Gate:
    """Run the project's tests twice in a sandbox made by `place`, on the same copy laid out anew.

    Raises: ProjectError where the gate is not passed, SandboxUnavailable, PrerequisiteError.
    """
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch:
        sandbox = place.make(copy_project(root, Path(scratch) / "tree"))
        try:
            sandbox.start()
            runs = []
            for turn in range(2):
                if turn:
                    sandbox.reset()
                run = run_tests(root, args, python=place.python, sandbox=sandbox, timeout=TIMEOUT)
                runs.append(run)
                _collected(run)
            name = sandbox.capabilities.name
        finally:
            sandbox.close()
    first, second = runs
    if unsteady := flaky(first, second):
        raise ProjectError(
            f"{len(unsteady)} tests end differently when run again: {_some(unsteady)}.",
            "Make them steady or leave them out (--deselect); their verdicts mean nothing.",
        )
    outcomes = dict(Counter(case.outcome for case in first.cases))
    return Gate(len(first.cases), outcomes, first.seconds, name)


def _collected(run: TestRun) -> None:
    if run.collection_errors:
        broken = run.collection_errors[0]
        raise ProjectError(
            f"{len(run.collection_errors)} test modules cannot be collected in the image: "
            f"{_some([case.id for case in run.collection_errors])}: {broken.message}",
            "If a package is missing, declare it with the project's test dependencies; if it is a "
            "program or a library of the system, name a Dockerfile with `dockerfile`.",
        )
    if not run.cases:
        raise ProjectError("No tests were collected in the image.", "Does pytest find them here?")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
