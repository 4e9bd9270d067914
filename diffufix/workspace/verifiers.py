"""The two verifiers of a project, made from what its diagnosis says: the screen of warm fork
servers, and the confirmation by the whole suite. Starts nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from diffufix.config import Settings
from diffufix.sandbox import Sandbox
from diffufix.testing import fresh_copy
from diffufix.testing.environment import inherited_environment
from diffufix.verify import Confirmer, ValidatorPool
from diffufix.workspace.choice import Runtime
from diffufix.workspace.diagnosis import Diagnosis


def workers_of(settings: Settings) -> int:
    """Candidates that are tested at the same time."""
    return settings.workers or os.cpu_count() or 1


def make_screen(
    settings: Settings,
    place: Runtime,
    diagnosis: Diagnosis,
    scratch: Path,
    limits: Mapping[str, int] | None = None,
) -> ValidatorPool:
    """Workers on copies in `scratch`; `limits` are of each candidate (`verify/worker.py`)."""
    return ValidatorPool(
        _factory(settings, place, scratch), python=place.python, args=settings.pytest_args,
        root=settings.root, expected=diagnosis.baseline, failing=diagnosis.red,
        seconds=diagnosis.seconds, workers=workers_of(settings),
        protected=diagnosis.tests, wanted=diagnosis.wanted, folder=settings.folder,
        env=_environment(diagnosis), limits=limits,
    )  # fmt: skip


def make_confirmer(
    settings: Settings, place: Runtime, diagnosis: Diagnosis, scratch: Path
) -> Confirmer:
    """Cold runs of the whole suite on copies in `scratch`."""
    return Confirmer(
        _factory(settings, place, scratch), python=place.python, args=settings.pytest_args,
        root=settings.root, baseline=diagnosis.baseline, seconds=diagnosis.seconds,
        flaky=diagnosis.flaky, hung=diagnosis.hung, uncollected=diagnosis.uncollected,
        shared=diagnosis.run.shared, wanted=diagnosis.wanted, protected=diagnosis.tests,
        start_seconds=diagnosis.run.start_seconds, folder=settings.folder,
        env=_environment(diagnosis),
    )  # fmt: skip


def _factory(settings: Settings, place: Runtime, scratch: Path) -> Callable[[], Sandbox]:
    return lambda: place.make(fresh_copy(settings.root, scratch))


def _environment(diagnosis: Diagnosis) -> dict[str, str]:
    return {**inherited_environment(), **diagnosis.surroundings.variables}
