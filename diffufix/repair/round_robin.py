"""Several goals share one budget: they are searched in turns, and what is found is built upon.

When a goal is settled its best change is accepted: from then on every candidate of the other
goals contains it, and goals that it has turned green by itself are over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from diffufix import events
from diffufix.events import Listener
from diffufix.propose.candidates import PatchSet
from diffufix.repair.job import SLICE
from diffufix.repair.search import PlausiblePatch, Search
from diffufix.types import Candidate
from diffufix.verify import ValidatorPool

PATIENCE = 6.0  # seconds a goal is searched on after a change that mends a part of it
CANDIDATES = 3  # changes of a goal that are kept for confirmation


class RoundRobin:
    """`accepted` has for each solved goal (or part) its changes, the best first."""

    def __init__(
        self,
        searches: list[Search],
        screen: ValidatorPool,
        assembly: PatchSet,
        listener: Listener,
        progress: Callable[[], None],
        turn: float = SLICE,
    ) -> None:
        self.searches, self.screen, self.assembly = searches, screen, assembly
        self.listener, self.progress, self.turn = listener, progress, turn
        self.accepted: list[list[PlausiblePatch]] = []
        self._left = list(searches)

    def drop(self, searches: Sequence[Search]) -> None:
        """These have nothing to search for."""
        self._left = [search for search in self._left if search not in searches]

    @property
    def found(self) -> bool:
        return bool(self.accepted) or any(search.found for search in self.searches)

    def run(self, late: float, end: float) -> None:
        """Until everything is over or the moment `end` (monotonic seconds); from the moment `late`
        on only as long as nothing is found."""
        for search in self.searches:
            search.late, search.end = late, end

        def until() -> float:
            return min(late, end) if self.found else end

        while self._left and (left := until() - time.monotonic()) > 0:
            share = max(1.0, left / len(self._left)) if len(self._left) > 1 else left
            for search in list(self._left):
                if search not in self._left:  # another's change has turned all of it green
                    continue
                search.step(min(until(), time.monotonic() + min(self.turn, share)), self.progress)
                if search.over or search.patience_spent > PATIENCE:
                    if search.best():
                        self.accept(search)
                    elif search.over:
                        self._left.remove(search)

    def accept(self, search: Search) -> None:
        """Take the best of what a search has found, and see what it does for the others."""
        ranked = search.best()[:CANDIDATES]
        fits = [s for s in ranked if self.assembly.files(s.change) is not None]
        if fits:
            self.accepted.append(fits)
            self.assembly.accepted.append(fits[0].change)
            tests = ", ".join(fits[0].green[:2])
            more = len(fits[0].green) - 2
            self.listener(events.Found(tests + (f" and {more} more" if more > 0 else "")))
        green = fits[0].green if fits else search.goal.targets
        handed = fits[0].handed if fits else {}
        search.give_up((*green, *handed))
        for other in self._left:
            other.take_over(tuple(t for t, name in handed.items() if name == other.goal.name))
        if not search.goal.targets and search in self._left:
            self._left.remove(search)
        for other in list(self._left):
            if fits and other is not search:
                self._recheck(other, fits)

    def finish(self) -> None:
        """Accept what is still open, verdicts that are there and not yet taken included; the screen
        is not used any more."""
        self._left, left = [], self._left
        for search in left:
            search.drain()
        for search in left:
            if search.best():
                self.accept(search)

    def _recheck(self, search: Search, by: list[PlausiblePatch]) -> None:
        files = self.assembly.files()
        if not files or not search.goal.targets or self.screen.capacity == 0:
            return
        tests, free = search.schedule(search.goal.targets, ())
        self.screen.submit(Candidate(files), tests, free=free)
        for _, verdict in self.screen.results(None):
            if verdict.passed:
                by[0] = by[0].also(search.goal.targets)
                search.give_up(search.goal.targets)
                self._left.remove(search)
