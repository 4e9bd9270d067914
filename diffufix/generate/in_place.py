"""Whole bodies for one hole of a model that reads holes in their place (Dream family).

- with `<expand>` and `<delete>`: `infill`, batch after batch, hotter every time.
- other families: the same, block by block (decode/blockwise.py);
- block-causal ones: the same without what stands right of the hole (decode/block_causal.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from diffufix.decode import infill
from diffufix.decode.block_causal import block_generate
from diffufix.decode.blockwise import blockwise
from diffufix.decode.canvas import fill_text, inline_canvas, room_of
from diffufix.generate.body import Body
from diffufix.model.checkpoint import LoadedModel
from diffufix.model.families import block_rules_of, sampling_of
from diffufix.propose.in_place import REFRESH
from diffufix.propose.proposals import FailureContext, Proposal, Watcher, fit, show
from diffufix.propose.shown import fitted, own_test
from diffufix.source.spans import Text
from diffufix.types import Canvas, Fill

if TYPE_CHECKING:
    from torch import Generator

    from diffufix.decode.infill import Hook

HEAD_START = 0
SAMPLES = 4  # bodies of one batch
MAX_TOKENS = 256  # of a body
BEFORE, AFTER = 120, 40  # lines of the file around the function that a prompt shows


def bodies(
    model: LoadedModel,
    body: Body,
    story: FailureContext,
    seed: int,
    watch: Watcher,
    busy: Callable[[], bool],
) -> Iterator[Proposal]:
    """The coolest samples first, without end."""
    import torch

    left, right = prompt(model, body, story)
    right = "" if model.family.block else right
    canvas = inline_canvas(model, left, right, max_tokens=MAX_TOKENS)
    generator = torch.Generator().manual_seed(seed)
    temperature = 0.2

    def hook(step: int, rows: list[list[int]]) -> None:
        show(model, body, body.hole, rows[0], watch)

    def ended(ids: Sequence[int]) -> int | None:
        text = model.tokenizer.decode(ids).removeprefix(canvas.lead)
        end = end_of_body(text, body.indent)
        return None if end is None else _tokens_of(model, ids, len(canvas.lead) + end)

    while True:
        if model.family.block:
            fills = _blocks(model, canvas, ended, temperature, generator, hook)
        elif model.family.variable_length:
            fills = infill(
                model, canvas, SAMPLES, temperature=temperature, top_p=0.95,
                max_tokens=MAX_TOKENS, generator=generator, hook=hook,
                refresh=REFRESH,
            )  # fmt: skip
        else:
            fills = blockwise(
                model, canvas, SAMPLES, ended, temperature=temperature, top_p=0.95,
                max_tokens=MAX_TOKENS, threshold=0.95, generator=generator, hook=hook,
                refresh=REFRESH,
            )  # fmt: skip
        for fill in sorted(fills, key=lambda f: -f.logp / max(1, len(f.ids))):
            text = fit(body.source, fill_text(model, canvas, fill))
            end = end_of_body(text, body.indent)
            text = (text if end is None else text[:end]).rstrip()
            yield Proposal(body, body.hole, text, fill, fill.logp / max(1, len(fill.trace)))
        temperature = min(1.0, temperature + 0.2)


def _blocks(
    model: LoadedModel, canvas: Canvas, ended: Callable[[Sequence[int]], int | None],
    temperature: float, generator: Generator, hook: Hook,
) -> list[Fill]:  # fmt: skip
    """What a block-causal model writes behind the left side: a body, and perhaps more."""
    family, added = model.family, model.tokenizer.added.values()
    return block_generate(
        model, canvas.left, SAMPLES, max_new_tokens=MAX_TOKENS, ends={*family.specials, *added},
        over=lambda ids: ended(ids) is not None, temperature=temperature, top_p=0.95,
        alg=sampling_of(family.name).alg, threshold=block_rules_of(family.name).threshold,
        generator=generator, hook=hook,
    )  # fmt: skip


def end_of_body(text: str, indent: str) -> int | None:
    """Where a body ends within `text`: at the first line that is indented less, or at a fence.

    None while it goes on.
    """
    at = 0
    for number, line in enumerate(Text(text).lines):
        stripped = line.strip()
        if stripped.startswith("```") or (number and stripped and not line.startswith(indent)):
            return len(text[:at].rstrip())
        at += len(line)
    return None


def _tokens_of(model: LoadedModel, ids: Sequence[int], characters: int) -> int:
    """The least number of tokens whose text has so many characters."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(model.tokenizer.decode(ids[:middle])) < characters:
            low = middle + 1
        else:
            high = middle
    return low


def prompt(model: LoadedModel, body: Body, story: FailureContext) -> tuple[str, str]:
    """What stands left and right of the hole for families that read prose."""
    source, hole = body.source, body.hole
    before, after = source[: hole.start], source[hole.end :]
    left = "".join(Text(before).lines[-BEFORE:])
    right = "".join(Text(after).lines[: AFTER + 1])
    return fitted(
        model.family,
        "generate",
        lambda text: len(model.tokenizer.encode(text)),
        room_of(model, MAX_TOKENS),
        path=body.suspect.path,
        function=body.qualname,
        left=left,
        right=right,
        test_source=own_test(story.test_source, story.test),
    )
