"""What a run of the loop is for: `Job`, and `RepairJob`, the job of `diffufix repair`.

The loop (loop.py) is the same for every job; a job says what the targets are, which holes are
filled for them, and what a result is called. `diffufix generate` is the other one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from diffufix.config import Settings
from diffufix.errors import ProjectError
from diffufix.repair.types import RepairResult, Status
from diffufix.types import Candidate, SuspiciousFunction, TestRun, Verdict
from diffufix.workspace.diagnosis import Diagnosis

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.propose.candidates import Change
    from diffufix.propose.proposals import FailureContext, Proposal, Watcher
    from diffufix.repair.search import FailureGroup, PlausiblePatch
    from diffufix.source.file import SourceFile

#: Runs tests on a copy with some files changed: (relative path -> bytes, test ids, coverage?).
Probe = Callable[[Mapping[str, bytes], Sequence[str], bool], TestRun]

SLICE = 6.0  # seconds that a goal is searched before the next has its turn
SUSPECTS = 12  # functions searched per goal, later ones as time goes on


@dataclass
class SearchPlan:
    """Goals to search, in the order of their turns; without any, what there is to say instead."""

    goals: list[FailureGroup] = field(default_factory=list)
    #: The project's files that may change, by relative path.
    sources: dict[str, SourceFile] = field(default_factory=dict)
    #: The texts of those files that changes are made to; None: as they are in the project.
    base: dict[str, str] | None = None
    title: str = ""  # of the suspects, where they are no suspects
    #: The tests that are to turn green; None: all that are red.
    wanted: tuple[str, ...] | None = None
    suspects: list[SuspiciousFunction] = field(default_factory=list)
    status: Status = Status.NOT_REPAIRED
    message: str = ""
    hint: str = ""

    @property
    def texts(self) -> dict[str, str]:
        if self.base is not None:
            return self.base
        return {path: source.text for path, source in self.sources.items()}


@dataclass(frozen=True)
class ProposalSupply:
    """Proposals for one goal. `hear` is told what became of each that was tried."""

    proposals: Iterator[Proposal]
    hear: Callable[[Proposal, Verdict], None] | None = None


class Job(Protocol):
    """All that the loop asks of a job. `settings` are those of the run."""

    command: str  # as the log names it
    settings: Settings
    turn: float  # seconds that a goal is searched before the next has its turn
    mends: bool  # it needs a model that fills holes between two texts

    def lay(self, tree: Path) -> None:
        """Change a fresh copy of the project before anything is run in it."""

    def plan(self, diagnosis: Diagnosis, probe: Probe) -> SearchPlan: ...

    def propose(
        self,
        model: LoadedModel,
        goal: FailureGroup,
        story: FailureContext,
        watch: Watcher,
        busy: Callable[[], bool],
    ) -> ProposalSupply: ...

    def sift(
        self, accepted: Sequence[Sequence[PlausiblePatch]]
    ) -> Sequence[Sequence[PlausiblePatch]]:
        """Of what passed the screening, what may become the patch."""

    def complete(self, changes: Sequence[Change]) -> tuple[Change, ...]:
        """These changes, then those that the patch needs beside them."""

    def check(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        """A confirmed candidate's verdict, after checks that the tests do not make."""

    def finish(self, result: RepairResult, changes: Sequence[Change]) -> RepairResult:
        """The result as the user sees it; `changes` are those in its patch."""


class RepairJob:
    """Make failing tests pass: the functions they execute are suspects, holes fine to coarse."""

    command = "repair"
    turn = SLICE
    mends = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def lay(self, tree: Path) -> None:
        """The project is run as it is."""

    def plan(self, diagnosis: Diagnosis, probe: Probe) -> SearchPlan:
        """Goals with their suspects; the sources of all suspects are read."""
        if not diagnosis.run.red:
            return SearchPlan(
                status=Status.NOTHING_FAILING, message="No test fails: nothing to repair."
            )
        if not diagnosis.red:
            return SearchPlan(
                message="What failed the first time did not fail the second time, under coverage.",
                hint="Make these tests come out the same each time: "
                + ", ".join(diagnosis.flaky[:3]),
            )
        from diffufix.localize import groups, suspects
        from diffufix.propose.candidates import EditTarget
        from diffufix.repair.nowhere import nowhere
        from diffufix.repair.search import FailureGroup
        from diffufix.source.file import SourceFile

        plan, run, root = SearchPlan(), diagnosis.run, self.settings.root
        shown = []
        for targets in groups(run, root=root, tests=diagnosis.tests):
            targets = tuple(t for t in targets if t in diagnosis.red)
            if not targets:
                continue
            own = []
            for suspect in suspects(
                run, root=root, failing=targets, limit=SUSPECTS, only=self.settings.function,
                tests=diagnosis.tests,
            ):  # fmt: skip
                with contextlib.suppress(ProjectError, SyntaxError, ValueError):
                    if suspect.path not in plan.sources:
                        plan.sources[suspect.path] = SourceFile.read(root / suspect.path)
                    own.append(EditTarget(suspect, plan.sources[suspect.path].text))
                    shown.append(suspect)
            if own:
                plan.goals.append(FailureGroup(targets, tuple(own)))
        plan.suspects = sorted(
            {(s.path, s.qualname, s.first_line): s for s in reversed(shown)}.values(),
            key=lambda s: -s.score,
        )
        if not plan.goals:
            reason = nowhere(diagnosis, root, self.settings.function)
            plan.message, plan.hint = reason.message, reason.hint
        return plan

    def propose(
        self,
        model: LoadedModel,
        goal: FailureGroup,
        story: FailureContext,
        watch: Watcher,
        busy: Callable[[], bool],
    ) -> ProposalSupply:
        from diffufix.propose.edits.beside import Beside
        from diffufix.propose.edits.nearby import texts_near
        from diffufix.propose.propose import propose

        beside = None
        if model.family.appended:
            near = texts_near(self.settings.root, [s.suspect.path for s in goal.subjects])
            beside = Beside(model, goal.subjects, story, near, goal.targets)
        supply = propose(
            model, goal.subjects, story, seed=self.settings.seed, watch=watch, busy=busy,
            beside=beside,
        )  # fmt: skip
        return ProposalSupply(supply, beside.hear if beside else None)

    def sift(
        self, accepted: Sequence[Sequence[PlausiblePatch]]
    ) -> Sequence[Sequence[PlausiblePatch]]:
        return accepted

    def complete(self, changes: Sequence[Change]) -> tuple[Change, ...]:
        return tuple(changes)

    def check(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        return verdict

    def finish(self, result: RepairResult, changes: Sequence[Change]) -> RepairResult:
        return result
