"""Rollouts on a cluster: `Fleet`, used as a `Collector` is, with the sampling models elsewhere.

    fleet = Fleet(hire, count=4, stale=1)
    groups = fleet.groups(model, tasks, n, generator)

Each roller has a copy of the model and warm workers for the candidates beside it. The trained
weights go to the cluster once for each version, and a roller takes them with the first tasks that
want them. Every group carries the version that sampled it. With `stale` = 0 a call waits for its
own tasks: the policy gradient is on-policy. Otherwise the tasks of `stale` calls may be under way
when it returns, so that sampling goes on while the model is updated; a group whose weights are
more than `stale` versions old when it comes is dropped and counted. Touches the cluster only.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from diffufix.errors import SandboxUnavailable
from diffufix.train.rl.rollouts import Throughput
from diffufix.types import Group, Task

if TYPE_CHECKING:
    import torch

    from diffufix.model.checkpoint import LoadedModel

PART = 2  # tasks of one request: what is lost with a roller
TRIES = 3  # rollers that are lost with a part before its tasks are given up


class Roll(Protocol):
    """One roller as the driver sees it."""

    def ask(
        self, weights: Weights, tasks: Sequence[Task], n: int, seed: int
    ) -> Future[tuple[list[Group], Throughput]]:
        """Fails with SandboxUnavailable where the roller is lost."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Weights:
    """A version of what is trained: its number from 0, its name, and where the tensors are."""

    number: int
    name: str
    stored: Any


@dataclass(frozen=True)
class _Part:
    number: int  # of the weights
    tasks: tuple[Task, ...]
    n: int
    seed: int
    losses: int = 0


@dataclass
class Fleet:
    """`hire` makes a roller, given a lost one one for its place; `store` puts trained weights where
    rollers can take them from.

    `keep` hears of each group that is used. For one thread.
    """

    hire: Callable[..., Roll]
    count: int
    store: Callable[[Mapping[str, Any]], Any]
    stale: int = 0
    version: str = ""
    keep: Callable[[Group], None] = lambda group: None
    spent: Throughput = field(default_factory=Throughput)
    ages: Counter[int] = field(default_factory=Counter)  # versions behind -> groups used
    dropped: int = 0  # groups that were older than `stale`
    lost: int = 0  # rollers
    given_up: int = 0  # tasks

    def __post_init__(self) -> None:
        self._rolls = [self.hire() for _ in range(self.count)]
        self._asked: dict[Future[tuple[list[Group], Throughput]], tuple[Roll, _Part]] = {}
        self._weights = Weights(-1, "", None)

    def groups(
        self, model: LoadedModel, tasks: Sequence[Task], n: int, generator: torch.Generator
    ) -> list[Group]:
        """A group of `n` completions of each task, as far as they are there (see above), late ones
        of earlier calls first, then in the order of the tasks."""
        import torch

        self._broadcast(model)
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        waiting = [
            _Part(self._weights.number, tuple(tasks[at : at + PART]), n, rng.getrandbits(60))
            for at in range(0, len(tasks), PART)
        ]
        left = self.stale * len(waiting)  # requests that may be under way when it returns
        bound = left + len(waiting)
        found: list[Group] = []
        while True:
            while waiting and len(self._asked) < bound:
                self._submit(waiting.pop(0))
            enough = len(self._asked) <= left and not waiting
            done = [future for future in self._asked if future.done()] if enough else None
            if done == []:
                at = {task.key: place for place, task in enumerate(tasks)}
                return sorted(found, key=lambda group: at.get(group.task.key, -1))
            for future in done or wait(self._asked, return_when=FIRST_COMPLETED).done:
                found += self._taken(future, waiting)

    def close(self) -> None:
        for roll in self._rolls:
            roll.close()

    def numbers(self) -> dict[str, float]:
        """What a row of the log says of the rollouts so far."""
        used = self.ages.total()
        mean = sum(age * count for age, count in self.ages.items()) / used if used else 0.0
        return {
            "staleness": round(mean, 3), "staleness_most": float(max(self.ages, default=0)),
            "dropped": float(self.dropped), "lost_rollers": float(self.lost),
            "given_up": float(self.given_up),
        }  # fmt: skip

    def _broadcast(self, model: LoadedModel) -> None:
        if self._weights.number >= 0 and self._weights.name == self.version:
            return
        state = {
            name: parameter.detach().cpu()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self._weights = Weights(self._weights.number + 1, self.version, self.store(state))

    def _submit(self, part: _Part) -> None:
        busy = Counter(id(roll) for roll, _ in self._asked.values())
        roll = min(self._rolls, key=lambda each: busy[id(each)])
        future = roll.ask(self._weights, part.tasks, part.n, part.seed)
        self._asked[future] = (
            roll,
            _Part(self._weights.number, part.tasks, part.n, part.seed, part.losses),
        )

    def _taken(
        self, future: Future[tuple[list[Group], Throughput]], waiting: list[_Part]
    ) -> list[Group]:
        roll, part = self._asked.pop(future)
        try:
            groups, spent = future.result()
        except SandboxUnavailable:
            self._replace(roll)
            if part.losses + 1 < TRIES:
                again = part.losses + 1
                waiting.append(_Part(part.number, part.tasks, part.n, part.seed, again))
            else:
                self.given_up += len(part.tasks)
            return []
        for name, value in asdict(spent).items():
            setattr(self.spent, name, getattr(self.spent, name) + value)
        age = self._weights.number - part.number
        if age > self.stale:
            self.dropped += len(groups)
            return []
        self.ages[age] += len(groups)
        for group in groups:
            self.keep(group)
        return groups

    def _replace(self, lost: Roll) -> None:
        """A new roller in the place of one that is lost; once, however many of its parts were."""
        for index, roll in enumerate(self._rolls):
            if roll is lost:
                self.lost += 1
                roll.close()
                self._rolls[index] = self.hire(roll)
