"""`diffufix undo`: restore the files that the last `repair --apply` changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.out import echo
from diffufix.config import find_root


def undo(
    run: Annotated[
        int | None, typer.Argument(help="The number of a run.", show_default="the latest")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Discard changes made to these files since then.")
    ] = False,
) -> None:
    """Take back a patch that `repair --apply` wrote."""
    from diffufix.repair import apply

    for path in apply.undo(find_root(Path.cwd()), run, force):
        echo(f"restored {path}")
