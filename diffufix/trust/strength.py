"""How strong are the tests at a statement? The search measures it for nothing: `MutantCounts`.

Every candidate that edits a statement and runs is a mutant of it. Where the tests reject nearly
all, one that passes says something; where one in twenty passes, it says little.
"""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import dataclass, field

from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.types import State

Spot = tuple[str, int, int]
_REJECTED = {State.FAIL, State.TIMEOUT}


@dataclass(frozen=True)
class Strength:
    """Candidates that edited the same statement and ran, and how many of them passed."""

    tried: int = 0
    passed: int = 0

    @property
    def rejected(self) -> float:
        """Share of the others that the tests reject, pulled towards one half where few were."""
        others, failed = max(0, self.tried - 1), self.tried - self.passed
        return (failed + 1.0) / (others + 2.0)

    def words(self) -> str:
        others = self.tried - 1
        if others < 1:
            return "no other edit of this statement was tried"
        failed = self.tried - self.passed
        count = "the 1 other edit" if others == 1 else f"{others:,} other edits"
        return f"the tests reject {failed:,} of {count} of this statement"


@dataclass
class MutantCounts:
    """Verdicts by statement. `sources` maps a path to the text whose statements count."""

    sources: dict[str, str]
    _tried: Counter[Spot] = field(default_factory=Counter)
    _passed: Counter[Spot] = field(default_factory=Counter)
    _spots: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def note(self, path: str, start: int, end: int, state: State, count: int = 1) -> None:
        """A candidate that replaced [start, end) of a file; what did not run is no mutant. A
        `count` of -1 takes it back."""
        if state is not State.PASS and state not in _REJECTED:
            return
        spot = self.spot(path, start, end)
        self._tried[spot] += count
        self._passed[spot] += count * (state is State.PASS)

    def at(self, path: str, start: int, end: int) -> Strength:
        spot = self.spot(path, start, end)
        return Strength(self._tried[spot], self._passed[spot])

    def spot(self, path: str, start: int, end: int) -> Spot:
        """The innermost statement around the span; for an insertion, its place."""
        if start == end:
            return path, start, end
        around = [s for s in self._statements(path) if s[0] <= start and end <= s[1]]
        first, last = min(around, key=lambda s: s[1] - s[0], default=(start, end))
        return path, first, last

    def weak(self, path: str, start: int, end: int) -> bool:
        """Whether so many edits pass here that one more says little."""
        found = self.at(path, start, end)
        return found.passed >= 4 and found.passed > 0.15 * found.tried

    def _statements(self, path: str) -> list[tuple[int, int]]:
        if path not in self._spots:
            self._spots[path] = _statements(self.sources.get(path, ""))
        return self._spots[path]


def _statements(source: str) -> list[tuple[int, int]]:
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return []
    text = Text(source)
    return [text.span(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)]
