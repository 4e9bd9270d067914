"""From logits to tokens and confidences: the rules that all decoding loops share.

N masked positions, V vocabulary, K ids of it that may be drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from diffufix.errors import UsageError

#: `origin` reveals positions at random, the others the most confident ones first.
ALGORITHMS = ("origin", "maskgit_plus", "topk_margin", "entropy")
#: Ids among which a nucleus is looked for first; a wider one is found all the same.
NUCLEUS = (512, 8192)
#: In which numbers confidences are computed: float32, or the model's own, as the reference does.
Precision = Literal["float32", "model"]


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


def nucleus(logits_NV: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """`keep_top_p` without sorting the vocabulary: logits [N, K] of the ids [N, K] that stay, the
    likeliest first, -inf where a row keeps fewer.

    The likeliest few hundred are looked at; rows whose mass they do not reach, at more.
    """
    N, V = logits_NV.shape
    total_N1 = logits_NV.logsumexp(-1, keepdim=True)
    rows = torch.arange(N, device=logits_NV.device)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for width in (*(k for k in NUCLEUS if k < V), V):
        values, ids = logits_NV[rows].topk(width, dim=-1)
        mass = (values - total_N1[rows]).exp().cumsum(-1)
        values[:, 1:].masked_fill_(mass[:, :-1] > top_p, -torch.inf)
        settled = mass[:, -1] > top_p if width < V else torch.ones_like(rows, dtype=torch.bool)
        found.append((rows[settled], values[settled], ids[settled]))
        rows = rows[~settled]
        if not len(rows):
            break
    most = max(int((values > -torch.inf).sum(-1).max()) if len(values) else 0
               for _, values, _ in found)  # fmt: skip
    kept_NK = logits_NV.new_full((N, max(most, 1)), -torch.inf)
    ids_NK = torch.zeros(kept_NK.shape, dtype=torch.long, device=logits_NV.device)
    for of, values, ids in found:
        count = min(values.shape[1], kept_NK.shape[1])
        kept_NK[of, :count], ids_NK[of, :count] = values[:, :count], ids[:, :count]
    return kept_NK, ids_NK


class Shortlist:
    """What may be drawn at each of N masks, after temperature, top_p and top_k.

    As in the reference they come before the confidence and so change the order too.
    """

    def __init__(
        self,
        logits_NV: Tensor,
        *,
        temperature: float = 0.0,
        top_p: float | None = None,
        top_k: int | None = None,
    ) -> None:
        self._cold = temperature <= 0
        logits = logits_NV.float()
        if not self._cold:
            logits = logits / temperature
        self._ids: Tensor | None = None  # [N, K]; None: all of them, in their order
        if top_p is not None and top_p < 1:
            logits, self._ids = nucleus(logits, top_p)
        if top_k is not None:
            logits = keep_top_k(logits, top_k)
        self.probs_NK = logits.softmax(-1)

    def confidence(self, alg: str) -> Tensor:
        """[N]: p1 - p2 for `topk_margin`, the negative entropy for `entropy`, else the highest
        probability (which is that of the id at temperature 0)."""
        probs = self.probs_NK
        if alg == "topk_margin":
            if probs.shape[-1] == 1:
                return probs[:, 0]
            first, second = probs.topk(2, dim=-1).values.unbind(-1)
            return first - second
        if alg == "entropy":
            return (probs * (probs + 1e-10).log()).sum(-1)
        return probs.amax(-1)

    def draw(self, rows: Sequence[int], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """An id for each of these rows, which may repeat, and its probability here.

        At temperature 0 it is the likeliest.
        """
        probs = self.probs_NK[torch.tensor(rows, dtype=torch.long, device=self.probs_NK.device)]
        at = probs.argmax(-1) if self._cold else draw(probs, generator)
        chosen = probs.gather(-1, at[:, None])[:, 0]
        if self._ids is None:
            return at, chosen
        own = self._ids[torch.tensor(rows, dtype=torch.long, device=self._ids.device)]
        return own.gather(-1, at[:, None])[:, 0], chosen


def draw(probs_NV: Tensor, generator: torch.Generator | None) -> Tensor:
    """One id [N] from each row of probabilities, drawn where they are; the generator may live on
    another device, of which then one number a row is fetched."""
    if generator is None or generator.device == probs_NV.device:
        return torch.multinomial(probs_NV, 1, replacement=True, generator=generator)[:, 0]
    mass = probs_NV.double().cumsum(-1)
    lots = uniform(len(probs_NV), probs_NV.device, generator).double()[:, None] * mass[:, -1:]
    ids = (mass <= lots).sum(-1)
    last = probs_NV.shape[-1] - 1 - (probs_NV.flip(-1) > 0).int().argmax(-1)
    return torch.minimum(ids, last)


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
    precision: Precision = "float32",
) -> tuple[Tensor, Tensor]:
    """An id [N] for every masked position and the confidence [N] that decides who goes first.

    Confidence is p(id) for `maskgit_plus` (and `origin`), p1 - p2 for `topk_margin`, the negative
    entropy for `entropy`; computed in float32, or with `precision` "model" in the logits' dtype.
    """
    if precision == "model":
        return _choose_as_given(logits_NV, temperature, top_p, top_k, alg, generator)
    short = Shortlist(logits_NV, temperature=temperature, top_p=top_p, top_k=top_k)
    ids, own = short.draw(range(len(logits_NV)), generator)
    return ids, own if alg in ("origin", "maskgit_plus") else short.confidence(alg)


def _choose_as_given(
    logits_NV: Tensor, temperature: float, top_p: float | None, top_k: int | None, alg: str,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Every step in the dtype of the logits, in the order of the reference implementation."""
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
