"""`diffusion_generate`: completion of prompts, with the meaning of the reference implementation.

Same schedule, same rules; at temperature 0 the same results in float32, and in bfloat16 with
`precision="model"`: the reference computes confidences in the model's own numbers, which tie and
round, and by default they are computed in float32 here. Three things are cheaper: logits are
computed at masked positions only, a step that commits nothing runs no forward pass, and nothing
runs once no mask is left. B rows, T positions, N masked positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.decode.tokens import Precision, check_algorithm, choose, gumbel, uniform
from diffufix.errors import UsageError
from diffufix.model.transformer import Transformer, padded

#: (step, canvas [B, T], shifted logits [B, T, V]) -> canvas; before the first step (None, x, None).
TokensHook = Callable[[int | None, Tensor, Tensor | None], Tensor]
#: (step, canvas [B, T], shifted logits [B, T, V]) -> logits.
LogitsHook = Callable[[int, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Generation:
    """`sequences` [B, T]: prompts with their completions; `history`: the canvas after each step."""

    sequences: Tensor
    history: list[Tensor] | None = None


@torch.no_grad()
def diffusion_generate(
    model: Transformer,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    max_new_tokens: int,
    steps: int = 512,
    temperature: float = 0.0,
    top_p: float | None = None,
    top_k: int | None = None,
    alg: str = "origin",
    alg_temp: float | None = None,
    eps: float = 1e-3,
    output_history: bool = False,
    num_return_sequences: int = 1,
    generator: torch.Generator | None = None,
    generation_tokens_hook_func: TokensHook | None = None,
    generation_logits_hook_func: LogitsHook | None = None,
    mask_token_id: int | None = None,
    shift: bool | None = None,
    precision: Precision = "float32",
    on_step: Callable[[int, Tensor], bool] | None = None,
) -> Generation:
    """Denoise `max_new_tokens` masks after each prompt [B, P] in `steps` steps.

    `attention_mask` [B, P] is 0 at padding, which stands on the left. Masks in the prompt are
    filled too. Hooks see full logits and every step, so with them no work is skipped. The mask
    id and the shift are the model family's where they are not given. Ids that the model's
    tokenizer has no text for are never chosen. `precision` is that of the confidences
    (tokens.py). `on_step` hears of each step that ran a forward pass: its number and the canvas
    [B, T] after it; where it answers True nothing more is generated. Raises UsageError.
    """
    check_algorithm(alg)
    if steps < 1 or max_new_tokens < 0:
        raise UsageError("steps must be at least 1 and max_new_tokens at least 0.")
    mask_id, shift = _family(model, mask_token_id, shift)
    x, keep = _canvas(model, input_ids, attention_mask, max_new_tokens, mask_id)
    if num_return_sequences > 1:
        x = x.repeat_interleave(num_return_sequences, dim=0)
        keep = keep.repeat_interleave(num_return_sequences, dim=0) if keep is not None else None
    if shift and bool((x[:, 0] == mask_id).any()):
        raise UsageError("The first position cannot be masked.", "Give a prompt of one id or more.")
    positions, seen = padded(keep) if keep is not None else (None, None)
    textless = list(getattr(model, "textless", ()))
    watched = bool(generation_tokens_hook_func or generation_logits_hook_func)
    times = torch.linspace(1, eps, steps + 1)
    history: list[Tensor] = []
    if generation_tokens_hook_func:
        x = generation_tokens_hook_func(None, x, None)
    for step in range(steps):
        masked = x == mask_id
        share = 1.0 - times[step + 1] / times[step] if step < steps - 1 else torch.tensor(1.0)
        chosen = _schedule(masked, share, alg, generator)
        logits: Tensor | None = None
        if watched or bool(chosen.any()):
            hidden = model.hidden(x, positions, seen)[0]
            if shift:
                hidden = torch.cat([hidden[:, :1], hidden[:, :-1]], dim=1)
            if watched:
                logits = model.lm_head(hidden)
                if generation_logits_hook_func:
                    logits = generation_logits_hook_func(step, x, logits)
            where = chosen if alg == "origin" else masked
            logits_NV = logits[where] if logits is not None else model.lm_head(hidden[where])
            if len(logits_NV):
                logits_NV[:, textless] = -torch.inf
                ids, confidence = choose(
                    logits_NV,
                    temperature=temperature,
                    top_p=top_p,
                    top_k=top_k,
                    alg=alg,
                    generator=generator,
                    precision=precision,
                )
                if alg != "origin":
                    counts = chosen.sum(-1).tolist()
                    chosen = _most_confident(masked, confidence, counts, alg_temp, generator)
                    ids = ids[chosen[masked]]
                x = x.masked_scatter(chosen, ids)
            if on_step is not None and on_step(step, x):
                break
        if generation_tokens_hook_func:
            x = generation_tokens_hook_func(step, x, logits)
        if output_history:
            history.append(x.clone())
        elif not watched and not bool((x == mask_id).any()):
            break
    return Generation(x, history if output_history else None)


def _family(model: Transformer, mask_id: int | None, shift: bool | None) -> tuple[int, bool]:
    family = getattr(model, "family", None)
    if family is not None:
        mask_id = family.mask if mask_id is None else mask_id
        shift = family.shift if shift is None else shift
    if mask_id is None or shift is None:
        raise UsageError("A model without a family needs mask_token_id and shift.")
    return mask_id, shift


def _canvas(
    model: Transformer, prompt: Tensor, attention: Tensor | None, new: int, mask_id: int
) -> tuple[Tensor, Tensor | None]:
    """The prompts with masks behind them, and where there is no padding (None: anywhere)."""
    if prompt.ndim != 2 or (attention is not None and attention.shape != prompt.shape):
        raise UsageError("input_ids and attention_mask are [batch, tokens], both alike.")
    prompt = prompt.to(model.device)
    x = torch.nn.functional.pad(prompt, (0, new), value=mask_id)
    if attention is None or bool(attention.bool().all()):
        return x, None
    keep = torch.nn.functional.pad(attention.to(model.device).bool(), (0, new), value=True)
    return x, keep


def _schedule(masked: Tensor, share: Tensor, alg: str, generator: torch.Generator | None) -> Tensor:
    """Which masks this step reveals [B, T]: for `origin` the very ones, else just as many.

    Counts are each row's own; where rows hold equally many masks this is the reference's rule.
    """
    if alg == "origin":
        chosen = masked.clone()
        lots = uniform(int(masked.sum()), masked.device, generator)
        chosen[masked] = lots < share.to(masked.device)
        return chosen
    counts = (masked.sum(-1) * share.to(masked.device)).int()  # float32, as the reference rounds
    return masked & (masked.long().cumsum(-1) <= counts[:, None])


def _most_confident(
    masked: Tensor,
    confidence_N: Tensor,
    counts: list[int],
    alg_temp: float | None,
    generator: torch.Generator | None,
) -> Tensor:
    """The masks to reveal [B, T]: `counts[b]` of row b, by confidence or drawn by it."""
    full = torch.full(masked.shape, -torch.inf, device=masked.device, dtype=confidence_N.dtype)
    full[masked] = confidence_N
    chosen = torch.zeros_like(masked)
    if len(set(counts)) == 1 and not alg_temp and counts[0]:  # ties fall as in the reference
        return chosen.scatter(-1, full.topk(counts[0], dim=-1).indices, True) & masked
    for row, count in enumerate(counts):
        if count == 0:
            continue
        scores = full[row]
        if alg_temp:
            scores = scores / alg_temp + gumbel(len(scores), scores.device, generator)
        chosen[row, scores.topk(count).indices] = True
    return chosen & masked
