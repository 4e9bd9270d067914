"""Holes beside encoded contexts (layout.py): any number of contexts and holes in one pass.

What was there (`was ORIGINAL now`) is encoded when a hole is first asked about and its keys and
values are kept; from then on a hole costs its fill's tokens. N masked positions of all holes
together, V vocabulary, B holes, W tokens of what was there, M the same of all holes of a context,
L layers, K key/value heads, E head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.decode.context.views import family_of
from diffufix.decode.edits import operations_of
from diffufix.decode.layout import context_ids, fill_segment, was_segment
from diffufix.errors import UsageError
from diffufix.model.beside import PrefixGroup, denoise
from diffufix.model.family import Family
from diffufix.model.transformer import Transformer


@dataclass(frozen=True)
class HoleSpan:
    """Where a hole is in an encoded context: positions [start, end), and the ids shown of it."""

    start: int
    end: int
    original: tuple[int, ...]


class AsideContext:
    """Keys and values of one context and of what was there in its holes."""

    def __init__(
        self, model: Transformer, ids: Sequence[int], family: Family | None = None,
        failure: Sequence[int] = (),
    ) -> None:  # fmt: skip
        self.model = model
        self.family = family_of(model, family)
        if not self.family.appended or self.family.was is None:
            raise UsageError(f"{self.family.name} does not read holes beside their context.")
        self.banned: tuple[int, ...] = getattr(model, "banned", tuple(self.family.specials))
        self.vocab_size = model.config.vocab_size
        shown = torch.tensor([context_ids(self.family, ids, failure)], device=model.device)
        hidden_1CD, self.cache = model.hidden(shown)
        self._copied: tuple[Tensor, Tensor] | None = None  # keys and ids, for the copying head
        if model.copy is not None:
            self._copied = model.copy.k_proj(hidden_1CD[0]), shown[0]
        #: Of each token of `ids`, and of the one behind them, what a fix does with it (edits.py).
        self.edits = operations_of(model, hidden_1CD[0, 1 : len(ids) + 2])
        self._past: Tensor | None = None  # [M, L, 2, K, E]
        self._spans: dict[HoleSpan, range] = {}  # of each place in it

    def logits(self, places: Sequence[HoleSpan], holes: Sequence[Sequence[int]]) -> Tensor:
        """Logits [N, V] at every mask, hole by hole, left to right."""
        return logits([Asked(self, *both) for both in zip(places, holes, strict=True)])

    def past(self, places: Sequence[HoleSpan]) -> tuple[Tensor, Tensor]:
        """Keys and values [B, W, L, 2, K, E] of what was there, and which of them count [B, W]."""
        self._remember([p for p in dict.fromkeys(places) if p not in self._spans])
        assert self._past is not None
        spans = [self._spans[place] for place in places]
        width = max(map(len, spans))
        at_BW = [[*span, *[span.start] * (width - len(span))] for span in spans]
        seen_BW = [[i < len(span) for i in range(width)] for span in spans]
        device = self._past.device
        return self._past[torch.tensor(at_BW, device=device)], torch.tensor(seen_BW, device=device)

    def _remember(self, places: Sequence[HoleSpan]) -> None:
        if not places:
            return
        rows = [was_segment(self.family, p.original, p.start) for p in places]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
        groups = [PrefixGroup(self.cache, 1, len(rows[i][0])) for i in order]
        ids, positions = _joined([rows[i] for i in order], self.model.device)
        own = denoise(self.model, ids, positions, groups)[1]
        at = 0 if self._past is None else len(self._past)
        for i in order:
            self._spans[places[i]] = range(at, at + len(rows[i][0]))
            at += len(rows[i][0])
        self._past = own if self._past is None else torch.cat([self._past, own])

    def mixed(self, logits_NV: Tensor, hidden_ND: Tensor) -> Tensor:
        """With what may be copied from this context, if the model copies."""
        if self._copied is None or self.model.copy is None:
            return logits_NV
        keys, ids = self._copied
        return self.model.copy(logits_NV, hidden_ND, keys, ids, torch.ones_like(ids).bool())


@dataclass(frozen=True)
class Asked:
    """A hole, masks included, at a place of a context."""

    context: AsideContext
    place: HoleSpan
    hole: Sequence[int]


def logits(asked: Sequence[Asked]) -> Tensor:
    """Logits [N, V] at every mask, hole by hole, left to right. One model has all contexts."""
    model, family = asked[0].context.model, asked[0].context.family
    rows = [fill_segment(family, a.place.start, a.place.end, a.hole) for a in asked]
    members: dict[tuple[int, int], list[int]] = {}
    for index, a in enumerate(asked):
        members.setdefault((id(a.context), len(a.hole)), []).append(index)
    groups: list[PrefixGroup] = []
    order: list[int] = []
    for alike in members.values():
        context = asked[alike[0]].context
        past, seen = context.past([asked[i].place for i in alike])
        groups.append(PrefixGroup(context.cache, len(alike), len(rows[alike[0]][0]), past, seen))
        order += alike
    ids_N, positions_N = _joined([rows[i] for i in order], model.device)
    hidden_ND, _ = denoise(model, ids_N, positions_N, groups)
    begins, at = {}, 0
    for i in order:
        begins[i] = at
        at += len(rows[i][0])
    masks = [
        begins[index] + place
        for index, a in enumerate(asked)
        for place, token in enumerate(a.hole)
        if token == family.mask
    ]
    chosen_ND = hidden_ND[torch.tensor(masks, dtype=torch.long, device=model.device)]
    logits_NV = model.lm_head(chosen_ND)
    contexts = {id(a.context): a.context for a in asked}
    if model.copy is None:
        return logits_NV
    if len(contexts) == 1:
        return asked[0].context.mixed(logits_NV, chosen_ND)
    owners = [id(a.context) for a in asked for token in a.hole if token == family.mask]
    logits_NV = logits_NV.float()
    for key, context in contexts.items():
        mine = torch.tensor([i for i, owner in enumerate(owners) if owner == key])
        mine = mine.to(model.device)
        logits_NV[mine] = context.mixed(logits_NV[mine], chosen_ND[mine])
    return logits_NV


def _joined(
    rows: Sequence[tuple[Sequence[int], Sequence[int]]], device: torch.device
) -> tuple[Tensor, Tensor]:
    ids = [token for row, _ in rows for token in row]
    positions = [position for _, row in rows for position in row]
    return torch.tensor(ids, device=device), torch.tensor(positions, device=device)
