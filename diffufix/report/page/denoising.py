"""How a fill came to be: the hole step by step, from masks to text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from diffufix.events import MASK
from diffufix.store.query import TriedRow
from diffufix.trusted import visible

MOST = 24  # steps that are shown


@dataclass(frozen=True)
class CanvasPiece:
    """A token of the canvas: still masked, just written, or written before."""

    text: str
    state: str  # masked, new, old


@dataclass(frozen=True)
class DenoisingStep:
    number: int
    pieces: tuple[CanvasPiece, ...]
    probability: float | None  # of the token that this step wrote


@dataclass(frozen=True)
class Denoising:
    where: str
    before: str  # what stood in the hole
    steps: tuple[DenoisingStep, ...]
    left_out: int = 0  # steps between those that are shown

    @property
    def left_to_right(self) -> bool:
        """Whether the tokens were written in the order in which they are read."""
        return all(
            [p.state for p in step.pieces] == sorted((p.state for p in step.pieces), key=_read)
            for step in self.steps
        )


def _read(state: str) -> int:
    return ("old", "new", "masked").index(state)


def denoising_of(row: TriedRow, where: str, before: str) -> Denoising | None:
    """None where the text was not sampled, or its tokens are not known."""
    if not row.pieces or len(row.order) != len(row.pieces):
        return None
    ranks = sorted(range(len(row.pieces)), key=lambda token: (row.order[token], token))
    steps = [
        DenoisingStep(0, tuple(CanvasPiece(MASK, "masked") for _ in row.pieces), None),
        *(_step(row, ranks, number) for number in range(1, len(ranks) + 1)),
    ]
    left_out = max(0, len(steps) - MOST)
    if left_out:
        steps = [*steps[: MOST // 2], *steps[-MOST // 2 :]]
    return Denoising(where, visible(before), tuple(steps), left_out)


def _step(row: TriedRow, ranks: Sequence[int], number: int) -> DenoisingStep:
    """The canvas after so many tokens were written."""
    written, new = set(ranks[:number]), ranks[number - 1]
    pieces = tuple(
        CanvasPiece(_shown(text), "new" if token == new else "old")
        if token in written
        else CanvasPiece(MASK, "masked")
        for token, text in enumerate(row.pieces)
    )
    known = len(row.logps) == len(row.pieces)
    return DenoisingStep(number, pieces, min(1.0, math.exp(row.logps[new])) if known else None)


def _shown(text: str) -> str:
    return visible(text).replace("\n", "⏎\n") if text else "∅"
