"""`Confirmer`: is a green candidate really green, and what may be said of every other test?

The whole suite runs cold with the candidate and, in the same way, without: in the project's own
order twice, one after the other in one folder; then reversed and shuffled, as far as the unedited
project comes out the same in that order and there is time. Where there is only time for one run,
one is made. All runs differ in hash seed, folder and process ids. In each of them every target must
pass, and every test that passes in the unedited project must pass; what the unedited project cannot
hold from run to run is listed as flaky.
Nothing is left out but tests that end the whole run (by a hang or a crash), and those are listed.

Touches the sandboxes of the given factory, and removes them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from diffufix.errors import SandboxUnavailable, TooLate
from diffufix.sandbox import Sandbox
from diffufix.types import (
    FAILED,
    PASSED,
    RED,
    Candidate,
    Claims,
    State,
    Verdict,
    file_of_test,
)
from diffufix.verify.claims import ALLOWED, claims
from diffufix.verify.controls import unheld
from diffufix.verify.deadlines import Deadlines
from diffufix.verify.inside.frames import ANY
from diffufix.verify.judge import judge
from diffufix.verify.static import forbidden, identifiers, suspicion
from diffufix.verify.trials import (
    OWN,
    PUT_BACK,
    REVERSED,
    SHUFFLED,
    START,
    Laid,
    Trial,
    Trials,
    Way,
)
from diffufix.verify.unedited import FIRST, UneditedProject
from diffufix.verify.worker import Setup

#: Confirmation is rare: a test gets this many seconds of processor time at least.
FLOOR = 10.0
FURTHER = (Way(REVERSED, 2), Way(SHUFFLED, 3))  # as far as they hold and there is time
INSTEAD = Way(OWN, 4)  # where neither of those holds
CONTROLS = 4  # runs of the targets alone, at most


@dataclass(frozen=True)
class Confirmed:
    """`claims` are there where the verdict is a pass. `late`: the time was over before there was
    a verdict."""

    verdict: Verdict
    claims: Claims | None = None
    late: bool = False


class Confirmer:
    """Confirms candidates for one project; what its unedited runs say is kept for the next one.

    `factory` makes a sandbox with its own copy of the project (not started), `baseline` maps every
    test id to its outcome outside of the sandbox, in the project's own order. `flaky` are ids that
    did not hold there, `hung` ids that did not end, `uncollected` files whose tests could not be
    collected; `shared` are ids of tests that share a fixture with others; `wanted` are outcomes
    that repair a target other than by passing. `protected` are files that may not be edited (None:
    those that hold tests, and what is named like tests). `start_seconds`: interpreter, import and
    collection. `folder`: where pytest is started.
    """

    def __init__(
        self,
        factory: Callable[[], Sandbox],
        *,
        python: str | Path,
        args: Sequence[str],
        root: Path,
        baseline: Mapping[str, str],
        seconds: Mapping[str, float] | None = None,
        flaky: Collection[str] = (),
        hung: Collection[str] = (),
        uncollected: Sequence[str] = (),
        shared: Collection[str] = (),
        wanted: Mapping[str, str] | None = None,
        protected: Container[str] | None = None,
        start_seconds: float = 0.0,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        folder: str = "",
    ) -> None:
        setup = Setup.of(python, args, root, env, limits, list(baseline), folder)
        deadlines = Deadlines(seconds or {}, floor=FLOOR)
        start = max(START, 10 * start_seconds)
        self._trials = Trials(factory, setup, tuple(baseline), deadlines, start, uncollected)
        self._baseline, self._wanted, self._protected = dict(baseline), wanted or {}, protected
        self._root = setup.root
        self._unedited = UneditedProject(self._trials, self._baseline, flaky, hung)
        self._uncollected = tuple(uncollected)
        self._dropped: dict[str, str] = {}  # order -> a test that does not hold in it
        self._shared = frozenset(shared)
        self._seconds, self._start_seconds = dict(seconds or {}), start_seconds

    def __enter__(self) -> Confirmer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def slowest(self) -> float:
        """Seconds of a run, with a candidate or without."""
        return self._unedited.slowest

    @cached_property
    def _known(self) -> frozenset[str]:
        return identifiers(self._root)

    def interrupt(self) -> None:
        """From another thread: end the runs under way, for good."""
        self._trials.interrupt()

    def close(self) -> None:
        self._trials.close()

    def confirm(
        self,
        candidate: Candidate,
        targets: Collection[str],
        until: float | None = None,
        end: float | None = None,
    ) -> Confirmed:
        """The verdict of all runs; `until` (monotonic seconds) is when no more of them begin than
        must, `end` when it is given up. Infrastructure failures are State.INFRA, and so is that
        there was no time. Raises ProjectError as the pool does."""
        began = time.monotonic()
        of_targets = sum(self._seconds.get(test, 0.0) for test in targets)
        self._trials.end, self._trials.spare = end, CONTROLS * (self._start_seconds + of_targets)
        try:
            found = self._confirm(candidate, tuple(targets), until)
        except SandboxUnavailable as error:
            found = Confirmed(Verdict(State.INFRA, detail=error.message))
        except TooLate:
            detail = "there was no time to run the whole suite"
            found = Confirmed(Verdict(State.INFRA, detail=detail), late=True)
        verdict = replace(found.verdict, seconds=time.monotonic() - began)
        return replace(found, verdict=verdict)

    def _confirm(
        self, candidate: Candidate, targets: tuple[str, ...], until: float | None
    ) -> Confirmed:
        for path in candidate.files:
            if reason := self._forbidden(path):
                return Confirmed(Verdict(State.SUSPICIOUS, detail=reason))
        try:
            edit = self._trials.laid(candidate)
        except UnicodeEncodeError as error:
            return Confirmed(Verdict(State.ERROR, detail=str(error)))
        with ThreadPoolExecutor(2) as pool:
            try:
                return self._run(pool, candidate, edit, targets, until)
            except BaseException:
                self._trials.interrupt()  # or the pool would wait for its runs to end
                raise

    def _run(
        self,
        pool: ThreadPoolExecutor,
        candidate: Candidate,
        edit: Laid,
        targets: tuple[str, ...],
        until: float | None,
    ) -> Confirmed:
        trials: list[Trial] = []
        first = self._compared(pool, FIRST, edit, targets, trials)
        if first is None or not first.passed:
            return Confirmed(first or Verdict(State.INFRA, detail="nothing was run"))
        base = self._unedited.runs[FIRST[0]]
        if all(
            base.get(test, FAILED) not in RED or test in self._unedited.unstable for test in targets
        ):
            return Confirmed(replace(first, state=State.FAIL, detail="green without the edit, too"))
        for path, text in candidate.files.items():
            before = edit.originals[path].text
            if reason := suspicion(before, text, path=path, known=self._known):
                detail = f"{path} {reason}"
                return Confirmed(replace(first, state=State.SUSPICIOUS, detail=detail))
        if reason := unheld(self._trials, candidate.files, edit, self._controllable(targets)):
            return Confirmed(replace(first, state=State.SUSPICIOUS, detail=reason))
        leaning: dict[str, str] = {}
        for way in (*FURTHER, INSTEAD):
            if len(trials) < len(FIRST) or FIRST[1] not in self._unedited.runs:
                break  # there was no time for a second run, of the candidate or without it
            if way is INSTEAD and len(trials) > len(FIRST):
                break
            if until is not None and time.monotonic() + 1.2 * self.slowest > until:
                break
            try:
                verdict = self._compared(pool, (way,), edit, targets, trials)
                if verdict is not None and (test := self._leans(verdict, targets)):
                    with contextlib.suppress(TooLate):  # then the target's failure stands
                        by_file = self._compared(pool, (way.by_file,), edit, targets, trials)
                        if by_file is not None:
                            verdict, leaning[way.order] = by_file, test
            except TooLate:
                break
            if verdict is not None and not verdict.passed:
                other = "not in every order" if way.order != OWN else "not every time"
                return Confirmed(replace(verdict, detail=f"{other}: {verdict.detail}"))
        base = self._unedited.runs[FIRST[0]]
        found = claims(
            trials, targets, self._baseline, base, self._unedited.unstable,
            self._unedited.left_out, self._dropped, self._uncollected, leaning,
        )  # fmt: skip
        return Confirmed(first, found)

    def _leans(self, verdict: Verdict, targets: Collection[str]) -> str:
        """The target that fails, where that may be for want of the tests before it, with which it
        shares a fixture."""
        failed = [test for test, outcome in verdict.outcomes.items() if outcome in RED]
        own = verdict.state is State.FAIL and {*failed} <= self._shared & {*targets}
        return failed[0] if own and failed else ""

    def _controllable(self, targets: Collection[str]) -> list[str]:
        """Targets that fail in the unedited project for certain, in its own order."""
        base = self._unedited.runs.get(FIRST[0], {})
        return [
            test for test in self._baseline
            if test in targets and base.get(test) in RED and test not in self._unedited.unstable
            and test not in self._unedited.left_out
        ]  # fmt: skip

    def _forbidden(self, path: str) -> str:
        if self._protected is None and path in map(file_of_test, self._baseline):
            return f"{path} holds tests"
        return forbidden(path, self._protected)

    # -- the candidate beside the unedited project -------------------------------------------------

    def _compared(
        self,
        pool: ThreadPoolExecutor,
        ways: tuple[Way, ...],
        edit: Laid,
        targets: tuple[str, ...],
        trials: list[Trial],
    ) -> Verdict | None:
        """What a series says of the candidate; None where the unedited project does not hold in
        that order. Runs that are good go to `trials`."""
        if ways[0].order != OWN and self._dropped:  # what one order breaks, luck holds in another
            return None
        known = all(way in self._unedited.runs for way in ways)
        unedited = None if known else pool.submit(self._unedited.measure, ways)
        left_out = self._unedited.left_out - {*targets}
        edited = pool.submit(self._series, ways, edit, targets, known, left_out)
        forgiving = self._trials.forgiving
        if unedited is not None:
            unedited.result()
        found = edited.result()
        if ways[0].order != OWN and (odd := self._unedited.differing(ways[0])):
            self._dropped[ways[0].order] = odd[0]
            return None
        if left_out != self._unedited.left_out - {*targets} or forgiving != self._trials.forgiving:
            left_out = self._unedited.left_out - {*targets}
            found = self._series(ways, edit, targets, False, left_out)
        verdict = self._judged(found, ways, targets)
        broken = self._broken(found, targets) if verdict.state is State.FAIL else set()
        if self._unedited.recheck(ways, broken):
            # Tests that the unedited project does not hold either say nothing about the candidate.
            found = self._series(ways, edit, targets, False, left_out)
            verdict = self._judged(found, ways, targets)
        if verdict.passed:
            trials += [trial for trial in found if trial.way != PUT_BACK]
        return verdict

    def _series(
        self,
        ways: tuple[Way, ...],
        edit: Laid,
        targets: tuple[str, ...],
        stop: bool,
        left_out: Collection[str],
    ) -> list[Trial]:
        tests = [test for test in self._baseline if test not in left_out]
        began = time.monotonic()
        back = self._controllable(targets) if ways == FIRST else ()
        found = self._trials.series(
            ways, tests, self._required(targets), edit, targets=targets, stop=stop, put_back=back
        )
        self._unedited.time(began, len(found))
        return found

    def _judged(
        self, trials: Sequence[Trial], ways: Sequence[Way], targets: tuple[str, ...]
    ) -> Verdict:
        """The first verdict that is no pass, else that of the first run."""
        required = self._required(targets)
        verdicts: list[Verdict] = []
        for trial in trials:
            if trial.way == PUT_BACK:
                left = [test for test, said in trial.outcomes.items() if said == PASSED]
                if left:
                    detail = f"after it, {left[0]} passes without the edit, too"
                    return replace(verdicts[0], state=State.SUSPICIOUS, detail=detail)
                continue
            wanted = [required[test] for test in trial.tests]
            verdict = judge(
                trial.report, trial.tests, wanted, 0.0, every_place=True, usual=self._unedited.usual
            )
            verdicts.append(verdict)
            if not verdicts[-1].passed:
                if len(verdicts) > 1:
                    detail = f"not every time: {verdicts[-1].detail}"
                    return replace(verdicts[-1], detail=detail)
                return verdicts[-1]
        if len(trials) < len(ways) and not trials[0].last:  # it left the tree as it should not
            return Verdict(State.SUSPICIOUS, detail="what it left behind could not be removed")
        return verdicts[0]

    def _required(self, targets: Collection[str]) -> dict[str, str]:
        """The outcome that each test must have; before the unedited project has been run, that of
        the baseline."""
        base = self._unedited.runs.get(FIRST[0], self._baseline)
        found = {}
        for test, outcome in self._baseline.items():
            if test in self._unedited.unstable:
                found[test] = ANY
            elif test in targets:
                found[test] = self._wanted.get(test, PASSED)
            else:
                found[test] = ALLOWED.get(base.get(test, outcome), ANY)
        return found

    def _broken(self, trials: Sequence[Trial], targets: Collection[str]) -> set[str]:
        required = self._required(targets)
        return {
            test for trial in trials for test, outcome in trial.outcomes.items()
            if outcome in RED and required[test] != ANY
        }  # fmt: skip
