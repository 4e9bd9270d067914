"""How many cores a model on the CPU takes."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from diffufix.decode.aside import Asked

LOOK = 0.2  # seconds of the model's work that say how many cores it really gets
ENOUGH = 0.6  # of the cores asked for: with fewer, threads wait for each other
AGAIN = 4.0  # seconds until all cores are tried once more


class Threads:
    """All cores while nothing else wants them, one while `busy` says that something does.

    What other programs want shows in the processor time that the model gets: threads for which
    there is no core hold the others up. The same goes for a container that has fewer cores than
    the machine.
    """

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy, self._all, self._now = busy, os.cpu_count() or 1, 0
        self._there = self._all  # cores there seem to be for us
        self._wall = self._spent = self._since = 0.0

    def around(self, answer: Callable[[Sequence[Asked]], Tensor]) -> Callable[..., Tensor]:
        """`answer`, on as many cores as it should have."""

        def adapted(asked: Sequence[Asked]) -> Tensor:
            self._adapt()
            began, spent = time.perf_counter(), time.process_time()
            found = answer(asked)
            self._learn(time.perf_counter() - began, time.process_time() - spent)
            return found

        return adapted

    def _adapt(self) -> None:
        if self._there < self._all and time.monotonic() - self._since > AGAIN:
            self._there = self._all
        wanted = 1 if self._busy() else self._there
        if wanted != self._now:
            self._now, self._wall, self._spent = wanted, 0.0, 0.0
            torch.set_num_threads(wanted)

    def _learn(self, wall: float, spent: float) -> None:
        self._wall, self._spent = self._wall + wall, self._spent + spent
        if self._now == 1 or self._wall < LOOK:
            return
        cores = self._spent / self._wall
        if cores < ENOUGH * self._now:
            self._there, self._since = max(1, round(cores)), time.monotonic()
        self._wall = self._spent = 0.0


@contextlib.contextmanager
def threads_kept() -> Iterator[None]:
    """Afterwards the number of threads is as before."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
