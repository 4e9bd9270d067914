"""The queue: what asks twice works once, what failed is not kept, what ends says "again"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from diffufix.errors import SandboxUnavailable, UsageError
from diffufix.serve.jobs import Jobs, Late, Stopping
from diffufix.serve.protocol import Busy


class Work:
    """Counts its runs; ends when it is told."""

    def __init__(self, failing: int = 0) -> None:
        self.runs, self._failing, self.may_end = 0, failing, asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        await self.may_end.wait()
        if self.runs <= self._failing:
            raise SandboxUnavailable("broken")
        return self.runs


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 10))

    return run


@in_loop
async def test_who_comes_back_finds_the_work() -> None:
    jobs, work = Jobs(1, 1), Work()
    with pytest.raises(Late):
        await jobs.answer("a", "x", work, 0.01)
    again = asyncio.ensure_future(jobs.answer("a", "x", work, 5))
    await asyncio.sleep(0)
    work.may_end.set()
    assert await again == 1
    assert await jobs.answer("a", "x", work, 5) == 1
    with pytest.raises(UsageError, match="something else"):
        await jobs.answer("a", "y", work, 5)
    assert await jobs.answer("", "x", work, 5) == 2  # without an id nothing is kept
    assert await jobs.answer("", "x", work, 5) == 3


@in_loop
async def test_what_failed_is_tried_again() -> None:
    jobs, work = Jobs(1, 1), Work(failing=1)
    work.may_end.set()
    with pytest.raises(SandboxUnavailable, match="broken"):
        await jobs.answer("a", "x", work, 5)
    assert await jobs.answer("a", "x", work, 5) == 2


@in_loop
async def test_a_full_queue() -> None:
    jobs, work = Jobs(1, 1), Work()
    for name in "ab":
        with pytest.raises(Late):
            await jobs.answer(name, "x", work, 0.01)
    assert (jobs.running, jobs.waiting, jobs.full) == (1, 1, True)
    with pytest.raises(Busy) as caught:
        await jobs.answer("c", "x", work, 5)
    assert caught.value.after >= 1
    work.may_end.set()
    assert await jobs.answer("b", "x", work, 5) == 2
    assert await jobs.answer("c", "x", work, 5) == 3
    assert (jobs.running, jobs.waiting) == (0, 0)


@in_loop
async def test_the_end() -> None:
    jobs, work, slow = Jobs(2, 1), Work(), Work()
    quick = asyncio.ensure_future(jobs.answer("a", "x", work, 5))
    late = asyncio.ensure_future(jobs.answer("b", "x", slow, 5))
    await asyncio.sleep(0.01)
    jobs.drain(0.1)
    work.may_end.set()
    assert await quick == 1
    with pytest.raises(Stopping):
        await jobs.answer("c", "x", work, 5)
    assert await jobs.answer("a", "x", work, 5) == 1
    with pytest.raises(Stopping):
        await late
    slow.may_end.set()
