"""Patches that a run left in the log: `kept_patch` makes one anew. Reads the files it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffufix.errors import ApplyError, UsageError
from diffufix.propose.candidates import Change, PatchSet
from diffufix.repair.types import digest
from diffufix.source.file import SourceFile
from diffufix.source.patch import make_patch
from diffufix.types import Patch


@dataclass(frozen=True)
class SavedPatch:
    patch: Patch
    confirmed: bool
    refused: str = ""


def kept_patch(summary: Mapping[str, Any], root: Path, run: int, number: int) -> SavedPatch:
    """Patch `number` of a run whose summary this is, for the files as they are now.

    Raises UsageError where there is no such patch, ApplyError where a file is not the one that the
    patch was made for, ProjectError where one cannot be read.
    """
    patches = summary.get("patches") or _only(summary)
    told = next((p for p in patches if p.get("number") == number), None)
    if told is None:
        known = {0: "It has none to choose from.", 1: "It has one, number 1."}.get(
            len(patches), f"It has 1 to {len(patches)}."
        )
        raise UsageError(
            f"Run {run} has no patch {number}.", f"{known} `diffufix runs list` shows the runs."
        )
    sources, changes = {}, []
    for edit in told["edits"]:
        path = edit["path"]
        source = sources[path] = SourceFile.read(root / path)
        if digest(source.text) != edit["digest"]:
            raise ApplyError(
                f"{path} is not as it was in run {run}.",
                "Take the change back (`diffufix undo`), or run `diffufix repair` again.",
            )
        changes += [Change(path, start, end, text) for start, end, text in edit["spans"]]
    files = PatchSet({path: source.text for path, source in sources.items()}).files(*changes)
    if not files:
        raise ApplyError(f"Patch {number} of run {run} does not fit together.")
    return SavedPatch(make_patch(sources, files), bool(told["confirmed"]), str(told["refused"]))


def _only(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The patch of a run that offers no choice: what is handed back was confirmed."""
    edits = (summary.get("patch") or {}).get("edits")
    return [{"number": 1, "edits": edits, "confirmed": True, "refused": ""}] if edits else []
