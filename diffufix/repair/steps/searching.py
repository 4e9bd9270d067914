"""The search of a run: its goals' searches, what it shows and what it logs to learn from.

Reads the project's tests; logs groups in the run's record.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from diffufix import events
from diffufix.engines.types import EngineOnly
from diffufix.errors import ProjectError
from diffufix.events import Listener
from diffufix.propose.candidates import EditTarget, PatchSet
from diffufix.propose.proposals import FailureContext, Proposal
from diffufix.repair import reasons
from diffufix.repair.job import ProposalSupply
from diffufix.repair.jury import Jury
from diffufix.repair.run import Run
from diffufix.repair.screening import compare
from diffufix.repair.search import FailureGroup, PlausiblePatch, Search
from diffufix.source.file import SourceFile
from diffufix.train.rl.rewards import reward_functions
from diffufix.verify import ValidatorPool

LEARNING = 0.05  # of the budget at most, for what is logged to learn from


def search_of(
    run: Run, goal: FailureGroup, assembly: PatchSet, screen: ValidatorPool, jury: Jury | None
) -> Search:
    assert run.diagnosis is not None
    assert run.model is not None
    test_run, settings = run.diagnosis.run, run.settings
    case = next((c for c in test_run.cases if c.id == next(iter(goal.targets), "")), None)
    source = _source_of_tests(settings.root, goal.targets)
    story = FailureContext("", source)
    if case is not None:
        own = _source_of_tests(settings.root, [case.id])
        story = FailureContext(case.id, own, case.report, case.message)
    supply = ProposalSupply(iter(()))
    if not isinstance(run.model, EngineOnly):
        supply = run.job.propose(
            run.model, goal, story, _Watcher(run.listener), lambda: screen.pending >= screen.workers
        )
    if run.engines:
        supply = replace(supply, proposals=_with_engines(run, goal, story, supply.proposals))
    search = Search(
        goal, supply.proposals, test_run, assembly, screen, run.record, run.tally, source,
        settings.candidates, supply.hear, jury,
    )  # fmt: skip
    search.refused = run.record.earlier.failed
    search.leave_out(frozenset(run.diagnosis.flaky))
    return search


def _with_engines(
    run: Run, goal: FailureGroup, story: FailureContext, own: Iterator[Proposal]
) -> Iterator[Proposal]:
    """The local model's proposals and those of the run's engines, from the first one asked for."""
    from diffufix.propose.peers import PeerSupply, committee

    peers = [
        PeerSupply(
            engine, goal.subjects, story, task=run.job.command, seed=run.settings.seed,
            warn=run.later.append,
        )
        for engine in run.engines
    ]  # fmt: skip
    try:
        yield from committee(own, peers, run.clock.deadline)
    finally:
        for peer in peers:
            peer.close()


def _source_of_tests(root: Path, targets: Sequence[str]) -> str:
    texts = []
    for path in sorted({target.split("::")[0] for target in targets}):
        with contextlib.suppress(ProjectError):
            texts.append(SourceFile.read(root / path).text)
    return "\n".join(texts)


def compared(run: Run, screen: ValidatorPool, searches: Sequence[Search]) -> dict[str, str]:
    """What the sandbox says otherwise than the baseline in every order, and is left out there."""
    assert run.diagnosis is not None
    hung = frozenset(run.diagnosis.hung)
    found = compare(
        screen, searches, run.diagnosis.baseline, run.settings.budget, hung, run.clock.deadline,
        frozenset(run.diagnosis.run.shared),
    )  # fmt: skip
    if found.ordered:
        run.warn(
            "the tests depend on their order: candidates are run in the project's own order, which "
            "is slower"
        )
    if found.later:
        passes = "test passes" if len(found.later) == 1 else "tests pass"
        run.warn(
            f"{len(found.later)} {passes} only in the project's own order: left out of screening, "
            f"not of confirmation"
        )
    if found.odd:
        named = ", ".join(f"{test} ({outcome})" for test, outcome in [*found.odd.items()][:3])
        run.warn(
            f"{reasons.number(len(found.odd), 'test')} with another outcome in the sandbox, left "
            f"out of screening: {named}"
        )
    return found.odd


class _Watcher:
    """Shows the hole that is being filled, a few times a second."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._shown = listener, 0.0

    def __call__(self, subject: EditTarget, hole: Any, left: str, canvas: str, right: str) -> None:
        now = time.monotonic()
        if now - self._shown < 0.15:
            return
        self._shown = now
        line = subject.source.count("\n", 0, hole.start) + 1
        text = subject.source[hole.start : hole.end]
        self._listener(events.HoleStarted(subject.suspect, line, str(hole.kind), text))
        self._listener(events.CanvasStep(left, canvas, right))


def progress_of(run: Run, searches: Sequence[Search], jury: Jury | None) -> Callable[[], None]:
    def tell() -> None:
        run.tell_later()
        spent = sum(search.spent for search in searches) or 1e-9
        wanted = run.wanted
        found = [s for search in searches for s in (*search.passed, *search.ranked()[:1])]
        green = len({test for success in found for test in success.green} & {*wanted})
        best = f"{green} of {len(wanted)} failing tests turned green" if green > 0 else ""
        top = max((jury.chance(search) for search in searches), default=0.0) if jury else 0.0
        if top:
            best += f"{', ' if best else ''}a patch {top:.0%} likely right"
        tried, generated = run.tally.tried, run.tally.generated
        run.listener(events.Progress(tried, generated, tried / spent, run.clock.elapsed, best))

    return tell


def learning_seconds(run: Run) -> float:
    """Seconds of the budget for what is logged to learn from."""
    wanted = run.settings.collect and run.job.command == "repair"
    return LEARNING * run.settings.budget if wanted else 0.0


def learn(
    run: Run,
    screen: ValidatorPool,
    searches: Sequence[Search],
    accepted: Sequence[Sequence[PlausiblePatch]],
) -> None:
    """Log groups to learn from in what is left of the budget, a small share of it at most."""
    settings = run.settings
    plain = [search for search in searches if not search.ordered]
    if not learning_seconds(run) or not plain or screen.pending:
        return
    assert run.model is not None
    if isinstance(run.model, EngineOnly):
        return  # what others sampled teaches no model of ours
    from diffufix.repair import collect  # and torch, which a run without a search does without

    spent = sum(search.spent for search in searches)
    try:
        collect.collect(
            screen, run.model, plain, accepted, rewards=reward_functions(settings.rewards),
            keep=run.record.group, each=spent / max(1, run.tally.generated),
            seconds=min(run.clock.left - 1.0, learning_seconds(run)),
            seed=settings.seed, tell=run.stage,
        )  # fmt: skip
    except KeyboardInterrupt:
        return  # what was found is found
    except Exception as error:
        run.warn(f"Nothing more was logged to learn from: {error}")
