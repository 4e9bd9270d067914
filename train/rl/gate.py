"""The gate: is the new model better than the one in use, on held-out tasks of the same codebase?

Both models sample the same tasks under the same seeds and are judged by the same tests. The unit
of the test is the function, not the task: mutants of one function rise and fall together. Under
the hypothesis that training changed nothing, each function's difference is as likely to have the
other sign; the p-value is the share of all such flips (of FLIPS drawn ones, where there are too
many) that give at least the difference seen. Beside samples, some of the tasks are repaired by the
search that `repair` uses, within a budget of candidates: fewer repairs than before, by more than
chance, and the new model is not better. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy

from diffufix.errors import UsageError
from diffufix.types import Task

SAMPLES = 8  # of each task, from each model
ALPHA = 0.05  # adoptions by luck: at most in so many of a project's whole series of sessions,
FIRST = 0.032  # of which the first one may spend this
EXACT = 14  # functions that differ up to which all flips are looked at
FLIPS, DRAWS = 50_000, 4_000  # drawn flips; resamplings of the interval
_TINY = 1e-12

Counts = Sequence[tuple[int, int]]  # (passes, samples) of each task
Places = Sequence[int | None]  # of the first candidate that passes


@dataclass(frozen=True)
class Repairs:
    """Of `tasks`, how many the search repaired within `tries` candidates, by either model."""

    tasks: int
    tries: int
    before: int
    after: int
    p: float  # one-sided, that they became fewer by chance

    @property
    def fewer(self) -> bool:
        return self.p < ALPHA

    def line(self) -> str:
        text = f"repairs {self.before} -> {self.after} of {self.tasks} searched"
        return f"{text}, {self.tries} candidates each"


def threshold(look: int) -> float:
    """What chance may give at the look-th comparison on the same held-out functions (from 1).

    Every session asks the same functions, so each spends a part of ALPHA (alpha spending): over
    however many sessions, a model that is no better is adopted with a probability of ALPHA at most.
    """
    if look <= 1:
        return FIRST
    return (ALPHA - FIRST) * 6 / (math.pi * (look - 1)) ** 2


def repairs(before: Places, after: Places, tries: int) -> Repairs | None:
    """Of the same tasks, by two models; None without any."""
    if not before:
        return None
    lost = numpy.array(
        [(b is not None) - (a is not None) for b, a in zip(before, after, strict=True)], float
    )
    p = sign_flip(lost, numpy.random.default_rng(0))
    was, now = (sum(place is not None for place in places) for places in (before, after))
    return Repairs(len(before), tries, was, now, p)


@dataclass(frozen=True)
class GateResult:
    """pass@1 (`before`, `after`) and pass@k of two models on the same tasks.

    `low` and `high` bound the difference of pass@1 (95 %, functions resampled); `p` is one-sided.
    """

    before: float
    after: float
    before_at_k: float
    after_at_k: float
    k: int
    low: float
    high: float
    p: float
    better: bool
    tasks: int  # that both models could be asked
    functions: int
    won: int  # functions
    lost: int
    samples: int  # of each task, at most
    repairs: Repairs | None = None  # None: nothing was searched
    look: int = 1  # which comparison on these functions it is
    alpha: float = FIRST  # what p had to be below

    def document(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def difference(self) -> float:
        return self.after - self.before

    def lines(self) -> list[str]:
        """What was found, in words."""
        head = f"{self.tasks:,} held-out tasks in {self.functions:,} functions"
        shown = f"{self.difference:+.1%} (95 %: {self.low:+.1%} to {self.high:+.1%})"
        return [
            f"{head}, {self.samples} samples of each",
            f"pass@1  {self.before:.1%} -> {self.after:.1%}, {shown}, p = {self.p:.3g}",
            f"pass@{self.k:<2} {self.before_at_k:.1%} -> {self.after_at_k:.1%}; "
            f"functions: {self.won} better, {self.lost} worse",
            *([self.repairs.line()] if self.repairs else ()),
            self.reason,
        ]

    @property
    def reason(self) -> str:
        if self.better:
            return "Better, and by more than chance explains."
        if self.difference <= 0:
            return "Not better."
        if self.p < self.alpha:
            return "Its samples are better, but the search repairs less with it."
        if 0.5 ** (self.won + self.lost) > self.alpha:
            return "Too few functions differ to tell it from chance."
        if self.p < ALPHA:
            return (
                f"Better, but these functions were asked in {self.look - 1} sessions before: "
                f"p has to be below {self.alpha:.2g}."
            )
        return "Better by no more than chance explains."


def pass_at_k(passes: int, samples: int, k: int) -> float:
    """Unbiased estimate of the chance that one of `k` samples passes, out of `samples` >= k
    (arXiv 2107.03374)."""
    if not 0 <= passes <= samples or not 1 <= k <= samples:
        raise ValueError(f"{passes} of {samples}, k = {k}")
    return 1.0 - math.comb(samples - passes, k) / math.comb(samples, k)


def compare(
    tasks: Sequence[Task],
    before: Counts,
    after: Counts,
    k: int = SAMPLES,
    seed: int = 0,
    searched: Repairs | None = None,
    look: int = 1,
) -> GateResult:
    """Counts of the same tasks, of two models. Raises UsageError where no task has samples of both.

    `look` counts the comparisons on the same tasks, this one included (`threshold`). A task counts
    with the samples that both have of it, for pass@k with at most `k` of them.
    """
    rows = [
        (f"{task.path}::{task.qualname}", b, a)
        for task, b, a in zip(tasks, before, after, strict=True)
        if b[1] and a[1]
    ]
    if not rows:
        raise UsageError(
            "There is nothing to compare on: no held-out task.",
            "A larger test suite gives some, or another --seed.",
        )
    names = sorted({name for name, _, _ in rows})
    number = {name: index for index, name in enumerate(names)}
    sums, counts = numpy.zeros(len(names)), numpy.zeros(len(names))
    for name, b, a in rows:
        sums[number[name]] += a[0] / a[1] - b[0] / b[1]
        counts[number[name]] += 1
    alpha = threshold(look)
    generator = numpy.random.default_rng(seed)
    low, high = _interval(sums, counts, generator)
    p = sign_flip(sums, generator)
    at_k = [[pass_at_k(*count, min(k, b[1], a[1])) for count in (b, a)] for _, b, a in rows]
    mean_before = math.fsum(b[0] / b[1] for _, b, _ in rows) / len(rows)
    mean_after = math.fsum(a[0] / a[1] for _, _, a in rows) / len(rows)
    return GateResult(
        before=mean_before, after=mean_after,
        before_at_k=math.fsum(pair[0] for pair in at_k) / len(rows),
        after_at_k=math.fsum(pair[1] for pair in at_k) / len(rows),
        k=k, low=low, high=high, p=p,
        better=bool(sums.sum() > _TINY and p < alpha and not (searched and searched.fewer)),
        tasks=len(rows), functions=len(names), won=int((sums > _TINY).sum()),
        lost=int((sums < -_TINY).sum()), samples=max(max(b[1], a[1]) for _, b, a in rows),
        repairs=searched, look=look, alpha=alpha,
    )  # fmt: skip


def sign_flip(differences: numpy.ndarray, generator: numpy.random.Generator) -> float:
    """One-sided p-value of the sum of `differences` under random signs; 1 where all are zero."""
    moved = differences[numpy.abs(differences) > _TINY]
    seen = moved.sum() - _TINY * max(1.0, float(numpy.abs(moved).sum()))
    if len(moved) == 0:
        return 1.0
    if len(moved) <= EXACT:
        signs = 1 - 2 * ((numpy.arange(2 ** len(moved))[:, None] >> numpy.arange(len(moved))) & 1)
        return float((signs @ moved >= seen).mean())
    found = 0
    for _ in range(10):  # in parts: memory
        signs = generator.integers(0, 2, (FLIPS // 10, len(moved))) * 2 - 1
        found += int((signs @ moved >= seen).sum())
    return (found + 1) / (FLIPS + 1)


def _interval(
    sums: numpy.ndarray, counts: numpy.ndarray, generator: numpy.random.Generator
) -> tuple[float, float]:
    """95 % of the mean difference of a task, functions drawn with replacement."""
    drawn = generator.integers(0, len(sums), (DRAWS, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = numpy.quantile(means, [0.025, 0.975])
    return float(low), float(high)
