"""Which enumerated edit comes first: a conditional logit over kinds and the model's opinion.

    score(e) = weight[kind of e] - share * log(edits of that kind) + what the model thinks, weighted

The weights were fitted by bench/edits.py on real fixes of projects that nothing is measured on: how
often an edit of this kind, of so many that a function offers, was the one that people made. What
the model thinks is a log-probability per token: of one new token, of several, of what goes where
nothing comes, of what goes for something else. Reads weights.json beside this file.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from diffufix.propose.edits.score import Look
from diffufix.source.edits import Edit

NUMBERS = ("share", "one", "many", "gone", "stood", "new", "unseen")


@cache
def weights() -> Mapping[str, float]:
    """Weight by feature: kinds of edits, and NUMBERS."""
    path = Path(__file__).with_name("weights.json")
    return dict(json.loads(path.read_text())) if path.exists() else {}


def numbers_of(edit: Edit, look: Look | None, count: int) -> tuple[float, ...]:
    """The values of NUMBERS for one of `count` edits of its kind."""
    share = -math.log(count)
    if look is None:
        return share, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0
    told, was = look.told / max(1, look.new), look.was / max(1, look.old)
    one, many = (told, 0.0) if look.new == 1 and look.old else (0.0, told)
    gone, stood = (0.0, was) if look.new else (was, 0.0)
    return share, one, many, gone, stood, float(look.new), 0.0


def scores(
    edits: Sequence[Edit], looks: Sequence[Look | None], given: Mapping[str, float] | None = None
) -> list[float]:
    """A score (nats, up to a constant) for each of a function's edits."""
    known = weights() if given is None else given
    counts = Counter(edit.kind for edit in edits)
    least = min(known.values(), default=0.0)
    found = []
    for edit, look in zip(edits, looks, strict=True):
        value = known.get(edit.kind, least)
        for name, number in zip(NUMBERS, numbers_of(edit, look, counts[edit.kind]), strict=True):
            value += known.get(name, 0.0) * number
        found.append(value)
    return found
