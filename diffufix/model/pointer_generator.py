"""A head that points: ids of a masked place may be copied from the context that it is read beside.

A small model learns slowly to repeat the rare ids that stand in front of it; names are mostly such.
With the head (pointer-generator networks, See et al. 2017, arXiv 1704.04368) a place's distribution
is a mixture

    p(v) = g softmax(logits)(v) + (1 - g) sum over context places t of a_t [id_t = v]

with a = softmax of the products of the place's query and the context's keys, and a gate g, all of
the last hidden states. N places, T tokens of a context, S width of queries and keys, D model width,
V vocabulary.

A name stands now with a blank before it, now without, and is another id each time. A head with
`twins` may copy either: a second gate, of the place, says how much of what is pointed at goes to
the id's twin (`Tokenizer.twins`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BIAS = 3.0  # of a new gate: the vocabulary gets 95 %


class PointerGenerator(nn.Module):
    twin_V: Tensor  # the twin of every id, itself where it has none

    def __init__(self, hidden_size: int, copy_size: int, twins: int = 0) -> None:
        """`twins`: how many ids there are, of a head that copies twins too."""
        super().__init__()
        self.q_proj = nn.Linear(hidden_size, copy_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, copy_size, bias=False)
        self.gate = nn.Linear(hidden_size, 1)
        self.other = nn.Linear(hidden_size, 1) if twins else None
        # No part of a checkpoint, so never left on the meta device that loading begins with.
        self.register_buffer("twin_V", torch.arange(twins, device="cpu"), persistent=False)

    def restart(self, generator: torch.Generator | None = None) -> None:
        """Weights to begin with."""
        for layer in (self.q_proj, self.k_proj):
            scale = layer.in_features**-0.5
            nn.init.normal_(layer.weight, 0.0, scale, generator=generator)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, BIAS)
        if self.other is not None:
            nn.init.zeros_(self.other.weight)
            nn.init.constant_(self.other.bias, -BIAS)

    def pair(self, twins: Sequence[int]) -> None:
        """Say which id is the twin of which; without `other` there is no need to."""
        if self.other is not None:
            self.twin_V = torch.tensor(twins, device=self.gate.weight.device)

    def forward(
        self, logits_NV: Tensor, hidden_ND: Tensor, keys: Tensor, ids: Tensor, seen: Tensor
    ) -> Tensor:
        """Logits [N, V] of the mixture, float32: those given, raised where something is copied.

        `keys` are `k_proj` of a context's last hidden states, [T, S] for all places or [N, T, S];
        `ids` [T] or [N, T] the context's; `seen`, of the same shape, is False at what cannot be
        copied. A place that sees nothing copies nothing. Without gradients float32 logits may be
        changed in place.
        """
        q_NS = self.q_proj(hidden_ND).float() / math.sqrt(self.q_proj.out_features)
        keys, logits_NV = keys.float(), logits_NV.float()
        if keys.ndim == 2:
            scores_NT = q_NS @ keys.T
        else:
            scores_NT = (keys @ q_NS[:, :, None])[:, :, 0]
        seen_NT = seen.expand(scores_NT.shape)
        pointed_NT = scores_NT.masked_fill(~seen_NT, -1e30).softmax(-1) * seen_NT
        if self.other is not None:
            other_N1 = torch.sigmoid(self.other(hidden_ND).float())
            pointed_NT = torch.cat([pointed_NT * (1 - other_N1), pointed_NT * other_N1], dim=-1)
            ids = torch.cat([ids, self.twin_V[ids]], dim=-1)
        ids_NT = ids.expand(pointed_NT.shape)
        odds_N1 = torch.exp(-self.gate(hidden_ND).float())  # (1 - g) / g
        # The mixture over g, and what the softmax divides by: only ids of the context differ from
        # exp(logits), so that the vocabulary is gone through once.
        whole_N1 = logits_NV.logsumexp(-1, keepdim=True)
        if ids.ndim == 1:
            columns_U, place_T = ids.unique(return_inverse=True)
            share_NU = torch.zeros(len(q_NS), len(columns_U), device=ids.device)
            share_NU = share_NU.index_add(1, place_T, pointed_NT) * odds_N1
            own_NU = logits_NV[:, columns_U]
            raised_NU = torch.logaddexp(own_NU, share_NU.clamp_min(1e-30).log() + whole_N1)
            if torch.is_grad_enabled():
                return logits_NV.index_copy(1, columns_U, raised_NU)
            return logits_NV.index_copy_(1, columns_U, raised_NU)
        share_NV = torch.zeros_like(logits_NV).scatter_add(1, ids_NT, pointed_NT * odds_N1)
        return torch.logaddexp(logits_NV, share_NV.clamp_min(1e-30).log() + whole_N1)
