"""`diffufix generate`: write the bodies of stubs, verified by tests and docstrings."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.repair import applied
from diffufix.config import Settings, load_settings
from diffufix.repair.types import RepairResult, Status
from diffufix.report import jsondoc, terminal
from diffufix.report.live import display


def generate(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH[::QUALNAME]...",
            show_default=False,
            help="A file, a folder, or one function of a file: shop/text.py::Receipt.total. A "
            "function that is named is written anew even if it is no stub.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every stub there, callees before their callers.")
    ] = False,
    allow_unverified: Annotated[
        bool,
        typer.Option(
            "--allow-unverified", help="Show bodies that no test and no example speaks for."
        ),
    ] = False,
    apply: Annotated[bool | None, typer.Option("--apply", help="Write the patch.")] = None,
    force: Annotated[
        bool | None,
        typer.Option("--force", help="Write it over uncommitted changes too."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Seconds for each function.", show_default="60")
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
    sandbox: Annotated[
        str | None, typer.Option(help="local, docker or e2b.", show_default="local")
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
    """Write function bodies from signature and docstring, verified by what can verify them.

    A stub's body is `...`, `pass`, `raise NotImplementedError` or only a docstring. The working
    tree stays as it is unless --apply is given.
    """
    given = dict(locals())
    arguments = given.pop("paths") or []
    every, unverified = given.pop("every"), given.pop("allow_unverified")
    settings = load_settings(Path.cwd(), (), given)
    result = _run(replace(settings, pytest_args=()), arguments, every, unverified)
    if settings.apply and result.patch is not None and not result.applied:
        result = applied(settings, result)
    if settings.json:
        sys.stdout.write(jsondoc.dump(jsondoc.result_document(result)))
    else:
        terminal.write_result(result, sys.stdout)
    raise typer.Exit(result.exit_code)


def _run(
    settings: Settings, arguments: list[str], every: bool, allow_unverified: bool
) -> RepairResult:
    from diffufix.generate.choose import choose

    choice = choose(settings.root, Path.cwd(), arguments, every)
    try:
        budget = settings.budget * len(choice.functions)
        with display(sys.stderr, budget, settings.verbose) as listener:
            from diffufix.generate.job import Generating
            from diffufix.repair.loop import run_job  # imports torch: seconds on a cold disk

            return run_job(Generating(settings, choice, allow_unverified), listener)
    except KeyboardInterrupt:  # before or after the loop's own handling
        return RepairResult(Status.INTERRUPTED)
