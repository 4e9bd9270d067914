"""What a candidate changes in the calls that the tests make: `compare`. Reads recordings only.

Of a right patch one expects that passing tests' calls go on as before and that the failing tests'
go another way (Xiong et al., Identifying patch correctness in test-based program repair, ICSE
2018).
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diffufix.source.spans import Text
from diffufix.trust.types import Call, Recording
from diffufix.types import PASSED


@dataclass(frozen=True)
class Behaviour:
    """Counts of calls of the observed functions; `known` is False where nothing was recorded."""

    known: bool = False
    passing: int = 0  # calls in tests that passed before
    passing_changed: int = 0  # of those, with another result, exception or effect on arguments
    failing: int = 0  # calls in tests that failed before
    failing_changed: int = 0
    path_changed: bool = False  # a failing test's call goes another way or ends otherwise
    tests: int = 0  # passing tests that call it
    tests_changed: int = 0

    @property
    def share(self) -> float:
        """Of the passing tests' calls, how many change; 0 without any."""
        return self.passing_changed / self.passing if self.passing else 0.0

    def words(self) -> list[str]:
        """One fact an entry."""
        if not self.known:
            return ["its calls could not be observed"]
        said = []
        if not self.passing:
            said.append("no call in a passing test was recorded")
        elif not self.passing_changed:
            said.append(f"changes no result of {_calls(self.passing)} in passing tests")
        else:
            said.append(
                f"changes the result of {self.passing_changed} of {_calls(self.passing)} in "
                "passing tests"
            )
        if self.failing:
            said.append(
                f"changes {self.failing_changed} of {_calls(self.failing)} in failing tests"
            )
        return said


def compare(
    original: Recording,
    candidate: Recording,
    functions: Sequence[str],
    texts: Mapping[str, tuple[str, str]],
) -> Behaviour:
    """The candidate against the original over the calls of `functions` (qualified names).

    `texts` has for each edited path its text before and after, to compare executed lines.
    """
    if not original.complete or not candidate.complete or not original.calls:
        return Behaviour()
    wanted = frozenset(functions)
    line = _lines(texts)
    after: dict[tuple[str, str, str], list[Call]] = defaultdict(list)
    for call in candidate.calls:
        if call.function in wanted:
            after[call.key].append(call)
    passing = changed = failing = failing_changed = 0
    path_changed = False
    tests: set[str] = set()
    tests_changed: set[str] = set()
    for call in original.calls:
        if call.function not in wanted:
            continue
        again = after[call.key].pop(0) if after[call.key] else None
        differs = again is None or again.outcome != call.outcome
        path = again is None or [line.get(n) for n in again.lines] != list(call.lines)
        if original.outcomes.get(call.test) == PASSED:
            passing, changed = passing + 1, changed + differs
            tests.add(call.test)
            if differs:
                tests_changed.add(call.test)
        else:
            failing, failing_changed = failing + 1, failing_changed + differs
            path_changed |= differs or path
    return Behaviour(
        passing + failing > 0, passing, changed, failing, failing_changed, path_changed,
        len(tests), len(tests_changed),
    )  # fmt: skip


def _lines(texts: Mapping[str, tuple[str, str]]) -> dict[int, int]:
    """Line of a text after -> line before; a line of a replaced run counts as its counterpart."""
    found: dict[int, int] = {}
    for old, new in texts.values():
        before, after = Text(old).lines, Text(new).lines
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for tag, i1, i2, j1, j2 in matcher.get_opcodes():
            if tag == "equal" or (tag == "replace" and i2 - i1 == j2 - j1):
                found.update(zip(range(j1 + 1, j2 + 1), range(i1 + 1, i2 + 1), strict=True))
    return found


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number:,} calls"
