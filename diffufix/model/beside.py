"""Many short rows beside contexts that are already encoded: one pass for rows of any length.

The rows of a batch lie one after another in a single sequence of tokens, so that no linear layer
computes padding. A row attends to a context shared by its `PrefixGroup` (the queries of all rows
meet its keys in one product, nothing is copied), to keys of its own that were computed before,
and to itself. Exactly what `Transformer.hidden` gives for context and row in one sequence under
such a mask of attention.

Shape suffixes as in transformer.py; N tokens of all rows together, L layers, B rows of a group,
T tokens of each, W tokens of a row's past, G query heads per key/value head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from diffufix.model.transformer import Block, Cache, Transformer, rotary


@dataclass(frozen=True)
class PrefixGroup:
    """`count` rows of `length` tokens that share the context `shared`.

    `past` [B, W, L, 2, K, E] holds further keys and values of each row, those with `seen` [B, W].
    """

    shared: Cache
    count: int
    length: int
    past: Tensor | None = None
    seen: Tensor | None = None


def denoise(
    model: Transformer, ids_N: Tensor, positions_N: Tensor, groups: Sequence[PrefixGroup]
) -> tuple[Tensor, Tensor]:
    """Last hidden states [N, D], and these tokens' own keys and values [N, L, 2, K, E].

    The tokens of the groups follow each other in the order of `groups`.
    """
    own: list[Tensor] = []
    hidden_ND = _through(model, ids_N, positions_N, groups, own)
    return hidden_ND, torch.stack(own, dim=1)


def states(
    model: Transformer,
    ids_N: Tensor,
    positions_N: Tensor,
    groups: Sequence[PrefixGroup],
    wanted_M: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `denoise`, with last hidden states [M, D] of the tokens `wanted_M` (indices) alone."""
    own: list[Tensor] = []
    hidden_MD = _through(model, ids_N, positions_N, groups, own, wanted_M)
    return hidden_MD, torch.stack(own, dim=1)


def _through(
    model: Transformer,
    ids_N: Tensor,
    positions_N: Tensor,
    groups: Sequence[PrefixGroup],
    own: list[Tensor],
    wanted_M: Tensor | None = None,
) -> Tensor:
    cos, sin = rotary(positions_N[:, None], model.config.rotary_dim, model.config.rope_theta)
    x_ND = model.model.embed_tokens(ids_N)
    last = len(model.model.layers) - 1
    for index, layer in enumerate(cast("list[Block]", model.model.layers)):
        attention = layer.self_attn
        h_ND = layer.input_layernorm(x_ND)
        q, k, v = (x[:, :, 0] for x in attention.project(h_ND[:, None], cos, sin))
        own.append(torch.stack([k, v], dim=1))
        attended, at = [], 0
        for group in groups:
            part = slice(at, at + group.count * group.length)
            attended.append(_attend(q[part], k[part], v[part], group, index))
            at = part.stop
        seen_ND = torch.cat(attended)
        if index == last and wanted_M is not None:
            x_ND, seen_ND = x_ND[wanted_M], seen_ND[wanted_M]
        x_ND = x_ND + attention.o_proj(seen_ND)
        x_ND = x_ND + layer.mlp(layer.post_attention_layernorm(x_ND))
    return model.model.norm(x_ND)


def _attend(q: Tensor, k: Tensor, v: Tensor, group: PrefixGroup, layer: int) -> Tensor:
    """What the rows of one group see: q [B*T, H, E], k and v [B*T, K, E] to [B*T, H*E]."""
    B, T = group.count, group.length
    n, H, E = q.shape
    K = k.shape[1]
    G = H // K
    q_KNE = (q / math.sqrt(E)).view(n, K, G, E).permute(1, 2, 0, 3).reshape(K, G * n, E)
    shared_k, shared_v = (x[0] for x in group.shared[layer])
    C = shared_k.shape[1]
    k_BSKE, v_BSKE = k.view(B, T, K, E), v.view(B, T, K, E)
    if group.past is not None:
        k_BSKE = torch.cat([group.past[:, :, layer, 0], k_BSKE], dim=1)
        v_BSKE = torch.cat([group.past[:, :, layer, 1], v_BSKE], dim=1)
    # one row's queries, its heads of a group together: [K, G, B, T, E] to [B, K, G*T, E]
    q_BKTE = q_KNE.view(K, G, B, T, E).permute(2, 0, 1, 3, 4).reshape(B, K, G * T, E)
    near = q_BKTE @ k_BSKE.permute(0, 2, 3, 1)
    if group.seen is not None:
        S = near.shape[-1]
        hidden = torch.nn.functional.pad(~group.seen, (0, S - group.seen.shape[1]))
        near = near.masked_fill(hidden[:, None, None, :], -math.inf)
    far = q_KNE @ shared_k.transpose(1, 2)
    near_KN = near.view(B, K, G, T, -1).permute(1, 2, 0, 3, 4).reshape(K, G * n, -1)
    weights = torch.cat([far, near_KN], dim=-1).softmax(-1)
    out_KNE = weights[..., :C] @ shared_v
    near = weights[..., C:].view(K, G, B, T, -1).permute(2, 0, 1, 3, 4).reshape(B, K, G * T, -1)
    out_BKTE = near @ v_BSKE.permute(0, 2, 1, 3)
    out = out_KNE.view(K, G, B, T, E) + out_BKTE.view(B, K, G, T, E).permute(1, 2, 0, 3, 4)
    return out.permute(2, 3, 0, 1, 4).reshape(n, H * E)
