"""How long each test may take, from how long it took before; touches nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

# A failing test may have been stopped by its own hang: what it took says little.
FAILING_CAP = 0.2


@dataclass(frozen=True)
class Deadlines:
    """Seconds of processor time per phase: max(`floor`, `factor` x measured + `slack`)."""

    seconds: Mapping[str, float]
    failing: Collection[str] = ()
    factor: float = 10.0
    slack: float = 0.03
    floor: float = 0.05

    def of(self, failing: Collection[str]) -> Deadlines:
        """The same with other failing tests."""
        return replace(self, failing=failing)

    def _limit(self, seconds: float) -> float:
        return max(self.floor, self.factor * seconds + self.slack)

    def _own(self, test: str) -> float:
        seconds = self.seconds.get(test, 0.0)
        return min(seconds, FAILING_CAP) if test in self.failing else seconds

    @cached_property
    def _slowest(self) -> Mapping[str, float]:
        """File -> its slowest test: whoever sets up a shared fixture first pays for it."""
        slowest: dict[str, float] = defaultdict(float)
        for test in self.seconds:
            file = test.split("::")[0]
            slowest[file] = max(slowest[file], self._own(test))
        return slowest

    def call(self, test: str) -> float:
        """For the test's body and tear-down. A failing test gets what its file's slowest gets."""
        own = self._own(test)
        if test in self.failing:
            own = max(own, self._slowest.get(test.split("::")[0], 0.0))
        return self._limit(own)

    def setup(self, tests: Sequence[str]) -> list[float]:
        """For each test's set-up; the first may have to set up the session's fixtures."""
        limits = [self._limit(self._slowest.get(test.split("::")[0], 0.0)) for test in tests]
        if limits:
            overall = max(self._slowest.values(), default=0.0)
            limits[0] = max(limits[0], self._limit(0.3 * overall), 0.1)
        return limits
