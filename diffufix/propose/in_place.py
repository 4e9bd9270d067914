"""Holes in their place (Dream family), in batches of samples: all holes compete for the next batch.

With a hole's first batch goes what stands there: its likelihood as a fill. A fill is ranked by how
much likelier it is than that, less what its place costs (suspiciousness), as `mini`'s are. A hole
whose fills are likelier than its text is sampled again the sooner, hotter every time; one that
gives nothing new the later.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from diffufix.decode import infill
from diffufix.decode.canvas import fill_text, inline_canvas, room_of
from diffufix.model.checkpoint import LoadedModel
from diffufix.model.families import sampling_of
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext, Proposal, Watcher, cost_of, fit, show
from diffufix.propose.shown import fitted, own_test
from diffufix.source.functions import FunctionNode
from diffufix.source.spans import Text
from diffufix.types import Canvas, Fill, Hole, Kind

SAMPLES = 8  # fills of a hole in one batch,
REFRESH = 8  # and the passes after which what they share of its surroundings is renewed
HOTTEST = 1.2
AGAIN = 3.0  # nats that a hole falls behind with every batch,
STALE = 3.0  # and with one that says nothing new
SWAY = 2.0  # nats that the likelihood of its fills moves it by at most
_ORDER = list(Kind)


@dataclass
class _Sampled:
    """A hole on its way through the rounds."""

    subject: EditTarget
    hole: Hole
    cost: float
    canvas: Canvas | None = None
    intact: float | None = None  # log-likelihood of what stands there, as a fill
    rounds: int = 0
    seen: set[str] = field(default_factory=set)

    def ratio(self, fill: Fill) -> float:
        """Nats a token that a fill is likelier than what stands there (or is likely, where nothing
        does)."""
        own = self.intact if self.intact is not None else 0.0
        length = len(self.canvas.original) if self.canvas else 0
        return (fill.logp - own) / max(1, len(fill.trace), length)


def in_place(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    seed: int,
    watch: Watcher | None,
) -> Iterator[Proposal]:
    import torch

    top = max((s.suspect.score for s in subjects), default=1.0)
    order = sorted(
        ((cost_of(s.suspect, hole, top), _ORDER.index(hole.kind), i, hole)
         for i, s in enumerate(subjects) for hole in s.holes()),
    )  # fmt: skip
    heap = [
        (cost, tick, _Sampled(subjects[i], hole, cost))
        for tick, (cost, _, i, hole) in enumerate(order)
    ]
    generator = torch.Generator().manual_seed(seed)
    while heap:
        behind, tick, sampled = heapq.heappop(heap)
        fills = _batch(model, sampled, story, generator, watch)
        assert sampled.canvas is not None
        fresh, best = False, -SWAY
        for fill in sorted(fills, key=sampled.ratio, reverse=True):
            text = fit(sampled.subject.source, fill_text(model, sampled.canvas, fill))
            if text in sampled.seen:
                continue
            sampled.seen.add(text)
            fresh, ratio = True, sampled.ratio(fill)
            best = max(best, ratio)
            yield Proposal(sampled.subject, sampled.hole, text, fill, ratio - sampled.cost)
        behind += AGAIN - min(SWAY, best) + (0.0 if fresh else STALE)
        heapq.heappush(heap, (behind, tick, sampled))


def _batch(
    model: LoadedModel,
    sampled: _Sampled,
    story: FailureContext,
    generator: object,
    watch: Watcher | None,
) -> list[Fill]:
    """The next fills of a hole; with the first ones the likelihood of what stands there."""
    import torch

    assert isinstance(generator, torch.Generator)
    kind, subject, hole = sampling_of(model.family.name), sampled.subject, sampled.hole
    original = subject.source[hole.start : hole.end]
    if sampled.canvas is None:
        left, right = _prompt(model, subject, hole, story)
        sampled.canvas = inline_canvas(model, left, right, original)
        sampled.seen.add(original)
    canvas = sampled.canvas

    def hook(step: int, rows: list[list[int]]) -> None:
        if watch:
            show(model, subject, hole, rows[0], watch)

    most = max(16, min(64, 2 * len(canvas.original) + 8))
    ask = sampled.rounds == 0 and 0 < len(canvas.original) <= most
    fills = infill(
        model, canvas, SAMPLES, temperature=min(HOTTEST, kind.temperature * 2**sampled.rounds),
        top_p=kind.top_p, alg=kind.alg, max_tokens=most, generator=generator, hook=hook,
        refresh=REFRESH, forced=canvas.original if ask else None,
    )  # fmt: skip
    if ask:
        logp = fills.pop().logp
        sampled.intact = logp if math.isfinite(logp) else None  # it may hold what is never drawn
    sampled.rounds += 1
    return fills


def _prompt(
    model: LoadedModel, subject: EditTarget, hole: Hole, story: FailureContext
) -> tuple[str, str]:
    start = subject.source.rfind("\n", 0, subject.start) + 1
    if not isinstance(subject.node, FunctionNode):
        text = Text(subject.source)
        line = text.line_of(hole.start)
        start = text.starts[max(0, line - 30)]
    return fitted(
        model.family,
        "repair",
        lambda text: len(model.tokenizer.encode(text)),
        room_of(model),
        path=subject.suspect.path,
        function=subject.suspect.qualname,
        left=subject.source[start : hole.start],
        original=subject.source[hole.start : hole.end],
        right=subject.source[hole.end : subject.end],
        test=story.test,
        test_source=own_test(story.test_source, story.test),
        traceback=story.traceback,
        message=story.message,
    )
