"""Operations of an edit against all alignments there are, and what holes cost by them."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch

from diffufix.decode.edits import edit_costs, insertions, operations_of
from diffufix.model.editing import DELETE, INSERT, KEEP, SUBSTITUTE, EditHead, operations
from tests.support.mini import tiny_model


def is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(token in rest for token in part)


def most_kept(before: str, after: str) -> int:
    """By trying every subset of the tokens."""
    for count in range(len(before), 0, -1):
        for kept in itertools.combinations(before, count):
            if is_subsequence("".join(kept), after):
                return count
    return 0


def test_as_much_is_kept_as_by_any_alignment() -> None:
    rng = random.Random(4)
    for _ in range(400):
        before = "".join(rng.choices("abc", k=rng.randint(0, 6)))
        after = "".join(rng.choices("abc", k=rng.randint(0, 6)))
        made = operations(before, after)
        kept = [
            c for c, operation in zip(before, made, strict=False) if operation in (KEEP, INSERT)
        ]
        assert len(made) == len(before) + 1
        assert made[-1] in (KEEP, INSERT)
        assert len(kept) == most_kept(before, after), (before, after, made)
        assert is_subsequence("".join(kept), after)
        gone = sum(operation in (SUBSTITUTE, DELETE) for operation in made)
        come = len(after) - len(kept)
        assert made.count(SUBSTITUTE) <= come
        assert gone == len(before) - len(kept)
        if not gone:  # nothing but insertions: one mark for every run of them
            assert bool(come) == (INSERT in made)


def test_runs_of_tokens() -> None:
    assert operations("abcd", "abxd") == [KEEP, KEEP, SUBSTITUTE, KEEP, KEEP]
    assert operations("abcd", "ad") == [KEEP, DELETE, DELETE, KEEP, KEEP]
    assert operations("abcd", "axd") == [KEEP, SUBSTITUTE, DELETE, KEEP, KEEP]
    assert operations("ab", "axyb") == [KEEP, INSERT, KEEP]
    assert operations("ab", "abz") == [KEEP, KEEP, INSERT]
    assert operations("ab", "axyz") == [KEEP, SUBSTITUTE, KEEP]
    assert operations("", "") == [KEEP]


def test_a_hole_costs_what_its_edits_are_unlikely() -> None:
    edits = [(0.01, 0.0), (0.3, 0.1), (0.02, 0.0), (0.2, 0.15), (0.0, 0.0)]
    holes = [(0, 1), (1, 2), (1, 4), (3, 3), (0, 4)]
    costs = edit_costs(edits, holes, weight=1.0, far=50.0)

    def likely(start: int, end: int) -> float:
        """That all edits lie inside and there is one, by going through all sets of edits."""
        total = 0.0
        for chosen in itertools.product((False, True), repeat=len(edits)):
            if any(chosen) and all(start <= i < end for i, c in enumerate(chosen) if c):
                total += math.prod(
                    p if c else 1 - p for c, (p, _) in zip(chosen, edits, strict=True)
                )
        return total

    wide = [hole for hole in holes if hole[0] < hole[1]]
    best = max(math.log(likely(*hole)) for hole in wide)
    for hole in wide:
        assert costs[holes.index(hole)] == pytest.approx(best - math.log(likely(*hole)), abs=1e-5)
    assert min(costs) == 0.0
    assert insertions(edits, 0.05) == [3, 1]


def test_a_new_head_keeps_and_a_model_without_one_says_nothing() -> None:
    head = EditHead(8, 4)
    head.restart(torch.Generator().manual_seed(0))
    with torch.no_grad():
        p = head(torch.randn(5, 8)).softmax(-1)
    assert p.shape == (5, 4)
    assert bool((p[:, KEEP] > 0.8).all())
    assert operations_of(tiny_model(50), torch.zeros(3, 32)) is None
