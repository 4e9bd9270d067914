"""`UneditedProject`: what the whole suite says without a candidate, from run to run.

Touches the sandboxes of the trials that it is given.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping

from diffufix.errors import SandboxUnavailable
from diffufix.types import FAILED, RED
from diffufix.verify.claims import kind
from diffufix.verify.inside.frames import ANY
from diffufix.verify.judge import Usual
from diffufix.verify.trials import OWN, Trial, Trials, Way

FIRST = (Way(OWN, 0), Way(OWN, 1))  # always; in one folder
STOPPERS = 5  # tests that end the whole run and are left out, at most


class UneditedProject:
    """Its runs so far, and which of its tests they say nothing certain about."""

    def __init__(
        self,
        trials: Trials,
        baseline: Mapping[str, str],
        flaky: Collection[str],
        hung: Collection[str],
    ) -> None:
        self._trials, self._baseline = trials, baseline
        self.unstable = set(flaky)
        self.left_out = set(hung)
        self.usual = Usual()
        self.runs: dict[Way, dict[str, str]] = {}
        self._said: dict[Way, dict[str, str]] = {}  # messages
        self._rechecked: set[str] = set()
        self.slowest = 0.0  # seconds of a run

    def measure(self, ways: tuple[Way, ...]) -> None:
        """Run the unedited project; what ends its runs is left out from then on."""
        found: list[Trial] = []
        ended: list[str] = []
        for _ in range(STOPPERS):
            without = {*self.left_out, *ended}
            tests = [test for test in self._baseline if test not in without]
            began = time.monotonic()
            found = self._trials.series(ways, tests, dict.fromkeys(tests, ANY))
            self.time(began, len(found))
            stopper = next((trial.stopped_at for trial in found if trial.stopped_at), "")
            if not stopper:
                break
            ended.append(stopper)
        short = len(found) < len(ways) and not found[-1].last
        if short or not all(trial.report.get("ended") for trial in found):
            reason = next((str(t.report["error"]) for t in found if "error" in t.report), "")
            raise SandboxUnavailable(f"the unedited suite does not run to its end: {reason}")
        self.left_out |= {*ended}
        for trial in found:
            self.usual.add(trial.report)
            self._trials.forgiving |= trial.report.get("sentinel") not in RED
            self._said.setdefault(trial.way, trial.messages)
            self._note(trial.way, {**trial.outcomes, **dict.fromkeys(ended, FAILED)})

    def _note(self, way: Way, outcomes: dict[str, str]) -> None:
        """Keep a run of the unedited project; what came out otherwise before is unstable."""
        for other, before in [*self.runs.items()]:
            if other.order == way.order:
                self.unstable |= {
                    test for test, outcome in outcomes.items()
                    if kind(before.get(test, outcome)) != kind(outcome)
                }  # fmt: skip
        self.runs.setdefault(way, outcomes)

    def differing(self, way: Way) -> list[str]:
        """Tests that come out otherwise in this order than in the project's own, or fail with
        other words: then they share state, and in this order nobody knows what is right."""
        own, here = self.runs[FIRST[0]], self.runs[way]
        before, again, now = (self._said[each] for each in (*FIRST, way))
        return [
            test for test, outcome in here.items()
            if test not in self.unstable
            and (
                kind(own.get(test, outcome)) != kind(outcome)
                or (
                    outcome in RED
                    and before.get(test) == again.get(test)  # it says the same each time
                    and before.get(test) != now.get(test)
                )
            )
        ]  # fmt: skip

    def recheck(self, ways: tuple[Way, ...], broken: Collection[str]) -> bool:
        """Whether any of what broke breaks in one more run, too."""
        broken = {*broken} - self._rechecked
        if not broken:
            return False
        self._rechecked |= broken
        before = set(self.unstable)
        self.measure(ways)
        return bool(broken & self.unstable - before)

    def time(self, began: float, runs: int) -> None:
        """Note how long runs took that began at this moment."""
        self.slowest = max(self.slowest, (time.monotonic() - began) / max(1, runs))
