"""What speaks for the changes that passed: `Jury` judges the successes of a search while it runs.

Touches one sandbox a goal, in which calls are recorded (diffufix.trust). It is asked often and
works seldom: after a first success has had a moment to be followed by others, and again when new
ones have come. Meanwhile it works in a thread and the search goes on; when the search is over it
is waited for. A change that nobody would write is refused for good. How long it takes is bounded
by a share of the time that is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from diffufix.repair.search import PlausiblePatch, Search
from diffufix.sandbox import Sandbox
from diffufix.trust.assess import Green, Judged, assess
from diffufix.trust.calls import Observer, Scene, Watched
from diffufix.types import State, TestRun, Verdict

AGAIN = 5.0  # seconds between two judgements of one goal
MOST = 10  # successes of a goal that are judged
SHARE = 0.3  # of the time that is left, for one judgement
PLAY = 1.0  # seconds a version has for made-up inputs


@dataclass(frozen=True)
class Terms:
    """What the user wants of a repair."""

    threshold: float
    accept: str = "repaired"  # plausible: what passes is good enough
    all: bool = False  # go on to the end whatever is found
    expect: tuple[str, ...] = ()


@dataclass
class _Case:
    """What is known of one search's successes."""

    observer: Observer | None = None
    green: dict[int, PlausiblePatch] = field(
        default_factory=dict
    )  # by candidate id, as they were judged
    judged: dict[int, Judged] = field(default_factory=dict)
    seen: frozenset[int] = frozenset()  # successes at the last judgement
    at: float = 0.0  # monotonic seconds of the last judgement
    pace: float = 0.0  # seconds that one version has taken; the machine may be busy


