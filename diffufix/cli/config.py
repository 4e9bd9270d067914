"""`diffufix config show|schema`: the settings in force, and the schema of what --json prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.cli.parsing import CliCommand, CliGroup
from diffufix.config import explained
from diffufix.report import jsondoc, terminal

app = typer.Typer(
    cls=CliGroup,
    no_args_is_help=True,
    help="""The settings in force, and where each comes from.

    Examples:
      diffufix config show
      diffufix config show budget
    """,
)


@app.command("show", cls=CliCommand)
def show(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these.", show_default=False),
    ] = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not as it is by default.")
    ] = False,
    json: options.JsonFlag = False,
) -> None:
    """Every setting with its value and its origin: default, pyproject.toml, or the environment.

    The command line comes before all of them.

    Examples:
      diffufix config show --changed
      diffufix config show budget sandbox
      DIFFUFIX_BUDGET=300 diffufix config show budget
    """
    rows = explained(Path.cwd(), names or ())
    rows = [row for row in rows if not changed or row.origin != "default"]
    if json:
        documents = [
            {"name": row.name, "value": row.value, "default": row.default, "origin": row.origin,
             "environment": row.variable} for row in rows
        ]  # fmt: skip
        echo(jsondoc.dump(jsondoc.rows_document("settings", documents)), nl=False)
        return
    if not rows:
        echo("Every setting is as it is by default.")
    width = max((len(f"{row.name} = {row.shown}") for row in rows), default=0)
    lines = [
        (f"{f'{row.name} = {row.shown}':{min(width, 40)}}  {row.origin}",
         "" if row.origin == "default" else "bold") for row in rows
    ]  # fmt: skip
    terminal.write_lines(lines, sys.stdout)


@app.command("schema", cls=CliCommand)
def schema() -> None:
    """Print the JSON Schema of the documents that --json prints.

    Examples:
      diffufix config schema > diffufix.schema.json
    """
    echo(jsondoc.schema_text(), nl=False)
