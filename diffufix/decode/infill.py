"""`infill`: many fills of one hole in one batch, of free length.

The loop, once a step, for every hole that still has masks:
1. one forward pass over the distinct holes, logits at their masks only;
2. an id and a confidence for every mask (tokens.py);
3. the most confident masks are committed: tokens stay, `<expand>` becomes two masks, `<delete>`
   removes its mask (`eos`, where it deletes, removes every later mask of the hole too).
N masked positions of all holes together, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffufix.decode.cached import CachedDenoiser
from diffufix.decode.denoiser import Denoiser, InlineDenoiser, family_of
from diffufix.decode.lengths import choose_lengths
from diffufix.decode.tokens import check_algorithm, choose, gumbel, uniform
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.types import Canvas, Commit, Fill

#: (step, the ids of every hole, masks included): for a live display.
Hook = Callable[[int, list[list[int]]], None]

_CHUNK = 2**26  # logits held at once, in numbers


@dataclass(frozen=True)
class Rule:
    """How ids are drawn and how many masks a step commits."""

    temperature: float
    top_p: float | None
    top_k: int | None
    alg: str
    alg_temp: float
    tokens_per_step: int
    threshold: float | None
    steps: int | None
    generator: torch.Generator | None

    def quota(self, masks: int, step: int) -> int:
        """How many of a hole's masks this step commits at least."""
        if self.steps is None:
            return self.tokens_per_step
        return max(self.tokens_per_step, math.ceil(masks / max(1, self.steps - step)))


@dataclass
class Row:
    """One hole while it is being filled; the three lists run along the hole."""

    ids: list[int]
    budget: int  # `<expand>` that may still be committed
    logps: list[float] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    trace: list[Commit] = field(default_factory=list)
    steps: int = 0

    def __post_init__(self) -> None:
        self.logps, self.order = [0.0] * len(self.ids), [-1] * len(self.ids)

    def masks(self, mask: int) -> list[int]:
        return [index for index, token in enumerate(self.ids) if token == mask]

    def commit(self, picks: Sequence[tuple[int, int, float]], step: int, family: Family) -> None:
        """Commit (position, token, logp), the most confident first, then splice."""
        cut = len(self.ids)
        if family.delete_reaches_right:
            ends = [position for position, token, _ in picks if token == family.delete]
            cut = min(ends, default=cut)
        splices: dict[int, list[int]] = {}
        for position, token, logp in picks:
            if position > cut or (token == family.expand and self.budget == 0):
                continue
            self.trace.append(Commit(step, position, token, logp))
            if token == family.expand:
                self.budget -= 1
                splices[position] = [family.mask, family.mask]
            elif token == family.delete:
                splices[position] = []
            else:
                self.ids[position] = token
                self.logps[position], self.order[position] = logp, len(self.trace) - 1
        if cut < len(self.ids):
            splices |= {p: [] for p in self.masks(family.mask) if p > cut}
        for position in sorted(splices, reverse=True):
            new = splices[position]
            self.ids[position : position + 1] = new
            self.logps[position : position + 1] = [0.0] * len(new)
            self.order[position : position + 1] = [-1] * len(new)

    def fill(self) -> Fill:
        return Fill(
            ids=tuple(self.ids),
            logps=tuple(self.logps),
            order=tuple(self.order),
            logp=sum(commit.logp for commit in self.trace),
            steps=self.steps,
            trace=tuple(self.trace),
        )


