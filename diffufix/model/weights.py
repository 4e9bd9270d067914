"""Tensors of a checkpoint folder: safetensors in, safetensors out. Reads and writes files there.

Big shards are read tensor by tensor, so that loading needs the model's own memory and one tensor
more. Two things may happen to a matrix on the way: int8 rows are widened by their scales, and a
LoRA adapter's product is added.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffufix.errors import CheckpointError
from diffufix.model.files import INDEX, SINGLE, read_json, shards

#: An int8 matrix [rows, columns] has beside it the float scales [rows] under its name plus this.
SCALE = ".scale"
_WHOLE = 256 * 2**20  # files up to this size are hashed whole, larger ones by samples
_SAMPLE, _SAMPLES = 2**20, 64


def read_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint by its name, int8 widened to float32. Raises CheckpointError."""
    for path in shards(folder):
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            names = set(file.keys())
            for name in sorted(names):
                if name.endswith(SCALE) and name.removesuffix(SCALE) in names:
                    continue
                tensor = file.get_tensor(name)
                if tensor.dtype == torch.int8:
                    if name + SCALE not in names:
                        raise CheckpointError(f"{path}: {name} is int8 without {name}{SCALE}.")
                    tensor = tensor.float() * file.get_tensor(name + SCALE).float()[:, None]
                yield name, tensor
    except (SafetensorError, OSError, EOFError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut short: {error}",
            "Delete the file and fetch it again.",
        ) from error


def write_tensors(
    folder: Path, state: Mapping[str, Tensor], *, shards: int = 1, limit: int | None = None
) -> None:
    """Write a state dict in hub layout: one file, or `shards` files with an index; with `limit`,
    as many as keep each within that many bytes (a single tensor may be larger)."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    parts = _by_number(list(state), shards) if limit is None else _by_size(state, limit)
    if len(parts) == 1:
        save_tensors(state, folder / SINGLE)
        return
    where: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{len(parts):05}.safetensors"
        save_tensors({n: state[n] for n in part}, folder / file)
        where.update(dict.fromkeys(part, file))
    total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", "utf-8")


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """One file, with the rights that any new file has: safetensors gives it to its owner alone."""
    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), str(path), metadata={"format": "pt"})
    path.chmod(mode)


def _by_number(names: list[str], shards: int) -> list[list[str]]:
    size = math.ceil(len(names) / shards)
    return [names[number * size : (number + 1) * size] for number in range(shards)]


def _by_size(state: Mapping[str, Tensor], limit: int) -> list[list[str]]:
    """Names in order, cut where a file would grow beyond `limit`; scales stay with their matrix."""
    parts: list[list[str]] = [[]]
    used = 0
    for name in state:
        if name.endswith(SCALE) and name.removesuffix(SCALE) in state:
            continue
        names = [n for n in (name, name + SCALE) if n in state]
        size = sum(state[n].numel() * state[n].element_size() for n in names)
        if parts[-1] and used + size > limit:
            parts.append([])
            used = 0
        parts[-1] += names
        used += size
    return parts


def pack_int8(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same state with matrices as int8 rows and float32 scales (symmetric), rest bfloat16."""
    packed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        wide = tensor.detach().float()
        if wide.ndim != 2:
            packed[name] = wide.bfloat16()
            continue
        scale = wide.abs().amax(dim=1).clamp_min(1e-12) / 127
        packed[name] = (wide / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
        packed[name + SCALE] = scale
    return packed


class Adapter:
    """A LoRA adapter in peft's layout: weight += alpha / r * B A. Merged into float32 weights;
    beside others it stays what it is (adapted.py)."""

    def __init__(self, folder: Path) -> None:
        hint = "An adapter folder holds adapter_config.json and adapter_model.safetensors."
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            if not (folder / name).is_file():
                raise CheckpointError(f"{folder} lacks {name}.", hint)
        config = read_json(folder / "adapter_config.json")
        beyond = [
            key
            for key in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern")
            if config.get(key)
        ]
        if str(config.get("peft_type", "LORA")).upper() != "LORA" or beyond:
            raise CheckpointError(
                f"The adapter in {folder} is more than plain LoRA: {', '.join(beyond) or 'type'}.",
                "Only plain LoRA adapters are merged.",
            )
        self.folder = folder
        self._alpha = float(config.get("lora_alpha", 8))
        self._root = bool(config.get("use_rslora"))
        self._transposed = bool(config.get("fan_in_fan_out"))
        self._parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in _read_file(folder / "adapter_model.safetensors"):
            module, _, rest = name.partition(".lora_")
            if not rest or rest[0] not in "AB":
                raise CheckpointError(f"The adapter holds {name}, which is no LoRA matrix.", hint)
            module = module.removeprefix("base_model.model.")
            self._parts.setdefault(module + ".weight", {})[rest[0]] = tensor

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """The weight with its part of the adapter, float32; every part is handed out once."""
        found = self.part(name, weight.shape)
        if found is None:
            return weight
        a, b, scale = found
        return weight.float() + b @ a * scale

    def part(self, name: str, shape: torch.Size) -> tuple[Tensor, Tensor, float] | None:
        """A [R, in], B [out, R] and the scale of their product for a weight; None: it has none.
        Every part is handed out once. Raises CheckpointError."""
        part = self._parts.pop(name, None)
        if part is None:
            return None
        if part.keys() != {"A", "B"}:
            raise CheckpointError(f"The adapter has only one half for {name}.")
        a, b = part["A"].float(), part["B"].float()
        rank = a.shape[0]
        scale = self._alpha / (math.sqrt(rank) if self._root else rank)
        if self._transposed:
            a, b = b.T, a.T
        if (b.shape[0], a.shape[1]) != tuple(shape) or b.shape[1] != a.shape[0]:
            raise CheckpointError(
                f"The adapter's {name} is {[b.shape[0], a.shape[1]]}, the model's {list(shape)}.",
                "The adapter belongs to another base model.",
            )
        return a, b, scale

    def finish(self) -> None:
        """Raises CheckpointError where a part found no weight."""
        if self._parts:
            raise CheckpointError(
                f"The adapter changes {next(iter(self._parts))}, which the model lacks.",
                "The adapter belongs to another base model.",
            )


def fingerprint(files: list[Path]) -> str:
    """A hash of the files' contents; of files beyond 256 MiB, of their size and samples."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(file.read())
                continue
            for part in range(_SAMPLES):
                file.seek((size - _SAMPLE) * part // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE))
    return digest.hexdigest()
