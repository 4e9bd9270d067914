"""`echo`: what the commands print, with everything that a terminal would obey written out."""

from __future__ import annotations

import typer

from diffufix.trusted import visible


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    typer.echo(visible(str(text)), err=err, nl=nl)
