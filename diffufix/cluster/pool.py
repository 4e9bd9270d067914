"""`ClusterPool`: a `ValidatorPool` whose workers are pools on other machines.

One thread for each of them exchanges what is to be tried for what is known, many candidates at a
time where they come fast. At most `depth` candidates for each worker are under way, so a fast
search waits for a slow cluster.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from diffufix.cluster.nodes import Nodes
from diffufix.cluster.shard import Shard
from diffufix.cluster.snapshot import Portable
from diffufix.errors import SandboxUnavailable
from diffufix.testing.environment import inherited_environment
from diffufix.types import State, Verdict
from diffufix.verify import ValidatorPool
from diffufix.verify.pool import AGAIN, DEPTH, TRIES, Queued


class ClusterPool(ValidatorPool):
    """`shards` are how many workers each has; `options` are those of `ValidatorPool`.

    A shard that is lost in mid-run costs what was under way in it another try; what was with
    `TRIES` of them is INFRA. It is placed anew as soon as there is room.
    """

    def __init__(
        self, nodes: Nodes, factory: Portable, shards: Sequence[int], options: Mapping[str, Any]
    ) -> None:
        env = options.get("env")
        given = {**options, "env": inherited_environment() if env is None else env}
        super().__init__(factory, workers=sum(shards), **given)
        there = given | {"protected": ()}  # what is forbidden is told here
        self._depth = int(options.get("depth", DEPTH))
        self._workers: list[Shard] = [  # type: ignore[assignment]
            Shard(nodes, factory, there, workers) for workers in shards
        ]

    @property
    def shards(self) -> Sequence[Shard]:
        return self._workers

    def check(self, tests: Sequence[str], until: float | None = None) -> Verdict:
        """On every machine; the first one's answer. Each learns from it what is usual."""
        there = [shard for shard in self.shards if shard not in self._lost]

        def one(shard: Shard) -> tuple[Verdict, dict[str, str]]:
            try:
                return shard.check(tests, until)
            except SandboxUnavailable as error:
                self._lost.add(shard)
                return Verdict(State.INFRA, detail=error.message), {}

        with ThreadPoolExecutor(max(1, len(there))) as threads:
            found = list(threads.map(one, there))
        answers = [each for each in found if each[0].state is not State.INFRA] or found
        verdict, self.said = answers[0] if answers else (Verdict(State.INFRA), {})
        return verdict

    # -- a shard's thread ------------------------------------------------------------------

    def _serve(self, shard: Any) -> None:
        under_way: dict[int, Queued] = {}
        while not self._closing.is_set():
            if shard in self._lost and not self._back(shard):
                continue
            jobs = self._gathered(shard, len(under_way))
            if jobs is None:
                return
            under_way |= {job.token: job for job in jobs}
            try:
                done = shard.exchange(
                    [(job.token, job.candidate, job.tests, _options(job)) for job in jobs]
                )
            except SandboxUnavailable as error:
                self._lost.add(shard)
                self._give_back(shard, under_way.values(), error.message)
                under_way.clear()
                continue
            for token, verdict in done:
                del under_way[token]
                self._done.put((token, verdict))

    def _back(self, shard: Any) -> bool:
        """Try to have a lost one back. Where all are lost, what waits is answered: INFRA."""
        if self._restart(shard):
            return True
        if self._others(shard):
            self._closing.wait(AGAIN)
            return False
        while not self._closing.is_set():
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)  # for whoever is to end
                break
            self._give_back(shard, [job], "the whole cluster is lost")
        self._closing.wait(AGAIN / 10)
        return False

    def _give_back(self, shard: Any, jobs: Any, why: str) -> None:
        for job in jobs:
            if job.losses + 1 < TRIES and self._others(shard):
                self._jobs.put(replace(job, losses=job.losses + 1))
            else:
                self._done.put((job.token, Verdict(State.INFRA, detail=why)))

    def _gathered(self, shard: Any, under_way: int) -> list[Queued] | None:
        """A fair part of what waits; None at the end. Waits for some where nothing is under way."""
        found: list[Queued] = []
        room = shard.workers * self._depth - under_way
        fair = -(-self._jobs.qsize() * shard.workers // max(1, self._bound // self._depth))
        most = min(room, max(shard.workers, fair))
        try:
            while len(found) < most:
                job = self._jobs.get(block=not found and not under_way)
                if job is None:
                    return None
                found.append(job)
        except queue.Empty:
            pass
        return found


def _options(job: Queued) -> dict[str, Any]:
    return {
        "way": job.way, "stop": job.stop, "patient": job.patient, "free": job.free,
        "hasty": job.hasty, "least": job.least,
    }  # fmt: skip
