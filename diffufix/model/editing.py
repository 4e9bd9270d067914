"""A head that says where to edit: of each token of an encoded function, what a fix does with it.

The operations are those of LLaDA 2.2's Levenshtein editing: keep a token, substitute it, delete it,
insert something before it. One label a token, by an alignment of the text before and after that
keeps as much as can be kept (`operations`). Trained on real fixes and on drawn bugs, with what a
test said beside the function; `repair` prices holes by it (decode/edits.py). D model width, T
tokens, S width inside of the head.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

KEEP, SUBSTITUTE, DELETE, INSERT = range(4)
OPERATIONS = 4
MAX_AREA = 60_000  # tokens times tokens that are aligned one by one
RARE = 3.0  # nats that a new head thinks an edit less likely than keeping


class EditHead(nn.Module):
    def __init__(self, hidden_size: int, size: int) -> None:
        super().__init__()
        self.inner = nn.Linear(hidden_size, size)
        self.out = nn.Linear(size, OPERATIONS)

    def restart(self, generator: torch.Generator | None = None) -> None:
        """Weights to begin with."""
        nn.init.normal_(self.inner.weight, 0.0, self.inner.in_features**-0.5, generator=generator)
        nn.init.zeros_(self.inner.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, -RARE)
        with torch.no_grad():
            self.out.bias[KEEP] = 0.0

    def forward(self, hidden_TD: Tensor) -> Tensor:
        """Logits [T, OPERATIONS]."""
        return self.out(nn.functional.silu(self.inner(hidden_TD)))


def operations(before: Sequence[Hashable], after: Sequence[Hashable]) -> list[int]:
    """One operation for each token of `before`, and a last one for the token behind them (KEEP or
    INSERT), that make `after` of it and keep as many tokens as any alignment does.

    Where a run of tokens becomes another, its first ones are substituted; those that have no
    counterpart are deleted, and where the other run is longer, the last substitution stands for
    its rest. Only what comes in between two kept tokens is an insertion.
    """
    head = 0
    while head < min(len(before), len(after)) and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    first, second = before[head : len(before) - tail], after[head : len(after) - tail]
    made = [KEEP] * (len(before) + 1)
    at, reached = 0, 0
    for i, j in [*_kept(first, second), (len(first), len(second))]:
        come = j - reached
        for number, index in enumerate(range(head + at, head + i)):
            made[index] = SUBSTITUTE if number < come else DELETE
        if come and at == i:
            made[head + i] = INSERT
        at, reached = i + 1, j + 1
    return made


def _kept(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[tuple[int, int]]:
    """The pairs of a longest common subsequence; none where the texts are too long."""
    n, m = len(first), len(second)
    if not n or not m or n * m > MAX_AREA:
        return []
    best = [[0] * (m + 1) for _ in range(n + 1)]
    for i in range(n - 1, -1, -1):
        row, below = best[i], best[i + 1]
        for j in range(m - 1, -1, -1):
            row[j] = below[j + 1] + 1 if first[i] == second[j] else max(below[j], row[j + 1])
    found, i, j = [], 0, 0
    while i < n and j < m:
        if first[i] == second[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return found
