"""`Deadline`: ends a test that hangs. Runs inside the project's interpreter.

PYTEST_DONT_REWRITE. Touches this process's alarm while a test runs.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

# Times its limit that a test may take that sleeps, that comes back into its file, that does not.
ASLEEP, ABOUT, STUCK = 5.0, 2.0, 0.99


def awake() -> float:
    """Seconds in which this process has run, or has waited for a processor of a busy machine."""
    try:
        with open("/proc/self/schedstat", encoding="ascii") as file:
            ran, waited = file.read().split()[:2]
        return max(time.process_time(), (int(ran) + int(waited)) / 1e9)
    except (OSError, ValueError):
        return time.process_time()


class Deadline:
    """Fails what runs inside after `seconds`; a test that sets its own alarm wins over ours.

    Slow is not hung: what sleeps, or keeps coming back from the project's functions into the test,
    is given more, and `wait` hears of it.
    """

    def __init__(self, seconds: float | None, stays_in: Callable[[Any], Any], wait: Any) -> None:
        self.seconds, self.stays_in, self.wait = seconds, stays_in, wait
        self.over = False

    def __enter__(self) -> None:
        if self.seconds:
            self.began = time.monotonic()
            self.before = signal.signal(signal.SIGALRM, self.ring)
            signal.setitimer(signal.ITIMER_REAL, 0.75 * self.seconds, 0.25 * self.seconds)

    def __exit__(self, *_: Any) -> None:
        if self.seconds:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self.before)

    def look(self, frame: Any) -> float:
        """How many times its limit it may take, from what it has done since the last look."""
        used, now, call = awake(), time.monotonic(), self.stays_in(frame)
        known = getattr(self, "known", None)
        self.known = used, now, call
        if known is None or used - known[0] < 0.5 * (now - known[1]):
            return ASLEEP
        return ABOUT if call is None or call is not known[2] else STUCK

    def ring(self, _signal: int, frame: Any) -> None:
        __tracebackhide__ = True
        assert self.seconds
        elapsed = time.monotonic() - self.began
        limit = self.seconds * self.look(frame)
        if not self.over and elapsed < max(limit, STUCK * self.seconds):
            self.wait()
            return
        if not self.over:  # again and again: code that swallows every exception gets the next one
            self.over = True
            signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
        pytest.fail(f"Timeout: still running after {round(elapsed, 1):g} s")
