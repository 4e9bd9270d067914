"""How long each test may take, from how long it took before; touches nothing.

What a failing test took says when it failed, not how long it runs once it is right. So it gets
the time of the slowest test beside it and, beyond that, some of the `Patience` that all candidates
of a screen share: much where the test sleeps or goes on, little where it stays in edited code.
"""

from __future__ import annotations

import threading
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

    @property
    def slowest(self) -> float:
        """Seconds of the slowest test of all."""
        return max(self._slowest.values(), default=0.0)

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
            limits[0] = max(limits[0], self._limit(0.3 * self.slowest), 0.1)
        return limits


class Patience:
    """Seconds that candidates may run beyond their deadlines, all of a screen together.

    Two purses: (for those that sleep or go on, for those that stay in one call of edited code,
    which most often is an endless loop). The first begins with `grant`, and each is filled with a
    share of the seconds that candidates take. One request is offered a half of what there is, so
    that the first hang does not take everything. For several threads.
    """

    def __init__(
        self, most: float = 5.0, grant: float = 6.0, shares: tuple[float, float] = (0.1, 0.04)
    ) -> None:
        self.most, self._shares = most, shares
        self._purses = [grant, 0.0]
        self._lock = threading.Lock()

    def offer(self, scarce: float = 0.1) -> tuple[float, float]:
        """What one request may use of each purse; nothing where that is less than `scarce`.
        To be settled."""
        with self._lock:
            halves = [min(self.most, purse / 2) for purse in self._purses]
            first, second = (half if half >= scarce else 0.0 for half in halves)
            self._purses = [self._purses[0] - first, self._purses[1] - second]
            return first, second

    @property
    def left(self) -> float:
        """Seconds in the first purse."""
        return self._purses[0]

    def settle(
        self, offered: tuple[float, float], used: tuple[float, float], seconds: float
    ) -> None:
        """Take back what was not used of an offer; `seconds` is what the request took in all."""
        with self._lock:
            for kind in (0, 1):
                back = max(0.0, offered[kind] - used[kind])
                self._purses[kind] += back + self._shares[kind] * seconds
