"""How many cores a model on the CPU takes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import torch


class Threads:
    """All cores while nothing else wants them, one while something does."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy, self._all, self._now = busy, os.cpu_count() or 1, 0

    def adapt(self) -> None:
        wanted = 1 if self._busy() else self._all
        if wanted != self._now:
            self._now = wanted
            torch.set_num_threads(wanted)


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Afterwards the number of threads is as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
