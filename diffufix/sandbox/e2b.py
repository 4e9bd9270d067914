"""The E2B sandbox: a virtual machine in E2B's cloud, with the same agent in it as in a container.

Touches one such machine (without internet access; it ends by itself when nobody renews it) and
the scratch tree it is given, which it removes once it lies there. Everything goes over one
background command: its stdin and, in base64, its stdout.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import functools
import json
import queue
import shlex
import threading
import time
import weakref
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from diffufix.errors import DiffufixError, PrerequisiteError, SandboxUnavailable
from diffufix.sandbox import reap
from diffufix.sandbox.link import Link
from diffufix.sandbox.linked import (
    CODE,
    HOME,
    PRIVATE,
    SHARED,
    TEMPORARY,
    TREE,
    LinkedSandbox,
    agent_settings,
    agent_source,
    upload,
)
from diffufix.sandbox.protocol import TAIL, Capabilities, Limits

ATTEMPTS = 3  # machines that are tried before the service counts as down
LIFETIME = 120  # seconds that a machine lives on without a word from us
RENEW = 30.0  # seconds between such words
START = 60.0  # seconds for a machine's agent to answer
BATCH = 1 << 20  # bytes sent with one request
BACKLOG = 8 << 20  # bytes waiting to be sent before a sender waits too
_BLANK = {"PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
_LOOPBACK = (
    "import fcntl,socket,struct\n"
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh14x', b'lo', 0x41))"
)
#: As root in the machine: folders, then namespaces of the agent's own where the machine lets it
#: have them (its processes die with it, and envd is out of reach), then no more rights than needed.
_BOOT = f"""
set -e; umask 022
mkdir -p {TREE} {PRIVATE} {HOME} /work/tmp
chmod 1777 {TREE} {HOME} /work/tmp; chmod 711 {PRIVATE}
for p in /usr/bin/python3 /usr/local/bin/python3 /opt/venv/bin/python python3; do
    command -v "$p" >/dev/null && break
done
python=$(command -v "$p") || {{ echo "the template has no python3" >&2; exit 127; }}
apart="unshare --mount --pid --ipc --net --fork --kill-child --mount-proc"
$apart true 2>/dev/null || apart=""
bound="setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+setuid,+setgid,+kill"
$bound true 2>/dev/null || bound=""
exec "$python" -I -S -c "$RELAY" $apart /bin/sh -c '
if [ $$ = 1 ]; then
    mount --bind /work/tmp {TEMPORARY} && chmod 1777 {TEMPORARY}
    mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs {SHARED} 2>/dev/null
    "$0" -I -S -c "$LOOPBACK" || true
