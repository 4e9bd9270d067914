"""`Collector`: groups of completions with what the tests said of each, made as fast as both go.

While the model samples one part of the tasks, the workers of the screen try what it put into the
part before. A text that was tried once in a session is never run again, whichever task or hole it
came from, and what does not parse is not run at all. `repair` collects with it at its end, and
self-play all the time. Uses the screen it is given, nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from diffufix.decode.likelihood import scored
from diffufix.decode.rollout import Sampled, Sampling, rollout
from diffufix.propose.tasks import candidate_of, edit_of, prompt_of, text_of
from diffufix.source.syntax import parse
from diffufix.train.rl.objectives.estimators import behaviours, draw_group
from diffufix.train.rl.rewards import DEFAULT, Weighted, reward
from diffufix.types import Candidate, Completion, Group, Prompt, State, Task, Verdict
from diffufix.verify import ValidatorPool

if TYPE_CHECKING:
    import torch

    from diffufix.model.checkpoint import LoadedModel

TOGETHER = 8  # tasks sampled in one go
KNOWN = 100_000  # verdicts kept

Key = tuple[str, tuple[str, ...]]  # of a candidate, and the tests it is run on


@dataclass
class Throughput:
    """What was done, and the seconds it took. Worker seconds pass beside the others."""

    samples: int = 0
    sampling: float = 0.0
    verdicts: int = 0  # candidates that were run
    running: float = 0.0  # worker seconds
    waiting: float = 0.0  # for verdicts, with nothing else to do
    known: int = 0  # samples whose verdict was known
    unparsed: int = 0
    scored: int = 0  # completions whose likelihoods were computed
    scoring: float = 0.0
    updates: int = 0
    updating: float = 0.0

    def rates(self) -> dict[str, float]:
        """Each stage's own rate, per second of its own."""
        pairs = {
            "samples/s": (self.samples, self.sampling),
            "verdicts/s": (self.verdicts, self.running),
            "scored/s": (self.scored, self.scoring),
            "updates/s": (self.updates, self.updating),
        }
        return {name: round(count / spent, 2) for name, (count, spent) in pairs.items() if spent}

    def since(self, before: Throughput) -> Throughput:
        mine, theirs = asdict(self), asdict(before)
        return Throughput(**{key: mine[key] - theirs[key] for key in mine})


class Rolling(Protocol):
    """What makes groups for a learner: a `Collector`, or models elsewhere (`fleet`)."""

    version: str  # of the weights
    spent: Throughput

    def groups(
        self, model: LoadedModel, tasks: Sequence[Task], n: int, generator: torch.Generator
    ) -> list[Group]: ...

    def numbers(self) -> dict[str, float]:
        """What a row of the log says of them beside what was spent."""
        ...

    def close(self) -> None: ...


@dataclass
class _Open:
    """A group whose verdicts are not all known."""

    index: int
    task: Task
    prompt: Prompt
    samples: list[Sampled]
    texts: list[str]
    keys: list[Key]
    missing: set[Key]
    verdicts: dict[Key, Verdict] = field(default_factory=dict)


