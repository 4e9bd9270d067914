"""Holes between their two sides, in one sequence: exact, or with the sides computed once for all.

In a bidirectional model the sides see the hole. The exact way computes the whole sequence for every
hole. The fast way (`refresh`) computes the sides' keys and values once for each length of a hole
and lets all fills share them: then only the hole is computed, with the one position left of it
where the family is shifted, and of the hole only what is new (kept.py). All of it is renewed every
`refresh` passes, around a hole that holds what all fills agree on, and masks elsewhere. So the
first pass is exact, and with `refresh=1` every pass in which the holes of a length are equal.

Rows of any length go through together, at most TOKENS of them in a pass. R rows, T positions of a
row, D width, N masked positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from diffufix.decode.context.kept import KEPT, CachedHole, kept_rows, nearest, new_rows, renewed
from diffufix.decode.context.views import View, table
from diffufix.decode.types import Asked
from diffufix.errors import UsageError
from diffufix.model.beside import PrefixGroup, states
from diffufix.model.family import Family
from diffufix.model.transformer import Cache, Transformer, padded

TOKENS = 32_768  # of one pass: memory


class InPlaceContext:
    """The `Context` of families that read a hole within its sequence."""

    def __init__(
        self,
        model: Transformer,
        family: Family,
        views: Sequence[View],
        banned: tuple[int, ...],
        refresh: int | None = None,
    ) -> None:
        if family.shift and not all(view.left for view in views):
            raise UsageError(
                "A hole has nothing on its left to be predicted from.",
                "Begin the canvas with the model's bos or eos id.",
            )
        self.model, self.family, self.banned = model, family, banned
        self.vocab_size = model.config.vocab_size
        self._views, self._refresh, self._passes = views, refresh, 0
        self._back = int(family.shift)  # positions left of a hole that are computed with it
        #: Keys and values of both sides, by prompt and length of the hole.
        self._sides: dict[tuple[int, int], Cache] = {}
        self._kept: dict[tuple[int, int], list[CachedHole]] = {}

    @staticmethod
    def positions(around: int, hole: int, passes: int) -> int:
        """See `positions_of`."""
        return passes * (hole + around)

    def logits(self, holes: Sequence[Asked]) -> Tensor:
        """See `Context.logits`."""
        if self._refresh is None:
            return torch.cat([self._exact(part) for part in self._parts(holes)])
        return self._shared(holes)

    # -- exact -------------------------------------------------------------------------------------

    def _parts(self, holes: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
        """Rows of which one pass computes at most TOKENS, padding included."""
        begin, width = 0, 0
        for at, (prompt, hole) in enumerate(holes):
            view = self._views[prompt]
            wider = max(width, len(view.left) + len(hole) + len(view.right))
            if at > begin and wider * (at - begin + 1) > TOKENS:
                yield holes[begin:at]
                begin, wider = at, len(view.left) + len(hole) + len(view.right)
            width = wider
        yield holes[begin:]

    def _exact(self, holes: Sequence[Asked]) -> Tensor:
        where = []
        for row, (prompt, hole) in enumerate(holes):
            first = len(self._views[prompt].left) - self._back
            where += [(row, first + i) for i, t in enumerate(hole) if t == self.family.mask]
        hidden_RTD, _ = self._whole(holes)
        at_N2 = torch.tensor(where, device=self.model.device).view(-1, 2)
        return self.model.lm_head(hidden_RTD[at_N2[:, 0], at_N2[:, 1]])

    def _whole(self, holes: Sequence[Asked]) -> tuple[Tensor, Cache]:
        """Hidden states [R, T, D], keys and values of whole sequences, padded on the right."""
        device = self.model.device
        rows = [
            [*self._views[prompt].left, *hole, *self._views[prompt].right]
            for prompt, hole in holes
        ]  # fmt: skip
        ids_RT = table(rows, self.family.pad or 0).to(device)
        lengths_R1 = torch.tensor([[len(row)] for row in rows], device=device)
        keep_RT = torch.arange(ids_RT.shape[1], device=device) < lengths_R1
        positions, seen = (None, None) if bool(keep_RT.all()) else padded(keep_RT)
        return self.model.hidden(ids_RT, positions, seen)

    # -- with shared sides -------------------------------------------------------------------------

    def _shared(self, holes: Sequence[Asked]) -> Tensor:
        if self._refresh and self._passes % self._refresh == 0:
            self._sides.clear()
            self._kept.clear()
        self._passes += 1
        alike: dict[tuple[int, int], list[int]] = {}
        for index, (prompt, hole) in enumerate(holes):
            alike.setdefault((prompt, len(hole)), []).append(index)
        found: dict[int, Tensor] = {}  # by hole: hidden states [N, D] of its masks' rows
        later: list[tuple[tuple[int, int], list[int]]] = []
        for key, members in alike.items():
            rest = members
            if key not in self._sides:
                agreed, hidden_TD = self._encode(key, [holes[i][1] for i in members])
                rest = []
                for i in members:  # those that are what was encoded around are answered by it
                    if tuple(holes[i][1]) == agreed:
                        found[i] = self._masked(hidden_TD, agreed)
                    else:
                        rest.append(i)
            if rest:
                later.append((key, rest))
        self._beside(later, holes, found)
        chosen_ND = torch.cat([found[i] for i in range(len(holes))])
        return self.model.lm_head(chosen_ND)

    def _masked(self, hidden_TD: Tensor, hole: Sequence[int]) -> Tensor:
        """Of the rows that predict a hole, those of its masks."""
        masks = [i for i, token in enumerate(hole) if token == self.family.mask]
        return hidden_TD[torch.tensor(masks, dtype=torch.long, device=hidden_TD.device)]

    def _encode(
        self, key: tuple[int, int], holes: Sequence[Sequence[int]]
    ) -> tuple[tuple[int, ...], Tensor]:
        """Keep the sides' keys and values; the hole that stood between them and the hidden states
        [T, D] that predict it."""
        prompt, length = key
        first, *others = holes
        agreed = tuple(
            token if all(other[i] == token for other in others) else self.family.mask
            for i, token in enumerate(first)
        )
        hidden_1TD, cache = self._whole([(prompt, agreed)])
        start = len(self._views[prompt].left)
        own, end = start - self._back, start + length
        self._sides[key] = [
            (
                torch.cat([keys[:, :, :own], keys[:, :, end:]], dim=2),
                torch.cat([values[:, :, :own], values[:, :, end:]], dim=2),
            )
            for keys, values in cache
        ]
        own_LKRE = torch.stack(
            [torch.stack([x[0, :, own:end] for x in pair]) for pair in cache]
        )  # fmt: skip
        self._kept[key] = [CachedHole(agreed, own_LKRE.permute(3, 0, 1, 2, 4))]
        return agreed, hidden_1TD[0, own : end - self._back]

    def _beside(
        self,
        groups: Sequence[tuple[tuple[int, int], list[int]]],
        holes: Sequence[Asked],
        found: dict[int, Tensor],
    ) -> None:
        """What is new of these holes, in one sequence of tokens, beside the sides of their length
        and what is kept of each hole as it was before."""
        plans: dict[
            tuple[tuple[int, int], int], list[tuple[int, list[int], CachedHole | None]]
        ] = {}
        for key, members in groups:
            for i in members:
                before = nearest(holes[i][1], self._kept.get(key, ()), self.family.mask)
                rows = new_rows(holes[i][1], before, self.family.mask, self._back)
                plans.setdefault((key, len(rows)), []).append((i, rows, before))
        if not plans:
            return
        ids: list[int] = []
        positions: list[int] = []
        wanted: list[int] = []  # tokens whose rows predict a mask
        counts: list[tuple[int, int]] = []
        shared: list[PrefixGroup] = []
        for (key, count), alike in plans.items():
            left = self._views[key[0]].left
            own = len(left) - self._back
            for i, rows, _ in alike:
                hole = [*left[own:], *holes[i][1]]
                masks = [at for at, t in enumerate(holes[i][1]) if t == self.family.mask]
                counts.append((i, len(masks)))
                wanted += [len(ids) + rows.index(row) for row in masks]
                ids += [hole[row] for row in rows]
                positions += [own + row for row in rows]
            past = [kept_rows(before, rows) for _, rows, before in alike if before is not None]
            held = torch.stack(past) if len(past) == len(alike) and past[0].numel() else None
            shared.append(PrefixGroup(self._sides[key], len(alike), count, held))
        device = self.model.device
        hidden_MD, own_N = states(
            self.model, torch.tensor(ids, device=device), torch.tensor(positions, device=device),
            shared, torch.tensor(wanted, dtype=torch.long, device=device),
        )  # fmt: skip
        parts = hidden_MD.split([count for _, count in counts])
        found.update({i: part for (i, _), part in zip(counts, parts, strict=True)})
        at = 0
        for (key, count), alike in plans.items():
            for i, rows, before in alike:
                kept = renewed(holes[i][1], before, rows, own_N[at : at + count])
                self._kept[key] = [kept, *self._kept.get(key, ())][:KEPT]
                at += count
