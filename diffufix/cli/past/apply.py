"""`diffufix apply [RUN] [PATCH]`: write a patch that an earlier run found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.cli.past.chosen import NOTHING_YET, Run, logged, run_of
from diffufix.errors import UsageError
from diffufix.project import find_root
from diffufix.store import Store


def apply(
    run: Run = None,
    patch: Annotated[
        int,
        typer.Argument(help="A patch's number: `diffufix runs show RUN --patches` lists them."),
    ] = 1,
    force: options.Force = None,
    commit: options.Commit = None,
    branch: options.Branch = None,
) -> None:
    """Write a patch of an earlier run; `diffufix undo` takes it back.

    Nothing is searched and no test is run. A file that was changed since is left alone.

    Examples:
      diffufix apply                       # what the latest run found
      diffufix apply 7                     # what run 7 found
      diffufix apply 7 2                   # its second patch
      diffufix apply 7 --branch fix/total  # as a commit on a branch of its own
    """
    from diffufix.repair.apply import apply as write
    from diffufix.repair.kept import kept_patch
    from diffufix.source.commit import Proof
    from diffufix.source.commit import commit as make_commit

    root = find_root(Path.cwd())
    if not logged(root):
        raise UsageError(NOTHING_YET, "`diffufix repair` searches for a patch.")
    with Store.open_strictly(root, create=False) as store:
        row = run_of(store, run, patched=True)
    kept = kept_patch(row.summary, root, row.id, patch)
    proof = None
    if commit or branch:
        if patch != 1:
            raise UsageError(
                "Only the first patch of a run is committed: of the others it is not known what "
                "all tests say.",
                f"Write the other with `diffufix apply {row.id} {patch}`, run your tests, commit.",
            )
        proof = Proof.of(row.summary | {"run_id": row.id})
    if branch:
        assert proof is not None
        echo(f"committed {make_commit(kept.patch, root, proof, branch)}")
        return
    for path in write(kept.patch, root, row.id, bool(force)):
        echo(f"wrote {path}")
    if proof is not None:
        echo(f"committed {make_commit(kept.patch, root, proof)}")
    if kept.refused:
        echo(f"warning: this patch was refused: {kept.refused}", err=True)
    if not kept.confirmed:
        echo(
            "This patch is not confirmed: run the whole suite before you rely on it.",
            err=True,
        )
    echo("`diffufix undo` takes it back.")
