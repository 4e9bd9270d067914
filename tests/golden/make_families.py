"""Makes tests/golden/families/: tiny checkpoints in published layouts, and what reference code
says of them. Run by hand, in an environment of its own (transformers 4.57.1, torch 2.13), never by
tests:

    python tests/golden/make_families.py DLLM CODA OPEN_DLLM

where the three folders are checkouts of
- github.com/ZHZisZZ/dllm             at ca176752fbceec49c6b4777a2c18ae88e4eb10ed
- github.com/SalesforceAIResearch/CoDA at fa1d505008c6cd453ad3e8dbf86d5a8e3a1d8f92
- github.com/pengzhangzhi/Open-dLLM   at 8b38787794e7e13e74ab6f5d2ec9240595a1a777

Weights are random, drawn by a seed, kept as bfloat16 and written by each model's own
`save_pretrained`. Numbers: logits of two prompts in float32 and bfloat16, with left padding where
the reference knows it, and greedy completions by each family's own sampler. The reference for
Open-dCoder's layers is transformers' Qwen2 with a mask that hides nothing, which is what its model
file is; its sampler is its own.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

OUT = Path(__file__).parent / "families"
WORDS = 256
NEW = 12  # masks behind a prompt
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|beginoftext|>")
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "hidden_size": 48, "intermediate_size": 80}  # fmt: skip


def package(name: str, folder: Path, run: bool = True) -> types.ModuleType:
    """A folder as a package; without `run` only its modules can be imported, not its __init__."""
    if not run:
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules[name] = module
        return module
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def file(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def drawn(model: torch.nn.Module, seed: int, tied: bool = False) -> torch.nn.Module:
    """Random weights, whose predictions are sharp, but not so sharp that confidences tie."""
    embeddings = 0.2 if tied else 0.5
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            values = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                values = 1 + 0.1 * values if "norm" in name or "ln_f" in name else 0.1 * values
            else:
                values = values * (embeddings if "emb" in name or "wte" in name else 0.15)
            parameter.copy_(values.bfloat16().float())
    return model.eval().float()


def cast(model: Any, dtype: torch.dtype) -> Any:
    """Parameters alone, as loading in that dtype does: the rotary frequencies stay in float32."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    return model


