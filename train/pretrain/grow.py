"""A checkpoint of the aside layout, grown to what a recipe asks: heads, marks, a wider window.

Its weights stay, and so do the logits of the ids that it knew. New ids get rows that are the mean
of the others, new heads begin as in a new model. Writes the tokenizer, with the marks that it
lacked, into a folder.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Engine

from diffufix.model.checkpoint import LoadedModel
from diffufix.model.family import Family
from diffufix.model.tokenizer import load_tokenizer
from diffufix.model.transformer import Transformer
from diffufix.train.recipe import Recipe

MARKS = ("outline", "names", "breaking")  # of the sixth version of `mini`


def wants_more(model: LoadedModel, recipe: Recipe) -> bool:
    """Whether the recipe asks for what the checkpoint lacks and can be given."""
    family, config = model.family, model.config
    return family.appended and (
        recipe.copy_size > 0 == config.copy_size
        or recipe.edit_size > 0 == config.edit_size
        or (recipe.copy_twins and not config.copy_twins)
        or recipe.window > (family.window or recipe.window)
        or (recipe.window > 0 and family.outline is None)
    )


def grown(
    model: LoadedModel, recipe: Recipe, tokenizer_to: Path
) -> tuple[Transformer, Family, Path]:
    """The same weights with what the recipe asks for beside them; its family; its tokenizer."""
    family, tokenizer, folder = model.family, model.tokenizer, model.path
    if recipe.window:
        marks = [mark for mark in MARKS if getattr(family, mark) is None]
        if marks:
            engine = Engine.from_file(str(folder / "tokenizer.json"))
            engine.add_special_tokens([AddedToken(f"<|{m}|>", special=True) for m in marks])
            tokenizer_to.mkdir(parents=True, exist_ok=True)
            engine.save(str(tokenizer_to / "tokenizer.json"))
            folder, tokenizer = tokenizer_to, load_tokenizer(tokenizer_to)
        ids: dict[str, Any] = {mark: tokenizer.id(f"<|{mark}|>") for mark in marks}
        family = replace(family, window=recipe.window, **ids)
    old = model.config
    config = replace(
        old,
        vocab_size=max(old.vocab_size, len(tokenizer)),
        copy_size=old.copy_size or recipe.copy_size,
        copy_twins=old.copy_twins or recipe.copy_twins,
        edit_size=old.edit_size or recipe.edit_size,
    )
    made, generator = Transformer(config), torch.Generator().manual_seed(recipe.seed)
    for head in (made.copy, made.edit):
        if head is not None:
            head.restart(generator)
    state = dict(model.state_dict())
    rows = state.pop("lm_head.weight")
    new = rows.mean(0, keepdim=True).expand(config.vocab_size - len(rows), -1)
    state["model.embed_tokens.weight"] = state["lm_head.weight"] = torch.cat([rows, new])
    made.load_state_dict(state, strict=False)
    if made.copy is not None:
        made.copy.pair(tokenizer.twins(config.vocab_size))
    return made, family, folder
