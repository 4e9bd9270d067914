"""`load_model`: a checkpoint in hub layout becomes a transformer. Reads files, may download.

Only config.json, safetensors and tokenizer files are read; code in a checkpoint is never run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from diffufix.errors import CheckpointError, PrerequisiteError
from diffufix.model import hub
from diffufix.model.adapted import attach
from diffufix.model.devices import check_memory, choose_device, choose_dtype
from diffufix.model.experts import ExpertsConfig
from diffufix.model.families import KINDS, repository, sampling_of
from diffufix.model.family import Family, recognise
from diffufix.model.files import placed, plain_config, read_json, shards
from diffufix.model.quantized import bytes_of, quantisation, quantised
from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.model.transformer import ModelConfig, Transformer, block_causal, padded
from diffufix.model.weights import Adapter, fingerprint, read_tensors

_DAMAGED = "The weights and config.json belong to different checkpoints, or are damaged."


class LoadedModel(Transformer):
    """A transformer with what its checkpoint says beside the weights."""

    family: Family
    path: Path
    name: str
    adapter: Path | None
    max_context: int  # tokens of canvas that the model was made for

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits [B, T, V], unshifted. `attention_mask` [B, T] is 1 at tokens, 0 at padding. Of
        block-causal families each block sees itself and those before it."""
        block = self.family.block
        if not block:
            return super().forward(input_ids, attention_mask)
        keep = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        positions, seen = padded(keep.bool())
        hidden, _ = self.hidden(input_ids, positions, seen & block_causal(positions, block))
        return self.lm_head(hidden)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Raises CheckpointError where the folder holds no usable tokenizer."""
        return load_tokenizer(self.path)

    @cached_property
    def textless(self) -> tuple[int, ...]:
        """Ids that the tokenizer has no text for; none where the folder has no tokenizer."""
        if not has_tokenizer(self.path):
            return ()
        beyond = range(len(self.tokenizer), self.config.vocab_size)
        return tuple(sorted(self.tokenizer.unassigned.union(beyond)))

    @cached_property
    def banned(self) -> tuple[int, ...]:
        """Ids that no hole may hold: special ones and those without a text.

        `expand` and `delete` are not in it, the sampler takes them as instructions.
        """
        ids = self.family.specials | set(self.textless)
        if has_tokenizer(self.path):
            ids |= set(self.tokenizer.added.values())
        ids -= {i for i in (self.family.expand, self.family.delete) if i is not None}
        return tuple(sorted(ids))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of config and weights, adapter included, for the log."""
        return fingerprint_of(self.path, self.adapter)


def load_model(
    name: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    adapter: str | Path | None = None,
    family: Family | None = None,
    notify: Callable[[str], None] = hub._stderr,
) -> LoadedModel:
    """Load a checkpoint: `load_model(name)(input_ids, attention_mask)` gives logits [B, T, V].

    `name` is a folder, `mini` or a hub id (None: `mini`, or the 7B model where CUDA is there).
    `device` defaults to CUDA where there is one, then for large models to MPS; `dtype` to bfloat16
    there and for large models, else to float32 (devices.py); "int8" and "int4" quantise the linear
    layers (quantized.py). `adapter` is a folder with a LoRA
    adapter in peft's layout: merged into float32 weights, kept in float32 beside others.
    `family` says what a checkpoint does not say itself, such as an autoregressive one.
    Raises CheckpointError (a folder that cannot be loaded) and PrerequisiteError (no such model
    here, no such device).
    """
    name = hub.decide().name if name is None else name
    few = quantisation(dtype, choose_device(device))
    dtype = "auto" if few else dtype
    choose_dtype(dtype, choose_device(device))  # an error before anything is read
    folder = hub.locate(name, notify)
    raw = plain_config(read_json(folder / "config.json"))
    tokenizer = load_tokenizer(folder) if has_tokenizer(folder) else None
    if family is None:
        family = _family(folder, raw, tokenizer.added if tokenizer else {}, str(name))
    with torch.device("meta"):
        model = LoadedModel(_config(raw))
    parameters = sum(p.numel() for p in model.parameters())
    where = choose_device(device, parameters)
    kind = choose_dtype(dtype, where, parameters)
    few = quantisation(few, where)
    embedded = model.config.vocab_size * model.config.hidden_size
    size = bytes_of(parameters, embedded, few, kind.itemsize) if few else parameters * kind.itemsize
    check_memory(size, few or kind, where, str(name))
    lora = Adapter(Path(adapter).expanduser()) if adapter is not None else None
    if few and model.config.experts:
        raise PrerequisiteError(
            f"{name}: experts cannot be quantised to {few} here.", "Use --dtype bfloat16."
        )
    state, beside = _state(model, folder, raw, lora, where, kind, few)
    model.load_state_dict(state, strict=True, assign=True)
    for layer, a, b, scale in beside:
        attach(model, layer, a, b, scale)
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.family, model.path, model.name = family, folder, str(name)
    if tokenizer is not None:
        model.tokenizer = tokenizer
        if model.copy is not None:
            model.copy.pair(tokenizer.twins(model.config.vocab_size))
    model.adapter = lora.folder if lora else None
    most = sampling_of(family.name).context
    model.max_context = min(int(raw.get("max_position_embeddings") or most), most)
    return model.eval().requires_grad_(False)


