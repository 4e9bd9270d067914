"""`repair`: from failing tests to a confirmed patch. The main loop, to be read top to bottom.

1. diagnose   run the suite on a scratch copy, find out who executes what, rank the suspects
2. search     per group of failing tests: holes, fills, candidates, verdicts; the groups in turns
3. confirm    the best changes together, cold, over the whole suite; the next best if that fails

The project is only read; scratch copies and sandboxes are removed whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix.config import Settings
from diffufix.errors import DiffufixError, ProjectError
from diffufix.localize import groups, suspects
from diffufix.repair import events
from diffufix.repair.candidates import Assembly, Change, Subject
from diffufix.repair.confirmation import Confirmation
from diffufix.repair.diagnosis import diagnose
from diffufix.repair.events import Listener
from diffufix.repair.patch import Source, make_patch, read_source
from diffufix.repair.record import Record
from diffufix.repair.search import Counters, Goal, Search, Success
from diffufix.repair.turns import Turns
from diffufix.repair.types import RepairResult, Status
from diffufix.sandbox import Sandbox, make_sandbox
from diffufix.testing import copy_project, find_interpreter
from diffufix.verify import Candidate, Screen, Verdict, confirm

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

SUSPECTS = 5  # functions searched per goal


def repair(settings: Settings, listener: Listener) -> RepairResult:
    """Search for a patch that turns failing tests green and breaks none.

    Raises ProjectError (no tests, tests that cannot be run), PrerequisiteError, CheckpointError,
    UsageError. Ctrl-C during the search gives a result with status `interrupted`.
    """
    return _Repair(settings, listener).run()


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
        self.turns: Turns | None = None
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
        self.python = find_interpreter(self.settings.root, self.settings.python or None)
        with _InBackground(self._load_model) as loading:
            self.diagnosis = diagnosis = diagnose(
                self.settings, self.python, self.scratch / "tests", self.listener, self.warn,
                on_red=loading.start,
            )  # fmt: skip
            if not diagnosis.run.red:
                return self._result(
                    Status.NOTHING_FAILING, message="Every test passes: nothing to repair."
                )
            if not diagnosis.red:
                return self._result(
                    message="What failed the first time passed the second: flaky tests.",
                    hint="Make them deterministic first: " + ", ".join(diagnosis.flaky[:3]),
                )
            plan = self._plan()
            if not plan:
                return self._result(
                    message="No failing test executes code of this project that could be repaired.",
                    hint="Is the fault in the tests, in a fixture or in an installed package?",
                )
            self.listener(events.Stage("loading the model"))
            self.model, seconds = loading.result()
        self.record.model(self.model)
        parameters = sum(p.numel() for p in self.model.parameters())
        self.listener(events.ModelLoaded(self.model.name, parameters, seconds))
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

    def _plan(self) -> list[Goal]:
        """Goals with their suspects; the sources of all suspects are read."""
        run, root = self.diagnosis.run, self.settings.root
        self.sources: dict[str, Source] = {}
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
                    own.append(Subject(suspect, self.sources[suspect.path].text))
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
                    self.turns = Turns(
                        self.searches, screen, assembly, self.listener, self._progress
                    )
                    self.turns.run(self.deadline - self._confirmation_seconds())
            except KeyboardInterrupt:
                self.status = Status.INTERRUPTED
                if self.turns is None:
                    raise
        self.turns.finish()
        return self._confirm(self.turns.accepted)

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

        case = next(c for c in self.diagnosis.run.cases if c.id == goal.targets[0])
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

    def _confirmation_seconds(self) -> float:
        """Roughly what two cold runs of the suite will take."""
        return min(0.5 * self.settings.budget, 1.0 + 2.5 * self.diagnosis.suite_seconds)

    # -- 3. confirm --------------------------------------------------------------------------------

    def _confirm(self, accepted: Sequence[Sequence[Success]]) -> RepairResult:
        if not accepted:
            return self._result(
                message="No candidate turned a failing test green within the budget.",
                hint="Give it more time with --budget, or a larger model with --model.",
            )
        texts = {path: source.text for path, source in self.sources.items()}
        confirmation = Confirmation(texts, self._check, self.record, self.listener)
        changes, green = confirmation.choose(accepted)
        files = Assembly(texts).files(*changes)
        if not files:
            return self._result(
                message="What passed the screening did not hold in a fresh run of the whole suite.",
                hint="Look at `diffufix runs show` for the candidates and what broke.",
            )
        still_red = tuple(t for t in self.diagnosis.red if t not in green)
        if self.status is not Status.INTERRUPTED and not still_red:
            self.status = Status.REPAIRED
        return self._result(
            patch=make_patch({path: self.sources[path] for path in files}, files),
            turned_green=green, still_red=still_red, alternatives=self._alternatives(changes),
            message="Some tests are still red." if still_red else "",
            hint="Give it more time with --budget." if still_red else "",
        )  # fmt: skip

    def _check(self, candidate: Candidate, green: tuple[str, ...]) -> Verdict:
        return confirm(
            candidate, self._sandbox, python=str(self.python), args=self.settings.pytest_args,
            root=self.settings.root, baseline=self.baseline, targets=green,
            seconds=self.diagnosis.seconds,
        )  # fmt: skip

    def _alternatives(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Diffs of the other changes that passed the screening, best first."""
        others = sorted(
            (s for search in self.searches for s in search.passed if s.change not in changes),
            key=lambda success: success.badness,
        )
        texts = {path: source.text for path, source in self.sources.items()}
        found = []
        for success in others:
            files = Assembly(texts).files(success.change)
            assert files is not None
            found.append(make_patch({path: self.sources[path] for path in files}, files).diff)
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
        left = {test for search in self.searches for test in search.goal.targets}
        green = len(self.diagnosis.red) - len(left)
        best = f"{green} of {len(self.diagnosis.red)} failing tests turned green" if green else ""
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
    """Runs a function in a thread from `start` on; `result` waits for it and re-raises."""

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

    def start(self) -> None:
        self._thread.start()

    def __enter__(self) -> _InBackground:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():  # an interpreter must not end while torch is being imported
            self._thread.join()
