"""What runs on a node: `Host`, a Ray actor around a `ValidatorPool` of that node's cores.

An answer is (value, None) or (None, error): errors of ours come back as they were, whatever Ray
makes of exceptions. Touches what the pool touches, and a scratch folder with the project.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import diffufix
from diffufix.cluster.snapshot import Portable
from diffufix.errors import DiffufixError, PrerequisiteError, TooLate
from diffufix.sandbox import reap
from diffufix.types import Candidate, Verdict
from diffufix.verify import ValidatorPool

Answer = tuple[Any, Exception | None]
#: (the driver's token, candidate, tests, options of `submit`)
Asked = tuple[int, Candidate, Sequence[str], Mapping[str, Any]]
POLL = 0.03  # seconds that an exchange waits for a first verdict


class Host:
    """One pool. Its methods are called one after the other."""

    def __init__(self, version: str, factory: Portable, options: Mapping[str, Any]) -> None:
        self._other = "" if version == diffufix.__version__ else version
        self._factory, self._options = factory, options
        self._pool: ValidatorPool | None = None
        self._tokens: dict[int, int] = {}  # the pool's -> the driver's

    def node(self) -> Answer:
        """Ray's name of the node; also a word that the actor is there."""
        import ray

        return ray.get_runtime_context().get_node_id(), None

    def start(self) -> Answer:
        """The ids that pytest collected."""
        return _answer(self._start)

    def exchange(self, jobs: Sequence[Asked]) -> Answer:
        """Take these on; what is known by now, as (token, verdict)."""
        return _answer(lambda: self._exchange(jobs))

    def check(self, tests: Sequence[str], seconds: float | None) -> Answer:
        """`ValidatorPool.check` within so many seconds, and what the tests said."""
        until = None if seconds is None else time.monotonic() + seconds
        return _answer(lambda: (self._started.check(tests, until), self._started.said))

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            reap.remove(self._source.parent)

    @property
    def _started(self) -> ValidatorPool:
        assert self._pool is not None
        return self._pool

    def _start(self) -> frozenset[str]:
        if self._other:
            raise PrerequisiteError(
                f"A node has diffufix {diffufix.__version__}, the driver {self._other}.",
                "Install the same version on every node.",
            )
        reap.reap_folders()
        self._source = self._factory.snapshot.lay()
        self._pool = ValidatorPool(self._factory, source=self._source, **self._options)
        self._pool.__enter__()
        return self._pool.collected

    def _exchange(self, jobs: Sequence[Asked]) -> list[tuple[int, Verdict]]:
        pool = self._started
        for token, candidate, tests, options in jobs:
            self._tokens[pool.submit(candidate, tests, **options)] = token
        return [(self._tokens.pop(own), verdict) for own, verdict in pool.results(POLL)]


def _answer(work: Callable[[], Any]) -> Answer:
    try:
        return work(), None
    except (DiffufixError, TooLate, OSError, ValueError) as error:
        return None, error
