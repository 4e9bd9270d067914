"""Stage 1: pre-training from scratch, or from an autoregressive checkpoint (see adapt.py).

    python -m diffufix.train.pretrain --recipe train/recipes/mini-cpu.toml --corpus FILE \
        --tokenizer FOLDER --out RUN [--through sft] [--from CHECKPOINT]
"""

from __future__ import annotations

from diffufix.train.pretrain.stages import command

if __name__ == "__main__":
    command("pretrain")
