"""Attention among rows packed into sequences: computed only where it is allowed.

A packed sequence holds several rows, and a row a context and holes beside it (decode/layout.py).
Under a dense mask two thirds of the products of a typical batch are thrown away; here a row's
context meets itself and its holes meet the row, block by block, forwards and backwards, and each
block stays in a processor's cache. For CPUs: on a GPU one fused kernel with a mask is quicker.

B sequences, H heads, T tokens, E head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

HIDDEN = -1e30  # added to the score of what must not be seen


@dataclass(frozen=True)
class PackedBlock:
    """A row: the context at [start, holes) of a sequence sees itself, and what is behind it, at
    [holes, end), sees the row where `bias` [end - holes, end - start] is 0, not HIDDEN."""

    sequence: int
    start: int
    holes: int
    end: int
    bias: Tensor

    def parts(self) -> list[tuple[int, int, int]]:
        """Queries [first, last) and the end of the keys they meet, from the start on."""
        both = (self.start, self.holes, self.holes), (self.holes, self.end, self.end)
        return [part for part in both if part[0] < part[1]]


class _Attend(torch.autograd.Function):
    """softmax(q kᵀ / sqrt(E) + bias) v. The gradient of a score s with the probability p is
    p (g·v - g·out), as in FlashAttention (arXiv 2205.14135, appendix B.4)."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[PackedBlock]) -> Tensor:
        out, kept = torch.zeros_like(q), []
        for block in blocks:
            b, start = block.sequence, block.start
            for first, last, end in block.parts():
                queries, keys = q[b, :, first:last], k[b, :, start:end].transpose(1, 2)
                scores = queries @ keys * q.shape[-1] ** -0.5
                if first == block.holes:
                    scores += block.bias
                p = scores.softmax(-1)
                out[b, :, first:last] = p @ v[b, :, start:end]
                kept.append(p)
        ctx.save_for_backward(q, k, v, out, *kept)
        ctx.blocks = blocks
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        q, k, v, out, *kept = ctx.saved_tensors
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        known_BHT1 = (grad * out).sum(-1, keepdim=True)
        probabilities = iter(kept)
        for block in ctx.blocks:
            b, start = block.sequence, block.start
            for first, last, end in block.parts():
                p, g = next(probabilities), grad[b, :, first:last]
                dv[b, :, start:end] += p.transpose(1, 2) @ g
                ds = g @ v[b, :, start:end].transpose(1, 2)
                ds = ds.sub_(known_BHT1[b, :, first:last]).mul_(p)
                dq[b, :, first:last] = ds @ k[b, :, start:end]
                dk[b, :, start:end] += ds.transpose(1, 2) @ q[b, :, first:last]
        scale = q.shape[-1] ** -0.5
        return dq.mul_(scale), dk.mul_(scale), dv, None


def attend(q: Tensor, k: Tensor, v: Tensor, blocks: Sequence[PackedBlock]) -> Tensor:
    """[B, H, T, E]; zero at tokens that are in no block."""
    out: Tensor = _Attend.apply(q, k, v, blocks)
    return out
