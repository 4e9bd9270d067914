"""Statistics of the rewards in the log, its size, and the pruning that keeps it small."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffufix.errors import StoreError
from diffufix.store.store import Store

#: Bytes beyond which a log is not let grow by itself: the oldest groups give way.
LIMIT = 4 * 2**30
_SHARE = 0.1  # of the groups, removed at a time while a log is too large


@dataclass(frozen=True)
class ModelRow:
    """What one version of the weights sampled."""

    fingerprint: str
    name: str  # empty where no run of this log names it
    groups: int
    completions: int
    passes: int
    with_signal: int
    mean: float | None  # reward
    newest: float  # seconds since the epoch


@dataclass(frozen=True)
class Summary:
    """All groups of a log. Times are seconds since the epoch; `lost` groups lack a reward."""

    groups: int
    completions: int
    tasks: int
    with_signal: int
    lost: int
    passes: int
    mean: float | None  # reward of a completion
    oldest: float | None
    newest: float | None
    size: int  # bytes of the log on disk, runs included
    free: int  # bytes of it that hold nothing
    states: Mapping[str, int] = field(default_factory=dict)  # of completions
    origins: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # groups, with signal
    models: tuple[ModelRow, ...] = ()  # newest first


def summary(store: Store) -> Summary:
    """Raises StoreError if the log cannot be read."""
    store.flush()
    try:
        return _summary(store)
    except sqlite3.Error as error:
        raise _unreadable(error) from error


def _summary(store: Store) -> Summary:
    (total,) = store.query(
        "SELECT count(*) AS groups, coalesce(sum(size), 0) AS completions,"
        " count(DISTINCT task_id) AS tasks, coalesce(sum(spread > 0), 0) AS with_signal,"
        " coalesce(sum(lost > 0), 0) AS lost, coalesce(sum(passes), 0) AS passes,"
        " sum(mean * size) / sum(CASE WHEN mean IS NOT NULL THEN size END) AS mean,"
        " min(made_at) AS oldest, max(made_at) AS newest FROM groups"
    )
    states = store.query(
        "SELECT state, count(*) FROM completions GROUP BY state ORDER BY count(*) DESC"
    )
    origins = store.query(
        "SELECT origin, count(*), coalesce(sum(spread > 0), 0) FROM groups"
        " JOIN tasks ON tasks.id = task_id GROUP BY origin ORDER BY count(*) DESC"
    )
    models = store.query(
        "SELECT model, coalesce((SELECT max(name) FROM models WHERE hash = model), ''),"
        " count(*), sum(size), sum(passes), coalesce(sum(spread > 0), 0),"
        " sum(mean * size) / sum(CASE WHEN mean IS NOT NULL THEN size END), max(made_at)"
        " FROM groups GROUP BY model ORDER BY max(made_at) DESC"
    )
    used, free = _pages(store)
    return Summary(
        **dict(total),
        size=used + free,
        free=free,
        states=dict(map(tuple, states)),
        origins={name: (count, signal) for name, count, signal in origins},
        models=tuple(ModelRow(*row) for row in models),
    )


@dataclass(frozen=True)
class Pruned:
    """What was removed. Bytes are those of the log on disk."""

    groups: int
    completions: int
    runs: int
    before: int
    after: int


def remove_runs(store: Store, ids: Sequence[int]) -> None:
    """Remove runs with all they tried; groups to learn from stay. Raises StoreError."""
    marks = ", ".join("?" * len(ids))
    try:
        with store.transaction():
            store.connection.execute(f"DELETE FROM runs WHERE id IN ({marks})", tuple(ids))
    except sqlite3.Error as error:
        raise StoreError(f"The log cannot be changed: {error}.") from error


def prune(
    store: Store,
    *,
    older_than: float | None = None,
    keep: int | None = None,
    max_bytes: int | None = None,
    without_signal: bool = False,
    vacuum: bool = True,
) -> Pruned:
    """Remove groups, the oldest first, and give the room back to the disk.

    `older_than` (seconds) removes finished runs of that age too, with all they tried; `keep` is
    how many groups stay, `max_bytes` how large the log may be; `without_signal` removes groups
    whose rewards are all equal or not all known. Without any, only what nothing refers to goes.
    Raises StoreError: unreadable, locked, no room for the vacuum.
    """
    store.flush()
    try:
        before = sum(_pages(store))
        groups, completions = _counts(store)
        with store.transaction():
            runs = 0
            if older_than is not None:
                runs = _forget(store, time.time() - older_than)
            if without_signal:
                store.connection.execute("DELETE FROM groups WHERE spread IS NULL OR spread = 0")
            if keep is not None:
                _drop_oldest(store, max(0, _counts(store)[0] - keep))
            _drop_orphans(store)
        while max_bytes is not None and _pages(store)[0] > max_bytes and _counts(store)[0]:
            with store.transaction():
                _drop_oldest(store, max(1, int(_SHARE * _counts(store)[0])))
                _drop_orphans(store)
        if vacuum:
            store.connection.execute("VACUUM")
        store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        left, left_completions = _counts(store)
        return Pruned(
            groups - left, completions - left_completions, runs, before, sum(_pages(store))
        )
    except sqlite3.Error as error:
        raise _unreadable(error) from error


def bound(store: Store, limit: int = LIMIT) -> None:
    """Let the oldest groups go where the log has grown beyond `limit` bytes. Freed pages are used
    again; `prune` gives them back to the disk."""
    try:
        if _pages(store)[0] > limit:
            prune(store, max_bytes=int(limit * (1 - _SHARE)), vacuum=False)
    except (sqlite3.Error, StoreError) as error:
        store.warning = store.warning or f"The log could not be kept small: {error}."


def _forget(store: Store, moment: float) -> int:
    execute = store.connection.execute
    execute("DELETE FROM groups WHERE made_at < ?", (moment,))
    return execute(
        "DELETE FROM runs WHERE finished_at < ? AND id NOT IN"
        " (SELECT run_id FROM groups WHERE run_id IS NOT NULL)",
        (moment,),
    ).rowcount


def _drop_oldest(store: Store, count: int) -> None:
    store.connection.execute(
        "DELETE FROM groups WHERE id IN (SELECT id FROM groups ORDER BY id LIMIT ?)", (count,)
    )


def _drop_orphans(store: Store) -> None:
    execute = store.connection.execute
    execute("DELETE FROM tasks WHERE id NOT IN (SELECT task_id FROM groups)")
    for _ in range(2):  # what only another orphan is based on goes in the second round
        execute(
            "DELETE FROM blobs WHERE id NOT IN ("
            "SELECT source_id FROM tasks UNION SELECT tests_id FROM tasks"
            " UNION SELECT prompt_id FROM groups"
            " UNION SELECT base_id FROM blobs WHERE base_id IS NOT NULL)"
        )


def _counts(store: Store) -> tuple[int, int]:
    (row,) = store.query("SELECT count(*), coalesce(sum(size), 0) FROM groups")
    return row[0], row[1]


def _pages(store: Store) -> tuple[int, int]:
    """Bytes of the database that are used, and those that are free; what the write-ahead log holds
    beside it counts as free."""

    def value(name: str) -> int:
        return int(store.query(f"PRAGMA {name}")[0][0])

    size, free = value("page_size"), value("freelist_count")
    name = store.query("PRAGMA database_list")[0]["file"]
    beside = Path(f"{name}-wal")
    ahead = beside.stat().st_size if name and beside.is_file() else 0
    return size * (value("page_count") - free), size * free + ahead


def _unreadable(error: sqlite3.Error) -> StoreError:
    hint = "`diffufix clean` removes it."
    if "locked" in str(error):
        hint = "Another process holds it: end that one, or wait."
    elif "full" in str(error):
        hint = "Make room on the disk: removing needs some before it gives any back."
    return StoreError(f"The log cannot be used: {error}.", hint)
