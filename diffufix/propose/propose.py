"""`propose`: holes of the suspects, filled; an endless-looking supply, the best ones first.

A family reads holes in their place (in_place.py) or appended to their context (appended.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice

from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.appended import appended
from diffufix.propose.candidates import EditTarget
from diffufix.propose.clones import CloneEdits
from diffufix.propose.in_place import in_place
from diffufix.propose.proposals import FailureContext, Proposal, Watcher, in_turns

TWIN = 3.0  # nats that the same correction in several places starts behind with
KNOWN = 3  # edits that are known for each fill of the model
WAVE, JOIN = 5, 600  # functions that are searched together, fills until the next ones join


def propose(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    *,
    seed: int = 0,
    watch: Watcher | None = None,
    busy: Callable[[], bool] = lambda: False,
    beside: Iterator[Proposal] | None = None,
) -> Iterator[Proposal]:
    """Proposals for the subjects, which come most suspicious first.

    `busy` says whether other work waits for the processor's cores; a small model leaves them to it.
    `beside` are proposals that need no fill (edits/beside.py): KNOWN of them for each of the
    model's.
    """
    if not model.family.appended:
        return in_place(model, subjects, story, seed, watch)
    own = _widening(model, subjects, story, watch, busy)
    return _with_twins(own if beside is None else in_turns(*[beside] * KNOWN, own))


def _widening(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    watch: Watcher | None,
    busy: Callable[[], bool],
) -> Iterator[Proposal]:
    """Fills of the first functions; the next ones join when so many have been proposed."""
    waves = [subjects[i : i + WAVE] for i in range(0, len(subjects), WAVE)]
    top = max((s.suspect.score for s in subjects), default=1.0)
    supplies: list[Iterator[Proposal]] = []
    for number, wave in enumerate(waves):
        supplies.append(appended(model, wave, story, watch, busy, top))
        last = number + 1 == len(waves)
        yield from in_turns(*supplies) if last else islice(in_turns(*supplies), JOIN)


def _with_twins(proposals: Iterator[Proposal]) -> Iterator[Proposal]:
    """The proposals, and between them what each says of the other places with the same text."""
    twins, order = CloneEdits(), count()
    waiting: list[tuple[float, int, Proposal]] = []
    for proposal in proposals:
        while waiting and -waiting[0][0] >= proposal.score:
            yield heapq.heappop(waiting)[2]
        yield proposal
        twin = twins.of(proposal.subject, proposal.hole, proposal.text)
        if twin:
            score = proposal.score - TWIN
            made = replace(proposal, hole=twin[0], text=twin[1], score=score)
            heapq.heappush(waiting, (-score, next(order), made))
    yield from (heapq.heappop(waiting)[2] for _ in range(len(waiting)))
