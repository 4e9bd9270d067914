"""What a run makes for its search: copies in sandboxes, the screen, the jury, the confirmer.

Touches the scratch folder of the run only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from diffufix.repair.jury import Jury, Terms
from diffufix.repair.run import Run
from diffufix.sandbox import Sandbox
from diffufix.source.plain import write_within
from diffufix.testing import fresh_copy
from diffufix.types import Verdict
from diffufix.verify import Confirmer, ValidatorPool
from diffufix.workspace.choice import Runtime
from diffufix.workspace.verifiers import (
    environment_of,
    make_confirmer,
    screen_options,
    workers_of,
)


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
