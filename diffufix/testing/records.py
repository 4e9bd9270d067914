"""From the reporter's events to test cases; pure.

The events are described in `inside/_diffufix_reporter.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from diffufix.types import ERROR, FAILED, PASSED, RED, Frame, TestCase

Event = dict[str, Any]


@dataclass
class _Growing:
    """A test case whose reports are still coming in."""

    outcome: str = ""  # not known before the call, unless the setup decided it
    seconds: float = 0.0
    message: str = ""
    report: str = ""
    frames: tuple[Frame, ...] = ()


@dataclass
class Records:
    """What the reporter has said so far. `tidy` is applied to every text meant for people."""

    tidy: Callable[[str], str] = str
    versions: dict[str, str] = field(default_factory=dict)  # empty: pytest did not start
    collected: tuple[str, ...] | None = None
    deselected: list[str] = field(default_factory=list)
    running: str | None = None  # the last test that started
    first_start: float | None = None  # time.monotonic()
    heard: float = field(default_factory=time.monotonic)  # when the last line came
    status: int | None = None  # None: no END
    coverage: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)
    collection_errors: list[TestCase] = field(default_factory=list)
    variables: tuple[str, ...] = ()
    home_files: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    _cases: dict[str, _Growing] = field(default_factory=dict)

    def take(self, line: bytes) -> bool:
        """Take one line; True when it is the last one. Lines that are no event are ignored."""
        self.heard = time.monotonic()
        try:
            event = json.loads(line)
            handler = getattr(self, "_on_" + event["event"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        handler(event)
        return self.status is not None

    def cases(self) -> tuple[TestCase, ...]:
        """The finished tests, in the order in which they ran."""
        return tuple(
            TestCase(id, case.outcome, case.seconds, case.message, case.report, case.frames)
            for id, case in self._cases.items()
            if case.outcome
        )

    def unfinished(self) -> tuple[str, ...]:
        """Collected tests whose outcome never came."""
        known = {id for id, case in self._cases.items() if case.outcome}
        return tuple(id for id in self.collected or () if id not in known)

    def silent(self, seconds: float) -> bool:
        """Whether a test has been running for longer than `seconds` without a word."""
        case = self._cases.get(self.running or "")
        unfinished = self.running is not None and not (case and case.outcome)
        return unfinished and time.monotonic() - self.heard > seconds

    def _on_begin(self, event: Event) -> None:
        self.versions = {"python": event["python"], "pytest": event["pytest"]}

    def _on_aside(self, event: Event) -> None:
        self.missed = tuple(event["missed"])

    def _on_collected(self, event: Event) -> None:
        self.collected = tuple(event["ids"])
        self.shared = tuple(self.collected[index] for index in event.get("shared", ()))

    def _on_deselected(self, event: Event) -> None:
        self.deselected += event["ids"]

    def _on_start(self, event: Event) -> None:
        self.running = event["id"]
        if self.first_start is None:
            self.first_start = time.monotonic()

    def _on_waiting(self, event: Event) -> None:
        """A test that is slow, but not stuck: `heard` is what counts."""

    def _on_report(self, event: Event) -> None:
        case = self._cases.setdefault(event["id"], _Growing())
        when, outcome = event["when"], event["outcome"]
        case.seconds += event["seconds"]
        if outcome == "rerun" or case.outcome in RED:
            return
        if outcome == FAILED:
            case.outcome = FAILED if when == "call" else ERROR
            case.frames = _frames(event)
        elif when == "call" or (when == "setup" and outcome != PASSED):
            # Subtests report several calls: the test's own comes last.
            case.outcome = outcome
        else:
            return
        case.message, case.report = self.tidy(event["message"]), self.tidy(event["text"])

    def _on_collect_error(self, event: Event) -> None:
        message, text = self.tidy(event["message"]), self.tidy(event["text"])
        case = TestCase(event["id"], ERROR, 0.0, message, text, _frames(event))
        self.collection_errors.append(case)

    def _on_coverage(self, event: Event) -> None:
        self.coverage[event["id"]] = {
            path: _lines(mask) for path, mask in event["files"].items() if mask != "0"
        }

    def _on_surroundings(self, event: Event) -> None:
        self.variables, self.home_files = tuple(event["variables"]), tuple(event["files"])

    def _on_end(self, event: Event) -> None:
        self.status = event["status"]


def _frames(event: Event) -> tuple[Frame, ...]:
    return tuple(Frame(path, line, function) for path, line, function in event["frames"])


@lru_cache(maxsize=4096)
def _lines(mask: str) -> frozenset[int]:
    """The set bits of a hexadecimal mask; tests share most of their masks."""
    bits = bin(int(mask, 16))[:1:-1]
    return frozenset(number for number, bit in enumerate(bits) if bit == "1")
