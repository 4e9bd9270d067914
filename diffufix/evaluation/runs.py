"""A run on disk: a folder with run.json (what is measured, and how) and rows.jsonl (a line a case).

A row is written whole, when its case is over, and flushed to the disk. What a killed run left is
read again, a line that was cut short is dropped, and only what is missing is run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffufix.errors import UsageError
from diffufix.evaluation.types import Row

RUN, ROWS = "run.json", "rows.jsonl"
#: What may differ between the two halves of a run that goes on.
FREE = frozenset({"started", "diffufix_version", "command", "workers", "load"})


class RunFolder:
    """Opens or makes the folder. Raises UsageError where it holds another run."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], *, again: bool = False) -> None:
        self.folder, self.plan = folder, json.loads(json.dumps(plan))
        folder.mkdir(parents=True, exist_ok=True)
        if again:
            for name in (RUN, ROWS):
                (folder / name).unlink(missing_ok=True)
        head = folder / RUN
        if head.is_file():
            self._check(read_json(head))
        else:
            if any(folder.iterdir()):
                raise UsageError(
                    f"{folder} holds other files.", "Name an empty or new folder with --out."
                )
            head.write_text(json.dumps(self.plan, indent=1) + "\n", "utf-8")
        self.rows: dict[str, Row] = {str(row["id"]): row for row in read_rows(folder)}

    def _check(self, before: Mapping[str, Any]) -> None:
        for name in {*before, *self.plan} - FREE:
            if before.get(name) != self.plan.get(name):
                raise UsageError(
                    f"{self.folder} holds a run with {name} = {before.get(name)!r}, "
                    f"not {self.plan.get(name)!r}.",
                    "Give the same options to go on with it, another --out, or --again.",
                )

    def done(self, id: str) -> Row | None:
        """The row of a case that is over. None: it was not run, or could not be set up then."""
        row = self.rows.get(id)
        return None if row is None or row.get("status") == "not run" else row

    def add(self, row: Row) -> None:
        """Write the row of a finished case."""
        self.rows[str(row["id"])] = row
        path = self.folder / ROWS
        torn = path.is_file() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if torn else "") + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_rows(folder: Path) -> list[Row]:
    """The rows of a run, the last of each case; lines cut short by a kill are left out."""
    path = folder / ROWS
    found: dict[str, Row] = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "id" in row:
            found[str(row["id"])] = row
    return list(found.values())


def read_run(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """What was measured, and the rows. Raises UsageError for a folder that holds no run."""
    if not (folder / RUN).is_file():
        raise UsageError(
            f"{folder} holds no run.", "Name a folder that `diffufix evaluate SUITE --out` wrote."
        )
    return read_json(folder / RUN), read_rows(folder)


def read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} is not a JSON object.")
    return found
