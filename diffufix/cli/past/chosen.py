"""Which run a command means: the one that is named, else the latest with a patch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from diffufix.errors import UsageError
from diffufix.store import Store
from diffufix.store.query import RunRow, get_run, list_runs
from diffufix.store.store import log_path

NOTHING_YET = "Nothing was run here yet: `diffufix repair` keeps what it tries in a log."
SEARCHED = 1_000  # of the latest runs, for one with a patch

Run = Annotated[
    int | None,
    typer.Argument(
        metavar="[RUN]", help="A run's number: `diffufix runs list`.", show_default="the latest"
    ),
]


def logged(root: Path) -> bool:
    """Whether there is a log. Raises StoreError where what lies there is not ours."""
    return log_path(root).is_file()


def run_of(store: Store, number: int | None, patched: bool = False) -> RunRow:
    """The run of that number; without one the latest, `patched`: that has a patch."""
    if number is not None:
        return get_run(store, number)
    rows = list_runs(store, SEARCHED if patched else 1)
    found = next((row for row in rows if not patched or patches_of(row)), None)
    if found is None:
        what = "No run here has found a patch." if rows else NOTHING_YET
        raise UsageError(what, "`diffufix repair` searches for one.")
    return found


def patches_of(row: RunRow) -> list[dict[str, Any]]:
    """Every patch of a run, the first choice first: number, diff and what speaks for it."""
    offers = row.summary.get("patches") or []
    if offers:
        return list(offers)
    patch = row.summary.get("patch")
    return [{"number": 1, "confirmed": True, "refused": "", **patch}] if patch else []


def patch_of(row: RunRow, number: int) -> dict[str, Any]:
    """One of them. Raises UsageError where there is none of that number."""
    found = patches_of(row)
    wanted = next((patch for patch in found if patch["number"] == number), None)
    if wanted is None:
        known = {0: "It has none.", 1: "It has one, number 1."}.get(
            len(found), f"It has 1 to {len(found)}."
        )
        raise UsageError(f"Run {row.id} has no patch {number}.", known)
    return wanted