class Collector:
    """Makes groups. `keep` hears of each as soon as it is complete (the log).

    `estimator` (objectives/estimators.py) decides what of a group is scored for the update that it
    is meant for, `inner` times; groups without signal are not scored. `version` names the weights.
    `thorough` is for a log that is read later: all tests of a candidate are run, those after the
    first red one too, and every group is scored. At `until` (monotonic seconds) what is not
    complete is dropped; the screen may then still have verdicts of it.
    """

    def __init__(
        self,
        screen: ValidatorPool,
        *,
        sampling: Sampling | None = None,
        estimator: str = "",
        inner: int = 1,
        rewards: tuple[Weighted, ...] = DEFAULT,
        keep: Callable[[Group], None] = lambda group: None,
        version: str = "",
        thorough: bool = False,
        until: float = math.inf,
    ) -> None:
        self.screen, self.sampling = screen, sampling or Sampling()
        self.estimator, self.inner, self.rewards = estimator, inner, rewards
        self.keep, self.version = keep, version
        self.thorough, self.until = thorough, until
        self.spent = Throughput()
        self._known: dict[Key, Verdict] = {}
        self._seed = 0

    def groups(
        self, model: LoadedModel, tasks: Sequence[Task], n: int, generator: torch.Generator
    ) -> list[Group]:
        """A group of `n` completions of each task that the model can be asked, in their order.

        Every completion is verified, those after a first pass too. The generator decides all,
        in whatever order the verdicts come.
        """
        import torch

        self._seed = int(torch.randint(2**62, (), generator=generator))
        asked = [(task, prompt) for task in tasks if (prompt := prompt_of(model, task))]
        waiting: dict[int, tuple[Key, list[_Open]]] = {}
        backlog: dict[Key, tuple[Candidate, list[_Open]]] = {}
        done: dict[int, Group] = {}
        for begin in range(0, len(asked), TOGETHER):
            if self._left() <= 0:
                break
            part = asked[begin : begin + TOGETHER]
            for group in self._sampled(model, part, begin, n, generator):
                self._ask(group, backlog, waiting)
                self._close(model, group, done)
            self._turn(model, backlog, waiting, done, 0.0)
        while (backlog or waiting) and (left := self._left()) > 0:
            self._turn(model, backlog, waiting, done, None if left == math.inf else left)
        return [done[index] for index in sorted(done)]

    def _left(self) -> float:
        return self.until - time.monotonic()

    def numbers(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        """The screen is its owner's."""

    def silent(self) -> Collector:
        """One with the same screen and the same known verdicts that keeps and scores nothing."""
        other = Collector(self.screen, sampling=self.sampling, rewards=self.rewards)
        other._known, other.version = self._known, self.version
        return other

    # -- sampling ----------------------------------------------------------------------------------

    def _sampled(
        self, model: LoadedModel, part: Sequence[tuple[Task, Prompt]], first: int, n: int,
        generator: torch.Generator,
    ) -> Iterator[_Open]:  # fmt: skip
        began = time.monotonic()
        drawn = rollout(model, [prompt for _, prompt in part], n, self.sampling, generator)
        self.spent.sampling += time.monotonic() - began
        self.spent.samples += n * len(part)
        for index, ((task, prompt), samples) in enumerate(zip(part, drawn, strict=True), first):
            texts = [text_of(model, prompt, sample.ids) for sample in samples]
            keys = [(candidate_of(task, text).key, task.tests) for text in texts]
            yield _Open(index, task, prompt, samples, texts, keys, set(keys))

    # -- verdicts ----------------------------------------------------------------------------------

    def _ask(
        self, group: _Open, backlog: dict[Key, tuple[Candidate, list[_Open]]],
        waiting: dict[int, tuple[Key, list[_Open]]],
    ) -> None:  # fmt: skip
        """Take what is known, queue the rest."""
        under_way = dict(waiting.values())
        for key, text in zip(group.keys, group.texts, strict=True):
            if key not in group.missing or (key in backlog and group in backlog[key][1]):
                self.spent.known += 1
                continue
            candidate = candidate_of(group.task, text)
            if key not in self._known and not _parses(candidate.files[group.task.path]):
                self._known[key] = Verdict(State.ERROR, detail="it does not parse")
                self.spent.unparsed += 1
            elif key in self._known:
                self.spent.known += 1
            if key in self._known:
                group.verdicts[key] = self._known[key]
                group.missing.discard(key)
            elif key in under_way:
                if group not in under_way[key]:
                    under_way[key].append(group)
            else:
                backlog.setdefault(key, (candidate, []))[1].append(group)

    def _turn(
        self, model: LoadedModel, backlog: dict[Key, tuple[Candidate, list[_Open]]],
        waiting: dict[int, tuple[Key, list[_Open]]], done: dict[int, Group], timeout: float | None,
    ) -> None:  # fmt: skip
        """Feed the workers and take what they have; `timeout` is for the first verdict."""
        while backlog and self.screen.capacity:
            key = next(iter(backlog))
            candidate, groups = backlog.pop(key)
            token = self.screen.submit(candidate, key[1], stop=not self.thorough)
            waiting[token] = key, groups
        began = time.monotonic()
        found = list(self.screen.results(timeout))
        self.spent.waiting += time.monotonic() - began
        for token, verdict in found:
            key, groups = waiting.pop(token)
            self.spent.verdicts += 1
            self.spent.running += verdict.seconds
            if verdict.state is not State.INFRA:
                if len(self._known) >= KNOWN:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = verdict
            for group in groups:
                group.verdicts[key] = verdict
                group.missing.discard(key)
                self._close(model, group, done)

    # -- groups ------------------------------------------------------------------------------------

    def _close(self, model: LoadedModel, opened: _Open, done: dict[int, Group]) -> None:
        if opened.missing or opened.index in done:
            return
        completions = []
        for sample, text, key in zip(opened.samples, opened.texts, opened.keys, strict=True):
            verdict = opened.verdicts[key]
            total, parts = reward(verdict, edit_of(opened.task, text), self.rewards)
            completions.append(
                Completion(
                    sample.ids, text, str(verdict.state), total, parts, seconds=verdict.seconds,
                    steps=sample.steps, order=sample.order,
                )
            )  # fmt: skip
        group = Group(
            opened.task, opened.prompt, tuple(completions), self.version, self.estimator,
            dict(asdict(self.sampling)), time.time(),
        )  # fmt: skip
        if self.estimator and (self.thorough or group.has_signal):
            import torch

            seeded = torch.Generator().manual_seed(self._seed + opened.index)
            group = self._scored(model, group, seeded)
        done[opened.index] = group
        self.keep(group)

    def _scored(self, model: LoadedModel, group: Group, generator: torch.Generator) -> Group:
        """The group with noise, and its likelihoods under the weights that sampled it."""
        began = time.monotonic()
        places = [scored(model.family, one.ids) for one in group.completions]
        noises = [tuple(row) for row in draw_group(self.estimator, places, self.inner, generator)]
        items = [
            ((group.prompt, one.ids), noise)
            for one, noise in zip(group.completions, noises, strict=True)
        ]
        values = behaviours(model, items, self.sampling.temperature)
        self.spent.scoring += time.monotonic() - began
        self.spent.scored += len(items)
        return replace(
            group,
            completions=tuple(
                replace(one, noise=noise, behaviour=value)
                for one, noise, value in zip(group.completions, noises, values, strict=True)
            ),
        )


def evaluate(
    model: LoadedModel, tasks: Sequence[Task], n: int, collector: Collector, seed: int = 0
) -> list[tuple[int, int]]:
    """(passes, samples) of each task, from `n` samples; equal seeds pair two models' samples.

    What the infrastructure failed on counts as no sample; a task that the model cannot be asked
    has (0, 0). Of `collector` its verdicts and its sampling are used; nothing is kept or scored.
    """
    import torch

    quiet = collector.silent()
    groups = quiet.groups(model, tasks, n, torch.Generator().manual_seed(seed))
    found = {group.task.key: group.completions for group in groups}
    counted = []
    for task in tasks:
        states = [one.state for one in found.get(task.key, ()) if one.state != State.INFRA]
        counted.append((states.count(State.PASS), len(states)))
    return counted


def _parses(source: str) -> bool:
    try:
        parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
