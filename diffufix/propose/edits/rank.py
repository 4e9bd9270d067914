"""Which enumerated edit comes first: two conditional logits over the edits of a function.

    text(e)  = sum of weight x feature (features.py), without a model
    score(e) = scale of its group x text(e) + weight x what the model thinks, by group

A probability of each edit is the softmax over those of its function. The weights were fitted by
`python bench/edits.py fit` on real fixes of projects that nothing is measured on: how often an edit
that looks so, of so many that a function offers, was the one that people made. What the model
thinks are log-probabilities: of what comes and of what goes, a token and in all. Reads weights.json
beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from diffufix.propose.edits.features import Features
from diffufix.propose.edits.score import Look
from diffufix.source.edits import Edit

FAR = 12.0  # nats: a log-probability of several tokens counts to there


@dataclass(frozen=True)
class Weights:
    """By feature: of the text alone, and of the model's opinion with it."""

    text: Mapping[str, float]
    model: Mapping[str, float]


@cache
def weights() -> Weights:
    path = Path(__file__).with_name("weights.json")
    return read(path) if path.exists() else Weights({}, {})


def read(path: Path) -> Weights:
    values = json.loads(path.read_text())
    return Weights(values["text"], values["model"])


def text_score(features: Features, known: Mapping[str, float]) -> float:
    """Nats, up to a constant of the function."""
    return sum(known.get(name, 0.0) * value for name, value in features.items())


def group_of(look: Look) -> str:
    """What sort of question the model was asked."""
    if not look.new:
        return "drop"
    if not look.old:
        return "add"
    return "swap" if look.new == 1 else "change"


def opinion(look: Look | None, text: float, kind: str) -> Features:
    """Features of an edit that the model was asked about."""
    if look is None:
        return {"text": text, "unseen": 1.0}
    group = group_of(look)
    found = {f"text:{group}": text, group: 1.0, f"kind:{kind}": 1.0}
    if look.new:
        found["new"] = float(look.new)
        found[f"come:{group}"] = look.told / look.new
        found[f"all come:{group}"] = max(-FAR, look.told)
    if look.old:
        found[f"gone:{group}"] = look.was / look.old
        found[f"all gone:{group}"] = max(-FAR, look.was)
    return found


def score(look: Look | None, text: float, edit: Edit, known: Mapping[str, float]) -> float:
    """Nats, up to a constant of the function."""
    return text_score(opinion(look, text, edit.kind), known)


def scores(
    edits: Sequence[Edit], texts: Sequence[float], looks: Sequence[Look | None],
    known: Mapping[str, float] | None = None,
) -> list[float]:  # fmt: skip
    """A score for each of a function's edits."""
    given = weights().model if known is None else known
    return [score(*each, given) for each in zip(looks, texts, edits, strict=True)]
