"""From logits to tokens and confidences: the rules that all decoding loops share.

N masked positions, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffufix.errors import UsageError

#: `origin` reveals positions at random, the others the most confident ones first.
ALGORITHMS = ("origin", "maskgit_plus", "topk_margin", "entropy")


def check_algorithm(alg: str) -> None:
    if alg not in ALGORITHMS:
        raise UsageError(f"Unknown alg {alg!r}.", f"One of {', '.join(ALGORITHMS)}.")


def keep_top_p(logits_NV: Tensor, top_p: float) -> Tensor:
    """Only the most likely ids whose probabilities reach `top_p` together, at least one."""
    ranked, ids = logits_NV.sort(dim=-1, descending=True)
    mass = ranked.softmax(-1).cumsum(-1)
    beyond = torch.zeros_like(mass, dtype=torch.bool)
    beyond[..., 1:] = mass[..., :-1] > top_p
    cut = torch.zeros_like(beyond).scatter(-1, ids, beyond)
    return logits_NV.masked_fill(cut, torch.finfo(logits_NV.dtype).min)


def keep_top_k(logits_NV: Tensor, top_k: int) -> Tensor:
    """Only the `top_k` most likely ids (and what ties with the last of them)."""
    least = logits_NV.topk(min(top_k, logits_NV.shape[-1]), dim=-1).values[..., -1:]
    return logits_NV.masked_fill(logits_NV < least, torch.finfo(logits_NV.dtype).min)


def draw(probs_NV: Tensor, generator: torch.Generator | None) -> Tensor:
    """One id [N] from each row of probabilities; the generator may live on another device."""
    where = generator.device if generator is not None else probs_NV.device
    ids = torch.multinomial(probs_NV.to(where), 1, replacement=True, generator=generator)
    return ids[:, 0].to(probs_NV.device)


def uniform(count: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """`count` numbers in [0, 1)."""
    where = generator.device if generator is not None else device
    return torch.rand(count, device=where, generator=generator).to(device)


def gumbel(count: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Noise whose top k, added to log-odds, are a draw without replacement by those odds."""
    lots = uniform(count, device, generator).clamp(1e-20, 1 - 1e-7)
    return -(-lots.log()).log()


def choose(
    logits_NV: Tensor,
    *,
    temperature: float = 0.0,
    top_p: float | None = None,
    top_k: int | None = None,
    alg: str = "maskgit_plus",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """An id [N] for every masked position and the confidence [N] that decides who goes first.

    As in the reference, temperature, top_p and top_k come before the confidence and so change
    the order too. Confidence is p(id) for `maskgit_plus` (and `origin`), p1 - p2 for
    `topk_margin`, the negative entropy for `entropy`.
    """
    logits_NV = logits_NV.float()
    if temperature > 0:
        logits_NV = logits_NV / temperature
    if top_p is not None and top_p < 1:
        logits_NV = keep_top_p(logits_NV, top_p)
    if top_k is not None:
        logits_NV = keep_top_k(logits_NV, top_k)
    probs_NV = logits_NV.softmax(-1)
    if temperature > 0:
        ids = draw(probs_NV, generator)
        confidence = probs_NV.gather(-1, ids[:, None])[:, 0]
    else:
        confidence, ids = probs_NV.max(dim=-1)
    if alg == "topk_margin":
        first, second = probs_NV.topk(2, dim=-1).values.unbind(-1)
        confidence = first - second
    elif alg == "entropy":
        confidence = (probs_NV * (probs_NV + 1e-10).log()).sum(-1)
    return ids, confidence
