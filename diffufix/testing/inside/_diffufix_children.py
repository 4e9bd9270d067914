"""Which lines the tests execute in other processes: forked ones and interpreters that they start.

PYTEST_DONT_REWRITE. Python 3.9 and later, no dependency. Touches a temporary folder, the tracing of
child processes, and in the process of the tests three variables that children inherit. A child
appends each line to a file of its own as soon as it has been executed, so that it may end in any
way. Children with an environment of their own, or with -I, -E or -S, are not seen.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import threading
from collections import defaultdict
from types import CodeType, FrameType
from typing import Any

from _diffufix_lines import (  # type: ignore[import-not-found]
    FUNCTION,
    MONITORING,
    FileNames,
)

FOLDER, TREE, CONTEXT = "DIFFUFIX_CHILDREN", "DIFFUFIX_CHILDREN_TREE", "DIFFUFIX_CONTEXT"
#: What an interpreter imports first where its PYTHONPATH holds it.
SITE = """
import os, sys
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if path != here]
import _diffufix_children
_diffufix_children.begin(here)
"""


class Children:
    """The parent's side; `switch` names the context of what is started from then on."""

    def __init__(self, tree: str) -> None:
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="diffufix-children-"))
        self.contexts: list[str] = []
        self.pid = os.getpid()
        with open(os.path.join(self.folder, "sitecustomize.py"), "w", encoding="utf-8") as file:
            file.write(SITE)
        os.environ.update({FOLDER: self.folder, TREE: tree})
        paths = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = self.folder + (os.pathsep + paths if paths else "")
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.forked)

    def switch(self, context: str) -> None:
        self.contexts.append(context)
        os.environ[CONTEXT] = str(len(self.contexts) - 1)

    def forked(self) -> None:
        if os.path.isdir(self.folder):
            record(self.folder, os.environ.get(CONTEXT, ""))

    def result(self) -> dict[str, dict[str, int]]:
        """{context: {relative path: bit mask of line numbers}}"""
        masks: dict[str, dict[str, int]] = defaultdict(dict)
        for name in os.listdir(self.folder):
            number = name.partition("-")[0]
            if not number.isdigit() or int(number) >= len(self.contexts):
                continue
            files = masks[self.contexts[int(number)]]
            with open(os.path.join(self.folder, name), encoding="utf-8") as file:
                for entry in file.read().splitlines():
                    line, _, path = entry.partition(" ")
                    if path and line.isdigit():
                        files[path] = files.get(path, 0) | 1 << int(line)
        return masks


def begin(here: str) -> None:
    """In a new interpreter: record, then import the project's own `sitecustomize`, if any."""
    with contextlib.suppress(Exception):
        record(here, os.environ.get(CONTEXT, ""))
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def record(folder: str, context: str) -> None:
    """From now on the lines of this process are written down."""
    if not context.isdigit():
        return
    path = os.path.join(folder, f"{context}-{os.getpid()}-{os.urandom(4).hex()}")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    LineRecorder(fd, FileNames(os.environ[TREE])).start()


class LineRecorder:
    """Writes `LINE PATH` to `fd` the first time that a line of a function below the tree runs."""

    def __init__(self, fd: int, file_name: FileNames) -> None:
        self.fd, self.file_name = fd, file_name
        self.seen: set[tuple[str, int]] = set()

    def start(self) -> None:
        if MONITORING is not None:
            free = [tool for tool in (3, 4, 2, 1, 0) if MONITORING.get_tool(tool) is None]
            if free:
                self.monitor(free[0])
                return
        threading.settrace(self.on_call)
        sys.settrace(self.on_call)

    def monitor(self, tool: int) -> None:
        events = MONITORING.events

        def on_start(code: CodeType, offset: int) -> Any:
            if self.wanted(code):
                MONITORING.set_local_events(tool, code, events.LINE)
            return MONITORING.DISABLE

        def on_line(code: CodeType, line: int) -> Any:
            self.note(code, line)
            return MONITORING.DISABLE

        MONITORING.use_tool_id(tool, "diffufix-children")
        MONITORING.register_callback(tool, events.PY_START, on_start)
        MONITORING.register_callback(tool, events.LINE, on_line)
        MONITORING.set_events(tool, events.PY_START)

    def on_call(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self.on_line if self.wanted(frame.f_code) else None

    def on_line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line":
            self.note(frame.f_code, frame.f_lineno)
        return self.on_line

    def wanted(self, code: CodeType) -> bool:
        return bool(code.co_flags & FUNCTION) and self.file_name(code.co_filename) is not None

    def note(self, code: CodeType, line: int) -> None:
        key = code.co_filename, line
        if key not in self.seen:
            self.seen.add(key)
            with contextlib.suppress(OSError):  # somebody closed it
                os.write(self.fd, f"{line} {self.file_name(code.co_filename)}\n".encode())
