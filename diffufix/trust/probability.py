"""The probability that a green candidate is right: a logistic regression over the evidence.

The coefficients were fitted by bench/trust.py on development data and lie in coefficients.json;
here is plain arithmetic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

THRESHOLD = 0.8  # from here on a patch is called a repair
DOUBTFUL = 0.75  # at most, where the tests may have been turned green by what is no repair


def capped(chance: float, features: Mapping[str, float]) -> float:
    """Below a repair's threshold where an edit's calls could not be observed or came out as before,
    for then it is not known what made the tests pass; where it does what nobody would write; and
    where it only takes code away: most patches that do so remove what the tests ask for (Qi et al.,
    An analysis of patch plausibility and correctness for generate-and-validate patch generation
    systems, ISSTA 2015)."""
    doubts = ("unobserved", "unseen", "odd", "deletes")
    return min(chance, DOUBTFUL) if any(map(features.get, doubts)) else chance


def probability(features: Mapping[str, float], weights: Mapping[str, Any] | None = None) -> float:
    """In (0, 1). `weights` has `intercept` and, by feature, `mean`, `scale` and `coefficient`; by
    default those that are shipped."""
    model = weights if weights is not None else coefficients()
    total = float(model["intercept"])
    for name, each in model["features"].items():
        value = (features.get(name, each["mean"]) - each["mean"]) / each["scale"]
        total += each["coefficient"] * max(-4.0, min(4.0, value))
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))


@cache
def coefficients() -> dict[str, Any]:
    """The shipped model."""
    text = resources.files("diffufix.trust").joinpath("coefficients.json").read_text("utf-8")
    model: dict[str, Any] = json.loads(text)
    return model
