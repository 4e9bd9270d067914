"""`diffufix repair`: run the tests, search, show the patch, write it if asked to."""

from __future__ import annotations

import ast
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli import options, question
from diffufix.cli.consent import settled
from diffufix.config import Settings, load_settings
from diffufix.errors import UsageError
from diffufix.repair.types import RepairResult, Status
from diffufix.report import jsondoc, terminal
from diffufix.report.live import display

#: Options that are not ours go to pytest, in their order.
PYTEST_PASSTHROUGH: dict[str, Any] = {"ignore_unknown_options": True, "allow_extra_args": False}


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
    force: options.Force = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Time limit from start to result, in seconds.", show_default="60"),
    ] = None,
    candidates: options.Candidates = None,
    model: options.Model = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    function: Annotated[
        str | None,
        typer.Option(help="Edit only this function: path::qualname.", show_default="all suspects"),
    ] = None,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="repaired|plausible",
            help="plausible: with --apply, write a patch that passes though little speaks for it.",
            show_default="repaired",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Probability of being right from which a patch is called a repair.",
            show_default="0.8",
        ),
    ] = None,
    all: Annotated[
        bool | None,
        typer.Option("--all", help="Search to the end of the budget; offer every patch found."),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXPRESSION",
            help="Must be true with the patch, such as 'clamp(5, 0, 10) == 5'; may be repeated.",
            show_default=False,
        ),
    ] = None,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    python: options.Python = None,
    pass_env: options.PassEnv = None,
    workers: options.Workers = None,
    seed: options.Seed = None,
    collect: Annotated[
        bool | None,
        typer.Option(
            "--collect/--no-collect",
            help="Log candidates for training; takes up to 5 % of the budget.",
            show_default="on",
        ),
    ] = None,
    trust: options.Trust = None,
    json: options.Json = None,
    yes: options.Yes = None,
    verbose: options.Verbose = None,
) -> None:
    """Find a verified patch that makes the failing tests of this project pass.

    The working tree stays as it is unless --apply is given. Tests, conftest.py and configuration
    are never edited.
    """
    given = dict(locals())
    # When the process began, where it was made for this command.
    began = given.pop("context").obj or time.monotonic()
    args = tuple(given.pop("pytest_args") or ())
    given["expect"] = expectations(given.pop("expect") or ())
    settings = load_settings(Path.cwd(), args, given)
    asked = time.monotonic()
    settings = settled(settings)
    began += time.monotonic() - asked  # a question or a download is no time of the search
    result = _search(settings, began)
    if expected := question.told(settings, result):
        typer.echo(f"Searching again with --expect {shlex.quote(expected)}", err=True)
        settings = replace(settings, expect=(*settings.expect, expected))
        result = _search(settings, time.monotonic())
    if settings.apply and result.patch is not None and not result.applied:
        weak = result.probability is not None and result.probability < result.threshold
        if weak and settings.accept != "plausible":
            hint = "Read the patch; `--apply --accept plausible` writes it all the same."
            result = replace(result, hint=hint)
        else:
            result = applied(settings, result)
    if settings.json:
        sys.stdout.write(jsondoc.dump(jsondoc.result_document(result)))
    else:
        terminal.write_result(result, sys.stdout)
    raise typer.Exit(result.exit_code)


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


def _search(settings: Settings, began: float) -> RepairResult:
    try:
        with display(sys.stderr, settings.budget, settings.verbose) as listener:
            from diffufix.repair import loop  # imports torch: seconds on a cold disk

            return loop.repair(settings, listener, began)
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
