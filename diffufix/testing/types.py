"""What a run of the project's tests said: `TestRun` and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

PASSED, FAILED, ERROR, SKIPPED, XFAILED, XPASSED = (
    "passed",
    "failed",
    "error",
    "skipped",
    "xfailed",
    "xpassed",
)
#: Outcomes that make a suite red.
RED = frozenset({FAILED, ERROR})


@dataclass(frozen=True)
class Frame:
    """One traceback entry inside the project; `path` is relative to the root, POSIX style."""

    path: str
    line: int
    function: str


@dataclass(frozen=True)
class TestCase:
    """One collected test: pytest node id, outcome over setup, call and teardown, seconds."""

    __test__ = False

    id: str
    outcome: str
    seconds: float
    message: str = ""  # the exception's type and text, one line
    report: str = ""  # pytest's own long representation
    frames: tuple[Frame, ...] = ()  # outermost first, project files only

    @property
    def red(self) -> bool:
        return self.outcome in RED


@dataclass(frozen=True)
class TestRun:
    """One run of the suite under the project's own interpreter.

    `coverage` maps a test id to {relative POSIX path: executed line numbers}; it is empty when
    the run was made without coverage. Lines executed while a module was imported are not in it.
    """

    __test__ = False

    root: Path
    args: tuple[str, ...]
    cases: tuple[TestCase, ...]
    exit_code: int
    seconds: float
    start_seconds: float = 0.0  # until the first test started: interpreter, pytest, collection
    coverage: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    collection_errors: tuple[TestCase, ...] = ()  # id is the module or folder that failed
    output: str = ""  # the tail of what pytest printed

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the tests, and of what could not be collected."""
        return tuple(case.id for case in (*self.cases, *self.collection_errors))

    @property
    def red(self) -> tuple[TestCase, ...]:
        return tuple(case for case in self.cases if case.red)

    @property
    def green(self) -> tuple[TestCase, ...]:
        return tuple(case for case in self.cases if case.outcome == PASSED)


def file_of_test(id: str) -> str:
    """The file of a test's id; "" for a doctest, whose file is the code that it tests."""
    path, _, name = id.partition("::")
    name = name.partition("[")[0]
    return "" if "." in name or name == PurePosixPath(path).stem else path
