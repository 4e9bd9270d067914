"""`diffufix clean`: remove the project's `.diffufix/` folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from diffufix.config import find_root
from diffufix.errors import UsageError
from diffufix.store.folder import private_path


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove the log, the rewards and the undo records of this project (`.diffufix/`)."""
    folder = private_path(find_root(Path.cwd()))
    if not folder.is_dir():
        typer.echo("Nothing to remove.")
        return
    if folder.is_symlink() or not (folder / "CACHEDIR.TAG").is_file():
        raise UsageError(f"{folder} was not made by diffufix.", "Remove it yourself.")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "`clean` removes what diffufix has learned here.", "Repeat with --yes."
            )
        typer.confirm(f"Remove {folder} with its log and undo records?", abort=True)
    shutil.rmtree(folder)
    typer.echo(f"Removed {folder}.")
