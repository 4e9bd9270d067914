"""Mixtures of experts in the layers of a transformer (LLaDA 2).

Routing is that of DeepSeek-V3 (arXiv 2412.19437, section 2.1.2): every expert has a sigmoid score;
a bias that takes part in the choice alone balances them; experts are chosen within the groups whose
two best scores are highest. The scores of the chosen ones, made to sum to 1 and scaled, weigh what
they compute. One more network sees every token. N tokens, D width, X experts, F inner width of
one, S chosen for a token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ExpertsConfig:
    """The numbers of a config.json that say how experts are mixed."""

    count: int
    chosen: int  # of a token
    groups: int  # into which they are divided,
    open_groups: int  # and of which as many are chosen from
    size: int  # inner width of one
    shared: int  # inner width of the network that sees every token; 0: there is none
    scale: float  # of the weighted sum
    dense_layers: int  # the first ones, which have no experts


class Experts(nn.Module):
    """Parameters of all experts lie in three tensors, so that one product takes many of them."""

    def __init__(self, width: int, config: ExpertsConfig, shared: nn.Module | None) -> None:
        super().__init__()
        X, size = config.count, config.size
        self.config = config
        self.router = nn.Parameter(torch.empty(X, width))
        self.router_bias = nn.Parameter(torch.empty(X))
        self.gate_proj = nn.Parameter(torch.empty(X, size, width))
        self.up_proj = nn.Parameter(torch.empty(X, size, width))
        self.down_proj = nn.Parameter(torch.empty(X, width, size))
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] to [..., D]."""
        x_ND = x.reshape(-1, x.shape[-1])
        chosen_NS, weight_NS = self.route(x_ND)
        order = chosen_NS.reshape(-1).argsort(stable=True)
        counts_X = torch.bincount(chosen_NS.reshape(-1), minlength=self.config.count)
        made = torch.empty(len(order), x.shape[-1], dtype=x.dtype, device=x.device)
        made[order] = self._computed(x_ND[order // self.config.chosen], counts_X)
        made_NSD = made.view(len(x_ND), self.config.chosen, -1).to(weight_NS.dtype)
        out = (made_NSD * weight_NS[..., None]).sum(1).to(x.dtype).view(x.shape)
        return out if self.shared is None else out + self.shared(x)

    def route(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Which experts each token goes to, and their weights, [N, S] both; in float32."""
        config = self.config
        scores_NX = F.linear(x_ND.float(), self.router.float()).sigmoid()
        wanted_NX = scores_NX + self.router_bias.float()
        wanted_NGE = wanted_NX.view(len(x_ND), config.groups, -1)
        best_NG = wanted_NGE.topk(min(2, wanted_NGE.shape[-1]), dim=-1).values.sum(-1)
        open_NG = torch.zeros_like(best_NG, dtype=torch.bool)
        open_NG.scatter_(1, best_NG.topk(config.open_groups, dim=-1).indices, True)
        wanted_NX = wanted_NGE.masked_fill(~open_NG[..., None], -torch.inf).view_as(wanted_NX)
        chosen_NS = wanted_NX.topk(config.chosen, dim=-1).indices
        weight_NS = scores_NX.gather(1, chosen_NS)
        if config.chosen > 1:
            weight_NS = weight_NS / (weight_NS.sum(-1, keepdim=True) + 1e-20)
        return chosen_NS, weight_NS * config.scale

    def _computed(self, x_MD: Tensor, counts_X: Tensor) -> Tensor:
        """Tokens in the order of their experts, through them."""
        even = x_MD.shape[1] % 8 == 0 and self.config.size % 8 == 0  # what the kernel asks for
        if x_MD.is_cuda and x_MD.dtype == torch.bfloat16 and even and hasattr(F, "grouped_mm"):
            return self.grouped(x_MD, counts_X)
        out, begin = [], 0
        for index, count in enumerate(counts_X.tolist()):
            if count:
                x = x_MD[begin : begin + count]
                inner = F.silu(F.linear(x, self.gate_proj[index]))
                inner = inner * F.linear(x, self.up_proj[index])
                out.append(F.linear(inner, self.down_proj[index]))
                begin += count
        return torch.cat(out)

    def grouped(self, x_MD: Tensor, counts_X: Tensor) -> Tensor:
        """The same in three products, for GPUs: one of each would be a kernel for each expert."""
        ends = counts_X.cumsum(0).to(torch.int32)

        def product(x: Tensor, weight_XOI: Tensor) -> Tensor:
            return F.grouped_mm(x, weight_XOI.transpose(1, 2), offs=ends)

        inner = F.silu(product(x_MD, self.gate_proj)) * product(x_MD, self.up_proj)
        return product(inner, self.down_proj)
