"""`confirm`: is a green candidate really green? The whole suite, cold, twice, in two orders.

Touches one fresh sandbox made by the given factory, and removes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox import Sandbox
from diffufix.testing.types import RED, file_of_test
from diffufix.verify.deadlines import Deadlines
from diffufix.verify.judge import judge
from diffufix.verify.route import Original, Place
from diffufix.verify.static import forbidden, suspicion
from diffufix.verify.types import Candidate, State, Verdict
from diffufix.verify.worker import Setup, Worker, make_request

#: Confirmation is rare: a test gets this many seconds of processor time at least.
FLOOR = 10.0
START = 60.0  # seconds for interpreter, import and collection


def confirm(
    candidate: Candidate,
    factory: Callable[[], Sandbox],
    *,
    python: str | Path,
    args: Sequence[str],
    root: Path,
    baseline: Mapping[str, str],
    targets: Collection[str],
    seconds: Mapping[str, float] | None = None,
    env: Mapping[str, str] | None = None,
    limits: Mapping[str, int] | None = None,
) -> Verdict:
    """The verdict of two whole runs, each in a new interpreter, in a sandbox of its own.

    Exactly the ids of `baseline` must be collected; `targets` must pass, every other test keep its
    outcome. Tests that were red and are no targets are not run: they have nothing to lose. The
    second run goes in the opposite order under another hash seed; a failure there counts unless
    the unedited project has it too. `seconds` are the durations of the baseline. Infrastructure
    failures are retried once, then State.INFRA. Raises ProjectError as `Screen` does.
    """
    began = time.monotonic()
    protected = frozenset(map(file_of_test, baseline))
    for path in candidate.files:
        if reason := forbidden(path, protected):
            return Verdict(State.SUSPICIOUS, detail=reason)
    setup = Setup.of(python, args, root, env, limits)
    wanted = dict.fromkeys(targets, "passed")
    wanted |= {t: o for t, o in baseline.items() if t not in targets and o not in RED}
    tests = [test for test in baseline if test in wanted]
    tests += [test for test in targets if test not in baseline]
    deadlines = Deadlines(seconds or {}, targets, floor=FLOOR)
    problem = ""
    for _ in range(2):
        worker = Worker(factory, setup)
        try:
            worker.start()
            verdict = _Confirmation(worker, candidate, wanted, tuple(baseline), deadlines).run(
                tests
            )
            return replace(verdict, seconds=time.monotonic() - began)
        except SandboxUnavailable as error:
            problem = error.message
        finally:
            worker.close()
    return Verdict(State.INFRA, seconds=time.monotonic() - began, detail=problem)


class _Confirmation:
    """The runs of one candidate in one worker."""

    def __init__(
        self,
        worker: Worker,
        candidate: Candidate,
        wanted: Mapping[str, str],
        collected: Sequence[str],
        deadlines: Deadlines,
    ) -> None:
        self.worker = worker
        self.wanted = wanted
        self.collected = collected
        self.deadlines = deadlines
        self.originals = {path: _original(worker, path) for path in candidate.files}
        self.candidate = candidate
        self.places: list[Place] = []

    def run(self, tests: Sequence[str]) -> Verdict:
        try:
            files = {
                path: self.originals[path].encode(text).decode("latin-1")
                for path, text in self.candidate.files.items()
            }
        except UnicodeEncodeError as error:
            return Verdict(State.ERROR, detail=str(error))
        self.places = [
            place
            for path, text in self.candidate.files.items()
            if path.endswith(".py")
            for place in self.originals[path].places(path, text)
        ]
        first = self.once(files, tests, stop=True)
        if not first.passed:
            return first
        for path, text in self.candidate.files.items():
            if reason := suspicion(self.originals[path].text, text):
                return replace(first, state=State.SUSPICIOUS, detail=f"{path} {reason}")
        backwards = list(reversed(tests))
        second = self.once(files, backwards, stop=False)
        if second.passed or self.blameless(second, backwards):
            return first
        return replace(second, detail=f"not in every order: {second.detail}")

    def once(self, files: Mapping[str, str], tests: Sequence[str], *, stop: bool) -> Verdict:
        request = make_request(
            tests,
            [self.wanted[test] for test in tests],
            self.deadlines,
            files=files,
            swaps=None,
            way="cold",
            stop=stop,
            start=START,
            exact=self.collected,
            env={"PYTHONHASHSEED": "0" if stop else "1"},
            places=self.places if files else (),
            words=sorted({w for original in self.originals.values() for w in original.words}),
        )
        report = self.worker.ask(request)
        if not report.get("clean", False):
            self.worker.restart()
        return judge(report, tests, request["required"], 0.0, every_place=True)

    def blameless(self, verdict: Verdict, tests: Sequence[str]) -> bool:
        """Whether what broke in this order breaks without the candidate, too."""
        if verdict.state is not State.FAIL or set(verdict.outcomes) != set(tests):
            return False
        broken = {test for test in tests if verdict.outcomes[test] != self.wanted[test]}
        before = self.once({}, tests, stop=False).outcomes
        return all(test in before and before[test] != self.wanted[test] for test in broken)


def _original(worker: Worker, path: str) -> Original:
    try:
        return Original(worker.sandbox.read_file(path))
    except FileNotFoundError:
        return Original(b"")
