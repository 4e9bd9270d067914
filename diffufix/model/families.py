"""The families of checkpoints that can be loaded, as data: one small declaration each. No torch.

A declaration says what a kind of checkpoint does not say itself: whether predictions are shifted,
how its layers are named, how it is talked to. Special ids are the checkpoint's own and are read
from its files; here stand the strings that its tokenizer calls them by.

Sources: the modelling and generation files of apple/DiffuCoder and Dream-org (public copy in
ZHZisZZ/dllm), pengzhangzhi/Open-dLLM, SalesforceAIResearch/CoDA, and dllm's a2d and llada
pipelines. Sizes are those of the published safetensors, in bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diffufix.errors import CheckpointError

Chat = Literal["chatml", "llama3", "none"]
#: Memory beside the weights that a decoding batch takes, as a share of them, and in bytes.
BESIDE, AT_LEAST = 0.1, 1_000_000_000


@dataclass(frozen=True)
class Architecture:
    """A kind of checkpoint, by the `model_type` of its config.json (in lower case).

    `shift`: the row left of a position predicts it. `temperature` (the lowest that holes are filled
    at), `top_p` and `alg` are the sampling that its authors recommend. `architectures`: where
    given, config.json names one.
    """

    name: str
    types: frozenset[str]
    shift: bool
    chat: Chat = "chatml"  # of its instruct checkpoints
    attention_bias: bool = True  # where config.json does not say
    qk_norm: bool = False
    tied: bool = False  # embeddings, where config.json does not say
    masks: tuple[str, ...] = ("<|mask|>",)
    temperature: float = 0.2
    top_p: float = 0.95
    alg: str = "entropy"
    architectures: frozenset[str] = frozenset()
    rope_float32: bool = False  # rotary embeddings are applied in float32, whatever the dtype


KINDS = (
    Architecture("dream", frozenset({"dream"}), shift=True),
    Architecture(
        "open-dcoder", frozenset({"qwen2"}), shift=True, masks=("<M>", "[MASK]", "<|mask|>"),
        temperature=0.6, architectures=frozenset({"Qwen2ForCausalLM"}),
    ),
    Architecture("a2d-qwen2", frozenset({"a2d-qwen2"}), shift=False, alg="maskgit_plus"),
    Architecture(
        "a2d-qwen3", frozenset({"a2d-qwen3"}), shift=False, qk_norm=True, attention_bias=False,
        alg="maskgit_plus",
    ),
    Architecture(
        "coda", frozenset({"coda"}), shift=True, qk_norm=True, attention_bias=False, tied=True
    ),
    Architecture(
        "llada", frozenset({"llada"}), shift=False, chat="llama3", attention_bias=False,
        masks=("<|mdm_mask|>", "<|mask|>"), alg="maskgit_plus",
        rope_float32=True,
    ),
)  # fmt: skip

#: Types whose text is denoised block after block, each blind to what follows it.
BLOCK_CAUSAL = frozenset(
    {"llada2_moe", "llada21_moe", "llada2", "sdar", "sdar_moe", "stable_diffcoder", "bd3lm"}
)

DIFFUCODER, APACHE = "Apple's research licence (apple-amlr): research use only", "Apache-2.0"


@dataclass(frozen=True)
class Repository:
    """A published checkpoint. `restricted`: its licence has to be accepted before a download."""

    id: str
    title: str
    chat: Chat
    licence: str
    bytes: int  # of its weights, which are bfloat16
    restricted: bool = False
    block: int = 0  # tokens of a block, of block-causal ones
    mask: int | None = None  # where neither config nor tokenizer names one

    @property
    def name(self) -> str:
        return self.id.partition("/")[2]


def needed(weights: int) -> int:
    """Bytes that a model with so many bytes of weights takes while it fills holes (estimate)."""
    return weights + max(AT_LEAST, int(BESIDE * weights))


_SEVEN, _HALF = 15_231_000_000, 988_000_000
REPOSITORIES = (
    Repository("apple/DiffuCoder-7B-Base", "diffucoder", "none", DIFFUCODER, _SEVEN, True),
    Repository("apple/DiffuCoder-7B-Instruct", "diffucoder", "chatml", DIFFUCODER, _SEVEN, True),
    Repository("apple/DiffuCoder-7B-cpGRPO", "diffucoder", "chatml", DIFFUCODER, _SEVEN, True),
    Repository("Dream-org/Dream-v0-Base-7B", "dream", "none", APACHE, _SEVEN),
    Repository("Dream-org/Dream-v0-Instruct-7B", "dream", "chatml", APACHE, _SEVEN),
    Repository("Dream-org/Dream-Coder-v0-Base-7B", "dream-coder", "none", APACHE, _SEVEN),
    Repository("Dream-org/Dream-Coder-v0-Instruct-7B", "dream-coder", "chatml", APACHE, _SEVEN),
    Repository("Dream-org/DreamOn-v0-7B", "dreamon", "none", APACHE, _SEVEN),
    Repository("d3LLM/d3LLM_Dream_Coder", "dream-coder", "chatml", APACHE, _SEVEN),
    Repository("fredzzp/open-dcoder-0.5B", "open-dcoder", "none", APACHE, _HALF, mask=151665),
    Repository(
        "dllm-hub/Qwen2.5-Coder-0.5B-Instruct-diffusion-mdlm-v0.1", "a2d-qwen2", "chatml", APACHE,
        _HALF,
    ),
    Repository(
        "dllm-hub/Qwen2.5-Coder-0.5B-Instruct-diffusion-bd3lm-v0.1", "a2d-qwen2", "chatml", APACHE,
        _HALF, block=32,
    ),
    Repository("dllm-hub/Qwen3-0.6B-diffusion-mdlm-v0.1", "a2d-qwen3", "chatml", APACHE,
               1_192_000_000),
    Repository("dllm-hub/Qwen3-0.6B-diffusion-bd3lm-v0.1", "a2d-qwen3", "chatml", APACHE,
               1_192_000_000, block=32),
    Repository("Salesforce/CoDA-v0-Base", "coda", "none", "CC-BY-NC-4.0", 3_441_000_000, True),
    Repository("Salesforce/CoDA-v0-Instruct", "coda", "chatml", "CC-BY-NC-4.0", 3_441_000_000,
               True),
    Repository("GSAI-ML/LLaDA-8B-Base", "llada", "none", "MIT", 16_031_000_000),
    Repository("GSAI-ML/LLaDA-8B-Instruct", "llada", "llama3", "MIT", 16_031_000_000),
)  # fmt: skip
_BY_ID = {each.id.lower(): each for each in REPOSITORIES}
_BY_NAME = {each.name.lower(): each for each in REPOSITORIES}


def repository(name: str) -> Repository | None:
    """The published checkpoint of exactly that hub id, or at that place in the hub's cache."""
    known = _BY_ID.get(name.lower())
    if known is not None:
        return known
    cached = re.search(r"[/\\]models--([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]*$", name)
    return _BY_ID.get(cached[1].replace("--", "/", 1).lower()) if cached else None


