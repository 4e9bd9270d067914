"""What tests of `mini` share: sources, a small tokenizer trained on them, and a tiny model."""

from __future__ import annotations

import ast
import gzip
import json
import textwrap
from functools import cache
from pathlib import Path

import torch

from diffufix.model.transformer import ModelConfig, Transformer
from diffufix.source.functions import functions
from diffufix.source.spans import Text
from diffufix.train.corpus.tokenizer import train
from diffufix.train.pretrain.fresh import initialise

_MODULES = ("argparse", "textwrap", "heapq", "bisect", "fractions", "statistics", "calendar")


@cache
def library_functions() -> tuple[str, ...]:
    """Functions and methods of a few modules of the standard library, as they stand there."""
    folder = Path(textwrap.__file__).parent
    found = []
    for name in _MODULES:
        source = (folder / f"{name}.py").read_text("utf-8")
        text = Text(source)
        for _, node in functions(ast.parse(source)):
            start, end = text.span(node)
            piece = source[source.rfind("\n", 0, start) + 1 : end]
            if piece.isascii() and 2 <= piece.count("\n") <= 60:
                found.append(piece)
    return tuple(found)


def write_tokenizer(folder: Path, size: int = 700) -> Path:
    """tokenizer.json in the folder, as train/corpus/tokenizer.py makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    train(iter(library_functions()), size).save(str(folder / "tokenizer.json"))
    return folder


def write_corpus(path: Path) -> Path:
    """The library's functions as a corpus file, every one in a package path of its own."""
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for index, source in enumerate(library_functions()):
            row = {"source": source, "path": f"{index}.py", "package": "p", "licence": "MIT"}
            file.write(json.dumps(row) + "\n")
    return path


def tiny_model(vocabulary: int, seed: int = 0, scale: float = 1.0) -> Transformer:
    """A random model of the shape of `mini`, two layers; larger scales predict more sharply."""
    config = ModelConfig(
        vocabulary, 32, 64, 2, 4, 2, rope_theta=1e4, tie_word_embeddings=True, attention_bias=True
    )
    model = Transformer(config)
    initialise(model, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                parameter.mul_(20 * scale if "embed" in name else 2 * scale)
    return model.eval().requires_grad_(False)
