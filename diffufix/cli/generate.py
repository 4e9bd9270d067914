"""`diffufix generate`: write the bodies of stubs, verified by tests and docstrings."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.consent import settled
from diffufix.cli.parsing import preflight
from diffufix.cli.repair import applied
from diffufix.config import Settings, load_settings
from diffufix.repair.types import RepairResult, Status
from diffufix.report import formats
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
        bool,
        typer.Option("--all", help="Fill every stub in the target, callees before their callers."),
    ] = False,
    allow_unverified: Annotated[
        bool,
        typer.Option(
            "--allow-unverified", help="Also show bodies that no test and no example has checked."
        ),
    ] = False,
    apply: options.Apply = None,
    force: options.Force = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time limit for each function.",
            show_default="60",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    candidates: options.Candidates = None,
    model: options.Model = None,
    max_cost: options.MaxCost = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    python: options.Python = None,
    workers: options.Workers = None,
    seed: options.Seed = None,
    trust: options.Trust = None,
    output_format: options.OutputFormat = None,
    json: options.Json = None,
    quiet: options.Quiet = None,
    yes: options.Yes = None,
    verbose: options.Verbose = None,
) -> None:
    """Write function bodies from signature and docstring, verified by what can verify them.

    A stub's body is `...`, `pass`, `raise NotImplementedError` or only a docstring. The working
    tree stays as it is unless --apply is given.

    Examples:
      diffufix generate shop/text.py                   # its only stub
      diffufix generate shop/text.py::Receipt.total    # one function, stub or not
      diffufix generate --all shop --apply             # every stub of a folder, written
    """
    given = dict(locals())
    arguments = given.pop("paths") or []
    every, unverified = given.pop("every"), given.pop("allow_unverified")
    settings = load_settings(Path.cwd(), (), given)
    preflight.check(settings)
    settings = settled(settings)
    result = _run(replace(settings, pytest_args=()), arguments, every, unverified)
    if settings.apply and result.patch is not None and not result.applied:
        result = applied(settings, result)
    formats.write(result, settings, sys.stdout)
    raise typer.Exit(result.exit_code)


def _run(
    settings: Settings, arguments: list[str], every: bool, allow_unverified: bool
) -> RepairResult:
    from diffufix.generate.choose import choose

    choice = choose(settings.root, Path.cwd(), arguments, every)
    try:
        budget = settings.budget * len(choice.functions)
        with display(sys.stderr, budget, settings.verbose, settings.quiet) as listener:
            from diffufix.generate.job import GenerateJob
            from diffufix.repair.loop import run_job

            return run_job(GenerateJob(settings, choice, allow_unverified), listener)
    except KeyboardInterrupt:  # before or after the loop's own handling
        return RepairResult(Status.INTERRUPTED)