def namesake(name: str) -> Repository | None:
    """The published checkpoint that a folder is named after; a hint, no more."""
    return _BY_NAME.get(re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower())


def kind_of(config: Mapping[str, Any]) -> Architecture:
    """The declaration of a config.json. Raises CheckpointError: what was found, what is known."""
    found = str(config.get("model_type") or "").lower()
    for kind in KINDS:
        if found in kind.types:
            return kind
    shown = f"model_type {config.get('model_type')!r}"
    if found in BLOCK_CAUSAL:
        raise CheckpointError(
            f"Checkpoints of {shown} denoise block after block and see nothing to their right: "
            "they cannot fill a hole in the middle.",
            f"Use one that can: {known()}.",
        )
    raise CheckpointError(
        f"Checkpoints of {shown} are not supported"
        + (f" (architectures: {', '.join(map(str, config['architectures']))})."
           if config.get("architectures") else "."),
        f"Masked diffusion models are: {known()}.",
    )  # fmt: skip


def sampling_of(family: str) -> Architecture:
    """The declaration whose sampling a family of that name has; Dream's where it is not known."""
    return next((kind for kind in KINDS if kind.name == family), KINDS[0])


def known() -> str:
    """The types that can be loaded, in words."""
    return ", ".join(f"{kind.name} (model_type {'/'.join(sorted(kind.types))})" for kind in KINDS)


# -- config.json and names of layers, where they are not those of Hugging Face's Qwen2 -------------

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


def plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config.json with the keys that Hugging Face's Qwen2 has. Raises CheckpointError."""
    plain = dict(config)
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
