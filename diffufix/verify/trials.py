"""Cold runs of the whole suite, with an edit or without: what confirmation is made of.

Touches sandboxes made by the given factory, at most two at a time. Each run is a new interpreter
in a process of its own; a series of runs shares one folder, as a user's runs do, and every series
begins in a folder as it was copied.
"""

from __future__ import annotations

import contextlib
import queue
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffufix.errors import SandboxUnavailable, TooLate
from diffufix.sandbox import Sandbox
from diffufix.types import Candidate
from diffufix.verify.deadlines import Deadlines
from diffufix.verify.inside.frames import ANY
from diffufix.verify.judge import Report
from diffufix.verify.route import Original, Place
from diffufix.verify.worker import Setup, Worker, make_request

WORKERS = 2  # the unedited project beside the candidate, or two runs of one of them
SPENT = 24  # process ids that may be spent before a run, so that no two runs have alike ones
PATIENCE = (30.0, 10.0)  # seconds that targets may run beyond their deadlines (`Patience`)
START = 60.0  # seconds for interpreter, import and collection, at least
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
OWN, REVERSED, SHUFFLED = "own", "reversed", "shuffled"
FILES = "file by file "  # before one of them: the tests of a file stay in their own order
#: What the last run of a series says of the tree, which every run before it left as it was.
_OF_THE_TREE = ("touched", "added", "odd", "clean", "whole")


@dataclass(frozen=True)
class Way:
    """How one run goes: the order of the tests, and the seed of hashes and of the shuffle."""

    order: str = OWN
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.order} order, hash seed {self.seed}"

    def arranged(self, tests: Sequence[str]) -> list[str]:
        parts = [[test] for test in tests]
        if self.order.startswith(FILES):
            files: dict[str, list[str]] = {}
            for test in tests:
                files.setdefault(test.partition("::")[0], []).append(test)
            parts = list(files.values())
        if self.order.endswith(REVERSED):
            parts.reverse()
        elif self.order.endswith(SHUFFLED):
            random.Random(self.seed).shuffle(parts)
        return [test for part in parts for test in part]

    @property
    def by_file(self) -> Way:
        return replace(self, order=FILES + self.order)


@dataclass(frozen=True)
class Laid:
    """A candidate as the fork server takes it; empty: the project as it is."""

    files: Mapping[str, str]  # bytes as latin-1 text
    places: Sequence[Place]
    words: Sequence[str]
    originals: Mapping[str, Original]

    @property
    def original(self) -> Laid:
        """The same files as they were."""
        files = {path: file.data.decode("latin-1") for path, file in self.originals.items()}
        return Laid(files, (), self.words, self.originals)


UNEDITED = Laid({}, (), (), {})
PUT_BACK, CONTROL = Way("the original's own", 0), Way("a control's own", 0)


@dataclass(frozen=True)
class Trial:
    """One run: what was asked for and what the server said."""

    way: Way
    tests: Sequence[str]
    report: Report
    tree: str = ""  # where it ran
    last: bool = False  # there was no time for those after it

    @property
    def outcomes(self) -> dict[str, str]:
        seen = (str(outcome) for outcome, _ in self.report.get("outcomes", ()))
        return dict(zip(self.tests, seen, strict=False))

    @property
    def outcomes_of_the_last(self) -> dict[str, str]:
        """Of tests that were asked for twice, what the second run said; nothing without it."""
        count = len(dict.fromkeys(self.tests))
        seen = [str(outcome) for outcome, _ in self.report.get("outcomes", ())]
        return dict(zip(self.tests[-count:], seen[len(self.tests) - count :], strict=False))

    @property
    def messages(self) -> dict[str, str]:
        """What the tests said, without addresses and without where they ran."""
        said = (str(message) for _, message in self.report.get("outcomes", ()))
        seen = (
            _ADDRESS.sub("", text.replace(self.tree, "") if self.tree else text) for text in said
        )
        return dict(zip(self.tests, seen, strict=False))

    @property
    def stopped_at(self) -> str:
        """The test that ended the run, by a hang or a crash; empty where it ended by itself."""
        done = len(self.report.get("outcomes", ()))
        ended = self.report.get("ended") or not self.report.get("ready")
        return "" if ended or done >= len(self.tests) else self.tests[done]


