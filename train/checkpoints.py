"""Checkpoints: the state of a run (state.pt) and its model in hub layout (model/).

Every file is written beside its place and moved there whole, so that a crash, a full disk or a
second signal leaves the older one. Touches the run's folder only.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from diffufix.errors import CheckpointError, PrerequisiteError, TrainingError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.model.weights import save_tensors
from diffufix.train.optim import Average

STATE = "state.pt"
MODEL = "model"
FULL = 64 * 1024  # bytes free at most on a disk that is full
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "added_tokens.json", "vocab.json", "merges.txt",
    "special_tokens_map.json",
)  # fmt: skip


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then move it there. Raises TrainingError."""
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(fresh)
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        fresh.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:
        why = _why(error, fresh)
        fresh.unlink(missing_ok=True)
        raise TrainingError(
            f"{path} cannot be written: {why}.",
            "What was there before is intact. Make room, then run the same command again.",
        ) from error


def _why(error: Exception, path: Path) -> str:
    """In a line. PyTorch and safetensors hide a full disk behind errors of their own; what there
    is of the file still takes the room that it lacked."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    full = path.exists() and shutil.disk_usage(path.parent).free < FULL
    return os.strerror(errno.ENOSPC) if full else (str(error).splitlines() or [repr(error)])[0]


def save_state(
    folder: Path,
    model: Transformer,
    optimisers: Sequence[torch.optim.Optimizer],
    average: Average | None,
    progress: Mapping[str, Any],
) -> None:
    """Everything that a resumed run needs. `progress` holds plain values, `step` among them."""
    state = {
        **progress,
        "shape": asdict(model.config),
        "model": model.state_dict(),
        "optims": [o.state_dict() for o in optimisers],
        "average": average.state_dict() if average else None,
    }
    write_whole(folder / STATE, lambda path: torch.save(state, path))


def read_state(folder: Path, device: torch.device | str) -> dict[str, Any]:
    """Raises CheckpointError where there is none, or a damaged one."""
    state = read_progress(folder, device)
    if not {"step", "model", "shape", "optims"} <= state.keys():
        raise CheckpointError(
            f"{folder / STATE} is of another version.", f"Use the weights: --from {folder / MODEL}."
        )
    return state


def read_progress(folder: Path, device: torch.device | str) -> dict[str, Any]:
    """The state of a run of any kind. Raises CheckpointError as `read_state`."""
    path = folder / STATE
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{folder} holds no {STATE}.", "Give a run's folder, or a checkpoint's."
        ) from error
    except Exception as error:  # whatever unpickling meets
        raise CheckpointError(
            f"{path} is damaged: {str(error).splitlines()[0]}",
            f"Go on from the weights alone: --from {folder / MODEL}.",
        ) from error
    if not isinstance(state, dict) or "step" not in state:
        raise CheckpointError(
            f"{path} is of another version.", f"Use the weights: --from {folder / MODEL}."
        )
    return state


def load_state(
    state: Mapping[str, Any],
    model: Transformer,
    optimisers: Sequence[torch.optim.Optimizer],
    average: Average | None,
) -> None:
    """Into model, optimisers and average. Raises CheckpointError for another shape of model."""
    shape = asdict(model.config)
    differs = [key for key, value in state["shape"].items() if shape.get(key) != value]
    if differs:
        what = ", ".join(f"{k} {state['shape'][k]} (not {shape.get(k)})" for k in differs)
        raise CheckpointError(
            f"The run was made with {what}.",
            "Use its recipe and tokenizer, or give another --out.",
        )
    model.load_state_dict(state["model"])
    try:
        for optimiser, saved in zip(optimisers, state["optims"], strict=True):
            peaks = [group["peak"] for group in optimiser.param_groups]
            decays = [group["weight_decay"] for group in optimiser.param_groups]
            optimiser.load_state_dict(saved)
            for group, peak, decay in zip(optimiser.param_groups, peaks, decays, strict=True):
                group["peak"], group["weight_decay"] = peak, decay  # the recipe's word counts
    except (ValueError, KeyError) as error:
        raise CheckpointError(
            "The run was made with other optimisers.", "Use its recipe, or give another --out."
        ) from error
    if average is not None and state.get("average") is not None:
        average.load_state_dict(state["average"])
    elif average is not None:
        average.restart()


def write_model(
    folder: Path, model: Transformer, family: Family, tokenizer: Path, context: int = 2048
) -> None:
    """config.json, model.safetensors (float32) and the tokenizer's files, in hub layout."""
    state = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight" or not model.config.tie_word_embeddings
    }
    write_whole(folder / "model.safetensors", lambda path: save_tensors(state, path))
    text = json.dumps(hub_config(model, family, context), indent=1) + "\n"
    write_whole(folder / "config.json", lambda path: path.write_text(text, "utf-8"))
    for name in TOKENIZER_FILES:
        source = tokenizer / name
        if source.is_file() and source.resolve() != (folder / name).resolve():
            write_whole(folder / name, lambda path, source=source: shutil.copyfile(source, path))  # type: ignore[misc]


def hub_config(model: Transformer, family: Family, context: int) -> dict[str, Any]:
    """The config.json of a checkpoint that `load_model` reads back."""
    c = model.config
    config: dict[str, Any] = {
        "architectures": ["Dream"],
        "model_type": "Dream",
        "vocab_size": c.vocab_size,
        "hidden_size": c.hidden_size,
        "intermediate_size": c.intermediate_size,
        "num_hidden_layers": c.num_hidden_layers,
        "num_attention_heads": c.num_attention_heads,
        "num_key_value_heads": c.num_key_value_heads,
        "rope_theta": c.rope_theta,
        "rms_norm_eps": c.rms_norm_eps,
        "tie_word_embeddings": c.tie_word_embeddings,
        "max_position_embeddings": context,
        "mask_token_id": family.mask,
        "diffufix": family.as_dict(),
    }
    if c.copy_size:
        config["copy_size"] = c.copy_size
    if c.copy_twins:
        config["copy_twins"] = True
    if c.edit_size:
        config["edit_size"] = c.edit_size
    if not c.attention_bias:
        config["attention_bias"] = False
    if c.head_size:
        config["head_dim"] = c.head_size
    for name in ("qk_norm", "rope_float32"):
        if getattr(c, name):
            config[name] = True
    return config


def check_room(folder: Path, parameters: int) -> None:
    """Raises PrerequisiteError where the disk has no room for a run of that many parameters:
    two states (one being written) of weights, two moments and an average, and the model."""
    need = parameters * 4 * (2 * 4 + 2)
    place = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < need:
        raise PrerequisiteError(
            f"{place} has {free / 2**20:,.0f} MiB free; the run needs {need / 2**20:,.0f} MiB.",
            "Make room, or give an --out on another disk.",
        )
