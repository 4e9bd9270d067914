"""Makes the block-causal part of tests/golden/families/: tiny checkpoints in published layouts, and
what reference code says of them. Run by hand, as make_families.py:

    python tests/golden/make_block_families.py DLLM SDAR

where the two folders are checkouts of
- github.com/ZHZisZZ/dllm   at ca176752fbceec49c6b4777a2c18ae88e4eb10ed
- github.com/JetAstra/SDAR  at c2041a8333333d685f6e15122c84f60f51f85ebd

SDAR's layers call kernels of flash_attn; torch's own take their place here. The files that
Stable-DiffCoder and Fast-dLLM v2 are published with are in no repository: their layers are those of
transformers' Llama and Qwen2 under a mask of blocks, and their samplers are written down here a
second time, without a cache.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import torch
from make_families import (
    EOS,
    MASK,
    OUT,
    SIZES,
    VOCABULARY,
    Named,
    drawn,
    file,
    package,
    prompts,
    save,
    write,
)

LONG = 20  # ids behind a prompt


def blocks_mask(length: int, block: int) -> torch.Tensor:
    at = torch.arange(length) // block
    return at[None, :] <= at[:, None]


def additive(seen: torch.Tensor) -> torch.Tensor:
    return torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min)[None, None]


def flash_attention() -> None:
    """Modules that stand for flash_attn and for a loss that is not computed here."""

    def rms_norm_fn(x: torch.Tensor, weight: torch.Tensor, bias: None, eps: float) -> torch.Tensor:
        wide = x.float()
        return (weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps))).to(x.dtype)

    def flash_attn_func(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, softmax_scale: float
    ) -> torch.Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(
            q, k, v, scale=softmax_scale, enable_gqa=True
        ).transpose(1, 2)

    parts = ("flash_attn", "flash_attn.ops", "flash_attn.ops.triton",
             "flash_attn.ops.triton.layer_norm", "flash_attn.bert_padding",
             "sdar_models.fused_linear_diffusion_cross_entropy")  # fmt: skip
    for name in parts:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    values: dict[str, dict[str, Any]] = {
        parts[0]: {"flash_attn_func": flash_attn_func, "flash_attn_varlen_func": None},
        parts[3]: {"rms_norm_fn": rms_norm_fn},
        parts[4]: dict.fromkeys(("index_first_axis", "pad_input", "unpad_input")),
        parts[5]: {"FusedLinearDiffusionCrossEntropyLoss": torch.nn.Identity},
    }
    import transformers.utils

    transformers.utils.LossKwargs = transformers.utils.TransformersKwargs  # its later name
    transformers.utils.is_torch_flex_attn_available = lambda: False  # of training alone,
    torch.compile = lambda *_, **__: lambda function: function  # as what would be compiled
    for name, those in values.items():
        vars(sys.modules[name]).update(those)


@torch.no_grad()
def sdar(root: Path) -> None:
    package("sdar_models", root / "training/model/SDAR-8B-Chat", run=False)
    flash_attention()
    configs = importlib.import_module("sdar_models.configuration_sdar")
    source = importlib.import_module("sdar_models.modeling_sdar")
    sampling = file("sdar_generate", root / "generate.py")
    config = configs.SDARConfig(
        vocab_size=VOCABULARY, head_dim=16, rope_theta=1e6, max_position_embeddings=2048,
        attention_bias=False, tie_word_embeddings=False, attn_implementation="sdpa", **SIZES,
    )  # fmt: skip
    config.fuse_cross_entropy = False
    source.SDARModel._update_causal_mask = lambda self, mask, *rest: mask
    model = drawn(source.SDARForCausalLM(config), 21)
    said = {"architectures": ["SDARForCausalLM"], "block_size": 4, "mask_token_id": MASK}
    save(OUT / "sdar", model, "<|MASK|>", said)
    ids, _ = prompts(22, padded=False)
    seen = blocks_mask(9, 4)[None, None].expand(2, -1, -1, -1)
    found = {"input_ids": ids, "logits_float32": model(ids, attention_mask=seen).logits}
    sampling.sample_with_temperature_topk_topp = greedy
    for row, prompt in enumerate(ids):
        for rule in ("low_confidence_static", "low_confidence_dynamic"):
            made = sampling.block_diffusion_generate(
                model, {"input_ids": prompt[None, : 9 - row]}, MASK, gen_length=LONG,
                block_length=4, denoising_steps=4, remasking_strategy=rule,
                confidence_threshold=0.2,
            )  # fmt: skip
            found[f"{rule}_{row}"] = made[0].short()
    write(OUT / "sdar", **found)


def greedy(logits: torch.Tensor, **_: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Their function draws at every temperature; tests want the likeliest."""
    best, ids = without_mask(logits).softmax(-1).max(-1)
    return ids, best


