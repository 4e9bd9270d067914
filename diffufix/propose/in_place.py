"""Holes in their place (Dream family): one after another, a batch of samples for each, in rounds.

The most suspicious lines come first, and within a line fine holes before coarse ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from diffufix.decode import infill
from diffufix.decode.canvas import fill_text, inline_canvas, room_of
from diffufix.model.checkpoint import LoadedModel
from diffufix.model.families import sampling_of
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext, Proposal, Watcher, cost_of, fit, show
from diffufix.propose.shown import fitted, own_test
from diffufix.source.functions import FunctionNode
from diffufix.source.spans import Text
from diffufix.types import Hole, Kind

SAMPLES = 8  # fills of a hole in one batch,
REFRESH = 8  # and the passes after which what they share of its surroundings is renewed
_ORDER = list(Kind)


def in_place(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    seed: int,
    watch: Watcher | None,
) -> Iterator[Proposal]:
    import torch

    top = max((s.suspect.score for s in subjects), default=1.0)
    queue = sorted(
        ((cost_of(s.suspect, hole, top), _ORDER.index(hole.kind), i, hole)
         for i, s in enumerate(subjects) for hole in s.holes()),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    kind = sampling_of(model.family.name)
    temperature = kind.temperature
    while queue:
        for cost, _, index, hole in queue:
            subject = subjects[index]
            left, right = _prompt(model, subject, hole, story)
            original = subject.source[hole.start : hole.end]
            canvas = inline_canvas(model, left, right, original)

            def hook(
                step: int, rows: list[list[int]], subject: EditTarget = subject, hole: Hole = hole
            ) -> None:
                if watch:
                    show(model, subject, hole, rows[0], watch)

            fills = infill(
                model, canvas, SAMPLES, temperature=temperature, top_p=kind.top_p, alg=kind.alg,
                max_tokens=max(16, min(64, 2 * len(canvas.original) + 8)),
                generator=generator, hook=hook, refresh=REFRESH,
            )  # fmt: skip
            for fill in sorted(fills, key=lambda f: -f.logp / max(1, len(f.ids))):
                score = fill.logp / max(1, len(fill.trace)) - cost
                yield Proposal(
                    subject, hole, fit(subject.source, fill_text(model, canvas, fill)), fill, score
                )
        temperature = min(1.2, temperature * 2)  # what was likely has been tried


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
