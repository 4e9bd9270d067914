"""SQLite as the log needs it: its connection, and what its errors mean. Opens the given file."""

from __future__ import annotations

import sqlite3

from diffufix.store.schema import migrate

LOCK_PATIENCE = 2.0  # seconds to wait for another writer


def connect(path: str) -> sqlite3.Connection:
    """A connection that autocommits, with the newest schema."""
    connection = sqlite3.connect(
        path, timeout=LOCK_PATIENCE, isolation_level=None, check_same_thread=False
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def is_lock(error: sqlite3.Error) -> bool:
    """Whether another process holds the file."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def is_full(error: sqlite3.Error) -> bool:
    """Whether the disk is full, or there was an I/O error, which the next try may not meet."""
    said = str(error)
    return isinstance(error, sqlite3.OperationalError) and ("full" in said or "disk I/O" in said)


def hint(error: sqlite3.Error) -> str:
    """What the user can do about it."""
    if is_lock(error):
        return "Another process holds it: end that one, or wait."
    if is_full(error):
        return "Make room on its disk."
    return "`diffufix clean` removes it."
