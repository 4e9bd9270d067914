"""`diffufix train …`: one file per subcommand, each importing what it runs when it runs."""

from __future__ import annotations

import typer

from diffufix.cli.train import corpus, export, stages, tokenizer

app = typer.Typer(help="Train models: corpus, tokenizer, and the stages one after the other.")
app.command("corpus")(corpus.corpus)
app.command("tokenizer")(tokenizer.tokenizer)
app.command("pretrain")(stages.pretrain)
app.command("anneal")(stages.anneal)
app.command("sft")(stages.sft)
app.command("export")(export.export)


@app.callback(invoke_without_command=True)
def train(context: typer.Context) -> None:
    """Train models: corpus, tokenizer, and the stages one after the other."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
