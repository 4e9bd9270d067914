"""Where text becomes a canvas of the inline layout, and fills become text again."""

from __future__ import annotations

from diffufix.model.checkpoint import LoadedModel
from diffufix.types import Canvas, Fill


def inline_canvas(
    model: LoadedModel, left: str, right: str, original: str = "", *, max_tokens: int = 64
) -> Canvas:
    """The canvas of a hole between two texts; `original` is what stood in it.

    Tokens of this family carry the space before a word, so one space at the end of `left` moves
    into the hole (`Canvas.lead`). Special tokens in `left` and `right` count as such for chat
    families only. Contexts that do not fit beside a hole of `max_tokens` into the model's
    context lose what is farthest from the hole, the right side first.
    """
    family, tokenizer = model.family, model.tokenizer
    lead = " " if left.endswith(" ") else ""
    special = family.chat != "none"
    before = tokenizer.encode(left.removesuffix(lead), special=special)
    after = tokenizer.encode(right, special=special)
    first = [family.bos] if family.bos is not None and not special else []
    if not before and not first and family.eos is not None:
        first = [family.eos]  # something must stand left of the hole
    last = [family.eos] if family.variable_length and family.eos is not None else []
    room = max(2, model.max_context - max_tokens - len(first) - len(last))
    after = after[: max(room // 4, room - len(before))]
    before = before[-(room - len(after)) :]
    return Canvas(
        left=(*first, *before),
        right=(*after, *last),
        original=tuple(tokenizer.encode(lead + original)) if original else (),
        lead=lead,
    )


def fill_text(model: LoadedModel, canvas: Canvas, fill: Fill) -> str:
    """What the fill puts between the canvas's two texts; bytes that are no UTF-8 become U+FFFD."""
    return model.tokenizer.decode(fill.ids).removeprefix(canvas.lead)