def without_mask(logits: torch.Tensor) -> torch.Tensor:
    """Trained models never say the mask id; random ones would, and go on for ever."""
    logits = logits.clone()
    logits[..., MASK] = -torch.inf
    return logits


def unmasking(out: Any) -> Any:
    out.logits = without_mask(out.logits)
    return out


@torch.no_grad()
def llada2(dllm: Path) -> None:
    package("llada2_models", dllm / "dllm/pipelines/llada2/models", run=False)
    configs = importlib.import_module("llada2_models.configuration_llada2_moe")
    source = importlib.import_module("llada2_models.modeling_llada2_moe")
    config = configs.LLaDA2MoeConfig(
        vocab_size=VOCABULARY, head_dim=16, rope_theta=6e5, max_position_embeddings=2048,
        use_bias=False, num_experts=8, num_shared_experts=1, num_experts_per_tok=3, n_group=4,
        topk_group=2, moe_intermediate_size=24, first_k_dense_replace=1, pad_token_id=EOS,
        attn_implementation="sdpa", **SIZES,
    )  # fmt: skip
    model = drawn(source.LLaDA2MoeModelLM(config), 23)
    generator = torch.Generator().manual_seed(24)
    for name, buffer in model.named_buffers():
        if name.endswith("expert_bias"):
            buffer.copy_((0.1 * torch.randn(buffer.shape, generator=generator)).bfloat16())
    save(OUT / "llada2", model, "<|mask|>", {"architectures": ["LLaDA2MoeModelLM"]}, own=False)
    inner = model.forward

    def forward(*args: Any, attention_mask: torch.Tensor, **others: Any) -> Any:
        """With the mask in the dtype of the weights, as scaled_dot_product_attention wants it."""
        return inner(*args, attention_mask=attention_mask.float(), **others)

    model.forward = forward
    model._sample_with_temperature_topk_topp = greedy
    ids, _ = prompts(25, padded=False)
    seen = additive(blocks_mask(9, 8)).expand(2, -1, -1, -1)
    found = {"input_ids": ids, "logits_float32": model(ids, attention_mask=seen).logits}
    for row, prompt in enumerate(ids):
        for threshold in (1.0, 0.2):
            made = model.generate(
                prompt[None, : 9 - row], block_length=8, steps=8, gen_length=LONG,
                threshold=threshold, eos_id=EOS, mask_id=MASK,
            )  # fmt: skip
            found[f"threshold_{threshold}_{row}"] = made[0].short()
    write(OUT / "llada2", **found)


@torch.no_grad()
def bd3lm(dllm: Path) -> None:
    """Not a checkpoint of its own: a2d-qwen3's weights, read block after block."""
    import transformers

    for name in ("dllm", "dllm.core", "dllm.core.samplers"):
        package(name, dllm / name.replace(".", "/"), run=False)
    source = file("a2d_qwen3", dllm / "dllm/pipelines/a2d/models/qwen3/modeling_qwen3.py")
    config = json.loads((OUT / "a2d-qwen3" / "config.json").read_text())
    model = source.A2DQwen3LMHeadModel(
        source.A2DQwen3Config(**config | {"attn_implementation": "sdpa"})
    )
    from safetensors.torch import load_file

    state = load_file(OUT / "a2d-qwen3" / "model.safetensors")
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    model.tie_weights()
    model = model.eval().float()
    assert isinstance(model, transformers.PreTrainedModel)
    sampling = importlib.import_module("dllm.core.samplers.bd3lm")

    class Padded(Named):
        pad_token_id = VOCABULARY - 1

    ids, _ = prompts(26, padded=False)
    sampler = sampling.BD3LMSampler(model=model, tokenizer=Padded())
    inner = model.forward
    model.forward = lambda *a, **k: unmasking(inner(*a, **k))
    given = [ids[0], ids[1, :6]]  # the second one is padded on its left
    made = sampler.sample(
        given, max_new_tokens=16, block_size=8, steps=16, temperature=0.0, return_dict=True
    )
    found = {"input_ids": ids, "sequences": made.sequences[:, -16:].short()}
    OUT.joinpath("bd3lm").mkdir(exist_ok=True)
    write(OUT / "bd3lm", **found)


