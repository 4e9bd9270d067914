"""A tiny random model spoken to as four families, and prompts for it."""

from __future__ import annotations

from dataclasses import replace

import torch

from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.context import open_context
from diffufix.model.family import Family
from diffufix.types import Canvas, Prompt
from tests.support.tiny import tiny

VOCABULARY = 14
FIXED = Family("dream", True, "inline", "none", mask=0, pad=1, eos=3)
FREE = replace(FIXED, name="free", shift=False, expand=4, delete=5)
DREAMON = replace(FIXED, name="dreamon", expand=4, delete=3)
ASIDE = replace(FREE, name="mini", layout="aside", bos=2, was=6, now=7, gap=8)
FAMILIES = (FIXED, FREE, DREAMON, ASIDE)
NAMES = [family.name for family in FAMILIES]
PROMPTS = [
    Prompt((9, 10, 11), (12, 13), (10, 9), 3),
    Prompt((9,), (), (11,), 1),
    Prompt((13, 12, 11, 10), (9, 9, 10), (), 2),
    Prompt((11, 11), (12,), (), 4, gap=True),
]

MODEL = tiny(VOCABULARY, scale=0.5)


def alone(family: Family, prompt: Prompt, hole: tuple[int, ...]) -> torch.Tensor:
    """Logits at the masks of one hole, by the denoisers that repair uses."""
    if family.layout == "inline":
        context = open_context(MODEL, [Canvas(prompt.left, prompt.right)], family=family)
        return context.logits([(0, hole)])
    shown = (family.gap,) if prompt.gap else prompt.original
    encoded = AsideContext(MODEL, [*prompt.left, *shown, *prompt.right], family)
    start = len(prompt.left) + 1
    return encoded.logits([HoleSpan(start, start + len(shown), prompt.original)], [hole])
