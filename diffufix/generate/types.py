"""What `generate` says of each function: `Filled` and its `StubState`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class StubState(StrEnum):
    """What became of one function."""

    VERIFIED = "verified"  # tests or examples that failed before pass now
    UNVERIFIED = "unverified"  # only what can be seen without running it
    ALREADY = "already-passes"
    UNVERIFIABLE = "nothing-verifies-it"
    NOT_FOUND = "not-generated"


_WORDS = {
    StubState.VERIFIED: "verified",
    StubState.UNVERIFIED: "UNVERIFIED: nothing has run its body",
    StubState.ALREADY: "left as it is",
    StubState.UNVERIFIABLE: "not tried",
    StubState.NOT_FOUND: "no body found",
}
DONE = frozenset({StubState.VERIFIED, StubState.ALREADY})


@dataclass(frozen=True)
class Filled:
    """One function and what its body has passed."""

    path: str
    qualname: str
    line: int  # 1-based, in the project's file
    state: StubState
    tests: tuple[str, ...] = ()  # ids of the project's tests, red before and green now
    examples: tuple[str, ...] = ()  # of its docstring, as the user reads them
    mypy: str = ""  # "passed", or why it was not asked; empty: the project does not use it
    static: tuple[str, ...] = ()  # what holds without running the body
    waiting: int = 0  # tests that reach it and also need what is not yet written
    note: str = ""

    @property
    def done(self) -> bool:
        return self.state is StubState.VERIFIED

    def lines(self) -> list[str]:
        """For the terminal: the function, then what its body has passed."""
        head = f"  {self.path}:{self.line} {self.qualname}: {_WORDS[self.state]}"
        lines = [head + (f", {self.note}" if self.note else "")]
        passed = [f"tests: {len(self.tests)} failed before and pass now"] if self.tests else []
        passed += [f"examples: {len(self.examples)} of its docstring"] if self.examples else []
        passed += [f"mypy: {self.mypy}"] if self.mypy else []
        passed += ["static: " + ", ".join(self.static)] if self.static else []
        if self.waiting:
            tests = "1 test also needs" if self.waiting == 1 else f"{self.waiting} tests also need"
            passed.append(f"{tests} what is not written yet")
        return lines + [f"    {line}" for line in passed]

    def document(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "qualname": self.qualname,
            "line": self.line,
            "state": str(self.state),
            "tests": list(self.tests),
            "examples": list(self.examples),
            "mypy": self.mypy,
            "static": list(self.static),
            "waiting": self.waiting,
            "note": self.note,
        }
