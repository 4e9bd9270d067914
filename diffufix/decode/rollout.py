"""`rollout`: complete groups of samples of many prompts, all of them advanced in one pass a step.

What is sampled is what is learned from, so the rules are few. A completion has exactly as many
ids as its canvas has places: `<expand>` is never drawn, and a place whose id is `<delete>` leaves
the hole that the model sees from then on (`eos`, where that deletes, takes all later masks of the
hole along). In the end the deleted places stand behind the others. N masked places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.decode.context import Context, open_context
from diffufix.decode.context.views import family_of, never
from diffufix.decode.tokens import check_algorithm, draw, keep_top_p, uniform
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer
from diffufix.types import Prompt

_TOGETHER = 32  # prompts of one pass
_NUMBERS = 2**26  # of logits held at once


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn: at temperature 0 always the likeliest id.

    `alg` decides which masks a step commits (tokens.py). Likelihoods (likelihood.py) are those at
    `temperature` and without `top_p`: with it they are not quite those of what is sampled.
    """

    temperature: float = 1.0
    top_p: float | None = None
    alg: str = "entropy"
    tokens_per_step: int = 1


@dataclass(frozen=True)
class Sampled:
    """One completion. `ids` fill the canvas; `order` says of each how many commits came before
    its own (equal ones went together); `steps` counts forward passes."""

    ids: tuple[int, ...]
    order: tuple[int, ...]
    steps: int


class _Row:
    """A completion on its way: an id of every place, `mask` where there is none yet."""

    __slots__ = ("commits", "ids", "order", "prompt", "steps")

    def __init__(self, prompt: int, width: int, mask: int) -> None:
        self.prompt, self.ids, self.order = prompt, [mask] * width, [0] * width
        self.commits = self.steps = 0

    def hole(self, family: Family) -> tuple[int, ...]:
        return tuple(token for token in self.ids if token != family.delete)

    def commit(self, picks: Sequence[tuple[int, int]], family: Family) -> None:
        """Commit (which mask of the hole, id), the most confident first."""
        masks = [i for i, token in enumerate(self.ids) if token == family.mask]
        self.steps += 1
        for which, token in picks:
            place = masks[which]
            if self.ids[place] != family.mask:  # deleted by an earlier one
                continue
            ended = token == family.delete and family.delete_reaches_right
            for taken in [i for i in masks if i >= place] if ended else [place]:
                if self.ids[taken] == family.mask:
                    self.ids[taken], self.order[taken] = token, self.commits
            self.commits += 1

    def sampled(self, family: Family) -> Sampled:
        last = sorted(range(len(self.ids)), key=lambda i: self.ids[i] == family.delete)
        ids, order = (tuple(values[i] for i in last) for values in (self.ids, self.order))
        return Sampled(ids, order, self.steps)


@torch.inference_mode()
def rollout(
    model: Transformer,
    prompts: Sequence[Prompt],
    n: int,
    sampling: Sampling | None = None,
    generator: torch.Generator | None = None,
    *,
    family: Family | None = None,
) -> list[list[Sampled]]:
    """`n` completions of every prompt, in the order of `prompts`.

    The same arguments give the same completions; another batch of prompts uses the generator's
    numbers otherwise. Raises UsageError.
    """
    sampling = sampling or Sampling()
    check_algorithm(sampling.alg)
    if n < 1 or sampling.tokens_per_step < 1 or any(prompt.width < 1 for prompt in prompts):
        raise UsageError("n, tokens_per_step and the width of every prompt must be at least 1.")
    known = family_of(model, family)
    result: list[list[Sampled]] = [[] for _ in prompts]
    for part in _parts(prompts):
        context = open_context(model, [prompts[i] for i in part], family=known)
        bias = never(model, known)
        rows = [
            _Row(i, prompts[at].width, known.mask) for i, at in enumerate(part) for _ in range(n)
        ]
        while live := [row for row in rows if known.mask in row.ids]:
            for some in _chunks(live, model.config.vocab_size):
                _advance(context, bias, some, sampling, generator)
        for row in rows:
            result[part[row.prompt]].append(row.sampled(known))
    return result


