"""`diffufix train` itself: learn from what tests said, compare, and use what is better."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffufix.cli.out import echo

if TYPE_CHECKING:
    from diffufix.report.training import Facts
    from diffufix.train.rl.session import Outcome, Wish

SelfPlay = Annotated[
    bool,
    typer.Option(
        "--self-play",
        help="Self-play: make training tasks by breaking functions that passing tests cover.",
    ),
]
Method = Annotated[
    str,
    typer.Option(
        help="coupled, d1, full, decoupled, count (policy gradients); rft (imitate what passed); "
        "preference (better against worse); answers, repo (no rewards).",
        show_default="coupled; without --self-play rft",
    ),
]
Minutes = Annotated[
    float, typer.Option(min=0, help="Time limit in minutes; 0: none, --steps decides.")
]
Steps = Annotated[int, typer.Option(min=0, help="At most this many steps; 0: no limit.")]
Tasks = Annotated[int, typer.Option(min=1, help="Number of tasks per step.")]
GroupSize = Annotated[
    int, typer.Option("--group", min=2, help="Completions sampled per task (group size).")
]
PassTokens = Annotated[
    int,
    typer.Option("--tokens", min=1, help="Tokens in one pass of a policy gradient; bounds memory."),
]
Rate = Annotated[float, typer.Option("--lr", min=0, help="Learning rate.", show_default="method's")]
Beta = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Weight that holds the model close to its start: KL penalty, or beta of DPO.",
        show_default="0.01; preference 0.2",
    ),
]
Stale = Annotated[
    int,
    typer.Option(
        min=0,
        help="With --on ray: versions of the weights that a group may be old; 0: none is.",
    ),
]
Temperature = Annotated[float, typer.Option(min=0.1, max=2.0, help="Sampling temperature.")]
Name = Annotated[
    str,
    typer.Option(
        "--name", "--adapter-name", help="Name of the new model.", show_default="PROJECT-1"
    ),
]
Lora = Annotated[
    bool | None,
    typer.Option(
        "--lora/--no-lora",
        help="Train a LoRA adapter instead of all weights.",
        show_default="large models only",
    ),
]
HeldOut = Annotated[
    int,
    typer.Option(
        min=0,
        help="Number of held-out tasks for the comparison; their functions are not trained on.",
    ),
]
Searched = Annotated[
    int,
    typer.Option(
        min=0, help="Number of held-out tasks that are also repaired by search, before and after."
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Start anew instead of resuming an interrupted session of that name."
    ),
]
NoAdopt = Annotated[
    bool, typer.Option("--no-adopt", help="Keep the new model, but do not adopt it.")
]
Boards = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard files.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only report the available training data and the speed.")
]


@dataclass(frozen=True)
class LearnOptions:
    """The options of `diffufix train` that are no settings; the types above say what they mean."""

    self_play: bool
    method: str
    minutes: float
    steps: int
    tasks: int
    group: int
    tokens: int
    lr: float
    beta: float | None
    temperature: float
    lora: bool | None
    name: str
    held_out: int
    searched: int
    fresh: bool
    adopt: bool
    tensorboard: bool
    dry_run: bool
    stale: int


def learn(options: LearnOptions, chosen: Mapping[str, object]) -> int:
    """Run one training; `chosen` are settings from the command line. Returns the exit code."""
    from diffufix.cli.consent import settled
    from diffufix.config import load_settings
    from diffufix.errors import UsageError
    from diffufix.report import jsondoc
    from diffufix.report.learning import display

    settings = settled(load_settings(Path.cwd(), (), chosen))
    if options.stale and not settings.on:
        raise UsageError("--stale is for sampling on a cluster.", "Give --on ray, too.")
    with display(sys.stderr) as shown:
        shown.tell("getting ready")
        from diffufix.train.rl.session import improve, try_out  # imports torch

        wish = _wish(options, settings.seed, None if settings.device == "auto" else settings.device)
        if options.dry_run:
            lines = try_out(settings, wish, shown.tell)
            written: list[Path] = []
            outcome = None
        else:
            outcome = improve(settings, wish, shown.tell, shown.listen)
            written = _report(outcome, wish)
    if outcome is None:
        echo("\n".join(lines))
        return 0
    if settings.json:
        document = outcome.document() | {"report": [str(path) for path in written]}
        echo(jsondoc.dump(jsondoc.rows_document("training", [document])), nl=False)
    else:
        for line in summary(outcome, written):
            echo(line)
    return outcome.exit_code


def summary(outcome: Outcome, written: list[Path]) -> list[str]:
    """What came of it, in words."""
    learned, data = outcome.learned, outcome.data
    lines = [
        f"{learned.steps:,} steps in {learned.seconds / 60:.1f} minutes: "
        f"{data['groups']:,} groups ({data['groups_with_signal']:,} with signal), "
        f"{data['completions']:,} completions; {data['tasks']:,} tasks to draw from."
    ]
    last = learned.rows[-1] if learned.rows else {}
    if "staleness" in last:
        lines.append(
            f"Sampled on the cluster by weights {last['staleness']:g} versions old on average, "
            f"{last['staleness_most']:g} at most; {last['dropped']:g} groups dropped as too old, "
            f"{last['lost_rollers']:g} rollers lost."
        )
    if outcome.gate is not None:
        lines += outcome.gate.lines()
    if outcome.warning:
        lines.append(f"warning: {outcome.warning}")
    if outcome.status == "adopted":
        lines.append(
            f"{outcome.name} is in use from now on; `diffufix models rollback` takes it back."
        )
    elif outcome.status == "kept":
        lines.append(
            f"{outcome.name} is kept and not used (`diffufix models adopt {outcome.name} --force`)."
        )
    else:
        lines.append("Interrupted; the same command goes on from here.")
    return lines + [f"report: {path}" for path in written]


def _wish(options: LearnOptions, seed: int, device: str | None) -> Wish:
    from diffufix.train.rl.config import TrainConfig
    from diffufix.train.rl.self_play import Wanted
    from diffufix.train.rl.session import Wish

    plan = TrainConfig(
        method=options.method or ("coupled" if options.self_play else "rft"),
        minutes=options.minutes, steps=options.steps, tasks=options.tasks, group=options.group,
        lr=options.lr, beta=options.beta, temperature=options.temperature, lora=options.lora,
        tokens=options.tokens, stale=options.stale, seed=seed, device=device,
        tensorboard=options.tensorboard,
    )  # fmt: skip
    return Wish(
        plan, Wanted(held_out=options.held_out, seed=seed), name=options.name,
        searched=options.searched, self_play=options.self_play, fresh=options.fresh,
        adopt=options.adopt,
    )  # fmt: skip


def _report(outcome: Outcome, wish: Wish) -> list[Path]:
    from diffufix.report.training import write_report

    try:
        return write_report(outcome.folder, _facts(outcome, wish))
    except OSError as error:
        echo(f"warning: no report: {error}", err=True)
        return []


def _facts(outcome: Outcome, wish: Wish) -> Facts:
    from diffufix.report.training import Facts

    settings = {key: value for key, value in asdict(wish.plan).items() if value not in (None, "")}
    data = {**outcome.data, "minutes": outcome.learned.seconds / 60}
    use = [f"diffufix models adopt {outcome.name}", "diffufix models rollback", "diffufix repair"]
    return Facts(
        f"Training {outcome.name}", summary(outcome, [])[:1] + summary(outcome, [])[-1:],
        outcome.gate.lines() if outcome.gate else (), settings, data, use,
    )  # fmt: skip
