"""`GenerateJob`: the job of `diffufix generate`. The loop itself is that of `repair`.

What it declares: before anything runs, the bodies in question are emptied in every copy and the
docstrings' examples are laid beside the project's tests; a goal is one function, callees first;
its targets are the tests and examples that fail because it is empty; its one hole is its body.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diffufix.config import Settings
from diffufix.generate.body import Body, Draft
from diffufix.generate.choose import StubSelection
from diffufix.generate.examples import examples_of, module_names
from diffufix.generate.stubs import Emptied, Stub, empty, marker, new_lines
from diffufix.generate.suite import ExampleTests, uses_mypy
from diffufix.generate.types import DONE, Filled, StubState
from diffufix.generate.typing_check import Mypy
from diffufix.localize import suspects
from diffufix.propose.candidates import Change
from diffufix.repair.job import Probe, ProposalSupply, SearchPlan
from diffufix.repair.search import FailureGroup, PlausiblePatch
from diffufix.repair.types import RepairResult, Status
from diffufix.source.edits import splice
from diffufix.source.plain import write_within
from diffufix.source.spans import Text
from diffufix.testing import find_interpreter
from diffufix.types import Candidate, State, SuspiciousFunction, Verdict
from diffufix.workspace.diagnosis import Diagnosis

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel
    from diffufix.propose.proposals import FailureContext, Watcher

STATIC = ("parses in place", "imports", "no undefined names", "returns what its hint says")
NO_EVIDENCE = "no test reaches it and its docstring has no examples"


@dataclass
class _Task:
    """One function: where its body is to go, and what would verify it."""

    emptied: Emptied
    body: Body
    targets: tuple[str, ...] = ()  # red tests and examples that reach it
    handed: set[str] = field(default_factory=set)  # of them, those that also need other bodies
    state: StubState = StubState.NOT_FOUND
    mypy: str = ""
    note: str = ""

    @property
    def function(self) -> Stub:
        return self.emptied.function

    @property
    def name(self) -> str:
        return f"{self.function.path}::{self.function.qualname}"


class GenerateJob:
    """`budget` of the settings is for each function."""

    command = "generate"
    mends = False  # drafts are, where the model can

    def __init__(
        self, settings: Settings, choice: StubSelection, allow_unverified: bool = False
    ) -> None:
        self.allow_unverified = allow_unverified
        self.root, self.turn = settings.root, settings.budget
        self.sources = choice.sources
        self.base: dict[str, str] = {}
        emptied: dict[int, Emptied] = {}
        for path, source in choice.sources.items():
            own = [function for function in choice.functions if function.path == path]
            self.base[path], found = empty(source.text, own)
            emptied |= {id(each.function): each for each in found}
        functions = [function for function in choice.functions if id(function) in emptied]
        self.tasks = [self._task(emptied[id(function)]) for function in functions]
        examples = [
            example
            for task in self.tasks
            for example in examples_of(task.function, module_names(self.base[task.function.path]))
        ]
        self.suite = ExampleTests(self.root, examples, list(self.sources))
        self.settings = replace(
            settings,
            folder="",
            pytest_args=self.suite.args(self.root),
            budget=settings.budget * len(self.tasks),
        )

    def _task(self, emptied: Emptied) -> _Task:
        function, source = emptied.function, self.base[emptied.function.path]
        text, node = Text(source), function.outer
        above = source.count("\n", 0, emptied.hole[0]) + 1
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        suspect = SuspiciousFunction(
            function.path, function.outer_name, min(first, above),
            max(above, text.line_of(emptied.hole[1])), 1.0, {above: 1.0},
        )  # fmt: skip
        return _Task(emptied, Body(suspect, source, emptied))

    # -- the loop asks -----------------------------------------------------------------------------

    def lay(self, tree: Path) -> None:
        for path, text in self.base.items():
            write_within(tree, path, self.sources[path].encode(text))
        self.suite.lay(tree)

    def plan(self, diagnosis: Diagnosis, probe: Probe) -> SearchPlan:
        self.diagnosis, self.probe = diagnosis, probe
        plan = SearchPlan(sources=dict(self.sources), base=self.base, title="to be written")
        names = {marker(task.function): task.name for task in self.tasks}
        for task in self.tasks:
            task.targets = self._targets(task)
            if self._passes_already(task):
                task.state, task.note = StubState.ALREADY, "its tests pass with the body it has"
            elif not task.targets and not self.allow_unverified:
                task.state, task.note = StubState.UNVERIFIABLE, NO_EVIDENCE
            else:
                plan.goals.append(
                    FailureGroup(
                        task.targets, (task.body,), task.name,
                        (self.suite.import_of(task.function.path),),
                        {words: name for words, name in names.items() if name != task.name},
                        self.turn,
                    )
                )  # fmt: skip
                plan.suspects.append(replace(task.body.suspect, evidence=self._evidence(task)))
        plan.wanted = tuple(dict.fromkeys(t for goal in plan.goals for t in goal.targets))
        plan.status, plan.message, plan.hint = self._ending()
        return plan

    def _targets(self, task: _Task) -> tuple[str, ...]:
        """Red tests that reach the empty body; the docstring's own first, they say most."""
        run, red = self.diagnosis.run, set(self.diagnosis.red)
        line, path = next(iter(task.body.suspect.lines)), task.function.path
        seconds = {case.id: case.seconds for case in run.cases}
        own = [
            id_ for id_, example in self.suite.by_id.items()
            if example.path == path and example.function == task.function.qualname and id_ in red
        ]  # fmt: skip
        reach = [
            id_ for id_ in sorted(red, key=lambda id_: (seconds.get(id_, 0.0), id_))
            if line in run.coverage.get(id_, {}).get(path, frozenset())
            and not self.suite.is_own(id_)
        ]  # fmt: skip
        return tuple(dict.fromkeys([*own, *reach]))

    def _passes_already(self, task: _Task) -> bool:
        """Is a stub that does not raise all that its tests ask for?"""
        function = task.function
        if not task.targets or not function.is_stub or function.raises:
            return False
        text = self._with_original(task)
        as_it_was = {function.path: self.sources[function.path].encode(text)}
        run = self.probe(as_it_was, task.targets, False)
        outcomes = {case.id: case.outcome for case in run.cases}
        return all(outcomes.get(test) == "passed" for test in task.targets)

    def _with_original(self, task: _Task) -> str:
        each, text = task.emptied, self.base[task.function.path]
        return splice(text, each, each.before)

    def _evidence(self, task: _Task) -> str:
        examples = sum(map(self.suite.is_own, task.targets))
        tests = len(task.targets) - examples
        counts = {"test": tests, "example": examples}
        parts = [f"{n} {noun}{'s' * (n > 1)}" for noun, n in counts.items() if n]
        return f"{task.function.qualname}: " + (" and ".join(parts) or "nothing verifies it")

    def propose(
        self,
        model: LoadedModel,
        goal: FailureGroup,
        story: FailureContext,
        watch: Watcher,
        busy: Callable[[], bool],
    ) -> ProposalSupply:
        from diffufix.generate.bodies import Bodies
        from diffufix.generate.fills import BODIES
        from diffufix.propose.propose import propose

        seed, mends = self.settings.seed, not model.family.block
        body = goal.subjects[0]
        assert isinstance(body, Body)
        source = BODIES[model.family.layout]
        bodies = Bodies(
            body,
            source.bodies(model, body, story, seed, watch, busy),
            lambda draft: (
                propose(model, [draft], story, seed=seed, watch=watch, busy=busy)
                if mends
                else iter(())
            ),
            self._executed,
            first=source.HEAD_START,
        )
        return ProposalSupply(bodies, bodies.hear)

    def _executed(self, draft: Draft, verdict: Verdict) -> dict[int, float] | None:
        """How suspicious a draft's lines are, by what its examples execute; None: all alike.

        Only worth a run of the tests where not every example executes every line.
        """
        if not draft.branches or verdict.state is not State.FAIL:
            return None
        text = self.sources[draft.suspect.path].encode(draft.source)
        run = self.probe({draft.suspect.path: text}, tuple(verdict.outcomes), True)
        red = [case.id for case in run.red]
        path, name = draft.suspect.path, draft.suspect.qualname
        by_id = {s: s.lines for s in suspects(run, root=self.root, failing=red, limit=50)
                 if (s.path, s.qualname) == (path, name)} if red else {}  # fmt: skip
        inside = {
            line: score for lines in by_id.values() for line, score in lines.items()
            if line in draft.suspect.lines
        }  # fmt: skip
        return inside or None

    def sift(
        self, accepted: Sequence[Sequence[PlausiblePatch]]
    ) -> Sequence[Sequence[PlausiblePatch]]:
        """Bodies that no test or example speaks for only where the user allows them."""
        green = {test for ranked in accepted for test in ranked[0].green}
        kept = []
        for ranked in accepted:
            task = self._of(ranked[0].change)
            task.handed = set(ranked[0].handed)
            if self.allow_unverified or green & {*ranked[0].green, *task.handed}:
                kept.append(ranked)
            else:
                task.note = "the tests that reach it need other bodies that were not found"
        return kept

    def complete(self, changes: Sequence[Change]) -> tuple[Change, ...]:
        """With the bodies of all other functions as they were."""
        others = [
            Change(task.function.path, task.emptied.start, task.emptied.end, task.emptied.before)
            for task in self.tasks
            if not any(self._of(change) is task for change in changes)
        ]
        return (*changes, *others)

    def check(self, candidate: Candidate, verdict: Verdict) -> Verdict:
        """mypy, where the project uses it, on the new bodies."""
        if not uses_mypy(self.root):
            return verdict
        lines: dict[str, list[range]] = {}
        fresh = []
        for task in self.tasks:
            part = new_lines(task.function, candidate.files.get(task.function.path, ""))
            if part:
                fresh.append(task)
                lines.setdefault(task.function.path, []).append(part)
        with tempfile.TemporaryDirectory(prefix="diffufix-mypy-") as scratch:
            python = find_interpreter(self.root, self.settings.python or None)
            mypy = Mypy(self.root, str(python), Path(scratch))
            errors = mypy.errors(candidate.files, lines)
        for task in fresh:
            task.mypy = mypy.missing or ("failed" if errors else "passed")
        if errors:
            return Verdict(State.FAIL, verdict.outcomes, verdict.seconds, f"mypy: {errors[0]}")
        return verdict

    def finish(self, result: RepairResult, changes: Sequence[Change]) -> RepairResult:
        green = set(result.turned_green)
        for change in changes:
            task = self._of(change)
            mine = green & {*task.targets}
            task.state = StubState.VERIFIED if mine else StubState.UNVERIFIED
        filled = tuple(self._filled(task, green) for task in self.tasks)
        status, message, hint = self._ending()
        if result.status is Status.INTERRUPTED:
            status = Status.INTERRUPTED
        alone = tuple(t for t in result.turned_green if not self.suite.is_own(t))
        return replace(
            result, status=status, functions=filled, turned_green=alone,
            still_red=tuple(t for t in result.still_red if not self.suite.is_own(t)),
            message=message if status is not Status.INTERRUPTED else result.message,
            hint=result.hint if status is Status.INTERRUPTED else hint,
        )  # fmt: skip

    # -- words -------------------------------------------------------------------------------------

    def _filled(self, task: _Task, green: set[str]) -> Filled:
        done = task.state in (StubState.VERIFIED, StubState.UNVERIFIED)
        mine = [test for test in task.targets if test in green] if done else []
        return Filled(
            path=task.function.path,
            qualname=task.function.qualname,
            line=task.function.node.lineno,
            state=task.state,
            tests=tuple(t for t in mine if not self.suite.is_own(t)),
            examples=tuple(self.suite.by_id[t].text for t in mine if self.suite.is_own(t)),
            mypy=task.mypy if done else "",
            static=STATIC if done else (),
            waiting=len(set(task.targets) - green) if done else 0,
            note=task.note,
        )

    def _ending(self) -> tuple[Status, str, str]:
        """Status, message and hint by what became of the functions."""
        states = [task.state for task in self.tasks]
        good = DONE | ({StubState.UNVERIFIED} if self.allow_unverified else set())
        if all(state is StubState.ALREADY for state in states):
            return (
                Status.NOTHING_FAILING,
                "The stubs already pass their tests.",
                (
                    "Is the test complete? To have a body written nevertheless, let it raise "
                    "NotImplementedError."
                ),
            )
        if all(state in good for state in states):
            return Status.GENERATED, "", ""
        if StubState.UNVERIFIABLE in states and not any(s is StubState.NOT_FOUND for s in states):
            return (
                Status.NOT_GENERATED,
                "Nothing would verify what is generated.",
                (
                    "Give the docstring an example (`>>> f(2)` and its result below), write a test "
                    "that calls it, or take what is only likely with --allow-unverified."
                ),
            )
        return (
            Status.NOT_GENERATED,
            "",
            (
                "Give it more time with --budget, more examples in the docstring, or a larger "
                "model with --model."
            ),
        )

    def _of(self, change: Change) -> _Task:
        return next(
            t for t in self.tasks
            if t.function.path == change.path and t.emptied.hole == (change.start, change.end)
        )  # fmt: skip
