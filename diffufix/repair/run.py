"""What the steps of one run share, and what its result is made of: `Run`; the model, loaded in a
thread while the tests still run; and runs of tests on the side, on copies in the scratch folder.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from diffufix import events
from diffufix.config import Settings
from diffufix.events import Listener
from diffufix.project import selection
from diffufix.repair import reasons
from diffufix.repair.job import Job, SearchPlan
from diffufix.repair.reasons import Reason, SearchStats
from diffufix.repair.record import Record
from diffufix.repair.types import RepairResult, Status
from diffufix.source.plain import write_within
from diffufix.types import TestRun
from diffufix.workspace.choice import Runtime
from diffufix.workspace.clock import Clock
from diffufix.workspace.diagnosis import Diagnosis, Suite

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from diffufix.cluster import Cluster
    from diffufix.engines.types import Engine, EngineOnly
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.propose.candidates import Change
    from diffufix.registry.policy import Policy

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
            selected=selection(self.settings.pytest_args),
            threshold=self.settings.threshold,
            accepted=self.settings.accept == "plausible",
            **values,
        )
        if result.selected:
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
    """Loads once, from `start` on. At its end the thread is waited for: an interpreter must not
    end while torch is being imported."""

    def __init__(self, settings: Settings, mends: bool) -> None:
        self._settings, self._mends = settings, mends
        self._pool: ThreadPoolExecutor | None = None
        self._future: Future[LoadedPolicy] | None = None

    def __enter__(self) -> Loading:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def start(self) -> None:
        if self._future is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(1)
            self._future = self._pool.submit(self._load)

    def result(self) -> LoadedPolicy:
        self.start()
        assert self._future is not None
        return self._future.result()

    def _load(self) -> LoadedPolicy:
        from diffufix.engines.types import EngineOnly
        from diffufix.registry.policy import choose_policy

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
