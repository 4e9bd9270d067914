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
from dataclasses import replace
from pathlib import Path

from diffufix import events
from diffufix.config import Settings
from diffufix.errors import DiffufixError, TooLate
from diffufix.events import Listener
from diffufix.repair import reasons
from diffufix.repair.job import Job, RepairJob
from diffufix.repair.record import Record
from diffufix.repair.run import Loading, Run, probe_of
from diffufix.repair.types import RepairResult, Status
from diffufix.sandbox.reap import reap_folders, scratch_prefix
from diffufix.train.rl.rewards import reward_functions
from diffufix.workspace.choice import choose
from diffufix.workspace.clock import SETTLE, Clock, confirmation_seconds
from diffufix.workspace.diagnosis import diagnose

ENOUGH = 3.0  # seconds of search below which none is begun


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

    with Loading(settings, job.mends) as loading:
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

        # Imported once something fails: all of it takes as long as a small suite.
        from diffufix.cluster import cluster_of
        from diffufix.decode.threads import threads_kept
        from diffufix.propose.candidates import PatchSet
        from diffufix.repair.apply import refused
        from diffufix.repair.confirmation import Confirmation
        from diffufix.repair.offers import Offered, Offers, unconfirmed
        from diffufix.repair.round_robin import RoundRobin
        from diffufix.repair.steps import searching
        from diffufix.repair.steps.makers import confirmer_of, jury_of, screen_of
        from diffufix.repair.steps.outcome import repaired

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
        searches = [searching.search_of(run, goal, assembly, screen, jury) for goal in plan.goals]
        tell = searching.progress_of(run, searches, jury)
        turns = RoundRobin(searches, screen, assembly, run.listener, tell, job.turn)
        try:
            with clock.phase("comparing sandbox and baseline"):
                odd = searching.compared(run, screen, searches)
            turns.drop([search for search in searches if odd and not search.goal.targets])
            with clock.phase("searching"):
                look = jury.look(settings.budget) if jury else 0.0
                late = clock.deadline - look - min(usual, max(least, 0.5 * clock.left))
                if jury is not None:
                    jury.patience = clock.deadline - least
                turns.run(late, clock.deadline - SETTLE - searching.learning_seconds(run))
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
                searching.learn(run, screen, searches, accepted)

    # 7. result
    more = settings.budget + math.ceil(usual)
    if chosen.changes:
        return repaired(run, chosen, searches, status, offered, more)
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
