"""`diffufix undo`: restore the files that a patch changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.out import echo
from diffufix.project import find_root


def undo(
    run: Annotated[
        int | None,
        typer.Argument(
            metavar="[RUN]",
            help="The run whose patch is taken back.",
            show_default="the one written last",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Discard changes made to these files since then.")
    ] = False,
) -> None:
    """Take back a patch that --apply or `diffufix apply` wrote.

    Examples:
      diffufix undo
      diffufix undo 7
    """
    from diffufix.repair import apply

    for path in apply.undo(find_root(Path.cwd()), run, force):
        echo(f"restored {path}")
