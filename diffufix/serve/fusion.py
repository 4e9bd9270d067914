"""`POST /run_code`: the request and response of SandboxFusion for the languages python and pytest
(https://bytedance.github.io/SandboxFusion), run in a sandbox of ours.

It runs what it is given and reports exit code and output. Code that is run with its own tests in
one process can make them say anything; `/verify` is for candidates that are not trusted.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, Field

from diffufix.config import Settings
from diffufix.errors import DiffufixError, SandboxUnavailable, UsageError
from diffufix.sandbox import ExecResult, Sandbox
from diffufix.sandbox.reap import scratch_prefix
from diffufix.serve.options import MIB, ServeOptions
from diffufix.workspace.choice import Runtime, choose

OUTPUT = 1 * MIB  # bytes kept of each stream
_NAME = "submitted_code.py"
_COMMANDS = {"python": (_NAME,), "pytest": ("-m", "pytest", _NAME)}
#: Sets the memory of what it starts, in KiB.
_LIMITED = ("/bin/sh", "-c", 'ulimit -v "$1"; shift; exec "$@"', "limited")


class RunCodeRequest(BaseModel):
    """Times in seconds; `files` are contents in base64 by path; -1 MiB: the server's limit."""

    code: str
    language: Literal["python", "pytest"]
    run_timeout: float = Field(10.0, gt=0)
    compile_timeout: float = 10.0  # nothing is compiled
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: dict[str, str | None] = {}
    fetch_files: list[str] = []


class CommandRunResult(BaseModel):
    status: Literal["Finished", "Error", "TimeLimitExceeded"]
    execution_time: float | None = None
    return_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None


class RunCodeResponse(BaseModel):
    """`SandboxError` says nothing of the code."""

    status: Literal["Success", "Failed", "SandboxError"]
    message: str = ""
    compile_result: CommandRunResult | None = None
    run_result: CommandRunResult | None = None
    executor_pod_name: str | None = None
    files: dict[str, str] = {}


class CodeRunner:
    """Runs code in sandboxes of their own, which `close` ends. For several threads."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._place: Runtime | None = None
        self._choosing, self._lock = threading.Lock(), threading.Lock()
        self._open: set[Sandbox] = set()
        self._closed = False

    def run(self, request: RunCodeRequest) -> RunCodeResponse:
        """Raises UsageError for files that cannot be laid, SandboxUnavailable once it is closed."""
        files = _decoded(request.files)
        try:
            return self._run(request, files)
        except DiffufixError as error:
            if self._closed:
                raise SandboxUnavailable("the server is going down") from error
            failed = CommandRunResult(status="Error", stderr=error.message)
            return RunCodeResponse(status="SandboxError", message=error.message, run_result=failed)

    def _run(self, request: RunCodeRequest, files: Mapping[str, bytes]) -> RunCodeResponse:
        place, most = self._runtime(), self._options.memory
        memory = min(request.memory_limit_MB, most) if request.memory_limit_MB > 0 else most
        command = [*_LIMITED, str(memory * 1024), place.python, *_COMMANDS[request.language]]
        with self._sandbox(place) as sandbox:
            code = request.code.encode("utf-8", "surrogatepass")
            sandbox.write_files({**files, _NAME: code})
            began = time.monotonic()
            result = sandbox.exec(
                command, stdin=(request.stdin or "").encode(), max_output=OUTPUT,
                timeout=min(request.run_timeout, self._options.seconds),
            )  # fmt: skip
            took = time.monotonic() - began
            return _response(result, took, _fetched(sandbox, request.fetch_files))

    @contextlib.contextmanager
    def _sandbox(self, place: Runtime) -> Iterator[Sandbox]:
        with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
            tree = Path(folder) / "run"
            tree.mkdir()
            sandbox = place.make(tree)
            with self._lock:
                if self._closed:
                    raise SandboxUnavailable("the server is going down")
                self._open.add(sandbox)
            try:
                sandbox.start()
                yield sandbox
            finally:
                sandbox.close()
                with self._lock:
                    self._open.discard(sandbox)

    def _runtime(self) -> Runtime:
        """Where code without a project runs; found out once."""
        with self._choosing:
            if self._place is None:
                with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as folder:
                    self._place = choose(Settings(Path(folder), **self._options.settings))
            return self._place

    def close(self) -> None:
        """End what runs: it raises SandboxUnavailable."""
        with self._lock:
            self._closed = True
            left = list(self._open)
        for sandbox in left:
            sandbox.close()


def _fetched(sandbox: Sandbox, paths: Sequence[str]) -> dict[str, str]:
    """Contents in base64 of those files that are there."""
    found = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError, ValueError):
            found[path] = base64.b64encode(sandbox.read_file(path)).decode()
    return found


def _response(result: ExecResult, seconds: float, files: dict[str, str]) -> RunCodeResponse:
    out, err = (data.decode("utf-8", "replace") for data in (result.stdout, result.stderr))
    run = CommandRunResult(
        status="TimeLimitExceeded" if result.timed_out else "Finished",
        execution_time=round(seconds, 6),
        return_code=None if result.timed_out else result.returncode,
        stdout=out,
        stderr=err,
    )
    done = not result.timed_out and result.returncode == 0
    return RunCodeResponse(status="Success" if done else "Failed", run_result=run, files=files)


def _decoded(files: Mapping[str, str | None]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, content in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in name:
            raise UsageError(f"{name!r} is no path below the working folder.", "Name another.")
        try:
            found[str(path)] = base64.b64decode(content or "", validate=True)
        except (binascii.Error, ValueError) as error:
            raise UsageError(f"{name} is no base64: {error}", "Encode its content.") from error
    return found
