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

from diffufix.decode.context import Context, open_context
from diffufix.decode.lengths import choose_lengths
from diffufix.decode.tokens import Shortlist, check_algorithm, gumbel, uniform
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
    window: int = 0  # masks are committed within the first so many places that hold one; 0: all

    def quota(self, masks: int, step: int) -> int:
        """How many of a hole's masks this step commits at least."""
        if self.steps is None:
            return self.tokens_per_step
        return max(self.tokens_per_step, math.ceil(masks / max(1, self.steps - step)))


@dataclass
class PartialFill:
    """One hole while it is being filled; the three lists run along the hole."""

    ids: list[int]
    budget: int  # `<expand>` that may still be committed
    forced: tuple[int, ...] | None = None  # what is committed, whatever is drawn
    prompt: int = 0  # of the context's
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
    context: Context | None = None,
    refresh: int | None = None,
    forced: Sequence[int] | None = None,
) -> list[Fill]:
    """`n` fills of the canvas's hole, in the order of the batch; equal ones are not merged.

    `lengths` are the holes' first lengths, dealt out in turn; None lets lengths.py choose them.
    Families with `<expand>` and `<delete>` change them while decoding, up to `max_tokens` in
    all. Each step commits `tokens_per_step` masks of a hole, and with `threshold` also all whose
    probability exceeds it; `steps` bounds the passes for families of fixed length. `refresh`
    shares one encoding of the surroundings among the fills (in_place.py: faster, approximate) and
    renews it after so many passes, 0 never; None is exact. A `context` of one prompt takes the
    place of all that (then `model` may be None). `forced` are ids that one more hole, the last one
    of the result, is filled with, in the order in which their places are the most confident: its
    likelihood is that of these ids as a fill. Raises UsageError.
    """
    check_algorithm(alg)
    if n < 1 or tokens_per_step < 1 or max_tokens < 1 or (steps is not None and steps < 1):
        raise UsageError("n, max_tokens, tokens_per_step and steps must be at least 1.")
    if context is None:
        if model is None:
            raise UsageError("infill needs a model or a context.")
        context = open_context(model, [canvas], family=family, refresh=refresh)
    if lengths is None:
        lengths = choose_lengths(context, canvas, n, max_tokens)
    if not lengths or not all(0 <= length <= max_tokens for length in lengths):
        raise UsageError(f"lengths must lie between 0 and max_tokens ({max_tokens}).")
    rule = Rule(
        temperature, top_p, top_k, alg, alg_temp, tokens_per_step, threshold, steps, generator
    )
    mask = context.family.mask
    dealt = [lengths[index % len(lengths)] for index in range(n)]
    rows = [PartialFill([mask] * length, budget=max_tokens - length) for length in dealt]
    if forced:
        rows.append(PartialFill([mask] * len(forced), budget=0, forced=tuple(forced)))
    step = 0
    while live := [row for row in rows if mask in row.ids]:
        for part in chunks(live, context):
            advance(part, context, rule, step)
        step += 1
        if hook:
            hook(step, [list(row.ids) for row in rows])
    return [row.fill() for row in rows]


def chunks(rows: list[PartialFill], context: Context) -> Iterator[list[PartialFill]]:
    """Rows in groups whose logits fit into memory; equal holes stay together."""
    rows = sorted(rows, key=lambda row: row.ids)
    part: list[PartialFill] = []
    numbers = 0
    for row in rows:
        more = len(row.masks(context.family.mask)) * context.vocab_size
        if part and numbers + more > _CHUNK:
            yield part
            part, numbers = [], 0
        part.append(row)
        numbers += more
    yield part


