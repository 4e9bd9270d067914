"""`diffufix train tokenizer`: the tokenizer of a new mini, from a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.out import echo


def tokenizer(
    corpus: Annotated[
        Path, typer.Option(metavar="FOLDER", help="What `diffufix train corpus` has made.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where tokenizer.json goes.")],
    size: Annotated[int, typer.Option(help="Ids, special ones included.")] = 8192,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Learn from these as well: what `train fixes` wrote."),
    ] = None,
) -> None:
    """Learn a byte-level BPE that never merges across Python's lexical tokens."""
    from diffufix.train.corpus.tokenizer import make

    echo(f"{make(corpus, out, size, pairs or ()):,} ids: {out / 'tokenizer.json'}")
