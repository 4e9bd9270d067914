"""A new `mini`: its family, its shape, its first weights. Pure."""

from __future__ import annotations

from typing import Any

import torch

from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import ModelConfig, Transformer
from diffufix.train.corpus.tokenizer import SPECIAL
from diffufix.train.recipe import Recipe


def mini_family(window: int | None = None, failure: bool | None = None) -> Family:
    """The family of `mini`: no shift, aside layout, special ids in the tokenizer's order."""
    ids: dict[str, Any] = {name: index for index, name in enumerate(SPECIAL)}
    return Family(
        name="mini", shift=False, layout="aside", chat="none", window=window, failure=failure, **ids
    )


def make_model(recipe: Recipe, vocabulary: int) -> Transformer:
    """A model of the recipe's shape with random weights of its seed."""
    if not (recipe.hidden_size and recipe.intermediate_size and recipe.layers and recipe.heads):
        raise UsageError(
            "The recipe gives no shape: hidden_size, intermediate_size, layers, heads.",
            "Write them into the recipe, or start from a checkpoint with --from.",
        )
    config = ModelConfig(
        vocabulary, recipe.hidden_size, recipe.intermediate_size, recipe.layers, recipe.heads,
        recipe.kv_heads or recipe.heads, rope_theta=1e4, tie_word_embeddings=True,
        attention_bias=True, copy_size=recipe.copy_size, copy_twins=recipe.copy_twins,
        edit_size=recipe.edit_size,
    )  # fmt: skip
    model = Transformer(config)
    initialise(model, recipe.seed)
    return model


def initialise(model: Transformer, seed: int) -> None:
    """Normal weights scaled by fan-in, those that end a block smaller by its depth."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if p.ndim == 2:
            scale = 0.02 if "embed" in name else 0.7 * p.shape[1] ** -0.5
            torch.nn.init.normal_(p, 0.0, scale, generator=generator)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                p.data.mul_((2 * model.config.num_hidden_layers) ** -0.5)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(p)
    if model.copy is not None:
        model.copy.restart(generator)
    if model.edit is not None:
        model.edit.restart(generator)
