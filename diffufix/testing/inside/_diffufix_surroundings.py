"""What the tests use of the world around the project: environment variables, files in the home.

PYTEST_DONT_REWRITE. Python 3.9 and later, no dependency; touches `os.environ`'s class and adds an
audit hook. Only Python code of this process is heard: not C libraries, not other processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

MOST = 200  # files that are told


class EnvironmentReads:
    """`variables` are names that were asked for, `files` paths in the home that were read."""

    def __init__(self, elsewhere: list[str]) -> None:
        self.variables: set[str] = set()
        self.files: set[str] = set()
        self.copied: list[Any] = []  # names still to be read by a copy of all variables
        home = os.path.expanduser("~")
        self.home = os.path.join(home, "") if home != "~" else ""
        inside = [*elsewhere, sys.prefix, sys.base_prefix, *(path for path in sys.path if path)]
        self.elsewhere = tuple(
            os.path.join(form, "")
            for path in inside
            for form in {os.path.abspath(path), os.path.realpath(path)}
            if not self.home.startswith(os.path.join(form, ""))
        )

    def start(self) -> None:
        kind: Any = type(os.environ)
        get, all_of = kind.__getitem__, kind.__iter__

        def read(environ: Any, name: Any) -> Any:
            if self.copied and self.copied[-1] == name:
                self.copied.pop()
                return get(environ, name)
            self.copied = []
            if isinstance(name, str):
                self.variables.add(name)  # also where it is not set: it may be kept out
            return get(environ, name)

        def read_all(environ: Any) -> Iterator[Any]:
            names = list(all_of(environ))
            self.copied = names[::-1]
            return iter(names)

        kind.__getitem__, kind.__iter__ = read, read_all
        if self.home:
            sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not arguments or not isinstance(arguments[0], str):
            return
        path = arguments[0]
        ours = path.startswith(self.home) and not path.startswith(self.elsewhere)
        if ours and len(self.files) < MOST and os.path.isfile(path):
            self.files.add(path)