def family_in(folder: Path, name: str = "") -> Family:
    """The family of a checkpoint folder, nothing but its settings read. Raises CheckpointError."""
    raw = plain_config(read_json(folder / "config.json"))
    tokenizer = load_tokenizer(folder) if has_tokenizer(folder) else None
    return _family(folder, raw, tokenizer.added if tokenizer else {}, name)


def fingerprint_of(folder: Path, adapter: Path | None = None) -> str:
    """The fingerprint that a model loaded from there has. Raises CheckpointError."""
    files = [folder / "config.json", *shards(folder)]
    if adapter is not None:
        files += [adapter / "adapter_config.json", adapter / "adapter_model.safetensors"]
    return fingerprint(files)


def has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() or (folder / "vocab.json").is_file()


def _family(
    folder: Path, raw: Mapping[str, Any], added_tokens: Mapping[str, int], name: str
) -> Family:
    settings = folder / "generation_config.json"
    family = recognise(
        raw,
        added_tokens,
        generation=read_json(settings) if settings.is_file() else None,
        tokenizer=_tokenizer_settings(folder),
        name=name if repository(name) else str(folder),
    )
    for key in ("mask", "pad", "bos", "eos", "expand", "delete"):
        value = getattr(family, key)
        if value is not None and not 0 <= value < raw.get("vocab_size", 0):
            raise CheckpointError(
                f"The {key} token {value} lies outside of the {raw.get('vocab_size')} ids.",
                "config.json and the tokenizer belong to different checkpoints.",
            )
    return family


