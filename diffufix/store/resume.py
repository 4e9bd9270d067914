"""What an interrupted run of the same command has tried already, on the same files. Reads the log.

A run is marked with a digest of the project's files as they are and of what was asked for
(`mark`). Nothing of an earlier run is known where a file, an option or diffufix has changed since.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffufix
from diffufix.store.store import Store
from diffufix.types import RED, State

MARK = "project"  # the key among the settings of a run
_SKIPPED = frozenset({"__pycache__", "node_modules", ".git", ".hg", ".svn", ".diffufix",
                      ".venv", "venv", ".tox", ".nox", ".pytest_cache", ".mypy_cache",
                      ".ruff_cache"})  # fmt: skip
#: Settings that change neither what is tried nor what is said of it.
_ASIDE = frozenset({"budget", "apply", "force", "yes", "json", "quiet", "verbose", "fresh", "all",
                    "output_format", "collect", "rewards", "candidates", "threshold", "accept",
                    "model_note", "workers", "on"})  # fmt: skip
_MOST = 100_000  # files beyond which a project is not looked through
_INTERRUPTED = ("interrupted", None)  # None: it was killed


@dataclass(frozen=True)
class Earlier:
    """`failed`: key of a candidate (`Candidate.key`) that never passed -> tests that it fails."""

    runs: tuple[int, ...] = ()
    failed: Mapping[str, frozenset[str]] = field(default_factory=dict)


def mark(root: Path, settings: Mapping[str, Any], command: str) -> str:
    """The digest by which runs of one command on one state of a project know each other; "" where
    the project is too large to be looked through."""
    digest = hashlib.blake2b(digest_size=16)
    asked = {key: value for key, value in settings.items() if key not in _ASIDE}
    told = json.dumps([diffufix.__version__, command, asked], default=str, sort_keys=True)
    digest.update(told.encode("utf-8", "surrogateescape"))
    pending, count = [root], 0
    while pending:
        try:
            entries = sorted(os.scandir(pending.pop()), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            count += 1
            if count > _MOST:
                return ""
            if entry.name in _SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir():
                pending.append(Path(entry.path))
                continue
            found = entry.stat()
            line = f"{entry.path}\0{found.st_size}\0{found.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def earlier(store: Store, marked: str, now: int) -> Earlier:
    """What the runs right before run `now` have tried that bear this mark and were interrupted."""
    if not marked:
        return Earlier()
    try:
        rows = store.query(
            "SELECT id, status FROM runs WHERE id < ? AND json_extract(settings, ?) = ?"
            " ORDER BY id DESC",
            (now, f"$.{MARK}", marked),
        )
        runs = []
        for row in rows:
            if row["status"] not in _INTERRUPTED:
                break
            runs.append(row["id"])
        if not runs:
            return Earlier()
        marks = ", ".join("?" * len(runs))
        rows = store.query(
            "SELECT key, state, outcomes FROM candidates"
            " JOIN verdicts ON candidate_id = candidates.id"
            f" WHERE run_id IN ({marks}) AND stage != 'provisional'",
            runs,
        )
        failed: dict[str, frozenset[str]] = {}
        for row in rows:
            red = {
                t for t, outcome in json.loads(row["outcomes"] or "{}").items() if outcome in RED
            }
            failed[row["key"]] = failed.get(row["key"], frozenset()) | red
        other = {row["key"] for row in rows if row["state"] != State.FAIL}
    except (sqlite3.Error, ValueError):
        return Earlier()  # a log that cannot be read is no reason not to search
    known = {key: tests for key, tests in failed.items() if tests and key not in other}
    return Earlier(tuple(reversed(runs)), known)