class Trials:
    """`collected` are the ids that every run must collect; where it could not be known what is in
    a file (`uncollected`), there may be others. For several threads.

    No run goes on after the moment `end` (monotonic seconds), and none but the first of a series
    begins where `spare` seconds would not be left after it. `forgiving`: hooks of the project let
    some failures pass, so the sentinel is the double of a target."""

    def __init__(
        self,
        factory: Callable[[], Sandbox],
        setup: Setup,
        collected: Sequence[str],
        deadlines: Deadlines,
        start: float = START,
        uncollected: Sequence[str] = (),
    ) -> None:
        self._uncollected = list(uncollected)
        self._collected, self._deadlines, self._start = tuple(collected), deadlines, start
        self._workers = [Worker(factory, setup, cold=True) for _ in range(WORKERS)]
        self._alone = threading.Lock()  # without a boundary, runs would share ports and files
        self._closing = False
        self.end: float | None = None
        self.spare = 0.0
        self.forgiving = False
        self._free: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._free.put(worker)

    def laid(self, candidate: Candidate) -> Laid:
        """Raises UnicodeEncodeError where a file's encoding has no place for its new text."""
        originals = self._retried(
            lambda worker: {path: _original(worker, path) for path in candidate.files}
        )
        return Laid(
            {p: originals[p].encode(text).decode("latin-1") for p, text in candidate.files.items()},
            [
                place
                for path, text in candidate.files.items()
                if path.endswith(".py")
                for place in originals[path].places(path, text)
            ],
            sorted({word for original in originals.values() for word in original.words}),
            originals,
        )

    def series(
        self,
        ways: Sequence[Way],
        tests: Sequence[str],
        required: Mapping[str, str],
        edit: Laid = UNEDITED,
        *,
        targets: Sequence[str] = (),
        stop: bool = False,
        put_back: Sequence[str] = (),
    ) -> list[Trial]:
        """Runs one after the other in one folder; ends early after one that did not end by itself,
        with `stop` after one with an outcome that is not `required`. Where they leave anything
        behind, the tests `put_back` run with the original files there, way `PUT_BACK`.

        Raises SandboxUnavailable after two tries, TooLate where a run is not over in time.
        """
        return self._retried(
            lambda worker: self._series(
                worker, ways, tests, required, edit, targets, stop, put_back
            )
        )

    def control(self, tests: Sequence[str], edit: Laid, again: str = "") -> Trial:
        """One run of these tests, whatever they say; with `again` they run twice, and the second
        time `sys` has an attribute of that name. Raises SandboxUnavailable after two tries,
        TooLate."""
        order = [*tests, *tests] if again else [*tests]

        def run(worker: Worker) -> Trial:
            request = self._request(order, dict.fromkeys(order, ANY), edit, Way(OWN, 0))
            request |= {"again": again, "sentinel": len(order)}
            report = worker.ask(request, self.end)
            worker.stale = not report.get("clean", False)
            return Trial(CONTROL, order, report)

        return self._retried(run)

    def _request(
        self,
        order: Sequence[str],
        required: Mapping[str, str],
        edit: Laid,
        way: Way,
        targets: Sequence[str] = (),
        stop: bool = False,
        exact: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        request = make_request(
            order, [required[test] for test in order], self._deadlines.of(targets),
            files=edit.files, swaps=None, way="cold", stop=stop, start=self._start,
            exact=exact, env={"PYTHONHASHSEED": str(way.seed)},
            places=edit.places, words=edit.words, patience=PATIENCE,
        )  # fmt: skip
        if self.forgiving:
            request["double"] = next((test for test in order if test in targets), "")
        return request | {"pids": secrets.randbelow(SPENT), "uncollected": self._uncollected}

    def _series(
        self,
        worker: Worker,
        ways: Sequence[Way],
        tests: Sequence[str],
        required: Mapping[str, str],
        edit: Laid,
        targets: Sequence[str],
        stop: bool,
        put_back: Sequence[str],
    ) -> list[Trial]:
        found: list[Trial] = []
        for index, way in enumerate(ways):
            order = way.arranged(tests)
            goes_on = index + 1 < len(ways) or bool(put_back)
            request = self._request(order, required, edit, way, targets, stop, self._collected)
            request["keep"] = goes_on if index + 1 < len(ways) else goes_on and "left"
            if way.order == OWN:
                request["sentinel"] = len(order)  # no test but the project's before one of its own
            began = time.monotonic()
            report = worker.ask(request, self.end)
            took = time.monotonic() - began
            found.append(Trial(way, order, report, worker.sandbox.tree))
            complete = report.get("ended") and len(report["outcomes"]) == len(order)
            if not report.get("clean", False) or (goes_on and not complete):
                worker.stale = True
                return found
            if index + 1 < len(ways) and self._too_late(took):
                found[-1] = replace(found[-1], last=True)
                break
        last = found[-1]
        if last.last or (put_back and last.report.get("left")):
            tests = put_back or order[:1]  # that one for what the server says of the tree after it
            request = self._request(tests, dict.fromkeys(tests, ANY), edit.original, ways[0])
            report = worker.ask(request | {"sentinel": len(tests)}, self.end)
            worker.stale = not report.get("clean", False)
            tree = {key: report[key] for key in _OF_THE_TREE if key in report}
            found[-1] = replace(last, report={**last.report, **tree})
            if put_back:
                found.append(Trial(PUT_BACK, put_back, report))
        return found

    def _too_late(self, seconds: float) -> bool:
        """Whether a further run, of so many seconds, would not be over in time."""
        return self.end is not None and time.monotonic() + 1.2 * seconds + self.spare > self.end

    def _retried(self, work: Callable[[Worker], Any]) -> Any:
        for last in (False, True):
            worker = self._free.get()
            try:
                worker.freshen()
                shared = not worker.sandbox.capabilities.boundary
                with self._alone if shared else contextlib.nullcontext():
                    return work(worker)
            except TooLate:
                worker.stale = True
                raise
            except SandboxUnavailable:
                worker.stale = True
                if last or self._closing:
                    raise
            finally:
                self._free.put(worker)
        raise AssertionError

    def interrupt(self) -> None:
        """From another thread: end the runs under way, for good."""
        self._closing = True
        for worker in self._workers:
            worker.interrupt()

    def close(self) -> None:
        for worker in self._workers:
            worker.close()


def _original(worker: Worker, path: str) -> Original:
    with contextlib.suppress(FileNotFoundError):
        return Original(worker.sandbox.read_file(path))
    return Original(b"")
