"""What every sandbox offers: `Sandbox`, its `Process`, `ExecResult` and `Capabilities`.

Touches nothing. A sandbox holds one copy of the project (its tree), a private directory for our
own files, an empty home and an empty temporary directory. Two kinds of trouble are kept apart:
what a command did (an `ExecResult`, whatever its exit status) and infrastructure that failed
(`SandboxUnavailable`, worth a retry, never a statement about a candidate).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from diffufix.errors import SandboxUnavailable

#: Whom a command runs as. "code": nobody special; whatever executes edited code is this. "server":
#: our own fork server, which owns the tree and may become `Capabilities.child_uid` in its children.
User = Literal["code", "server"]
#: Bytes kept of what a spawned process writes to stderr.
TAIL = 64 * 1024
#: Bytes that `read_file` hands out at most: code under test may leave files of any size.
LARGEST_FILE = 256 * 2**20

#: Variables of every command. One thread per process: a pool that is forked hangs, and the workers
#: already fill the cores.
FIXED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
}


@dataclass(frozen=True)
class Capabilities:
    """What a backend isolates. `boundary` is False where hostile code could reach the host.

    `child_uid` is the user (and group) id of "code". A process started as "server" has the rights
    to change to it (setgroups, setgid, setuid) and to send signals to what runs under it, but
    cannot write into folders that "code" made unless it changes its effective ids for that. In the
    tree, "code" may make new files; those that were there belong to "server". None: one user only.
    """

    name: str
    boundary: bool
    no_network: bool
    read_only_host: bool
    kills_leftovers: bool
    note: str = ""
    child_uid: int | None = None


@dataclass(frozen=True)
class Limits:
    """Per process; sizes in bytes, `cpu` in seconds. None leaves a limit to the backend.

    A container has `memory` and `processes` for all of its processes together.
    """

    cpu: int | None = 600
    memory: int | None = None
    file_size: int | None = 256 * 2**20
    processes: int | None = 512


@dataclass(frozen=True)
class ExecResult:
    """How a command ended. `returncode` is negative for a signal; output is cut at a maximum."""

    returncode: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
    timed_out: bool = False
    oom: bool = False


class Process(Protocol):
    """A running command with a byte stream in each direction; its stderr is kept aside."""

    def send(self, data: bytes) -> None:
        """Write all of `data` to its stdin.

        Raises: SandboxUnavailable when the process is gone.
        """
        ...

    def read(self, size: int, timeout: float | None = None) -> bytes:
        """At most `size` bytes of its stdout, as soon as there are any; b"" at the end of it.

        Raises: TimeoutError after `timeout` seconds; SandboxUnavailable when the backend fails.
        """
        ...

    def receive(self, size: int, timeout: float | None = None) -> bytes:
        """Exactly `size` bytes of its stdout.

        Raises: TimeoutError after `timeout` seconds; SandboxUnavailable at the end of the stream.
        """
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status (negative: the signal). Raises: TimeoutError."""
        ...

    def kill(self) -> None:
        """End it and everything it started; idempotent, and safe from any thread."""
        ...

    @property
    def diagnosis(self) -> str:
        """The tail of what it wrote to stderr."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """One isolated place with one copy of the project.

    Paths given as strings are relative to the tree, or absolute inside the sandbox. `tree`,
    `private` and `temporary` are such absolute paths. Every method but `close` and `alive` raises
    SandboxUnavailable when the backend itself fails or the sandbox is not started.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def tree(self) -> str: ...

    @property
    def private(self) -> str: ...

    @property
    def temporary(self) -> str: ...

    def start(self) -> None:
        """Make it usable; idempotent. Raises: SandboxUnavailable, PrerequisiteError."""
        ...

    def exec(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_output: int = 2**20,
        user: User = "code",
    ) -> ExecResult:
        """Run a command to its end; `cwd` defaults to the tree, `env` is added to the clean one.

        A command that runs past `timeout` seconds is killed with all it started (`timed_out`);
        what it left running is killed when no other `exec` is under way. Of each stream
        `max_output` bytes are kept. A command that does not exist ends with status 127.
        """
        ...

    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User = "code",
    ) -> Process:
        """Start a command that is talked to over a stream."""
        ...

    def write_files(self, files: Mapping[str, bytes]) -> None:
        """Write whole files, making their folders; none if one of the paths is outside.

        Raises: ValueError for a path outside, also by way of a link.
        """
        ...

    def read_file(self, path: str) -> bytes:
        """Raises: FileNotFoundError where no plain file is; ValueError for a path outside and for
        a file larger than `LARGEST_FILE`."""
        ...

    def reset(self) -> None:
        """Kill every process, empty home and temporary, put the tree back as `start` found it."""
        ...

    def alive(self) -> bool:
        """Started, not closed, and still there; a sandbox that is not cannot be used again."""
        ...

    def close(self) -> None:
        """End every process and remove every file, the tree included; idempotent."""
        ...


def receive_exactly(process: Process, size: int, timeout: float | None) -> bytes:
    """`Process.receive` by means of `Process.read`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    chunks: list[bytes] = []
    while size > 0:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        data = process.read(size, left)
        if not data:
            raise SandboxUnavailable("the process in the sandbox ended", process.diagnosis)
        chunks.append(data)
        size -= len(data)
    return b"".join(chunks)
