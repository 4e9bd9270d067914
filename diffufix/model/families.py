"""The families of checkpoints that can be loaded, as data: one small declaration each. No torch.

A declaration says what a kind of checkpoint does not say itself: whether predictions are shifted,
how its layers are named, how it is talked to. Special ids are the checkpoint's own and are read
from its files; here stand the strings that its tokenizer calls them by.

Sources: the modelling and generation files of apple/DiffuCoder and Dream-org (public copy in
ZHZisZZ/dllm), pengzhangzhi/Open-dLLM, SalesforceAIResearch/CoDA, dllm's a2d, llada and llada2
pipelines, JetAstra/SDAR, and the files that Stable-DiffCoder and Fast-dLLM v2 are published with.
How layers are named is in files.py. Sizes are those of the published safetensors, in bytes; those
of block-causal ones are counted from their shapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diffufix.errors import CheckpointError

Chat = Literal["chatml", "llama3", "ling", "seed", "none"]
#: Memory beside the weights that a decoding batch takes, as a share of them, and in bytes.
BESIDE, AT_LEAST = 0.1, 1_000_000_000


@dataclass(frozen=True)
class BlockRules:
    """How a block-causal kind writes its blocks (decode/block_causal.py).

    `threshold`: masks likelier than that are committed together. `window`: masks are committed
    within the first so many places of a block that hold one; 0: anywhere. `leads`: the first place
    of a block is predicted by the block before, as an autoregressive model would. `from_prompt`:
    blocks are counted from the end of the prompt, not from its beginning.
    """

    threshold: float | None = None
    window: int = 0
    leads: bool = False
    from_prompt: bool = False


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
    context: int = 2048  # tokens of canvas at most
    block: int = 0  # tokens of a block, of block-causal ones (BlockRules), where nothing else says
    block_rules: BlockRules | None = None


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
    Architecture(
        "sdar", frozenset({"sdar"}), shift=False, qk_norm=True, attention_bias=False,
        masks=("<|MASK|>",), temperature=1.0, alg="maskgit_plus", context=8192, block=4,
        block_rules=BlockRules(0.85),
    ),
    Architecture(
        "llada2", frozenset({"llada2_moe"}), shift=False, chat="ling", qk_norm=True,
        attention_bias=False, temperature=0.0, alg="maskgit_plus", context=8192, block=32,
        block_rules=BlockRules(0.95),
    ),
    Architecture(
        "stable-diffcoder", frozenset({"llama"}), shift=False, chat="seed", attention_bias=False,
        masks=("<[MASK_TOKEN]>",), temperature=0.0, alg="maskgit_plus", context=8192, block=4,
        architectures=frozenset({"StableDiffcoderForCausalLM"}), block_rules=BlockRules(),
    ),
    Architecture(
        "fast-dllm", frozenset({"fast_dllm_qwen"}), shift=True, masks=("|<MASK>|", "<|mask|>"),
        temperature=0.0, alg="maskgit_plus", context=8192, block=32,
        block_rules=BlockRules(0.9, window=8, leads=True),
    ),
)  # fmt: skip

#: bd3lm checkpoints of dllm-hub: types as its mdlm ones have, so that the id alone tells them.
_BD3LM = BlockRules(from_prompt=True)

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
    block: int = 0  # tokens of a block, of block-causal ones whose files do not say so
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
    Repository("JetLM/SDAR-4B-Chat", "sdar", "chatml", "MIT", 8_823_000_000, block=4),
    Repository("JetLM/SDAR-8B-Chat", "sdar", "chatml", "MIT", 16_381_000_000, block=4),
    Repository("ByteDance-Seed/Stable-DiffCoder-8B-Base", "stable-diffcoder", "none", "MIT",
               16_500_000_000, block=4, mask=5),
    Repository("ByteDance-Seed/Stable-DiffCoder-8B-Instruct", "stable-diffcoder", "seed", "MIT",
               16_500_000_000, block=4, mask=5),
    Repository("inclusionAI/LLaDA2.0-mini", "llada2", "ling", APACHE, 32_510_000_000, block=32,
               mask=156895),
    Repository("inclusionAI/LLaDA2.1-mini", "llada2", "ling", APACHE, 32_510_000_000, block=32,
               mask=156895),
    Repository("Efficient-Large-Model/Fast_dLLM_v2_1.5B", "fast-dllm", "chatml", APACHE,
               3_087_000_000, block=32, mask=151665),
    Repository("Efficient-Large-Model/Fast_dLLM_v2_7B", "fast-dllm", "chatml", APACHE, _SEVEN,
               block=32, mask=151665),
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
    raise CheckpointError(
        f"Checkpoints of {shown} are not supported"
        + (f" (architectures: {', '.join(map(str, config['architectures']))})."
           if config.get("architectures") else "."),
        f"Masked diffusion models are: {known()}.",
    )  # fmt: skip


def sampling_of(family: str) -> Architecture:
    """The declaration whose sampling a family of that name has; Dream's where it is not known."""
    return next((kind for kind in KINDS if kind.name == family), KINDS[0])


def block_rules_of(family: str) -> BlockRules:
    """How a block-causal family of that name writes its blocks."""
    return sampling_of(family).block_rules or _BD3LM


def known(*, filling: bool = False) -> str:
    """The types that can be loaded, in words; `filling`: those that fill holes in the middle."""
    return ", ".join(
        f"{kind.name} (model_type {'/'.join(sorted(kind.types))})"
        for kind in KINDS
        if not (filling and kind.block)
    )
