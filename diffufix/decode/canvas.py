"""Where text becomes a canvas of the inline layout, and fills become text again."""

from __future__ import annotations

from diffufix.model.checkpoint import LoadedModel
from diffufix.types import Canvas, Fill

FENCE = "```python\n"  # opened in the model's turn: what follows is the code around the hole


def inline_canvas(
    model: LoadedModel, left: str, right: str, original: str = "", *, max_tokens: int = 64
) -> Canvas:
    """The canvas of a hole between two texts; `original` is what stood in it.

    Tokens of this family carry the space before a word, so one space at the end of `left` moves
    into the hole (`Canvas.lead`). Special tokens in `left` and `right` count as such for chat
    families only. Contexts that do not fit beside a hole of `max_tokens` into the model's
    context lose the end of the right side, then the middle of the left one: what is asked and the
    marks of a conversation stay. (Prompts are made to fit before: propose/shown.py.)
    """
    family, tokenizer = model.family, model.tokenizer
    lead = " " if left.endswith(" ") else ""
    special = family.chat != "none"
    left = left.removesuffix(lead)
    before = tokenizer.encode(left, special=special)
    after = tokenizer.encode(right, special=special)
    first = [family.bos] if family.bos is not None and not special else []
    if not before and not first and family.eos is not None:
        first = [family.eos]  # something must stand left of the hole
    last = [family.eos] if family.variable_length and family.eos is not None else []
    room = max(2, model.max_context - max_tokens - len(first) - len(last))
    if len(before) + len(after) > room:
        after = after[: max(room // 4, room - len(before))]
        before = _shortened(model, left, before, room - len(after))
    return Canvas(
        left=(*first, *before),
        right=(*after, *last),
        original=tuple(tokenizer.encode(lead + original)) if original else (),
        lead=lead,
    )


def room_of(model: LoadedModel, max_tokens: int = 64) -> int:
    """Tokens of both contexts together that fit beside a hole of `max_tokens`."""
    return max(2, model.max_context - max_tokens - 2)


def _shortened(model: LoadedModel, left: str, ids: list[int], room: int) -> list[int]:
    """`room` of the left context's ids, the middle left out: the end is next to the hole, the
    start says what is asked. A conversation also keeps the opening of the model's own turn."""
    if len(ids) <= room:
        return ids
    if model.family.chat == "none":
        return _without_middle(ids, room)
    said, fence, code = left.rpartition(FENCE)
    head = model.tokenizer.encode(said + fence, special=True)
    near = model.tokenizer.encode(code, special=True)
    own = min(len(near), max(room // 2, room - len(head)))
    return _without_middle(head, room - own, 2) + _without_middle(near, own)


def _without_middle(ids: list[int], room: int, share: int = 4) -> list[int]:
    """The first 1 / `share` of `room` ids, and the last ones."""
    if len(ids) <= room:
        return ids
    first = room // share
    return ids[:first] + ids[len(ids) - (room - first) :]


def fill_text(model: LoadedModel, canvas: Canvas, fill: Fill) -> str:
    """What the fill puts between the canvas's two texts; bytes that are no UTF-8 become U+FFFD."""
    return model.tokenizer.decode(fill.ids).removeprefix(canvas.lead)
