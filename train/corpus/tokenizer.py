"""The tokenizer of `mini`: byte-level BPE that never merges across Python's lexical tokens.

    diffufix train tokenizer --corpus FOLDER --out FOLDER [--size 6144]

Holes are cut at lexical tokens; as no merge crosses them, the ids on both sides of a cut are the
same whether the text is whole or cut. A word takes its leading blank along, a line break its
indentation. Inside of strings the same cuts hold, and an escape (`\\n`, `\\d`) is one unit: holes
within a literal lie between words, and what follows an escape is not glued to its letter.
`--pairs` adds the texts of a file of pairs (train/bugs/history.py). Writes tokenizer.json in
FOLDER.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE

from diffufix.errors import UsageError
from diffufix.train.corpus.shards import rows

SPECIAL = [
    "pad", "mask", "bos", "eos", "expand", "delete", "was", "now", "gap", "outline", "names",
    "breaking",
]  # fmt: skip
SIZE = 8192
SPLIT = (
    r"\r?\n[ \t]*|\\[^\s\w]|\\[A-Za-z0]| ?[^\W\d]\w*| ?\d+"
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


def make(corpus: Path, out: Path, size: int = SIZE, pairs: Sequence[Path] = ()) -> int:
    """Train on a corpus and write tokenizer.json; returns the number of ids. Raises UsageError."""
    least = len(SPECIAL) + 256
    if size < least:
        raise UsageError(f"{size} ids are too few.", f"Bytes and special ids alone are {least}.")
    try:
        sources = [row["source"] for row in rows(corpus, "train")]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"The corpus {corpus} cannot be read: {type(error).__name__}: {error}",
            "`diffufix train corpus` makes one.",
        ) from error
    if not sources:
        raise UsageError(
            f"The corpus {corpus} has nothing to learn from.",
            "`diffufix train corpus` makes one. It holds out one project in twelve, by its name: "
            "name several.",
        )
    sources += _texts_of(pairs)
    tokenizer = train(iter(sources), size)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    return tokenizer.get_vocab_size()


def _texts_of(pairs: Sequence[Path]) -> list[str]:
    """What files of pairs say: code, outlines and tests. Raises UsageError for other files."""
    found = []
    for path in pairs:
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    row = json.loads(line)
                    found += [row.get(key, "") for key in ("after", "outline", "failure")]
        except (OSError, EOFError, ValueError, AttributeError) as error:
            raise UsageError(
                f"The pairs in {path} cannot be read: {type(error).__name__}: {error}",
                "`diffufix train fixes` makes such a file.",
            ) from error
    return found
