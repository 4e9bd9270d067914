"""Which enumerated edit comes first: a conditional logit over the edits of a function.

    score(e) = sum of weight x feature (features.py)

A probability of each edit is the softmax over those of its function. The weights were fitted by
`python bench/edits.py fit` on real fixes of projects that nothing is measured on: how often an edit
that looks so, of so many that a function offers, was the one that people made. Reads weights.json
beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from diffufix.propose.edits.features import Features


@cache
def weights() -> Mapping[str, float]:
    """By feature."""
    return read(Path(__file__).with_name("weights.json"))


def read(path: Path) -> Mapping[str, float]:
    values: dict[str, float] = json.loads(path.read_text())
    return values


def score(features: Features, known: Mapping[str, float]) -> float:
    """Nats, up to a constant of the function."""
    return sum(known.get(name, 0.0) * value for name, value in features.items())
