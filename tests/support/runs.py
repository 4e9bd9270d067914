"""Small projects that tests write, and runs of their tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from diffufix.types import TestRun

#: make({path: text}) -> the root of a project.
Make = Callable[[dict[str, str]], Path]


def outcomes(run: TestRun) -> dict[str, str]:
    """Of every test, by what follows the file in its id."""
    return {case.id.partition("::")[2]: case.outcome for case in run.cases}
