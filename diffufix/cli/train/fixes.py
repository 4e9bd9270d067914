"""`diffufix train fixes`: real fixes as pairs to learn from, of repositories or of mined files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fixes(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPOSITORY...",
            help="Git repositories whose small fixing commits are taken; or .jsonl.gz files of "
            "mined fixes (docs/training.md).",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .jsonl.gz of pairs to write.")],
    commits: Annotated[
        int | None, typer.Option(help="Of each repository, newest first; default: all.")
    ] = None,
    since: Annotated[int, typer.Option(help="The year of the first fixes of mined files.")] = 2012,
) -> None:
    """Turn fixes that people made into pairs: `diffufix train sft --pairs FILE` learns from them.

    A pair is a function before and after, what its file says around it, and the lines of the
    commit's tests that speak of it.
    """
    from diffufix.train.bugs.fixes import gather

    found = gather(sources, out, commits, since)
    typer.echo(f"{found:,} {'fix' if found == 1 else 'fixes'}: {out}")
