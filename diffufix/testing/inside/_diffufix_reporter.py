"""The pytest plugin that tells diffufix what happened; runs inside the project's interpreter.

PYTEST_DONT_REWRITE. Python 3.9 and later, pytest 7 and later, no other dependency. It reads one
environment variable (`DIFFUFIX_INSIDE`, JSON, written by `diffufix.testing.run`), writes JSON
lines to the file descriptor named there, and touches no file. Events, in the order they come:

    begin          python, pytest
    collect_error  id, message, text, frames
    deselected     ids
    collected      ids
    start          id
    report         id, when, outcome, seconds, message, text, frames
    waiting        id
    surroundings   variables (names that were read), files (in the home, that were read)
    coverage       id, files {relative path: bit mask of lines, hexadecimal}
    end            status

It also makes the run comparable with every other run, whatever the project's own options are:
one process, the same order, no early stop, no coverage of somebody else, no debugger prompt.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from _diffufix_calm import calm, move_imports  # type: ignore[import-not-found]
from _diffufix_children import Children  # type: ignore[import-not-found]
from _diffufix_deadline import Deadline  # type: ignore[import-not-found]
from _diffufix_ids import lead_back, stable_ids  # type: ignore[import-not-found]
from _diffufix_lines import FileNames, make_collector  # type: ignore[import-not-found]
from _diffufix_pipe import far  # type: ignore[import-not-found]
from _diffufix_surroundings import EnvironmentReads  # type: ignore[import-not-found]
from _diffufix_told import at_length, first_line, one_line  # type: ignore[import-not-found]

MAX_FRAMES = 100
MAX_DESELECTED = 1_000
MAX_TEXT = 20_000


def pytest_addoption(pluginmanager: Any) -> None:
    """The earliest hook there is: the reporter proper is registered here, once."""
    settings = os.environ.pop("DIFFUFIX_INSIDE", None)
    if settings is not None:
        settings = json.loads(settings)
        move_imports(settings["root"], settings["tree"])
        pluginmanager.register(Reporter(settings), "diffufix-reporter")


class Reporter:
    """The hooks; one instance for one run."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.fd = far(settings["fd"])
        self.pid = os.getpid()
        self.ids: list[str] | None = None
        if settings["ids"]:
            with open(settings["ids"], encoding="utf-8") as file:
                self.ids = json.load(file)
        self.known: list[str] = []
        if settings["known"]:
            with open(settings["known"], encoding="utf-8") as file:
                self.known = json.load(file)
        self.tree, self.root = settings["tree"], settings["root"]
        self.names: dict[str, str] = {}  # pytest's ids -> ours, the same in every run
        self.test_timeout = settings["test_timeout"]
        self.file_name = FileNames(settings["tree"])
        self.collector = make_collector(settings["coverage"], settings["tree"], self.file_name)
        self.children = Children(settings["tree"]) if self.collector is not None else None
        self.around = None
        if settings["around"]:
            self.around = EnvironmentReads([self.tree, self.root])
            self.around.start()
        self.fixtures: dict[
            tuple[str, Any], str
        ] = {}  # (fixture name, node that owns it) -> context of its latest set-up
        self.contexts: dict[
            str, list[str]
        ] = {}  # test id -> contexts whose lines it executed or rests on
        self.counter = itertools.count()
        self.context = ""
        self.emit("begin", python=sys.version.split()[0], pytest=pytest.__version__)

    def emit(self, event: str, **fields: Any) -> None:
        if os.getpid() != self.pid:  # a test forked, and its child came back to pytest
            return
        data = memoryview(json.dumps(dict(fields, event=event)).encode("ascii") + b"\n")
        try:
            while data:
                data = data[os.write(self.fd, data) :]
        except BrokenPipeError:
            os._exit(70)  # nobody listens any more: diffufix was killed

    # -- before the tests ------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(
        self, early_config: pytest.Config, args: list[str]
    ) -> Iterator[None]:
        self.emit("aside", missed=calm(early_config, args))
        outcome: Any = yield
        error: Any = outcome.excinfo[1] if outcome.excinfo else None
        if type(error).__name__ == "ConftestImportFailure":
            cause = error.__cause__ or error
            text = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
            self.collect_error(self.file_name(str(error.path)) or str(error.path), cause, text)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Plain tracebacks: pytest's own can take longer than all tests (see `at_length`)."""
        config.option.tbstyle, config.option.fulltrace = "native", False

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector) -> Iterator[None]:
        outcome: Any = yield
        report = outcome.get_result()
        if report.failed:
            call = getattr(report, "call", None)
            error = call.excinfo.value if call is not None and call.excinfo else None
            id = lead_back(report.nodeid or collector.name, self.tree, self.root)
            self.collect_error(id, error, report.longreprtext)

    def collect_error(self, id: str, error: BaseException | None, text: str) -> None:
        # pytest wraps what it knows how to explain; the project's own exception is the cause.
        told = error
        if told is not None and type(told).__name__ == "CollectError":
            told = told.__cause__ or told
        message = one_line(told) if told is not None else first_line(text)
        frames = self.frames(error)
        self.emit("collect_error", id=id, message=message, text=text[-MAX_TEXT:], frames=frames)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> Iterator[None]:
        yield
        self.names = stable_ids(
            [item.nodeid for item in items], self.known or self.ids or (), self.tree, self.root
        )
        if self.ids is None:
            return
        place = {id: index for index, id in enumerate(self.ids)}
        left = [item for item in items if self.name(item.nodeid) not in place]
        items[:] = [item for item in items if self.name(item.nodeid) in place]
        items.sort(key=lambda item: place[self.name(item.nodeid)])
        if left:
            config.hook.pytest_deselected(items=left)

    def name(self, id: str) -> str:
        """Our name of a test: the same in every copy and run."""
        known = self.names.get(id)
        return lead_back(id, self.tree, self.root) if known is None else known

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        self.emit("deselected", ids=[item.nodeid for item in items[:MAX_DESELECTED]])

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if not session.config.option.collectonly:
            shared = [n for n, item in enumerate(session.items) if self.shares(item)]
            ids = [self.name(item.nodeid) for item in session.items]
            self.emit("collected", ids=ids, shared=shared)

    def shares(self, item: pytest.Item) -> bool:
        """Whether a test has a fixture of the project's own that outlives it."""
        defined = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        return any(
            known[-1].scope != "function"
            and (
                known[-1].argname.startswith(("_xunit_setup", "_unittest_setUpClass"))
                or self.file_name(
                    getattr(getattr(known[-1].func, "__code__", None), "co_filename", "")
                )
            )
            for known in defined.values()
            if known
        )

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_timeout_set_timer(self) -> bool:
        """pytest-timeout's own limits, markers among them, end more than the test."""
        return True

    # -- during the tests ------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Iterator[None]:
        if self.collector is not None:
            self.collector.start()
        yield
        if self.collector is not None:
            self.collector.stop()

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        name = self.name(item.nodeid)
        self.emit("start", id=name)
        self.switch(name)
        yield
        self.switch("")
        if self.collector is not None:
            names, owners = set(getattr(item, "fixturenames", ())), item.listchain()
            shared = [
                context
                for (name, owner), context in self.fixtures.items()
                if name in names and owner in owners
            ]
            self.contexts[name] = [name, *shared]

    def deadline(self, item: pytest.Item) -> Deadline:
        test = str(item.path), getattr(item, "originalname", None) or item.name

        def stays_in(frame: Any) -> Any:
            """The outermost call of the project's code that is under way, the test's own aside."""
            found = None
            while frame is not None:
                name = frame.f_code.co_filename
                if self.file_name(name) is not None and (name, frame.f_code.co_name) != test:
                    found = frame
                frame = frame.f_back
            return found

        name = self.name(item.nodeid)
        return Deadline(self.test_timeout, stays_in, lambda: self.emit("waiting", id=name))

    def switch(self, context: str) -> str:
        """Lines executed from now on belong to `context`; returns the one before."""
        before, self.context = self.context, context
        if self.collector is not None and self.children is not None:
            self.collector.switch(context)
            self.children.switch(context)
        return before

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What a shared fixture executes counts for every test that rests on it."""
        if self.collector is None or fixturedef.scope == "function":
            yield
            return
        context = f"fixture {next(self.counter)}"
        self.fixtures[fixturedef.argname, request.node] = context
        before = self.switch(context)
        yield
        self.switch(before)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        with self.deadline(item):
            yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        with self.deadline(item):
            yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        with self.deadline(item):
            yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: Any) -> Iterator[None]:
        outcome: Any = yield
        if call.excinfo is not None:
            outcome.get_result().diffufix_error = call.excinfo.value

    def pytest_runtest_logreport(self, report: Any) -> None:
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
        fields: dict[str, Any] = {"message": "", "text": "", "frames": []}
        if outcome != "passed":
            error = report.__dict__.pop("diffufix_error", None)
            skipped = outcome == "skipped" and isinstance(report.longrepr, tuple)
            text = str(report.longrepr[2]) if skipped else report.longreprtext
            fields["message"] = one_line(error) if error is not None else first_line(text)
            if outcome in ("failed", "error"):
                text = text if error is None else at_length(error, self.file_name)
                fields.update(text=text[-MAX_TEXT:], frames=self.frames(error))
        self.emit(
            "report",
            id=self.name(report.nodeid),
            when=report.when,
            outcome=outcome,
            seconds=report.duration,
            **fields,
        )

    # -- after the tests -------------------------------------------------------------------

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        yield
        if self.collector is not None and self.children is not None:
            lines = self.collector.result()
            for context, elsewhere in self.children.result().items():
                known = lines.setdefault(context, {})
                for path, mask in elsewhere.items():
                    known[path] = known.get(path, 0) | mask
            for id, contexts in self.contexts.items():
                files: dict[str, int] = {}
                for context in contexts:
                    for path, mask in lines.get(context, {}).items():
                        files[path] = files.get(path, 0) | mask
                masks = {path: f"{mask:x}" for path, mask in files.items()}
                self.emit("coverage", id=id, files=masks)
        if self.around is not None:
            used = {"variables": self.around.variables, "files": self.around.files}
            self.emit("surroundings", **{kind: sorted(names) for kind, names in used.items()})
        self.emit("end", status=int(session.exitstatus))

    def frames(self, error: BaseException | None) -> list[list[Any]]:
        """[path, line, function] of the project's frames, outermost first, causes last."""
        found: list[list[Any]] = []
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            before = None
            for frame, line in traceback.walk_tb(error.__traceback__):
                path = self.file_name(frame.f_code.co_filename)
                # A handler that does not match adds its frame again, on Python before 3.11.
                if path is not None and frame is not before:
                    found.append([path, line, frame.f_code.co_name])
                before = frame
            if isinstance(error, SyntaxError) and error.filename and error.lineno:
                path = self.file_name(str(error.filename))
                if path is not None:
                    found.append([path, error.lineno, "<module>"])
            error = error.__cause__
        return found[-MAX_FRAMES:]
