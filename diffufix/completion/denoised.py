"""Samples of one hole with everything that is to be seen of them: states, commits, confidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffufix.completion.arness import global_arness, local_arness

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.types import Fill

KS = (1, 2, 3, 4, 6, 8)  # of NTP@k and FMS@k
#: (step, tokens of the first sample; None: masked), for a display.
Seen = Callable[[int, Sequence[str | None]], None]


@dataclass(frozen=True)
class DenoisedToken:
    """A token of a finished sample: its text, the step it was committed at and its probability."""

    text: str
    step: int
    probability: float


@dataclass(frozen=True)
class DenoisedSample:
    """`states[i]` is the hole after i steps, None at masks. `order`: positions as committed, where
    one was committed a step and the hole kept its length; else empty."""

    text: str
    tokens: tuple[DenoisedToken, ...]
    states: tuple[tuple[str | None, ...], ...]
    order: tuple[int, ...]
    logp: float


@dataclass(frozen=True)
class Denoised:
    """Samples of one temperature. `first`: the top probability at every mask before the first step
    of a hole of that length (the entropy sink: highest next to the prefix)."""

    temperature: float
    samples: tuple[DenoisedSample, ...]
    first: tuple[float, ...]

    def arness(self, k: int) -> tuple[float | None, float | None]:
        """Mean NTP@k and FMS@k of the samples that have an order."""
        orders = [sample.order for sample in self.samples if sample.order]
        return (
            _mean([local_arness(order, k) for order in orders]),
            _mean([global_arness(order, k) for order in orders]),
        )

    @property
    def distinct(self) -> float:
        """The share of different texts."""
        return len({s.text for s in self.samples}) / max(1, len(self.samples))


def denoise(
    model: LoadedModel, left: str, right: str, *, temperatures: Sequence[float], samples: int,
    length: int, seed: int = 0, seen: Seen | None = None,
) -> list[Denoised]:  # fmt: skip
    """`samples` fills of a hole of `length` tokens (to begin with) at each temperature, one token a
    step. Raises UsageError."""
    import torch

    from diffufix.decode import infill, open_context
    from diffufix.decode.canvas import fill_text, inline_canvas
    from diffufix.types import Canvas

    encode, mask = model.tokenizer.encode, model.family.mask
    if model.family.appended:
        canvas = Canvas(tuple(encode(left)), tuple(encode(right)))
    else:
        canvas = inline_canvas(model, left, right, max_tokens=2 * length)

    def shown(ids: Sequence[int]) -> tuple[str | None, ...]:
        return tuple(None if token == mask else model.tokenizer.decode([token]) for token in ids)

    found = []
    for temperature in temperatures:
        states: list[list[tuple[str | None, ...]]] = [[(None,) * length] for _ in range(samples)]

        def hook(
            step: int, rows: list[list[int]],
            states: list[list[tuple[str | None, ...]]] = states,
        ) -> None:  # fmt: skip
            for row, own in zip(rows, states, strict=True):
                now = shown(row)
                if now != own[-1]:
                    own.append(now)
            if seen is not None:
                seen(step, states[0][-1])

        context = open_context(model, [canvas])
        with torch.inference_mode():
            logits = context.logits([(0, (mask,) * length)]).float()
            logits[:, list(context.banned)] = -torch.inf
            first = logits.softmax(-1).amax(-1).tolist()
            fills = infill(
                model, canvas, samples, lengths=[length], max_tokens=2 * length, alg="entropy",
                temperature=temperature, top_p=0.95, hook=hook, context=context,
                generator=torch.Generator().manual_seed(seed),
            )  # fmt: skip
        made = tuple(
            _sample(fill, fill_text(model, canvas, fill), own, model.tokenizer.decode, length)
            for fill, own in zip(fills, states, strict=True)
        )
        found.append(Denoised(temperature, made, tuple(first)))
    return found


def _sample(
    fill: Fill, text: str, states: Sequence[tuple[str | None, ...]],
    decode: Callable[[Sequence[int]], str], length: int,
) -> DenoisedSample:  # fmt: skip
    tokens = tuple(
        DenoisedToken(decode([token]), fill.trace[at].step, min(1.0, math.exp(logp)))
        for token, logp, at in zip(fill.ids, fill.logps, fill.order, strict=True)
    )
    kept = len(fill.trace) == len(fill.ids) == length
    order = tuple(commit.position for commit in fill.trace) if kept else ()
    return DenoisedSample(text, tokens, tuple(states), order, fill.logp)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
