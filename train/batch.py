"""`Batch`: rows packed into sequences, and who attends to whom in them. Tensors only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.model.packed import HIDDEN, PackedBlock
from diffufix.model.transformer import Mask

IGNORE = -100  # the label of a position that no loss is taken at


@dataclass(frozen=True)
class Batch:
    """Tensors [B, T] with several rows packed into each sequence.

    `rows` numbers them (-1 at padding). `segments` is 0 in the context, 2k - 1 where the k-th hole
    says what was there (`was ORIGINAL now`), 2k in its fill. `labels` is IGNORE where nothing is
    asked, and so are `edits`, the operations of model/editing.py, in a context.
    """

    ids: Tensor
    positions: Tensor
    rows: Tensor
    segments: Tensor
    labels: Tensor
    weights: Tensor
    edits: Tensor | None = None

    def attention(self) -> Mask:
        """Within a row, everything sees the context and its own segment, and a fill what was
        there; nothing but itself sees a fill (decode/layout.py says why). [B, 1, T, T] on a GPU,
        blocks on a CPU."""
        return self.blocks() if self.ids.device.type == "cpu" else self.dense()

    def dense(self) -> Tensor:
        together = self.rows[:, :, None] == self.rows[:, None, :]
        return (together & _seen(self.segments, self.segments))[:, None]

    def blocks(self) -> list[PackedBlock]:
        found = []
        for b, (rows, segments) in enumerate(zip(self.rows, self.segments, strict=True)):
            numbers, counts = rows.unique_consecutive(return_counts=True)
            start = 0
            for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
                end = start + count
                if number >= 0:
                    own = segments[start:end]
                    holes = start + int((own == 0).sum())  # behind the context
                    seen = _seen(own[None, holes - start :], own[None])[0]
                    bias = torch.zeros(seen.shape).masked_fill_(~seen, HIDDEN)
                    found.append(PackedBlock(b, start, holes, end, bias))
                start = end
        return found


def _seen(query_BT: Tensor, key_BT: Tensor) -> Tensor:
    """By their segments, whether tokens of the same row see others."""
    query, key = query_BT[:, :, None], key_BT[:, None, :]
    before = (query % 2 == 0) & (key == query - 1)
    return (key == 0) | (query == key) | before
