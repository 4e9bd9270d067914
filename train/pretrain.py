"""Stage 1: pre-training from scratch, or from an autoregressive checkpoint (see adapt.py).

    python -m diffufix.train.pretrain --recipe train/recipes/mini-cpu.toml --corpus FILE \
        --tokenizer FOLDER --out RUN [--through sft] [--from CHECKPOINT]
"""

from __future__ import annotations

from diffufix.train.fresh import make_model, mini_family
from diffufix.train.optim import optimisers, update
from diffufix.train.recipe import Recipe
from diffufix.train.stages import command

__all__ = ["Recipe", "make_model", "mini_family", "optimisers", "update"]

if __name__ == "__main__":
    command("pretrain")
