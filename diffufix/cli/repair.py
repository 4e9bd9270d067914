"""`diffufix repair`: run the tests, search, show the patch, write it if asked to."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.config import Settings, load_settings
from diffufix.repair.types import RepairResult, Status
from diffufix.report import jsondoc, terminal
from diffufix.report.live import display

#: Options that are not ours go to pytest, in their order.
PYTEST_PASSTHROUGH: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": False}


def repair(
    pytest_args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PYTEST_ARGS]...",
            show_default=False,
            help="Passed to pytest as they are: tests/test_x.py::test_y, -k EXPR, -m MARK, ...; "
            "after -- everything is.",
        ),
    ] = None,
    apply: Annotated[bool | None, typer.Option("--apply", help="Write the patch.")] = None,
    force: Annotated[
        bool | None,
        typer.Option("--force", help="Write it over uncommitted changes too."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds the search may take.", show_default="60")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Run at most this many candidates.", show_default="no limit")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="mini, a checkpoint folder or a hub name.", show_default="by machine"),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="none|NAME|FOLDER",
            help="What was trained here, by name, or a folder; none: the model as it is.",
            show_default="the adopted one",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda.", show_default="auto")
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(help="Change nothing but path::qualname.", show_default="all suspects"),
    ] = None,
    sandbox: Annotated[
        str | None, typer.Option(help="auto, docker, e2b or local.", show_default="auto")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="A ready container image.", show_default="built")
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(help="The project's interpreter.", show_default="active venv, .venv, own"),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Candidates run at once.", show_default="cores")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sampling.", show_default="0")] = None,
    json: Annotated[
        bool | None, typer.Option("--json", help="One JSON document on stdout.")
    ] = None,
    verbose: Annotated[
        bool | None, typer.Option("--verbose", help="Say more; show tracebacks.")
    ] = None,
) -> None:
    """Find a verified patch that makes the failing tests of this project pass.

    The working tree stays as it is unless --apply is given. Tests, conftest.py and configuration
    are never edited.
    """
    given = dict(locals())
    args = tuple(given.pop("pytest_args") or ())
    settings = load_settings(Path.cwd(), args, given)
    result = _search(settings)
    if settings.apply and result.patch is not None and not result.applied:
        result = applied(settings, result)
    if settings.json:
        sys.stdout.write(jsondoc.dump(jsondoc.result_document(result)))
    else:
        terminal.write_result(result, sys.stdout)
    raise typer.Exit(result.exit_code)


def _search(settings: Settings) -> RepairResult:
    try:
        with display(sys.stderr, settings.budget, settings.verbose) as listener:
            from diffufix.repair import loop  # imports torch: seconds on a cold disk

            return loop.repair(settings, listener)
    except KeyboardInterrupt:  # before or after the loop's own handling
        return RepairResult(Status.INTERRUPTED)


def applied(settings: Settings, result: RepairResult) -> RepairResult:
    """Write the patch. When that is refused the patch is shown before the error."""
    from diffufix.errors import ApplyError
    from diffufix.repair.apply import apply

    assert result.patch is not None
    run = result.run_id if result.run_id is not None else "unlogged"
    try:
        apply(result.patch, settings.root, run, settings.force)
    except ApplyError:
        if not settings.json:
            terminal.write_diff(result.patch.diff, sys.stdout)
        raise
    return replace(result, applied=True)