class Jury:
    """Judges, in a thread of its own where it is not waited for; used by one thread. `close` ends
    it and removes the sandboxes."""

    def __init__(
        self,
        terms: Terms,
        sandbox: Callable[[], Sandbox],
        run: TestRun,
        seconds: Mapping[str, float],
        *,
        python: str,
        args: Sequence[str],
        root: Path,
        folder: str,
        env: Mapping[str, str],
        seed: int,
        until: float,
        note: Callable[[int, Verdict], None],
    ) -> None:
        self.terms, self._sandbox, self._run, self._seconds = terms, sandbox, run, seconds
        self._python, self._args, self._root, self._seed = python, tuple(args), root, seed
        self._folder, self._env = folder, dict(env)
        self._until, self._note = until, note
        self.patience = until  # monotonic seconds, as `until`: nothing is waited for after that
        self._cases: dict[int, _Case] = {}
        self._stopped = False
        self._thread = ThreadPoolExecutor(1, "jury")
        self._working: Future[None] | None = None

    def stop(self) -> None:
        """Judge nothing more: the user wants to get away."""
        self._stopped = True

    def look(self, budget: float) -> float:
        """Seconds to keep for a last look at what passed."""
        return min(0.1 * budget, 4 * (self._run.start_seconds + PLAY))

    def close(self) -> None:
        self._stopped = True
        self._end_observers()
        self._thread.shutdown()
        self._end_observers()  # of what was under way

    def _end_observers(self) -> None:
        for case in list(self._cases.values()):
            if case.observer is not None:
                case.observer.close()

    # -- what a search asks ------------------------------------------------------------------------

    def settles(self, search: Search) -> bool:
        """Whether one of the successes is good enough to stop at, as far as they are judged."""
        idle = self._working is None or self._working.done()
        if idle and time.monotonic() - self._case(search).at >= AGAIN:
            self._begin(search)
        if self.terms.all:
            return False
        best = self.best(search)
        good_enough = self.terms.accept == "plausible"
        return best is not None and (good_enough or best.probability >= self.terms.threshold)

    def rank(self, search: Search, success: PlausiblePatch) -> tuple[float, float]:
        """Sorts successes, the most probably right one first."""
        judged = self._case(search).judged.get(success.candidate_id)
        return (-judged.probability if judged else 0.0, success.rank_cost)

    def admits(self, search: Search, success: PlausiblePatch) -> bool:
        """Whether the success may be offered: it is not refused, and does what is expected."""
        judged = self._case(search).judged.get(success.candidate_id)
        if judged is None:
            return not self.terms.expect
        return not judged.refused and judged.agrees

    # -- what the loop asks ------------------------------------------------------------------------

    def best(self, search: Search) -> Judged | None:
        """Of the best success that may be offered; None where none was judged."""
        case = self._case(search)
        found = [j for j in case.judged.values() if not j.refused and j.agrees]
        return max(found, key=lambda j: j.probability, default=None)

    def chance(self, search: Search) -> float:
        best = self.best(search)
        return best.probability if best else 0.0

    def of(self, candidate_id: int) -> Judged | None:
        """What was judged of a candidate, whichever search it is of."""
        for case in self._cases.values():
            if candidate_id in case.judged:
                return case.judged[candidate_id]
        return None

    def offered(self, search: Search) -> list[tuple[PlausiblePatch, Judged]]:
        """The judged successes of a search, the refused ones last."""
        case = self._case(search)
        found = [(case.green[key], judged) for key, judged in case.judged.items()]

        def cost(each: tuple[PlausiblePatch, Judged]) -> tuple[bool, bool, float, float]:
            patch, judged = each
            return bool(judged.refused), not judged.agrees, -judged.probability, patch.rank_cost

        return sorted(found, key=cost)

    def judge(self, search: Search) -> None:
        """Judge the successes of a search together, those that may be best first, and wait for it;
        nothing is done where there are no new ones, or no time."""
        self._wait()
        self._begin(search)
        self._wait()

    def _wait(self) -> None:
        if self._working is None or self._stopped:
            return
        now = time.monotonic()
        end = self.patience if now < self.patience - PLAY else self._until
        try:
            self._working.result(max(0.0, end - now))
        except TimeoutError:
            self._stopped = True

    # -- parts -------------------------------------------------------------------------------------

    def _begin(self, search: Search) -> None:
        """Have what is new judged by the thread, as many as there is time for."""
        case = self._case(search)
        known = [*search.successes, *search.partial]
        if self._stopped or {s.candidate_id for s in known} <= case.seen:
            return
        chosen = sorted(known, key=lambda s: s.rank_cost)
        kept = [s for s in chosen if s.candidate_id in case.green]
        fresh = [s for s in chosen if s.candidate_id not in case.green]
        room = max(0, MOST - len(kept)) or min(3, len(fresh))
        fresh = fresh[:room]
        observer, affordable = self._observer(search, case)
        later = {s.candidate_id for s in fresh[affordable:]} if observer else set()
        case.seen |= {s.candidate_id for s in known} - later
        fresh = [s for s in fresh if s.candidate_id not in later]
        case.at = time.monotonic()
        tried, chosen = search.tried, [*kept, *fresh]
        self._working = self._thread.submit(self._judge, search, case, chosen, observer, tried)

    def _judge(
        self, search: Search, case: _Case, chosen: Sequence[PlausiblePatch],
        observer: Observer | None, tried: int,
    ) -> None:  # fmt: skip
        """In the thread."""
        began = time.monotonic()
        versions = sum(s.candidate_id not in case.green for s in chosen)
        versions += 2 if observer is not None and not observer.began else 0
        greens = [_green(success) for success in chosen]
        found = assess(
            greens, observer, search.strength, tried, search.tests_source,
            stopped=lambda: self._stopped,
        )  # fmt: skip
        if not found:
            return
        judged = {chosen[each.index].candidate_id: each for each in found}
        for key in judged.keys() - case.judged.keys():
            self._note(key, _told(judged[key]))
        case.green = case.green | {s.candidate_id: s for s in chosen}  # read meanwhile
        case.judged = case.judged | judged
        if observer is not None and versions:
            case.pace = max(case.pace, (time.monotonic() - began) / versions)
        case.at = time.monotonic()

    def _case(self, search: Search) -> _Case:
        return self._cases.setdefault(id(search), _Case())

    def _observer(self, search: Search, case: _Case) -> tuple[Observer | None, int]:
        """The goal's observer, and how many successes it may look at; None where recording would
        take too much of the time that is left."""
        if case.observer is None:
            case.observer = Observer(self._sandbox, self._scene(search))
        if self.terms.expect:
            return case.observer, MOST
        each = max(case.observer.scene.seconds + PLAY, case.pace)
        affordable = int(SHARE * (self._until - time.monotonic()) / each)
        affordable -= 0 if case.observer.began else 2  # the project as it is, twice
        return (case.observer if affordable > 0 else None), affordable

    def _scene(self, search: Search) -> Scene:
        tests = search.tests
        covering = [test for test in tests if test not in search.wanted]
        watched = []
        for subject in search.goal.subjects:
            suspect = subject.suspect
            watched.append(Watched(suspect.path, suspect.qualname, suspect.first_line))
        texts = {subject.suspect.path: subject.base.source for subject in search.goal.subjects}
        ids = (*search.wanted, *covering)
        seconds = self._run.start_seconds + sum(self._seconds.get(test, 0.0) for test in ids)
        return Scene(
            self._python, self._args, self._root, ids, tuple(watched), texts, seconds,
            self.terms.expect, self._seed, play_seconds=PLAY, folder=self._folder,
            env=self._env,
        )  # fmt: skip


def _green(success: PlausiblePatch) -> Green:
    assert success.found is not None
    return success.found


def _told(judged: Judged) -> Verdict:
    """As the log keeps it."""
    if judged.refused:
        return Verdict(State.SUSPICIOUS, detail=f"refused: {judged.refused}")
    words = "; ".join(judged.evidence.words())
    return Verdict(State.PASS, detail=f"{judged.probability:.0%} likely right: {words}")
