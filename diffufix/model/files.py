"""The files of a checkpoint: settings and shards of weights; what is called otherwise there than in
Hugging Face's Qwen2. No torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffufix.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "Fetch it again.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}", "Fetch it again.") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object.", "Fetch it again.")
    return value


def shards(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder, all present. Raises CheckpointError."""
    if (folder / INDEX).is_file():
        names = sorted(set(read_json(folder / INDEX).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise CheckpointError(
                f"{folder} lacks {len(missing)} of {len(names)} weight files"
                + (f": {', '.join(missing)}." if missing else "."),
                "Finish the download of the checkpoint.",
            )
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    hint = f"A checkpoint folder holds {SINGLE}, or shards with {INDEX}."
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        hint += " Pickled weights are not read: convert them to safetensors."
    raise CheckpointError(f"{folder} holds no weights.", hint)


# -- config.json and names of layers ---------------------------------------------------------------

_LLADA_KEYS = {
    "d_model": "hidden_size",
    "mlp_hidden_size": "intermediate_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "weight_tying": "tie_word_embeddings",
    "include_qkv_bias": "attention_bias",
    "max_sequence_length": "max_position_embeddings",
}
#: What the computation takes for granted of a LLaDA.
_LLADA_FIXED = {
    "block_type": "llama", "layer_norm_type": "rms", "activation_type": "silu", "rope": True,
    "alibi": False, "attention_layer_norm": False, "include_bias": False, "scale_logits": False,
    "input_emb_norm": False, "bias_for_layer_norm": False,
}  # fmt: skip
_LLADA_LAYERS = {
    "wte.": "embed_tokens.", "ln_f.": "norm.", "attn_norm.": "input_layernorm.",
    "ff_norm.": "post_attention_layernorm.", "q_proj.": "self_attn.q_proj.",
    "k_proj.": "self_attn.k_proj.", "v_proj.": "self_attn.v_proj.",
    "attn_out.": "self_attn.o_proj.", "ff_proj.": "mlp.gate_proj.", "up_proj.": "mlp.up_proj.",
    "ff_out.": "mlp.down_proj.",
}  # fmt: skip


#: What the computation takes for granted of a LLaDA 2.
_LLADA2_FIXED = {
    "use_bias": False, "use_qkv_bias": False, "use_qk_norm": True, "norm_head": False,
    "score_function": "sigmoid", "norm_topk_prob": True,
}  # fmt: skip
_LLADA2_LAYERS = {
    "attention.dense.": "self_attn.o_proj.", "attention.query_layernorm.": "self_attn.q_norm.",
    "attention.key_layernorm.": "self_attn.k_norm.", "mlp.gate.weight": "mlp.router",
    "mlp.gate.expert_bias": "mlp.router_bias", "mlp.shared_experts.": "mlp.shared.",
}  # fmt: skip


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with the keys that Hugging Face's Qwen2 has. Raises CheckpointError."""
    plain = dict(config)
    if "num_experts" in config and str(config.get("model_type")).lower() == "llada2_moe":
        return plain | _llada2(config)
    declared = "family" in (config.get("diffufix") or {})
    if str(config.get("model_type") or "").lower() != "llada" or (
        declared and "d_model" not in config
    ):
        return plain
    lacks = [key for key in ("d_model", "n_layers", "n_heads") if key not in config]
    if lacks:
        raise CheckpointError(
            f"config.json of model_type 'llada' lacks {', '.join(lacks)}.", "Fetch it again."
        )
    odd = {k: config[k] for k, v in _LLADA_FIXED.items() if config.get(k) not in (None, v)}
    if odd:
        raise CheckpointError(
            f"config.json: {', '.join(f'{k}={v!r}' for k, v in odd.items())} is not supported.",
            "LLaDA 8B has Llama blocks with plain rotary embeddings.",
        )
    plain |= {ours: config[theirs] for theirs, ours in _LLADA_KEYS.items() if theirs in config}
    plain["vocab_size"] = config.get("embedding_size") or config.get("vocab_size")
    plain.setdefault("rms_norm_eps", 1e-5)
    plain.setdefault("tie_word_embeddings", True)
    return plain


def _llada2(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a LLaDA 2 that have other names here. Raises CheckpointError."""
    odd = {k: config[k] for k, v in _LLADA2_FIXED.items() if config.get(k, v) != v}
    if odd:
        raise CheckpointError(
            f"config.json: {', '.join(f'{k}={v!r}' for k, v in odd.items())} is not supported.",
            "LLaDA 2 has layers without biases, q/k norm and sigmoid routing.",
        )
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    size = config["moe_intermediate_size"]
    return {
        "rotary_size": int(head_dim * config.get("partial_rotary_factor", 0.5)),
        "experts": {
            "count": config["num_experts"],
            "chosen": config["num_experts_per_tok"],
            "groups": config.get("n_group", 8),
            "open_groups": config.get("topk_group", 4),
            "size": size,
            "shared": size * (config.get("num_shared_experts") or 0),
            "scale": config.get("routed_scaling_factor", 2.5),
            "dense_layers": config.get("first_k_dense_replace", 0),
        },
    }


def plain_name(name: str) -> str:
    """A tensor's name as Hugging Face's Qwen2 has it."""
    rest = name.removeprefix("model.transformer.")
    if rest == name:
        return name
    if rest == "ff_out.weight":
        return "lm_head.weight"
    block = re.fullmatch(r"blocks\.(\d+)\.(.*)", rest)
    if block:
        begin, rest = f"model.layers.{block[1]}.", block[2]
    else:
        begin = "model."
    for theirs, ours in _LLADA_LAYERS.items():
        if rest.startswith(theirs):
            return begin + ours + rest.removeprefix(theirs)
    return name


@dataclass(frozen=True)
class TensorSlot:
    """Where a tensor of a checkpoint goes: rows `begin` to `end` of it, to `name`; of a tensor with
    all experts, to that of `expert`."""

    name: str
    begin: int = 0
    end: int | None = None
    expert: int | None = None


def placed(name: str, config: Mapping[str, Any]) -> list[TensorSlot]:
    """Where the tensor `name` of a checkpoint with this (plain) config goes."""
    if str(config.get("model_type") or "").lower() != "llada2_moe":
        return [TensorSlot(plain_name(name))]
    if name == "model.word_embeddings.weight":
        return [TensorSlot("model.embed_tokens.weight")]
    layer = re.fullmatch(r"(model\.layers\.\d+\.)(.*)", name)
    if layer is None:
        return [TensorSlot(name)]
    begin, rest = layer[1], layer[2]
    if rest == "attention.query_key_value.weight":
        heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        ends = [0, heads * size, (heads + groups) * size, (heads + 2 * groups) * size]
        return [
            TensorSlot(f"{begin}self_attn.{part}_proj.weight", ends[i], ends[i + 1])
            for i, part in enumerate("qkv")
        ]
    expert = re.fullmatch(r"mlp\.experts\.(\d+)\.(gate_proj|up_proj|down_proj)\.weight", rest)
    if expert:
        return [TensorSlot(f"{begin}mlp.{expert[2]}", expert=int(expert[1]))]
    for theirs, ours in _LLADA2_LAYERS.items():
        if rest.startswith(theirs):
            return [TensorSlot(begin + ours + rest.removeprefix(theirs))]
    return [TensorSlot(name)]
