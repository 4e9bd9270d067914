"""The host's end of the conversation with `inside/agent.py`, over any stream of bytes.

Touches only the stream it is given. One thread reads; whoever asks waits on a channel of its own.
"""

from __future__ import annotations

import contextlib
import json
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox.protocol import TAIL, receive_exactly

HEAD = struct.Struct(">IcI")
CHUNK = 1 << 16
TAKEN = 1 << 18  # bytes read by the caller before the agent is told
PULSE = 10.0  # seconds between signs of life; the agent waits for several of them
GRACE = 30.0  # seconds beyond a command's own time-out


class Stream(Protocol):
    """A connection to the agent's stdin and stdout."""

    def send(self, data: bytes) -> None:
        """All of it. Raises: OSError."""
        ...

    def receive(self) -> bytes:
        """Some of it, b"" at the end. Raises: OSError."""
        ...

    def close(self) -> None:
        """Wakes a pending `receive`; idempotent."""
        ...


class Channel:
    """One request with what comes back: two streams and a reply. Safe from any thread."""

    def __init__(self, link: Link, number: int) -> None:
        self.link, self.number = link, number
        self.stdout, self.stderr = bytearray(), bytearray()
        self.reply: dict[str, Any] | None = None
        self.ended = False  # stdout is at its end
        self.bounded = True  # of stderr only the tail is kept
        self._taken = 0
        self.changed = threading.Condition()

    def take(self, kind: bytes, data: bytes) -> None:
        """The reading thread's side."""
        with self.changed:
            if kind == b"O":
                self.stdout += data
            elif kind == b"S":
                self.stderr += data
                if self.bounded:
                    del self.stderr[:-TAIL]
            elif kind == b"F":
                self.ended = True
            elif kind == b"R":
                self.reply = json.loads(data)
                self.ended = True
            self.changed.notify_all()

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self.link.send(b"D", self.number, data[start : start + CHUNK])

    def end(self) -> None:
        self.link.send(b"E", self.number)

    def read(self, size: int, timeout: float | None) -> bytes:
        """Some of stdout, b"" at its end. Raises: TimeoutError, SandboxUnavailable."""
        with self.changed:
            here = self.changed.wait_for(
                lambda: self.stdout or self.ended or self.link.lost is not None, timeout
            )
            if not here:
                raise TimeoutError("no answer from the sandbox")
            if not self.stdout and not self.ended:
                raise self.link.gone()
            data = bytes(self.stdout[:size])
            del self.stdout[:size]
            self._taken += len(data)
            taken = self._taken if self._taken >= TAKEN else 0
            self._taken -= taken
        if taken:
            with contextlib.suppress(SandboxUnavailable):
                self.link.send(b"A", self.number, struct.pack(">I", taken))
        return data

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """The reply. Raises: TimeoutError; SandboxUnavailable; what the agent refused, as the
        error that `sandbox.protocol` names."""
        with self.changed:
            self.changed.wait_for(
                lambda: self.reply is not None or self.link.lost is not None, timeout
            )
        if self.reply is None:
            if self.link.lost is not None:
                raise self.link.gone()
            raise TimeoutError("the process still runs")
        error, message = self.reply.get("error"), str(self.reply.get("message"))
        if error == "outside":
            raise ValueError(f"{message} is outside the sandbox")
        if error == "large":
            raise ValueError(f"{message} is too large to be read")
        if error == "missing":
            raise FileNotFoundError(message)
        if error is not None:
            raise SandboxUnavailable(f"the sandbox failed: {message}")
        return self.reply


