"""Processes of the local sandbox: one with pipes, the output of another, those that were left over.

Touches processes that the sandbox started, nothing else.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

import psutil

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox.protocol import TAIL, receive_exactly


class LocalProcess:
    """A command in its own session, with pipes; see `sandbox.protocol.Process`."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: str,
        env: Mapping[str, str],
        passed: Sequence[int] = (),  # descriptors that the command inherits
    ) -> None:
        try:
            self._popen = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=tuple(passed),
                bufsize=0,
            )
        except OSError as error:
            raise SandboxUnavailable(f"cannot start {argv[0]}: {error}") from error
        self._tail = b""
        self._drainer = threading.Thread(target=self._drain, daemon=True)
        self._drainer.start()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def diagnosis(self) -> str:
        return self._tail.decode("utf-8", "replace").strip()

    def _drain(self) -> None:
        assert self._popen.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while data := self._popen.stderr.read(4096):
                self._tail = (self._tail + data)[-TAIL:]

    def send(self, data: bytes) -> None:
        assert self._popen.stdin is not None
        view = memoryview(data)
        try:
            while view:
                view = view[self._popen.stdin.write(view) :]
        except (OSError, ValueError) as error:
            raise SandboxUnavailable("the process in the sandbox is gone") from error

    def read(self, size: int, timeout: float | None = None) -> bytes:
        assert self._popen.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._popen.stdout, selectors.EVENT_READ)
                if not selector.select(timeout):
                    raise TimeoutError("no answer from the sandbox")
            return os.read(self._popen.stdout.fileno(), min(size, 1 << 16))
        except TimeoutError:
            raise
        except (OSError, ValueError) as error:
            raise SandboxUnavailable("the process in the sandbox is gone") from error

    def receive(self, size: int, timeout: float | None = None) -> bytes:
        return receive_exactly(self, size, timeout)

    def wait(self, timeout: float | None = None) -> int:
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError("the process still runs") from error

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self._popen.kill()
        self._popen.wait()

    def dispose(self) -> None:
        """Kill it and close the pipes; no other thread may be using them."""
        self.kill()
        self._drainer.join(1.0)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def collect(
    popen: subprocess.Popen[bytes], timeout: float | None, max_output: int
) -> tuple[bytes, bytes, bool, bool]:
    """Read both streams to their end or the deadline: (stdout, stderr, truncated, timed out)."""
    assert popen.stdout is not None
    assert popen.stderr is not None
    kept = {popen.stdout: bytearray(), popen.stderr: bytearray()}
    deadline = None if timeout is None else time.monotonic() + timeout
    truncated = timed_out = False
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = 0.2 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                timed_out = True
                break
            for key, _ in selector.select(min(left, 0.2)):
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fileobj)
                room = max_output - len(kept[key.fileobj])  # type: ignore[index]
                truncated |= len(data) > room
                kept[key.fileobj] += data[: max(0, room)]  # type: ignore[index]
            # A stray that holds the pipe open must not keep us here once the command ended.
            if popen.poll() is not None and not selector.select(0):
                break
    if not timed_out:
        with contextlib.suppress(subprocess.TimeoutExpired):
            popen.wait(None if deadline is None else max(0.05, deadline - time.monotonic()))
        timed_out = popen.returncode is None
    return bytes(kept[popen.stdout]), bytes(kept[popen.stderr]), truncated, timed_out


def kill_group(popen: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(popen.pid, signal.SIGKILL)
    popen.wait()
    for stream in (popen.stdout, popen.stderr):
        if stream is not None:
            stream.close()


def marked(needle: bytes) -> list[int]:
    """Processes whose environment carries the sandbox's marker (Linux only)."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as environ:
                if needle in environ.read():
                    found.append(int(name))
    return found


def ancestry(pid: int) -> set[int]:
    """A process and those that it descends from."""
    seen = {pid}
    with contextlib.suppress(psutil.Error):
        seen.update(parent.pid for parent in psutil.Process(pid).parents())
    return seen
