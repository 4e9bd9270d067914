"""What is wrong before anything is changed: two runs of the suite on a scratch copy.

The first gives outcomes and durations, the second, made only when something is red, says which
code each test executes, and by comparison which tests are flaky.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from diffufix import events
from diffufix.config import Settings
from diffufix.errors import ProjectError, SandboxUnavailable, TooLate
from diffufix.events import Listener
from diffufix.sandbox import Sandbox
from diffufix.testing import flaky, fresh_copy, run_tests
from diffufix.testing.testcode import TestCode, test_code
from diffufix.types import XFAILED, TestCase, TestRun
from diffufix.workspace.choice import Runtime
from diffufix.workspace.clock import Clock
from diffufix.workspace.surroundings import (
    SharedEnvironment,
    choose_surroundings,
    named_variables,
    open_variables,
    unpassed,
)

RETRIES = 2  # of a sandbox that fails
HANG = 5.0  # seconds a phase of a test may take, at least; and a share of the budget
STRICT = "[XPASS(strict)]"  # how pytest says that a test passed which must not
HUNG = 0.02  # seconds assumed for such a test
COVERED = 0.2  # of the time left that the second run may take, under coverage
SLOWER = 4.0  # times that tests take there


@dataclass(frozen=True)
class Diagnosis:
    """Outcomes and seconds of the first run, coverage of the second."""

    run: TestRun
    red: tuple[str, ...] = ()  # failed both times
    flaky: tuple[str, ...] = ()
    tests: TestCode = field(default_factory=TestCode)
    surroundings: SharedEnvironment = field(default_factory=SharedEnvironment)

    @property
    def seconds(self) -> dict[str, float]:
        """Durations; of a test that hung little is known, and candidates that hang are many."""
        return {case.id: HUNG if case.timed_out else case.seconds for case in self.run.cases}

    @property
    def hung(self) -> tuple[str, ...]:
        """Tests that did not end."""
        return tuple(case.id for case in self.run.cases if case.timed_out)

    @property
    def uncollected(self) -> tuple[str, ...]:
        """Files and folders whose tests cannot be collected."""
        return tuple(case.id for case in self.run.collection_errors)

    @property
    def wanted(self) -> dict[str, str]:
        """Failing tests that are mended by another outcome than passing."""
        strict = (case.id for case in self.run.red if case.message.startswith(STRICT))
        return dict.fromkeys(strict, XFAILED)

    @property
    def suite_seconds(self) -> float:
        """What a run of the whole suite takes once nothing hangs."""
        return self.run.start_seconds + sum(self.seconds.values())

    @property
    def baseline(self) -> dict[str, str]:
        """Outcomes in the project's own order."""
        return {case.id: case.outcome for case in self.run.cases}


def diagnose(
    settings: Settings,
    place: Runtime,
    scratch: Path,
    listener: Listener,
    warn: Callable[[str], None],
    on_red: Callable[[], None],
    lay: Callable[[Path], None] = lambda tree: None,
    clock: Clock | None = None,
) -> Diagnosis:
    """Run the tests on copies in `scratch`, in a sandbox where the place wants that.

    `on_red` is called as soon as something is known to fail, `lay` with each copy before anything
    runs in it. What takes longer than the `clock` has left is given up.

    Raises ProjectError when there are no tests, or when nothing but collection fails; TooLate
    when the copy, or the tests, are not done in time; SandboxUnavailable.
    """
    clock = clock or Clock(settings.budget)
    with Suite(settings, place, scratch, lay, clock) as suite:
        with clock.phase("copying the project"):
            suite.prepare()
        return _diagnose(settings, suite, listener, warn, on_red, clock)


def _diagnose(
    settings: Settings,
    suite: Suite,
    listener: Listener,
    warn: Callable[[str], None],
    on_red: Callable[[], None],
    clock: Clock,
) -> Diagnosis:
    listener(events.Stage("running the tests"))
    hang = max(HANG, settings.budget / 6)
    with clock.phase("running the tests"):
        first = _in_time(suite, clock, test_timeout=hang)
    if not first.cases or (first.collection_errors and not first.red):
        raise _uncollected(first)
    listener(events.TestsRan(first))
    if not first.red:
        return Diagnosis(first)
    on_red()
    if first.missed:
        warn(f"the tests run without {' and '.join(first.missed)}: what needs that may fail here")
    for error in first.collection_errors:
        warn(f"{error.id} cannot be collected and is left out: {error.message}")
    listener(events.Stage("finding out which code the tests execute"))
    ids = _worth_covering(first, clock)
    with clock.phase("running them with coverage"):
        again = _in_time(
            suite, clock, coverage=True, test_timeout=_second_limit(first, hang), ids=ids
        )
    known = first.cases if ids is None else [case for case in first.cases if case.id in {*ids}]
    late = {case.id for case in again.cases if case.timed_out}  # coverage takes time
    unsteady = tuple(
        test for test in flaky(replace(first, cases=tuple(known)), again) if test not in late
    )
    if under := _fail_under_coverage(suite, clock, first, unsteady, hang):
        unsteady = tuple(test for test in unsteady if test not in under)
        warn(
            "these tests fail only where executed lines are recorded, so it is not known which "
            "code they execute: " + ", ".join(under[:5])
        )
    if unsteady:
        warn(
            "left out, as they came out otherwise in a second run, under coverage: "
            + ", ".join(unsteady[:5])
        )
    tests = test_code(settings.root, first.ids)
    if suite.place.kind == "local":
        around = choose_surroundings(first, suite.named)
    else:
        around = SharedEnvironment(suite.named)
        if names := ",".join(unpassed(first, suite.named)):
            warn(
                f"failing tests ask for {names}, which is set here and not in the sandbox: a "
                f"container gets only what is named; pass it with --pass-env {names}"
            )
    if around.variables:
        listener(events.Stage("passing into the sandbox: " + ", ".join(sorted(around.variables))))
    if around.kept_back:
        names = ", ".join(around.kept_back)
        warn(
            f"the tests read {names}: kept out of the sandbox, as secrets are; where a test needs "
            f"it, pass it with --pass-env {','.join(around.kept_back)}"
        )
    red = [case for case in first.red if case.id not in unsteady]
    slow = [case.id for case in red if _waits(case, tests)]
    if len(slow) < len(red):  # there are tests of which it is known that they fail
        red = [case for case in red if case.id not in slow]
        if slow:
            warn(f"still running after {hang:g} s, left out: {', '.join(slow[:5])}")
    run = replace(first, coverage=again.coverage)
    return Diagnosis(run, tuple(case.id for case in red), unsteady, tests, around)


