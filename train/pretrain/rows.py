"""A row of training: its partly denoised holes, and rows packed into a batch. Ids only."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.model.family import Family
from diffufix.train.batch import IGNORE, Batch


@dataclass
class PackedRow:
    """One packed sequence: a context (segment 0) and holes (two segments each, see `Batch`)."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    labels: list[int]
    weights: list[float]
    edits: list[int]  # operations of model/editing.py, IGNORE where none is asked


def noise(
    target: Sequence[int], masks: int, family: Family, rng: random.Random
) -> tuple[list[int], list[int]]:
    """A partly denoised hole and its labels. `masks` is the length if nothing is revealed yet."""
    assert family.expand is not None
    assert family.delete is not None
    if rng.random() < 0.6 or len(target) < 2:
        runs: list[list[int]] = [list(target)]
        spare = masks - len(target)
        shown = [False]
    else:
        hidden = rng.randint(1, len(target) - 1)
        where = set(rng.sample(range(len(target)), hidden))
        runs, shown = [], []
        for i, token in enumerate(target):
            revealed = i not in where
            if not runs or shown[-1] != revealed:
                runs.append([])
                shown.append(revealed)
            runs[-1].append(token)
        spare = rng.choice([0, 0, 1, 2, -1, -2])
    fill, labels = [], []
    for index, (run, revealed) in enumerate(zip(runs, shown, strict=True)):
        if revealed:
            fill += run
            labels += [IGNORE] * len(run)
            continue
        extra = spare if index == len(runs) - 1 or rng.random() < 0.3 else 0
        if extra >= 0:
            wanted = [*run, *[family.delete] * extra]
        else:
            kept = max(1, len(run) + extra)
            wanted = run if kept >= len(run) else [*run[: kept - 1], family.expand]
        fill += [family.mask] * len(wanted)
        labels += wanted
    return fill, labels


def collate(rows: Sequence[PackedRow], pad: int, length: int) -> Batch:
    """Rows packed, longest first, into as few sequences of at most `length` as fit."""
    bins: list[list[PackedRow]] = []
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        for packed in bins:
            if sum(len(r.ids) for r in packed) + len(row.ids) <= length:
                packed.append(row)
                break
        else:
            bins.append([row])
    longest = max(sum(len(r.ids) for r in packed) for packed in bins)

    def tensor(name: str, fill: float, dtype: torch.dtype) -> Tensor:
        flat = [[value for row in packed for value in getattr(row, name)] for packed in bins]
        return torch.tensor([line + [fill] * (longest - len(line)) for line in flat], dtype=dtype)

    numbers = [[i for i, row in enumerate(packed) for _ in row.ids] for packed in bins]
    return Batch(
        tensor("ids", pad, torch.long),
        tensor("positions", 0, torch.long),
        torch.tensor([line + [-1] * (longest - len(line)) for line in numbers]),
        tensor("segments", 0, torch.long),
        tensor("labels", IGNORE, torch.long),
        tensor("weights", 0.0, torch.float32),
        tensor("edits", IGNORE, torch.long),
    )
