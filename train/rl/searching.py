"""Held-out tasks repaired as `repair` does it: by the best-first search over all holes of the
function, each candidate run on the task's tests. The budget is a number of candidates, so that a
busy machine gives the same answer as an idle one. Uses the screen it is given, nothing else.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from diffufix.decode.threads import threads_kept
from diffufix.propose.candidates import EditTarget, PatchSet
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.source.functions import functions
from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.train.rl.rollouts import Key
from diffufix.types import Candidate, State, SuspiciousFunction, Task, Verdict
from diffufix.verify import ValidatorPool

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

TRIES = 50  # candidates: a second or two of `repair`
AHEAD = 8  # candidates under way


class Searcher:
    """Searches with one screen; what is known of a candidate is not run again."""

    def __init__(self, screen: ValidatorPool, tries: int = TRIES, seed: int = 0) -> None:
        self.screen, self.tries, self.seed = screen, tries, seed
        self._known: dict[Key, Verdict] = {}

    def places(self, model: LoadedModel, tasks: Sequence[Task]) -> list[int | None]:
        """For each task the place, from 1, of the first candidate that passes; None: none of the
        first `tries` did."""
        with threads_kept():
            return [self._place(model, task) for task in tasks]

    def _place(self, model: LoadedModel, task: Task) -> int | None:
        todo = enumerate(itertools.islice(self._candidates(model, task), self.tries), 1)
        waiting: dict[int, tuple[int, Key]] = {}
        best: int | None = None
        more = True
        while more or waiting:
            while more and best is None and len(waiting) < AHEAD and self.screen.capacity:
                number, candidate = next(todo, (0, None))
                more = candidate is not None
                if candidate is None:
                    break
                key = candidate.key, task.tests
                if key in self._known:
                    best = number if self._known[key].passed else best
                else:
                    waiting[self.screen.submit(candidate, task.tests)] = number, key
            more = more and best is None
            for token, verdict in self.screen.results(0.0 if more else None):
                number, key = waiting.pop(token)
                if verdict.state is not State.INFRA:
                    self._known[key] = verdict
                if verdict.passed:
                    best = min(number, best or number)
        return best

    def _candidates(self, model: LoadedModel, task: Task) -> Iterator[Candidate]:
        subject = EditTarget(_suspect(task), task.source)
        assembly = PatchSet({task.path: task.source})
        story = FailureContext(task.failing[0] if task.failing else "", told=task.said)
        found = propose(
            model, [subject], story, seed=self.seed, busy=lambda: self.screen.pending > 0
        )
        for proposal in found:
            change = subject.change(proposal.hole, proposal.text)
            files = assembly.files(change) if change else None
            if files is not None:
                yield Candidate(files)


class OfFunction(Protocol):
    """What is about one function: a task, a pair."""

    @property
    def path(self) -> str: ...
    @property
    def qualname(self) -> str: ...


T = TypeVar("T", bound=OfFunction)


def chosen(tasks: Sequence[T], count: int) -> list[T]:
    """Up to `count` of them, of every function one before any has two."""
    turns: dict[tuple[str, str], int] = {}
    ranked = []
    for index, task in enumerate(tasks):
        name = task.path, task.qualname
        turns[name] = turns.get(name, 0) + 1
        ranked.append((turns[name], index))
    return [tasks[index] for _, index in sorted(ranked)[:count]]


def _suspect(task: Task) -> SuspiciousFunction:
    text = Text(task.source)
    for name, node in functions(parse(task.source)):
        start, end = text.span(node)
        if name == task.qualname and start <= task.start and task.end <= end:
            return SuspiciousFunction(
                task.path, name, text.line_of(start), text.line_of(end), 1.0, {}, "held out"
            )
    raise ValueError(f"{task.path} has no function {task.qualname} around the hole")
