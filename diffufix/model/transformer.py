"""The transformer of all families: Qwen2.5, Qwen3, Llama or Ling blocks, with bidirectional
attention.

Shape suffixes: B batch, T tokens, C context tokens, D model width, H heads, K key/value heads,
E head dimension, V vocabulary. Parameter names follow the Hugging Face checkpoints, so that a
state dict loads without renaming.

Two ways through the same weights:
- `forward(ids_BT)`: logits [B, T, V] as the reference gives them, unshifted;
- `encode(context)` once, then `denoise(hole, cache)` many times: the context attends to itself
  only, the hole to the context and to itself. An approximation for models of the in-place layout;
  `mini`, which is trained that way, goes through `hidden` and beside.py instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffufix.model import packed
from diffufix.model.editing import EditHead
from diffufix.model.experts import Experts, ExpertsConfig
from diffufix.model.pointer_generator import PointerGenerator


@dataclass(frozen=True)
class ModelConfig:
    """The numbers of a checkpoint's config.json that the computation needs."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = True
    copy_size: int = 0  # width of the copying head (pointer_generator.py); 0: none
    head_size: int = 0  # of one head; 0: hidden_size over the number of heads
    qk_norm: bool = False  # queries and keys are normed, head by head (Qwen3)
    rope_float32: bool = False  # they are rotated in float32, whatever the weights are (LLaDA)
    copy_twins: bool = False  # it copies ids' twins too
    edit_size: int = 0  # width of the head that says where to edit (editing.py); 0: none
    rotary_size: int = 0  # numbers of a head that are rotated, the first ones; 0: all
    experts: ExpertsConfig | None = None  # in place of the layers' inner networks

    @property
    def head_dim(self) -> int:
        return self.head_size or self.hidden_size // self.num_attention_heads

    @property
    def rotary_dim(self) -> int:
        return self.rotary_size or self.head_dim


#: Keys [B, K, C, E] and values of every layer, for one encoded context.
Cache = list[tuple[Tensor, Tensor]]
#: Where attention is allowed: True in a tensor, or in the blocks of packed rows (packed.py).
Mask = Tensor | Sequence[packed.PackedBlock]


def rotary(positions: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B, 1, T, E] of rotary embeddings at integer positions [B, T]."""
    inverse = theta ** -(torch.arange(0, head_dim, 2, device=positions.device).float() / head_dim)
    angles = positions[..., None].float() * inverse
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary embeddings to [B, heads, T, E] (halves convention), or to the first of the E
    numbers, as many as `cos` has."""
    if cos.shape[-1] < x.shape[-1]:
        turned, plain = x.split([cos.shape[-1], x.shape[-1] - cos.shape[-1]], dim=-1)
        return torch.cat([rotate(turned, cos, sin), plain], dim=-1)
    left, right = x.chunk(2, dim=-1)
    return x * cos.to(x.dtype) + torch.cat([-right, left], dim=-1) * sin.to(x.dtype)


