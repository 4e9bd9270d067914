"""Labels on the visible context of a row: what should stand there, what mending does with it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from diffufix.model.editing import INSERT, KEEP, operations
from diffufix.model.family import Family
from diffufix.model.tokenizer import Tokenizer
from diffufix.propose.window import Window
from diffufix.source.edits import Place
from diffufix.train.batch import IGNORE
from diffufix.train.pretrain.rows import PackedRow

RIGHT = 24  # right tokens of a row that are labelled, at most


def corrections(
    row: PackedRow, text: str, view: Window, places: Sequence[Place], tokenizer: Tokenizer,
    family: Family, rng: random.Random,
) -> None:  # fmt: skip
    """Labels on the visible context: what should stand there instead of wrong tokens, and
    the token itself for some right ones (corrective diffusion, arXiv 2512.15596).

    A wrong token whose edit keeps the number of tokens gets the token that should be there,
    any other one `delete`; where only something is missing, the next token gets `expand`. Of a
    token in front of which the window has left an edit out, nothing is asked.
    """
    wrong: dict[int, int] = {}
    assert family.delete is not None
    assert family.expand is not None
    for start, end, first, last in places:
        inside = [i for i, (a, b) in enumerate(view.spans) if a < end and start < b]
        if not inside:
            after = [i for i, (a, _) in enumerate(view.spans) if a >= start]
            for i in after[:1]:
                reached = view.spans[i - 1][1] if i else 0
                beside = reached >= start or view.spans[i][0] == start
                wrong[i] = family.expand if beside else IGNORE
            continue
        a, b = view.spans[inside[0]][0], view.spans[inside[-1]][1]
        meant = tokenizer.encode(text[first - max(0, start - a) : last + max(0, b - end)])
        if len(meant) == len(inside):
            pairs = zip(inside, meant, strict=True)
            wrong.update({i: m for i, m in pairs if m != view.ids[i]})
        else:
            wrong.update(dict.fromkeys(inside, family.delete))
    fine = [i for i in range(len(view.ids)) if i not in wrong]
    for i in rng.sample(fine, min(RIGHT, len(fine))):
        row.labels[i + 1], row.weights[i + 1] = view.ids[i], 0.1
    for i, label in wrong.items():
        if label != IGNORE:
            row.labels[i + 1], row.weights[i + 1] = label, 0.5


def edit_operations(
    row: PackedRow, text: str, view: Window, places: Sequence[Place], tokenizer: Tokenizer
) -> None:
    """What mending does with every token of the function. Nothing is asked of a token in front
    of which the window has left an edit out."""
    n = len(view.ids)
    made = [KEEP] * (n + 1)
    for start, end, first, last in places:
        inside = [i for i, (a, b) in enumerate(view.spans) if a < end and start < b]
        if inside:
            a, b = view.spans[inside[0]][0], view.spans[inside[-1]][1]
            span = first - max(0, start - a), last + max(0, b - end)
            meant = tokenizer.encode(text[span[0] : span[1]])
            own = operations([view.ids[i] for i in inside], meant)
            for index, operation in zip([*inside, inside[-1] + 1], own, strict=True):
                made[index] = operation or made[index]
        elif last > first:
            behind = next((i for i, (a, _) in enumerate(view.spans) if a >= start), n)
            near = behind == n or view.spans[behind][0] == start
            near = near or (behind > 0 and view.spans[behind - 1][1] >= start)
            made[behind] = INSERT if near else IGNORE
    row.edits = [IGNORE, *made] + [IGNORE] * (len(row.ids) - n - 2)
