"""`diffufix train fixes|failures|tasks`: pairs of real fixes, or of bugs that tests notice; tasks
for other trainers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diffufix.cli import options
from diffufix.cli.out import echo


def fixes(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPOSITORY...",
            help="Git repositories whose small fixing commits are taken; or .jsonl.gz files of "
            "mined fixes (docs/training.md).",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .jsonl.gz of pairs to write.")],
    commits: Annotated[
        int | None, typer.Option(help="Of each repository, newest first; default: all.")
    ] = None,
    since: Annotated[int, typer.Option(help="The year of the first fixes of mined files.")] = 2012,
) -> None:
    """Turn fixes that people made into pairs: `diffufix train sft --pairs FILE` learns from them.

    A pair is a function before and after, what its file says around it, and the lines of the
    commit's tests that speak of it.

    Examples:
      diffufix train fixes shop till --out pairs.jsonl.gz
    """
    from diffufix.train.bugs.fixes import gather

    found = gather(sources, out, commits, since)
    echo(f"{found:,} {'fix' if found == 1 else 'fixes'}: {out}")


def failures(
    project: Annotated[Path, typer.Argument(help="A project whose tests pass.")],
    pytest_args: Annotated[
        list[str] | None, typer.Argument(metavar="[PYTEST_ARGS]...", show_default=False)
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The .jsonl.gz of pairs to write.")
    ] = Path("pairs.jsonl.gz"),
    count: Annotated[int, typer.Option(min=1, help="At most this many pairs.")] = 2000,
    sandbox: options.Sandbox = None,
    trust: options.Trust = None,
) -> None:
    """Make pairs of bugs that a project's tests notice: `sft --pairs FILE` learns from them.

    Examples:
      diffufix train failures shop --count 500
    """
    from diffufix.config import load_settings
    from diffufix.train.rl.failures import gather

    args = tuple(pytest_args or ())
    settings = load_settings(project, args, {"sandbox": sandbox, "trust": trust})
    found, stopped = gather(settings, out, count)
    echo(f"{found:,} {'pair' if found == 1 else 'pairs'}: {out}")
    raise typer.Exit(130 if stopped else 0)


def tasks(
    project: Annotated[Path, typer.Argument(help="A project whose tests pass.")],
    pytest_args: Annotated[
        list[str] | None, typer.Argument(metavar="[PYTEST_ARGS]...", show_default=False)
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER|FILE",
            help="A new folder for tasks in Harbor's format, or *.jsonl for rows that "
            "diffufix.trainers grades.",
        ),
    ] = Path("tasks"),
    count: Annotated[int, typer.Option(min=1, help="At most this many tasks.")] = 100,
    sandbox: options.Sandbox = None,
    image: options.Image = None,
    trust: options.Trust = None,
) -> None:
    """Make tasks for other trainers: bugs that a project's tests notice, and how they are graded.

    Examples:
      diffufix train tasks shop --out tasks --count 50
      diffufix train tasks shop --out tasks.jsonl
    """
    from diffufix.config import load_settings
    from diffufix.trainers.exporting import export

    given = {"sandbox": sandbox, "image": image, "trust": trust}
    settings = load_settings(project, tuple(pytest_args or ()), given)
    found = export(settings, out, count, lambda line: echo(line, err=True))
    echo(f"{found:,} {'task' if found == 1 else 'tasks'}: {out}")
