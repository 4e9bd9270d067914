"""Stage 2: annealing on the better part of the corpus, from where pre-training ended.

python -m diffufix.train.pretrain.anneal --recipe FILE.toml --corpus FILE --from RUN --out RUN2
"""

from __future__ import annotations

from diffufix.train.pretrain.stages import command

if __name__ == "__main__":
    command("anneal")
