"""Put a trained model into a folder, small enough to be shipped.

`diffufix train export` runs it. Reads the run's model/ (the averaged weights, where the recipe
averages) or a checkpoint's folder, and writes config.json, tokenizer files and weights in files of
at most 16 MB. Loading widens bfloat16 to float32 exactly, and int8 to exactly scale x integer.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from diffufix.errors import CheckpointError, UsageError
from diffufix.model.files import INDEX
from diffufix.model.weights import pack_int8, read_tensors, write_tensors
from diffufix.train.checkpoints import MODEL, TOKENIZER_FILES

DTYPES = ("bfloat16", "float32", "int8")
MEGABYTE = 2**20
LIMIT = 16 * MEGABYTE


@dataclass(frozen=True)
class Exported:
    """What was written where."""

    folder: Path
    parameters: int
    bytes: int
    files: int


def export(source: Path, target: Path, dtype: str = "bfloat16", limit: int = LIMIT) -> Exported:
    """Raises CheckpointError where there is no model to export, UsageError for other dtypes."""
    if dtype not in DTYPES:
        raise UsageError(f"There is no dtype {dtype!r} to export.", f"Take {', '.join(DTYPES)}.")
    folder = source / MODEL if (source / MODEL / "config.json").is_file() else source
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{source} holds no trained model.", "Give the --out folder of a training run."
        )
    if folder.resolve() == target.resolve():
        raise UsageError(f"{target} is the model itself.", "Export to another folder.")
    state = dict(read_tensors(folder))
    parameters = sum(tensor.numel() for tensor in state.values())
    packed = _packed(state, dtype)
    target.mkdir(parents=True, exist_ok=True)
    for old in (*target.glob("model*.safetensors"), target / INDEX):
        old.unlink(missing_ok=True)
    write_tensors(target, packed, limit=limit)
    for name in ("config.json", *TOKENIZER_FILES):
        if (folder / name).is_file():
            shutil.copyfile(folder / name, target / name)
    written = list(target.glob("model*.safetensors"))
    return Exported(target, parameters, sum(f.stat().st_size for f in written), len(written))


def _packed(state: Mapping[str, Tensor], dtype: str) -> dict[str, Tensor]:
    if dtype == "int8":
        return pack_int8(state)
    return {name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()}


def describe(made: Exported) -> str:
    return (
        f"{made.parameters:,} parameters, {made.bytes / MEGABYTE:.1f} MB in {made.files} "
        f"file{'s' * (made.files > 1)}: {made.folder}"
    )
