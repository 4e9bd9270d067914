"""`ValidatorPool`: run many candidates against the project's tests, fast, on warm fork servers.

Touches sandboxes made by the given factory; the project itself is only read through them. One
thread per worker does the talking, the caller's thread submits and polls.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from diffufix.errors import DiffufixError, ProjectError, SandboxUnavailable, TooLate
from diffufix.sandbox import Sandbox
from diffufix.types import RED, Candidate, State, Verdict, file_of_test
from diffufix.verify.deadlines import Deadlines, Patience
from diffufix.verify.inside.frames import ANY
from diffufix.verify.judge import Usual, judge
from diffufix.verify.route import Original, Place, Swap
from diffufix.verify.static import forbidden, identifiers, suspicion
from diffufix.verify.trials import Trial, Way
from diffufix.verify.worker import Setup, Worker, make_request

DEPTH = 4  # candidates queued per worker
HURRIED = 1.0  # seconds of patience below which a time-out says little
OWN_ORDER = Way()
TRIES = 3  # workers that are lost with a candidate before it is given up, as INFRA
AGAIN = 5.0  # seconds before a lost worker is looked for again
START = 0.5  # seconds to put a candidate's code in place


@dataclass(frozen=True)
class Queued:
    """A candidate that waits, or is under way; the options are those of `submit`."""

    token: int
    candidate: Candidate
    tests: tuple[str, ...]
    way: str | None = None
    stop: bool = True
    patient: bool = False
    free: frozenset[str] = frozenset()
    hasty: bool = False
    least: int = 1
    losses: int = 0  # of the workers that it was with


class ValidatorPool:
    """Verdicts on candidates, in the order in which they become known.

    `factory` makes a sandbox with its own scratch copy of the project (one per worker, not
    started); `root` is where that copy was taken from (paths in `args` below it are led into the
    copy); pytest is started in `folder` of it. `expected` maps every test id of the baseline to
    its outcome, `seconds` to its duration; `failing` are the ids that must turn green;
    `protected` are files that may not be edited (None: those that hold the tests, and all that is
    named like tests); `wanted` are outcomes that mend a failing test other than by passing. `hire`
    makes a worker of the factory and its setup; one that is lost with its place hands its candidate
    to the others and comes back when it can. `source` is where the project can be read, where that
    is not `root`: on another machine. Used by one thread.

        with ValidatorPool(factory, python=..., args=[...], root=..., expected=..., seconds=...,
                    failing=[...]) as screen:
            token = screen.submit(candidate, tests)
            for token, verdict in screen.results(timeout=0.1): ...

    Entering raises ProjectError when pytest collects no such failing test in the sandbox,
    PrerequisiteError, and SandboxUnavailable where no worker can be had.
    """

    def __init__(
        self,
        factory: Callable[[], Sandbox],
        *,
        python: str | Path,
        args: Sequence[str],
        root: Path,
        expected: Mapping[str, str],
        failing: Sequence[str],
        seconds: Mapping[str, float] | None = None,
        workers: int = 2,
        env: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        folder: str = "",
        deadlines: Deadlines | None = None,
        depth: int = DEPTH,
        protected: Container[str] | None = None,
        wanted: Mapping[str, str] | None = None,
        hire: Callable[[Callable[[], Sandbox], Setup], Worker] = Worker,
        source: Path | None = None,
    ) -> None:
        setup = Setup.of(python, args, root, env, limits, list(expected), folder, source)
        self._workers = [hire(factory, setup) for _ in range(max(1, workers))]
        self._lost: set[object] = set()  # workers
        self._source = source or setup.root
        self._failing = frozenset(failing)
        self._expected = dict(expected)
        self._protected, self._wanted = protected, wanted or {}
        self._holding = frozenset(map(file_of_test, (*expected, *failing)))
        self._patience = Patience()
        self._deadlines = deadlines or Deadlines(seconds or {}, self._failing)
        self._jobs: queue.SimpleQueue[Queued | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[int, Verdict]] = queue.SimpleQueue()
        self._originals: dict[str, Original | None] = {}
        self._threads: list[threading.Thread] = []
        self.workers = max(1, workers)
        self._bound = self.workers * depth
        self._pending = 0
        self._tokens = 0
        self._closing = threading.Event()
        self._usual = Usual()
        self.ways: Counter[str] = Counter()
        self.collected: frozenset[str] = frozenset()
        self.said: dict[str, str] = {}  # by the tests of the last `check`
        self._forgiving = False  # hooks of the project let some failures pass

    # -- the caller's side -----------------------------------------------------------------

    def __enter__(self) -> Self:
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for worker in self._workers:
            thread = threading.Thread(target=self._work, args=(worker, started), daemon=True)
            thread.start()
            self._threads.append(thread)
        try:
            problems = [started.get() for _ in self._threads]
            for problem in filter(None, problems):
                if None not in problems or not isinstance(problem, SandboxUnavailable):
                    raise problem
            here = next(worker for worker in self._workers if worker not in self._lost)
            self.collected = here.collected
            missing = sorted(self._failing - self.collected)
            if missing:
                raise ProjectError(
                    f"{missing[0]} is not collected in the sandbox",
                    "does the test need files outside the project?",
                )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def capacity(self) -> int:
        """How many more candidates may be submitted now."""
        return max(0, self._bound - self._pending)

    @property
    def patient(self) -> bool:
        """Whether there is time to try one again that timed out when there was little."""
        return self._patience.left >= 2 * HURRIED

    @property
    def pending(self) -> int:
        """Candidates submitted whose verdicts have not been taken."""
        return self._pending

    def submit(
        self,
        candidate: Candidate,
        tests: Sequence[str],
        *,
        way: str | None = None,
        stop: bool = True,
        patient: bool = False,
        free: Collection[str] = (),
        hasty: bool = False,
        least: int = 1,
    ) -> int:
        """Queue a candidate; never blocks. `tests` are run in order, the first `least` of them in
        any case, then until one is red, or without `stop` as far as the candidate lets them. Those
        of `free` are only run because others come after them: they may end as they like.

        `way` ("swap", "fork", "cold") forces how; by default the cheapest faithful one is taken.
        `patient` gives failing tests as long as any candidate gets: for one that timed out when
        there was little time to give (`Verdict.hurried`). `hasty` exchanges the body of a function
        that was called before the tests, too, which takes a tenth of the time, and does not look
        whether the edit is executed: who passes is run again faithfully, who fails after such an
        exchange has a `provisional` verdict.
        Raises: queue.Full when `capacity` is 0, ValueError for tests without a known outcome.
        """
        if self.capacity == 0:
            raise queue.Full
        if not tests or any(t not in self._expected and t not in self._failing for t in tests):
            raise ValueError("tests must be among the expected ids")
        self._tokens += 1
        self._pending += 1
        job = Queued(
            self._tokens, candidate, tuple(tests), way, stop, patient, frozenset(free), hasty,
            least,
        )  # fmt: skip
        reason = next(filter(None, map(self._forbidden, candidate.files)), "")
        if reason:
            self._done.put((job.token, Verdict(State.SUSPICIOUS, detail=reason)))
        else:
            self._jobs.put(job)
        return self._tokens

    def _forbidden(self, path: str) -> str:
        if self._protected is None and path in self._holding:
            return f"{path} holds tests"
        return forbidden(path, self._protected)

    def results(self, timeout: float | None = 0.0) -> Iterator[tuple[int, Verdict]]:
        """What is known by now; waits up to `timeout` seconds (None: as long as it takes) for the
        first one while something is pending."""
        while self._pending:
            try:
                token, verdict = self._done.get(timeout != 0.0, timeout)
            except queue.Empty:
                return
            self._pending -= 1
            timeout = 0.0
            yield token, verdict

    def check(self, tests: Sequence[str], until: float | None = None) -> Verdict:
        """All of `tests` on the project as it is, none left out: their outcomes in the sandbox.

        Call it while nothing is pending. Raises TooLate where they are not known at the moment
        `until` (monotonic seconds); then the pool is of no further use.
        """
        job = Queued(0, Candidate({}), tuple(tests), stop=False)
        self._jobs.put(job)
        try:
            return self._done.get(timeout=until and max(0.0, until - time.monotonic()))[1]
        except queue.Empty:
            raise TooLate from None

    def close(self) -> None:
        """End the servers at once and remove their sandboxes; idempotent."""
        self._closing.set()
        for _ in self._threads:
            self._jobs.put(None)
        for worker in self._workers:
            worker.interrupt()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        for worker in self._workers:
            worker.close()

    @cached_property
    def _known(self) -> frozenset[str]:
        return identifiers(self._source)

    # -- a worker's thread -----------------------------------------------------------------

    def _work(self, worker: Worker, started: queue.SimpleQueue[BaseException | None]) -> None:
        problem: BaseException | None = None
        try:
            worker.start()
        except BaseException as error:
            self._lost.add(worker)
            problem = error
        started.put(problem)
        if problem is None or isinstance(problem, SandboxUnavailable):
            self._serve(worker)

    def _serve(self, worker: Worker) -> None:
        while (job := self._next(worker)) is not None and not self._closing.is_set():
            try:
                verdict = self._verdict(worker, job)
            except Exception as error:
                verdict = Verdict(State.INFRA, detail=f"{type(error).__name__}: {error}")
            if verdict is None:
                self._jobs.put(replace(job, losses=job.losses + 1))
            else:
                self._done.put((job.token, verdict))

    def _next(self, worker: Worker) -> Queued | None:
        """The next job, once the worker is there; where all are lost they still answer: INFRA."""
        while worker in self._lost and self._others(worker) and not self._closing.is_set():
            if not self._restart(worker):
                self._closing.wait(AGAIN)
        return self._jobs.get()

    def _others(self, worker: Worker) -> bool:
        return any(other not in self._lost for other in self._workers if other is not worker)

    def _verdict(self, worker: Worker, job: Queued) -> Verdict | None:
        """None: the worker is lost and others can take the job."""
        verdict = self._verdict_once(worker, job)
        if job.hasty and verdict is not None and verdict.state in (State.PASS, State.SUSPICIOUS):
            return self._verdict_once(worker, replace(job, hasty=False))
        return verdict

    def _verdict_once(self, worker: Worker, job: Queued) -> Verdict | None:
        began = time.monotonic()
        problem, ours = "", True  # ours: the place was there, only our server in it was not
        for last in (False, True):
            if self._closing.is_set():
                break
            try:
                request = self._request(worker, job)
                required = request["required"]
                report = self._asked(worker, request, job.patient)
            except (UnicodeEncodeError, SyntaxError) as error:
                return Verdict(State.ERROR, detail=str(error))
            except SandboxUnavailable as error:
                there = worker.sandbox_alive
                problem, ours = error.message, ours and there
                if not there and job.losses + 1 < TRIES and self._others(worker):
                    self._lost.add(worker)
                    return None
                ours = self._restart(worker) and ours
                continue
            self.ways[report.get("way", "")] += 1
            if not report.get("clean", False):
                self._restart(worker)
            if "lost" in report and not last:
                continue
            if not job.candidate.files:
                self._usual.add(report)
                self.said = Trial(OWN_ORDER, job.tests, report, worker.sandbox.tree).messages
                self._forgiving |= "sentinel" in report and report["sentinel"] not in RED
            seconds = time.monotonic() - began
            verdict = judge(report, job.tests, required, seconds, usual=self._usual)
            hurried = not report.get("stuck") and request["patience"][0] < HURRIED
            verdict = replace(
                verdict,
                hurried=hurried and verdict.state is State.TIMEOUT,
                provisional=bool(report.get("hasty")) and verdict.state is not State.ERROR,
            )
            return self._screened(job.candidate, verdict)
        if ours and problem and not self._closing.is_set():
            detail = "the fork server ended twice while it ran"
            return Verdict(State.SUSPICIOUS, seconds=time.monotonic() - began, detail=detail)
        return Verdict(State.INFRA, seconds=time.monotonic() - began, detail=problem)

    def _asked(self, worker: Worker, request: dict[str, Any], patient: bool) -> dict[str, Any]:
        """The report, with as much patience as there is; if `patient`, with much of it."""
        offered = self._patience.offer()
        given = (max(offered[0], self._patience.most), offered[1]) if patient else offered
        request["patience"] = list(given)
        began, used = time.monotonic(), (0.0, 0.0)
        try:
            report = worker.ask(request)
            used = tuple(report.get("over", used))
        finally:
            self._patience.settle(offered, used, time.monotonic() - began)
        return report

    def _restart(self, worker: Worker) -> bool:
        """Whether there is a server again."""
        if self._closing.is_set():
            return False
        try:
            worker.restart()
        except (DiffufixError, TooLate):
            self._lost.add(worker)
            return False
        self._lost.discard(worker)
        return True

    def _screened(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        if verdict.state is State.PASS:
            for path, text in candidate.files.items():
                original = self._originals.get(path)
                reason = suspicion(
                    original.text if original else "", text, path=path, known=self._known
                )
                if reason:
                    return replace(verdict, state=State.SUSPICIOUS, detail=f"{path} {reason}")
        return verdict

    def _original(self, worker: Worker, path: str) -> Original | None:
        if path not in self._originals:
            try:
                self._originals[path] = Original(worker.sandbox.read_file(path))
            except FileNotFoundError:
                self._originals[path] = None
        return self._originals[path]

    def mended(self, test: str, outcome: str) -> bool:
        """Whether this outcome is what a failing test is to come to."""
        return outcome == self._wanted.get(test, "passed")

    def _required(self, test: str) -> str:
        if test in self._failing:
            return self._wanted.get(test, "passed")
        return self._expected[test]

    def _request(self, worker: Worker, job: Queued) -> dict[str, Any]:
        swaps: dict[str, list[Swap]] | None = {}
        files: dict[str, str] = {}
        places: list[Place] = []
        words: set[str] = set()
        for path, text in job.candidate.files.items():
            original = self._original(worker, path)
            known = original or Original(b"")
            files[path] = known.encode(text).decode("latin-1")
            words |= known.words
            if path.endswith(".py"):
                places += known.places(path, text)
            bodies = original.swaps(text) if original else None
            swaps = None if swaps is None or bodies is None else {**swaps, path: bodies}
        required = [ANY if test in job.free else self._required(test) for test in job.tests]
        request = make_request(
            job.tests,
            required,
            self._deadlines,
            files=files,
            swaps=swaps,
            way=job.way,
            stop=job.stop,
            start=START,
            places=places,
            words=sorted(words),
            hasty=job.hasty,
            least=min(job.least, len(job.tests)),
        )
        if self._forgiving:
            request["double"] = next((test for test in job.tests if test in self._failing), "")
        if job.free:  # in the project's own order, where a failure in between may be noticed
            request["sentinel"] = len(job.tests)
        return request
