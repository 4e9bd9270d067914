"""What a run with a confirmed change says: `repaired`. Touches nothing."""

from __future__ import annotations

from collections.abc import Sequence

from diffufix.propose.candidates import Change, PatchSet
from diffufix.repair import reasons
from diffufix.repair.confirmation import Chosen
from diffufix.repair.offers import Offered
from diffufix.repair.reasons import Reason
from diffufix.repair.run import Run
from diffufix.repair.search import Search
from diffufix.repair.types import RepairResult, Status
from diffufix.source.patch import make_patch
from diffufix.types import PASSED


def repaired(
    run: Run, chosen: Chosen, searches: Sequence[Search], status: Status, offered: Offered,
    more: float,
) -> RepairResult:  # fmt: skip
    """`more`: seconds of a budget that would have been enough."""
    plan, job, claims = run.plan, run.job, chosen.claims
    files = PatchSet(plan.texts).files(*job.complete(chosen.changes))
    assert files is not None
    wanted = run.wanted
    reason = Reason("")
    if left := {*wanted} - {*claims.turned_green, *claims.flaky}:
        searched = {test for goal in plan.goals for test in goal.targets}
        reason = reasons.in_part(run.record.number, offered.more, bool(left & searched))
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
