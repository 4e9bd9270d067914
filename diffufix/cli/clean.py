"""`diffufix clean`: remove the project's `.diffufix/` folder and what killed runs left behind."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.out import echo
from diffufix.errors import DiffufixError, PrerequisiteError, UsageError
from diffufix.project import find_root


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    images: Annotated[
        bool,
        typer.Option(
            "--images", help="Remove only the container images that were built for projects."
        ),
    ] = False,
) -> None:
    """Remove log, rewards, trained models and undo records of this project (`.diffufix/`).

    What runs that were killed left behind goes too: scratch folders and containers.

    Examples:
      diffufix clean
      diffufix clean --images    # the container images that were built, and nothing else
    """
    if images:
        echo(_images())
        return
    left = _leftovers()
    folder = find_root(Path.cwd()) / ".diffufix"
    if not folder.is_dir():
        echo(left or "Nothing to remove.")
        return
    if left:
        echo(left)
    if folder.is_symlink() or not (folder / "CACHEDIR.TAG").is_file():
        raise UsageError(f"{folder} was not made by diffufix.", "Remove it yourself.")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(
                "`clean` removes what diffufix has learned here.", "Repeat with --yes."
            )
        sure = f"Remove {folder} with its log, trained models and undo records?"
        if not typer.confirm(sure, err=True):
            echo("Nothing was removed.")
            return
    shutil.rmtree(folder)
    echo(f"Removed {folder}.")


def _leftovers() -> str:
    """Remove what belongs to processes that are gone; in words what that was."""
    from diffufix.sandbox import reap
    from diffufix.sandbox.engine import connect, find_engine

    folders, containers = len(reap.reap_folders()), 0
    if find_engine() is not None:
        from docker.errors import DockerException

        with (
            contextlib.suppress(DiffufixError, DockerException),
            contextlib.closing(connect()) as client,
        ):
            containers = reap.reap_containers(client)
    counts = ((folders, "scratch folder"), (containers, "container"))
    found = [f"{count} {noun}{'s' * (count > 1)}" for count, noun in counts if count]
    return f"Removed {' and '.join(found)} of killed runs." if found else ""


def _images() -> str:
    from docker.errors import DockerException

    from diffufix.sandbox.engine import connect
    from diffufix.workspace.images.build import remove_images

    try:
        with contextlib.closing(connect()) as client:
            count = remove_images(client)
    except DockerException as error:
        raise PrerequisiteError(f"The engine does not remove images: {error}") from error
    return f"Removed {count} image{'s' * (count != 1)}." if count else "Nothing to remove."
