"""pass@k, bootstrap intervals and paired tests over cases. Shares lie in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DRAWS = 10_000
LEVEL = 0.95


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The unbiased estimate 1 - C(n-c, k) / C(n, k) of one problem.

    Chen et al., Evaluating Large Language Models Trained on Code, 2021, equation 1. Raises
    ValueError where there are fewer samples than `k`.
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} cannot be told from {passed} of {samples} samples")
    return 1.0 - math.comb(samples - passed, k) / math.comb(samples, k)


@dataclass(frozen=True)
class Share:
    """A mean over cases with its 95 % interval."""

    value: float
    low: float
    high: float
    cases: int

    @property
    def all(self) -> tuple[float, float, float]:
        return self.value, self.low, self.high

    def document(self) -> dict[str, Any]:
        values = {"value": self.value, "low": self.low, "high": self.high}
        return {name: round(value, 5) for name, value in values.items()} | {"cases": self.cases}

    def __str__(self) -> str:
        return f"{self.value:.1%} ({self.low:.1%} to {self.high:.1%})"


def share(values: Sequence[float], seed: int = 0) -> Share:
    """The mean, and the percentile bootstrap over cases.

    Where all cases came out alike a bootstrap has no width: the exact bound of a binomial takes its
    place (Clopper and Pearson, 1934).
    """
    if not values:
        return Share(0.0, 0.0, 1.0, 0)
    x = np.asarray(values, dtype=float)
    n, mean = len(x), float(x.mean())
    if np.ptp(x) == 0 and mean in (0.0, 1.0):
        reach = 1.0 - ((1.0 - LEVEL) / 2) ** (1.0 / n)
        return Share(mean, 1.0 - reach if mean else 0.0, 1.0 if mean else reach, n)
    return Share(mean, *_percentiles(x, seed), n)


def _percentiles(x: Any, seed: int = 0) -> tuple[float, float]:
    """Of the means of samples drawn from `x` with replacement."""
    rng, n = np.random.default_rng(seed), len(x)
    part = max(1, min(DRAWS, 2**20 // n))  # draws at once: a few megabytes
    means = [x[rng.integers(0, n, (part, n))].mean(1) for _ in range(-(-DRAWS // part))]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedComparison:
    """B against A on the same cases. `p`: two-sided, by random exchanges of the two."""

    cases: int
    a: float
    b: float
    difference: Share
    p: float
    better: tuple[str, ...]
    worse: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return {
            "cases": self.cases, "a": round(self.a, 5), "b": round(self.b, 5),
            "difference": self.difference.document(), "p": round(self.p, 5),
            "better": list(self.better), "worse": list(self.worse),
        }  # fmt: skip


def paired(a: Mapping[str, float], b: Mapping[str, float]) -> PairedComparison:
    """Over the cases that both have. Raises ValueError where there is none."""
    ids = [id for id in a if id in b]
    if not ids:
        raise ValueError("no case is in both")
    change = np.array([b[id] - a[id] for id in ids])
    return PairedComparison(
        len(ids),
        float(np.mean([a[id] for id in ids])),
        float(np.mean([b[id] for id in ids])),
        Share(float(change.mean()), *_percentiles(change), len(ids)),
        sign_flip(change),
        tuple(id for id, d in zip(ids, change, strict=True) if d > 0),
        tuple(id for id, d in zip(ids, change, strict=True) if d < 0),
    )


def sign_flip(change: Any, seed: int = 0) -> float:
    """Two-sided p of paired differences: every sign as likely as the other. Exact up to 16 that
    are not zero; with equal sizes this is McNemar's exact test."""
    moved = change[change != 0]
    if not len(moved):
        return 1.0
    observed = abs(moved.sum()) - 1e-9
    if len(moved) <= 16:
        bits = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        return float((np.abs((2 * bits - 1) @ moved) >= observed).mean())
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (DRAWS, len(moved))) * 2 - 1
    return float(((np.abs(signs @ moved) >= observed).sum() + 1) / (DRAWS + 1))
