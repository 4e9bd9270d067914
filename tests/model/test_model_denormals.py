"""Denormals are zero inside, and what they were outside."""

from __future__ import annotations

import torch

from diffufix.model.denormals import flushed


def _least() -> float:
    return float(torch.tensor(5e-324, dtype=torch.float64) * 1.0)


def test_denormals_are_zero_inside_alone() -> None:
    assert _least() > 0
    with flushed():
        assert _least() == 0
        with flushed():
            assert _least() == 0
        assert _least() == 0
    assert _least() > 0
