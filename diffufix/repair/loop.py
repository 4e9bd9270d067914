"""From tests that fail to a confirmed patch. The main loop: `_steps`, to be read top to bottom.

1. baseline   run the suite twice on a scratch copy: outcomes, coverage, what is flaky
2. plan       groups of failing tests, and the functions that may be to blame
3. model      was loading since something failed
4. search     per group: holes, fills, candidates, verdicts; the groups in turns
5. confirm    the best changes together, cold, over the whole suite, several times
6. learn      with time that is left: complete groups of candidates for the log
7. result     what was found and what may be said of the tests, or the reason why nothing was

Where repairing and generating differ, the `Job` says how (job.py). The project is only read;
scratch copies and sandboxes are removed whatever happens.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix import events
from diffufix.cluster import cluster_of
from diffufix.config import Settings
from diffufix.engines.types import EngineOnly
from diffufix.errors import DiffufixError, ProjectError, TooLate
from diffufix.events import Listener
from diffufix.propose.candidates import Change, EditTarget, PatchSet
from diffufix.repair import reasons
from diffufix.repair.apply import refused
from diffufix.repair.confirmation import Chosen, Confirmation
from diffufix.repair.job import Job, ProposalSupply, RepairJob
from diffufix.repair.jury import Jury
from diffufix.repair.offers import Offered, Offers, unconfirmed
from diffufix.repair.reasons import Reason
from diffufix.repair.record import Record
from diffufix.repair.round_robin import RoundRobin
from diffufix.repair.run import (
    Run,
    confirmer_of,
    jury_of,
    loading_of,
    probe_of,
    screen_of,
)
from diffufix.repair.screening import compare
from diffufix.repair.search import FailureGroup, PlausiblePatch, Search
from diffufix.repair.types import RepairResult, Status
from diffufix.sandbox.reap import reap_folders, scratch_prefix
from diffufix.source.file import SourceFile
from diffufix.source.patch import make_patch
from diffufix.train.rl.rewards import reward_functions
from diffufix.types import PASSED
from diffufix.verify import ValidatorPool
from diffufix.workspace.choice import choose
from diffufix.workspace.clock import SETTLE, Clock, confirmation_seconds
from diffufix.workspace.diagnosis import diagnose

if TYPE_CHECKING:
    from diffufix.propose.proposals import FailureContext, Proposal

ENOUGH = 3.0  # seconds of search below which none is begun
LEARNING = 0.05  # of the budget at most, for what is logged to learn from


def repair(settings: Settings, listener: Listener, began: float | None = None) -> RepairResult:
    """Search for a patch that turns failing tests green and breaks none.

    `began` is when the user began to wait (monotonic seconds; None: now). Raises ProjectError (no
    tests, tests that cannot be run), PrerequisiteError, CheckpointError, UsageError. Ctrl-C gives
    a result with status `interrupted`, and with the best patch that could be confirmed.
    """
    return run_job(RepairJob(settings), listener, began)


def run_job(job: Job, listener: Listener, began: float | None = None) -> RepairResult:
    """The loop, for any job; raises what `repair` raises."""
    settings = job.settings
    clock = Clock(settings.budget) if began is None else Clock(settings.budget, began)
    reap_folders()  # of runs that were killed
    with (
        tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch,
        Record.open(settings.root, settings, job.command) as record,
    ):
        run = Run(job, listener, Path(scratch), record, clock)
        if record.warning:
            run.warn(record.warning)
        try:
            result = _steps(run)
        except KeyboardInterrupt:
            result = run.failed(reasons.interrupted(0), Status.INTERRUPTED)
        except DiffufixError as error:
            record.finish("error", {"message": error.message, "hint": error.hint})
            raise
        result = replace(result, run_id=record.number)
        record.finish(str(result.status), result.document())
        listener(events.Finished())
        return result


def _steps(run: Run) -> RepairResult:
    job, settings, clock = run.job, run.settings, run.clock
    reward_functions(settings.rewards)  # a wrong name is said before the search, not after it
    place = choose(settings, run.stage)
    run.listener(events.Placed(place.kind, place.python, place.enclosed or place.kind != "local"))
    if place.note:
        run.warn(place.note)
    if run.record.earlier.failed:
        known, from_run = run.record.earlier.failed, run.record.earlier.runs[-1]
        run.stage(
            f"going on from run {from_run}, which was interrupted: {len(known):,} candidates are "
            "known to fail (--fresh starts over)"
        )
    if settings.model_note:
        run.warn(settings.model_note)

    with loading_of(settings, run.job.mends) as loading:
        # 1. baseline
        try:
            diagnosis = run.diagnosis = diagnose(
                settings, place, run.scratch, run.listener, run.warn, on_red=loading.start,
                lay=job.lay, clock=clock,
            )  # fmt: skip
        except TooLate as error:
            return run.failed(reasons.suite_too_long(clock.phases, settings.budget, str(error)))

        run.record.failures(diagnosis.run.red)
        place = place.with_home(diagnosis.surroundings.files)

        # 2. plan
        plan = run.plan = job.plan(diagnosis, probe_of(run, place))
        if not plan.goals:
            return run.result(plan.status, message=plan.message, hint=plan.hint)
        if warning := refused(settings, [*plan.sources]):
            run.warn(warning)
        run.listener(events.Localized(tuple(plan.suspects), plan.title))
        run.record.suspects(plan.suspects, plan.texts)
        least, usual = confirmation_seconds(
            diagnosis.suite_seconds, diagnosis.run.start_seconds, settings.budget,
            clock.phases.get("copying the project", 0.0),
        )  # fmt: skip
        needed = 1.2 * (clock.elapsed + least) + max(30.0, 2 * diagnosis.suite_seconds)
        too_late = reasons.out_of_time(clock.phases, settings.budget, needed)
        if clock.left - least < ENOUGH:
            return run.failed(too_late)

        # 3. model
        run.stage("loading the model")
        with clock.phase("loading the model"):
            policy, model, run.engines, seconds = loading.result()
        clock.excused += clock.phases["loading the model"]  # the budget is the search's
    run.model = model
    run.record.model(model)
    parameters = sum(p.numel() for p in model.parameters())
    run.listener(events.ModelLoaded(model.name, parameters, seconds, policy.note))
    for engine in run.engines:
        if engine.note:
            run.warn(f"{engine.name}: {engine.note}")

    # 4. search
    from diffufix.decode.threads import threads_kept

    assembly, status = PatchSet(plan.texts), Status.NOT_REPAIRED
    odd: dict[str, str] = {}
    with threads_kept(), contextlib.ExitStack() as stack:
        for engine in run.engines:
            stack.callback(engine.close)
        if settings.on:
            run.stage("joining the cluster")
            with clock.phase("joining the cluster"):
                run.cluster = stack.enter_context(cluster_of(settings.on, settings.workers))
            clock.excused += clock.phases["joining the cluster"]
        run.stage("starting the sandboxes")
        try:
            with clock.phase("starting the sandboxes"):
                screen = stack.enter_context(screen_of(run, place))
        except TooLate:
            return run.failed(too_late)
        jury = jury_of(run, place)
        if jury is not None:
            stack.callback(jury.close)
        searches = [_search(run, goal, assembly, screen, jury) for goal in plan.goals]
        tell = _progress(run, searches, jury)
        turns = RoundRobin(searches, screen, assembly, run.listener, tell, job.turn)
        try:
            with clock.phase("comparing sandbox and baseline"):
                odd = _compare(run, screen, searches)
            turns.drop([search for search in searches if odd and not search.goal.targets])
            with clock.phase("searching"):
                look = jury.look(settings.budget) if jury else 0.0
                late = clock.deadline - look - min(usual, max(least, 0.5 * clock.left))
                if jury is not None:
                    jury.patience = clock.deadline - least
                turns.run(late, clock.deadline - SETTLE - _learning(run))
        except TooLate:
            return run.failed(too_late)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            run.stage("interrupted: confirming what was found (Ctrl-C again ends at once)")
            if jury is not None:
                jury.stop()
        turns.finish()

        # 5. confirm
        confirmation = Confirmation(
            plan.texts, lambda beside: confirmer_of(run, place, beside), run.record, run.listener,
            clock.deadline, job.complete, job.check, shortest=0.5 * diagnosis.suite_seconds,
        )  # fmt: skip
        stack.callback(confirmation.close)
        accepted = job.sift(turns.accepted)
        offers = None
        if jury is not None:
            offers = Offers(
                jury, searches, plan.sources, job.complete, refuted=confirmation.refuted
            )
        wants_likely = settings.accept != "plausible" and status is not Status.INTERRUPTED
        best = [ranked[0].change for ranked in accepted]
        likely = offers.likely(accepted, best, settings.threshold) if offers else []
        confirmation.brief = wants_likely and 0 < len(likely) < len(best)
        try:
            with clock.phase("confirming"):
                confirmation.choose(accepted)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        chosen = confirmation.chosen
        offered = Offered()
        if offers is not None and chosen.changes:
            whole = chosen.changes
            if settings.all and status is not Status.INTERRUPTED:
                offers = replace(offers, check=confirmation.also)
            if wants_likely and status is not Status.INTERRUPTED:
                likely = offers.likely(accepted, whole, settings.threshold)
                if len(likely) < len(whole):
                    confirmation.narrow(likely)
            offered = offers.around(accepted, chosen.changes, whole)

        # 6. learn
        if status is not Status.INTERRUPTED:
            with clock.phase("logging to learn from"):
                _learn(run, screen, searches, accepted)

    # 7. result
    more = settings.budget + math.ceil(usual)
    if chosen.changes:
        return _repaired(run, chosen, searches, status, offered, more)
    found = unconfirmed(accepted, plan.sources, job.complete, run.wanted, confirmation.refuted)
    if status is Status.INTERRUPTED:
        return run.failed(reasons.interrupted(len(found)), status, offers=found)
    if odd and not any(search.goal.targets or search.passed for search in searches):
        of_targets = {test: outcome for test, outcome in odd.items() if test in run.wanted}
        return run.failed(reasons.none_reproduced(of_targets))
    if chosen.last is None and chosen.out_of_time:
        return run.failed(reasons.late(settings.budget, more), offers=found)
    if chosen.last is not None:
        return run.failed(reasons.unconfirmed(chosen.attempts, chosen.last, chosen.out_of_time))
    ended = reasons.TIME
    if 0 < settings.candidates <= run.tally.tried:
        ended = reasons.CANDIDATES
    elif all(search.exhausted for search in searches):
        ended = reasons.MODEL
    elif not run.tally.generated:
        return run.failed(reasons.out_of_time(clock.phases, settings.budget, needed))
    return run.failed(reasons.explain(run.tally, clock.phases.get("searching", 0.0), ended))


# -- what the steps use ------------------------------------------------------------------------


def _search(
    run: Run, goal: FailureGroup, assembly: PatchSet, screen: ValidatorPool, jury: Jury | None
) -> Search:
    from diffufix.propose.proposals import FailureContext

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


def _compare(run: Run, screen: ValidatorPool, searches: Sequence[Search]) -> dict[str, str]:
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


def _progress(run: Run, searches: Sequence[Search], jury: Jury | None) -> Callable[[], None]:
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


def _learning(run: Run) -> float:
    """Seconds of the budget for what is logged to learn from."""
    wanted = run.settings.collect and run.job.command == "repair"
    return LEARNING * run.settings.budget if wanted else 0.0


def _learn(
    run: Run,
    screen: ValidatorPool,
    searches: Sequence[Search],
    accepted: Sequence[Sequence[PlausiblePatch]],
) -> None:
    """Log groups to learn from in what is left of the budget, a small share of it at most."""
    settings = run.settings
    plain = [search for search in searches if not search.ordered]
    if not _learning(run) or not plain or screen.pending:
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
            seconds=min(run.clock.left - 1.0, _learning(run)),
            seed=settings.seed, tell=run.stage,
        )  # fmt: skip
    except KeyboardInterrupt:
        return  # what was found is found
    except Exception as error:
        run.warn(f"Nothing more was logged to learn from: {error}")


def _repaired(
    run: Run, chosen: Chosen, searches: Sequence[Search], status: Status, offered: Offered,
    more: float,
) -> RepairResult:  # fmt: skip
    """`more`: seconds of a budget that would have been enough."""
    plan, job, claims = run.plan, run.job, chosen.claims
    files = PatchSet(plan.texts).files(*job.complete(chosen.changes))
    assert files is not None
    wanted = run.wanted
    reason = Reason("")
    if set(wanted) - {*claims.turned_green, *claims.flaky}:
        reason = reasons.in_part(run.record.number, offered.more)
    elif unseen := _unseen(run, chosen):
        reason = reasons.unverified(unseen)
    elif status is not Status.INTERRUPTED:
        if chosen.once:
            reason = reasons.once(run.settings.budget, more)
        elif job.command == "repair" and offered.probability is None:
            reason = reasons.UNWEIGHED
        weak = offered.probability is not None and offered.probability < run.settings.threshold
        status = Status.PLAUSIBLE if weak or reason.message else Status.REPAIRED
    return run.result(
        status,
        chosen.changes,
        patch=make_patch({path: plan.sources[path] for path in files}, files),
        turned_green=claims.turned_green,
        still_red=tuple(test for test in claims.still_failing if test in wanted),
        claims=claims,
        alternatives=_alternatives(run, searches, chosen.changes),
        probability=offered.probability,
        evidence=offered.evidence,
        offers=offered.offers,
        message=reason.message,
        hint=reason.hint,
    )


def _unseen(run: Run, chosen: Chosen) -> tuple[str, ...]:
    """Tests that run the changed functions and pass outside of the sandbox, but not in it."""
    assert run.diagnosis is not None
    lines: dict[str, set[int]] = {}
    for change in chosen.changes:
        line = run.plan.texts[change.path].count("\n", 0, change.start) + 1
        for suspect in run.plan.suspects:
            if suspect.path == change.path and suspect.first_line <= line <= suspect.last_line:
                inside = range(suspect.first_line, suspect.last_line + 1)
                lines.setdefault(change.path, set()).update(inside)
    baseline, coverage = run.diagnosis.baseline, run.diagnosis.run.coverage
    return tuple(
        test for test in chosen.claims.differs
        if baseline[test] == PASSED
        and any(lines.get(path, set()) & seen for path, seen in coverage.get(test, {}).items())
    )  # fmt: skip


def _alternatives(
    run: Run, searches: Sequence[Search], changes: Sequence[Change]
) -> tuple[str, ...]:
    """Diffs of the other changes that passed the screening, best first."""
    others = sorted(
        (s for search in searches for s in search.passed if s.change not in changes),
        key=lambda success: success.rank_cost,
    )
    found = []
    for success in others:
        files = PatchSet(run.plan.texts).files(*run.job.complete([success.change]))
        assert files is not None
        found.append(make_patch({path: run.plan.sources[path] for path in files}, files).diff)
    return tuple(found)
