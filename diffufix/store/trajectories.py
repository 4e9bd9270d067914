"""Groups out of the log, filtered. Reads the database only; rows.py says what is written."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from diffufix.errors import StoreError
from diffufix.store.packing import unpack
from diffufix.store.rows import NUMBER_BITS
from diffufix.store.store import Store
from diffufix.types import Completion, Group, Prompt, Task


def read_groups(
    store: Store,
    *,
    task: str | None = None,
    model: str | None = None,
    origin: str | Sequence[str] | None = None,
    since: float | None = None,
    run: int | None = None,
    with_signal: bool = False,
    oldest_first: bool = False,
    per_task: int | None = None,
    limit: int | None = None,
) -> Iterator[Group]:
    """Groups of the log, newest first.

    `task` is a task's key, `model` a fingerprint, `origin` one or several of `Task.origin`,
    `since` seconds since the epoch. `with_signal` leaves out groups whose rewards are all equal or
    not all known. At most `per_task` groups of a task (those that come first), `limit` in all.
    Raises StoreError if the log cannot be read.
    """
    wanted, values = _where(task, model, origin, since, run, with_signal)
    order = "ASC" if oldest_first else "DESC"
    sql = (
        "SELECT groups.id, tasks.key FROM groups JOIN tasks ON tasks.id = task_id"
        f"{wanted} ORDER BY groups.id {order}"
    )
    store.flush()
    chosen: list[int] = []
    seen: Counter[str] = Counter()
    reader = _GroupReader(store)
    try:
        for group_id, key in store.query(sql, values):
            seen[key] += 1
            if per_task is not None and seen[key] > per_task:
                continue
            if limit is not None and len(chosen) >= limit:
                break
            chosen.append(group_id)
        for group_id in chosen:
            group = reader.group(group_id)
            if group is not None:
                yield group
    except (sqlite3.Error, ValueError, zlib.error) as error:
        raise StoreError(
            f"The log cannot be read: {error}.", "`diffufix clean` removes it."
        ) from error


def _where(
    task: str | None,
    model: str | None,
    origin: str | Sequence[str] | None,
    since: float | None,
    run: int | None,
    with_signal: bool,
) -> tuple[str, list[Any]]:
    tests: list[str] = []
    values: list[Any] = []
    if task is not None:
        tests.append("tasks.key = ?")
        values.append(task)
    if model is not None:
        tests.append("model = ?")
        values.append(model)
    if origin is not None:
        origins = [origin] if isinstance(origin, str) else list(origin)
        tests.append(f"origin IN ({', '.join('?' * len(origins))})")
        values += origins
    if since is not None:
        tests.append("groups.id >= ?")  # ids begin with the time
        values.append(int(since * 1000) << NUMBER_BITS)
    if run is not None:
        tests.append("run_id = ?")
        values.append(run)
    if with_signal:
        tests.append("spread > 0")
    return (f" WHERE {' AND '.join(tests)}" if tests else ""), values


class _GroupReader:
    """Puts groups together; tasks, prompts and sources that several share are read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task = lru_cache(256)(self._read_task)
        self._prompt = lru_cache(256)(self._read_prompt)
        self._base = lru_cache(16)(self._blob)

    def group(self, group_id: int) -> Group | None:
        """None where it was pruned meanwhile."""
        row = self._row("SELECT * FROM groups WHERE id = ?", group_id)
        payload = self._row("SELECT body FROM payloads WHERE group_id = ?", group_id)
        if row is None or payload is None:
            return None
        found = self._store.query(
            "SELECT text, state, reward, seconds, steps FROM completions"
            " WHERE group_id = ? ORDER BY number",
            (group_id,),
        )
        bare = [Completion((), t, s, r, seconds=took, steps=n) for t, s, r, took, n in found]
        return Group(
            task=self._task(row["task_id"]),
            prompt=self._prompt(row["prompt_id"]),
            completions=unpack(payload["body"], bare),
            model=row["model"],
            estimator=row["estimator"],
            sampling=json.loads(row["sampling"]),
            made_at=row["made_at"],
        )

    def _read_task(self, task_id: int) -> Task:
        row = self._row("SELECT * FROM tasks WHERE id = ?", task_id)
        if row is None:
            raise ValueError("a task is missing")
        held = json.loads(self._blob(row["tests_id"]))
        return Task(
            row["key"], row["path"], row["qualname"],
            self._blob(row["source_id"]).decode("utf-8", "surrogatepass"),
            row["start"], row["end"], row["kind"], row["origin"], tuple(held["tests"]),
            bool(row["shown"]), row["answer"], tuple(held["failing"]), held.get("said", ""),
            held.get("test_source", ""), held.get("report", ""),
        )  # fmt: skip

    def _read_prompt(self, blob_id: int) -> Prompt:
        left, right, original, width, lead, gap, *more = json.loads(self._blob(blob_id))
        failure = tuple(more[0]) if more else ()
        return Prompt(tuple(left), tuple(right), tuple(original), width, lead, gap, failure)

    def _blob(self, blob_id: int) -> bytes:
        row = self._row("SELECT * FROM blobs WHERE id = ?", blob_id)
        if row is None:
            raise ValueError("a text is missing")
        body = zlib.decompress(row["body"])
        if row["base_id"] is None:
            return body
        base: bytes = self._base(row["base_id"])
        return base[: row["head"]] + body + base[len(base) - row["tail"] :]

    def _row(self, sql: str, row_id: int) -> Any:
        return next(iter(self._store.query(sql, (row_id,))), None)
