"""Runs that are over, as text: the list, one of them, its candidates, how two patches differ. Pure.

Lines are pairs of text and style, as `terminal.write_lines` takes them.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from diffufix.report.words import counted, listed, seconds
from diffufix.store.query import CandidateRow, RunRow, SuspectRow

Line = tuple[str, str]
_STATUS = {"repaired": "green", "generated": "green", "plausible": "yellow", "running": "cyan",
           "not-repaired": "red", "error": "red"}  # fmt: skip
_SHORT = 60  # characters of a candidate's old and new text


def table(rows: Sequence[RunRow], fates: Mapping[str, str], width: int) -> list[Line]:
    """One run a line; `fates` says what became of the patches, `width` 0 is no limit."""
    head = f"{'run':>4}  {'started':16}  {'took':>9}  {'outcome':13}  {'patch':10}  command"
    lines: list[Line] = [(head, "bold")]
    for row in rows:
        took = "" if row.seconds is None else seconds(row.seconds)
        found = row.summary.get("patch")
        fate = fates.get(str(row.id)) or ("found" if found else "")
        line = (
            f"{row.id:>4}  {when(row)}  {took:>9}  {row.status:13}  {fate:10}  {command_of(row)}"
        ).rstrip()
        if width and len(line) > width:
            line = line[: width - 1] + "…"
        lines.append((line, _STATUS.get(row.status, "")))
    return lines


def when(row: RunRow) -> str:
    return datetime.fromtimestamp(row.started_at).strftime("%Y-%m-%d %H:%M")


def command_of(row: RunRow) -> str:
    """What was typed, as far as it says which tests or function were meant."""
    given = row.settings
    words = [row.command, *map(str, given.get("pytest_args") or ())]
    words += ["--function", given["function"]] if given.get("function") else []
    return shlex.join(words)


def facts(
    row: RunRow,
    suspects: Sequence[SuspectRow],
    patches: Sequence[Mapping[str, Any]],
    fate: str,
    verbose: bool,
) -> list[Line]:
    """One run: what came of it, the tests, what speaks for the patch, what to do next."""
    took = "" if row.seconds is None else f" after {seconds(row.seconds)}"
    summary = row.summary
    lines: list[Line] = [
        (f"run {row.id}, {command_of(row)}, {when(row)}: {row.status}{took}",
         f"bold {_STATUS.get(row.status, '')}".strip())
    ]  # fmt: skip
    if message := summary.get("message"):
        lines.append((message, ""))
    for title, key in (("Failing before", "failing"), ("Green with the patch", "turned_green"),
                       ("Still failing", "still_red"), ("Flaky", "flaky")):  # fmt: skip
        ids = summary.get(key) or []
        if ids:
            lines.append((f"{title}: {len(ids):,}", ""))
            lines += [(f"  {test}", "") for test in listed(ids, 0 if verbose else 5)]
    if summary.get("probability") is not None:
        lines.append((f"Likely right: {summary['probability']:.0%}", "bold"))
        lines += [(f"  {words}", "") for words in summary.get("evidence") or ()]
    if suspects:
        lines.append(("Most suspicious:", "bold"))
        for s in suspects[: None if verbose else 3]:
            score = f"{s.score:.2f}  " if verbose else ""
            evidence = f"  {s.evidence}" if verbose else ""
            lines.append((f"  {score}{s.path}:{s.first_line} {s.qualname}{evidence}".rstrip(), ""))
    states = ", ".join(f"{count:,} {state}" for state, count in row.states.items()) or "none"
    if verbose:
        lines.append((f"model: {row.model} {row.model_hash}".rstrip(), "dim"))
        lines.append((f"sampled: {row.fills:,} fills of {row.holes:,} holes", "dim"))
    lines.append((f"candidates: {states}", "dim"))
    if len(patches) > 1:
        lines.append(
            (f"{counted(len(patches), 'patch', 'patches')} passed: "
             f"`diffufix runs show {row.id} --patches`", "")
        )  # fmt: skip
    again = f"`diffufix apply {row.id}` writes it" + (" again." if fate else ".")
    if fate == "written":
        lines.append(("The patch is written; `diffufix undo` takes it back.", ""))
    elif patches:
        lines.append((f"The patch is taken back; {again}" if fate else f"The patch: {again}", ""))
    return lines


def candidates(rows: Sequence[CandidateRow], limit: int, verbose: bool) -> list[Line]:
    """Every candidate on a line, what was there and what came in its place."""
    shown = rows[:limit] if limit else rows
    lines: list[Line] = [(f"{'verdict':10}  where and what", "bold")] if rows else []
    for row in shown:
        logp = "" if row.logp is None or not verbose else f"{row.logp:7.2f}  "
        where = f"{row.path} {row.qualname}".strip()
        old, new = (_cut(text) for text in (row.original, row.text))
        detail = f"  {_cut(row.detail)}" if row.detail else ""
        lines.append((f"{row.state:10}  {logp}{where}: {old} -> {new}{detail}".rstrip(), ""))
    if len(rows) > len(shown):
        lines.append((f"... and {len(rows) - len(shown):,} more: --limit 0 shows all", "dim"))
    return lines or [("No candidate was run.", "")]


def apart(run: int, one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """How two patches of a run differ: in what they do, as far as that is known, and in lines."""
    lines = []
    if other.get("apart") and one["number"] == 1:
        lines += [f"Patch {other['number']} is not the same: {other['apart']}", ""]
    lines += difflib.unified_diff(
        one["diff"].splitlines(), other["diff"].splitlines(), f"run {run}, patch {one['number']}",
        f"run {run}, patch {other['number']}", lineterm="", n=2,
    )  # fmt: skip
    return lines


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
