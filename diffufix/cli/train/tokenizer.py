"""`diffufix train tokenizer`: the tokenizer of a new mini, from a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.out import echo


def tokenizer(
    corpus: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The corpus that `diffufix train corpus` wrote.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder to write tokenizer.json to.")
    ],
    size: Annotated[
        int, typer.Option(help="Size of the vocabulary, special tokens included.")
    ] = 8192,
    pairs: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Also learn from the files that `diffufix train fixes` wrote."
        ),
    ] = None,
) -> None:
    """Learn a byte-level BPE that never merges across Python's lexical tokens."""
    from diffufix.train.corpus.tokenizer import make

    echo(f"{make(corpus, out, size, pairs or ()):,} ids: {out / 'tokenizer.json'}")
