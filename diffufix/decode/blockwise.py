"""`blockwise`: long fills, block after block from left to right over a growing canvas.

For families whose tokens cannot become more: nobody knows how long a function's body is, and a
canvas of one length makes the model squeeze or stretch. Here a hole begins with one block of
masks. Inside a block the most confident masks are committed first, in any order; once it is full
the hole grows by another one. Between the block and the right context stand `ahead` masks that
are never committed, so that the right side is seen from a distance and does not press.
A fill ends where `ended` says so or where the model puts its end-of-text id.
(Semi-autoregressive remasking: Nie et al., Large Language Diffusion Models, 2025, section 2.4.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from diffufix.decode.context import open_context
from diffufix.decode.context.in_place import InPlaceContext
from diffufix.decode.context.views import family_of
from diffufix.decode.infill import Hook, PartialFill, Rule, advance, chunks
from diffufix.decode.tokens import check_algorithm
from diffufix.errors import UsageError
from diffufix.model.transformer import Transformer
from diffufix.types import Canvas, Fill

#: From a hole's ids so far: how many of them are the fill, or None while it goes on.
Ended = Callable[[Sequence[int]], int | None]


@torch.no_grad()
def blockwise(
    model: Transformer,
    canvas: Canvas,
    n: int,
    ended: Ended,
    *,
    block: int = 32,
    ahead: int = 16,
    max_tokens: int = 256,
    temperature: float = 0.2,
    top_p: float | None = None,
    alg: str = "entropy",
    tokens_per_step: int = 1,
    threshold: float | None = None,
    generator: torch.Generator | None = None,
    hook: Hook | None = None,
    refresh: int | None = None,
) -> list[Fill]:
    """`n` fills of the canvas's hole, each at most `max_tokens` long, in the order of the batch.

    A fill that never ends has `max_tokens` tokens. `refresh` is that of `infill`. Raises
    UsageError.
    """
    check_algorithm(alg)
    if min(n, block, max_tokens, tokens_per_step) < 1 or ahead < 0:
        raise UsageError("n, block, max_tokens and tokens_per_step must be at least 1.")
    family = family_of(model, None)
    mask, eos = family.mask, family.eos
    right = (*[mask] * ahead, *canvas.right)
    context = open_context(model, [replace(canvas, right=right)], refresh=refresh)
    if not isinstance(context, InPlaceContext):
        raise UsageError(f"{family.name} writes beside its context, not block by block.")
    no_splices = [i for i in (family.expand, family.delete) if i is not None and i != eos]
    context.banned = (*(i for i in context.banned if i != eos), *no_splices)
    context.family = replace(family, expand=None, delete=None)  # a block is as long as it is
    rule = Rule(temperature, top_p, None, alg, 0.0, tokens_per_step, threshold, None, generator)
    rows = [PartialFill([mask] * min(block, max_tokens), budget=0) for _ in range(n)]
    done: set[int] = set()
    step = 0
    while live := [row for row in rows if id(row) not in done]:
        for part in chunks(live, context):
            advance(part, context, rule, step)
        step += 1
        for row in live:
            if mask not in row.ids and not _grow(row, ended, eos, mask, block, max_tokens):
                done.add(id(row))
        if hook:
            hook(step, [list(row.ids) for row in rows])
    return [row.fill() for row in rows]


def _grow(
    row: PartialFill, ended: Ended, eos: int | None, mask: int, block: int, max_tokens: int
) -> bool:
    """After a full block: cut the row where it ends, or give it more masks; does it go on?"""
    cut = row.ids.index(eos) if eos in row.ids else None
    said = ended(row.ids if cut is None else row.ids[:cut])
    keep = said if said is not None else cut
    if keep is not None:
        row.ids, row.logps, row.order = row.ids[:keep], row.logps[:keep], row.order[:keep]
        return False
    more = min(block, max_tokens - len(row.ids))
    row.ids += [mask] * more
    row.logps += [0.0] * more
    row.order += [-1] * more
    return more > 0
