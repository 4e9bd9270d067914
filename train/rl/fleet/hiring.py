"""Who is hired for a fleet: a roller for each GPU of a cluster, or for each machine without one.

What a roller is made of travels (`RollerPlan`). Its model does not: it is loaded where it samples,
from the same checkpoint, and made ready as the driver's was, so that the weights have the same
names. Touches Ray; a roller touches what its sandboxes touch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import diffufix
from diffufix.cluster.snapshot import Portable
from diffufix.errors import CheckpointError, PrerequisiteError
from diffufix.registry.policy import Policy
from diffufix.sandbox import reap
from diffufix.train.rl.fleet.roller import RayRoll, Roller
from diffufix.verify import ValidatorPool

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel


@dataclass(frozen=True)
class RollerPlan:
    """What a roller is made of, on any node; `fingerprint` is that of the driver's weights.

    `ready` puts a loaded model into the shape that is trained. `screen` are options of
    `ValidatorPool`, `steady` the tests that pass, `collector` options of `Collector`.
    """

    policy: Policy
    device: str
    dtype: str
    fingerprint: str
    ready: Callable[[LoadedModel], object]
    factory: Portable
    screen: Mapping[str, Any]
    steady: tuple[str, ...]
    collector: Mapping[str, Any]
    version: str = diffufix.__version__

    def make(self, cores: int) -> Roller:
        """Raises PrerequisiteError, CheckpointError, and what entering a pool raises."""
        import torch

        if self.version != diffufix.__version__:
            raise PrerequisiteError(
                f"A node has diffufix {diffufix.__version__}, the driver {self.version}.",
                "Install the same version on every node.",
            )
        torch.set_num_threads(cores)
        reap.reap_folders()
        source = self.factory.snapshot.lay()
        screen = ValidatorPool(self.factory, source=source, workers=cores, **self.screen)
        roller = Roller(self._load, lambda: screen, self.collector)
        screen.check(self.steady)  # a pool learns from it what is usual
        return roller

    def _load(self) -> LoadedModel:
        model = self.policy.load(self.device, self.dtype)
        if model.fingerprint != self.fingerprint:
            raise CheckpointError(
                f"A node has another {self.policy.name} than the driver.",
                f"Put the same checkpoint at {self.policy.checkpoint} on every node.",
            )
        self.ready(model)
        return model


@dataclass(frozen=True)
class Room:
    """A node of the cluster and what one roller gets there."""

    node: str
    rollers: int
    gpus: int
    cores: int


def rooms() -> list[Room]:
    """Of the nodes that are there now."""
    import ray

    found = []
    for node in ray.nodes():
        cores, gpus = (int(node["Resources"].get(what, 0)) for what in ("CPU", "GPU"))
        if node["Alive"] and (cores or gpus):
            rollers = max(1, gpus)
            found.append(Room(node["NodeID"], rollers, min(1, gpus), max(1, cores // rollers)))
    return found


@dataclass
class Hiring:
    """Hires rollers where fewest are; `workers` is how many candidates all of them test at once,
    0: one on each core."""

    plan: RollerPlan
    workers: int = 0
    _hired: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Rollers that the cluster has room for."""
        count = sum(room.rollers for room in rooms())
        return max(1, min(count, self.workers or count))

    def __call__(self, lost: RayRoll | None = None) -> RayRoll:
        """Rather not where one was `lost`. Raises PrerequisiteError where no node is left."""
        if lost is not None:  # the cluster may not know yet that the node is gone
            self._hired[lost.node] += 1
        found = rooms()
        if not found:
            raise PrerequisiteError("No node of the cluster has a core.", "ray start --address")
        room = min(found, key=lambda room: self._hired[room.node] / room.rollers)
        self._hired[room.node] += 1
        share = self.workers // self.count if self.workers else room.cores
        cores = max(1, min(room.cores, share))
        return RayRoll(_Making(self.plan, cores), room.gpus, room.node)


@dataclass(frozen=True)
class _Making:
    plan: RollerPlan
    cores: int

    def __call__(self) -> Roller:
        return self.plan.make(self.cores)
