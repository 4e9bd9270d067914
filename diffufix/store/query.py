"""Reading the log: what `diffufix runs` shows. Never writes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diffufix.errors import StoreError, UsageError
from diffufix.store.store import Store

RUNNING, KILLED = "running", "killed"


@dataclass(frozen=True)
class RunRow:
    """One run. `status` is `running` or `killed` when it never finished."""

    id: int
    command: str
    started_at: float
    seconds: float | None
    status: str
    model: str
    model_hash: str
    settings: dict[str, Any]
    summary: dict[str, Any]
    holes: int
    fills: int
    states: dict[str, int]  # screening verdict -> candidates


@dataclass(frozen=True)
class SuspectRow:
    rank: int
    path: str
    qualname: str
    first_line: int
    score: float
    evidence: str


@dataclass(frozen=True)
class CandidateRow:
    """One candidate with its hole, its fill and its latest verdict."""

    id: int
    path: str
    qualname: str
    kind: str
    original: str
    text: str
    logp: float | None
    stage: str
    state: str
    seconds: float
    detail: str


@dataclass(frozen=True)
class FailureRow:
    """A test that failed before anything was changed."""

    test: str
    message: str
    report: str


@dataclass(frozen=True)
class PlaceRow:
    """A suspect with its text as it was; `start` counts characters of the decoded file."""

    path: str
    qualname: str
    first_line: int
    last_line: int
    score: float
    evidence: str
    lines: dict[int, float]
    source: str
    start: int


@dataclass(frozen=True)
class TriedRow:
    """One verdict: when (seconds since the epoch), of what. `pieces`, `order` and `logps` run along
    the tokens of what the model put there, where it passed."""

    at: float | None
    stage: str
    state: str
    path: str | None  # None: several edits together
    qualname: str | None
    kind: str | None
    start: int | None
    end: int | None
    text: str | None
    pieces: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()


@dataclass(frozen=True)
class PageRows:
    failures: list[FailureRow]
    places: list[PlaceRow]
    tried: list[TriedRow]


def list_runs(store: Store, limit: int = 20) -> list[RunRow]:
    """The latest runs, newest first. Raises StoreError if the log cannot be read."""
    with _Reading():
        ids = store.connection.execute(
            "SELECT id FROM runs ORDER BY id DESC LIMIT ?", (limit,)
        ).fetchall()
    return [get_run(store, row["id"]) for row in ids]


def get_run(store: Store, run_id: int) -> RunRow:
    """One run. Raises UsageError if there is none with that id."""
    with _Reading():
        row = store.connection.execute(
            "SELECT runs.*, models.name AS model, models.hash AS model_hash FROM runs"
            " LEFT JOIN models ON models.id = runs.model_id WHERE runs.id = ?",
            (run_id,),
        ).fetchone()
        if row is None:
            raise UsageError(f"There is no run {run_id}.", "`diffufix runs list` shows them.")
        count = store.connection.execute
        holes = count("SELECT count(*) FROM holes WHERE run_id = ?", (run_id,)).fetchone()[0]
        fills = count(
            "SELECT count(*) FROM fills JOIN holes ON holes.id = hole_id WHERE run_id = ?",
            (run_id,),
        ).fetchone()[0]
        states = count(
            "SELECT state, count(*) FROM verdicts JOIN candidates ON candidates.id = candidate_id"
            " WHERE run_id = ? AND stage != 'confirm' GROUP BY state ORDER BY state",
            (run_id,),
        ).fetchall()
    finished = row["finished_at"]
    return RunRow(
        id=row["id"],
        command=row["command"],
        started_at=row["started_at"],
        seconds=None if finished is None else finished - row["started_at"],
        status=row["status"] or (RUNNING if _alive(row["pid"]) else KILLED),
        model=row["model"] or "",
        model_hash=row["model_hash"] or "",
        settings=json.loads(row["settings"]),
        summary=json.loads(row["summary"] or "{}"),
        holes=holes,
        fills=fills,
        states=dict(map(tuple, states)),
    )


def suspects_of(store: Store, run_id: int) -> list[SuspectRow]:
    """The suspects of a run, most suspicious first."""
    with _Reading():
        rows = store.connection.execute(
            "SELECT rank, path, qualname, first_line, score, evidence FROM suspects"
            " WHERE run_id = ? ORDER BY rank",
            (run_id,),
        ).fetchall()
    return [SuspectRow(*row) for row in rows]


def candidates_of(store: Store, run_id: int) -> Iterator[CandidateRow]:
    """Every candidate of a run that has a verdict, in the order they were tried."""
    with _Reading():
        cursor = store.connection.execute(
            "SELECT candidates.id, coalesce(path, ''), coalesce(qualname, ''),"
            " coalesce(kind, 'combined'), coalesce(original, ''), coalesce(text, ''), logp,"
            " stage, state, seconds, detail FROM candidates"
            " JOIN verdicts ON verdicts.id ="
            "   (SELECT max(id) FROM verdicts WHERE candidate_id = candidates.id)"
            " LEFT JOIN fills ON fills.id = fill_id LEFT JOIN holes ON holes.id = hole_id"
            " WHERE candidates.run_id = ? ORDER BY candidates.id",
            (run_id,),
        )
        for row in cursor:
            yield CandidateRow(*row)


def page_of(store: Store, run_id: int) -> PageRows:
    """What the page of a run shows beside its summary."""
    with _Reading():
        ask = store.connection.execute
        failures = ask(
            "SELECT test, message, report FROM failures WHERE run_id = ? ORDER BY rank", (run_id,)
        ).fetchall()
        places = ask(
            "SELECT path, qualname, first_line, last_line, score, evidence,"
            " coalesce(lines, '{}') AS lines, coalesce(source, '') AS source,"
            " coalesce(start, 0) AS start"
            " FROM suspects WHERE run_id = ? ORDER BY rank",
            (run_id,),
        ).fetchall()
        tried = ask(
            "SELECT verdicts.at, stage, state, path, qualname, kind, holes.start,"
            " holes.end, fills.text, pieces, commit_order, token_logps FROM verdicts"
            " JOIN candidates ON candidates.id = candidate_id"
            " LEFT JOIN fills ON fills.id = fill_id LEFT JOIN holes ON holes.id = hole_id"
            " WHERE candidates.run_id = ? ORDER BY verdicts.id",
            (run_id,),
        ).fetchall()
    return PageRows(
        [FailureRow(*row) for row in failures],
        [_place_row(row) for row in places],
        [
            TriedRow(*row[:9], *(tuple(json.loads(text or "[]")) for text in row[9:]))
            for row in tried
        ],
    )


def _place_row(row: sqlite3.Row) -> PlaceRow:
    values = dict(row)
    values["lines"] = {int(number): value for number, value in json.loads(row["lines"]).items()}
    return PlaceRow(**values)


class _Reading:
    """Turns what SQLite says of a damaged database into a StoreError."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise StoreError(
                f"The log cannot be read: {error}.", "`diffufix clean` removes it."
            ) from error


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
