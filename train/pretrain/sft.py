"""Stage 3: repair tuning on functions with bugs put in, from an earlier stage or any `mini`.

python -m diffufix.train.pretrain.sft --recipe FILE.toml --corpus FILE --from RUN --out RUN3
"""

from __future__ import annotations

from diffufix.train.pretrain.stages import command

if __name__ == "__main__":
    command("sft")
