"""The last word: the accepted changes together, cold, over the whole suite, twice.

Where that fails, goal by goal: each adds the best of its changes that still holds with those
before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from diffufix import events
from diffufix.events import Listener
from diffufix.propose.candidates import Assembly, Change
from diffufix.repair.search import Log, Success
from diffufix.types import Candidate, Verdict


@dataclass(frozen=True)
class Confirmation:
    """`check` runs files against the whole suite with the tests that must turn green, on a tree
    with some other texts; `complete` adds to changes what the files need beside them."""

    sources: Mapping[str, str]
    check: Callable[[Candidate, tuple[str, ...], Mapping[str, str]], Verdict]
    log: Log
    listener: Listener
    complete: Callable[[Sequence[Change]], tuple[Change, ...]] = tuple

    def choose(
        self, accepted: Sequence[Sequence[Success]]
    ) -> tuple[tuple[Change, ...], tuple[str, ...]]:
        """The changes that hold, and the tests they turn green; both empty if none does."""
        best = [ranked[0] for ranked in accepted]
        if best and self._holds(best):
            return _changes(best), _green(best)
        kept: list[Success] = []
        for ranked in accepted:
            for success in ranked:
                if len(accepted) == 1 and success is best[0]:
                    continue  # has just failed
                if self._holds([*kept, success]):
                    kept.append(success)
                    break
        return _changes(kept), _green(kept)

    def _holds(self, successes: Sequence[Success]) -> bool:
        changes = _changes(successes)
        whole, assembly = self.complete(changes), Assembly(dict(self.sources))
        files = assembly.files(*whole)
        if not files:
            return False
        beside = assembly.files(*whole[len(changes) :]) or {}  # no edits, they need not run
        green = _green(successes)
        self.listener(events.Confirming(f"{len(green)} tests to turn green, whole suite, twice"))
        verdict = self.check(Candidate(files), green, beside)
        for success in successes:
            self.log.verdict(success.candidate_id, verdict, "confirm")
        return verdict.passed


def _changes(successes: Sequence[Success]) -> tuple[Change, ...]:
    return tuple(dict.fromkeys(success.change for success in successes))


def _green(successes: Sequence[Success]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(test for success in successes for test in success.green))
