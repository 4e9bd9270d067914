"""Work that requests wait for: a bounded queue in front of a few slots, each answer kept under its
request's id.

A client that lost its connection asks again with the same id: it finds the work under way, or the
answer. What failed is not kept, so asking again tries again. For one event loop.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from diffufix.errors import SandboxUnavailable, UsageError
from diffufix.serve.protocol import Busy

KEPT = 2_000  # answers


class Stopping(SandboxUnavailable):
    """The server is going down: what is open is to be asked of the next one."""


class Late(SandboxUnavailable):
    """No answer within the request's time; the work goes on, and asking again finds it."""


class Jobs:
    """At most `slots` run at once, at most `waiting` wait for one."""

    def __init__(self, slots: int, waiting: int) -> None:
        self._slots, self._most = slots, waiting
        self._room = asyncio.Semaphore(slots)
        self._known: OrderedDict[str, tuple[str, asyncio.Task[Any]]] = OrderedDict()
        self._open: set[asyncio.Task[Any]] = set()
        self._stopped = asyncio.Event()
        self._seconds = 0.5  # of a job, a running mean
        self.running = 0
        self.draining = False

    @property
    def waiting(self) -> int:
        """Jobs without a slot."""
        return len(self._open) - self.running

    @property
    def full(self) -> bool:
        return self.waiting >= self._most

    async def answer(
        self, id: str, digest: str, work: Callable[[], Awaitable[Any]], seconds: float
    ) -> Any:
        """What `work` returns, started now or earlier under this id.

        Raises Busy (the queue is full), Stopping, Late after `seconds`, UsageError for an id that
        stands for another question, and what the work raises.
        """
        known = self._known.get(id) if id else None
        if known is not None and known[0] != digest:
            raise UsageError(f"The request id {id} was used for something else.", "Make a new one.")
        if known is None and self.draining:
            raise Stopping("the server is going down")
        task = known[1] if known else self._begin(id, digest, work)
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({task, stopped}, timeout=seconds, return_when=first)
        finally:
            stopped.cancel()
        if task.done():
            return task.result()
        if self._stopped.is_set():
            raise Stopping("the server went down before there was an answer")
        raise Late(f"no answer within {seconds:g} s; it is still being worked on")

    def _begin(self, id: str, digest: str, work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        if self.running >= self._slots and self.full:
            raise Busy(f"{self.waiting} requests wait already", self._after())
        task = asyncio.ensure_future(self._run(work))
        self._open.add(task)
        if id:
            self._known[id] = digest, task
        task.add_done_callback(lambda done: self._ended(id, done))
        return task

    async def _run(self, work: Callable[[], Awaitable[Any]]) -> Any:
        async with self._room:
            self.running += 1
            began = asyncio.get_running_loop().time()
            try:
                return await work()
            finally:
                self.running -= 1
                took = asyncio.get_running_loop().time() - began
                self._seconds += 0.1 * (took - self._seconds)

    def _ended(self, id: str, task: asyncio.Task[Any]) -> None:
        self._open.discard(task)
        failed = task.cancelled() or task.exception() is not None
        if failed:
            self._known.pop(id, None)
        while len(self._known) > KEPT and next(iter(self._known.values()))[1].done():
            self._known.popitem(last=False)

    def _after(self) -> float:
        """Seconds in which half of the queue will be done."""
        return float(min(30, math.ceil(self._most / 2 * self._seconds / self._slots) or 1))

    def drain(self, grace: float) -> None:
        """Take no new work; after `grace` seconds what is open is answered by Stopping."""
        self.draining = True
        asyncio.get_running_loop().call_later(grace, self._stopped.set)
