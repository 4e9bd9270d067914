"""`VerifyClient`: asks a server, and asks again where the infrastructure failed.

Every question has an id of its own that stays the same over its tries, so an answer that was lost
on the way is had without a second run, and a server that was started anew is simply asked once
more. Talks HTTP to one address; touches the projects that it is to send, which it reads.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from diffufix.errors import ProjectError, SandboxUnavailable, UsageError
from diffufix.serve.protocol import UnknownProject, VerifyAnswer, VerifyRequest
from diffufix.serve.snapshot import pack

AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds between two tries
CONNECT = 10.0  # seconds


class VerifyClient:
    """Used as a context, from any thread. `patience`: seconds in which a question must be
    answered, all of its tries together; `timeout`: of one try.

    Its methods raise SandboxUnavailable once patience is over, UsageError and ProjectError for
    what the server cannot answer.
    """

    def __init__(
        self, url: str, token: str = "", *, patience: float = 600.0, timeout: float = 120.0
    ) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._http = httpx.Client(
            base_url=url.rstrip("/"), headers=headers, limits=limits,
            timeout=httpx.Timeout(timeout + CONNECT, connect=CONNECT),
        )  # fmt: skip
        self._patience, self._timeout = patience, timeout
        self._roots: dict[str, Path] = {}
        self._sending = threading.Lock()
        self.tries = 0  # requests that were made

    def add(self, root: Path) -> str:
        """Send the project in `root`, if it is not there; its hash."""
        packed = pack(root)
        self._roots[packed.hash] = root
        self._send(packed.hash, packed.archive)
        return packed.hash

    def verify(self, request: VerifyRequest) -> VerifyAnswer:
        """As `Verifying` says. A project that `add` sent is sent again where the server has lost
        it."""
        body = {
            "project": request.project, "files": dict(request.files), "tests": request.tests,
            "args": request.args, "stop": request.stop, "confirm": request.confirm,
            "timeout": self._timeout,
        }  # fmt: skip
        try:
            return VerifyAnswer.of(self._asked("/verify", body))
        except UnknownProject:
            root = self._roots.get(request.project)
            if root is None:
                raise
            with self._sending:
                packed = pack(root)
                if packed.hash != request.project:
                    raise ProjectError(f"{root} has changed since it was sent.") from None
                self._send(packed.hash, packed.archive)
        return VerifyAnswer.of(self._asked("/verify", body))

    def run_code(self, code: str, language: str = "python", **more: Any) -> dict[str, Any]:
        """The response of `/run_code` (`fusion.py`), as SandboxFusion has it."""
        return self._asked("/run_code", {"code": code, "language": language, **more})

    def health(self) -> dict[str, Any]:
        return self._tried(lambda: self._http.get("/health"))

    def _send(self, hash: str, archive: bytes) -> None:
        path = f"/projects/{hash}"
        try:
            self._tried(lambda: self._http.get(path))
        except UnknownProject:
            self._tried(lambda: self._http.put(path, content=archive))

    def _asked(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"x-request-id": uuid.uuid4().hex}
        return self._tried(lambda: self._http.post(path, json=body, headers=headers))

    def _tried(self, ask: Callable[[], httpx.Response]) -> dict[str, Any]:
        """The answer, after as many tries as patience allows."""
        end = time.monotonic() + self._patience
        pause = FIRST_PAUSE
        while True:
            self.tries += 1
            after = 0.0
            try:
                response = ask()
                if response.status_code not in AGAIN:
                    return _answer(response)
                problem = f"{response.status_code} {_said(response).get('message', '')}".strip()
                after = _seconds(response.headers.get("retry-after", ""))
            except httpx.TransportError as error:
                problem = f"{type(error).__name__}: {error}"
            wait = max(after, pause) * random.uniform(0.5, 1.0)
            pause = min(2 * pause, LONGEST_PAUSE)
            if time.monotonic() + wait > end:
                raise SandboxUnavailable(f"{self._http.base_url} does not answer: {problem}")
            time.sleep(wait)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> VerifyClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_ERRORS = {"ProjectError": ProjectError, "UnknownProject": UnknownProject}


def _answer(response: httpx.Response) -> dict[str, Any]:
    said = _said(response)
    if response.is_success:
        if not said:
            raise SandboxUnavailable("the server answers nonsense")
        return said
    kind = _ERRORS.get(said.get("error", ""), UsageError)
    message = str(said.get("message") or f"status {response.status_code}")
    raise kind(message, str(said.get("hint", "")))


def _said(response: httpx.Response) -> dict[str, Any]:
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else 0.0
