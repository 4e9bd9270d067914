"""Pre-training without typer, for launchers; what `diffufix train pretrain` does otherwise.

    python -m diffufix.train.pretrain --recipe train/recipes/mini-cpu.toml --corpus FILE \
        --tokenizer FOLDER --out RUN [--through sft] [--from CHECKPOINT]
"""

from __future__ import annotations

from diffufix.train.pretrain.stages import command

if __name__ == "__main__":
    command("pretrain")
