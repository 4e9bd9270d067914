"""LoRA through peft, and gradient checkpointing: what large models are trained with. Writes folders
in peft's own layout, which `load_model(adapter=...)` merges back.

peft puts its layers into the transformer in place, so the model that was given is the one to train
and to sample from; only the adapter's parameters require a gradient.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch.utils.checkpoint import checkpoint

from diffufix.errors import PrerequisiteError
from diffufix.model.transformer import Transformer
from diffufix.model.weights import save_tensors
from diffufix.train.checkpoints import write_whole

if TYPE_CHECKING:
    from peft import PeftModel

#: Every matrix inside of the blocks.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FILES = ("adapter_config.json", "adapter_model.safetensors")


def add_lora(
    model: Transformer, rank: int = 16, alpha: int = 32, targets: Sequence[str] = TARGETS
) -> PeftModel:
    """Freeze `model` and add an adapter that changes nothing yet. Raises PrerequisiteError."""
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise PrerequisiteError(
            "Adapters need peft, which is not installed.",
            'Install it: pip install "diffufix[train]".',
        ) from error
    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), lora_dropout=0.0)
    return get_peft_model(cast("Any", model), config)


def save_lora(adapted: PeftModel, folder: Path, base: str = "") -> None:
    """The adapter's two files, each written whole. `base` names the model it belongs to.

    Raises TrainingError where the folder cannot be written.
    """
    from peft import get_peft_model_state_dict

    # embeddings are never adapted; left to itself, peft asks the hub about the base model
    found = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    config = adapted.peft_config["default"]
    config.base_model_name_or_path = base or None
    config.inference_mode = True
    state = {name: tensor.detach().float().cpu().contiguous() for name, tensor in found.items()}
    write_whole(folder / FILES[1], lambda path: save_tensors(state, path))
    write_whole(folder / FILES[0], lambda path: _write_config(config, path))
    config.inference_mode = False


def _write_config(config: Any, path: Path) -> None:
    values = config.to_dict()
    values["target_modules"] = sorted(values["target_modules"])
    path.write_text(json.dumps(values, indent=2, sort_keys=True, default=str) + "\n", "utf-8")


def load_lora(adapted: PeftModel, folder: Path) -> None:
    """Go on from an adapter's weights, of the same rank and targets."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(adapted, load_file(str(folder / FILES[1])))


def checkpoint_blocks(model: Transformer) -> None:
    """From now on a block's inner values are computed again in the backward pass, not kept: about
    a third more computation, and memory for one block at a time."""
    for layer in cast("list[Any]", model.model.layers):
        inner = layer.forward

        def forward(*args: Any, inner: Any = inner) -> Any:
            return checkpoint(inner, *args, use_reentrant=False)

        layer.forward = forward