@torch.no_grad()
def stable_diffcoder() -> None:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, rope_theta=5e5, max_position_embeddings=2048, head_dim=12,
        rms_norm_eps=1e-6, bos_token_id=EOS, eos_token_id=EOS, tie_word_embeddings=False,
        attention_bias=False, attn_implementation="eager", **SIZES,
    )  # fmt: skip
    model = drawn(transformers.LlamaForCausalLM(config), 27)
    save(OUT / "stable-diffcoder", model, "<[MASK_TOKEN]>",
         {"architectures": ["StableDiffcoderForCausalLM"]}, own=False)  # fmt: skip
    ids, _ = prompts(28, padded=False)
    seen = additive(blocks_mask(9, 4)).expand(2, -1, -1, -1)
    found = {
        "input_ids": ids, "logits_float32": model(ids, attention_mask=seen, use_cache=False).logits
    }  # fmt: skip
    for row, prompt in enumerate(ids):
        x = torch.cat([prompt[: 9 - row], torch.full((LONG + 3 + row,), MASK)])[None]
        for end in range(4, x.shape[1] + 1, 4):
            while (x[:, :end] == MASK).any():
                logits = model(
                    x[:, :end], attention_mask=additive(blocks_mask(end, 4)), use_cache=False
                ).logits[0]
                best, words = without_mask(logits).double().softmax(-1).max(-1)
                best[x[0, :end] != MASK] = -1
                x[0, best.argmax()] = words[best.argmax()]
        found[f"static_{row}"] = x[0].short()
    write(OUT / "stable-diffcoder", **found)


@torch.no_grad()
def fast_dllm() -> None:
    import transformers

    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY, rope_theta=1e6, max_position_embeddings=2048, bos_token_id=EOS,
        eos_token_id=EOS, tie_word_embeddings=True, attn_implementation="eager", **SIZES,
    )  # fmt: skip
    model = drawn(transformers.Qwen2ForCausalLM(config), 29, tied=True)
    model.tie_weights()
    save(OUT / "fast-dllm", model, "|<MASK>|",
         {"architectures": ["Fast_dLLM_QwenForCausalLM"], "model_type": "Fast_dLLM_Qwen",
          "bd_size": 16}, own=False)  # fmt: skip
    ids, _ = prompts(30, padded=False)

    def logits_of(x: torch.Tensor) -> torch.Tensor:
        seen = additive(blocks_mask(x.shape[1], 16))
        return model(x, attention_mask=seen.expand(len(x), -1, -1, -1), use_cache=False).logits

    found = {"input_ids": ids, "logits_float32": logits_of(ids)}
    for row, prompt in enumerate(ids):
        for threshold in (1.0, 0.2):
            x = prompt[None, : 9 - row]
            while x.shape[1] < 9 - row + LONG:
                if x.shape[1] % 16 == 0:  # the first of a block as an autoregressive model
                    x = torch.cat([x, without_mask(logits_of(x))[:, -1:].argmax(-1)], dim=1)
                x = torch.cat([x, torch.full((1, -x.shape[1] % 16), MASK)], dim=1)
                for start in range(x.shape[1] - 16, x.shape[1], 8):
                    while (x[:, start : start + 8] == MASK).any():
                        probs = without_mask(logits_of(x)).roll(1, dims=1)[0].softmax(-1)
                        best, words = probs.max(-1)
                        best[x[0] != MASK] = -1
                        best[:start] = best[start + 8 :] = -1
                        sure = best > threshold
                        sure[best.argmax()] = True
                        x[0, sure] = words[sure]
            found[f"threshold_{threshold}_{row}"] = x[0].short()
    write(OUT / "fast-dllm", **found)


def main(dllm: Path, sdar_root: Path) -> None:
    sdar(sdar_root)
    llada2(dllm)
    bd3lm(dllm)
    stable_diffcoder()
    fast_dllm()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
