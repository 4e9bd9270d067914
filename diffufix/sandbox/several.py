"""Several backends as one: sandboxes are spread over them, one that fails is passed over.

Touches what the backends touch, and copies the scratch tree it is given where one of them fails.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffufix.errors import PrerequisiteError, SandboxUnavailable
from diffufix.sandbox import reap
from diffufix.sandbox.protocol import Sandbox

REST = 30.0  # seconds in which a backend that failed is asked only after the others


class Backend:
    """One of them: `make` takes a scratch tree, which its sandbox then owns."""

    def __init__(self, name: str, make: Callable[[Path], Sandbox]) -> None:
        self.name, self.make = name, make
        self.failed = float("-inf")  # monotonic seconds
        self.coming = 0
        self.made: weakref.WeakSet[Any] = weakref.WeakSet()

    def __reduce__(self) -> tuple[type, tuple[str, Callable[[Path], Sandbox]]]:
        return Backend, (self.name, self.make)  # how it is used here is nothing for elsewhere

    @property
    def rank(self) -> tuple[bool, int]:
        """What is least is asked first."""
        resting = time.monotonic() - self.failed < REST
        return resting, self.coming + sum(sandbox.alive() for sandbox in self.made)


class Several:
    """Called as a backend's `make` is; the sandbox is started already. For several threads.

    Raises on a call what the last backend raised, where all of them fail.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = tuple(backends)
        self._turn = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple[Sequence[Backend]]]:
        return Several, (self.backends,)

    def __call__(self, tree: Path) -> Sandbox:
        left = list(self.backends)
        while True:
            with self._turn:
                backend = min(left, key=lambda each: each.rank)
                backend.coming += 1
            left.remove(backend)
            try:
                sandbox = self._started(backend, _copied(tree) if left else tree)
            except (SandboxUnavailable, PrerequisiteError):
                if not left:
                    raise
                continue
            if left:
                reap.remove(tree)
            return sandbox

    def _started(self, backend: Backend, tree: Path) -> Sandbox:
        sandbox = backend.make(tree)
        try:
            sandbox.start()
            backend.made.add(sandbox)
        except (SandboxUnavailable, PrerequisiteError):
            backend.failed = time.monotonic()
            sandbox.close()
            raise
        finally:
            backend.coming -= 1
        return sandbox


def _copied(tree: Path) -> Path:
    """Beside the original, of the same name: packages are imported by it."""
    copy = Path(tempfile.mkdtemp(dir=tree.parent)) / tree.name
    shutil.copytree(tree, copy, symlinks=True)
    return copy