def advance(rows: list[PartialFill], context: Context, rule: Rule, step: int) -> None:
    """One step for these rows. Equal holes are computed once: at low temperature most samples agree
    for most of the way. Ids are drawn for the masks that are committed alone."""
    family = context.family
    keys = [
        (row.prompt, tuple(row.ids), family.expand is not None and row.budget == 0) for row in rows
    ]
    distinct = list(dict.fromkeys(keys))
    logits_NV = context.logits([(prompt, hole) for prompt, hole, _ in distinct]).float()
    logits_NV[:, list(context.banned)] = -torch.inf
    spans, at, spent = {}, 0, []
    for key in distinct:
        count = key[1].count(family.mask)
        spans[key] = range(at, at + count)
        spent += [key[2]] * count
        at += count
    if family.expand is not None and any(spent):
        logits_NV[torch.tensor(spent), family.expand] = -torch.inf
    where = [i for key in keys for i in spans[key]]  # of every mask of every row
    short = Shortlist(logits_NV, temperature=rule.temperature, top_p=rule.top_p, top_k=rule.top_k)
    drawn = None
    if rule.threshold is not None or (rule.alg == "maskgit_plus" and rule.temperature > 0):
        drawn = _drawn(short, logits_NV, where, rule)
    confidence = _confidence(short, drawn, where, rule)
    picks = _picks(rows, confidence, drawn, rule, family, step)
    flat = [i for chosen in picks for i in chosen]
    if drawn is None:
        ids, logps, _ = _drawn(short, logits_NV, [where[i] for i in flat], rule)
    else:
        ids, logps = [drawn[0][i] for i in flat], [drawn[1][i] for i in flat]
    _force(rows, picks, where, logits_NV, ids, logps, family.mask)
    commits = iter(zip(ids, logps, strict=True))
    at = 0
    for row, chosen in zip(rows, picks, strict=True):
        places = row.masks(family.mask)
        row.steps += 1
        row.commit([(places[i - at], *next(commits)) for i in chosen], step, family)
        at += len(places)


def _force(
    rows: Sequence[PartialFill], picks: Sequence[Sequence[int]], where: Sequence[int],
    logits_NV: Tensor, ids: list[int], logps: list[float], mask: int,
) -> None:  # fmt: skip
    """Put what forced rows are filled with in place of what was drawn for them."""
    at = masks = 0
    for row, chosen in zip(rows, picks, strict=True):
        places = row.masks(mask)
        if row.forced is not None:
            for number, i in enumerate(chosen, start=at):
                token, line = row.forced[places[i - masks]], logits_NV[where[i]]
                ids[number], logps[number] = token, float(line[token] - line.logsumexp(-1))
        at, masks = at + len(chosen), masks + len(places)


#: Ids, their log-probabilities (untruncated, temperature 1) and those in the shortlist.
_Drawn = tuple[list[int], list[float], list[float]]


def _drawn(short: Shortlist, logits_NV: Tensor, rows: Sequence[int], rule: Rule) -> _Drawn:
    ids, own = short.draw(rows, rule.generator)
    lines = logits_NV[torch.tensor(rows, dtype=torch.long, device=logits_NV.device)]
    logps = lines.gather(-1, ids[:, None])[:, 0] - lines.logsumexp(-1)
    return ids.tolist(), logps.tolist(), own.tolist()


def _confidence(
    short: Shortlist, drawn: _Drawn | None, where: Sequence[int], rule: Rule
) -> list[float]:
    """Of every mask of every row."""
    device = short.probs_NK.device
    if rule.alg == "origin":
        return uniform(len(where), device, rule.generator).tolist()
    if rule.alg == "maskgit_plus" and drawn is not None:
        values = drawn[2]
    else:
        every = short.confidence(rule.alg).tolist()
        values = [every[i] for i in where]
    if not rule.alg_temp:
        return values
    noise = gumbel(len(where), device, rule.generator).tolist()
    return [value / rule.alg_temp + n for value, n in zip(values, noise, strict=True)]


def _picks(
    rows: Sequence[PartialFill], confidence: Sequence[float], drawn: _Drawn | None, rule: Rule,
    family: Family, step: int,
) -> list[list[int]]:  # fmt: skip
    """Of every row, which of all masks it commits, the most confident first."""
    found = []
    at = 0
    for row in rows:
        places = row.masks(family.mask)
        masks = len(places)
        near = masks
        if rule.window:
            part = places[0] // rule.window
            near = sum(place // rule.window == part for place in places)
        ranked = sorted(range(at, at + near), key=lambda i: -confidence[i])
        quota = rule.quota(masks, step)
        sure = [
            i for i in ranked[quota:]
            if rule.threshold is not None and drawn and math.exp(drawn[1][i]) > rule.threshold
        ]  # fmt: skip
        found.append([*ranked[:quota], *sure])
        at += masks
    return found