class Link:
    """The connection. `hello` is the agent's first word, `lost` says why there is none any more."""

    def __init__(self, stream: Stream, diagnosis: Callable[[], str] = str) -> None:
        self.hello: dict[str, Any] | None = None
        self.lost: str | None = None
        self._stream, self._diagnosis = stream, diagnosis
        self._channels: dict[int, Channel] = {}
        self._number = 0
        self._sending, self._known = threading.Lock(), threading.Lock()
        self._greeting = Channel(self, 0)
        self._closing = threading.Event()
        for work in (self._read, self._pulse):
            threading.Thread(target=work, daemon=True, name="sandbox").start()

    def greet(self, timeout: float) -> dict[str, Any]:
        """Wait for the agent. Raises: SandboxUnavailable."""
        with self._greeting.changed:
            self._greeting.changed.wait_for(
                lambda: self.hello is not None or self.lost is not None, timeout
            )
        if self.hello is None:
            raise self.gone()
        return self.hello

    def ask(self, **request: Any) -> Channel:
        """Send a request; its channel."""
        with self._known:
            self._number += 1
            channel = self._channels[self._number] = Channel(self, self._number)
        self.send(b"X", channel.number, json.dumps(request).encode())
        return channel

    def send(self, kind: bytes, channel: int, data: bytes = b"") -> None:
        """Raises: SandboxUnavailable."""
        if self.lost is not None:
            raise self.gone()
        try:
            with self._sending:
                self._stream.send(HEAD.pack(len(data), kind, channel) + data)
        except OSError as error:
            self._lose(str(error))
            raise self.gone() from error

    def gone(self) -> SandboxUnavailable:
        return SandboxUnavailable(
            f"the sandbox is gone: {self.lost or 'it does not answer'}", self._diagnosis()
        )

    def close(self) -> None:
        self._lose("it was closed")
        self._stream.close()

    def _lose(self, why: str) -> None:
        with self._known:
            self.lost = self.lost or why
            channels = list(self._channels.values())
        self._closing.set()
        for channel in (self._greeting, *channels):
            channel.wake()

    def _pulse(self) -> None:
        while not self._closing.wait(PULSE):
            with contextlib.suppress(SandboxUnavailable):
                self.send(b"P", 0)

    def _read(self) -> None:
        try:
            for kind, number, data in self._frames():
                if kind == b"H":
                    self.hello = json.loads(data)
                    self._greeting.wake()
                    continue
                with self._known:
                    done = kind == b"R"
                    channel = (self._channels.pop if done else self._channels.get)(number, None)
                if channel is not None:
                    channel.take(kind, data)
            self._lose("it ended")
        except (OSError, ValueError) as error:
            self._lose(str(error))

    def _frames(self) -> Iterator[tuple[bytes, int, bytes]]:
        received = bytearray()
        while data := self._stream.receive():
            received += data
            at = 0
            while len(received) - at >= HEAD.size:
                size, kind, number = HEAD.unpack_from(received, at)
                if len(received) - at - HEAD.size < size:
                    break
                at += HEAD.size + size
                yield kind, number, bytes(received[at - size : at])
            del received[:at]


class LinkedProcess:
    """A spawned command behind a link; see `sandbox.protocol.Process`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def diagnosis(self) -> str:
        with self._channel.changed:
            return bytes(self._channel.stderr).decode("utf-8", "replace").strip()

    def send(self, data: bytes) -> None:
        if self._channel.ended:
            raise SandboxUnavailable("the process in the sandbox is gone", self.diagnosis)
        self._channel.send(data)

    def read(self, size: int, timeout: float | None = None) -> bytes:
        return self._channel.read(size, timeout)

    def receive(self, size: int, timeout: float | None = None) -> bytes:
        return receive_exactly(self, size, timeout)

    def wait(self, timeout: float | None = None) -> int:
        return int(self._channel.result(timeout)["returncode"])

    def kill(self) -> None:
        with contextlib.suppress(SandboxUnavailable, TimeoutError):
            self._channel.link.send(b"K", self._channel.number)
            self._channel.result(GRACE)


def run_to_end(
    channel: Channel, stdin: bytes, timeout: float | None
) -> tuple[dict[str, Any], bytes, bytes]:
    """(reply, stdout, stderr) of a command that was asked for with a bounded output."""
    channel.bounded = False
    channel.send(stdin)
    channel.end()
    try:
        reply = channel.result(None if timeout is None else timeout + GRACE)
    except TimeoutError as error:
        channel.link.close()
        raise SandboxUnavailable("the sandbox does not answer") from error
    return reply, bytes(channel.stdout), bytes(channel.stderr)
