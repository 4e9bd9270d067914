"""Groups as rows of the log: what to write for one. Pure.

Sources, prompts and lists of tests are stored once; a broken source is stored as what differs from
the right one, so that a thousand mutants of one file cost little more than the file.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from functools import lru_cache
from typing import Any

from diffufix.source.edits import splice
from diffufix.store.packing import pack
from diffufix.types import Group, Task

Row = tuple[str, tuple[Any, ...]]  # a statement and its values

PASS = "pass"  # State.PASS
NUMBER_BITS = 21  # of a group's id, from its content; milliseconds since the epoch before them


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
    group_id = (int(made_at * 1000) << NUMBER_BITS) | number
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
    told = {"said": task.said, "test_source": task.test_source, "report": task.report}
    known = {key: text for key, text in told.items() if text}
    return {"tests": task.tests, "failing": task.failing, **known}


_INSERT_BLOB = "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?, ?)"
_INSERT_TASK = f"INSERT OR IGNORE INTO tasks VALUES ({', '.join('?' * 12)})"
_INSERT_GROUP = f"INSERT OR IGNORE INTO groups VALUES ({', '.join('?' * 13)})"
_INSERT_COMPLETION = "INSERT OR IGNORE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?)"
_INSERT_PAYLOAD = "INSERT OR IGNORE INTO payloads VALUES (?, ?)"


def _source(task: Task) -> tuple[int, list[Row]]:
    """The id of a source's blob, and the rows to write for it."""
    data = task.source.encode("utf-8", "surrogatepass")
    answer = task.answer
    right = data
    if answer is not None:
        right = splice(task.source, task, answer).encode("utf-8", "surrogatepass")
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
