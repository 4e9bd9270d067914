"""A run from its first case to its last: only what is missing is run, each row is kept at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from diffufix.evaluation.runs import RunFolder
from diffufix.evaluation.types import Row

#: (number of the case from 1, of how many, its row, whether it was run just now)
TellRow = Callable[[int, int, Row, bool], None]


def drive(
    folder: RunFolder,
    items: Sequence[Any],
    start: Callable[[Any], Future[Row] | Row],
    tell: TellRow,
    ahead: int = 1,
) -> list[Row]:
    """The rows of `items`, in their order; at most `ahead` of them wait for their verdicts.

    Whatever ends it (Ctrl-C, a kill), the rows that are over by then are on disk.
    """
    waiting: deque[tuple[int, Future[Row]]] = deque()
    rows: dict[int, Row] = {}

    def take() -> None:
        number, later = waiting.popleft()
        row = later.result()
        folder.add(row)
        rows[number] = row
        tell(number, len(items), row, True)

    for number, item in enumerate(items, 1):
        known = folder.done(item.id)
        if known is not None:
            rows[number] = known
            tell(number, len(items), known, False)
            continue
        begun = start(item)
        later = begun if isinstance(begun, Future) else _done(begun)
        waiting.append((number, later))
        while waiting and (len(waiting) > ahead or waiting[0][1].done()):
            take()
    while waiting:
        take()
    return [rows[number] for number in sorted(rows)]


def _done(row: Row) -> Future[Row]:
    later: Future[Row] = Future()
    later.set_result(row)
    return later
