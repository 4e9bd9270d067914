"""What was observed: `Call`, `Play`, `Recording`. Values are bounded texts with digests; where two
digests are equal the values looked the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """One call of an observed function in one test."""

    test: str
    function: str  # qualified name
    arguments: tuple[tuple[str, str], ...]  # (name, text)
    given: str  # digest of all arguments
    kind: str  # return, raise, yield; open: it never came back
    value: str  # text of what came of it
    outcome: str  # digest of kind, value and arguments changed
    lines: tuple[int, ...]  # executed, in order, of this version's text

    @property
    def key(self) -> tuple[str, str, str]:
        return self.test, self.function, self.given


@dataclass(frozen=True)
class Play:
    """What a function did with one input."""

    text: str  # of the arguments
    kind: str
    value: str
    digest: str  # of kind, value and arguments changed


@dataclass(frozen=True)
class Recording:
    """One version under observation. `problem` says why there is less than there should be."""

    outcomes: Mapping[str, str] = field(default_factory=dict)  # test id -> outcome
    calls: tuple[Call, ...] = ()
    plays: tuple[Play | None, ...] = ()  # by input; None: there was no time, or no function
    expected: tuple[str, ...] = ()  # by expectation: yes, no, or an error
    problem: str = ""

    @property
    def complete(self) -> bool:
        return not self.problem