def _parts(prompts: Sequence[Prompt]) -> Iterator[list[int]]:
    """Indices of prompts that go together: of like width, then of like length."""

    def size(i: int) -> tuple[int, int]:
        prompt = prompts[i]
        around = len(prompt.left) + len(prompt.right) + len(prompt.failure)
        return prompt.width, around + 2 * len(prompt.original)

    order = sorted(range(len(prompts)), key=size)
    for begin in range(0, len(order), _TOGETHER):
        yield order[begin : begin + _TOGETHER]


def _chunks(rows: Sequence[_Row], vocabulary: int) -> Iterator[list[_Row]]:
    """Rows whose logits fit into memory."""
    part: list[_Row] = []
    numbers = 0
    for row in rows:
        more = len(row.ids) * vocabulary
        if part and numbers + more > _NUMBERS:
            yield part
            part, numbers = [], 0
        part.append(row)
        numbers += more
    yield part


def _advance(
    context: Context,
    bias_V: Tensor,
    rows: Sequence[_Row],
    sampling: Sampling,
    generator: torch.Generator | None,
) -> None:
    """One step of these rows; equal holes of a prompt are computed once."""
    family = context.family
    holes = [(row.prompt, row.hole(family)) for row in rows]
    distinct = list(dict.fromkeys(holes))
    logits_NV = context.logits(distinct).float() + bias_V
    if sampling.temperature > 0:
        logits_NV /= sampling.temperature
    if sampling.top_p is not None and sampling.top_p < 1:
        logits_NV = keep_top_p(logits_NV, sampling.top_p)
    spans, at = {}, 0
    for asked in distinct:
        count = asked[1].count(family.mask)
        spans[asked] = range(at, at + count)
        at += count
    where = [i for asked in holes for i in spans[asked]]  # of every mask of every row
    confidence, ids = _ranked(logits_NV, where, sampling, generator)
    picks: list[tuple[list[int], list[int]]] = []  # of every row: which masks, their logits' rows
    at = 0
    for asked in holes:
        span = spans[asked]
        order = sorted(range(len(span)), key=lambda i, at=at: -confidence[at + i])  # type: ignore[misc]
        chosen = order[: sampling.tokens_per_step]
        picks.append((chosen, [at + i for i in chosen]))
        at += len(span)
    wanted = [i for _, masks in picks for i in masks]
    if ids is None:
        lines = torch.tensor([where[i] for i in wanted], device=logits_NV.device)
        tokens = iter(_draw(logits_NV[lines], sampling, generator).tolist())
    else:
        tokens = iter([ids[i] for i in wanted])
    for row, (chosen, _) in zip(rows, picks, strict=True):
        row.commit([(which, next(tokens)) for which in chosen], family)


def _ranked(
    logits_NV: Tensor,
    where: Sequence[int],
    sampling: Sampling,
    generator: torch.Generator | None,
) -> tuple[list[float], list[int] | None]:
    """The confidence of every mask of every row, and the ids where it depends on them."""
    device = logits_NV.device
    if sampling.alg == "origin":
        return uniform(len(where), device, generator).tolist(), None
    if sampling.alg == "maskgit_plus":
        every_MV = logits_NV[torch.tensor(where, device=device)]
        ids_M = _draw(every_MV, sampling, generator)
        logps_M = every_MV.gather(-1, ids_M[:, None])[:, 0] - every_MV.logsumexp(-1)
        return logps_M.tolist(), ids_M.tolist()
    logps_NV = logits_NV.log_softmax(-1)
    if sampling.alg == "topk_margin":
        first, second = logps_NV.topk(2, dim=-1).values.exp().unbind(-1)
        confidence = (first - second).tolist()
    else:
        confidence = torch.einsum("nv,nv->n", logps_NV.exp(), logps_NV).tolist()
    return [confidence[i] for i in where], None


def _draw(logits_NV: Tensor, sampling: Sampling, generator: torch.Generator | None) -> Tensor:
    if sampling.temperature == 0:
        return logits_NV.argmax(-1)
    return draw(logits_NV.softmax(-1), generator)
