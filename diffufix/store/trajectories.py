"""Groups as rows of the log and back. Touches the database only.

`rows_of` says what to write for a group; `read_groups` gives groups back, filtered. Sources,
prompts and lists of tests are stored once; a broken source is stored as what differs from the
right one, so that a thousand mutants of one file cost little more than the file.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from diffufix.errors import StoreError
from diffufix.store.groups import Completion, Group, Prompt, Task
from diffufix.store.packing import pack, unpack

if TYPE_CHECKING:
    from diffufix.store.store import Store

Row = tuple[str, tuple[Any, ...]]  # a statement and its values

PASS = "pass"  # verify.types.State.PASS
_NUMBER_BITS = 21  # of a group's id, from its content; milliseconds since the epoch before them


def rows_of(group: Group, run_id: int | None) -> list[Row]:
    """The rows of a group, in the order in which they are to be written. Writing them twice, or a
    group that was exported from the same log, adds nothing."""
    task, made_at = group.task, group.made_at or time.time()
    source_id, rows = _source(task)
    tests_id, tests_row = _blob(_compact(_graded(task)))
    prompt = group.prompt
    held = [prompt.left, prompt.right, prompt.original, prompt.width, prompt.lead, prompt.gap]
    held += [prompt.failure] if prompt.failure else []
    prompt_id, prompt_row = _blob(_compact(held))
    own = (
        task.key, task.path, task.qualname, source_id, task.start, task.end, task.kind,
        task.origin, int(task.shown), task.answer, tests_id,
    )  # fmt: skip
    task_id = _content_id(repr(own).encode("utf-8", "surrogatepass"))
    body = pack(group.completions)
    number = _content_id(body, str(task_id).encode(), group.model.encode()) >> 42
    group_id = (int(made_at * 1000) << _NUMBER_BITS) | number
    rewards = group.rewards
    mean = sum(rewards) / len(rewards) if rewards else None
    spread = max(rewards) - min(rewards) if rewards else None
    rows += [tests_row, prompt_row]
    rows.append((_INSERT_TASK, (task_id, *own)))
    rows.append(
        (
            _INSERT_GROUP,
            (
                group_id, run_id, task_id, prompt_id, group.model, group.estimator,
                _compact(dict(group.sampling)).decode(), made_at, len(group.completions),
                sum(c.state == PASS for c in group.completions),
                sum(c.reward is None for c in group.completions), mean, spread,
            ),
        )
    )  # fmt: skip
    for at, c in enumerate(group.completions):
        values = (group_id, at, c.text, c.state, c.reward, c.seconds, c.steps)
        rows.append((_INSERT_COMPLETION, values))
    rows.append((_INSERT_PAYLOAD, (group_id, body)))
    return rows


def _graded(task: Task) -> dict[str, Any]:
    """What is known of the task's tests."""
    said = {"said": task.said} if task.said else {}
    return {"tests": task.tests, "failing": task.failing, **said}


_INSERT_BLOB = "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?, ?)"
_INSERT_TASK = f"INSERT OR IGNORE INTO tasks VALUES ({', '.join('?' * 12)})"
_INSERT_GROUP = f"INSERT OR IGNORE INTO groups VALUES ({', '.join('?' * 13)})"
_INSERT_COMPLETION = "INSERT OR IGNORE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_PAYLOAD = "INSERT OR IGNORE INTO payloads VALUES (?, ?)"


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
    reader = _Reader(store)
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
        values.append(int(since * 1000) << _NUMBER_BITS)
    if run is not None:
        tests.append("run_id = ?")
        values.append(run)
    if with_signal:
        tests.append("spread > 0")
    return (f" WHERE {' AND '.join(tests)}" if tests else ""), values


class _Reader:
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


def _source(task: Task) -> tuple[int, list[Row]]:
    """The id of a source's blob, and the rows to write for it."""
    data = task.source.encode("utf-8", "surrogatepass")
    answer = task.answer
    right = data
    if answer is not None:
        text = task.source[: task.start] + answer + task.source[task.end :]
        right = text.encode("utf-8", "surrogatepass")
    head, tail = _ends(right, data)
    if right == data or head + tail < len(data) // 2:
        blob_id, row = _blob(data)
        return blob_id, [row]
    base_id, base_row = _blob(right)
    body = zlib.compress(data[head : len(data) - tail])
    blob_id = _content_id(data)
    return blob_id, [base_row, (_INSERT_BLOB, (blob_id, base_id, head, tail, body))]


@lru_cache(maxsize=256)
def _blob(data: bytes) -> tuple[int, Row]:
    blob_id = _content_id(data)
    return blob_id, (_INSERT_BLOB, (blob_id, None, 0, 0, zlib.compress(data)))


def _content_id(*parts: bytes) -> int:
    """63 bits that stand for the content: two of a million clash once in ten million logs."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return int.from_bytes(digest.digest(), "little") >> 1


def _ends(base: bytes, data: bytes) -> tuple[int, int]:
    """How many bytes the two share at the start, and of the rest at the end."""
    limit = min(len(base), len(data))
    head = _shared(base, data, limit)
    return head, _shared(base[::-1], data[::-1], limit - head)


def _shared(one: bytes, other: bytes, limit: int) -> int:
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=str).encode()