def _tokenizer_settings(folder: Path) -> dict[str, Any] | None:
    """tokenizer_config.json with what other files say of special tokens and the chat template."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return None
    beside = folder / "special_tokens_map.json"
    said = {**(read_json(beside) if beside.is_file() else {}), **read_json(path)}
    for name in ("chat_template.jinja", "chat_template.json"):
        if (folder / name).is_file():
            said.setdefault("chat_template", name)
    return said


def _config(raw: Mapping[str, Any]) -> ModelConfig:
    needed = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
    )
    for key in needed:
        if not isinstance(raw.get(key), int) or raw[key] <= 0:
            raise CheckpointError(f"config.json: {key} is {raw.get(key)!r}.", "Fetch it again.")
    head_dim = raw.get("head_dim")  # null, too: hidden_size over the heads
    if head_dim is not None and (not isinstance(head_dim, int) or head_dim <= 0):
        raise CheckpointError(f"config.json: head_dim is {head_dim!r}.", "Fetch it again.")
    heads = raw["num_attention_heads"]
    groups = raw.get("num_key_value_heads") or heads
    rope = raw.get("rope_parameters") or {}
    scaled = raw.get("rope_scaling") or rope
    odd = {
        "hidden_act": raw.get("hidden_act", "silu") != "silu",
        "rope_scaling": scaled.get("rope_type", scaled.get("type", "default")) != "default",
        "use_sliding_window": bool(raw.get("use_sliding_window")),
        "head_dim": (head_dim or raw["hidden_size"] // heads) % 2 != 0,
        "num_key_value_heads": heads % groups != 0,
    }
    unknown = [key for key, strange in odd.items() if strange]
    if unknown:
        raise CheckpointError(
            f"config.json: {', '.join(f'{key}={raw.get(key)!r}' for key in unknown)} "
            "is not supported.",
            "Only models of Qwen2's, Qwen3's or LLaDA's shape with plain rotary embeddings are.",
        )
    kind = next((k for k in KINDS if str(raw.get("model_type")).lower() in k.types), KINDS[0])
    return ModelConfig(
        **{key: raw[key] for key in needed},
        num_key_value_heads=groups,
        rope_theta=float(raw.get("rope_theta") or rope.get("rope_theta") or 1e4),
        rms_norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
        tie_word_embeddings=bool(raw.get("tie_word_embeddings", kind.tied)),
        attention_bias=bool(raw.get("attention_bias", kind.attention_bias)),
        copy_size=int(raw.get("copy_size") or 0),
        head_size=head_dim or 0,
        qk_norm=bool(raw.get("qk_norm", kind.qk_norm)),
        rope_float32=bool(raw.get("rope_float32", kind.rope_float32)),
        copy_twins=bool(raw.get("copy_twins", False)),
        edit_size=int(raw.get("edit_size") or 0),
        rotary_size=int(raw.get("rotary_size") or 0),
        experts=ExpertsConfig(**raw["experts"]) if raw.get("experts") else None,
    )


def _state(
    model: LoadedModel,
    folder: Path,
    raw: Mapping[str, Any],
    adapter: Adapter | None,
    device: torch.device,
    dtype: torch.dtype,
    few: str | None,
) -> tuple[dict[str, torch.Tensor], list[tuple[str, torch.Tensor, torch.Tensor, float]]]:
    """The state dict on its device, one tensor at a time, every name and shape checked; and what
    of the adapter is kept beside it (`adapted.attach`)."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    tied = model.config.tie_word_embeddings
    state: dict[str, torch.Tensor] = {}
    beside: list[tuple[str, torch.Tensor, torch.Tensor, float]] = []
    filled: Counter[str] = Counter()  # experts of a tensor that holds all of them
    for given, whole in read_tensors(folder):
        for place in placed(given, raw):
            name, tensor = place.name, whole[place.begin : place.end] if whole.ndim else whole
            if name.endswith("rotary_emb.inv_freq") or (tied and name == "lm_head.weight"):
                continue
            if name not in shapes:
                raise CheckpointError(
                    f"The checkpoint holds {name}, which the model lacks.", _DAMAGED
                )
            wanted = shapes[name] if place.expert is None else shapes[name][1:]
            if tensor.shape != wanted:
                raise CheckpointError(
                    f"{name} is {list(tensor.shape)}, config.json asks for {list(wanted)}.",
                    _DAMAGED,
                )
            if place.expert is not None:
                if name not in state:
                    state[name] = torch.empty(shapes[name], device=device, dtype=dtype)
                if place.expert < len(state[name]):
                    state[name][place.expert] = tensor.to(device=device, dtype=dtype)
                    filled[name] += 1
                continue
            if adapter is not None:
                merged = (dtype == torch.float32 and few is None) or tensor.ndim != 2
                if merged:
                    tensor = adapter.merge(name, tensor)
                elif (found := adapter.part(name, tensor.shape)) is not None:
                    beside.append((name.removesuffix(".weight"), *found))
            # A copy always: a mapped file that someone rewrites would end the process.
            state[name] = tensor.to(device=device, dtype=dtype, copy=True)
            if few is not None:
                state[name] = quantised(name, state[name], few)
    if tied and "model.embed_tokens.weight" in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    part = {name for name, count in filled.items() if count < shapes[name][0]}
    missing = sorted((shapes.keys() - state.keys()) | part)
    if missing:
        raise CheckpointError(
            f"The checkpoint lacks {len(missing)} tensors, the first is {missing[0]}.", _DAMAGED
        )
    if adapter is not None:
        adapter.finish()
    return state, beside
