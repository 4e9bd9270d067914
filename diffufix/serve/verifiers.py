"""`WarmVerifiers`: verifiers of several projects in this process, of which the most recently used
stay warm. Touches the shelf of snapshots and, through `ProjectVerifier`, sandboxes.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any

from diffufix.config import Settings
from diffufix.errors import SandboxUnavailable
from diffufix.serve.protocol import Busy, UnknownProject, VerifyAnswer, VerifyRequest
from diffufix.serve.shelf import Shelf
from diffufix.serve.snapshot import pack
from diffufix.serve.warm import ProjectVerifier

REMEMBERED = 60.0  # seconds in which a project that cannot be tested is not tried again

_Key = tuple[str, tuple[str, ...]]  # a project and pytest's arguments


class WarmVerifiers:
    """Answers questions about the projects of a shelf. For several threads.

    `settings` are those of `Settings` that hold for every project (a project's own are not read:
    what it may do here is for its host to say), `most` projects are kept warm, `memory` is each
    candidate's in bytes.
    """

    def __init__(
        self,
        shelf: Shelf,
        settings: Mapping[str, Any] | None = None,
        most: int = 4,
        memory: int | None = None,
    ) -> None:
        self.shelf = shelf
        self._settings, self._most, self._memory = dict(settings or {}), most, memory
        self._warm: dict[_Key, ProjectVerifier] = {}
        self._lock = threading.Lock()
        self._closed = False

    def add(self, root: Path) -> str:
        """Take in the project in `root`; its hash. Raises ProjectError."""
        snapshot = pack(root)
        self.shelf.add(snapshot.hash, io.BytesIO(snapshot.archive), self.in_use)
        return snapshot.hash

    def verify(self, request: VerifyRequest) -> VerifyAnswer:
        """As `Verifying` says; waits as long as it takes, for room, too."""
        while True:
            try:
                return self.ask(request).result()
            except Busy as busy:
                time.sleep(busy.after)

    def ask(self, request: VerifyRequest) -> Future[VerifyAnswer]:
        """The answer to come. Raises UnknownProject; Busy where all that are warm have work."""
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("the verifiers are closed")
            return self._of(request).ask(request)

    def _of(self, request: VerifyRequest) -> ProjectVerifier:
        key = (request.project, request.args)
        found = self._warm.get(key)
        if found is not None and found.failed is not None:
            infra = isinstance(found.failed, SandboxUnavailable)
            if infra or time.monotonic() - found.used > REMEMBERED:
                del self._warm[key]
                found = None
        if found is None:
            root = self.shelf.find(request.project)
            if root is None:
                raise UnknownProject(f"There is no project {request.project} here.", "Send it.")
            self._make_room()
            settings = Settings(root, pytest_args=request.args, **self._settings)
            found = self._warm[key] = ProjectVerifier(settings, self._memory)
        return found

    def _make_room(self) -> None:
        """End the one that was not used for longest. Raises Busy."""
        while len(self._warm) >= self._most:
            idle = [key for key, verifier in self._warm.items() if not verifier.open]
            if not idle:
                raise Busy(f"{self._most} projects have work, and that is the most at once", 2.0)
            oldest = min(idle, key=lambda key: self._warm[key].used)
            self._warm.pop(oldest).close(wait=False)

    @property
    def in_use(self) -> set[str]:
        """Hashes of the projects that are warm."""
        with self._lock:
            return {project for project, _ in self._warm}

    @property
    def workers(self) -> int:
        """Fork servers that are up."""
        with self._lock:
            return sum(verifier.workers for verifier in self._warm.values())

    def close(self) -> None:
        """End all of them; what is open raises SandboxUnavailable."""
        with self._lock:
            self._closed = True
            verifiers = list(self._warm.values())
            self._warm.clear()
        for verifier in verifiers:
            verifier.close(wait=False)
        for verifier in verifiers:
            verifier.close()

    def __enter__(self) -> WarmVerifiers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
