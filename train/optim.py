"""Optimisers and averaged weights of every trainer. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from diffufix.model.devices import flushed
from diffufix.model.transformer import Transformer
from diffufix.train.muon import Muon
from diffufix.train.objective import Labelled, loss_of
from diffufix.train.recipe import Recipe


def optimisers(model: Transformer, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside of blocks (or AdamW, by the recipe), AdamW for the rest.

    Their peak rates are kept in the groups as `peak`, for `set_rate`.
    """
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    first: torch.optim.Optimizer
    if recipe.optimiser == "muon":
        first = Muon(matrices, lr=recipe.muon_lr, weight_decay=recipe.weight_decay)
    else:
        first = adamw(matrices, recipe.adam_lr, recipe.weight_decay)
    second = adamw(rest, recipe.adam_lr, 0.0)
    for optimiser in (first, second):
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return [first, second]


def adamw(params: Iterable[Tensor], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, lr=lr, betas=(0.9, 0.97), weight_decay=weight_decay)


def set_rate(optimisers: Sequence[torch.optim.Optimizer], factor: float) -> None:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


@flushed()
def update(
    model: Transformer,
    optimisers: Sequence[torch.optim.Optimizer],
    batch: Labelled,
    recipe: Recipe,
    step: int,
) -> tuple[float, float]:
    """One bare step on one device; returns the loss and the norm of its gradient before clipping.
    The trainer's own steps do more: parts, processes, averages."""
    set_rate(optimisers, recipe.rate(step))
    device = batch.ids.device.type
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        loss, _ = loss_of(model, batch)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return float(loss.detach()), float(norm)


class Average:
    """Exponential moving average of a module's parameters, in float32 beside them.

    It follows closely at first: the decay of update n is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._live = [p for p in module.parameters() if p.requires_grad]
        self.values = [p.detach().float().clone() for p in self._live]

    @torch.no_grad()
    def update(self) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        live = [p.detach().float() for p in self._live]
        torch._foreach_lerp_(self.values, live, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the module has the averaged weights."""
        kept = [p.detach().clone() for p in self._live]
        self._set(self.values)
        try:
            yield
        finally:
            self._set(kept)

    @torch.no_grad()
    def _set(self, values: Sequence[Tensor]) -> None:
        for p, value in zip(self._live, values, strict=True):
            p.copy_(value)

    @torch.no_grad()
    def mix(self, share: float) -> None:
        """Move towards the weights as they now are, by this share of the way; 1: all of it."""
        for value, p in zip(self.values, self._live, strict=True):
            value.mul_(1 - share).add_(p.detach().float(), alpha=share)

    @torch.no_grad()
    def restart(self) -> None:
        """Forget; go on from the weights as they now are."""
        self.updates = 0
        for value, p in zip(self.values, self._live, strict=True):
            value.copy_(p)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "values": self.values}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        saved: Sequence[Tensor] = state["values"]  # type: ignore[assignment]
        for value, other in zip(self.values, saved, strict=True):
            value.copy_(other)
