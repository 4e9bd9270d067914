"""The project's own tests, in the sandbox and, where the user trusts them, outside of it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from diffufix.config import Settings
from diffufix.doctor.check import Health, HealthCheck
from diffufix.sandbox.reap import scratch_prefix
from diffufix.types import TestRun
from diffufix.workspace.choice import Runtime, choose
from diffufix.workspace.diagnosis import Suite

LONG = 20.0  # seconds of a suite from which 60 s of budget leave little to search
LIMIT = 600.0  # seconds after which a run is given up


def inside(settings: Settings) -> tuple[HealthCheck, TestRun | None]:
    """One run of the suite in the sandbox that `repair` would choose."""
    run = _run(settings, choose(settings))
    return _told("suite in the sandbox", run), run


def outside(settings: Settings, before: TestRun | None) -> HealthCheck:
    """The same without a boundary, and where it comes out otherwise."""
    name = "suite outside"
    if not settings.trust:
        return HealthCheck(
            name, Health.SKIPPED, "not run: it would run the project's code with your rights",
            "`diffufix doctor --trust` runs it and compares.",
        )  # fmt: skip
    place = replace(choose(replace(settings, sandbox="local")), enclosed=False)
    run = _run(settings, place)
    check = _told(name, run)
    if before is None:
        return check
    here = {case.id: case.outcome for case in run.cases}
    there = {case.id: case.outcome for case in before.cases}
    differ = sorted(test for test in here if here[test] != there.get(test))
    if not differ:
        return replace(check, found=f"{check.found}; the same as in the sandbox")
    shown = ", ".join(differ[:3])
    return HealthCheck(
        name, Health.WARNING, f"{check.found}; {len(differ):,} come out otherwise in the sandbox: "
        f"{shown}", "Do they need the network, a variable (--pass-env) or a file outside of the "
        "project? Of such tests nothing is said.", data={**check.data, "differ": differ},
    )  # fmt: skip


def _run(settings: Settings, place: Runtime) -> TestRun:
    with (
        tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch,
        Suite(settings, place, Path(scratch), lambda tree: None) as suite,
    ):
        return suite.run(timeout=LIMIT, test_timeout=LIMIT / 5)


def _told(name: str, run: TestRun) -> HealthCheck:
    red = len(run.red)
    found = f"{len(run.cases):,} tests in {run.seconds:.1f} s, {red:,} failing"
    data = {"tests": len(run.cases), "failing": [case.id for case in run.red],
            "seconds": round(run.seconds, 3)}  # fmt: skip
    if run.collection_errors:
        errors = ", ".join(each.id for each in run.collection_errors[:3])
        found += f"; cannot be collected: {errors}"
    if not run.cases:
        return HealthCheck(
            name, Health.ERROR, "pytest finds no tests", "Is this the project's folder?", data=data
        )
    if run.collection_errors:
        return HealthCheck(
            name, Health.WARNING, found, "python -m pytest --collect-only", data=data
        )
    if run.seconds > LONG:
        need = 10 * round((6 * run.seconds + 30) / 10)
        return HealthCheck(
            name, Health.WARNING, found,
            f"Give repairs time: --budget {need}, or name the tests that matter.", data=data,
        )  # fmt: skip
    return HealthCheck(name, Health.OK, found, data=data)
