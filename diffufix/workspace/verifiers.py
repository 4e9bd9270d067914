"""What the verifiers of a project are made of, by what its diagnosis says: the screen of warm fork
servers, and the confirmation by the whole suite. Starts nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from diffufix.config import Settings
from diffufix.sandbox import Sandbox
from diffufix.testing import fresh_copy
from diffufix.testing.environment import inherited_environment
from diffufix.verify import Confirmer
from diffufix.workspace.choice import Runtime
from diffufix.workspace.diagnosis import Diagnosis


def workers_of(settings: Settings) -> int:
    """Candidates that are tested at the same time."""
    return settings.workers or os.cpu_count() or 1


def environment_of(diagnosis: Diagnosis) -> dict[str, str]:
    """Variables of the user's that tests have in the sandbox, beside its own."""
    return {**inherited_environment(), **diagnosis.surroundings.variables}


def copies(settings: Settings, place: Runtime, scratch: Path) -> Callable[[], Sandbox]:
    """Makes sandboxes, each with a copy of the project in `scratch`."""
    return lambda: place.make(fresh_copy(settings.root, scratch))


def screen_options(settings: Settings, place: Runtime, diagnosis: Diagnosis) -> dict[str, Any]:
    """Those of `ValidatorPool` that the project decides."""
    return {
        "python": place.python, "args": settings.pytest_args, "root": settings.root,
        "expected": diagnosis.baseline, "failing": diagnosis.red, "seconds": diagnosis.seconds,
        "protected": diagnosis.tests, "wanted": diagnosis.wanted, "folder": settings.folder,
        "env": environment_of(diagnosis),
    }  # fmt: skip


def make_confirmer(
    settings: Settings, place: Runtime, diagnosis: Diagnosis, factory: Callable[[], Sandbox]
) -> Confirmer:
    """Cold runs of the whole suite in sandboxes of the `factory`."""
    return Confirmer(
        factory, python=place.python, args=settings.pytest_args, root=settings.root,
        baseline=diagnosis.baseline, seconds=diagnosis.seconds, flaky=diagnosis.flaky,
        hung=diagnosis.hung, uncollected=diagnosis.uncollected, shared=diagnosis.run.shared,
        wanted=diagnosis.wanted, protected=diagnosis.tests,
        start_seconds=diagnosis.run.start_seconds, folder=settings.folder,
        env=environment_of(diagnosis),
    )  # fmt: skip
