"""A run from its first case to its last: only what is missing is run, each row is kept at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from diffufix.evaluation.runs import RunFolder
from diffufix.evaluation.types import Row

#: (number of the case from 1, of how many, its row, whether it was run just now)
TellRow = Callable[[int, int, Row, bool], None]


def drive(
    folder: RunFolder, items: Sequence[Any], one: Callable[[Any], Row], tell: TellRow
) -> list[Row]:
    """The rows of `items`, in their order. Ctrl-C ends it between two cases at the latest: what is
    over by then is on disk."""
    rows = []
    for number, item in enumerate(items, 1):
        row = folder.rows.get(item.id)
        fresh = row is None
        if row is None:
            row = one(item)
            folder.add(row)
        rows.append(row)
        tell(number, len(items), row, fresh)
    return rows
