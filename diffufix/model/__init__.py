"""The model: transformer, families, checkpoints, tokenizers. It knows ids and text, not tests.

Names are looked up on first use, so that importing this package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel, load_model
    from diffufix.model.family import Family
    from diffufix.model.hub import default_model
    from diffufix.model.tokenizer import Tokenizer, load_tokenizer
    from diffufix.model.transformer import ModelConfig, Transformer

__all__ = [
    "Family",
    "LoadedModel",
    "ModelConfig",
    "Tokenizer",
    "Transformer",
    "default_model",
    "load_model",
    "load_tokenizer",
]

_HOMES = {
    "Family": "family",
    "LoadedModel": "checkpoint",
    "ModelConfig": "transformer",
    "Tokenizer": "tokenizer",
    "Transformer": "transformer",
    "default_model": "hub",
    "load_model": "checkpoint",
    "load_tokenizer": "tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
