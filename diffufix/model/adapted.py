"""LoRA beside the weights, for those that are not float32: nothing of a small change is lost.

Rounding W + s B A to bfloat16 loses a third of a change that is a hundredth of the weights. Here
the product stays in float32 beside the matrix, computed as peft computes it while it trains, so
that the model which is used is the one that was measured.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AdaptedLinear(nn.Linear):
    """W x + s B A x, the second part in float32. `a` [R, in] and `b` [out, R] are not in the
    state dict: the weights are those of the base."""

    a: Tensor
    b: Tensor
    scale: float

    @classmethod
    def around(cls, linear: nn.Linear, a: Tensor, b: Tensor, scale: float) -> AdaptedLinear:
        """The same layer with a part beside it; it takes over the layer's parameters."""
        with torch.device("meta"):
            made = cls(linear.in_features, linear.out_features, linear.bias is not None)
        made.weight, made.bias, made.scale = linear.weight, linear.bias, scale
        device = linear.weight.device
        made.register_buffer("a", a.detach().float().to(device), persistent=False)
        made.register_buffer("b", b.detach().float().to(device), persistent=False)
        return made.train(linear.training)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return (out + F.linear(F.linear(x.float(), self.a), self.b) * self.scale).to(out.dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> AdaptedLinear:
        super()._apply(fn, recurse)
        self.a, self.b = self.a.float(), self.b.float()  # whatever the weights are cast to
        return self


def attach(module: nn.Module, name: str, a: Tensor, b: Tensor, scale: float) -> None:
    """Put the part beside the linear layer of that dotted name."""
    parent, _, own = name.rpartition(".")
    home = module.get_submodule(parent)
    setattr(home, own, AdaptedLinear.around(getattr(home, own), a, b, scale))


def detach(module: nn.Module) -> None:
    """Take every such part away again: the base as it was loaded."""
    for name, layer in list(module.named_modules()):
        if not isinstance(layer, AdaptedLinear):
            continue
        parent, _, own = name.rpartition(".")
        with torch.device("meta"):
            plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None)
        plain.weight, plain.bias = layer.weight, layer.bias
        setattr(module.get_submodule(parent), own, plain.train(layer.training))


def merge(module: nn.Module) -> None:
    """Add every such part to its weights, which are float32 by now, and take it away."""
    for layer in module.modules():
        if isinstance(layer, AdaptedLinear):
            with torch.no_grad():
                layer.weight += layer.b @ layer.a * layer.scale
    detach(module)
