"""The log of every run: what was masked, what was sampled, what the tests said.

Writes `.diffufix/log.sqlite` of the project (WAL). Rows are collected and written in one
transaction about four times a second, so a kill loses at most the last moment and never the
database. The log must never stop a repair: rows that cannot be written because another writer or a
full disk is in the way wait in memory and are tried again; `warning` says what is amiss.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffufix
from diffufix.errors import StoreError
from diffufix.store.connection import connect, hint, is_full, is_lock
from diffufix.store.folder import private_folder, private_path
from diffufix.types import SuspiciousFunction, TestCase, Verdict

if TYPE_CHECKING:
    from diffufix.types import Group

FILE_NAME = "log.sqlite"
COMMIT_EVERY = 0.25  # seconds
RETRY_EVERY = 2.0  # seconds, while the disk is full
MOST_WAITING = 300_000  # rows; beyond, they are dropped
_COUNTER_BITS = 32
LONGEST_REPORT = 20_000  # characters of what pytest says of one failing test


def log_path(root: Path) -> Path:
    """Where a project's log lies; may not exist."""
    return private_path(root) / FILE_NAME


class Store:
    """A project's log. Ids are integers; every `add_*` returns at once and never raises."""

    def __init__(
        self, connection: sqlite3.Connection, warning: str = "", kept: bool = True
    ) -> None:
        self.connection = connection
        self.warning = warning  # why the log is not kept, or not complete; empty: all is well
        self.kept = kept  # on disk; else in memory alone
        self._passing = ""  # a warning that ends with its cause
        self._lock = threading.RLock()
        self._pending: list[tuple[str, tuple[Any, ...]]] = []
        self._counters: dict[int, int] = {}
        self._flushed_at = time.monotonic()

    # --- opening and closing ------------------------------------------------------------------

    @classmethod
    def open(cls, root: Path) -> Store:
        """The project's log, or one in memory (with `warning`) where that cannot be had."""
        try:
            return cls.open_strictly(root)
        except StoreError as error:
            connection = connect(":memory:")
            hint = f" {error.hint}" if error.hint else ""
            return cls(connection, f"{error.message} This run is not logged.{hint}", kept=False)

    @classmethod
    def open_strictly(cls, root: Path, create: bool = True) -> Store:
        """The project's log. Raises StoreError: unwritable, damaged, locked, too new, missing."""
        path = log_path(root)
        if not create and not path.is_file():
            raise StoreError(f"There is no log in {root}.", "`diffufix repair` makes one.")
        try:
            private_folder(root)
            connection = connect(str(path))
        except OSError as error:
            raise StoreError(f"{path.parent} cannot be written: {error.strerror}.") from error
        except sqlite3.Error as error:
            raise StoreError(f"The log {path} cannot be used: {error}.", hint(error)) from error
        return cls(connection)

    def close(self) -> None:
        """Write what is pending and close. Calling it twice does no harm."""
        self.flush()
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._pending:
                self._drop("it could not be written to the end")
            self.connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------

    def begin_run(self, settings: Any = None, command: str = "repair") -> int:
        """A new run; `settings` is a dataclass or mapping. On disk when this returns."""
        values = asdict(settings) if is_dataclass(settings) else dict(settings or {})  # type: ignore[arg-type]
        row = (diffufix.__version__, command, _json(values), os.getpid(), time.time())
        sql = (
            "INSERT INTO runs (version, command, settings, pid, started_at) VALUES (?, ?, ?, ?, ?)"
        )
        with self._lock:
            try:
                run_id = self.connection.execute(sql, row).lastrowid
            except sqlite3.Error as error:
                self._go_without(error)
                run_id = self.connection.execute(sql, row).lastrowid
        assert run_id is not None
        self._counters[run_id] = 0
        return run_id

    def set_model(
        self, run_id: int, name: str, hash: str, adapter: str = "", parameters: int | None = None
    ) -> None:
        """Which model the run uses; `hash` is the fingerprint of its weights."""
        row = (hash, name, adapter)
        self._put(
            "INSERT OR IGNORE INTO models (hash, name, adapter, parameters) VALUES (?, ?, ?, ?)",
            (*row, parameters),
        )
        self._put(
            "UPDATE runs SET model_id = (SELECT id FROM models"
            " WHERE hash = ? AND name = ? AND adapter = ?) WHERE id = ?",
            (*row, run_id),
        )

    def add_suspects(
        self,
        run_id: int,
        suspects: Iterable[SuspiciousFunction],
        texts: Mapping[str, str] | None = None,
    ) -> None:
        """The ranked suspects, best first; replaces those given before. `texts` are the decoded
        files that they lie in."""
        self._put("DELETE FROM suspects WHERE run_id = ?", (run_id,))
        for rank, s in enumerate(suspects, 1):
            row = (s.path, s.qualname, s.first_line, s.last_line, s.score, s.evidence)
            lines = (texts or {}).get(s.path, "").splitlines(keepends=True)
            source = "".join(lines[s.first_line - 1 : s.last_line]) if lines else None
            shown = (_json(dict(s.lines)), source, len("".join(lines[: s.first_line - 1])))
            marks = ", ".join("?" * 11)
            self._put(f"INSERT INTO suspects VALUES ({marks})", (run_id, rank, *row, *shown))

    def add_failures(self, run_id: int, cases: Iterable[TestCase]) -> None:
        """The tests that failed before anything was changed, and what they said."""
        for rank, case in enumerate(cases, 1):
            row = (run_id, rank, case.id, case.message, case.report[:LONGEST_REPORT])
            self._put("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?, ?)", row)

    def add_hole(
        self,
        run_id: int,
        path: str,
        qualname: str,
        start: int,
        end: int,
        kind: str,
        suspicion: float = 0.0,
        original: str = "",
        context: Any = None,
    ) -> int:
        """A hole; `context` is anything JSON holds (prompt, token ids left and right, ...)."""
        row = (path, qualname, start, end, str(kind), suspicion, original, _json(context))
        return self._add("holes", run_id, (run_id, *row))

    def add_fill(
        self,
        hole_id: int,
        text: str,
        token_ids: Sequence[int] | None = None,
        token_logps: Sequence[float] | None = None,
        order: Sequence[int] | None = None,
        logp: float | None = None,
        score: float | None = None,
        masks: Any = None,
    ) -> int:
        """A fill with its likelihoods under the policy that sampled it."""
        row = (text, _json(token_ids), _json(token_logps), _json(order), _json(masks), logp, score)
        return self._add("fills", _run_of(hole_id), (hole_id, *row, None))

    def add_pieces(self, fill_id: int, pieces: Sequence[str]) -> None:
        """The text of each of a fill's tokens."""
        self._put("UPDATE fills SET pieces = ? WHERE id = ?", (_json(list(pieces)), fill_id))

    def add_candidate(
        self, run_id: int, fill_id: int | None, key: str, diff: str | None = None
    ) -> int:
        """A candidate; `fill_id` is None when it combines several fills."""
        return self._add("candidates", run_id, (run_id, fill_id, key, diff))

    def add_verdict(self, candidate_id: int, verdict: Verdict, stage: str = "screen") -> int:
        """What the tests said of a candidate; `stage` as in schema.py."""
        row = (str(verdict.state), _json(dict(verdict.outcomes)), verdict.seconds, verdict.detail)
        return self._add(
            "verdicts", _run_of(candidate_id), (candidate_id, stage, *row, time.time())
        )

    def add_group(self, run_id: int | None, group: Group) -> None:
        """A complete group; `run_id` is None for one that comes from elsewhere. The same group
        twice is kept once."""
        from diffufix.store.rows import rows_of  # most commands write no group

        with self._lock:
            self._put_all(rows_of(group, run_id))

    def finish_run(
        self, run_id: int, status: str, summary: Mapping[str, Any] | None = None
    ) -> None:
        """The run is over; everything of it is on disk when this returns."""
        self._put(
            "UPDATE runs SET status = ?, summary = ?, finished_at = ? WHERE id = ?",
            (str(status), _json(summary), time.time(), run_id),
        )
        self.flush()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Rows that are on disk; any thread may ask. Raises sqlite3.Error."""
        with self._lock:
            return self.connection.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is executed on `connection` inside holds together. Raises sqlite3.Error."""
        with self._lock:
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                raise

    def flush(self) -> None:
        """Write what is pending in one transaction."""
        with self._lock:
            self._flushed_at = time.monotonic()
            if not self._pending:
                return
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                for sql, values in self._pending:
                    self.connection.execute(sql, values)
                self.connection.execute("COMMIT")
            except sqlite3.Error as error:
                with contextlib.suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                self._wait(error)
            else:
                self._pending = []
                if self.warning == self._passing:
                    self.warning = ""
                self._passing = ""

    def _wait(self, error: sqlite3.Error) -> None:
        """What is pending stays so where the error may pass."""
        if not (is_lock(error) or is_full(error)) or len(self._pending) > MOST_WAITING:
            self._drop(str(error))
        elif is_full(error) and not self.warning:
            self.warning = self._passing = (
                f"The log cannot be written: {error}. What is collected waits in memory: make room."
            )

    def _drop(self, why: str) -> None:
        self._pending = []
        if self.warning == self._passing:
            self.warning = f"The log is incomplete: {why}."

    def _add(self, table: str, run_id: int, row: tuple[Any, ...]) -> int:
        with self._lock:
            self._counters[run_id] = self._counters.get(run_id, 0) + 1
            row_id = run_id << _COUNTER_BITS | self._counters[run_id]
        marks = ", ".join("?" * (len(row) + 1))
        self._put(f"INSERT INTO {table} VALUES ({marks})", (row_id, *row))
        return row_id

    def _put(self, sql: str, values: tuple[Any, ...]) -> None:
        self._put_all([(sql, values)])

    def _put_all(self, rows: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        """These rows in one transaction."""
        with self._lock:
            self._pending += [(sql, tuple(map(_storable, values))) for sql, values in rows]
            patience = RETRY_EVERY if self._passing else COMMIT_EVERY
            if time.monotonic() - self._flushed_at >= patience:
                self.flush()

    def _go_without(self, error: sqlite3.Error) -> None:
        """Go on in memory after the database failed."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()
        self.connection = connect(":memory:")
        self.kept = False
        self.warning = f"The log cannot be used: {error}. This run is not logged. {hint(error)}"


def _run_of(row_id: int) -> int:
    return row_id >> _COUNTER_BITS


def _storable(value: Any) -> Any:
    """SQLite takes only valid Unicode; a lone surrogate is kept visible instead of failing."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """What JSON does not know: arrays and tensors by `tolist`, the rest by its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