@torch.no_grad()
def infill(
    model: Transformer | None,
    canvas: Canvas,
    n: int,
    *,
    lengths: Sequence[int] | None = None,
    max_tokens: int = 64,
    temperature: float = 0.2,
    top_p: float | None = None,
    top_k: int | None = None,
    alg: str = "entropy",
    alg_temp: float = 0.0,
    tokens_per_step: int = 1,
    threshold: float | None = None,
    steps: int | None = None,
    generator: torch.Generator | None = None,
    hook: Hook | None = None,
    family: Family | None = None,
    denoiser: Denoiser | None = None,
    refresh: int | None = None,
) -> list[Fill]:
    """`n` fills of the canvas's hole, in the order of the batch; equal ones are not merged.

    `lengths` are the holes' first lengths, dealt out in turn; None lets lengths.py choose them.
    Families with `<expand>` and `<delete>` change them while decoding, up to `max_tokens` in
    all. Each step commits `tokens_per_step` masks of a hole, and with `threshold` also all whose
    probability exceeds it; `steps` bounds the passes for families of fixed length. `refresh`
    shares one context among the fills (cached.py: faster, approximate) and renews it after so
    many passes, 0 never; None is exact. A `denoiser` takes the place of all that (then `model`
    may be None). Raises UsageError.
    """
    check_algorithm(alg)
    if n < 1 or tokens_per_step < 1 or max_tokens < 1 or (steps is not None and steps < 1):
        raise UsageError("n, max_tokens, tokens_per_step and steps must be at least 1.")
    if denoiser is None:
        if model is None:
            raise UsageError("infill needs a model or a denoiser.")
        denoiser = _denoiser(model, canvas, family, refresh)
    if lengths is None:
        lengths = choose_lengths(denoiser, canvas, n, max_tokens)
    if not lengths or not all(0 <= length <= max_tokens for length in lengths):
        raise UsageError(f"lengths must lie between 0 and max_tokens ({max_tokens}).")
    rule = Rule(
        temperature, top_p, top_k, alg, alg_temp, tokens_per_step, threshold, steps, generator
    )
    mask = denoiser.family.mask
    dealt = [lengths[index % len(lengths)] for index in range(n)]
    rows = [Row([mask] * length, budget=max_tokens - length) for length in dealt]
    step = 0
    while live := [row for row in rows if mask in row.ids]:
        for part in _chunks(live, denoiser):
            _advance(part, denoiser, rule, step)
        step += 1
        if hook:
            hook(step, [list(row.ids) for row in rows])
    return [row.fill() for row in rows]


def _denoiser(
    model: Transformer, canvas: Canvas, family: Family | None, refresh: int | None
) -> Denoiser:
    if family_of(model, family).layout == "aside":
        from diffufix.decode.aside import AsideDenoiser  # not needed by the others

        aside: Denoiser = AsideDenoiser(model, canvas, family)
        return aside
    if refresh is not None:
        return CachedDenoiser(model, canvas, family, refresh=refresh)
    return InlineDenoiser(model, canvas, family)


def _chunks(rows: list[Row], denoiser: Denoiser) -> Iterator[list[Row]]:
    """Rows in groups whose logits fit into memory; equal holes stay together."""
    rows = sorted(rows, key=lambda row: row.ids)
    part: list[Row] = []
    numbers = 0
    for row in rows:
        more = len(row.masks(denoiser.family.mask)) * denoiser.vocab_size
        if part and numbers + more > _CHUNK:
            yield part
            part, numbers = [], 0
        part.append(row)
        numbers += more
    yield part


def _advance(rows: list[Row], denoiser: Denoiser, rule: Rule, step: int) -> None:
    """One step for these rows."""
    family = denoiser.family
    logits_NV = _logits(rows, denoiser)
    if family.expand is not None:
        spent = [row.budget == 0 for row in rows for _ in row.masks(family.mask)]
        logits_NV[torch.tensor(spent), family.expand] = -torch.inf
    ids_N, confidence_N = choose(
        logits_NV,
        temperature=rule.temperature,
        top_p=rule.top_p,
        top_k=rule.top_k,
        alg=rule.alg,
        generator=rule.generator,
    )
    logps_N = logits_NV.gather(-1, ids_N[:, None])[:, 0] - logits_NV.logsumexp(-1)
    device = confidence_N.device
    if rule.alg == "origin":
        confidence_N = uniform(len(ids_N), device, rule.generator)
    elif rule.alg_temp:
        noise = gumbel(len(ids_N), device, rule.generator)
        confidence_N = confidence_N / rule.alg_temp + noise
    ids, confidence, logps = ids_N.tolist(), confidence_N.tolist(), logps_N.tolist()
    at = 0
    for row in rows:
        places = row.masks(family.mask)
        ranked = sorted(range(at, at + len(places)), key=lambda i: -confidence[i])
        quota = rule.quota(len(places), step)
        picks = [
            (places[i - at], ids[i], logps[i])
            for rank, i in enumerate(ranked)
            if rank < quota or (rule.threshold is not None and math.exp(logps[i]) > rule.threshold)
        ]
        row.steps += 1
        row.commit(picks, step, family)
        at += len(places)


def _logits(rows: list[Row], denoiser: Denoiser) -> Tensor:
    """Float32 logits [N, V] at the masks of every row, banned ids at -inf.

    Equal holes are computed once: at low temperature most samples agree for most of the way.
    """
    distinct = list(dict.fromkeys(tuple(row.ids) for row in rows))
    logits = denoiser.logits(distinct).float()
    logits[:, list(denoiser.banned)] = -torch.inf
    spans, at = {}, 0
    for hole in distinct:
        count = hole.count(denoiser.family.mask)
        spans[hole] = range(at, at + count)
        at += count
    if len(distinct) == len(rows):
        return logits
    return logits[torch.tensor([i for row in rows for i in spans[tuple(row.ids)]])]
