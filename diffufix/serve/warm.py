"""`ProjectVerifier`: one project, kept ready to judge candidates.

One thread makes its baseline, starts its fork servers and does the asking; callers get futures.
Reads the project; touches scratch copies and sandboxes, which are removed at the end.
"""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from diffufix.config import Settings
from diffufix.errors import ProjectError, SandboxUnavailable, TooLate, UsageError
from diffufix.sandbox.reap import scratch_prefix
from diffufix.serve.protocol import VerifyAnswer, VerifyRequest
from diffufix.testing.testcode import test_code
from diffufix.types import RED, Candidate, Claims, State, Verdict
from diffufix.verify import Confirmer, ValidatorPool
from diffufix.workspace.choice import Runtime, choose
from diffufix.workspace.clock import Clock
from diffufix.workspace.diagnosis import Diagnosis, diagnose
from diffufix.workspace.verifiers import copies, make_confirmer, screen_options, workers_of

POLL = 0.005  # seconds that a new question waits at most while others are being answered
KEPT_ORDERS = 4096  # selections of tests whose order is known
_CLOSED = "the verifier was closed before it had answered"


@dataclass(frozen=True)
class _Order:
    """Tests in an order in which the unedited project is as its suite says; `free` only run
    because others come after them."""

    tests: tuple[str, ...]
    free: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Submission:
    candidate: Candidate
    order: _Order
    stop: bool = True
    patient: bool = False


_Steps = Generator[_Submission, Verdict, VerifyAnswer]
_Orders = Generator[_Submission, Verdict, _Order]


@dataclass(frozen=True)
class _Ask:
    request: VerifyRequest
    answer: Future[VerifyAnswer]


