"""`repair`: from failing tests to a confirmed patch. The main loop, to be read top to bottom.

1. diagnose   run the suite twice on a scratch copy: what is red, what flaky, who executes what
2. search     per group of failing tests: holes, fills, candidates, verdicts (search.py), in turns
3. confirm    the best changes together, cold, over the whole suite; worse ones if that fails

The project is only read; scratch copies and sandboxes are removed whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix.config import Settings
from diffufix.errors import DiffufixError, ProjectError
from diffufix.localize import groups, suspects
from diffufix.repair import events
from diffufix.repair.candidates import Assembly, Subject
from diffufix.repair.events import Listener
from diffufix.repair.patch import Source, make_patch, read_source
from diffufix.repair.record import Record
from diffufix.repair.search import Counters, Goal, Search, Success
from diffufix.repair.types import RepairResult, Status
from diffufix.sandbox import Sandbox, make_sandbox
from diffufix.testing import TestCase, TestRun, copy_project, find_interpreter, flaky, run_tests
from diffufix.testing.types import FAILED
from diffufix.verify import Candidate, Screen, confirm

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

SUSPECTS = 5  # functions searched per goal
SLICE = 6.0  # seconds that a goal is searched before the next has its turn
HANG = 20.0  # seconds a phase of a test may take in the first runs, at least
CONFIRMED = 3  # successes of a goal that confirmation tries


def repair(settings: Settings, listener: Listener) -> RepairResult:
    """Search for a patch that turns failing tests green and breaks none.

    Raises ProjectError (no tests, tests that cannot be run), PrerequisiteError, CheckpointError,
    UsageError. Ctrl-C during the search gives a result with status `interrupted`.
    """
    return _Repair(settings, listener).run()


@dataclass(frozen=True)
class Diagnosis:
    """What the two runs of the unchanged project said."""

    run: TestRun  # outcomes and seconds of the first run, coverage of the second
    red: tuple[str, ...]  # failed both times
    flaky: tuple[str, ...]

    @property
    def seconds(self) -> dict[str, float]:
        return {case.id: case.seconds for case in self.run.cases}

    @property
    def baseline(self) -> dict[str, str]:
        """Outcomes to be kept; a flaky test counts as red, which nobody has to keep."""
        return {c.id: FAILED if c.id in self.flaky else c.outcome for c in self.run.cases}


class _Repair:
    """One run of `repair`: what its steps share."""

    def __init__(self, settings: Settings, listener: Listener) -> None:
        self.settings, self.listener = settings, listener
        self.began = time.monotonic()
        self.deadline = self.began + settings.budget
        self.counters = Counters()
        self.warnings: list[str] = []
        self.searches: list[Search] = []
        self.status = Status.NOT_REPAIRED
        self.last_shown = 0.0

    def run(self) -> RepairResult:
        root = self.settings.root
        with contextlib.ExitStack() as stack:
            self.scratch = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="diffufix-"))
            )
            self.record = stack.enter_context(Record.open(root, self.settings))
            if self.record.warning:
                self.warn(self.record.warning)
            result = RepairResult(Status.INTERRUPTED, message="Interrupted.")
            try:
                result = self._repair()
            except KeyboardInterrupt:
                result = self._result(
                    Status.INTERRUPTED, message="Interrupted before a repair was found."
                )
            except DiffufixError as error:
                self.record.finish("error", {"message": error.message, "hint": error.hint})
                raise
            result = replace(result, run_id=self.record.run_id)
            self.record.finish(str(result.status), result.document())
            self.listener(events.Finished())
            return result

    def _repair(self) -> RepairResult:
        python = find_interpreter(self.settings.root, self.settings.python or None)
        self.python = python
        with _InBackground(self._load_model) as loading:
            self.diagnosis = diagnosis = self._diagnose(python)
            run = diagnosis.run
            if not run.red and not run.collection_errors:
                return self._result(
                    Status.NOTHING_FAILING, message="Every test passes: nothing to repair."
                )
            if not diagnosis.red:
                return self._result(
                    message="The failing tests pass when they are run again: they are flaky.",
                    hint="Make them deterministic first: " + ", ".join(diagnosis.flaky[:3]),
                )
            plan = self._plan()
            if not plan:
                return self._result(
                    message="No failing test executes code of this project that could be repaired.",
                    hint="Is the fault in the tests, in a fixture or in an installed package?",
                )
            self.listener(events.Stage("loading the model"))
            model, seconds = loading.result()
        self.record.model(model)
        parameters = sum(p.numel() for p in model.parameters())
        self.listener(events.ModelLoaded(model.name, parameters, seconds))
        self.model = model
        return self._search(plan)

    # -- 1. diagnose -------------------------------------------------------------------------------

    def _load_model(self) -> tuple[LoadedModel, float]:
        from diffufix.model import load_model

        began = time.monotonic()
        device = None if self.settings.device == "auto" else self.settings.device
        model = load_model(
            self.settings.model or None, device=device, adapter=self.settings.adapter or None
        )
        return model, time.monotonic() - began

    def _diagnose(self, python: Path) -> Diagnosis:
        settings = self.settings
        self.listener(events.Stage("running the tests"))
        tree = copy_project(settings.root, self.scratch / "tests")
        hang = max(HANG, settings.budget / 3)
        first = run_tests(
            settings.root, settings.pytest_args, python=python, tree=tree,
            test_timeout=hang, timeout=max(300.0, 10 * settings.budget),
        )  # fmt: skip
        if not first.cases:
            _complain(first)
        self.listener(events.TestsRan(first))
        if not first.red:
            return Diagnosis(first, (), ())
        for error in first.collection_errors:
            self.warn(f"{error.id} cannot be collected and is left out: {error.message}")
        self.listener(events.Stage("finding out which code the tests execute"))
        again = run_tests(
            settings.root, settings.pytest_args, python=python, tree=tree, coverage=True,
            test_timeout=2 * hang, timeout=max(600.0, 20 * settings.budget),
        )  # fmt: skip
        unsteady = flaky(first, again)
        if unsteady:
            self.warn(f"flaky, left out: {', '.join(unsteady[:5])}")
        red = tuple(case.id for case in first.red if case.id not in unsteady)
        return Diagnosis(replace(first, coverage=again.coverage), red, unsteady)

    def _plan(self) -> list[Goal]:
        """Goals with their suspects; the sources of all suspects are read."""
        run, root = self.diagnosis.run, self.settings.root
        self.sources: dict[str, Source] = {}
        subjects: dict[tuple[str, str, int], Subject] = {}
        goals, shown = [], []
        for targets in groups(run, root=root):
            targets = tuple(t for t in targets if t in self.diagnosis.red)
            if not targets:
                continue
            own = []
            for suspect in suspects(run, root=root, failing=targets, limit=SUSPECTS):
                with contextlib.suppress(ProjectError, SyntaxError, ValueError):
                    if suspect.path not in self.sources:
                        self.sources[suspect.path] = read_source(root / suspect.path)
                    subject = Subject(suspect, self.sources[suspect.path].text)
                    key = (suspect.path, suspect.qualname, suspect.first_line)
                    subjects.setdefault(key, subject)
                    own.append(subject)
                    shown.append(suspect)
            if own:
                goals.append(Goal(targets, tuple(own)))
        self.suspects = sorted(
            {(s.path, s.qualname, s.first_line): s for s in reversed(shown)}.values(),
            key=lambda s: -s.score,
        )
        self.listener(events.Localized(tuple(self.suspects)))
        self.record.suspects(self.suspects)
        return goals

    # -- 2. search ---------------------------------------------------------------------------------

    def _search(self, plan: Sequence[Goal]) -> RepairResult:
        from diffufix.sampler.threads import threads_kept

        diagnosis = self.diagnosis
        self.baseline = dict(diagnosis.baseline)
        assembly = Assembly({path: source.text for path, source in self.sources.items()})
        self.listener(events.Stage("starting the sandboxes"))
        workers = self.settings.workers or os.cpu_count() or 1
        with threads_kept():
            try:
                with Screen(
                    self._sandbox, python=str(self.python), args=self.settings.pytest_args,
                    root=self.settings.root, expected=diagnosis.baseline, failing=diagnosis.red,
                    seconds=diagnosis.seconds, workers=workers,
                ) as screen:  # fmt: skip
                    for goal in plan:
                        self.searches.append(self._start(goal, assembly, screen, workers))
                    self._compare(screen)
                    self._take_turns()
            except KeyboardInterrupt:
                self.status = Status.INTERRUPTED
                if not any(search.best() for search in self.searches):
                    raise
        return self._confirm(assembly)

    def _compare(self, screen: Screen) -> None:
        """Do the tests say in the sandbox what they said outside? What differs is left out."""
        tests = tuple(dict.fromkeys(test for search in self.searches for test in search.tests))
        inside = screen.check(tests).outcomes
        odd = {t: inside[t] for t in tests if t in inside and inside[t] != self.baseline[t]}
        if not odd:
            return
        self.warn(
            f"{len(odd)} tests have another outcome in the sandbox and are left out: "
            + ", ".join(f"{test} ({outcome})" for test, outcome in list(odd.items())[:3])
        )
        self.baseline |= odd
        for search in self.searches:
            search.leave_out(frozenset(odd))
        self.searches = [search for search in self.searches if search.goal.targets]

    def _start(self, goal: Goal, assembly: Assembly, screen: Screen, workers: int) -> Search:
        from diffufix.repair.proposals import Story, propose

        cases = {case.id: case for case in self.diagnosis.run.cases}
        case = cases[goal.targets[0]]
        source = self._test_source(goal.targets)
        story = Story(case.id, source, case.report, case.message)
        proposals = propose(
            self.model,
            goal.subjects,
            story,
            seed=self.settings.seed,
            watch=self._watch,
            busy=lambda: screen.pending >= workers,
        )
        cap = self.settings.candidates
        return Search(
            goal, proposals, self.diagnosis.run, assembly, screen, self.record, self.counters,
            source, cap,
        )  # fmt: skip

    def _test_source(self, targets: Sequence[str]) -> str:
        texts = []
        for path in sorted({target.split("::")[0] for target in targets}):
            with contextlib.suppress(ProjectError):
                texts.append(read_source(self.settings.root / path).text)
        return "\n".join(texts)

    def _take_turns(self) -> None:
        """Search goal after goal for a while each until all are over or the time is up."""
        end = self.deadline - self._confirmation_seconds()
        while (left := end - time.monotonic()) > 0:
            open_ = [search for search in self.searches if not search.over]
            if not open_:
                return
            share = max(1.0, left / len(open_)) if len(open_) > 1 else left
            for search in open_:
                had = len(search.successes)
                stop = min(end, time.monotonic() + min(SLICE, share))
                search.step(stop, self._progress)
                if len(search.successes) > had:
                    targets = ", ".join(search.goal.targets[:2])
                    self.listener(events.Found(f"{len(search.successes)} for {targets}"))

    def _confirmation_seconds(self) -> float:
        """Roughly what two cold runs of the suite will take."""
        run = self.diagnosis.run
        return min(0.5 * self.settings.budget, 1.0 + 2.5 * run.seconds)

    # -- 3. confirm --------------------------------------------------------------------------------

    def _confirm(self, assembly: Assembly) -> RepairResult:
        """The best change of every goal together; where that fails, goal by goal, next best."""
        ranked = [search.best()[:CONFIRMED] for search in self.searches]
        chosen = [successes[0] for successes in ranked if successes]
        if not chosen:
            return self._result(
                self.status,
                message="No candidate turned a failing test green within the budget.",
                hint="Give it more time with --budget, or a larger model with --model.",
            )
        changes = list(dict.fromkeys(success.change for success in chosen))
        green = tuple(dict.fromkeys(t for success in chosen for t in success.green))
        if not self._confirmed(assembly, changes, green, chosen):
            changes, green = [], ()
            for successes in ranked:
                for success in successes:
                    more = list(dict.fromkeys([*changes, success.change]))
                    both = tuple(dict.fromkeys([*green, *success.green]))
                    if len(ranked) == 1 and success is chosen[0]:
                        continue  # has just failed
                    if self._confirmed(assembly, more, both, [success]):
                        changes, green = more, both
                        break
        if not changes:
            return self._result(
                self.status,
                message="What passed the screening did not hold in a fresh run of the whole suite.",
                hint="Look at `diffufix runs show` for the candidates and what broke.",
            )
        files = assembly.files(*changes)
        assert files is not None
        still_red = tuple(t for t in self.diagnosis.red if t not in green)
        patch = make_patch({path: self.sources[path] for path in files}, files)
        status = self.status
        if status is not Status.INTERRUPTED:
            status = Status.NOT_REPAIRED if still_red else Status.REPAIRED
        return self._result(
            status, patch=patch, turned_green=green, still_red=still_red,
            alternatives=self._alternatives(changes),
            message="" if not still_red else "Some tests are still red.",
            hint="" if not still_red else "Give it more time with --budget.",
        )  # fmt: skip

    def _confirmed(
        self,
        assembly: Assembly,
        changes: Sequence[Any],
        green: tuple[str, ...],
        by: Sequence[Success],
    ) -> bool:
        files = assembly.files(*changes)
        if files is None:
            return False
        self.listener(events.Confirming(f"{len(green)} tests to turn green, whole suite, twice"))
        verdict = confirm(
            Candidate(files), self._sandbox, python=str(self.python),
            args=self.settings.pytest_args, root=self.settings.root,
            baseline=self.baseline, targets=green, seconds=self.diagnosis.seconds,
        )  # fmt: skip
        for success in by:
            self.record.verdict(success.candidate_id, verdict, "confirm")
        return verdict.passed

    def _alternatives(self, changes: Sequence[Any]) -> tuple[str, ...]:
        """Diffs of the other changes that passed the screening, best first."""
        found = []
        for search in self.searches:
            for success in sorted(search.successes, key=lambda s: s.badness):
                if success.change not in changes:
                    one = Assembly({k: s.text for k, s in self.sources.items()}).files(
                        success.change
                    )
                    assert one is not None
                    found.append(make_patch({path: self.sources[path] for path in one}, one).diff)
        return tuple(found)

    # -- what all steps use ------------------------------------------------------------------------

    def _sandbox(self) -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=self.scratch)) / "project"
        copy_project(self.settings.root, tree)
        return make_sandbox(self.settings.sandbox, tree, python=str(self.python))

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.listener(events.Warned(text))

    def _watch(self, subject: Subject, hole: Any, left: str, canvas: str, right: str) -> None:
        now = time.monotonic()
        if now - self.last_shown < 0.15:
            return
        self.last_shown = now
        line = subject.source.count("\n", 0, hole.start) + 1
        text = subject.source[hole.start : hole.end]
        self.listener(events.HoleStarted(subject.suspect, line, str(hole.kind), text))
        self.listener(events.CanvasStep(left, canvas, right))

    def _progress(self) -> None:
        elapsed = time.monotonic() - self.began
        spent = sum(search.spent for search in self.searches) or 1e-9
        solved = sum(bool(search.successes) for search in self.searches)
        best = f"{solved} of {len(self.searches)} faults repaired" if solved else ""
        self.listener(
            events.Progress(
                self.counters.tried,
                self.counters.generated,
                self.counters.tried / spent,
                elapsed,
                best,
            )
        )

    def _result(self, status: Status | None = None, **values: Any) -> RepairResult:
        model = getattr(self, "model", None)
        return RepairResult(
            status or self.status,
            tried=self.counters.tried,
            generated=self.counters.generated,
            seconds=time.monotonic() - self.began,
            tests=len(self.diagnosis.run.cases) if hasattr(self, "diagnosis") else 0,
            suspects=tuple(getattr(self, "suspects", ())),
            states=dict(self.counters.states),
            model=model.name if model else "",
            model_hash=model.fingerprint if model else "",
            warnings=tuple(self.warnings),
            **values,
        )


class _InBackground:
    """Runs a function in a thread; `result` waits and re-raises. Leaving does not wait for it."""

    def __init__(self, work: Any) -> None:
        self._work, self._value = work, None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as error:
            self._error = error

    def result(self) -> Any:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value

    def __enter__(self) -> _InBackground:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _complain(run: TestRun) -> None:
    """No test could be run: say why. Raises ProjectError."""
    if run.collection_errors:
        first: TestCase = run.collection_errors[0]
        where = first.frames[-1] if first.frames else None
        place = f" ({where.path}, line {where.line})" if where else ""
        raise ProjectError(
            f"The tests cannot be collected: {first.id}: {first.message}{place}",
            "Make the project import first: python -m pytest --collect-only",
        )
    raise ProjectError(
        "pytest finds no tests here.",
        "Run diffufix in the project's folder, or name tests: diffufix repair tests/",
    )
