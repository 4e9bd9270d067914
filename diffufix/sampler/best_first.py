"""`best_first`: the most likely fills of many holes, in the order of their likelihood.

Uniform-cost search over partly denoised holes. A state is a hole with some masks left; its cost
is the negative log-probability of what was committed so far, plus the hole's own. The cheapest
states of all holes are denoised together in one batch. From each:
- one child commits every mask whose best id has a probability of at least `sure` (and the most
  confident mask in any case); if that leaves a single mask, one child for each of its likely ids
  commits that one with them;
- each of those masks gives further children that commit one of its other likely ids instead.
A hole without masks is a fill and comes out when it is among the cheapest left (to within a
batch), so that fills of all holes compete on one scale. `expand` becomes two masks; `delete` ends
its run of masks.
With `sure` = 1 each fill's cost is its exact negative log-likelihood in the order of commitment;
below, ids committed together count as independent.

The holes may lie in several contexts. N masked positions of a batch, V vocabulary.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from diffufix.model.family import Family
from diffufix.sampler.aside import AsideContext, Place
from diffufix.sampler.layout import SLACK
from diffufix.sampler.types import Commit, Fill


@dataclass(frozen=True)
class Question:
    """A hole to be searched: its context, its place there, and a cost (nats) for coming here.

    `start` is what the search begins with, tokens and masks; None: all masks, as many as the
    original has tokens and `slack` more.
    """

    context: AsideContext
    place: Place
    cost: float = 0.0
    start: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Step:
    """What the search is looking at: a question's index and its hole, masks included."""

    question: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class _State:
    question: int
    ids: tuple[int, ...]
    logp: float
    steps: int
    trace: tuple[Commit, ...]
    marks: tuple[int, ...]  # per position of `ids`: index into `trace`, or -1


