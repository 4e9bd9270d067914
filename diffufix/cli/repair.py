"""`diffufix repair`: run the tests, search, show the patch, write it if asked to."""

from __future__ import annotations

import ast
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options, question
from diffufix.cli.consent import settled
from diffufix.cli.parsing import check_tests, preflight, stops_early
from diffufix.config import Settings, load_settings
from diffufix.errors import ApplyError, UsageError
from diffufix.project import selection
from diffufix.repair.types import RepairResult, Status
from diffufix.report import formats, terminal
from diffufix.report.live import display
from diffufix.report.page import check_place, write_page


def repair(
    context: typer.Context,
    pytest_args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PYTEST_ARGS]...",
            show_default=False,
            help="Arguments for pytest: tests/test_x.py::test_y, -k EXPR, -m MARK, ...; "
            "after -- everything is.",
        ),
    ] = None,
    apply: options.Apply = None,
    commit: options.Commit = None,
    branch: options.Branch = None,
    force: options.Force = None,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="repaired|plausible",
            help="plausible: with --apply, write a patch that passes though little speaks for it.",
            show_default="repaired",
            rich_help_panel=options.PATCH,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Probability of being right from which a patch is called a repair.",
            show_default="0.8",
            rich_help_panel=options.PATCH,
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Time limit from start to result: running the tests, searching, confirming.",
            show_default="60",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    fresh: Annotated[
        bool | None,
        typer.Option(
            "--fresh",
            help="Start over instead of going on from an interrupted run of the same command.",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    candidates: options.Candidates = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="PATH::NAME",
            help="Edit only this function.",
            show_default="all suspects",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    all: Annotated[
        bool | None,
        typer.Option(
            "--all",
            help="Search to the end of the budget; offer every patch found.",
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Must be true with the patch, such as 'clamp(5, 0, 10) == 5'; may be repeated.",
            show_default=False,
            rich_help_panel=options.SEARCH,
        ),
    ] = None,
    seed: options.Seed = None,
    model: options.Model = None,
    max_cost: options.MaxCost = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    collect: Annotated[
        bool | None,
        typer.Option(
            "--collect/--no-collect",
            help="Log candidates for training; takes up to 5 % of the budget.",
            show_default="on",
            rich_help_panel=options.MODEL,
        ),
    ] = None,
    yes: options.Yes = None,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    python: options.Python = None,
    pass_env: options.PassEnv = None,
    workers: options.Workers = None,
    on: options.On = None,
    trust: options.Trust = None,
    report: options.Report = None,
    output_format: options.OutputFormat = None,
    json: options.Json = None,
    quiet: options.Quiet = None,
    verbose: options.Verbose = None,
) -> None:
    """Find a verified patch that makes the failing tests of this project pass.

    Your files stay as they are unless --apply, --commit or --branch is given. Tests, conftest.py
    and configuration are never edited. The patch goes to stdout, progress to stderr.

    Examples:
      diffufix repair                               # what fails in the whole suite
      diffufix repair tests/test_x.py -k total      # pytest's arguments as they are
      diffufix repair --budget 300 --apply          # search longer, write what is found
      diffufix repair --function shop/cart.py::Cart.total
      diffufix repair --expect 'clamp(5, 0, 10) == 5'
      diffufix repair --branch fix/total            # commit it on a branch of its own
      diffufix repair > fix.patch                   # git apply takes it
      diffufix repair --report report.html          # a page of everything that was tried
    """
    given = dict(locals())
    # When the process began, where it was made for this command.
    began = given.pop("context").obj or time.monotonic()
    args = tuple(given.pop("pytest_args") or ())
    given["expect"] = expectations(given.pop("expect") or ())
    given.pop("commit"), given.pop("branch"), given.pop("report")
    if report is not None:
        check_place(report)
    check_tests(args, Path.cwd())
    if (early := stops_early(args)) and not given["quiet"]:
        typer.echo(f"{early} is left out: which tests fail is known once all have run", err=True)
    settings = replace(load_settings(Path.cwd(), args, given), commit=bool(commit or branch))
    preflight.check(settings)
    if settings.commit:
        from diffufix.source.commit import place

        place(settings.root, branch or "")  # what is no branch is told before the search
    asked = time.monotonic()
    settings = settled(settings)
    began += time.monotonic() - asked  # a question or a download is no time of the search
    result = search(settings, began)
    if expected := question.told(settings, result):
        typer.echo(f"Searching again with --expect {shlex.quote(expected)}", err=True)
        settings = replace(settings, expect=(*settings.expect, expected))
        result = search(settings, time.monotonic())
    wanted = settings.apply or commit or branch
    if wanted and result.patch is not None and not result.applied:
        result = _taken(settings, result, bool(commit), branch or "")
    if report is not None:
        write_page(settings.root, result.run_id, report)
    formats.write(result, settings, sys.stdout)
    raise typer.Exit(result.exit_code)


def _taken(settings: Settings, result: RepairResult, commit: bool, branch: str) -> RepairResult:
    """Write or commit the patch, unless too little speaks for it."""
    if result.weak and settings.accept != "plausible":
        how = "--branch" if branch else "--commit" if commit else "--apply"
        hint = f"Read the patch; `{how} --accept plausible` takes it all the same."
        return replace(result, hint=hint)
    if commit and not branch:
        return committed(settings, applied(settings, result), "")
    return committed(settings, result, branch) if branch else applied(settings, result)


def expectations(texts: Sequence[str]) -> tuple[str, ...]:
    """The expressions of --expect. Raises UsageError for what is none."""
    for text in texts:
        try:
            ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError) as error:
            raise UsageError(
                f"--expect {text!r} is no expression: {error}",
                "Write what must be true, such as --expect 'clamp(5, 0, 10) == 5'.",
            ) from error
    return tuple(text.strip() for text in texts)