def padded(keep_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Positions [B, T] and attention mask [B, 1, 1, T] of sequences with padding (False).

    Only keys are masked: a row of padding then attends to tokens and stays finite.
    """
    positions = (keep_BT.long().cumsum(-1) - 1).masked_fill(~keep_BT, 1)
    return positions, keep_BT[:, None, None, :]


def block_causal(places_BT: Tensor, block: int) -> Tensor:
    """Attention mask [B, 1, T, T] of sequences in blocks: each sees itself and those before it.

    `places_BT` are positions from the beginning of the first block on.
    """
    blocks_BT = places_BT // block
    return (blocks_BT[:, None, :] <= blocks_BT[:, :, None])[:, None]


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * wide.to(x.dtype)


class Attention(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, e = config.hidden_size, config.head_dim
        self.heads, self.kv_heads, self.head_dim = (
            config.num_attention_heads,
            config.num_key_value_heads,
            e,
        )
        self.q_proj = nn.Linear(d, self.heads * e, bias=config.attention_bias)
        self.k_proj = nn.Linear(d, self.kv_heads * e, bias=config.attention_bias)
        self.v_proj = nn.Linear(d, self.kv_heads * e, bias=config.attention_bias)
        self.o_proj = nn.Linear(self.heads * e, d, bias=False)
        self.q_norm = RMSNorm(e, config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(e, config.rms_norm_eps) if config.qk_norm else None
        self.wide = config.rope_float32

    def project(self, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, E], keys and values [B, K, T, E]; queries and keys are rotated."""
        B, T, _ = x_BTD.shape
        q = self.q_proj(x_BTD).view(B, T, self.heads, self.head_dim)
        k = self.k_proj(x_BTD).view(B, T, self.kv_heads, self.head_dim)
        v = self.v_proj(x_BTD).view(B, T, self.kv_heads, self.head_dim).transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = q.transpose(1, 2), k.transpose(1, 2)
        if self.wide:
            return rotate(q.float(), cos, sin).to(q), rotate(k.float(), cos, sin).to(k), v
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def forward(
        self,
        x_BTD: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Mask | None,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        B, T, _ = x_BTD.shape
        q, k, v = self.project(x_BTD, cos, sin)
        own = (k, v)
        if past is not None:
            k = torch.cat([past[0].expand(B, -1, -1, -1), k], dim=2)
            v = torch.cat([past[1].expand(B, -1, -1, -1), v], dim=2)
        groups = self.heads // self.kv_heads
        if groups > 1:
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        if mask is None or isinstance(mask, Tensor):
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            out = packed.attend(q, k, v, mask)
        return self.o_proj(out.transpose(1, 2).reshape(B, T, self.heads * self.head_dim)), own


class MLP(nn.Module):
    def __init__(self, d: int, f: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(d, f, bias=False)
        self.up_proj = nn.Linear(d, f, bias=False)
        self.down_proj = nn.Linear(f, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = self._inner(config, index)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Mask | None,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        attended, own = self.self_attn(self.input_layernorm(x), cos, sin, mask, past)
        x = x + attended
        return x + self.mlp(self.post_attention_layernorm(x)), own

    @staticmethod
    def _inner(config: ModelConfig, index: int) -> nn.Module:
        d, experts = config.hidden_size, config.experts
        if experts is None or index < experts.dense_layers:
            return MLP(d, config.intermediate_size)
        return Experts(d, experts, MLP(d, experts.shared) if experts.shared else None)


class Trunk(nn.Module):
    """Embeddings, blocks and the last norm (`model.` in the checkpoints)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # On the meta device nothing is drawn: that would import PyTorch's compiler, seconds of it.
        empty = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = (
            nn.Embedding.from_pretrained(empty, freeze=False)
            if empty.is_meta
            else nn.Embedding(config.vocab_size, config.hidden_size)
        )
        self.layers = nn.ModuleList(
            Block(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Transformer(nn.Module):
    """Bidirectional Qwen2.5; `lm_head` shares the embeddings where the config ties them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        twins = config.vocab_size if config.copy_twins else 0
        size = config.copy_size
        self.copy = PointerGenerator(config.hidden_size, size, twins) if size else None
        self.edit = EditHead(config.hidden_size, config.edit_size) if config.edit_size else None

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    def hidden(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        mask: Mask | None = None,
        past: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """Last hidden states [B, T, D] and this call's own keys and values.

        `mask` broadcasts to [B, H, T, C + T]; True where attention is allowed. Or, without `past`,
        the blocks of packed rows.
        """
        if positions_BT is None:
            positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None]
        cos, sin = rotary(positions_BT, self.config.rotary_dim, self.config.rope_theta)
        x = self.model.embed_tokens(ids_BT)
        own: Cache = []
        for index, layer in enumerate(self.model.layers):
            x, kv = layer(x, cos, sin, mask, past[index] if past else None)
            own.append(kv)
        return self.model.norm(x), own

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits [B, T, V], unshifted. `attention_mask` [B, T] is 1 at tokens, 0 at padding."""
        positions, mask = None, None
        if attention_mask is not None and not bool(attention_mask.all()):
            positions, mask = padded(attention_mask.bool())
        x, _ = self.hidden(input_ids, positions, mask)
        return self.lm_head(x)

    def encode(self, ids_1C: Tensor, positions_1C: Tensor | None = None) -> Cache:
        """Keys and values of a context that attends to itself only."""
        return self.hidden(ids_1C, positions_1C)[1]

    def denoise(
        self, ids_BT: Tensor, positions_BT: Tensor, cache: Cache, keep_BT: Tensor
    ) -> Tensor:
        """Hidden states [B, T, D] of holes that see the cached context and themselves.

        `keep_BT` is False at padding.
        """
        C = cache[0][0].shape[2]
        seen = torch.cat([keep_BT.new_ones(len(ids_BT), C), keep_BT], dim=1)
        return self.hidden(ids_BT, positions_BT, seen[:, None, None, :], cache)[0]
