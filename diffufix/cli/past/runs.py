"""`diffufix runs list|show|diff|rm`: the project's log."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli import options
from diffufix.cli.out import echo
from diffufix.cli.parsing import CliCommand, CliGroup
from diffufix.cli.past.chosen import NOTHING_YET, Run, logged, patch_of, patches_of, run_of
from diffufix.errors import UsageError
from diffufix.project import find_root
from diffufix.report import jsondoc, past, terminal
from diffufix.report.page import check_place, write_page
from diffufix.store import Store
from diffufix.store.query import RUNNING, candidates_of, list_runs, suspects_of

app = typer.Typer(
    cls=CliGroup,
    no_args_is_help=True,
    help="""Look at what was run here: list, show, compare, remove.

    Examples:
      diffufix runs list
      diffufix runs show              # the latest
      diffufix runs show 7 --patches  # every patch that run 7 found
      diffufix runs diff 7 1 2        # how two of them differ
    """,
)


@app.command("list", cls=CliCommand)
def list_(
    limit: Annotated[
        int, typer.Option(min=1, metavar="N", help="Show at most this many runs.")
    ] = 20,
    json: options.JsonFlag = False,
) -> None:
    """The latest runs, newest first: command, outcome, what became of the patch.

    Examples:
      diffufix runs list
      diffufix runs list --limit 100 --json
    """
    root = find_root(Path.cwd())
    rows = []
    if logged(root):
        with Store.open_strictly(root, create=False) as store:
            rows = list_runs(store, limit)
    from diffufix.repair.apply import fates

    known = fates(root)
    if json:
        documents = [asdict(row) | {"patch_state": known.get(str(row.id), "")} for row in rows]
        echo(jsondoc.dump(jsondoc.rows_document("runs", documents)), nl=False)
        return
    if not rows:
        echo(NOTHING_YET)
        return
    terminal.write_lines(past.table(rows, known, terminal.columns(sys.stdout)), sys.stdout)


@app.command("show", cls=CliCommand)
def show(
    run: Run = None,
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Every candidate with its verdict.")
    ] = False,
    patches: Annotated[
        bool, typer.Option("--patches", help="Every patch that passed, and what speaks for it.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Only the patch; git apply takes it.")] = (
        False
    ),
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page of everything that was tried."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="With --candidates: at most so many; 0: all.")
    ] = 200,
    json: options.JsonFlag = False,
    verbose: options.Verbose = None,
) -> None:
    """One run: what came of it, the patch, what speaks for it, what to do next.

    Examples:
      diffufix runs show                       # the latest
      diffufix runs show 7 --patches
      diffufix runs show 7 --candidates -v     # with likelihoods
      diffufix runs show 7 --diff | git apply
      diffufix runs show 7 --html report.html
    """
    from diffufix.repair.apply import fates

    root = find_root(Path.cwd())
    if not logged(root):
        raise UsageError(NOTHING_YET)
    with Store.open_strictly(root, create=False) as store:
        row = run_of(store, run)
        suspects = suspects_of(store, row.id)
        tried = list(candidates_of(store, row.id)) if candidates else []
    if html is not None:
        check_place(html)
        write_page(root, row.id, html)
        echo(f"wrote {html}", err=True)
        return
    if json:
        document: dict[str, Any] = asdict(row) | {"suspects": [asdict(s) for s in suspects]}
        document |= {"candidates": [asdict(c) for c in tried]} if candidates else {}
        document |= {"patch_state": fates(root).get(str(row.id), "")}
        echo(jsondoc.dump(jsondoc.rows_document("runs", [document])), nl=False)
        return
    found = patches_of(row)
    if diff:
        terminal.write_diff(found[0]["diff"] if found else "", sys.stdout)
        return
    if patches:
        _patches(row.id, found)
        return
    if candidates:
        terminal.write_lines(past.candidates(tried, limit, bool(verbose)), sys.stdout)
        return
    if found:
        terminal.write_diff(found[0]["diff"], sys.stdout)
        echo()
    fate = fates(root).get(str(row.id), "")
    told = past.facts(row, suspects, found, fate, bool(verbose))
    terminal.write_lines(told, sys.stdout)


@app.command("diff", cls=CliCommand)
def diff_(
    run: Run = None,
    first: Annotated[int, typer.Argument(help="A patch's number.")] = 1,
    second: Annotated[
        int | None, typer.Argument(help="Another one's.", show_default="none: the patch itself")
    ] = None,
) -> None:
    """The patch of a run, or how two of its patches differ.

    Examples:
      diffufix runs diff              # the latest patch
      diffufix runs diff 7 2          # the second patch of run 7
      diffufix runs diff 7 1 2        # what its second patch does otherwise than its first
    """
    root = find_root(Path.cwd())
    if not logged(root):
        raise UsageError(NOTHING_YET)
    with Store.open_strictly(root, create=False) as store:
        row = run_of(store, run, patched=True)
    one = patch_of(row, first)
    if second is None:
        terminal.write_diff(one["diff"], sys.stdout)
        return
    other = patch_of(row, second)
    for line in past.apart(row.id, one, other):
        echo(line)


@app.command("rm", cls=CliCommand)
def remove(
    runs: Annotated[list[int], typer.Argument(metavar="RUN...", help="Numbers of runs.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove runs from the log, with their candidates; patches that were written stay written.

    Examples:
      diffufix runs rm 3 4 --yes
    """
    from diffufix.store.overview import remove_runs

    root = find_root(Path.cwd())
    if not logged(root):
        raise UsageError(NOTHING_YET)
    with Store.open_strictly(root, create=False) as store:
        rows = [run_of(store, run) for run in dict.fromkeys(runs)]
        if busy := [row.id for row in rows if row.status == RUNNING]:
            raise UsageError(f"Run {busy[0]} is still going on.", "Wait for it, or end it.")
        told = ", ".join(map(str, (row.id for row in rows)))
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(f"`runs rm` deletes run {told}.", "Repeat with --yes.")
            if not typer.confirm(f"Remove run {told} from the log?", err=True):
                echo("Nothing was removed.")
                return
        remove_runs(store, [row.id for row in rows])
    echo(f"Removed run {told}.")


def _patches(run: int, found: list[dict[str, Any]]) -> None:
    if not found:
        echo(f"Run {run} has no patch that passed.")
    for each in found:
        if "evidence" in each:
            for line in terminal.offer_lines(each):
                echo(line)
        terminal.write_diff(each["diff"], sys.stdout)
        echo()
    if found:
        echo(f"`diffufix apply {run} PATCH` writes one of them.")
