"""A project to practise on: its tests run twice, its functions split, its tasks made and proved.

    with SelfPlayEnv(settings, model) as practice:
        practice.tasks       to learn from
        practice.held_out    mutants of functions that no task to learn from touches
        practice.screen      warm workers for the candidates of all of them

Reads the project; runs its tests on scratch copies and in sandboxes, which are removed at the end.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from diffufix.cluster import Cluster, cluster_of
from diffufix.config import Settings
from diffufix.errors import ProjectError
from diffufix.propose.failure import failure_text
from diffufix.propose.shown import own_test
from diffufix.registry.policy import choose_policy
from diffufix.sandbox import Sandbox
from diffufix.sandbox.reap import reap_folders, scratch_prefix
from diffufix.source.file import SourceFile
from diffufix.testing import copy_project, flaky
from diffufix.testing.environment import inherited_environment
from diffufix.train.rl.fleet.driver import Fleet
from diffufix.train.rl.rollouts import Collector, Rolling
from diffufix.train.rl.tasks import CoveredFunction, TaskMaker, code_of, functions_under_test, split
from diffufix.types import PASSED, Candidate, Group, State, Task, TestRun, Verdict, file_of_test
from diffufix.verify import ValidatorPool
from diffufix.workspace.choice import choose
from diffufix.workspace.diagnosis import Suite
from diffufix.workspace.verifiers import workers_of

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

TEST_TIMEOUT = 10.0  # seconds of one phase of a test; what takes longer grades nothing
ROUNDS = 12  # draws of each function at most
DEPTH = 32  # candidates queued per worker

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """How many tasks are made, and of what. Small projects give fewer."""

    tasks: int = 400  # 0: none, they are drawn later
    held_out: int = 120
    share: float = 0.3  # of the functions, held out
    mixture: Mapping[str, float] = field(
        default_factory=lambda: {"mutant": 0.7, "masked": 0.15, "intact": 0.15}
    )
    history: bool = True  # fixes taken back, as many as there are
    seed: int = 0


class SelfPlayEnv:
    """Made ready by entering it. Raises what `repair` raises, and ProjectError where no function
    is executed by a test that passes."""

    def __init__(
        self,
        settings: Settings,
        model: LoadedModel,
        wanted: Wanted = Wanted(),
        tell: Tell = lambda line: None,
    ) -> None:
        self.settings, self.wanted, self.tell = settings, wanted, tell
        self._fingerprint = model.fingerprint
        self.maker = TaskMaker(model)
        self.functions: list[CoveredFunction] = []  # to learn from
        self.kept: list[CoveredFunction] = []  # held out
        self.code: list[str] = []  # every function's text, but for those held out
        self.tasks: list[Task] = []
        self.held_out: list[Task] = []
        self._text = lru_cache(maxsize=64)(self._read)

    def __enter__(self) -> SelfPlayEnv:
        reap_folders()
        with contextlib.ExitStack() as stack:
            self.scratch = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix=scratch_prefix()))
            )
            self.place = choose(self.settings, self.tell)
            run, steady = self._run_tests()
            self._cluster: Cluster | None = stack.enter_context(
                cluster_of(self.settings.on, self.settings.workers)
            )
            self.screen: ValidatorPool = stack.enter_context(self._screen(run, steady))
            steady = self._same_inside(steady)
            sources = self._sources(run)
            found = functions_under_test(run, sources, steady)
            if not found:
                raise ProjectError(
                    "No function of this project is executed by a test that passes.",
                    "Self-play needs tests that pass; with other code under test, name them.",
                )
            self.functions, self.kept = split(found, self.wanted.share)
            self.code = code_of(sources, {function.name for function in self.kept})
            self._make()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    # -- the tests ---------------------------------------------------------------------------------

    def _run_tests(self) -> tuple[TestRun, list[str]]:
        """The run with coverage and the first run's durations; tests that passed both times."""
        options = {"test_timeout": TEST_TIMEOUT, "timeout": 1800.0}
        with Suite(self.settings, self.place, self.scratch, lambda tree: None) as suite:
            self.tell("running the tests")
            first = suite.run(**options)
            self.tell("finding out which code the tests execute")
            again = suite.run(coverage=True, **options)
        unsteady = set(flaky(first, again))
        steady = [c.id for c in first.cases if c.outcome == PASSED and c.id not in unsteady]
        return replace(first, coverage=again.coverage), steady

    def _screen(self, run: TestRun, steady: Sequence[str]) -> ValidatorPool:
        if not steady:
            raise ProjectError("No test of this project passes.", "`diffufix repair` mends that.")
        self.tell("starting the sandboxes")
        cluster = self._cluster
        self._steady = tuple(steady)
        options: dict[str, Any] = {
            "python": self.place.python, "args": self.settings.pytest_args,
            "root": self.settings.root, "expected": dict.fromkeys(steady, PASSED), "failing": (),
            "seconds": {case.id: case.seconds for case in run.cases}, "depth": DEPTH,
        }  # fmt: skip
        self._options = options
        if cluster is not None:
            workers = self.settings.workers
            return cluster.screen(self._tree(), self.place.make, workers=workers, **options)
        return ValidatorPool(self._sandbox, workers=workers_of(self.settings), **options)

    def rolling(
        self, ready: Callable[[LoadedModel], object], *, stale: int = 0, version: str,
        keep: Callable[[Group], None], **options: Any,
    ) -> Rolling:  # fmt: skip
        """What makes groups, here or on the cluster; the caller closes it.

        `ready` puts a model as it was loaded into the shape that is trained, `stale` bounds the age
        of a cluster's groups; the other options are those of `Collector`.
        """
        if self._cluster is None:
            return Collector(self.screen, version=version, keep=keep, **options)
        from diffufix.train.rl.fleet.hiring import Hiring, RollerPlan

        settings, cluster = self.settings, self._cluster
        plan = RollerPlan(
            choose_policy(settings), settings.device, settings.dtype, self._fingerprint, ready,
            cluster.carried(self._tree(), self.place.make),
            {**self._options, "env": inherited_environment()}, self._steady, options,
        )  # fmt: skip
        hiring = Hiring(plan, settings.workers)
        self.tell(f"sampling by {hiring.count} on the cluster")
        return Fleet(hiring, hiring.count, cluster.stored, stale, version, keep)

    def _tree(self) -> Path:
        tree = Path(tempfile.mkdtemp(dir=self.scratch)) / "project"
        return copy_project(self.settings.root, tree)

    def _sandbox(self) -> Sandbox:
        return self.place.make(self._tree())

    def _same_inside(self, steady: Sequence[str]) -> list[str]:
        """Those that pass in the sandbox, too."""
        found = self.screen.check(steady)
        if found.state is State.INFRA:
            raise ProjectError(f"The tests do not run in the sandbox: {found.detail}")
        return [test for test in steady if found.outcomes.get(test) == PASSED]

    def _sources(self, run: TestRun) -> dict[str, str]:
        paths = {path for lines in run.coverage.values() for path in lines}
        found = {}
        for path in sorted(paths):
            with contextlib.suppress(ProjectError):
                found[path] = SourceFile.read(self.settings.root / path).text
        return found

    # -- the tasks ---------------------------------------------------------------------------------

    def _make(self) -> None:
        wanted = self.wanted
        self.tell("breaking functions")
        if wanted.history:
            rng = self._drawing("history")
            self.tasks += self.prove(self.maker.history(self.settings.root, self.functions, rng))
        for origin, share in wanted.mixture.items():
            count = round(share * wanted.tasks)
            self.tasks += self.draw(self.functions, origin, count, self._drawing(origin))
        self.tasks = list({task.key: task for task in self.tasks}.values())
        rng = self._drawing("held out")
        self.held_out = self.draw(self.kept, "mutant", wanted.held_out, rng)
        if wanted.tasks and not self.tasks:
            raise ProjectError(
                "No function of this project could be broken so that a test notices.",
                "Self-play learns from functions that tests check.",
            )

    def _drawing(self, what: str) -> random.Random:
        """One for each kind: how far one is drawn ahead depends on how fast the workers are."""
        return random.Random(f"{what}/{self.wanted.seed}")

    def draw(
        self, found: Sequence[CoveredFunction], origin: str, count: int, rng: random.Random
    ) -> list[Task]:
        """Up to `count` proved tasks, as `drawn` gives them."""
        return list(self.drawn(found, origin, count, rng))

    def drawn(
        self, found: Sequence[CoveredFunction], origin: str, count: int, rng: random.Random
    ) -> Iterator[Task]:
        """Up to `count` proved tasks, the functions in turn: each once before any one twice."""
        make: Callable[[CoveredFunction, random.Random], Task | None] = getattr(self.maker, origin)
        made = 0
        seen: set[str] = set()

        def candidates() -> Iterator[Task]:
            for _ in range(ROUNDS):
                for function in rng.sample(list(found), len(found)):
                    if made >= count:
                        return
                    task = make(function, rng)
                    if task is not None and task.key not in seen:
                        seen.add(task.key)
                        yield task

        for task in self.prove(candidates()):
            made += 1
            if made <= count:
                yield task

    def prove(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Those whose file as it stands fails a test, or passes all where nothing is broken; in
        their order. Of a broken one the test that fails comes first. While tasks are being made
        the workers try those before."""
        waiting: dict[int, int] = {}
        found: dict[int, Task | None] = {}
        asked: list[Task] = []
        shown = 0
        coming = iter(tasks)
        more = True
        while more or waiting:
            task = next(coming, None) if more and self.screen.capacity else None
            if task is not None:
                candidate = Candidate({task.path: task.source})
                waiting[self.screen.submit(candidate, task.tests)] = len(asked)
                asked.append(task)
            elif self.screen.capacity:
                more = False
            for token, verdict in self.screen.results(timeout=0.0 if task else None):
                index = waiting.pop(token)
                found[index] = self._proved(asked[index], verdict)
            while shown in found:
                task = found.pop(shown)
                shown += 1
                if task is not None:
                    yield task

    def wrong(self, groups: Sequence[Group], count: int, rng: random.Random) -> list[Task]:
        """Up to `count` tasks out of fills that the tests rejected, proved."""
        known = {(function.path, function.qualname): function for function in self.functions}
        failed = [
            (known[group.task.path, group.task.qualname], group.task, one.text)
            for group in groups
            for one in group.completions
            if one.state == State.FAIL
            and group.task.answer is not None
            and (group.task.path, group.task.qualname) in known
            and one.text != group.task.source[group.task.start : group.task.end]
        ]
        chosen = rng.sample(failed, min(count, len(failed)))
        made = [self.maker.wrong_fill(*one, rng) for one in chosen]
        return list(self.prove(task for task in made if task))

    def _proved(self, task: Task, verdict: Verdict) -> Task | None:
        if task.origin in ("masked", "intact"):
            return task if verdict.passed else None
        red = [test for test, outcome in verdict.outcomes.items() if outcome != PASSED]
        if verdict.state is not State.FAIL or not red:
            return None
        first, others = red[0], (test for test in task.tests if test != red[0])
        message = verdict.detail.removeprefix(f"{first}: ")
        file = self._text(file_of_test(first))
        said = failure_text(message, first, file, task.qualname)
        return replace(
            task, tests=(first, *others), failing=(first,), said=said,
            test_source=own_test(file, first),
        )  # fmt: skip

    def _read(self, path: str) -> str:
        """Of a file of tests; "" where it cannot be read."""
        with contextlib.suppress(ProjectError):
            return SourceFile.read(self.settings.root / path).text if path else ""
        return ""
