"""`diffufix rewards …`: what the log holds to learn from; files of it; what is removed."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.cli.parsing import CliCommand, CliGroup
from diffufix.errors import UsageError
from diffufix.project import find_root
from diffufix.report import jsondoc
from diffufix.store import Store
from diffufix.store.store import log_path

if TYPE_CHECKING:
    from diffufix.store.overview import Summary

app = typer.Typer(
    cls=CliGroup,
    invoke_without_command=True,
    help="""The training data of this project: groups of candidates and their test outcomes.

    Without a command: counts, groups with signal, age, model versions and size of the log.

    Examples:
      diffufix rewards
      diffufix rewards export groups.jsonl --signal
    """,
)

DAY = 86_400.0  # seconds
_SHOWN = 8  # versions of the model in the table


@app.callback()
def show(context: typer.Context, json: options.JsonFlag = False) -> None:
    """Counts, groups with signal, age, model versions and size of the log."""
    from diffufix.store.overview import summary

    if context.invoked_subcommand is not None:
        return
    if not log_path(find_root(Path.cwd())).is_file():
        if json:
            echo(jsondoc.dump(jsondoc.rows_document("rewards", [])), nl=False)
        else:
            echo("No groups yet: `diffufix repair` and `diffufix train --self-play` log them.")
        return
    with _log() as store:
        found = summary(store)
    if json:
        echo(jsondoc.dump(jsondoc.rows_document("rewards", [asdict(found)])), nl=False)
        return
    for line in _lines(found):
        echo(line)


@app.command("export", cls=CliCommand)
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file: *.jsonl or *.parquet.")],
    task: Annotated[str | None, typer.Option(help="Only groups of this task (its key).")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only groups of this model (its fingerprint).")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="Only groups of this origin: repair, mutant, ...")
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Only groups since this date.")] = None,
    signal: Annotated[
        bool, typer.Option("--signal", help="Only groups whose rewards differ.")
    ] = False,
    per_task: Annotated[
        int | None, typer.Option(min=1, help="At most this many groups of each task.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many groups in total.")
    ] = None,
) -> None:
    """Write groups to a file, the newest first.

    Examples:
      diffufix rewards export groups.jsonl
      diffufix rewards export groups.parquet --days 7 --signal
    """
    from diffufix.store.exchange import write
    from diffufix.store.trajectories import read_groups

    since = None if days is None else time.time() - days * DAY
    with _log() as store:
        groups = read_groups(
            store, task=task, model=model, origin=origin, since=since, with_signal=signal,
            per_task=per_task, limit=limit,
        )  # fmt: skip
        count = write(file, groups)
    echo(f"{count:,} groups are in {file}.")


@app.command("import", cls=CliCommand)
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file: *.jsonl or *.parquet.")],
) -> None:
    """Add the groups of such a file; those that are here already are left out.

    Examples:
      diffufix rewards import groups.jsonl
    """
    from diffufix.store.exchange import read
    from diffufix.store.overview import summary

    with Store.open_strictly(find_root(Path.cwd())) as store:
        before = summary(store).groups
        count = 0
        for group in read(file):
            store.add_group(None, group)
            count += 1
        added = summary(store).groups - before
        warning = store.warning
    if warning:
        raise UsageError(f"Not all was added. {warning}")
    known = f", {count - added:,} were known" if added < count else ""
    echo(f"{added:,} groups added{known}.")


@app.command("prune", cls=CliCommand)
def prune_(
    days: Annotated[
        float | None, typer.Option(min=0, help="Remove groups and finished runs that are older.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, help="Keep at most this many groups.")] = None,
    megabytes: Annotated[
        float | None, typer.Option(min=0, help="Remove groups until the log is at most this large.")
    ] = None,
    no_signal: Annotated[
        bool, typer.Option("--no-signal", help="Remove groups whose rewards are all equal.")
    ] = False,
    json: options.JsonFlag = False,
) -> None:
    """Remove groups, the oldest first; give free room back to the disk (also without options).

    Examples:
      diffufix rewards prune --days 30
      diffufix rewards prune --megabytes 200
    """
    from diffufix.store.overview import prune

    with _log() as store:
        done = prune(
            store,
            older_than=None if days is None else days * DAY,
            keep=keep,
            max_bytes=None if megabytes is None else int(megabytes * 2**20),
            without_signal=no_signal,
        )
    if json:
        echo(jsondoc.dump(jsondoc.rows_document("pruned", [asdict(done)])), nl=False)
        return
    echo(
        f"Removed {done.groups:,} groups with {done.completions:,} completions and {done.runs:,} "
        f"runs; the log had {_size(done.before)} and has {_size(done.after)}."
    )


# -- what the commands share -----------------------------------------------------------------------


def _log() -> Store:
    return Store.open_strictly(find_root(Path.cwd()), create=False)


def _lines(found: Summary) -> list[str]:
    size = f"log: {_size(found.size)}, of which {_size(found.free)} are free"
    if not found.groups:
        return ["No groups yet: `diffufix repair` and `diffufix train --self-play` log them.", size]
    assert found.oldest is not None
    assert found.newest is not None
    share = found.with_signal / found.groups
    lost = f"; {found.lost:,} lack a reward" if found.lost else ""
    mean = "" if found.mean is None else f", mean reward {found.mean:.3f}"
    lines = [
        f"{found.groups:,} groups of {found.tasks:,} tasks, {found.completions:,} completions",
        f"{found.with_signal:,} groups ({share:.0%}) have rewards that differ{lost}",
        f"passes: {found.passes:,} ({found.passes / max(1, found.completions):.1%}){mean}",
        "verdicts: " + ", ".join(f"{count:,} {state}" for state, count in found.states.items()),
        "tasks: "
        + ", ".join(
            f"{count:,} {origin} ({signal:,} with signal)"
            for origin, (count, signal) in found.origins.items()
        ),
        f"age: {_age(found.oldest)} to {_age(found.newest)}",
        size,
        "",
        f"{'model':36}  {'groups':>8}  {'signal':>6}  {'passes':>6}  {'reward':>6}  last",
    ]
    for row in found.models[:_SHOWN]:
        label = f"{row.name} {row.fingerprint[:12]}".strip()
        reward = "" if row.mean is None else f"{row.mean:.3f}"
        when = datetime.fromtimestamp(row.newest).strftime("%Y-%m-%d %H:%M")
        lines.append(
            f"{label[:36]:36}  {row.groups:>8,}  {row.with_signal / row.groups:>6.0%}  "
            f"{row.passes / max(1, row.completions):>6.1%}  {reward:>6}  {when}"
        )
    if len(found.models) > _SHOWN:
        lines.append(f"and {len(found.models) - _SHOWN:,} more (--json has all)")
    return lines


def _size(count: int) -> str:
    return f"{count / 2**20:,.1f} MB"


def _age(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("days", DAY), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
