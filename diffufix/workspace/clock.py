"""The time of one run: what is left of the budget, and how long each phase took.

Reads clocks, and of /proc when this process began.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

SETTLE = 0.5  # seconds to end the sandboxes and print
STARTING = 1.0  # seconds until a sandbox for confirmation stands, at least
CONTROLS = 3  # processes that are started for a few tests
SLOWER = 1.25  # a confirming run beside a run of measuring, whose tests nobody watches
SHARE = 0.1  # of the budget that further confirming runs may have


@dataclass
class Clock:
    """`began` is when the user began to wait (monotonic seconds); `excused` seconds do not count,
    such as those of a model's download."""

    budget: float
    began: float = field(default_factory=time.monotonic)
    excused: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)  # name -> seconds

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    @property
    def deadline(self) -> float:
        """Monotonic seconds."""
        return self.began + self.budget + self.excused

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the seconds inside; several of one name add up."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.monotonic() - began


def process_began() -> float:
    """When this process began, in monotonic seconds; now, where the system does not say."""
    now = time.monotonic()
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime", encoding="ascii") as file:
            age = float(file.read().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return now
    return now - max(0.0, age)


def confirmation_seconds(
    suite: float, start: float, budget: float, copying: float = 0.0
) -> tuple[float, float]:
    """(least, usual) seconds that confirming one patch takes, from those of one run of the suite,
    of its start, and of copying the project.

    Two runs are made, one after the other, then the controls, which are short; two further runs as
    far as they are cheap. The unedited project's are made beside them. The least is one run: where
    there is no time for more, that is said."""
    one, controls = SLOWER * suite, CONTROLS * SLOWER * start
    least = max(STARTING, copying) + one + controls + SETTLE
    return least, least + one + min(2 * one, SHARE * budget)
