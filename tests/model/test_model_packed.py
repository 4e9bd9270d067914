"""Attention among packed rows: block by block it is what a dense mask gives, gradients included."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F

from diffufix.model.packed import attend
from diffufix.train.batch import IGNORE, Batch
from diffufix.train.pretrain.rows import PackedRow, collate


def row(context: int, holes: list[tuple[int, int]]) -> PackedRow:
    """A context of so many tokens, and beside it holes of so many tokens before and of a fill."""
    segments = [0] * context
    for number, (was, fill) in enumerate(holes):
        segments += [2 * number + 1] * was + [2 * number + 2] * fill
    n = len(segments)
    return PackedRow(
        list(range(n)), list(range(n)), segments, [IGNORE] * n, [0.0] * n, [IGNORE] * n
    )


def drawn(rng: random.Random) -> Batch:
    rows = [
        row(rng.randint(1, 12), [(rng.randint(2, 5), rng.randint(1, 6)) for _ in range(holes)])
        for holes in (0, 1, 2, 3, 0, 4, 1)
    ]
    return collate(rows, 0, 60)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_are_the_dense_mask(seed: int) -> None:
    batch = drawn(random.Random(seed))
    B, T = batch.ids.shape
    torch.manual_seed(seed)
    ours = [torch.randn(B, 3, T, 8, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    theirs = [x.detach().clone().requires_grad_(True) for x in ours]
    out = attend(ours[0], ours[1], ours[2], batch.blocks())
    q, k, v = theirs
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=batch.dense())
    real = (batch.rows >= 0)[:, None, :, None]
    assert not out.masked_select(~real).any()
    torch.testing.assert_close(out, expected * real)
    grad = torch.randn_like(out) * real
    out.backward(grad)
    expected.backward(grad)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_every_token_of_a_row_is_in_its_block_and_no_other() -> None:
    batch = drawn(random.Random(9))
    covered = torch.zeros_like(batch.rows)
    for block in batch.blocks():
        covered[block.sequence, block.start : block.end] += 1
        assert (batch.segments[block.sequence, block.start : block.holes] == 0).all()
        assert (batch.segments[block.sequence, block.holes : block.end] > 0).all()
    assert torch.equal(covered, (batch.rows >= 0).long())
