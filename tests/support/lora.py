"""LoRA adapters as peft itself writes them."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from diffufix.model import load_model


def write_lora(base: Path | str, folder: Path, scale: float = 0.2, seed: int = 0) -> Path:
    """An adapter for the checkpoint `base`, its second half not zero."""
    model = get_peft_model(
        load_model(base, device="cpu"), LoraConfig(r=4, target_modules=["q_proj", "down_proj"])
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, scale, generator=generator)
    model.save_pretrained(str(folder))
    return folder
