"""The container sandbox: Docker, or Podman by its Docker interface.

Touches one container of its own (no network, no privileges, a read-only root, memory for files)
and the scratch tree it is given, which it removes once it lies in the container. The container's
first process is `inside/agent.py`; everything goes over one attached stream, and when that ends
or falls silent the container ends and the engine removes it, whatever became of us.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import select
import socket
import ssl
import struct
import tarfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from diffufix.errors import PrerequisiteError, SandboxUnavailable
from diffufix.sandbox import engine, reap
from diffufix.sandbox.link import Channel, Link, LinkedProcess, run_to_end
from diffufix.sandbox.local import FIXED
from diffufix.sandbox.protocol import LARGEST_FILE, TAIL, Capabilities, ExecResult, Limits, User

TREE, PRIVATE, HOME, TEMPORARY, SHARED = (
    *("/work/tree", "/work/private", "/work/home"),
    *("/tmp", "/dev/shm"),
)
CODE = 65534  # nobody, in every distribution: tests that ask who they are find a name
MEMORY = 4 * 2**30  # bytes for a container, less where the machine has little
PROCESSES = 512
CPUS = 2
SILENCE = 45.0  # seconds without a word from us after which a container ends
START = 60.0  # seconds for a container to come up
#: The agent runs on the image's own interpreter, best the system's: less to import.
_BOOT = (
    "for p in /usr/bin/python3 /usr/local/bin/python3 /opt/venv/bin/python python3; do "
    'command -v "$p" >/dev/null && exec "$p" -I -S -c "$0"; done; '
    'echo "the image has no python3" >&2; exit 127'
)
_alive: weakref.WeakSet[DockerSandbox] = weakref.WeakSet()


@functools.cache
def agent_source() -> str:
    return (resources.files("diffufix.sandbox") / "inside" / "agent.py").read_text("utf-8")


class AttachedStream:
    """The engine's connection to a container's stdin, stdout and stderr, told apart."""

    def __init__(self, attached: Any) -> None:
        self._attached = attached
        self._socket = getattr(attached, "_sock", attached)
        with contextlib.suppress(AttributeError):
            self._socket.settimeout(None)
        # OpenSSL's connections are not for two threads at once.
        self._turn = threading.Lock() if isinstance(self._socket, ssl.SSLSocket) else None
        self._received = bytearray()
        self.words = b""  # the tail of stderr

    def send(self, data: bytes) -> None:
        with self._turn or contextlib.nullcontext():
            self._socket.sendall(data)

    def receive(self) -> bytes:
        while True:
            while len(self._received) >= 8:
                kind, size = struct.unpack_from(">BxxxI", self._received)
                if len(self._received) < 8 + size:
                    break
                data = bytes(self._received[8 : 8 + size])
                del self._received[: 8 + size]
                if kind == 1 and data:
                    return data
                self.words = (self.words + data)[-TAIL:]
            more = self._more()
            if not more:
                return b""
            self._received += more

    def _more(self) -> bytes:
        if self._turn is None:
            return bytes(self._socket.recv(1 << 18))
        if not self._socket.pending():
            select.select([self._socket], [], [])
        with self._turn:
            return bytes(self._socket.recv(1 << 18))

    def close(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for end in (self._attached, self._socket):
            with contextlib.suppress(OSError):
                end.close()


class DockerSandbox:
    """Runs commands in a container of `image`; `tree`, a scratch copy, is sent there and removed.

    Users: "server" is the container's root without any right but to become somebody else and to
    send signals, "code" is nobody. The tree's files belong to "server"; its folders are sticky, so
    that tests may make files beside them but not change them. `client` is a docker-py client;
    `runtime` another OCI runtime than the engine's default, such as runsc.
    """

    def __init__(
        self,
        tree: Path,
        *,
        image: str,
        client: Any = None,
        limits: Limits | None = None,
        runtime: str | None = None,
    ) -> None:
        self._source = Path(tree).resolve()
        self._image = image
        self._client, self._own_client = client, client is None
        self._limits = limits or Limits()
        self._runtime = runtime
        self._container = ""
        self._stream: AttachedStream | None = None
        self._link: Link | None = None
        self._closed = False
        self._note = ""

    @property
    def capabilities(self) -> Capabilities:
        name = f"docker+{self._runtime}" if self._runtime else "docker"
        note = self._note or ("" if self._runtime else "shares the kernel with the host")
        return Capabilities(name, True, True, True, True, note, CODE)

    @property
    def tree(self) -> str:
        return TREE

    @property
    def private(self) -> str:
        return PRIVATE

    @property
    def temporary(self) -> str:
        return TEMPORARY

    # -- coming and going ------------------------------------------------------------------

    def start(self) -> None:
        if self._closed:
            raise SandboxUnavailable("the sandbox is closed")
        if self._link is not None:
            return
        if not self._source.is_dir():
            raise SandboxUnavailable(f"the scratch tree {self._source} is not there")
        from docker.errors import DockerException, ImageNotFound
        from requests.exceptions import RequestException

        self._client = self._client or engine.connect()
        _at_exit()
        _alive.add(self)
        try:
            self._launch()
        except ImageNotFound as error:
            self._remove()
            raise PrerequisiteError(
                f"The engine has no image {self._image}.", f"Fetch it: docker pull {self._image}"
            ) from error
        except (DockerException, RequestException, OSError) as error:
            self._remove()
            raise SandboxUnavailable(f"the container does not start: {error}") from error
        except BaseException:
            self._remove()
            raise
        reap.remove(self._source)

    def _launch(self) -> None:
        """Create, attach, start: in this order nothing that is said gets lost."""
        api = self._client.api
        size = _size(self._source)
        self._container = api.create_container(**self._order(size))["Id"]
        attached = api.attach_socket(
            self._container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        )
        self._stream = stream = AttachedStream(attached)
        api.start(self._container)
        self._link = link = Link(stream, lambda: stream.words.decode("utf-8", "replace").strip())
        self._inspect(link.greet(START))
        _upload(link, self._source)
        link.ask(op="reset").result()

    def _order(self, size: int) -> dict[str, Any]:
        """What the engine is asked for; `size` is the tree's, in bytes."""
        api, limits = self._client.api, self._limits
        memory = limits.memory or _memory(self._client)
        share = memory // 4
        folders = {
            TREE: f"mode=1777,size={2 * size + share}",
            PRIVATE: f"mode=711,size={2 * size + (64 << 20)}",
            HOME: f"mode=1777,size={share // 4}",
            TEMPORARY: f"mode=1777,size={share}",
            SHARED: f"mode=1777,size={share // 4}",
        }
        host = api.create_host_config(
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=["SETUID", "SETGID", "KILL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={path: f"rw,exec,nosuid,nodev,{options}" for path, options in folders.items()},
            pids_limit=limits.processes or PROCESSES,
            mem_limit=memory + 3 * size,
            memswap_limit=memory + 3 * size,
            nano_cpus=CPUS * 10**9,
            ipc_mode="none",
            ulimits=[
                {"Name": "nofile", "Soft": 4096, "Hard": 4096},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            log_config={"Type": "none", "Config": {}},
            oom_score_adj=500,
            auto_remove=True,
            runtime=self._runtime,
        )
        host["NanoCpus"] = min(host["NanoCpus"], int(_engine_info(self._client)["NCPU"] * 1e9))
        return {
            "image": self._image,
            "entrypoint": ["/bin/sh", "-c", _BOOT, agent_source()],
            "command": [],
            "user": "0:0",
            "working_dir": "/",
            "stdin_open": True,
            "environment": {"DIFFUFIX_INTERNAL_AGENT": json.dumps(self._settings())},
            "labels": {reap.LABEL: reap.owner(), reap.USER: str(os.getuid())},
            "healthcheck": {"test": ["NONE"]},
            "use_config_proxy": False,
            "host_config": host,
        }

    def _settings(self) -> dict[str, Any]:
        limits = {"RLIMIT_CPU": self._limits.cpu, "RLIMIT_FSIZE": self._limits.file_size}
        return {
            "tree": TREE,
            "private": PRIVATE,
            "open": [TEMPORARY, HOME, SHARED],
            "code": CODE,
            "largest": LARGEST_FILE,
            "silence": SILENCE,
            "limits": {name: value for name, value in limits.items() if value is not None},
            "env": {**FIXED, "HOME": HOME, "TMPDIR": TEMPORARY, "LANG": "C.UTF-8"},
        }

    def _inspect(self, hello: Mapping[str, Any]) -> None:
        """Did the engine do as it was told? Raises: PrerequisiteError where hostile code could
        get out; what it merely does not limit goes into the capabilities' note."""
        broken = [
            what
            for what, wrong in (
                ("has a network", set(hello["interfaces"]) - {"lo"} - _UNUSED),
                ("has a writable root", not hello["read_only"]),
                ("has privileges", hello["capabilities"] & ~(1 << 5 | 1 << 6 | 1 << 7)),
                ("may gain privileges", not hello["no_new_privileges"]),
            )
            if wrong
        ]
        if broken:
            raise PrerequisiteError(
                f"The container engine does not isolate: a container {', '.join(broken)}.",
                "Use another engine, or --sandbox local.",
            )
        missing = [what for what in ("processes", "memory") if hello[what] is None]
        if missing:
            self._note = f"the engine does not limit {' and '.join(missing)}"

    def alive(self) -> bool:
        return self._link is not None and not self._closed and self._link.lost is None

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        _alive.discard(self)
        self._remove()
        reap.remove(self._source)

    def _remove(self) -> None:
        """The container with all that is in it; an engine that is gone has nothing to remove."""
        if self._link is not None:
            self._link.close()
        elif self._stream is not None:
            self._stream.close()
        self._link = self._stream = None
        if self._container:
            with contextlib.suppress(Exception):
                reap.remove_container(self._client, self._container)
        self._container = ""
        if self._own_client and self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> DockerSandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- at work ---------------------------------------------------------------------------

    def _linked(self) -> Link:
        if self._link is None or self._closed:
            raise SandboxUnavailable("the sandbox is not started")
        return self._link

    def _run(
        self,
        op: str,
        argv: Sequence[str],
        cwd: str | None,
        env: Mapping[str, str] | None,
        user: User,
        **more: Any,
    ) -> Channel:
        where = os.path.join(TREE, cwd or "")
        return self._linked().ask(
            op=op, argv=list(argv), cwd=where, env=dict(env or {}), user=user, **more
        )

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
        channel = self._run(
            "exec", argv, cwd, env, user, timeout=timeout, max_output=max_output
        )  # fmt: skip
        reply, stdout, stderr = run_to_end(channel, stdin, timeout)
        return ExecResult(
            reply["returncode"], stdout, stderr, reply["truncated"], reply["timed_out"],
            reply["oom"],
        )  # fmt: skip

    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User = "code",
    ) -> LinkedProcess:
        return LinkedProcess(self._run("spawn", argv, cwd, env, user))

    def write_files(self, files: Mapping[str, bytes]) -> None:
        link = self._linked()
        for path in files:
            _check(path)
        asked = []
        for path, data in files.items():
            channel = link.ask(op="write", path=path)
            channel.send(data)
            channel.end()
            asked.append(channel)
        for channel in asked:
            channel.result()

    def read_file(self, path: str) -> bytes:
        _check(path)
        channel = self._linked().ask(op="read", path=path)
        channel.result()
        return bytes(channel.stdout)

    def reset(self) -> None:
        self._linked().ask(op="reset").result(START)


#: Interfaces that the kernel makes in every namespace and that lead nowhere.
_UNUSED = frozenset(
    ("tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0")
)


@functools.cache
def _at_exit() -> None:
    """Once per process: what is still open is closed when it ends."""

    def close() -> None:
        for sandbox in list(_alive):
            sandbox.close()

    atexit.register(close)


def _engine_info(client: Any) -> dict[str, Any]:
    """What the engine says of its machine; asked once per client."""
    known = getattr(client, "_diffufix_info", None)
    if known is None:
        known = client._diffufix_info = client.api.info()
    return dict(known)


def _memory(client: Any) -> int:
    return min(MEMORY, int(_engine_info(client).get("MemTotal") or 2 * MEMORY) * 3 // 4)


def _check(path: str) -> None:
    """Raises: ValueError for a path that is outside by its letters; the agent sees the links."""
    target = os.path.normpath(os.path.join(TREE, path))
    if not target.startswith(tuple(f"{root}/" for root in (TREE, PRIVATE, HOME, TEMPORARY))):
        raise ValueError(f"{path} is outside the sandbox")


def _size(folder: Path) -> int:
    """Bytes that its files take on a disk of pages."""
    paths = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size + 4096 for path in paths)


class _Sending(io.RawIOBase):
    """A file for `tarfile` whose content goes to a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.channel.send(bytes(data))
        return len(data)


def _upload(link: Link, source: Path) -> None:
    """Send the tree as an archive; links into it lead into the container's tree."""

    def portable(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.ischr() or member.isblk() or member.isfifo():
            return None
        if member.linkname == str(source) or member.linkname.startswith(f"{source}/"):
            member.linkname = TREE + member.linkname[len(str(source)) :]
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    channel = link.ask(op="load")
    with tarfile.open(mode="w|", fileobj=_Sending(channel), format=tarfile.PAX_FORMAT) as archive:
        archive.add(source, arcname=".", filter=portable)
    channel.end()
    channel.result()
