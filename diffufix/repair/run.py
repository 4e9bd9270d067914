"""What the steps of one run share: `Run`, and what is made for them from it.

Scratch copies of the project in sandboxes, screens, confirmers, runs of tests on the side, and the
model loaded in a thread. Touches the scratch folder of the run only.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffufix import events
from diffufix.cluster import Cluster
from diffufix.config import Settings
from diffufix.engines.types import Engine, EngineOnly
from diffufix.events import Listener
from diffufix.propose.candidates import Change
from diffufix.registry.policy import Policy, choose_policy
from diffufix.repair import reasons
from diffufix.repair.job import Job, SearchPlan
from diffufix.repair.jury import Jury, Terms
from diffufix.repair.reasons import Reason, SearchStats
from diffufix.repair.record import Record
from diffufix.repair.types import RepairResult, Status
from diffufix.sandbox import Sandbox
from diffufix.source.plain import write_within
from diffufix.testing import fresh_copy
from diffufix.types import TestRun, Verdict
from diffufix.verify import Confirmer, ValidatorPool
from diffufix.workspace.choice import Runtime
from diffufix.workspace.clock import Clock
from diffufix.workspace.diagnosis import Diagnosis, Suite
from diffufix.workspace.verifiers import (
    environment_of,
    make_confirmer,
    screen_options,
    workers_of,
)

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

PROBE = 2.0  # seconds that a phase of a test may take in a run on the side


@dataclass
class Run:
    """What every step is given, and what the result is made of, as far as it is known."""

    job: Job
    listener: Listener
    scratch: Path
    record: Record
    clock: Clock
    warnings: list[str] = field(default_factory=list)
    tally: SearchStats = field(default_factory=SearchStats)
    diagnosis: Diagnosis | None = None
    plan: SearchPlan = field(default_factory=SearchPlan)
    model: LoadedModel | EngineOnly | None = None
    cluster: Cluster | None = None
    engines: tuple[Engine, ...] = ()
    #: Warnings of other threads, until the loop says them.
    later: deque[str] = field(default_factory=deque)

    @property
    def settings(self) -> Settings:
        return self.job.settings

    @property
    def wanted(self) -> tuple[str, ...]:
        """Failing tests that this run is to turn green."""
        if self.plan.wanted is not None:
            return self.plan.wanted
        return self.diagnosis.red if self.diagnosis else ()

    def stage(self, text: str) -> None:
        self.listener(events.Stage(text))

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.listener(events.Warned(text))

    def tell_later(self) -> None:
        """Say what other threads have warned of, once each."""
        while self.later:
            text = self.later.popleft()
            if text not in self.warnings:
                self.warn(text)

    def result(self, status: Status, changes: Sequence[Change] = (), **values: Any) -> RepairResult:
        self.tell_later()
        model, tests = self.model, self.diagnosis.run.cases if self.diagnosis else ()
        result = RepairResult(
            status,
            tried=self.tally.tried,
            generated=self.tally.generated,
            seconds=self.clock.elapsed,
            tests=len(tests),
            suspects=tuple(self.plan.suspects),
            states={state: n for state, n in self.tally.states.items() if n > 0},
            model=model.name if model else "",
            model_hash=model.fingerprint if model else "",
            engines={each.name: each.spending.document() for each in self.engines},
            warnings=tuple(self.warnings),
            phases={name: round(seconds, 3) for name, seconds in self.clock.phases.items()},
            failing=self.diagnosis.red if self.diagnosis else (),
            flaky=self.diagnosis.flaky if self.diagnosis else (),
            hung=self.diagnosis.hung if self.diagnosis else (),
            deselected=self.diagnosis.run.deselected if self.diagnosis else (),
            selected=self.settings.pytest_args,
            threshold=self.settings.threshold,
            accepted=self.settings.accept == "plausible",
            **values,
        )
        if self.settings.pytest_args:
            result = _of_selection(result)
        return self.job.finish(result, changes)

    def failed(
        self, reason: Reason, status: Status = Status.NOT_REPAIRED, **values: Any
    ) -> RepairResult:
        return self.result(status, message=reason.message, hint=reason.hint, **values)


def _of_selection(result: RepairResult) -> RepairResult:
    said = reasons.of_selection
    offers = tuple(
        replace(offer, refused=said(offer.refused), words=tuple(map(said, offer.words)))
        for offer in result.offers
    )
    return replace(result, message=said(result.message), offers=offers)


class LoadedPolicy(NamedTuple):
    """What a run proposes with; `model` is loaded, `engines` are open."""

    policy: Policy
    model: LoadedModel | EngineOnly
    engines: tuple[Engine, ...]
    seconds: float


class Loading:
    """The model and engines, loaded in a thread from `start` on."""

    def __init__(self, pool: ThreadPoolExecutor, settings: Settings, mends: bool) -> None:
        self._pool, self._settings, self._mends = pool, settings, mends
        self._future: Future[LoadedPolicy] | None = None

    def start(self) -> None:
        if self._future is None:
            self._future = self._pool.submit(self._load)

    def result(self) -> LoadedPolicy:
        self.start()
        assert self._future is not None
        return self._future.result()

    def _load(self) -> LoadedPolicy:
        began, settings = time.monotonic(), self._settings
        policy = choose_policy(settings)
        engines = policy.engage(settings.max_cost, settings.device, settings.dtype)
        model = (
            EngineOnly(policy.name)
            if policy.alone
            else policy.load(
                settings.device, settings.dtype, beside_engines=True, blocks=not self._mends
            )
        )
        return LoadedPolicy(policy, model, engines, time.monotonic() - began)


@contextlib.contextmanager
def loading_of(settings: Settings, mends: bool) -> Iterator[Loading]:
    # At the end it is waited for: an interpreter must not end while torch is being imported.
    with ThreadPoolExecutor(1) as pool:
        yield Loading(pool, settings, mends)


def probe_of(
    run: Run, place: Runtime
) -> Callable[[Mapping[str, bytes], Sequence[str], bool], TestRun]:
    """Runs tests on a copy in which some files are changed."""

    def probe(files: Mapping[str, bytes], ids: Sequence[str], coverage: bool) -> TestRun:
        def lay(tree: Path) -> None:
            run.job.lay(tree)
            for path, content in files.items():
                write_within(tree, path, content)

        with Suite(run.settings, place, run.scratch, lay) as suite:
            return suite.run(
                ids=ids, coverage=coverage, test_timeout=PROBE, timeout=20 * PROBE + 60
            )

    return probe


def tree_of(run: Run, texts: Mapping[str, str] | None = None) -> Path:
    """A scratch copy of the project, as the job wants it, and some files with these texts. Raises
    TooLate where it is not made within the budget."""
    tree = fresh_copy(run.settings.root, run.scratch, run.clock.deadline)
    run.job.lay(tree)
    for path, text in (texts or {}).items():
        write_within(tree, path, run.plan.sources[path].encode(text))
    return tree


def sandbox_of(run: Run, place: Runtime, texts: Mapping[str, str] | None = None) -> Sandbox:
    """One with such a copy in it."""
    return place.make(tree_of(run, texts))


def screen_of(run: Run, place: Runtime) -> ValidatorPool:
    """On the run's cluster, if there is one; confirmation is always made on this machine."""
    diagnosis, settings = run.diagnosis, run.settings
    assert diagnosis is not None
    options = screen_options(settings, place, diagnosis)
    if run.cluster is not None:
        tree = tree_of(run)
        return run.cluster.screen(tree, place.make, workers=settings.workers, **options)
    make = partial(sandbox_of, run, place)
    return ValidatorPool(make, workers=workers_of(settings), **options)


def jury_of(run: Run, place: Runtime) -> Jury | None:
    """For repairs; what is generated is judged by its own examples."""
    diagnosis, settings = run.diagnosis, run.settings
    assert diagnosis is not None
    if run.job.command != "repair":
        return None

    def note(candidate_id: int, verdict: Verdict) -> None:
        run.tally.judge(verdict)
        run.record.verdict(candidate_id, verdict, "trust")

    return Jury(
        Terms(settings.threshold, settings.accept, settings.all, settings.expect),
        lambda: sandbox_of(run, place), diagnosis.run, diagnosis.seconds, python=place.python,
        args=settings.pytest_args, root=settings.root, folder=settings.folder,
        env=environment_of(diagnosis), seed=settings.seed, until=run.clock.deadline,
        note=note,
    )  # fmt: skip


def confirmer_of(run: Run, place: Runtime, beside: Mapping[str, str]) -> Confirmer:
    diagnosis, settings = run.diagnosis, run.settings
    assert diagnosis is not None
    factory = partial(sandbox_of, run, place, beside)
    return make_confirmer(settings, place, diagnosis, factory)
