"""How many masks a hole starts with."""

from __future__ import annotations

import torch

from diffufix.decode.context import Context
from diffufix.types import Canvas

#: How many lengths are tried at once by families that cannot change them.
AT_ONCE = 4
LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
AROUND = (-2, -1, 0, 1, 2, 3)


def choose_lengths(context: Context, canvas: Canvas, n: int, max_tokens: int) -> list[int]:
    """First lengths for `n` fills, to be dealt out in turn.

    Families with `<expand>` and `<delete>` get one length, a little longer than the original:
    taking away is cheaper than adding. For the others one forward pass over candidate lengths
    (a ladder, and those around the original's) scores each by the mean over its masks of the
    top probability at the first step; the `AT_ONCE` best are kept. The original's own length is
    always among them where it is known, since most repairs keep it.
    """
    known = len(canvas.original)
    if context.family.variable_length:
        return [min(max_tokens, known + 4 if known else 8)]
    candidates = {length for length in LADDER if length <= max_tokens}
    if known:
        # Far from the original the ladder only costs time.
        candidates = {length for length in candidates if length <= 2 * known + 4}
        candidates |= {known + d for d in AROUND if 1 <= known + d <= max_tokens}
    scores = first_confidence(context, sorted(candidates))
    best = sorted(scores, key=lambda length: -scores[length])
    if 1 <= known <= max_tokens:
        best = [known, *(length for length in best if length != known)]
    return best[: max(1, min(AT_ONCE, n))]


@torch.no_grad()
def first_confidence(context: Context, lengths: list[int]) -> dict[int, float]:
    """For each length, the mean top probability over a hole that is all masks."""
    holes = [(0, (context.family.mask,) * length) for length in lengths]
    logits_NV = context.logits(holes).float()
    logits_NV[:, list(context.banned)] = -torch.inf
    top_N = logits_NV.softmax(-1).amax(-1)
    means = [part.mean().item() for part in top_N.split(lengths)]
    return dict(zip(lengths, means, strict=True))
