"""`diffufix train export`: a trained model as small files that `--model FOLDER` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli.out import echo


def export(
    run: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The folder of a run or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder to write to.")],
    dtype: Annotated[
        str,
        typer.Option(help="Type of the weights: bfloat16, float32 or int8 (a quarter of float32)."),
    ] = "bfloat16",
) -> None:
    """Write a run's model as a checkpoint to use, in files of at most 16 MB."""
    from diffufix.train.pretrain.export import describe
    from diffufix.train.pretrain.export import export as write

    echo(describe(write(run, out, dtype)))
