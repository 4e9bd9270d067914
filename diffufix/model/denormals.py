"""Denormal floats count as zero while a model computes.

The tails of a softmax and the gradients of attention are full of them, and on a CPU they cost many
times what other floats do (bench/training.py). The rest of a program may want them back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def flushed() -> Iterator[None]:
    """For this thread, and for good in those that PyTorch starts meanwhile."""
    before = not float(torch.tensor(5e-324, dtype=torch.float64) * 1.0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
