"""The search of one failure group: proposals become candidates, the pool says what they are worth.

A `FailureGroup` is failing tests that one fault may explain. `Search.step` keeps the workers of a
pool fed for a moment; it can be left and taken up again.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from diffufix.localize.covering import covering
from diffufix.propose.candidates import Change, EditTarget, PatchSet
from diffufix.propose.failure import failure_text
from diffufix.propose.proposals import Proposal
from diffufix.propose.shown import own_test
from diffufix.repair.ranking import rank_cost
from diffufix.repair.reasons import SearchStats
from diffufix.trust import strength
from diffufix.trust.assess import Green
from diffufix.trust.sound import sound
from diffufix.trust.weak import Lowered
from diffufix.types import RED, Candidate, State, TestRun, Verdict
from diffufix.verify import ValidatorPool

POLISH = 2.0  # seconds of further search after a first success, for better alternatives
LATER = 5.0  # nats that a provisional failure of all targets waits until it is run faithfully
DRAIN = 0.5  # seconds that candidates under way may still take at the end
TOGETHER = 3  # kinds of failures that a candidate is run on in any case
ENOUGH = 12  # successes after which nothing better is looked for


@dataclass(frozen=True)
class FailureGroup:
    """Failing tests and the functions that may be to blame.

    `guards` are tests that must stay green beside those that the coverage names. `beyond` are the
    words by which a failure says that a test went through this goal's function and then met code
    that another goal is to write, with the name of that goal.
    """

    targets: tuple[str, ...]
    subjects: tuple[EditTarget, ...]
    name: str = ""
    guards: tuple[str, ...] = ()
    beyond: Mapping[str, str] = field(default_factory=dict)
    limit: float = 0.0  # seconds of search, 0: as many as there are


@dataclass(frozen=True)
class PlausiblePatch:
    """A change that turned `green` (all targets, or with partial success some) in the screen.

    `handed` are targets that now fail in what another goal is to write, with that goal's name.
    """

    change: Change
    green: tuple[str, ...]
    rank_cost: float
    candidate_id: int
    handed: Mapping[str, str] = field(default_factory=dict)
    found: Green | None = None  # how it was found, for those who judge it

    def also(self, tests: tuple[str, ...]) -> PlausiblePatch:
        """The same, having turned these tests green, too."""
        return replace(self, green=tuple(dict.fromkeys([*self.green, *tests])))


class Log(Protocol):
    """Where proposals and verdicts are written down."""

    def proposal(self, proposal: Proposal, candidate: Candidate) -> int: ...
    def verdict(self, candidate_id: int, verdict: Verdict, stage: str) -> None: ...


class Judge(Protocol):
    """Says how much speaks for the successes of a search (jury.py)."""

    def judge(self, search: Search) -> None: ...
    def settles(self, search: Search) -> bool: ...
    def admits(self, search: Search, success: PlausiblePatch) -> bool: ...
    def rank(self, search: Search, success: PlausiblePatch) -> tuple[float, float]: ...


@dataclass(frozen=True)
class _Pending:
    change: Change
    proposal: Proposal
    candidate: Candidate
    candidate_id: int
    tests: tuple[str, ...]
    targets: tuple[str, ...]
    handed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Again:
    """A candidate whose verdict was not the last word; `green`: it turned a target green."""

    pending: _Pending
    verdict: Verdict
    green: bool


class Search:
    """One goal's proposals and successes. Uses the screen only inside `step`."""

    def __init__(
        self,
        goal: FailureGroup,
        proposals: Iterator[Proposal],
        run: TestRun,
        assembly: PatchSet,
        screen: ValidatorPool,
        log: Log,
        tally: SearchStats,
        tests_source: str = "",
        cap: int = 0,
        hear: Callable[[Proposal, Verdict], None] | None = None,
        jury: Judge | None = None,
    ) -> None:
        self.goal, self.assembly, self.jury = goal, assembly, jury
        self.wanted = goal.targets  # before any of them was reached
        self.strength = strength.MutantCounts(
            {s.suspect.path: s.base.source for s in goal.subjects}
        )
        self.tried = 0  # candidates of this goal that have a verdict
        self.proposals = Lowered(proposals, self.strength) if jury else proposals
        self.screen, self.log, self.tally = screen, log, tally
        self.tests_source, self.cap, self.hear = tests_source, cap, hear
        self.successes: list[PlausiblePatch] = []
        self.partial: list[PlausiblePatch] = []
        self.refused: Mapping[str, frozenset[str]] = {}  # key of a candidate -> what it fails
        self.exhausted = False
        self.passed: list[PlausiblePatch] = []  # of targets that are no longer wanted
        self.first_success = self.first_partial = 0.0
        self.spent = 0.0
        self.late = self.end = math.inf  # monotonic seconds; see RoundRobin.run
        self._covering = {id(s): covering(run, s.suspect) for s in goal.subjects}
        self._messages = {case.id: case.message for case in run.red}
        self._reports = {case.id: case.report for case in run.red}
        self._waiting: dict[int, _Pending] = {}
        self._hurried: list[_Again] = []  # timed out when there was little time to give
        #: Failed provisionally: (minus the score of the proposals after which it is tried again,
        #: the candidate's id, what), a heap.
        self._provisional: list[tuple[float, int, _Again]] = []
        self._next: Proposal | None = None  # taken from the proposals, not tried yet
        self._order: tuple[str, ...] = ()

    @property
    def tests(self) -> tuple[str, ...]:
        """Every test that candidates of this goal may be run on."""
        covering = (test for tests in self._covering.values() for test in tests)
        return tuple(dict.fromkeys([*self.goal.targets, *self.goal.guards, *covering]))

    def said(self, test: str, subject: EditTarget) -> str:
        """What a failing test says, as a small model is shown it beside this subject."""
        message, qualname = self._messages.get(test), subject.suspect.qualname
        return failure_text(message, test, self.tests_source, qualname) if message else ""

    def shown(self, test: str) -> tuple[str, str]:
        """The text of a failing test and its traceback, for families that read more."""
        return own_test(self.tests_source, test), self._reports.get(test, "")

    def guards_of(self, subject: EditTarget) -> tuple[str, ...]:
        """Tests that a change of this subject must leave green."""
        return tuple(dict.fromkeys([*self.goal.guards, *self._covering[id(subject.base)]]))

    def leave_out(self, tests: frozenset[str]) -> None:
        """Run candidates without these tests."""
        targets = tuple(test for test in self.goal.targets if test not in tests)
        guards = tuple(test for test in self.goal.guards if test not in tests)
        self.goal = replace(self.goal, targets=targets, guards=guards)
        self._covering = {
            key: tuple(test for test in covering if test not in tests)
            for key, covering in self._covering.items()
        }

    def keep_order(self, order: Sequence[str]) -> None:
        """From now on run candidates on the tests in this order, those before the last that
        matters included: they share state."""
        self._order = tuple(order)

    @property
    def ordered(self) -> bool:
        """Whether the tests run in the project's own order."""
        return bool(self._order)

    def give_up(self, targets: tuple[str, ...]) -> None:
        """These targets are no longer wanted: they are green, or will not be. The rest goes on."""
        left = tuple(test for test in self.goal.targets if test not in targets)
        found, self.successes, self.partial = [*self.successes, *self.partial], [], []
        for success in found:
            green = tuple(test for test in success.green if test in left)
            where = self.partial if green else self.passed
            if green and len(green) == len(left):
                where = self.successes
            where.append(replace(success, green=green or success.green))
        self.goal = replace(self.goal, targets=left)

    def take_over(self, targets: tuple[str, ...]) -> None:
        """These are targets of this goal from now on."""
        self.goal = replace(self.goal, targets=tuple(dict.fromkeys([*self.goal.targets, *targets])))

    @property
    def patience_spent(self) -> float:
        """Seconds searched since a change first mended a part of the goal."""
        return self.spent - self.first_partial if self.partial and not self.successes else 0.0

    @property
    def found(self) -> bool:
        """Whether anything that may be offered has passed, for a part of the goal at least."""
        return bool(self.passed or self.ranked())

    @property
    def settled(self) -> bool:
        """Nothing better is to be expected: enough successes, or time enough for better ones, and
        where there is a jury, one of them that it trusts."""
        if not self.successes:
            return False
        enough = len(self.successes) >= ENOUGH or self.spent - self.first_success >= POLISH
        return enough and (self.jury is None or self.jury.settles(self))

    @property
    def over(self) -> bool:
        done = self.exhausted and not self._waiting
        done |= time.monotonic() > self.late and self.found
        spent = 0 < self.goal.limit <= self.spent
        return self.settled or done or spent or (0 < self.cap <= self.tally.tried)

    @property
    def _capped(self) -> bool:
        """Whether no further candidate may be run: those under way count."""
        return 0 < self.cap <= self.tally.tried + len(self._waiting)

    def step(self, until: float, tick: Callable[[], None]) -> None:
        """Search until the moment `until` (monotonic seconds), or until it is over; `tick` is
        called a few times a second. No candidate is left under way before the end of all."""
        began, before = time.monotonic(), self.spent
        ticked = began
        while not self.over and (now := time.monotonic()) < until:
            self.spent = before + now - began
            if now - ticked > 0.25:
                ticked = now
                tick()
            if not self.exhausted:
                self._fill(until)
            idle = self.exhausted or self._capped or not self.screen.capacity
            self._take(0.02 if idle else 0.0)
            if self.exhausted and not self._waiting:
                break
        while self._waiting and time.monotonic() < self.end + DRAIN:
            self._take(0.05)
        self.spent = before + time.monotonic() - began
        tick()

    def drain(self) -> None:
        """Take what the screen knows by now of candidates under way; after an interrupt."""
        if self._waiting:
            self._take(0.0)

    def best(self) -> list[PlausiblePatch]:
        """Full successes, the most trustworthy first; without any, the partial ones. The jury
        judges them all before."""
        if self.jury is not None:
            self.jury.judge(self)
        return self.ranked()

    def ranked(self) -> list[PlausiblePatch]:
        """The same by what is known now."""
        whole, part = self.successes, self.partial
        if (jury := self.jury) is None:
            ranked = sorted(whole, key=lambda s: s.rank_cost)
            return ranked or sorted(part, key=lambda s: (-len(s.green), s.rank_cost))
        whole, part = ([s for s in found if jury.admits(self, s)] for found in (whole, part))
        ranked = sorted(whole, key=lambda s: jury.rank(self, s))
        return ranked or sorted(part, key=lambda s: (-len(s.green), *jury.rank(self, s)))

    def _fill(self, until: float) -> None:
        """Submit the next proposal that makes a candidate; many make none."""
        while self.screen.capacity > 0 and time.monotonic() < until and not self._capped:
            if self._hurried and self.screen.patient:
                self._run_again(self._hurried.pop(0), patient=True)
                return
            proposal = self._next or next(self.proposals, None)
            self._next = None
            waits = -self._provisional[0][0] if self._provisional else -math.inf
            if self._provisional and (proposal is None or proposal.score < waits):
                self._next = proposal
                self._run_again(heapq.heappop(self._provisional)[2])
                return
            if proposal is None:
                self.exhausted = True
                return
            self.tally.generated += 1
            checked = sound if self.jury else None  # which would refuse it
            change = proposal.subject.change(proposal.hole, proposal.text, checked)
            files = self.assembly.files(change) if change else None
            if change and files:
                candidate = Candidate(files)
                fails = self.refused.get(candidate.key, frozenset())
                if not fails.isdisjoint((*self.goal.targets, *self.guards_of(proposal.subject))):
                    self._recall(change, proposal)
                    return
                candidate_id = self.log.proposal(proposal, candidate)
                self._submit(change, proposal, candidate, candidate_id, self.goal.targets)
                return

    def _recall(self, change: Change, proposal: Proposal) -> None:
        """An interrupted run has seen this candidate fail: as if it had been run now."""
        self.tally.recalled += 1
        self.tried += 1
        self.strength.note(change.path, change.start, change.end, State.FAIL)
        if self.hear:
            self.hear(proposal, Verdict(State.FAIL))

    def _run_again(self, again: _Again, patient: bool = False) -> None:
        """With more time, or faithfully; not counted as another candidate."""
        pending, change = again.pending, again.pending.change
        _, free = self.schedule(pending.targets, self.guards_of(pending.proposal.subject))
        token = self.screen.submit(
            pending.candidate, pending.tests, free=free, patient=patient,
            least=self._least(pending.targets),
        )  # fmt: skip
        self._waiting[token] = pending
        self.tally.take_back(again.verdict, again.green)
        if not patient:
            self.tried -= 1
            self.strength.note(change.path, change.start, change.end, again.verdict.state, -1)

    def _submit(
        self,
        change: Change,
        proposal: Proposal,
        candidate: Candidate,
        candidate_id: int,
        targets: tuple[str, ...],
        handed: Mapping[str, str] | None = None,
    ) -> None:
        tests, free = self.schedule(targets, self.guards_of(proposal.subject))
        token = self.screen.submit(
            candidate, tests, free=free, hasty=True, least=self._least(targets)
        )
        self._waiting[token] = _Pending(
            change, proposal, candidate, candidate_id, tests, targets, handed or {}
        )

    def schedule(
        self, targets: tuple[str, ...], guards: tuple[str, ...]
    ) -> tuple[tuple[str, ...], frozenset[str]]:
        """The tests of a candidate in their order, and those of them that may end as they like."""
        wanted = tuple(dict.fromkeys([*self._apart(targets), *targets, *guards]))
        if not self._order:
            return wanted, frozenset()
        places = {test: index for index, test in enumerate(self._order)}
        tests = self._order[: 1 + max(places.get(test, -1) for test in wanted)]
        return tests, frozenset(tests) - frozenset(wanted)

    def _apart(self, targets: Sequence[str]) -> list[str]:
        """One of each kind of failure: these come first, as they may have faults of their own."""
        kinds: dict[tuple[str, str], str] = {}
        for test in targets:
            said = self._messages.get(test, "").partition(":")[0]
            kinds.setdefault((test.partition("[")[0], said), test)
        return list(kinds.values())

    def _least(self, targets: Sequence[str]) -> int:
        """Tests at the head that are all run: one of them may be mended, another not."""
        return 1 if self._order else max(1, min(TOGETHER, len(self._apart(targets))))

    def _take(self, timeout: float) -> None:
        for token, verdict in self.screen.results(timeout):
            pending = self._waiting.pop(token, None)
            if pending is None:
                continue
            seen, mended = verdict.outcomes, self.screen.mended
            green = tuple(t for t in pending.targets if mended(t, seen.get(t, "")))
            self.tally.note(verdict, bool(green))
            again = _Again(pending, verdict, bool(green))
            if verdict.hurried:
                self._hurried.append(again)
            elif verdict.provisional:
                late = -math.inf if green else LATER - pending.proposal.score
                heapq.heappush(self._provisional, (late, pending.candidate_id, again))
                self.exhausted = False
            if not verdict.hurried:
                self.tried += 1
                change = pending.change
                self.strength.note(change.path, change.start, change.end, verdict.state)
            stage = "provisional" if verdict.provisional else "screen"
            self.log.verdict(pending.candidate_id, verdict, stage)
            if self.hear:
                self.hear(pending.proposal, verdict)
            if verdict.passed:
                self._succeed(pending)
            elif self._hand_on(pending, verdict):
                continue
            elif verdict.state in (State.FAIL, State.TIMEOUT) and not verdict.provisional:
                self._retry(pending, green)

    def _succeed(self, pending: _Pending) -> None:
        old, new = pending.proposal.subject.base.edited(pending.change)
        worth = rank_cost(old, new, pending.proposal.score, self.tests_source)
        success = PlausiblePatch(
            pending.change, pending.targets, worth, pending.candidate_id, pending.handed,
            self._found(pending),
        )  # fmt: skip
        if {*pending.targets, *pending.handed} == set(self.goal.targets):
            if not self.successes:
                self.first_success = self.spent
            self.successes.append(success)
        else:
            if not self.partial:
                self.first_partial = self.spent
            self.partial.append(success)

    def _found(self, pending: _Pending) -> Green:
        change, proposal = pending.change, pending.proposal
        subject = proposal.subject.base
        ranks = [id(each) for each in self.goal.subjects]
        place = ranks.index(id(subject)) + 1 if id(subject) in ranks else 1
        return Green(
            change.path, change.start, change.end, change.text, subject.suspect.qualname,
            str(proposal.hole.kind), proposal.fill.logp, proposal.score, self.tried,
            len(pending.targets), len(self.guards_of(subject)), place, proposal.hole.suspicion,
        )  # fmt: skip

    def _hand_on(self, pending: _Pending, verdict: Verdict) -> bool:
        """Where a target only failed in what another goal is to write, try the others alone."""
        red = [t for t in pending.targets if verdict.outcomes.get(t) in RED]
        other = next((g for words, g in self.goal.beyond.items() if words in verdict.detail), "")
        if (
            verdict.state is not State.FAIL
            or len(red) != 1
            or not other
            or not self.screen.capacity
        ):
            return False
        left = tuple(t for t in pending.targets if t not in red)
        handed = {**pending.handed, red[0]: other}
        self._submit(
            pending.change, pending.proposal, pending.candidate, pending.candidate_id, left, handed
        )
        return True

    def _retry(self, pending: _Pending, green: tuple[str, ...]) -> None:
        """A candidate that turned some targets green may be the repair of those."""
        whole = set(pending.targets) == set(self.goal.targets)
        some = not self.goal.name and 0 < len(green) < len(pending.targets)
        if some and whole and not self.successes and self.screen.capacity > 0:
            self._submit(
                pending.change, pending.proposal, pending.candidate, pending.candidate_id, green
            )
