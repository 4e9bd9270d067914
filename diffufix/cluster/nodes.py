"""Actors on the nodes of a cluster: `Nodes` places them and ends them. Touches Ray alone."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import diffufix
from diffufix.cluster.actor import Host
from diffufix.cluster.snapshot import Portable

MOST = 16  # workers of one actor
FEW = 30.0  # seconds for what takes no time


class Nodes:
    """`host` is the class of the actors. For several threads."""

    def __init__(self, host: type[Host] = Host) -> None:
        self._host = host
        self._known: dict[str, dict[str, None]] = {}  # digest of a snapshot -> nodes that have it

    def place(
        self, factory: Portable, options: Mapping[str, Any], cores: int, again: bool = False
    ) -> Any:
        """An actor that will have so many cores. The nodes get equally many; one that takes the
        place of another (`again`) goes where the snapshot is, if there is room."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy: Any = "SPREAD"
        here = {node["NodeID"] for node in ray.nodes() if node["Alive"]} if again else set()
        near = [node for node in self._known.get(factory.snapshot.digest, ()) if node in here]
        if near:
            strategy = NodeAffinitySchedulingStrategy(near[-1], soft=True)
        made = self._made.options(num_cpus=cores, scheduling_strategy=strategy)
        return made.remote(diffufix.__version__, factory, options)

    def shards(self, workers: int) -> list[int]:
        """Workers shared out over actors: as many in each as the smallest node has cores, `MOST` at
        most. Workers beyond the cores that there are now wait for a node that joins."""
        import ray

        cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
        size = min([MOST, workers, *filter(None, cores)])
        return [size] * (workers // size) + ([rest] if (rest := workers % size) else [])

    @cached_property
    def _made(self) -> Any:
        """The class as Ray has it, sent to the cluster once."""
        import ray

        return ray.remote(self._host)

    def placed(self, factory: Portable, node: str) -> None:
        """Note where an actor came to be: its snapshot is there."""
        self._known.setdefault(factory.snapshot.digest, {})[node] = None

    def dismiss(self, actor: Any) -> None:
        """End an actor and what it started; one that is gone is no error."""
        import ray
        from ray.exceptions import RayError

        with contextlib.suppress(RayError):
            ray.get(actor.close.remote(), timeout=FEW)
        self.kill(actor)

    def kill(self, actor: Any) -> None:
        """Whatever it does."""
        import ray
        from ray.exceptions import RayError

        with contextlib.suppress(RayError, ValueError):
            ray.kill(actor)
