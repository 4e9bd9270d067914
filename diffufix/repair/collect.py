"""What a repair leaves to learn from: complete groups of completions at the holes that mattered.

The search itself stops at what passes, so its candidates are a selected sample. A group here is a
plain sample of the policy: G completions of one hole, every one of them run, none left out, kept
with the likelihoods under which they were drawn. Uses the screen and the model of the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from diffufix.masking import Kind
from diffufix.repair.candidates import Subject
from diffufix.repair.search import Search, Success
from diffufix.repair.tasks import aligned, edit_of, make_task, prompt_of, splice, text_of
from diffufix.sampler.estimators import behaviours, draw_group
from diffufix.sampler.likelihood import scored
from diffufix.sampler.rollout import Sampled, Sampling, rollout
from diffufix.store.groups import Completion, Group, Noise, Prompt, Task
from diffufix.verify import Screen, Verdict
from diffufix.verify.rewards import DEFAULT, Weighted, reward

if TYPE_CHECKING:
    import torch

    from diffufix.model.checkpoint import LoadedModel

GROUP = 8  # completions
SHARE = 0.05  # of a repair's budget at most
ESTIMATOR, INNER = "coupled", 2  # what the likelihoods are computed for, and how many draws
SAMPLING = Sampling(temperature=1.0)
TRIED = 8  # holes offered where no patch says which one mattered


@dataclass(frozen=True)
class Collecting:
    """What the groups of one run share. `until` is in monotonic seconds."""

    model: LoadedModel
    screen: Screen
    until: float
    functions: tuple[Weighted, ...] = DEFAULT

    def groups(self, tasks: Sequence[Task], seed: int) -> Iterator[Group]:
        """A group of each task that the model can be asked, as long as there is time. A group
        whose verdicts do not all come in time is dropped."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        for task in tasks:
            prompt = prompt_of(self.model, task)
            if prompt is None or time.monotonic() >= self.until:
                continue
            (samples,) = rollout(self.model, [prompt], GROUP, SAMPLING, generator)
            texts = [text_of(self.model, prompt, sample.ids) for sample in samples]
            verdicts = self._verdicts(task, texts)
            if verdicts is None:
                return
            done = [
                self._completion(task, sample, text, verdicts[text])
                for sample, text in zip(samples, texts, strict=True)
            ]
            yield Group(
                task, prompt, self._scored(prompt, done, generator), self.model.fingerprint,
                ESTIMATOR, asdict(SAMPLING), time.time(),
            )  # fmt: skip

    def _verdicts(self, task: Task, texts: Sequence[str]) -> dict[str, Verdict] | None:
        """What the tests say of each text; equal candidates are run once, all tests of each."""
        todo = list(dict.fromkeys(texts))
        waiting: dict[int, str] = {}
        found: dict[str, Verdict] = {}
        while todo or waiting:
            while todo and self.screen.capacity:
                candidate = splice(task, todo[0])
                waiting[self.screen.submit(candidate, task.tests, stop=False)] = todo.pop(0)
            left = self.until - time.monotonic()
            for token, verdict in self.screen.results(max(0.05, left)):
                found[waiting.pop(token)] = verdict
            if left <= 0 and (todo or waiting):
                return None
        return found

    def _completion(self, task: Task, sample: Sampled, text: str, verdict: Verdict) -> Completion:
        total, parts = reward(verdict, edit_of(task, text), self.functions)
        return Completion(
            sample.ids, text, str(verdict.state), total, parts,
            seconds=verdict.seconds, steps=sample.steps, order=sample.order,
        )  # fmt: skip

    def _scored(
        self, prompt: Prompt, done: Sequence[Completion], generator: torch.Generator
    ) -> tuple[Completion, ...]:
        places = [scored(self.model.family, one.ids) for one in done]
        noises = [
            tuple(Noise(*draw) for draw in row)
            for row in draw_group(ESTIMATOR, places, INNER, generator)
        ]
        items = [((prompt, one.ids), row) for one, row in zip(done, noises, strict=True)]
        values = behaviours(self.model, items, SAMPLING.temperature)
        return tuple(
            replace(one, noise=noise, behaviour=value)
            for one, noise, value in zip(done, noises, values, strict=True)
        )


def tasks_of(
    model: LoadedModel, searches: Sequence[Search], accepted: Sequence[Sequence[Success]]
) -> list[Task]:
    """The holes of the changes that were accepted, with the faulty text in them; without any, the
    most suspicious hole of the first goal that the model can be asked about."""
    found = []
    for ranked in accepted:
        change = ranked[0].change
        for search in searches:
            subject = next((s for s in search.goal.subjects if _holds(s, ranked[0])), None)
            if subject is not None:
                kinds = {(h.start, h.end): h.kind for h in subject.holes()}
                kind = kinds.get((change.start, change.end), Kind.EXPRESSION)
                task = _task(
                    search, subject, (change.start, change.end), kind, ranked[0].green, change.text
                )
                found.append(aligned(model, task))
                break
    if not accepted:
        found.append(_most_suspicious(model, searches))
    return [task for task in found if task is not None and prompt_of(model, task) is not None]


def _most_suspicious(model: LoadedModel, searches: Sequence[Search]) -> Task | None:
    for search in searches:
        if not search.goal.targets:
            continue
        for subject in search.goal.subjects:
            ranked = sorted(
                (h for h in subject.holes() if h.kind is Kind.STATEMENT), key=lambda h: -h.suspicion
            )
            for hole in ranked[:TRIED]:
                span = (hole.start, hole.end)
                task = aligned(model, _task(search, subject, span, hole.kind, search.goal.targets))
                if task is not None and prompt_of(model, task) is not None:
                    return task
    return None


def _holds(subject: Subject, success: Success) -> bool:
    change, suspect = success.change, subject.suspect
    inside = subject.start <= change.start and change.end <= subject.end
    return suspect.path == change.path and inside


def _task(
    search: Search,
    subject: Subject,
    span: tuple[int, int],
    kind: Kind,
    failing: Sequence[str],
    answer: str | None = None,
) -> Task:
    suspect = subject.suspect
    tests = dict.fromkeys([*failing, *search.guards_of(subject)])
    return make_task(
        suspect.path, suspect.qualname, subject.source, span, str(kind), "repair", tuple(tests),
        answer=answer, failing=failing,
    )  # fmt: skip
