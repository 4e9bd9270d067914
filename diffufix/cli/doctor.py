"""`diffufix doctor`: what works here, what is missing, and what to do about it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.config import load_settings
from diffufix.report import jsondoc, style, terminal

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "bold red"),
          "skipped": ("-", "dim")}  # fmt: skip
_NAME = 20  # columns


def doctor(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Run no tests and repair nothing: seconds instead of a minute."
        ),
    ] = False,
    trust: options.Trust = None,
    model: options.Model = None,
    sandbox: options.Sandbox = None,
    python: options.Python = None,
    json: options.JsonFlag = False,
) -> None:
    """See what works on this machine and in this project, by trying it.

    Looks at Python, torch, the GPU, models, git and the project's interpreter; starts each sandbox;
    runs the suite in one; repairs a small project of its own, to see that it works and how fast.
    With --trust the suite is also run outside of a sandbox and compared. Exit code 1: something
    keeps diffufix from repairing here.

    Examples:
      diffufix doctor
      diffufix doctor --quick
      diffufix doctor --trust --json
    """
    from diffufix.doctor import Health, examine

    given = {"model": model, "sandbox": sandbox, "python": python, "trust": trust}
    settings = load_settings(Path.cwd(), (), given)
    shown = style.is_terminal(sys.stderr) and not json
    found = []

    def tell(name: str) -> None:
        if shown:
            sys.stderr.write(f"\r\x1b[K  {name} ...")
            sys.stderr.flush()

    for check in examine(settings, quick, tell):
        found.append(check)
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        if not json:
            mark, how = _MARKS[str(check.state)]
            line = f"{mark} {check.name:{_NAME}} {check.found}"
            lines = [(line, how if check.state in (Health.ERROR, Health.WARNING) else "")]
            lines += [(f"{'':{_NAME + 3}}{check.remedy}", "")] if check.remedy else []
            terminal.write_lines(lines, sys.stdout, hanging=_NAME + 3)
            sys.stdout.flush()
    failed = any(check.state is Health.ERROR for check in found)
    if json:
        rows = [check.document() for check in found]
        document = jsondoc.rows_document("checks", rows) | {"usable": not failed}
        echo(jsondoc.dump(document), nl=False)
    else:
        warned = sum(check.state is Health.WARNING for check in found)
        if failed:
            echo("diffufix cannot repair here yet: see what stands under ✗.")
        elif warned:
            echo(f"diffufix works here; {warned} remark{'s' * (warned > 1)}.")
        else:
            echo("diffufix works here.")
    raise typer.Exit(1 if failed else 0)
