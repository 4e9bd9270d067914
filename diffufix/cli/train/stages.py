"""`diffufix train pretrain|anneal|sft|export`: the stages of the trainer, and what they made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli.out import echo

#: What the help says of each command.
STAGES = {
    "pretrain": "Stage 1: from scratch, or --from an autoregressive checkpoint, which is adapted."
    "\n\nExamples:\n  diffufix train pretrain "
    "--recipe train/recipes/mini-cpu.toml --corpus corpus --out run",
    "anneal": "Stage 2: on the better part of the corpus, from where pre-training ended.\n\n"
    "Examples:\n  diffufix train anneal "
    "--recipe train/recipes/mini-cpu.toml --corpus corpus --from run --out better",
    "sft": "Stage 3: repair tuning, from an earlier stage or from `mini` as it is shipped.\n\n"
    "Examples:\n  diffufix train sft "
    "--recipe train/recipes/mini-cpu.toml --corpus corpus --from better --out repair",
}
Recipe = Annotated[
    Path, typer.Option(metavar="FILE", help="The recipe, a TOML file as in train/recipes/.")
]
Corpus = Annotated[
    Path, typer.Option(metavar="FOLDER", help="The corpus that `diffufix train corpus` wrote.")
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="The run: checkpoint, log, model. An unfinished one goes on."
    ),
]
Tokenizer = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="The tokenizer of a new model; an existing model has its own."
    ),
]
Source = Annotated[
    str | None,
    typer.Option("--from", metavar="FOLDER", help="A run, a checkpoint or a model to start from."),
]
Through = Annotated[
    str | None, typer.Option(metavar="STAGE", help="Also run the later stages up to this one.")
]
Steps = Annotated[
    int | None,
    typer.Option(min=1, help="Number of steps of the whole recipe, instead of the recipe's own."),
]
Pairs = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="File of bug fixes for the recipe's `history` examples: docs/training.md.",
    ),
]
History = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="REPOSITORY",
        help="Git repository whose small fixing commits are used as `history` examples.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Where to train: cpu or cuda.", show_default="cuda where there is one"),
]
Workers = Annotated[int, typer.Option(min=0, help="Number of processes that make examples.")]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]
LogEvery = Annotated[int, typer.Option(min=1, help="Steps between rows of the log.")]
QuizEvery = Annotated[
    int, typer.Option(min=0, help="Steps between evaluations on held-out code; 0: none.")
]
Minutes = Annotated[
    float | None,
    typer.Option(help="Stop with a checkpoint after this many minutes; the same command resumes."),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only estimate time and memory, from a few measured steps."),
]
Flops = Annotated[
    float | None,
    typer.Option(help="For --dry-run: FLOP/s of the machine to plan for, instead of measuring."),
]


def stage(
    context: typer.Context,
    recipe: Recipe,
    corpus: Corpus,
    out: Out,
    tokenizer: Tokenizer = None,
    source: Source = None,
    through: Through = None,
    steps: Steps = None,
    pairs: Pairs = None,
    history: History = None,
    device: Device = None,
    workers: Workers = 1,
    save_every: SaveEvery = 250,
    log_every: LogEvery = 50,
    quiz_every: QuizEvery = 250,
    minutes: Minutes = None,
    dry_run: DryRun = False,
    flops: Flops = None,
) -> None:
    """The stage that the command is called after."""
    values: dict[str, Any] = {k: v for k, v in locals().items() if k != "context"}
    import json

    from diffufix.errors import UsageError
    from diffufix.train.pretrain.stages import dry_run as estimate
    from diffufix.train.pretrain.stages import run, to_job
    from diffufix.train.pretrain.trainer import Stopped

    del values["dry_run"], values["flops"]
    if through not in (None, *STAGES):
        raise UsageError(f"There is no stage {through!r}.", f"{', '.join(STAGES)} are.")
    job = to_job(str(context.info_name), values)
    if dry_run:
        echo("\n".join(estimate(job, flops)))
        return
    try:
        echo(json.dumps(run(job)))
    except Stopped as stopped:
        echo(str(stopped), err=True)
        if not stopped.planned:
            raise


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
    """Write a run's model as a checkpoint to use, in files of at most 16 MB.

    Examples:
      diffufix train export --run repair --out model
    """
    from diffufix.train.pretrain.export import describe
    from diffufix.train.pretrain.export import export as write

    echo(describe(write(run, out, dtype)))
