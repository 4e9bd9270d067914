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

With `ahead` > 0 it is an A* search: what the masks that are left will cost at least is estimated
by the best id of each, as seen when the state before was denoised, and counts that many times.
Fills then come sooner where the model is unsure; they still compete by their own cost alone.

Most children are never looked at. Those that differ in one id alone wait as one `_Branch`, whose
next child is made when the one before it was the cheapest of all.

The holes may lie in several contexts. N masked positions of a batch, V vocabulary.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffufix.decode.aside import AsideContext, Asked, HoleSpan, logits
from diffufix.decode.layout import SLACK
from diffufix.model.devices import flushed
from diffufix.model.family import Family
from diffufix.types import Commit, Fill

#: What is committed: place in the hole, id, log-probability.
Pick = tuple[int, int, float]


@dataclass(frozen=True)
class Question:
    """A hole to be searched: its context, its place there, and a cost (nats) for coming here.

    `start` is what the search begins with, tokens and masks; None: all masks, as many as the
    original has tokens and `slack` more.
    """

    context: AsideContext
    place: HoleSpan
    cost: float = 0.0
    start: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SearchStep:
    """What the search is looking at: a question's index and its hole, masks included."""

    question: int
    ids: tuple[int, ...]


class _State:
    """A hole on its way. The way itself is in the states before it."""

    __slots__ = ("before", "ids", "logp", "picks", "question")

    def __init__(
        self, question: int, ids: tuple[int, ...], logp: float = 0.0,
        before: _State | None = None, picks: tuple[Pick, ...] = (),
    ) -> None:  # fmt: skip
        self.question, self.ids, self.logp = question, ids, logp
        self.before, self.picks = before, picks


class _Branch:
    """Children of a state: all commit `picks`, and each one of `tokens` at `place`.

    `rest` is what the other masks may cost, `short` the same where `place` is deleted.
    """

    __slots__ = ("logp", "logps", "picks", "place", "rest", "short", "state", "tokens")

    def __init__(
        self, state: _State, picks: Sequence[Pick], place: int,
        tokens: Sequence[int], logps: Sequence[float], rest: float = 0.0, short: float = 0.0,
    ) -> None:  # fmt: skip
        self.state, self.picks, self.place = state, tuple(picks), place
        self.tokens, self.logps = tokens, logps
        self.rest, self.short = rest, short
        self.logp = state.logp + sum(logp for _, _, logp in picks)