def search(settings: Settings, began: float) -> RepairResult:
    """A run of the loop with its display; `began`: when the user began to wait."""
    try:
        with display(
            sys.stderr, settings.budget, settings.verbose, settings.quiet,
            selected=bool(selection(settings.pytest_args)),
        ) as listener:  # fmt: skip
            from diffufix.repair import loop

            return loop.repair(settings, listener, began)
    except KeyboardInterrupt:  # before or after the loop's own handling
        return RepairResult(Status.INTERRUPTED)


def applied(settings: Settings, result: RepairResult) -> RepairResult:
    """Write the patch. When that is refused the patch is shown before the error."""
    from diffufix.repair.apply import apply

    assert result.patch is not None
    run = result.run_id if result.run_id is not None else "unlogged"
    try:
        apply(result.patch, settings.root, run, settings.force)
    except ApplyError as error:
        raise _kept(settings, result, error, "--force") from error
    return replace(result, applied=True)


def committed(settings: Settings, result: RepairResult, branch: str) -> RepairResult:
    """Commit the patch, on a new branch if one is named."""
    from diffufix.source.commit import Proof, commit

    assert result.patch is not None
    try:
        where = commit(result.patch, settings.root, Proof.of(result.document()), branch)
    except (ApplyError, UsageError) as error:
        raise _kept(settings, result, error, "") from error
    return replace(result, commit=where)


def _kept(
    settings: Settings, result: RepairResult, error: ApplyError | UsageError, how: str
) -> ApplyError:
    """The error, with the way to the patch that was found; the patch is shown."""
    assert result.patch is not None
    if result.applied:
        hint = f"{error.hint} The patch is written; `diffufix undo` takes it back.".strip()
        return ApplyError(error.message, hint)
    if not settings.json:
        terminal.write_diff(result.patch.diff, sys.stdout)
        sys.stdout.flush()
    hint = error.hint
    if result.run_id is not None:
        again = f"diffufix apply {result.run_id} {how}".rstrip()
        hint = f"{hint.rstrip('.')}. The patch is kept: `{again}` writes it.".lstrip(". ")
    return ApplyError(error.message, hint)
