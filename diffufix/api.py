"""The Python API: what the commands do, as functions. `diffufix.__all__` has its names.

    import diffufix

    result = diffufix.repair("path/to/project", budget=60)
    if result.status is diffufix.Status.REPAIRED:
        print(result.patch.diff, result.probability)
        diffufix.apply(result.run_id, path="path/to/project")

`path` is the folder in which the command would be given; `tests` are arguments for pytest. Options
(`RunOptions`) are those of the command line; what is not given comes from `DIFFUFIX_*` and
pyproject.toml, as there. `on_event` is called with every `diffufix.Event` and must return quickly.
Nothing is printed, nothing is asked, nothing is downloaded without `yes=True`, and only `apply` and
`undo` write to the project's files. Every failure is a `DiffufixError` with a `message` and a
`hint`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from diffufix.config import Settings, load_settings
from diffufix.errors import UsageError
from diffufix.events import Event, Listener
from diffufix.parts import Localization, Verification
from diffufix.project import find_root
from diffufix.repair.types import RepairResult
from diffufix.store import Store
from diffufix.store.query import RunRow, get_run, list_runs

__all__ = [
    "Localization",
    "RunOptions",
    "Verification",
    "apply",
    "generate",
    "localize",
    "repair",
    "runs",
    "undo",
    "verify",
]

#: Of the settings, those that are for a command that prints, or that have an argument of their own.
NO_OPTIONS = frozenset({"apply", "force", "json", "output_format", "quiet", "verbose"})


class RunOptions(TypedDict, total=False):
    """Keyword options, as in `[tool.diffufix]` (docs/configuration.md)."""

    python: str
    model: str
    adapter: str
    device: str
    dtype: str
    yes: bool
    function: str
    sandbox: str
    image: str
    base_image: str
    dockerfile: str
    pass_env: str
    runtime: str
    budget: float
    candidates: int
    workers: int
    on: str
    seed: int
    collect: bool
    fresh: bool
    rewards: str
    trust: bool
    max_cost: float
    threshold: float
    accept: str
    all: bool
    expect: Sequence[str]


def repair(
    path: str | Path = ".",
    tests: Sequence[str] = (),
    *,
    on_event: Listener | None = None,
    **options: Unpack[RunOptions],
) -> RepairResult:
    """Search for a verified patch that makes failing tests pass; nothing is written.

    Raises ProjectError (no tests, tests that cannot be run), UsageError, PrerequisiteError,
    CheckpointError.
    """
    began = time.monotonic()
    settings = _with_model(_settings(path, tests, options))
    from diffufix.repair import loop  # imports torch

    return loop.repair(settings, on_event or _silent, began)


def localize(
    path: str | Path = ".",
    tests: Sequence[str] = (),
    *,
    on_event: Listener | None = None,
    **options: Unpack[RunOptions],
) -> Localization:
    """Run the tests and rank the functions that may be at fault. No model is used."""
    from diffufix import parts

    return parts.localize(_settings(path, tests, options), on_event or _silent)


def verify(
    change: str | Mapping[str, str],
    path: str | Path = ".",
    tests: Sequence[str] = (),
    *,
    on_event: Listener | None = None,
    **options: Unpack[RunOptions],
) -> Verification:
    """Whether a change that somebody else wrote mends failing tests and breaks none.

    `change` is a unified diff, or whole new texts by path relative to the project's root. The suite
    runs several times with it and without, on copies.
    """
    from diffufix import parts

    return parts.verify(_settings(path, tests, options), change, on_event or _silent)


def generate(
    path: str | Path = ".",
    targets: Sequence[str] = (),
    *,
    every: bool = False,
    allow_unverified: bool = False,
    on_event: Listener | None = None,
    **options: Unpack[RunOptions],
) -> RepairResult:
    """Write bodies of stubs from signature and docstring, as `diffufix generate` does."""
    settings = _with_model(_settings(path, (), options))
    from diffufix.generate.choose import choose
    from diffufix.generate.job import GenerateJob
    from diffufix.repair.loop import run_job

    choice = choose(settings.root, Path(path).resolve(), list(targets), every)
    return run_job(GenerateJob(settings, choice, allow_unverified), on_event or _silent)


def runs(path: str | Path = ".", limit: int = 20, run: int | None = None) -> list[RunRow]:
    """The latest runs in the project's log, newest first, or the one with this number.

    Raises StoreError without a log, UsageError without such a run.
    """
    with Store.open_strictly(find_root(Path(path).resolve()), create=False) as store:
        return list_runs(store, limit) if run is None else [get_run(store, run)]


def apply(
    run: RepairResult | int | None, patch: int = 1, path: str | Path = ".", *, force: bool = False
) -> tuple[str, ...]:
    """Write a patch of a run to the project; returns the paths written. `undo` takes it back.

    Raises ApplyError where a file is not the one that the patch was made for, or has changes that
    are not committed (unless `force`); UsageError where there is no such patch.
    """
    from diffufix.repair.apply import apply as write
    from diffufix.repair.kept import kept_patch

    root = find_root(Path(path).resolve())
    number = run.run_id if isinstance(run, RepairResult) else run
    if number is None:
        raise UsageError("This result is not in the log.", "Give the number of a run.")
    with Store.open_strictly(root, create=False) as store:
        row = get_run(store, number)
    return write(kept_patch(row.summary, root, number, patch).patch, root, number, force)


def undo(path: str | Path = ".", run: int | None = None, *, force: bool = False) -> tuple[str, ...]:
    """Restore what the latest `apply`, or that of a run, replaced; returns the paths restored."""
    from diffufix.repair.apply import undo as restore

    return restore(find_root(Path(path).resolve()), run, force)


def _settings(path: str | Path, tests: Sequence[str], options: Mapping[str, Any]) -> Settings:
    folder = Path(path).resolve()
    if not folder.is_dir():
        raise UsageError(f"{path} is no folder.", "Name the project's folder.")
    if isinstance(tests, str):
        raise UsageError("`tests` must be a list of arguments.", f"Give [{tests!r}].")
    unknown = sorted({*options} - RunOptions.__annotations__.keys())
    if unknown:
        raise UsageError(
            f"There is no option {unknown[0]!r}.",
            f"Known: {', '.join(sorted(RunOptions.__annotations__))}.",
        )
    given = dict(options)
    if "expect" in given:
        given["expect"] = tuple(given["expect"])
    settings = load_settings(folder, tuple(tests), given)
    return replace(settings, apply=False, json=False, quiet=False, verbose=False)


def _with_model(settings: Settings) -> Settings:
    """The same with the model that suits the machine, as far as it is here or may be fetched."""
    if settings.model or settings.device == "cpu":
        return settings
    from diffufix.model import hub
    from diffufix.model.remembered import answered

    choice = hub.decide(settings.device, lambda offer: settings.yes or bool(answered(offer.name)))
    return replace(settings, model=choice.name, model_note=choice.note)


def _silent(event: Event) -> None:
    pass
