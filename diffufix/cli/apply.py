"""`diffufix apply RUN PATCH`: write a patch that an earlier run found, the first or another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.config import find_root


def apply(
    run: Annotated[int, typer.Argument(help="A run's number.")],
    patch: Annotated[
        int,
        typer.Argument(help="A patch's number: `diffufix runs show RUN --patches` lists them."),
    ] = 1,
    force: options.Force = None,
) -> None:
    """Write a patch of an earlier run; `diffufix undo` takes it back."""
    from diffufix.repair.apply import apply as write
    from diffufix.repair.kept import kept_patch
    from diffufix.store import Store
    from diffufix.store.query import get_run

    root = find_root(Path.cwd())
    with Store.open_strictly(root, create=False) as store:
        row = get_run(store, run)
    kept = kept_patch(row.summary, root, run, patch)
    for path in write(kept.patch, root, run, bool(force)):
        typer.echo(f"wrote {path}")
    if kept.refused:
        typer.echo(f"warning: this patch was refused: {kept.refused}", err=True)
    if not kept.confirmed:
        typer.echo(
            "This patch passed the search's tests and was not run over the whole suite: "
            "run it before you rely on it.",
            err=True,
        )
    typer.echo("`diffufix undo` takes it back.")
