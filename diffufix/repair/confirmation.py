"""The last word: the accepted changes together, cold, over the whole suite, several times.

Where that fails, goal by goal: each adds the best of its changes that still holds with those
before it, as long as there is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from diffufix import events
from diffufix.events import Listener
from diffufix.propose.candidates import Change, PatchSet
from diffufix.repair.reasons import number
from diffufix.repair.search import Log, PlausiblePatch
from diffufix.types import Candidate, Claims, State, Verdict
from diffufix.verify import Confirmed, Confirmer


@dataclass
class Chosen:
    """The changes that hold, and what may be said of the tests with them; none if none does."""

    changes: tuple[Change, ...] = ()
    claims: Claims = field(default_factory=Claims)
    attempts: int = 0
    last: Verdict | None = None  # of the last attempt that failed
    out_of_time: bool = False  # some were not run over the whole suite, or not to its end

    @property
    def once(self) -> bool:
        """Whether there was time for one run of the whole suite only."""
        return bool(self.changes) and len(self.claims.runs) == 1


@dataclass
class Confirmation:
    """Confirms changes of `sources` (path -> text) on trees made by `confirmer_of` (some files'
    texts -> a confirmer); `complete` adds to changes what the files need beside them, `check`
    judges a confirmed candidate further. `deadline`: monotonic seconds; an attempt that is not over
    then is given up. To be closed."""

    sources: Mapping[str, str]
    confirmer_of: Callable[[Mapping[str, str]], Confirmer]
    log: Log
    listener: Listener
    deadline: float
    complete: Callable[[Sequence[Change]], tuple[Change, ...]] = tuple
    check: Callable[[Candidate, Verdict], Verdict] = lambda candidate, verdict: verdict
    shortest: float = 0.0  # seconds: where fewer are left, nothing is begun
    chosen: Chosen = field(default_factory=Chosen)  # so far
    brief: bool = False  # as few runs as there may be: a part will be confirmed by itself
    #: Changes that did not hold together over the whole suite -> what they fail.
    refuted: dict[frozenset[Change], str] = field(default_factory=dict)
    _open: tuple[dict[str, str], Confirmer] | None = None

    def choose(self, accepted: Sequence[Sequence[PlausiblePatch]]) -> None:
        """Choose the best of each goal together, if they hold; else as many goals' as do."""
        best = [ranked[0] for ranked in accepted]
        if best and time.monotonic() + self.shortest > self.deadline:
            self.chosen.out_of_time = True
        if not best or self.chosen.out_of_time or self._holds(best):
            return
        kept: list[PlausiblePatch] = []
        for ranked in accepted:
            for success in ranked:
                if len(accepted) == 1 and success is best[0]:
                    continue  # has just failed
                if self.chosen.out_of_time or time.monotonic() > self.deadline:
                    self.chosen.out_of_time = True
                    return
                if self._holds([*kept, success]):
                    kept.append(success)
                    break

    def narrow(self, successes: Sequence[PlausiblePatch]) -> None:
        """Choose only these of the changes that hold together, if they do without the others."""
        self.brief = False
        if successes and self._time_for_another:
            self._holds(successes)

    def also(self, success: PlausiblePatch, beside: Sequence[Change]) -> bool:
        """Whether another change holds beside these; nothing is chosen by that."""
        files = PatchSet(dict(self.sources)).files(*self.complete([*beside, success.change]))
        if not files or not self._time_for_another:
            return False
        self.listener(events.Confirming("another patch"))
        verdict = self._confirmed(Candidate(files), success.green, {}).verdict
        self.log.verdict(success.candidate_id, verdict, "confirm")
        self._note((*beside, success.change), verdict)
        return verdict.passed

    def _note(self, changes: Sequence[Change], verdict: Verdict) -> None:
        if not verdict.passed and verdict.state is not State.INFRA:
            self.refuted[frozenset(changes)] = verdict.detail or str(verdict.state)

    @property
    def _time_for_another(self) -> bool:
        """Whether there is time for runs like those that were made."""
        each = self._open[1].slowest if self._open else 0.0
        return time.monotonic() + 3 * each < self.deadline

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _holds(self, successes: Sequence[PlausiblePatch]) -> bool:
        chosen = self.chosen
        changes = tuple(dict.fromkeys(success.change for success in successes))
        whole, assembly = self.complete(changes), PatchSet(dict(self.sources))
        files = assembly.files(*whole)
        if not files:
            return False
        beside = assembly.files(*whole[len(changes) :]) or {}  # no edits, they need not run
        green = tuple(dict.fromkeys(test for success in successes for test in success.green))
        self.listener(events.Confirming(f"{number(len(green), 'test')} to turn green"))
        chosen.attempts += 1
        confirmed = self._confirmed(Candidate(files), green, beside)
        for success in successes:
            self.log.verdict(success.candidate_id, confirmed.verdict, "confirm")
        self._note(changes, confirmed.verdict)
        if confirmed.claims is None:
            if confirmed.late:
                chosen.out_of_time = True
            else:
                chosen.last = confirmed.verdict
            return False
        chosen.changes, chosen.claims = changes, confirmed.claims
        return True

    def _confirmed(
        self, candidate: Candidate, green: tuple[str, ...], beside: dict[str, str]
    ) -> Confirmed:
        if self._open is None or self._open[0] != beside:
            self.close()
            self._open = (beside, self.confirmer_of(beside))
        until = 0.0 if self.brief else self.deadline
        confirmed = self._open[1].confirm(candidate, green, until, self.deadline)
        if not confirmed.verdict.passed:
            return confirmed
        verdict = self.check(candidate, confirmed.verdict)
        return confirmed if verdict.passed else Confirmed(verdict)