fi
exec env -i $BLANK "DIFFUFIX_INTERNAL_AGENT=$SETTINGS" $2 "$0" -I -S -c "$1"
' "$python" "$AGENT" "$bound"
"""
_alive: weakref.WeakSet[E2BSandbox] = weakref.WeakSet()


class CommandStream:
    """A running command of an E2B machine as a stream of bytes in each direction.

    What is sent waits in a buffer of its own, so that many small messages become one request.
    """

    def __init__(self, sandbox: Any, command: str, envs: dict[str, str]) -> None:
        self._sandbox = sandbox
        self._handle = sandbox.commands.run(
            command, background=True, stdin=True, user="root", cwd="/", timeout=0, envs=envs,
            retain_output=False,
        )  # fmt: skip
        self._waiting = bytearray()
        self._changed = threading.Condition()
        self._received: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._lost = ""
        self.words = ""  # the tail of stderr
        for work in (self._pump_in, self._pump_out):
            threading.Thread(target=work, daemon=True, name="e2b").start()

    def send(self, data: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._lost or len(self._waiting) < BACKLOG)
            if self._lost:
                raise OSError(self._lost)
            self._waiting += data
            self._changed.notify_all()

    def receive(self) -> bytes:
        data = self._received.get()
        if not data:
            raise OSError(self._lost)
        return data

    def close(self) -> None:
        self.lose("it was closed")

    def lose(self, why: str) -> None:
        """The stream has ended; `why` is what everybody is told."""
        with self._changed:
            self._lost = self._lost or why
            self._changed.notify_all()
        self._received.put(b"")

    def _pump_in(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lost or self._waiting)
                if self._lost:
                    return
                data = bytes(self._waiting[:BATCH])
                del self._waiting[:BATCH]
                self._changed.notify_all()
            try:
                self._sandbox.commands.send_stdin(self._handle.pid, data)
            except Exception as error:  # of the SDK or of a library below it
                self.lose(_told(error))
                return

    def _pump_out(self) -> None:
        rest = ""
        try:
            for stdout, stderr, _ in self._handle:
                if stderr:
                    self.words = (self.words + stderr)[-TAIL:]
                *lines, rest = (rest + (stdout or "")).split("\n")
                for line in filter(None, lines):
                    self._received.put(base64.b64decode(line, validate=True))
            self.lose("the agent ended")
        except Exception as error:
            self.lose(_told(error))


class E2BSandbox(LinkedSandbox):
    """Runs commands in a machine made from `template`; `tree`, a scratch copy, is sent and removed.

    `options` go to every call of the SDK (api_key, domain, ...); without them its environment
    variables hold: E2B_API_KEY, E2B_DOMAIN. Raises SandboxUnavailable when the service or the
    machine fails, PrerequisiteError without a key, with a refused one, or without the template.
    """

    def __init__(
        self,
        tree: Path,
        *,
        template: str | None = None,
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        super().__init__(tree)
        self._template = template
        self._limits = limits or Limits()
        self._options = options
        self._machine: Any = None
        self._stream: CommandStream | None = None
        self._stopped = threading.Event()
        self._note = ""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities("e2b", True, True, True, True, self._note, CODE)

    def start(self) -> None:
        if self._closed:
            raise SandboxUnavailable("the sandbox is closed")
        if self._link is not None:
            return
        if not self._source.is_dir():
            raise SandboxUnavailable(f"the scratch tree {self._source} is not there")
        _at_exit()
        _alive.add(self)
        for attempt in range(ATTEMPTS):
            try:
                self._launch()
                break
            except PrerequisiteError:
                self._remove()
                raise
            except Exception as error:
                self._remove()
                if attempt + 1 == ATTEMPTS:
                    raise _unavailable(error) from error
                time.sleep(0.5 * 2**attempt)
            except BaseException:
                self._remove()
                raise
        threading.Thread(target=self._renew, daemon=True, name="e2b-renew").start()
        reap.remove(self._source)

    def _launch(self) -> None:
        """One machine with an agent that answers and the tree in place."""
        sdk = _sdk()
        try:
            self._machine = sdk.Sandbox.create(
                template=self._template, timeout=LIFETIME, allow_internet_access=False,
                metadata={reap.LABEL: reap.owner()}, **self._options,
            )  # fmt: skip
        except Exception as error:
            raise refused(error, self._template) or error from error
        envs = {
            "RELAY": (resources.files("diffufix.sandbox") / "inside" / "relay.py").read_text(),
            "AGENT": agent_source(),
            "LOOPBACK": _LOOPBACK,
            "SETTINGS": json.dumps(
                agent_settings(self._limits, RLIMIT_NPROC=self._limits.processes, RLIMIT_CORE=0)
            ),
            "BLANK": " ".join(f"{name}={value}" for name, value in _BLANK.items()),
        }
        stream = CommandStream(self._machine, f"exec /bin/sh -c {shlex.quote(_BOOT)}", envs)
        self._stream = stream
        self._link = link = Link(stream, lambda: stream.words.strip())
        hello = link.greet(START)
        if set(hello["interfaces"]) - {"lo"}:
            self._note = "the machine's own services can be reached"
        upload(link, self._source)
        link.ask(op="reset").result(START)

    def _renew(self) -> None:
        """Keep the machine; one that is gone is told to whoever waits for it."""
        machine, stream = self._machine, self._stream
        while machine is not None and not self._stopped.wait(RENEW):
            try:
                machine.set_timeout(LIFETIME)
            except Exception as error:
                if "NotFound" in type(error).__name__ and stream is not None:
                    stream.lose("the machine is gone")
                    return

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        _alive.discard(self)
        self._stopped.set()
        self._remove()
        reap.remove(self._source)

    def _remove(self) -> None:
        """The machine with all that is in it; one that is gone needs no removing."""
        if self._link is not None:
            self._link.close()
        elif self._stream is not None:
            self._stream.close()
        machine, self._link, self._stream, self._machine = self._machine, None, None, None
        if machine is not None:
            with contextlib.suppress(Exception):
                machine.kill(request_timeout=20)

    def __enter__(self) -> E2BSandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _sdk() -> Any:
    """The SDK. Raises: PrerequisiteError where it is not installed or has no key."""
    try:
        import e2b_code_interpreter
    except ImportError as error:
        raise PrerequisiteError(
            "The E2B sandbox needs the package e2b-code-interpreter.",
            "pip install e2b-code-interpreter, or use --sandbox docker.",
        ) from error
    return e2b_code_interpreter


def _unavailable(error: Exception) -> SandboxUnavailable:
    if isinstance(error, SandboxUnavailable):
        return error
    return SandboxUnavailable(f"E2B gives no sandbox: {_told(error)}")


def _told(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


@functools.cache
def _at_exit() -> Callable[[], None]:
    """Once per process: what is still open is closed when it ends."""

    def close() -> None:
        for sandbox in list(_alive):
            sandbox.close()

    return atexit.register(close)


def refused(error: Exception, template: str | None) -> DiffufixError | None:
    """What E2B will not do however often it is asked; None for trouble that may pass."""
    from e2b import AuthenticationException, InvalidArgumentException, SandboxException

    if isinstance(error, AuthenticationException):
        if "required" in str(error):
            return PrerequisiteError(
                "The E2B sandbox needs a key: E2B_API_KEY is not set.",
                "https://e2b.dev/dashboard?tab=keys has it. Or use --sandbox docker.",
            )
        return PrerequisiteError(
            "E2B refuses the key in E2B_API_KEY.",
            "https://e2b.dev/dashboard?tab=keys has the keys that are valid.",
        )
    status = error.status_code if isinstance(error, SandboxException) else None
    if status in (400, 403, 404) or isinstance(error, InvalidArgumentException):
        return PrerequisiteError(
            f"E2B does not make a sandbox of the template {template or 'base'}: {error}",
            "--image names another; `diffufix env show --e2b` shows how the project's is built.",
        )
    return None
