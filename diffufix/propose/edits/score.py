"""What the model thinks of edits that are known already: one teacher-forced look for each.

For an edit, `told` is the log-probability of the tokens that are new, given those it keeps, and
`was` that of the tokens that go, both with all of them masked at once: a look is one row of a
batch, and edits of the same place and length share it. The two make a likelihood ratio with
learned weights (rank.py). Needs a model that reads holes beside their context.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffufix.decode.aside import AsideContext, Asked, HoleSpan, logits
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.window import MAX_WINDOW, Window, window
from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode

if TYPE_CHECKING:
    from torch import Tensor

#: A context's identity, a place in it, what is put there (masks and what is kept).
_Row = tuple[int, HoleSpan, tuple[int, ...]]
#: (edit, whether its new tokens are wanted or its old ones, their ids) of a row.
_Wanted = tuple[int, bool, tuple[int, ...]]
_Placed = tuple[AsideContext, HoleSpan, tuple[int, ...], tuple[int, ...], tuple[int, ...]]

BATCH = 1024  # masked positions in one pass
MAX_TOKENS = 40  # new or old tokens of an edit that is looked at


@dataclass(frozen=True)
class Look:
    """Log-probabilities (nats) of what comes and what goes, and how many tokens these are."""

    told: float
    was: float
    new: int
    old: int


class Scorer:
    """Looks at the edits of one function. Contexts are kept for as long as it lives."""

    def __init__(
        self,
        model: LoadedModel,
        source: str,
        node: FunctionNode | ast.Module,
        failure: Sequence[int] = (),
        answer: Callable[[Sequence[Asked]], Tensor] = logits,
    ) -> None:
        self.model, self.source, self.node = model, source, node
        self.failure, self.answer = failure, answer
        self.views: list[tuple[Window, AsideContext]] = []

    def looks(self, edits: Sequence[Edit]) -> list[Look | None]:
        """A look at each edit; None where it does not fit what the model reads."""
        asks: dict[_Row, list[_Wanted]] = {}
        contexts: dict[int, AsideContext] = {}
        counts: list[tuple[int, int] | None] = []
        for index, edit in enumerate(edits):
            found = self._place(edit)
            if found is None:
                counts.append(None)
                continue
            context, place, kept, new, old = found
            counts.append((len(new), len(old)))
            contexts[id(context)] = context
            mask = self.model.family.mask
            for ids, is_new in ((new, True), (old, False)):
                if ids:
                    hole = (*kept, *([mask] * len(ids)))
                    asks.setdefault((id(context), place, hole), []).append((index, is_new, ids))
        told = [0.0] * len(edits)
        was = [0.0] * len(edits)
        for wanted in self._answered(asks, contexts):
            for index, is_new, value in wanted:
                (told if is_new else was)[index] = value
        return [
            None if count is None else Look(told[i], was[i], *count)
            for i, count in enumerate(counts)
        ]

    def _answered(
        self, asks: Mapping[_Row, list[_Wanted]], contexts: Mapping[int, AsideContext]
    ) -> Iterator[list[tuple[int, bool, float]]]:
        """For each row (edit, whether new, log-probability of the ids)."""
        import torch

        mask = self.model.family.mask
        rows = sorted(asks.items(), key=lambda item: len(item[0][2]))
        at = 0
        while at < len(rows):
            size = 0
            chunk: list[tuple[_Row, list[_Wanted]]] = []
            while at < len(rows) and (size < BATCH or not chunk):
                chunk.append(rows[at])
                size += rows[at][0][2].count(mask)
                at += 1
            asked = [Asked(contexts[c], place, hole) for (c, place, hole), _ in chunk]
            with torch.inference_mode():
                logits_NV = self.answer(asked).float()
                whole_N = logits_NV.logsumexp(-1)
            first: list[int] = []
            ids: list[int] = []
            row = 0
            for (_, _, hole), wanted in chunk:
                masks = hole.count(mask)
                for _, _, tokens in wanted:
                    first += range(row, row + masks)
                    ids += tokens
                row += masks
            at_M, ids_M = torch.tensor(first), torch.tensor(ids)
            values = (logits_NV[at_M, ids_M] - whole_N[at_M]).tolist()
            begin = 0
            for _, wanted in chunk:
                own = []
                for index, is_new, tokens in wanted:
                    own.append((index, is_new, math.fsum(values[begin : begin + len(tokens)])))
                    begin += len(tokens)
                yield own

    def _place(self, edit: Edit) -> _Placed | None:
        """The context and place of an edit, its kept, new and old ids."""
        located = self._locate(edit)
        if located is None:
            return None
        view, context, start, end = located
        first = view.spans[start][0] if start < end else edit.start
        last = view.spans[end - 1][1] if start < end else edit.end
        text = self.source[first : edit.start] + edit.text + self.source[edit.end : last]
        new = self.model.tokenizer.encode(text)
        old = list(view.ids[start:end])
        head = 0
        while head < min(len(old), len(new)) and old[head] == new[head]:
            head += 1
        tail = 0
        while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        begin, stop = start + head, end - tail
        added, gone = tuple(new[head : len(new) - tail]), tuple(old[head : len(old) - tail])
        if len(added) > MAX_TOKENS or len(gone) > MAX_TOKENS:
            return None
        kept: tuple[int, ...] = ()
        if begin == stop:  # no hole is empty but between statements: what stands before is kept
            if begin == 0:
                return None
            begin -= 1
            kept = (view.ids[begin],)
        original = view.ids[begin:stop]
        return context, HoleSpan(begin + 1, stop + 1, original), kept, added, gone

    def _locate(self, edit: Edit) -> tuple[Window, AsideContext, int, int] | None:
        for view, context in self.views:
            found = _around(view, edit.start, edit.end)
            if found is not None:
                return view, context, *found
        if edit.end - edit.start > 8 * MAX_TOKENS:
            return None
        budget, focus = self.model.family.window or MAX_WINDOW, (edit.start, edit.end)
        made = window(self.source, self.node, self.model.tokenizer, focus, budget)
        found = _around(made, edit.start, edit.end)
        if found is None or any(view.ids == made.ids for view, _ in self.views):
            return None
        context = AsideContext(self.model, made.ids, failure=self.failure)
        self.views.append((made, context))
        return made, context, *found


def _around(view: Window, start: int, end: int) -> tuple[int, int] | None:
    """The tokens that cover a span; of an empty one within or between tokens, the one before."""
    if start == end:
        return view.locate(max(0, start - 1), start)
    return view.locate(start, end)