def _fail_under_coverage(
    suite: Suite, clock: Clock, first: TestRun, unsteady: Sequence[str], hang: float
) -> list[str]:
    """Of the tests that passed, and failed under coverage, those that do both once more: it is
    coverage that they fail for. None where there is little time to find out."""
    green = {case.id: case.seconds for case in first.green if case.id in unsteady}
    seconds = 2 * (first.start_seconds + 3 * sum(green.values()))
    if not green or seconds > COVERED * clock.left:
        return []
    under, plain = (
        _in_time(suite, clock, coverage=coverage, test_timeout=hang, ids=list(green))
        for coverage in (True, False)
    )
    again = {case.id for case in plain.green}
    return [case.id for case in under.red if case.id in again and not case.timed_out]


def _waits(case: TestCase, tests: TestCode) -> bool:
    """Whether a test did not end, and not because code under test went on and on: it may be slow,
    and green."""
    return case.timed_out and (not case.frames or case.frames[-1].path in tests)


class Suite:
    """The project's tests on one scratch copy, run in one sandbox or as they always are."""

    def __init__(
        self, settings: Settings, place: Runtime, scratch: Path, lay: Callable[[Path], None],
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self.settings, self.place, self.scratch, self.lay = settings, place, scratch, lay
        self.until = None if clock is None else clock.deadline
        self.named = named_variables(settings.pass_env)
        local = place.kind == "local" and place.enclosed
        self.env = {**(open_variables() if local else {}), **self.named}
        self.known: tuple[str, ...] = ()  # ids as the first run of the suite had them
        self.tree: Path | None = None
        self.sandbox: Sandbox | None = None

    def run(self, **options: Any) -> TestRun:
        for left in range(RETRIES, -1, -1):
            try:
                self.prepare()
                run = run_tests(
                    self.settings.root, self.settings.pytest_args, python=self.place.python,
                    tree=self.tree, sandbox=self.sandbox, known=self.known,
                    folder=self.settings.folder, env=self.env, **options,
                )  # fmt: skip
                self.known = self.known or tuple(case.id for case in run.cases)
                return run
            except SandboxUnavailable:
                self.close()
                if not left:
                    raise
        raise AssertionError

    def prepare(self) -> None:
        if self.tree is None:
            self.tree = fresh_copy(self.settings.root, self.scratch, self.until)
            self.lay(self.tree)
            if self.place.enclosed:
                self.sandbox = self.place.make(self.tree)
                self.sandbox.start()

    def close(self) -> None:
        if self.sandbox is not None:
            self.sandbox.close()
        self.sandbox = self.tree = None

    def __enter__(self) -> Suite:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _in_time(suite: Suite, clock: Clock, **options: Any) -> TestRun:
    """Raises TooLate where the run is cut short by the end of the time."""
    try:
        return suite.run(timeout=max(1.0, clock.left), **options)
    except ProjectError:
        if clock.left <= 0.5:
            raise TooLate from None
        raise


def _worth_covering(first: TestRun, clock: Clock) -> list[str] | None:
    """The tests of the second run: all of them (None), or where there is little time for so many
    the red ones and the shortest of their files."""
    left = COVERED * clock.left / SLOWER
    if first.seconds < left:
        return None
    files = {case.id.partition("::")[0] for case in first.red}
    chosen = {case.id for case in first.red}
    for case in sorted(first.cases, key=lambda case: case.seconds):
        left -= case.seconds
        if left > 0 and case.id.partition("::")[0] in files:
            chosen.add(case.id)
    return [case.id for case in first.cases if case.id in chosen]


def _second_limit(first: TestRun, hang: float) -> float:
    """Seconds for a phase of a test in the second run: what hung once is not waited for again."""
    slowest = max((case.seconds for case in first.cases if case.seconds < hang), default=0.0)
    return min(2 * hang, max(2.0, 6 * slowest))


def _uncollected(run: TestRun) -> ProjectError:
    """No test is red, or there is none at all: why."""
    if run.collection_errors:
        first = run.collection_errors[0]
        where = first.frames[-1] if first.frames else None
        known = where is None or f"line {where.line}" in first.message  # a SyntaxError says it
        place = "" if where is None or known else f" ({where.path}, line {where.line})"
        return ProjectError(
            f"The tests cannot be collected: {first.id}: {first.message}{place}",
            "Make the project import first: python -m pytest --collect-only",
        )
    if run.deselected:
        return ProjectError(
            f"None of {len(run.deselected):,} tests is selected by: pytest {shlex.join(run.args)}",
            "Check the expression: python -m pytest --collect-only -q",
        )
    return ProjectError(
        "pytest finds no tests here.",
        "Run diffufix in the project's folder, or name tests: diffufix repair tests/",
    )
