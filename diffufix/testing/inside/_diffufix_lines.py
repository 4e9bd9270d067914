"""Which lines each test executes; runs inside the project's interpreter.

PYTEST_DONT_REWRITE. Python 3.9 and later, no dependency; touches no file. Three collectors with
one interface: coverage.py where it is installed with its C tracer, else `sys.monitoring` (Python
3.12 and later), else `sys.settrace`.

    start()            from here on lines are recorded
    switch(context)    lines executed from now on belong to `context`
    stop()
    result()           {context: {relative path: bit mask of executed line numbers}}

Only functions of files below the tree count: what a module executes while it is imported says
nothing about the test that happened to import it first.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import warnings
from collections import defaultdict
from types import CodeType, FrameType
from typing import Any

MONITORING: Any = getattr(sys, "monitoring", None)
FUNCTION = 0x1  # CO_OPTIMIZED: set for functions, lambdas, comprehensions; not for class bodies
Masks = dict[str, dict[str, int]]
FOREIGN = ("site-packages", "dist-packages", "node_modules", ".tox", ".nox")


class FileNames:
    """Absolute file name -> POSIX path relative to the tree, None for anything outside."""

    def __init__(self, tree: str) -> None:
        self.tree = os.path.realpath(tree) + os.sep
        self.known: dict[str, str | None] = {}

    def __call__(self, filename: str) -> str | None:
        try:
            return self.known[filename]
        except KeyError:
            name = self.known[filename] = self.resolve(filename)
            return name

    def resolve(self, filename: str) -> str | None:
        if filename.startswith("<"):
            return None
        path = os.path.realpath(filename)  # what a link leads to is what can be edited
        if not path.startswith(self.tree):
            path = os.path.abspath(filename)
        if not path.startswith(self.tree):
            return None
        parts = path[len(self.tree) :].split(os.sep)
        return None if any(part in FOREIGN for part in parts) else "/".join(parts)


def make_collector(
    kind: str, tree: str, file_name: FileNames
) -> CoverageCollector | _OwnCollector | None:
    """`kind`: "" for none, else the first to try: "auto", "coverage", "monitoring", "settrace"."""
    if not kind:
        return None
    if kind in ("auto", "coverage") and has_coverage(tree):
        return CoverageCollector(tree, file_name)
    if kind != "settrace" and MONITORING is not None:
        return MonitoringCollector(file_name)
    return TraceCollector(file_name)


def has_coverage(tree: str) -> bool:
    if any(sign in tree for sign in "*?[]{},"):  # would be read as a pattern
        return False
    try:
        tracer = importlib.import_module("coverage.tracer")
    except Exception:
        return False
    return hasattr(tracer, "CTracer")  # without it coverage.py is slower than our own collectors


class CoverageCollector:
    """coverage.py with one dynamic context a test. Only its C tracer knows contexts."""

    def __init__(self, tree: str, file_name: FileNames) -> None:
        import coverage

        self.file_name = file_name
        self.coverage = coverage.Coverage(
            data_file=None,
            config_file=False,
            include=[os.path.join(os.path.realpath(tree), "*")],
            omit=[f"*/{name}/*" for name in FOREIGN],
            messages=False,
        )
        self.coverage.set_option(
            "run:disable_warnings",
            ["no-data-collected", "dynamic-conflict", "trace-changed", "no-ctracer", "no-sysmon"],
        )

    def start(self) -> None:
        before = os.environ.get("COVERAGE_CORE")
        os.environ["COVERAGE_CORE"] = "ctrace"  # the one way that every version understands
        with contextlib.suppress(Exception):
            self.coverage.set_option("run:core", "ctrace")
        try:
            self.coverage.start()
        finally:
            os.environ.pop("COVERAGE_CORE")
            if before is not None:
                os.environ["COVERAGE_CORE"] = before

    def switch(self, context: str) -> None:
        self.coverage.switch_context(context)

    def stop(self) -> None:
        self.coverage.stop()

    def result(self) -> Masks:
        masks: Masks = defaultdict(dict)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = self.coverage.get_data()
        for filename in data.measured_files():
            path = self.file_name(filename)
            if path is None:
                continue
            for line, contexts in data.contexts_by_lineno(filename).items():
                for context in contexts:
                    masks[context][path] = masks[context].get(path, 0) | 1 << line
        return masks


class _OwnCollector:
    """What the two collectors of our own share: a set of lines a file, folded at each switch."""

    def __init__(self, file_name: FileNames) -> None:
        self.file_name = file_name
        self.context = ""
        self.lines: dict[str, set[int]] = defaultdict(
            set
        )  # file name -> lines since the last switch
        self.masks: Masks = defaultdict(dict)

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def switch(self, context: str) -> None:
        lines, self.lines = self.lines, defaultdict(set)
        known = self.masks[self.context]
        for filename, numbers in lines.items():
            path = self.file_name(filename) or filename
            known[path] = known.get(path, 0) | sum(1 << number for number in numbers)
        self.context = context

    def wanted(self, code: CodeType) -> bool:
        return bool(code.co_flags & FUNCTION) and self.file_name(code.co_filename) is not None

    def result(self) -> Masks:
        self.switch("")
        return self.masks


class MonitoringCollector(_OwnCollector):
    """`sys.monitoring`: each line reports once a test, then runs at full speed."""

    def start(self) -> None:
        monitoring, events = MONITORING, MONITORING.events
        self.tool = next(tool for tool in (3, 4, 2, 1, 0) if monitoring.get_tool(tool) is None)
        monitoring.use_tool_id(self.tool, "diffufix")
        monitoring.register_callback(self.tool, events.PY_START, self.on_start)
        monitoring.register_callback(self.tool, events.LINE, self.on_line)
        monitoring.set_events(self.tool, events.PY_START)

    def on_start(self, code: CodeType, offset: int) -> Any:
        if self.wanted(code):
            MONITORING.set_local_events(self.tool, code, MONITORING.events.LINE)
        return MONITORING.DISABLE

    def on_line(self, code: CodeType, line: int) -> Any:
        self.lines[code.co_filename].add(line)
        return MONITORING.DISABLE

    def switch(self, context: str) -> None:
        super().switch(context)
        MONITORING.restart_events()

    def stop(self) -> None:
        MONITORING.set_events(self.tool, 0)
        MONITORING.free_tool_id(self.tool)


class TraceCollector(_OwnCollector):
    """`sys.settrace`: slow, and everywhere."""

    def start(self) -> None:
        self.tracer = self.on_call
        threading.settrace(self.tracer)
        sys.settrace(self.tracer)

    def on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self.on_line if self.wanted(frame.f_code) else None

    def on_line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.lines[frame.f_code.co_filename].add(frame.f_lineno)
        return self.on_line

    def switch(self, context: str) -> None:
        super().switch(context)
        if sys.gettrace() is not self.tracer:  # the last test took it away
            sys.settrace(self.tracer)

    def stop(self) -> None:
        threading.settrace(None)
        sys.settrace(None)
