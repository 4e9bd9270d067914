"""`diffufix runs list|show`: read the project's log."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.cli.out import echo
from diffufix.config import find_root
from diffufix.report import jsondoc, terminal
from diffufix.store import Store
from diffufix.store.query import (
    CandidateRow,
    RunRow,
    candidates_of,
    get_run,
    list_runs,
    suspects_of,
)
from diffufix.trusted import visible

app = typer.Typer(no_args_is_help=True, help="Show the runs in this project's log.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many runs.")] = 20,
    json: Json = False,
) -> None:
    """The latest runs, newest first."""
    with Store.open_strictly(find_root(Path.cwd()), create=False) as store:
        rows = list_runs(store, limit)
    if json:
        echo(jsondoc.dump(jsondoc.rows_document("runs", [asdict(row) for row in rows])), nl=False)
        return
    echo(f"{'run':>5}  {'started':16}  {'status':14}  {'seconds':>7}  {'tried':>7}  model")
    for row in rows:
        echo(_line(row))


@app.command("show")
def show(
    run: Annotated[int, typer.Argument(help="The number of a run.")],
    candidates: Annotated[
        bool, typer.Option("--candidates", help="Show every candidate with its verdict.")
    ] = False,
    patches: Annotated[
        bool,
        typer.Option("--patches", help="Show every patch that passed, and what speaks for it."),
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print only the patch.")] = False,
    json: Json = False,
) -> None:
    """One run: suspects, verdicts, patch."""
    with Store.open_strictly(find_root(Path.cwd()), create=False) as store:
        row = get_run(store, run)
        suspects = suspects_of(store, run)
        tried = list(candidates_of(store, run)) if candidates else []
    patch = (row.summary.get("patch") or {}).get("diff", "")
    if json:
        document = asdict(row) | {"suspects": [asdict(s) for s in suspects]}
        document |= {"candidates": [asdict(c) for c in tried]} if candidates else {}
        echo(jsondoc.dump(jsondoc.rows_document("runs", [document])), nl=False)
        return
    if diff:
        terminal.write_diff(patch, sys.stdout)
        return
    if patches:
        _patches(run, row.summary.get("patches") or [])
        return
    for line in _facts(row):
        echo(line)
    for s in suspects:
        echo(f"  {s.score:.2f}  {s.path}:{s.first_line} {s.qualname}  {s.evidence}".rstrip())
    for c in tried:
        echo(_candidate(c))
    if patch:
        echo()
        terminal.write_diff(patch, sys.stdout)


def _patches(run: int, found: list[dict[str, Any]]) -> None:
    if not found:
        typer.echo(f"Run {run} has no patch that passed.")
    for each in found:
        for line in terminal.offer_lines(each):
            typer.echo(visible(line))
        terminal.write_diff(each["diff"], sys.stdout)
        typer.echo()
    if found:
        typer.echo(f"`diffufix apply {run} PATCH` writes one of them.")


def _line(row: RunRow) -> str:
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    model = f"{row.model} {row.model_hash[:8]}".rstrip()
    tried = f"{sum(row.states.values()):,}"
    return f"{row.id:>5}  {_when(row)}  {row.status:14}  {seconds:>7}  {tried:>7}  {model}".rstrip()


def _when(row: RunRow) -> str:
    return datetime.fromtimestamp(row.started_at).strftime("%Y-%m-%d %H:%M")


def _facts(row: RunRow) -> list[str]:
    seconds = "" if row.seconds is None else f" after {row.seconds:.1f} s"
    states = ", ".join(f"{count:,} {state}" for state, count in row.states.items()) or "none"
    message = row.summary.get("message")
    return [
        f"run {row.id}, {row.command}, {_when(row)}: {row.status}{seconds}",
        f"model: {row.model} {row.model_hash}".rstrip(),
        f"sampled: {row.fills:,} fills of {row.holes:,} holes; candidates: {states}",
        *([message] if message else []),
    ]


def _candidate(c: CandidateRow) -> str:
    old, new = (" ".join(text.split()) for text in (c.original, c.text))
    logp = "" if c.logp is None else f"{c.logp:7.2f}"
    where = f"{c.path} {c.qualname}".strip()
    return f"  {c.state:10} {logp:7}  {where}  {c.kind}: {old} -> {new}  {c.detail}".rstrip()
