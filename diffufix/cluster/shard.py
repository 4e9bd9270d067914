"""The driver's end of a pool on another machine: `Shard`, of so many workers.

Whatever befalls the actor, its node or the way to it is `SandboxUnavailable`, never a verdict.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from diffufix.cluster.actor import Asked
from diffufix.cluster.nodes import Nodes
from diffufix.cluster.snapshot import Portable
from diffufix.errors import SandboxUnavailable
from diffufix.types import Verdict
from diffufix.verify.worker import START_TIMEOUT

ROOM = 180.0  # seconds in which a node must have the cores
LONG = START_TIMEOUT + 120.0  # seconds to make sandboxes and start their servers
SILENCE = 60.0  # seconds without an answer from an actor that answers at once


class Shard:
    """`nodes` places its actor; a lost one is placed anew by `restart`. For one thread, but for
    `interrupt`."""

    def __init__(
        self, nodes: Nodes, factory: Portable, options: Mapping[str, Any], workers: int
    ) -> None:
        self.workers = workers
        self.collected: frozenset[str] = frozenset()
        self._nodes, self._factory = nodes, factory
        self._options = {**options, "workers": workers}
        self._actor: Any = None
        self._again = self._starting = False
        self._checked: Sequence[str] | None = None
        self.node = ""  # where the actor is, once it is

    def start(self) -> None:
        """Raises SandboxUnavailable, and what entering the pool there raises."""
        self._starting = True
        self.node = ""
        self._actor = self._nodes.place(
            self._factory, self._options, self.workers, again=self._again
        )
        self._again = True
        try:
            self.node = self._got(self._actor.node.remote(), ROOM)
            self._nodes.placed(self._factory, self.node)
            self.collected = self._got(self._actor.start.remote(), LONG)
            if self._checked is not None:  # a pool learns from it what is usual
                self._got(self._actor.check.remote(self._checked, None), LONG)
        except BaseException:
            self._end(kindly=False)
            raise
        finally:
            self._starting = False

    def restart(self) -> None:
        self._end(kindly=False)
        self.start()

    def exchange(self, jobs: Sequence[Asked]) -> list[tuple[int, Verdict]]:
        """Hand jobs over, take what is known, both maybe none; waits a moment for a first one."""
        return self._got(self._there.exchange.remote(jobs), SILENCE)

    def check(self, tests: Sequence[str], until: float | None) -> tuple[Verdict, dict[str, str]]:
        """See `ValidatorPool.check`; what the tests said comes with it. Raises TooLate."""
        self._checked = tests
        self._starting = True
        seconds = None if until is None else max(0.0, until - time.monotonic())
        try:
            return self._got(self._there.check.remote(tests, seconds))
        finally:
            self._starting = False

    def interrupt(self) -> None:
        """From another thread: what would take long fails at once."""
        actor = self._actor
        if actor is not None and self._starting:
            self._nodes.kill(actor)

    def close(self) -> None:
        self._end(kindly=True)

    def _end(self, kindly: bool) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            (self._nodes.dismiss if kindly else self._nodes.kill)(actor)

    @property
    def _there(self) -> Any:
        if self._actor is None:
            raise SandboxUnavailable("a part of the cluster is lost")
        return self._actor

    def _got(self, reference: Any, timeout: float | None = None) -> Any:
        """The answer. Raises what was raised there, SandboxUnavailable where there is no answer."""
        from ray import get
        from ray.exceptions import GetTimeoutError, RayError

        try:
            value, error = get(reference, timeout=timeout)
        except GetTimeoutError as late:
            what = "does not answer" if self.node else f"does not have {self.workers} cores free"
            raise SandboxUnavailable(f"the cluster {what}", "Fewer --workers?") from late
        except RayError as lost:
            reason = (str(lost).strip() or type(lost).__name__).splitlines()[0]
            raise SandboxUnavailable(f"a part of the cluster is lost: {reason}") from lost
        if error is not None:
            raise error
        return value
