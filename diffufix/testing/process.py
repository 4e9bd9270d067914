"""Run one command, here in a process group of its own or in a sandbox, and listen to it.

Leaves no process behind.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffufix.sandbox.protocol import Process, Sandbox

_OUTPUT_LIMIT = 64 * 1024
_CHUNK = 1 << 16
_POLL = 0.1  # seconds between looks at a process whose pipes somebody else keeps open
_DRAIN = 2.0  # seconds at most for what lies in the pipes of a dead process
REPORTS = 3  # the descriptor for lines, in a sandbox
_REDIRECT = 'exec 3>&1 1>&2 </dev/null; exec "$@"'
_LAST_WORDS = 5.0  # seconds from the last record to the end of the process


@dataclass(frozen=True)
class Ended:
    """How the process ended; `output` is the tail of stdout and stderr together."""

    returncode: int  # negative: the signal that ended it
    timed_out: bool
    seconds: float
    output: str


class _Listener:
    """The two pipes of a process: lines to `on_line`, output to a bounded tail."""

    def __init__(self, lines_fd: int, output_fd: int, on_line: Callable[[bytes], bool]) -> None:
        self.output = bytearray()
        self.finished = False  # `on_line` said that this was the last one
        self._rest = b""
        self._on_line = on_line
        self._selector = selectors.DefaultSelector()
        for fd, take in ((lines_fd, self._take_lines), (output_fd, self._take_output)):
            self._selector.register(fd, selectors.EVENT_READ, take)

    @property
    def open(self) -> bool:
        return bool(self._selector.get_map())

    def listen(self, seconds: float) -> bool:
        """Take what comes within `seconds`; False when nothing came."""
        ready = self._selector.select(max(0.0, seconds))
        for key, _ in ready:
            data = os.read(key.fd, _CHUNK)
            if data:
                key.data(data)
            else:
                self._selector.unregister(key.fd)
        return bool(ready)

    def drain(self) -> None:
        """Take what lies in the pipes now, but let nobody who still writes hold us up."""
        deadline = time.monotonic() + _DRAIN
        while self.open and self.listen(0) and time.monotonic() < deadline:
            pass

    def close(self) -> None:
        self._selector.close()

    def _take_output(self, data: bytes) -> None:
        self.output += data
        del self.output[:-_OUTPUT_LIMIT]

    def _take_lines(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.finished |= self._on_line(line)


def run_listening(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Callable[[int], Mapping[str, str]],
    on_line: Callable[[bytes], bool],
    timeout: float | None,
    stuck: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run `command`, hand each line of its report pipe to `on_line`, kill its group at the end.

    `env` gets the number of the descriptor that the process writes to; `on_line` answers True
    to the last line; when `stuck` answers True it has timed out. Raises OSError when the command
    cannot be started.
    """
    began = time.monotonic()
    read, write = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=dict(env(write)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write,),
            start_new_session=True,
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    assert process.stdout is not None
    listener = _Listener(read, process.stdout.fileno(), on_line)
    deadline = began + timeout if timeout is not None else float("inf")
    timed_out = False
    try:
        while process.poll() is None:
            now = time.monotonic()
            if listener.finished:
                deadline = min(deadline, now + _LAST_WORDS)
            if now >= deadline or stuck():
                timed_out = not listener.finished
                break
            if listener.open:
                listener.listen(min(_POLL, deadline - now))
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(_POLL, deadline - now))
    finally:
        kill_group(process)
        listener.drain()
        listener.close()
        process.stdout.close()
        os.close(read)
    output = listener.output.decode("utf-8", "replace")
    return Ended(process.returncode, timed_out, time.monotonic() - began, output)


def run_listening_inside(
    sandbox: Sandbox,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    on_line: Callable[[bytes], bool],
    timeout: float | None,
    stuck: Callable[[], bool] = lambda: False,
    cwd: str | None = None,
) -> Ended:
    """`run_listening` in a sandbox: the command writes its lines to descriptor 3.

    Raises SandboxUnavailable.
    """
    began = time.monotonic()
    process = sandbox.spawn(["/bin/sh", "-c", _REDIRECT, "sh", *command], env=env, cwd=cwd)
    deadline = began + timeout if timeout is not None else float("inf")
    rest, open_, finished, timed_out = b"", True, False, False
    try:
        while open_:
            now = time.monotonic()
            if now >= deadline or stuck():
                timed_out = not finished
                break
            try:
                data = process.read(_CHUNK, min(1.0, deadline - now))
            except TimeoutError:
                continue
            open_ = bool(data)
            *lines, rest = (rest + data).split(b"\n")
            last = [line for line in lines if on_line(line)]
            if last and not finished:
                finished, deadline = True, min(deadline, time.monotonic() + _LAST_WORDS)
        returncode = _status(process, 0.0 if timed_out else deadline - time.monotonic())
    finally:
        process.kill()
    timed_out |= returncode is None and not finished
    returncode = _status(process, _LAST_WORDS) if returncode is None else returncode
    seconds = time.monotonic() - began
    return Ended(-signal.SIGKILL if returncode is None else returncode, timed_out, seconds,
                 process.diagnosis)  # fmt: skip


def _status(process: Process, seconds: float) -> int | None:
    try:
        return process.wait(max(0.0, min(seconds, 1e6)))
    except TimeoutError:
        return None


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a session leader's group, reap the leader."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