def save(
    folder: Path, model: Any, mask: str, extra: dict[str, Any] | None = None, *, own: bool = True
) -> None:
    """Weights in bfloat16, config.json and a tokenizer; `own`: config.json names the mask."""
    cast(model, torch.bfloat16).save_pretrained(folder, safe_serialization=True)
    cast(model, torch.float32)
    for path in folder.glob("*.safetensors"):
        path.chmod(0o644)
    config = json.loads((folder / "config.json").read_text())
    for key in ("transformers_version", "dtype", "_attn_implementation_autoset"):
        config.pop(key, None)
    if not own:
        config.pop("mask_token_id", None)
    config |= extra or {}
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    names = [*SPECIALS, mask]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    engine = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([AddedToken(n, special=True, normalized=False) for n in names])
    engine.save(str(folder / "tokenizer.json"))
    settings = {
        "mask_token": mask, "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
        "added_tokens_decoder": {
            str(WORDS + i): {"content": n, "special": True} for i, n in enumerate(names)
        },
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")


EOS, MASK = WORDS, WORDS + len(SPECIALS)
VOCABULARY = MASK + 3


def prompts(seed: int, padded: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Two prompts of nine tokens; with `padded` the first has three of padding on its left."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, WORDS, (2, 9), generator=generator)
    keep = torch.ones_like(ids)
    if padded:
        ids[0, :3], keep[0, :3] = EOS, 0
    return ids, keep


def write(folder: Path, **arrays: Any) -> None:
    np.savez_compressed(
        folder / "golden.npz",
        **{k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in arrays.items()},
    )
    print(folder.name, {k: tuple(v.shape) for k, v in arrays.items()})


def with_masks(ids: torch.Tensor, keep: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pad = torch.nn.functional.pad
    return pad(ids, (0, NEW), value=MASK), pad(keep, (0, NEW), value=1)


def asked(kind: Any, **values: Any) -> Any:
    """A sampler's settings that ask for the history."""
    settings = kind(output_history=True, **values)
    settings.return_dict = settings.return_dict_in_generate = True  # one name or the other
    return settings


@torch.no_grad()
def dream(dllm: Path) -> None:
    package("dream_models", dllm / "dllm/pipelines/dream/models")
    settings = sys.modules["dream_models.generation_utils"].DreamGenerationConfig
    config = sys.modules["dream_models"].DreamConfig(
        vocab_size=VOCABULARY, mask_token_id=MASK, pad_token_id=EOS, bos_token_id=EOS,
        eos_token_id=EOS, rope_theta=1e6, max_position_embeddings=2048, **SIZES,
    )  # fmt: skip
    model = drawn(sys.modules["dream_models"].DreamModel(config), 1)
    save(OUT / "dream", model, "<|mask|>", {"architectures": ["DreamModel"]})
    ids, keep = prompts(2, padded=True)
    x, seen = with_masks(ids, keep)
    full = torch.logical_and(seen[:, None, :, None].bool(), seen[:, None, None, :].bool())
    places = (seen.cumsum(-1) - 1).masked_fill(seen == 0, 1)
    found: dict[str, Any] = {"input_ids": ids, "attention_mask": keep}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        cast(model, dtype)
        logits = model(x, attention_mask=full, position_ids=places).logits
        found[f"logits_{name}"] = logits.float()
        for alg in ("maskgit_plus", "topk_margin", "entropy"):
            for steps in (NEW, 5):
                made = model.diffusion_generate(
                    ids, attention_mask=keep,
                    generation_config=asked(settings,
                        max_new_tokens=NEW, steps=steps, alg=alg, temperature=0.0, alg_temp=0.0,
                        mask_token_id=MASK,
                        pad_token_id=EOS, bos_token_id=EOS, eos_token_id=EOS,
                    ),
                )  # fmt: skip
                found[f"{alg}_{steps}_{name}"] = torch.stack(made.history).short()
    write(OUT / "dream", **found)


@torch.no_grad()
def coda(root: Path) -> None:
    package("coda_models", root / "CoDALanguageModel", run=False)
    models_ = importlib.import_module("coda_models.modeling_coda")
    settings = importlib.import_module("coda_models.generation_utils").DLMGenerationConfig
    settings.validate = lambda self, **_: None  # save_pretrained passes more than it takes
    config = importlib.import_module("coda_models.model_config").CoDAConfig(
        vocab_size=VOCABULARY, head_dim=12, mask_token_id=MASK, pad_token_id=EOS,
        bos_token_id=EOS, eos_token_id=EOS, attention_kernel="eager",
        attn_implementation="eager", **SIZES,
    )  # fmt: skip
    model = drawn(models_.CoDALanguageModel(config), 3, tied=True)
    model.lm_head.weight = model.model.embed_tokens.weight
    model._dynamic_tied_weights_keys = ["lm_head.weight"]
    save(OUT / "coda", model, "<|mask|>", {"architectures": ["CoDALanguageModel"]})
    ids, keep = prompts(4, padded=False)
    x, _ = with_masks(ids, keep)
    found: dict[str, Any] = {"input_ids": ids, "attention_mask": keep}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        cast(model, dtype)
        found[f"logits_{name}"] = model(x)[0].float()
    cast(model, torch.float32)
    for alg in ("maskgit_plus", "entropy"):
        made = model.diffusion_generate(
            ids, generation_config=asked(settings,
                max_new_tokens=NEW, steps=NEW, alg=alg, temperature=0.0, alg_temp=0.0,
                mask_token_id=MASK,
                pad_token_id=EOS, bos_token_id=EOS, eos_token_id=EOS,
            ),
        )  # fmt: skip
        found[f"{alg}_{NEW}_float32"] = torch.stack(made.history).short()
    write(OUT / "coda", **found)


@torch.no_grad()
def open_dcoder(root: Path) -> None:
    import transformers

    sampling = file("open_dllm_generation", root / "veomni/models/transformers/qwen2"
                    / "generation_utils.py")  # fmt: skip
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY, pad_token_id=None, bos_token_id=EOS, eos_token_id=EOS,
        rope_theta=1e6, tie_word_embeddings=True, attn_implementation="eager", **SIZES,
    )  # fmt: skip

    class Model(transformers.Qwen2ForCausalLM, sampling.MDMGenerationMixin):
        def forward(self, input_ids: torch.Tensor, attention_mask: Any = None, **_: Any) -> Any:
            B, T = input_ids.shape
            shown = torch.zeros(B, 1, T, T, dtype=self.dtype)
            if attention_mask is not None:
                hidden = attention_mask[:, None, None, :] == 0
                shown = shown.masked_fill(hidden, torch.finfo(self.dtype).min)
            return super().forward(input_ids, attention_mask=shown, use_cache=False)

    model = drawn(Model(config), 5, tied=True)
    model.tie_weights()
    save(OUT / "open-dcoder", model, "<M>", {"architectures": ["Qwen2ForCausalLM"]}, own=False)
    ids, keep = prompts(6, padded=True)
    x, seen = with_masks(ids, keep)
    found: dict[str, Any] = {"input_ids": ids, "attention_mask": keep}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        cast(model, dtype)
        found[f"logits_{name}"] = model(x, attention_mask=seen).logits.float()
    cast(model, torch.float32)
    plain, _ = prompts(6, padded=False)
    found["plain_ids"] = plain
    for alg in ("maskgit_plus", "entropy"):
        made = model.diffusion_generate(
            inputs=plain, generation_config=asked(sampling.MDMGenerationConfig,
                mask_token_id=MASK, pad_token_id=None, eos_token_id=EOS, max_new_tokens=NEW,
                steps=NEW, temperature=0.0, alg=alg, alg_temp=0.0,
            ),
        )  # fmt: skip
        found[f"{alg}_{NEW}_float32"] = torch.stack(made.history).short()
    write(OUT / "open-dcoder", **found)


class Named:
    """What a sampler of dllm wants of a tokenizer."""

    mask_token_id, bos_token_id, eos_token_id = MASK, EOS, EOS


def mdlm(name: str, model: Any, seed: int) -> None:
    """Logits and completions of a family without a shift, by dllm's sampler for them."""
    sampling = importlib.import_module("dllm.core.samplers.mdlm")
    ids, keep = prompts(seed, padded=True)
    x, seen = with_masks(ids, keep)
    found: dict[str, Any] = {"input_ids": ids, "attention_mask": keep}
    for kind, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        cast(model, dtype)
        found[f"logits_{kind}"] = model(x, attention_mask=seen).logits.float()
    cast(model, torch.float32)
    plain, _ = prompts(seed, padded=False)
    found["plain_ids"] = plain
    sampler = sampling.MDLMSampler(model=model, tokenizer=Named())
    made = sampler.sample(
        list(plain), max_new_tokens=NEW, steps=NEW, block_size=NEW, temperature=0.0,
        return_dict=True, suppress_tokens=[EOS, MASK],
    )  # fmt: skip
    found["low_confidence"] = torch.stack(made.histories).short()
    write(OUT / name, **found)


@torch.no_grad()
def a2d(dllm: Path, kind: str, seed: int, **others: Any) -> None:
    source = file(f"a2d_{kind}", dllm / f"dllm/pipelines/a2d/models/{kind}/modeling_{kind}.py")
    title = kind.capitalize()
    config = getattr(source, f"A2D{title}Config")(
        vocab_size=VOCABULARY, pad_token_id=None, bos_token_id=EOS, eos_token_id=EOS,
        tie_word_embeddings=True, attn_implementation="eager", **SIZES, **others,
    )  # fmt: skip
    model = drawn(getattr(source, f"A2D{title}LMHeadModel")(config), seed, tied=True)
    model.tie_weights()
    save(OUT / f"a2d-{kind}", model, "<|mask|>", own=False)
    mdlm(f"a2d-{kind}", model, seed + 1)


@torch.no_grad()
def llada(dllm: Path) -> None:
    package("llada_models", dllm / "dllm/pipelines/llada/models", run=False)
    configs = importlib.import_module("llada_models.configuration_llada")
    source = importlib.import_module("llada_models.modeling_llada")
    config = configs.LLaDAConfig(
        vocab_size=VOCABULARY, embedding_size=VOCABULARY, d_model=48, n_heads=4, n_kv_heads=4,
        n_layers=2, mlp_hidden_size=80, rope=True, alibi=False, block_type="llama",
        layer_norm_type="rms", activation_type="silu", rms_norm_eps=1e-5, rope_theta=5e5,
        weight_tying=False, include_bias=False, include_qkv_bias=False, attention_dropout=0.0,
        residual_dropout=0.0, embedding_dropout=0.0, bias_for_layer_norm=False,
        max_sequence_length=64, mask_token_id=MASK, eos_token_id=EOS, pad_token_id=EOS,
        init_device="cpu",
    )  # fmt: skip
    inner = source.create_model_config_from_pretrained_config(config)
    inner.init_device = "cpu"  # left to itself it asks for a GPU
    model = drawn(source.LLaDAModelLM(config, model=source.LLaDAModel(inner)), 11)
    save(OUT / "llada", model, "<|mdm_mask|>")
    mdlm("llada", model, 12)


def main(dllm: Path, coda_root: Path, open_dllm: Path) -> None:
    for name in ("dllm", "dllm.core", "dllm.core.samplers"):
        package(name, dllm / name.replace(".", "/"), run=False)
    dream(dllm)
    open_dcoder(open_dllm)
    a2d(dllm, "qwen2", 7)
    a2d(dllm, "qwen3", 9, head_dim=16)
    coda(coda_root)
    llada(dllm)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
