"""What samples for a fleet: `Roller`, and `RayRoll`, one as a Ray actor. Touches what its screen
touches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from diffufix.cluster.nodes import Nodes
from diffufix.errors import DiffufixError, SandboxUnavailable
from diffufix.train.rl.fleet.driver import Weights
from diffufix.train.rl.rollouts import Collector, Throughput
from diffufix.types import Group, Task

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.verify import ValidatorPool


class Roller:
    """What runs on a node: a model, warm workers and a collector; an actor, or an object."""

    def __init__(
        self,
        load: Callable[[], LoadedModel],
        screen: Callable[[], ValidatorPool],
        options: Mapping[str, Any],
    ) -> None:
        self.model, self.screen = load(), screen()
        self.screen.__enter__()
        self.collector = Collector(self.screen, **options)
        self._number = -1

    def groups(
        self, weights: Weights, tasks: Sequence[Task], n: int, seed: int
    ) -> tuple[list[Group], Throughput]:
        """Groups of the weights asked for, and what they took."""
        import torch

        if weights.number != self._number:
            state = weights.stored() if callable(weights.stored) else weights.stored
            self.model.load_state_dict(state, strict=False)
            self._number, self.collector.version = weights.number, weights.name
        self.model.eval()
        self.collector.spent = Throughput()
        generator = torch.Generator().manual_seed(seed)
        return self.collector.groups(self.model, tasks, n, generator), self.collector.spent

    def close(self) -> None:
        self.screen.close()


class RayRoll:
    """A `Roller` as a Ray actor with so many GPUs, on `node` if it has room.

    It takes no cores in Ray's books: the driver's own workers, which have them, rest while it
    samples.
    """

    def __init__(self, made: Callable[[], Roller], gpus: float = 0.0, node: str = "") -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.node = node
        where: Any = NodeAffinitySchedulingStrategy(node, soft=True) if node else "DEFAULT"
        made_there = ray.remote(num_cpus=0, num_gpus=gpus, scheduling_strategy=where)(_Made)
        self._actor: Any = made_there.remote(made)

    def ask(
        self, weights: Weights, tasks: Sequence[Task], n: int, seed: int
    ) -> Future[tuple[list[Group], Throughput]]:
        answered: Future[tuple[list[Group], Throughput]] = Future()
        asked = self._actor.groups.remote(weights, tuple(tasks), n, seed)
        asked.future().add_done_callback(lambda done: _answer(done, answered))
        return answered

    def close(self) -> None:
        Nodes().dismiss(self._actor)


class _Made:
    """An actor that makes its roller when it is first asked: models do not travel."""

    def __init__(self, made: Callable[[], Roller]) -> None:
        self._made = made
        self._roller: Roller | None = None

    def groups(self, *asked: Any) -> tuple[list[Group], Throughput]:
        self._roller = self._roller or self._made()
        return self._roller.groups(*asked)

    def close(self) -> None:
        if self._roller is not None:
            self._roller.close()


def _answer(done: Future[Any], answered: Future[Any]) -> None:
    """A lost actor is infrastructure; an error of ours is what it was."""
    error = done.exception()
    cause = getattr(error, "cause", None)
    if error is None:
        answered.set_result(done.result())
    elif isinstance(cause, DiffufixError) and not isinstance(cause, SandboxUnavailable):
        answered.set_exception(cause)
    elif cause is not None and not isinstance(cause, SandboxUnavailable):
        answered.set_exception(error)  # a fault in our code there is not to be tried again
    else:
        answered.set_exception(SandboxUnavailable(f"a roller is lost: {error}".splitlines()[0]))
