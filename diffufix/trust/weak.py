"""Places where the tests accept nearly anything come later: `Lowered`. Reads a search's tally."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from diffufix.propose.proposals import Proposal
from diffufix.trust.strength import MutantCounts

LOWER = 4.0  # nats that a proposal for a weak place waits
PATIENCE = 50  # proposals that are put aside at a time


class Lowered:
    """The proposals in their order, but for those of weak places (`MutantCounts.weak`), which wait
    until LOWER nats less likely ones are proposed."""

    def __init__(self, proposals: Iterator[Proposal], tally: MutantCounts) -> None:
        self._proposals, self._tally = proposals, tally
        self._waiting: list[tuple[float, int, Proposal]] = []
        self._order = count()

    def __iter__(self) -> Iterator[Proposal]:
        return self

    def __next__(self) -> Proposal:
        for _ in range(PATIENCE):
            proposal = next(self._proposals, None)
            if proposal is None:
                break
            hole = proposal.hole
            if not self._tally.weak(proposal.subject.suspect.path, hole.start, hole.end):
                if not self._waiting or -self._waiting[0][0] < proposal.score:
                    return proposal
                self._put(proposal, proposal.score)
                break
            self._put(proposal, proposal.score - LOWER)
        if not self._waiting:
            raise StopIteration
        return heapq.heappop(self._waiting)[2]

    def _put(self, proposal: Proposal, score: float) -> None:
        heapq.heappush(self._waiting, (-score, next(self._order), proposal))