class ProjectVerifier:
    """Judges candidates for the project in `settings.root`; starts at once.

    `memory` is what a candidate may use (bytes, beyond what its fork server has mapped). What goes
    wrong at the start is the answer to every question (`failed`).
    """

    def __init__(self, settings: Settings, memory: int | None = None) -> None:
        self._settings = settings
        self._limits = None if memory is None else {"memory": memory}
        self._asked: queue.SimpleQueue[_Ask | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._orders: dict[tuple[str, ...], _Order] = {}
        self._closing = False
        self.open = 0  # questions that wait for their answers
        self.used = time.monotonic()
        self.failed: BaseException | None = None
        self.workers = 0  # fork servers that are up
        self._thread = threading.Thread(target=self._work, name="verifier", daemon=True)
        self._thread.start()

    def ask(self, request: VerifyRequest) -> Future[VerifyAnswer]:
        """Never blocks. The future raises what `Verifying.verify` does."""
        answer: Future[VerifyAnswer] = Future()
        with self._lock:
            self.used = time.monotonic()
            if self.failed is not None or self._closing:
                answer.set_exception(self.failed or SandboxUnavailable(_CLOSED))
                return answer
            self.open += 1
            self._asked.put(_Ask(request, answer))
        answer.add_done_callback(lambda _: self._answered())
        return answer

    def _answered(self) -> None:
        with self._lock:
            self.open -= 1

    def close(self, wait: bool = True) -> None:
        """End its sandboxes; questions that are open raise SandboxUnavailable. Idempotent."""
        with self._lock:
            self._closing = True
        self._asked.put(None)
        if wait:
            self._thread.join()

    # -- its thread --------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            with self._ready() as (screen, confirmer, diagnosis):
                self.workers = workers_of(self._settings)
                _Desk(screen, confirmer, diagnosis, self._orders).serve(self._asked)
        except BaseException as error:  # whoever asks has to hear of it, whatever it is
            # Of errors, these are the project's; what this host lacks says nothing of it.
            known = isinstance(error, ProjectError | UsageError | SandboxUnavailable)
            failed = error if known else SandboxUnavailable(f"{type(error).__name__}: {error}")
            with self._lock:
                self.failed = failed
        self.workers = 0
        with self._lock:
            self.failed = self.failed or SandboxUnavailable(_CLOSED)
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._asked.get_nowait()
                if left is not None:
                    left.answer.set_exception(self.failed)

    @contextlib.contextmanager
    def _ready(self) -> Iterator[tuple[ValidatorPool, Confirmer, Diagnosis]]:
        settings = self._settings
        with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
            scratch = Path(folder)
            place = choose(settings)
            diagnosis = self._diagnosed(place, scratch)
            place = place.with_home(diagnosis.surroundings.files)
            factory = copies(settings, place, scratch)
            options = screen_options(settings, place, diagnosis)
            options |= {"workers": workers_of(settings), "limits": self._limits}
            with (
                ValidatorPool(factory, **options) as screen,
                make_confirmer(settings, place, diagnosis, factory) as confirmer,
            ):
                yield screen, confirmer, diagnosis

    def _diagnosed(self, place: Runtime, scratch: Path) -> Diagnosis:
        settings = self._settings
        try:
            found = diagnose(
                settings, place, scratch, lambda event: None, lambda text: None,
                lambda: None, clock=Clock(settings.budget),
            )  # fmt: skip
        except TooLate:
            raise ProjectError(
                f"The tests do not end within {settings.budget:g} s.", "Select fewer of them."
            ) from None
        if found.red:
            return found
        return replace(found, tests=test_code(settings.root, found.run.ids))


class _Desk:
    """Questions in, answers out, while the screen works on several of them."""

    def __init__(
        self,
        screen: ValidatorPool,
        confirmer: Confirmer,
        diagnosis: Diagnosis,
        orders: dict[tuple[str, ...], _Order],
    ) -> None:
        self._screen, self._confirmer, self._diagnosis = screen, confirmer, diagnosis
        self._orders = orders
        self._running: dict[int, tuple[_Steps, _Ask]] = {}
        self._confirming = threading.Lock()
        self._ended = False
        red = [test for test in diagnosis.baseline if test in diagnosis.red]
        left = {*red, *diagnosis.hung, *diagnosis.flaky}
        self._suite = (*red, *(test for test in diagnosis.baseline if test not in left))

    def serve(self, asked: queue.SimpleQueue[_Ask | None]) -> None:
        """Until None is asked; what is open then raises SandboxUnavailable."""
        try:
            while self._take(asked):
                for token, verdict in self._screen.results(POLL):
                    steps, ask = self._running.pop(token)
                    self._advance(ask, steps, verdict)
        finally:
            for _, ask in self._running.values():
                ask.answer.set_exception(SandboxUnavailable(_CLOSED))
            self._confirmer.interrupt()
            with self._confirming:  # what is being confirmed has ended
                self._ended = True

    def _take(self, asked: queue.SimpleQueue[_Ask | None]) -> bool:
        """Begin with what waits, as far as the workers have room; False at the end."""
        while self._screen.capacity:
            try:
                ask = asked.get(block=not self._running)
            except queue.Empty:
                break
            if ask is None:
                return False
            self._advance(ask, self._judged(ask.request))
        return True

    def _advance(self, ask: _Ask, steps: _Steps, said: Verdict | None = None) -> None:
        try:
            wanted = next(steps) if said is None else steps.send(said)
            token = self._screen.submit(
                wanted.candidate, wanted.order.tests, stop=wanted.stop, patient=wanted.patient,
                free=wanted.order.free,
            )  # fmt: skip
        except StopIteration as done:
            self._finish(ask, done.value)
        except Exception as error:
            ask.answer.set_exception(error)
        else:
            self._running[token] = steps, ask

    def _finish(self, ask: _Ask, answer: VerifyAnswer) -> None:
        if not (ask.request.confirm and answer.verdict.passed and answer.failing):
            ask.answer.set_result(answer)
            return

        def confirm() -> None:
            try:
                with self._confirming:
                    if self._ended:
                        raise SandboxUnavailable(_CLOSED)
                    found = self._confirmer.confirm(ask.request.candidate, answer.failing)
                _said(found.verdict)
                ask.answer.set_result(_confirmed(answer, found.verdict, found.claims))
            except BaseException as error:
                ask.answer.set_exception(error)

        threading.Thread(target=confirm, name="confirming", daemon=True).start()

    # -- one question ------------------------------------------------------------------------------

    def _judged(self, request: VerifyRequest) -> _Steps:
        """What is to be run for a question, one after the other; returns the answer."""
        if not request.files:
            raise UsageError("There is no file in this candidate.", "Give its new texts.")
        order = yield from self._order(request.tests)
        verdict = yield _Submission(request.candidate, order, request.stop)
        if verdict.state is State.TIMEOUT and verdict.hurried:
            verdict = yield _Submission(request.candidate, order, request.stop, patient=True)
        asked = [test for test in order.tests if test not in order.free]
        failing = tuple(test for test in asked if test in self._diagnosis.red)
        return VerifyAnswer(_said(verdict), tuple(asked), failing, order.left_out)

    def _order(self, wanted: tuple[str, ...]) -> _Orders:
        """These tests (none: the suite) in an order in which the unedited project is as it is
        known. Found out once. Raises UsageError, ProjectError."""
        if wanted in self._orders:
            return self._orders[wanted]
        baseline = self._diagnosis.baseline
        if strange := [test for test in wanted if test not in baseline]:
            raise UsageError(f"{strange[0]} is no test of this project.", "Name ids of its suite.")
        tests = wanted or self._suite
        order = _Order(tests)
        odd = yield from self._odd(order, tests)
        if odd:
            last = max(list(baseline).index(test) for test in tests)
            ended = {*self._diagnosis.hung} - {*tests}
            whole = tuple(test for test in list(baseline)[: last + 1] if test not in ended)
            order = _Order(whole, frozenset(whole) - {*tests})
            odd = yield from self._odd(order, tests)
        if odd and wanted:
            raise ProjectError(
                f"{odd[0]} comes out otherwise in the sandbox than in the suite, in any order.",
                "Leave it out.",
            )
        if odd:
            left = tuple(test for test in tests if test not in odd)
            order = _Order(left, frozenset(), tuple(odd))
            if not left or (yield from self._odd(order, left)):
                raise ProjectError("The tests come out otherwise in the sandbox in any order.")
        if len(self._orders) >= KEPT_ORDERS:
            self._orders.clear()
        self._orders[wanted] = order
        return order

    def _odd(
        self, order: _Order, tests: Sequence[str]
    ) -> Generator[_Submission, Verdict, list[str]]:
        """Tests of which the unedited project says something else in this order."""
        said = yield _Submission(Candidate({}), order, stop=False)
        seen, baseline = _said(said).outcomes, self._diagnosis.baseline
        return [
            test for test in tests
            if test in seen and (seen[test] in RED) != (baseline[test] in RED)
        ]  # fmt: skip


def _said(verdict: Verdict) -> Verdict:
    """The verdict. Raises SandboxUnavailable for what the infrastructure did."""
    if verdict.state is State.INFRA:
        raise SandboxUnavailable(verdict.detail or "the sandbox failed")
    return verdict


def _confirmed(answer: VerifyAnswer, verdict: Verdict, claims: Claims | None) -> VerifyAnswer:
    seconds = answer.verdict.seconds + verdict.seconds
    said = claims.document() if claims is not None else None
    return replace(answer, verdict=replace(verdict, seconds=seconds), confirmed=True, claims=said)
