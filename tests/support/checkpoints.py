"""Tiny random checkpoints in the layout of apple/DiffuCoder-7B-cpGRPO, tokenizer files included."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from diffufix.model.transformer import ModelConfig, Transformer
from diffufix.model.weights import write_tensors

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@lru_cache(maxsize=4)
def _merges(pieces: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE trained on a few modules of the standard library."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    sources = [inspect.getfile(module) for module in (argparse, ast, json, textwrap)]
    engine.train(sources, trainer)
    model = json.loads(engine.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in model["merges"]]
    return model["vocab"], merges


def make_dream_checkpoint(
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 2,
    pieces: int = 600,
    spare: int = 10,
    tie: bool = False,
    expand_delete: bool = False,
    scale: float = 0.05,
    seed: int = 0,
) -> Path:
    """Write the checkpoint and return its folder.

    `spare` ids beyond the tokenizer stay unassigned, as in the real ones. `expand_delete` gives it
    DreamOn's `<|expand|>`, with the end-of-text id to delete. `scale` is the weights' standard
    deviation: larger ones make sharper predictions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = _merges(pieces)
    names = [*SPECIALS, "<|beginoftext|>", "<|mask|>"]
    names.append("<|expand|>" if expand_delete else "<|dlm_pad|>")
    added = {name: len(vocabulary) + index for index, name in enumerate(names)}
    size = len(vocabulary) + len(added) + spare
    config = {
        "architectures": ["DreamModel"],
        "attention_dropout": 0.0,
        "auto_map": {
            "AutoConfig": "configuration_dream.DreamConfig",
            "AutoModel": "modeling_dream.DreamModel",
        },
        "bos_token_id": added["<|beginoftext|>"],
        "eos_token_id": added["<|endoftext|>"],
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": 2 * hidden,
        "mask_token_id": added["<|mask|>"],
        "max_position_embeddings": 131072,
        "max_window_layers": layers,
        "model_type": "Dream",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "pad_token_id": added["<|endoftext|>"],
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": tie,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": size,
    }
    pad = "<|endoftext|>" if expand_delete else "<|dlm_pad|>"
    roles = {"bos_token": "<|beginoftext|>", "eos_token": "<|endoftext|>", "pad_token": pad}
    roles |= {"mask_token": "<|mask|>"}
    decoder = {str(i): {"content": name, "special": True} for name, i in added.items()}
    documents = {
        "config.json": config,
        "generation_config.json": {
            key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")
        },
        "vocab.json": vocabulary,
        "added_tokens.json": added,
        "special_tokens_map.json": roles,
        "tokenizer_config.json": {
            "added_tokens_decoder": decoder,
            "tokenizer_class": "DreamTokenizer",
            **roles,
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    write_tensors(folder, random_state(config, scale=scale, seed=seed), shards=2)
    return folder


def random_state(config: dict[str, Any], *, scale: float, seed: int) -> dict[str, torch.Tensor]:
    """A state dict for a config.json, bfloat16, the same for the same seed."""
    with torch.device("meta"):
        model = Transformer(
            ModelConfig(
                vocab_size=config["vocab_size"],
                hidden_size=config["hidden_size"],
                intermediate_size=config["intermediate_size"],
                num_hidden_layers=config["num_hidden_layers"],
                num_attention_heads=config["num_attention_heads"],
                num_key_value_heads=config["num_key_value_heads"],
                tie_word_embeddings=config["tie_word_embeddings"],
            )
        )
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config["tie_word_embeddings"]:
            continue
        if "norm" in name:
            state[name] = torch.ones(tensor.shape, dtype=torch.bfloat16)
        else:
            spread = 1.0 if name.startswith(("model.embed", "lm_head")) else scale
            values = torch.randn(tensor.shape, generator=generator) * spread
            state[name] = values.bfloat16()
    return state
