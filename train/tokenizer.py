"""The tokenizer of `mini`: byte-level BPE that never merges across Python's lexical tokens.

    python -m diffufix.train.tokenizer --corpus corpus.jsonl.gz --out FOLDER [--size 6144]

Holes are cut at lexical tokens; as no merge crosses them, the ids on both sides of a cut are the
same whether the text is whole or cut. A word takes its leading blank along, a line break its
indentation. Writes tokenizer.json in FOLDER.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

SPECIAL = ["pad", "mask", "bos", "eos", "expand", "delete", "was", "now", "gap"]
SPLIT = (
    r"\r?\n[ \t]*| ?[^\W\d]\w*| ?\d+"
    r"| ?(?:\*\*=|//=|>>=|<<=|==|!=|<=|>=|->|:=|\+=|-=|\*=|/=|%=|&=|\|=|\^=|@=|\*\*|//|<<|>>"
    r"|\.\.\.|[^\s\w])"
    r"|\s+"
)


def train(texts: Iterator[str], size: int) -> Tokenizer:
    """A tokenizer of `size` ids, special tokens first (their id is their place in SPECIAL)."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(f"<|{name}|>", special=True) for name in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def texts(corpus: Path) -> Iterator[str]:
    with gzip.open(corpus, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["source"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=6144)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train(texts(args.corpus), args.size).save(str(args.out / "tokenizer.json"))


if __name__ == "__main__":
    main()
