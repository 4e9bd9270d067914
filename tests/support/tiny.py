"""Transformers small enough to enumerate what they do."""

from __future__ import annotations

import torch

from diffufix.model.transformer import ModelConfig, Transformer


def tiny(vocabulary: int, seed: int = 0, scale: float = 0.6) -> Transformer:
    """Two layers of random weights with the standard deviation `scale`."""
    model = Transformer(ModelConfig(vocabulary, 16, 32, 2, 2, 1))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval().requires_grad_(False)
