"""From tests that fail to a confirmed patch. The main loop, to be read top to bottom.

1. diagnose   run the suite on a scratch copy, find out who executes what, make goals of it
2. search     per goal: holes, fills, candidates, verdicts; the goals in turns
3. confirm    the best changes together, cold, over the whole suite; the next best if that fails

Where repairing and generating differ, the `Job` says how (job.py). The project is only read;
scratch copies and sandboxes are removed whatever happens.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffufix import events
from diffufix.config import Settings
from diffufix.errors import DiffufixError, ProjectError
from diffufix.events import Listener
from diffufix.propose.candidates import Assembly, Change, Subject
from diffufix.registry.policy import choose_policy
from diffufix.repair import collect
from diffufix.repair.confirmation import Confirmation
from diffufix.repair.job import Job, Mending, Plan
from diffufix.repair.record import Record
from diffufix.repair.search import Counters, Goal, Search, Success
from diffufix.repair.turns import Turns
from diffufix.repair.types import RepairResult, Status
from diffufix.sandbox import Sandbox
from diffufix.sandbox.reap import reap_folders, scratch_prefix
from diffufix.source.patch import make_patch, read_source
from diffufix.testing import fresh_copy
from diffufix.train.rl.rewards import reward_functions
from diffufix.types import Candidate, TestRun, Verdict
from diffufix.verify import Screen, confirm
from diffufix.workspace.choice import choose
from diffufix.workspace.diagnosis import Suite, diagnose

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

PROBE = 2.0  # seconds that a phase of a test may take in a run on the side


def repair(settings: Settings, listener: Listener) -> RepairResult:
    """Search for a patch that turns failing tests green and breaks none.

    Raises ProjectError (no tests, tests that cannot be run), PrerequisiteError, CheckpointError,
    UsageError. Ctrl-C during the search gives a result with status `interrupted`.
    """
    return run_job(Mending(settings), listener)


def run_job(job: Job, listener: Listener) -> RepairResult:
    """The loop, for any job; raises what `repair` raises."""
    return _Loop(job, listener).run()


class _Loop:
    """One run: what its steps share."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self.job, self.settings, self.listener = job, job.settings, listener
        self.rewards = reward_functions(self.settings.rewards)
        self.plan = Plan()
        self.began = time.monotonic()
        self.deadline = self.began + self.settings.budget
        self.counters = Counters()
        self.warnings: list[str] = []
        self.searches: list[Search] = []
        self.status = Status.NOT_REPAIRED
        self.turns: Turns | None = None
        self.last_shown = 0.0

    def run(self) -> RepairResult:
        root = self.settings.root
        reap_folders()  # of runs that were killed
        with contextlib.ExitStack() as stack:
            self.scratch = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix=scratch_prefix()))
            )
            self.record = stack.enter_context(Record.open(root, self.settings, self.job.command))
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
        self.place = choose(self.settings, lambda line: self.listener(events.Stage(line)))
        if self.place.note:
            self.warn(self.place.note)
        with _InBackground(self._load_model) as loading:
            self.diagnosis = diagnose(
                self.settings, self.place, self.scratch, self.listener, self.warn,
                on_red=loading.start, lay=self.job.lay,
            )  # fmt: skip
            self.plan = plan = self.job.plan(self.diagnosis, self._probe)
            if not plan.goals:
                return self._result(plan.status, message=plan.message, hint=plan.hint)
            self.listener(events.Localized(tuple(plan.suspects), plan.title))
            self.record.suspects(plan.suspects)
            self.listener(events.Stage("loading the model"))
            self.model, seconds = loading.result()
        self.record.model(self.model)
        parameters = sum(p.numel() for p in self.model.parameters())
        self.listener(events.ModelLoaded(self.model.name, parameters, seconds, self.policy.note))
        return self._search()

    # -- 1. diagnose -------------------------------------------------------------------------------

    def _load_model(self) -> tuple[LoadedModel, float]:
        began = time.monotonic()
        self.policy = choose_policy(self.settings)
        model = self.policy.load(self.settings.device)
        return model, time.monotonic() - began

    def _probe(self, files: Mapping[str, bytes], ids: Sequence[str], coverage: bool) -> TestRun:
        """Outcomes of these tests on a copy in which these files are changed."""

        def lay(tree: Path) -> None:
            self.job.lay(tree)
            for path, content in files.items():
                (tree / path).write_bytes(content)

        with Suite(self.settings, self.place, self.scratch, lay) as suite:
            return suite.run(
                ids=ids, coverage=coverage, test_timeout=PROBE, timeout=20 * PROBE + 60
            )

    # -- 2. search ---------------------------------------------------------------------------------

    def _search(self) -> RepairResult:
        from diffufix.decode.threads import threads_kept

        diagnosis = self.diagnosis
        self.baseline = dict(diagnosis.baseline)
        assembly = Assembly(self.plan.texts)
        self.listener(events.Stage("starting the sandboxes"))
        workers = self.settings.workers or os.cpu_count() or 1
        with threads_kept():
            try:
                with Screen(
                    self._sandbox, python=self.place.python, args=self.settings.pytest_args,
                    root=self.settings.root, expected=diagnosis.baseline, failing=diagnosis.red,
                    seconds=diagnosis.seconds, workers=workers, protected=diagnosis.tests,
                ) as screen:  # fmt: skip
                    for goal in self.plan.goals:
                        self.searches.append(self._start(goal, assembly, screen, workers))
                    self._compare(screen)
                    self.turns = Turns(
                        self.searches, screen, assembly, self.listener, self._progress,
                        self.job.turn,
                    )  # fmt: skip
                    self.turns.run(self.deadline - self._confirmation_seconds())
                    self.turns.finish()
                    self._collect(screen)
            except KeyboardInterrupt:
                self.status = Status.INTERRUPTED
                if self.turns is None:
                    raise
        self.turns.finish()  # where it was interrupted
        return self._confirm(self.job.sift(self.turns.accepted))

    def _collect(self, screen: Screen) -> None:
        """Log groups to learn from, in a small share of the time; never at the cost of a repair."""
        if not self.settings.collect or self.job.command != "repair" or self.turns is None:
            return
        now = time.monotonic()
        end = self.deadline - self._confirmation_seconds()
        until = min(end, now + collect.SHARE * self.settings.budget)
        spent = sum(search.spent for search in self.searches)
        each = spent / max(1, self.counters.generated)
        if self.model.family.layout == "inline" and collect.GROUP * each > until - now:
            return  # a large model on a slow machine
        self.listener(events.Stage("logging a group of candidates to learn from"))
        try:
            tasks = collect.tasks_of(self.model, self.searches, self.turns.accepted)
            collect.gather(
                screen, self.model, tasks, rewards=self.rewards, keep=self.record.group,
                until=until, seed=self.settings.seed,
            )  # fmt: skip
        except Exception as error:
            self.warn(f"Nothing more was logged to learn from: {error}")

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
        from diffufix.propose.proposals import Story

        cases = {c.id: c for c in self.diagnosis.run.cases}
        case = cases.get(next(iter(goal.targets), ""))
        source = self._test_source(goal.targets)
        story = Story("", source)
        if case is not None:
            story = Story(case.id, source, case.report, case.message)
        supply = self.job.propose(
            self.model, goal, story, self._watch, lambda: screen.pending >= workers
        )
        cap = self.settings.candidates
        return Search(
            goal, supply.proposals, self.diagnosis.run, assembly, screen, self.record,
            self.counters, source, cap, supply.hear,
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
            return self._result()
        confirmation = Confirmation(
            self.plan.texts, self._check, self.record, self.listener, self.job.complete
        )
        changes, green = confirmation.choose(accepted)
        files = Assembly(self.plan.texts).files(*self.job.complete(changes)) if changes else None
        if not files:
            return self._result(
                message="What passed the screening did not hold in a fresh run of the whole suite.",
                hint="Look at `diffufix runs show` for the candidates and what broke.",
            )
        wanted = self._wanted()
        still_red = tuple(t for t in wanted if t not in green)
        if self.status is not Status.INTERRUPTED and not still_red:
            self.status = Status.REPAIRED
        return self._result(
            changes=changes,
            patch=make_patch({path: self.plan.sources[path] for path in files}, files),
            turned_green=green, still_red=still_red, alternatives=self._alternatives(changes),
            message="Some tests are still red." if still_red else "",
            hint="Give it more time with --budget." if still_red else "",
        )  # fmt: skip

    def _wanted(self) -> tuple[str, ...]:
        """Red tests that this run was to turn green."""
        return self.plan.wanted if self.plan.wanted is not None else self.diagnosis.red

    def _check(
        self, candidate: Candidate, green: tuple[str, ...], beside: Mapping[str, str]
    ) -> Verdict:
        verdict = confirm(
            candidate, lambda: self._sandbox(beside), python=self.place.python,
            args=self.settings.pytest_args, root=self.settings.root, baseline=self.baseline,
            targets=green, seconds=self.diagnosis.seconds,
        )  # fmt: skip
        return self.job.check(candidate, verdict) if verdict.passed else verdict

    def _alternatives(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Diffs of the other changes that passed the screening, best first."""
        others = sorted(
            (s for search in self.searches for s in search.passed if s.change not in changes),
            key=lambda success: success.badness,
        )
        found = []
        for success in others:
            files = Assembly(self.plan.texts).files(*self.job.complete([success.change]))
            assert files is not None
            found.append(make_patch({path: self.plan.sources[path] for path in files}, files).diff)
        return tuple(found)

    # -- what all steps use ------------------------------------------------------------------------

    def _sandbox(self, texts: Mapping[str, str] | None = None) -> Sandbox:
        """One with the project, as the job wants it, and some files with these texts."""
        tree = fresh_copy(self.settings.root, self.scratch)
        self.job.lay(tree)
        for path, text in (texts or {}).items():
            (tree / path).write_bytes(self.plan.sources[path].encode(text))
        return self.place.make(tree)

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
        wanted = self._wanted()
        green = len(wanted) - len(left)
        best = f"{green} of {len(wanted)} failing tests turned green" if green > 0 else ""
        self.listener(
            events.Progress(
                self.counters.tried,
                self.counters.generated,
                self.counters.tried / spent,
                elapsed,
                best,
            )
        )

    def _result(
        self, status: Status | None = None, changes: Sequence[Change] = (), **values: Any
    ) -> RepairResult:
        model = getattr(self, "model", None)
        result = RepairResult(
            status or self.status,
            tried=self.counters.tried,
            generated=self.counters.generated,
            seconds=time.monotonic() - self.began,
            tests=len(self.diagnosis.run.cases) if hasattr(self, "diagnosis") else 0,
            suspects=tuple(self.plan.suspects),
            states=dict(self.counters.states),
            model=model.name if model else "",
            model_hash=model.fingerprint if model else "",
            warnings=tuple(self.warnings),
            **values,
        )
        return self.job.finish(result, changes)


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
        self.start()
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value

    def start(self) -> None:
        if self._thread.ident is None:
            self._thread.start()

    def __enter__(self) -> _InBackground:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():  # an interpreter must not end while torch is being imported
            self._thread.join()
