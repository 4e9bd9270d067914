"""`diffufix train …`: learning from tests, and one file per subcommand for models from scratch.

Each file imports what it runs when it runs.
"""

from __future__ import annotations

import typer

from diffufix.cli import options
from diffufix.cli.parsing import CliCommand, CliGroup, PytestCommand
from diffufix.cli.train import corpus, learn, pairs, stages

app = typer.Typer(cls=CliGroup)
app.command("corpus", cls=CliCommand)(corpus.corpus)
app.command("tokenizer", cls=CliCommand)(corpus.tokenizer)
app.command("fixes", cls=CliCommand)(pairs.fixes)
app.command("failures", cls=PytestCommand)(pairs.failures)
app.command("tasks", cls=PytestCommand)(pairs.tasks)
app.command("decontaminate", cls=CliCommand, hidden=True)(corpus.decontaminate)
for name, summary in stages.STAGES.items():
    app.command(name, cls=CliCommand, help=summary)(stages.stage)
app.command("export", cls=CliCommand)(stages.export)


@app.callback(invoke_without_command=True)
def train(
    context: typer.Context,
    self_play: learn.SelfPlay = False,
    method: learn.Method = "",
    minutes: learn.Minutes = 10.0,
    steps: learn.Steps = 0,
    tasks: learn.Tasks = 8,
    group: learn.GroupSize = 8,
    tokens: learn.PassTokens = 32_768,
    lr: learn.Rate = 0.0,
    beta: learn.Beta = None,
    temperature: learn.Temperature = 1.0,
    lora: learn.Lora = None,
    name: learn.Name = "",
    held_out: learn.HeldOut = 120,
    searched: learn.Searched = 16,
    fresh: learn.Fresh = False,
    no_adopt: learn.NoAdopt = False,
    tensorboard: learn.Boards = False,
    dry_run: learn.DryRun = False,
    stale: learn.Stale = 0,
    model: options.Model = None,
    adapter: options.Adapter = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    python: options.Python = None,
    workers: options.Workers = None,
    on: options.On = None,
    seed: options.Seed = None,
    yes: options.Yes = None,
    trust: options.Trust = None,
    json: options.Json = None,
) -> None:
    """Learn from what tests said, on this project; use what came of it if it is better.

    With --self-play tasks are made of the project's own functions; without, it learns from what
    `repair` left in the log. The model in use and the new one are compared on functions that were
    held out. Your files are only read. The commands below make a model from scratch.

    Examples:
      diffufix train --self-play --minutes 5
      diffufix train                            # from what repairs left in the log
      diffufix train --self-play --dry-run      # what there is to learn from, and how fast
    """
    if context.invoked_subcommand is None:
        chosen = {
            "model": model, "adapter": adapter, "device": device, "dtype": dtype, "yes": yes,
            "sandbox": sandbox, "image": image, "python": python, "workers": workers, "on": on,
            "seed": seed, "json": json, "trust": trust,
        }  # fmt: skip
        given = learn.LearnOptions(
            self_play, method, minutes, steps, tasks, group, tokens, lr, beta, temperature, lora,
            name, held_out, searched, fresh, not no_adopt, tensorboard, dry_run, stale,
        )  # fmt: skip
        raise typer.Exit(learn.learn(given, chosen))
