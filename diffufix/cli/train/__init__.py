"""`diffufix train …`: one file per subcommand, each importing what it runs when it runs."""

from __future__ import annotations

import typer

app = typer.Typer(help="Train models: corpus, tokenizer, and the stages one after the other.")


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Train models: corpus, tokenizer, and the stages one after the other."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
