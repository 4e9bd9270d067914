"""What may be said of the tests once a candidate is confirmed; touches nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from diffufix.types import FAILED, PASSED, RED, SKIPPED, XFAILED, XPASSED, Claims
from diffufix.verify.trials import Trial

#: What an outcome of the unedited project may become.
ALLOWED = {
    PASSED: PASSED,
    SKIPPED: f"{SKIPPED}|{PASSED}",
    XFAILED: f"{XFAILED}|{XPASSED}|{PASSED}",  # by a hook, where a test before it had failed
    XPASSED: f"{XPASSED}|{PASSED}",
}


def claims(
    trials: Sequence[Trial],
    targets: Collection[str],
    baseline: Mapping[str, str],
    base: Mapping[str, str],
    unstable: Collection[str],
    left_out: Collection[str],
    dropped: Mapping[str, str],
    uncollected: Sequence[str] = (),
    leaning: Mapping[str, str] | None = None,
) -> Claims:
    """`trials` are the runs with the candidate; `baseline` is what the unedited project said
    outside of the sandbox, `base` inside. `dropped`: order -> a test that does not hold in it;
    `leaning`: order -> a target that needs the tests before it; `uncollected`: files whose tests
    are not known."""
    seen = [trial.outcomes for trial in trials]
    lists: dict[str, list[str]] = {}
    for test, outside in baseline.items():
        inside = base.get(test, "")
        after = {outcomes.get(test, "") for outcomes in seen}
        if test in unstable:
            found = "flaky"
        elif test in targets and (inside in RED or (outside in RED and not inside)):
            found = "turned_green"  # without the edit it fails, or does not even end
        elif test in left_out:
            found = "not_run"
        elif (inside in RED) != (outside in RED):
            found = "differs"
        elif inside in RED:
            found = "turned_green" if after == {PASSED} else "still_failing"
        elif inside == PASSED:
            found = "kept"
        elif after == {inside}:
            found = "skipped"
        else:
            found = "no_longer_skipped" if after <= {PASSED, XPASSED} else "flaky"
        lists.setdefault(found, []).append(test)
    return Claims(
        runs=tuple(str(trial.way) for trial in trials),
        dropped=dict(dropped),
        leaning=dict(leaning or {}),
        uncollected=tuple(uncollected),
        **{name: tuple(tests) for name, tests in lists.items()},
    )


def kind(outcome: str) -> str:
    """Every way to fail is one."""
    return FAILED if outcome in RED else outcome