class BestFirst:
    """An iterator of (question index, Fill); `looking` is the last state that was denoised.

    It ends when nothing is left to be looked at, or after `max_denoised` states.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        *,
        batch: int = 128,
        children: int = 16,
        sure: float = 0.9,
        least: float = 1e-5,
        max_tokens: int = 48,
        slack: int = SLACK,
        max_states: int = 200_000,
        max_denoised: int | None = None,
    ) -> None:
        self.questions = list(questions)
        self.batch, self.children, self.sure, self.least = batch, children, sure, least
        self.max_tokens, self.max_states = max_tokens, max_states
        self.max_denoised = max_denoised
        self.looking: Step | None = None
        self.denoised = 0
        self._counter = itertools.count()
        self._ready: deque[_State] = deque()
        self._heap: list[tuple[float, int, _State]] = []
        self._seen: set[tuple[int, tuple[int, ...]]] = set()
        for index, question in enumerate(self.questions):
            start = question.start
            if start is None:
                length = len(question.place.original) + slack
                start = (question.context.family.mask,) * length
            self._push(_State(index, start, 0.0, 0, (), (-1,) * len(start)))

    def __iter__(self) -> Iterator[tuple[int, Fill]]:
        return self

    def __next__(self) -> tuple[int, Fill]:
        while not self._ready:
            spent = self.max_denoised is not None and self.denoised >= self.max_denoised
            if spent or not self._heap:
                raise StopIteration
            waiting: list[_State] = []
            while self._heap and len(waiting) < self.batch:
                state = heapq.heappop(self._heap)[2]
                if self._family(state).mask in state.ids:
                    waiting.append(state)
                else:
                    self._ready.append(state)
            if waiting:
                self._denoise(waiting)
        state = self._ready.popleft()
        return state.question, _fill(state)

    def _family(self, state: _State) -> Family:
        return self.questions[state.question].context.family

    def _push(self, state: _State) -> None:
        key = (state.question, state.ids)
        if key in self._seen or len(self._heap) >= self.max_states:
            return
        self._seen.add(key)
        cost = self.questions[state.question].cost - state.logp
        heapq.heappush(self._heap, (cost, next(self._counter), state))

    @torch.inference_mode()
    def _denoise(self, states: Sequence[_State]) -> None:
        self.looking = Step(states[0].question, states[0].ids)
        self.denoised += len(states)
        # one batch for each context and size: padding would cost more than another call
        groups: dict[tuple[int, int], list[_State]] = {}
        for state in states:
            question = self.questions[state.question]
            size = (len(state.ids) + len(question.place.original)) // 8
            groups.setdefault((id(question.context), size), []).append(state)
        for group in groups.values():
            context = self.questions[group[0].question].context
            family = context.family
            logits_NV = context.logits(
                [self.questions[s.question].place for s in group], [s.ids for s in group]
            ).float()
            logits_NV[:, list(context.banned)] = -torch.inf
            full = [len(s.ids) >= self.max_tokens for s in group for i in s.ids if i == family.mask]
            if family.expand is not None and any(full):
                logits_NV[torch.tensor(full), family.expand] = -torch.inf
            best = logits_NV.log_softmax(-1).topk(min(self.children, logits_NV.shape[-1]), dim=-1)
            logps, ids, at = best.values.tolist(), best.indices.tolist(), 0
            for state in group:
                places = [i for i, token in enumerate(state.ids) if token == family.mask]
                rows = [(logps[at + n], ids[at + n]) for n in range(len(places))]
                at += len(places)
                self._branch(state, places, rows)

    def _branch(
        self, state: _State, places: Sequence[int], rows: Sequence[tuple[list[float], list[int]]]
    ) -> None:
        confidence = [logps[0] for logps, _ in rows]
        most = max(range(len(places)), key=lambda i: confidence[i])
        sure = math.log(self.sure)
        chosen = [i for i in range(len(places)) if i == most or confidence[i] >= sure]
        best = [(places[i], rows[i][1][0], rows[i][0][0]) for i in chosen]
        last = [i for i in range(len(places)) if i not in chosen]
        floor = math.log(self.least)
        if len(last) == 1 and confidence[most] >= sure:  # no need to ask again for one place
            for logp, token in zip(*rows[last[0]], strict=True):
                if logp > floor:
                    self._push(self._commit(state, [*best, (places[last[0]], token, logp)]))
        else:
            self._push(self._commit(state, best))
        for i in chosen:
            for logp, token in zip(*rows[i], strict=True):
                if token != rows[i][1][0] and logp > floor:
                    self._push(self._commit(state, [(places[i], token, logp)]))

    def _commit(self, state: _State, picks: Sequence[tuple[int, int, float]]) -> _State:
        family = self._family(state)
        ids, marks, trace, logp = list(state.ids), list(state.marks), list(state.trace), state.logp
        deletes: list[int] = []
        for position, token, one in picks:
            trace.append(Commit(state.steps, position, token, one))
            logp += one
            if token == family.delete:
                deletes.append(position)
            else:
                ids[position], marks[position] = token, len(trace) - 1
        gone: set[int] = set()
        for position in deletes:  # a deleted mask takes the rest of its run along
            while position < len(ids) and (ids[position] == family.mask or position in deletes):
                gone.add(position)
                position += 1
        new_ids: list[int] = []
        new_marks: list[int] = []
        for position, token in enumerate(ids):
            if position in gone:
                continue
            wide = token == family.expand
            new_ids += [family.mask, family.mask] if wide else [token]
            new_marks += [-1, -1] if wide else [marks[position]]
        return _State(
            state.question, tuple(new_ids), logp, state.steps + 1, tuple(trace), tuple(new_marks)
        )


def _fill(state: _State) -> Fill:
    return Fill(
        ids=state.ids,
        logps=tuple(state.trace[m].logp if m >= 0 else 0.0 for m in state.marks),
        order=state.marks,
        logp=state.logp,
        steps=state.steps,
        trace=state.trace,
    )
