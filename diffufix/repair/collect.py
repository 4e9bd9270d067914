"""What a repair leaves to learn from: complete groups of completions at the holes that mattered.

The search itself stops at what passes, so its candidates are a selected sample. A group here is a
plain sample of the policy: G completions of one hole, every one of them run, none left out, kept
with the likelihoods under which they were drawn. Uses the screen and the model of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from diffufix.decode.rollout import Sampling
from diffufix.propose.candidates import EditTarget
from diffufix.propose.tasks import aligned, make_task, prompt_of
from diffufix.repair.search import PlausiblePatch, Search
from diffufix.train.rl.rewards import Weighted
from diffufix.train.rl.rollouts import Collector
from diffufix.types import Group, Kind, Task
from diffufix.verify import ValidatorPool

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

GROUP = 8  # completions
ESTIMATOR, INNER = "coupled", 2  # what the likelihoods are computed for, and how many draws
SAMPLING = Sampling(temperature=1.0)
COSTLY = 2.0  # times that a sample of a group, run to the end and scored, costs one of the search
TRIED = 8  # holes offered where no patch says which one mattered


def collect(
    screen: ValidatorPool,
    model: LoadedModel,
    searches: Sequence[Search],
    accepted: Sequence[Sequence[PlausiblePatch]],
    *,
    rewards: tuple[Weighted, ...],
    keep: Callable[[Group], None],
    each: float,
    seconds: float,
    seed: int,
    tell: Callable[[str], None],
) -> None:
    """A group of each hole that mattered for `keep`, as far as `seconds` last.

    `each` is what a sample has taken in the search, with its verdict. Sampling cannot be
    interrupted: a group that would not be ready in time is not begun.
    """
    import torch

    expected = COSTLY * GROUP * each
    until = time.monotonic() + seconds
    if expected > seconds:
        return
    tell("logging a group of candidates to learn from")

    collector = Collector(
        screen, sampling=SAMPLING, estimator=ESTIMATOR, inner=INNER, rewards=rewards, keep=keep,
        version=model.fingerprint, thorough=True, until=until,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    for task in tasks_of(model, searches, accepted):
        began = time.monotonic()
        if expected > until - began:
            return
        collector.groups(model, [task], GROUP, generator)
        expected = max(expected, time.monotonic() - began)


def tasks_of(
    model: LoadedModel, searches: Sequence[Search], accepted: Sequence[Sequence[PlausiblePatch]]
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


def _holds(subject: EditTarget, success: PlausiblePatch) -> bool:
    change, suspect = success.change, subject.suspect
    inside = subject.start <= change.start and change.end <= subject.end
    return suspect.path == change.path and inside


def _task(
    search: Search,
    subject: EditTarget,
    span: tuple[int, int],
    kind: Kind,
    failing: Sequence[str],
    answer: str | None = None,
) -> Task:
    suspect = subject.suspect
    tests = dict.fromkeys([*failing, *search.guards_of(subject)])
    source, report = search.shown(failing[0]) if failing else ("", "")
    return make_task(
        suspect.path, suspect.qualname, subject.source, span, str(kind), "repair", tuple(tests),
        answer=answer, failing=failing, said=search.said(failing[0], subject) if failing else "",
        test_source=source, report=report,
    )  # fmt: skip