class BestFirst:
    """An iterator of (question index, Fill); `looking` is the last state that was denoised.

    `keep(question index, ids)` may refuse a state, masks included, and all that would follow.
    `answer` gives the logits [N, V] at every mask of a batch of holes.
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
        ahead: float = 0.0,
        max_states: int = 200_000,
        keep: Callable[[int, tuple[int, ...]], bool] | None = None,
        answer: Callable[[Sequence[Asked]], Tensor] = logits,
    ) -> None:
        self.questions = list(questions)
        self.batch, self.children = batch, children
        self.keep, self.answer = keep, answer
        self.sure, self.floor = math.log(sure), math.log(least)
        self.max_tokens, self.max_states = max_tokens, max_states
        self.ahead = ahead
        self.looking: SearchStep | None = None
        self.denoised = 0
        self._ticks = itertools.count()
        self._ready: deque[_State] = deque()
        #: (cost, tick, branch, which of its children comes next), or the state of a beginning.
        self._heap: list[tuple[float, int, _Branch | _State, int]] = []
        self._seen: set[tuple[int, tuple[int, ...]]] = set()
        for index, question in enumerate(self.questions):
            start = question.start
            if start is None:
                length = len(question.place.original) + slack
                start = (question.context.family.mask,) * length
            heapq.heappush(self._heap, (question.cost, next(self._ticks), _State(index, start), 0))

    def __iter__(self) -> Iterator[tuple[int, Fill]]:
        return self

    def __next__(self) -> tuple[int, Fill]:
        while not self._ready:
            if not self._heap:
                raise StopIteration
            waiting: list[_State] = []
            while self._heap and len(waiting) < self.batch:
                state = self._pop()
                if state is None:
                    continue
                masked = self._family(state).mask in state.ids
                (waiting if masked else self._ready).append(state)
            if waiting:
                self._denoise(waiting)
        state = self._ready.popleft()
        return state.question, _fill(state, self._family(state))

    def _family(self, state: _State) -> Family:
        return self.questions[state.question].context.family

    def _push(self, branch: _Branch, rank: int) -> None:
        if rank < len(branch.tokens) and len(self._heap) < self.max_states:
            cost = self.questions[branch.state.question].cost - branch.logp - branch.logps[rank]
            if self.ahead:
                deleted = branch.tokens[rank] == self._family(branch.state).delete
                cost += branch.short if deleted else branch.rest
            heapq.heappush(self._heap, (cost, next(self._ticks), branch, rank))

    def _pop(self) -> _State | None:
        """The cheapest state; None if it was met before or is not to be kept."""
        _, _, item, rank = heapq.heappop(self._heap)
        if isinstance(item, _State):
            state = item
        else:
            self._push(item, rank + 1)
            before = item.state
            picks = (*item.picks, (item.place, item.tokens[rank], item.logps[rank]))
            ids = _commit(before.ids, picks, self._family(before))
            state = _State(before.question, ids, item.logp + item.logps[rank], before, picks)
        key = (state.question, state.ids)
        if key in self._seen or (self.keep is not None and not self.keep(*key)):
            return None
        self._seen.add(key)
        return state

    @flushed()
    @torch.inference_mode()
    def _denoise(self, states: Sequence[_State]) -> None:
        self.looking = SearchStep(states[0].question, states[0].ids)
        self.denoised += len(states)
        questions = [self.questions[state.question] for state in states]
        context, family = questions[0].context, questions[0].context.family
        logits_NV = self.answer(
            [Asked(q.context, q.place, s.ids) for q, s in zip(questions, states, strict=True)]
        ).float()
        logits_NV[:, list(context.banned)] = -torch.inf
        full = [len(s.ids) >= self.max_tokens for s in states for i in s.ids if i == family.mask]
        if family.expand is not None and any(full):
            logits_NV[torch.tensor(full), family.expand] = -torch.inf
        best = logits_NV.topk(min(self.children, logits_NV.shape[-1]), dim=-1)
        logps = (best.values - logits_NV.logsumexp(-1, keepdim=True)).tolist()
        tokens, at = best.indices.tolist(), 0
        for state in states:
            places = [i for i, token in enumerate(state.ids) if token == family.mask]
            rows = slice(at, at + len(places))
            at = rows.stop
            self._branch(state, places, tokens[rows], logps[rows])

    def _branch(
        self,
        state: _State,
        places: Sequence[int],
        tokens: Sequence[Sequence[int]],
        logps: Sequence[Sequence[float]],
    ) -> None:
        """Put the children of a denoised state into the heap."""
        confidence = [row[0] for row in logps]
        most = max(range(len(places)), key=confidence.__getitem__)
        chosen = [i for i in range(len(places)) if i == most or confidence[i] >= self.sure]
        best = [(places[i], tokens[i][0], logps[i][0]) for i in chosen]
        last = [i for i in range(len(places)) if i not in chosen]
        for i in chosen:
            rest = self._rest(places, confidence, {i}, i)
            self._push(_Branch(state, (), places[i], *self._likely(tokens[i], logps[i]), *rest), 1)
        if len(last) == 1 and confidence[most] >= self.sure:  # no need to ask again for one place
            one = last[0]
            likely = self._likely(tokens[one], logps[one])
            self._push(_Branch(state, best, places[one], *likely), 0)
        else:
            rest = self._rest(places, confidence, {*chosen}, chosen[-1])
            place, token, logp = best.pop()
            self._push(_Branch(state, best, place, (token,), (logp,), *rest), 0)

    def _rest(
        self, places: Sequence[int], confidence: Sequence[float], chosen: set[int], one: int
    ) -> tuple[float, float]:
        """What the masks that are not `chosen` may cost; the same without the run behind `one`."""
        if not self.ahead:
            return 0.0, 0.0
        behind = one + 1
        while behind < len(places) and places[behind] == places[behind - 1] + 1:
            behind += 1
        left = [i for i in range(len(places)) if i not in chosen]
        rest = sum(confidence[i] for i in left)
        run = sum(confidence[i] for i in left if one < i < behind)
        return -self.ahead * rest, -self.ahead * (rest - run)

    def _likely(
        self, tokens: Sequence[int], logps: Sequence[float]
    ) -> tuple[Sequence[int], Sequence[float]]:
        count = len(logps)
        while count and logps[count - 1] <= self.floor:
            count -= 1
        return tokens[:count], logps[:count]


def _sources(ids: Sequence[int], picked: Mapping[int, int], family: Family) -> list[int]:
    """Where each place of the hole comes from after a step: a place before, -1 for a new mask."""
    found: list[int] = []
    deleting = False
    for place, token in enumerate(ids):
        now = picked.get(place, token)
        # a deleted mask takes the rest of its run along
        deleting = now == family.delete or (deleting and now == family.mask)
        if not deleting:
            found += [-1, -1] if now == family.expand else [place]
    return found


def _commit(ids: Sequence[int], picks: Sequence[Pick], family: Family) -> tuple[int, ...]:
    picked = {place: token for place, token, _ in picks}
    sources = _sources(ids, picked, family)
    return tuple(picked.get(i, ids[i]) if i >= 0 else family.mask for i in sources)


def _fill(state: _State, family: Family) -> Fill:
    steps: list[_State] = []
    start: _State = state
    while start.before is not None:
        steps.append(start)
        start = start.before
    trace: list[Commit] = []
    order = [-1] * len(start.ids)  # per place: which commit put it there
    before = start
    for number, step in enumerate(reversed(steps)):
        for place, token, logp in step.picks:
            order[place] = len(trace)
            trace.append(Commit(number, place, token, logp))
        picked = {place: token for place, token, _ in step.picks}
        sources = _sources(before.ids, picked, family)
        order = [order[i] if i >= 0 else -1 for i in sources]
        before = step
    return Fill(
        ids=state.ids,
        logps=tuple(trace[i].logp if i >= 0 else 0.0 for i in order),
        order=tuple(order),
        logp=state.logp,
        steps=len(steps),
        trace=tuple(trace),
    )
