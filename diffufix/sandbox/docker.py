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
import json
import os
import select
import socket
import ssl
import struct
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffufix.errors import PrerequisiteError, SandboxUnavailable
from diffufix.sandbox import engine, reap
from diffufix.sandbox.link import Link
from diffufix.sandbox.linked import (
    CODE,
    HOME,
    PRIVATE,
    SHARED,
    START,
    TEMPORARY,
    TREE,
    LinkedSandbox,
    agent_settings,
    agent_source,
    upload,
)
from diffufix.sandbox.protocol import TAIL, Capabilities, Limits

MEMORY = 4 * 2**30  # bytes for a container, less where the machine has little
PROCESSES = 512
CPUS = 2
#: The agent runs on the image's own interpreter, best the system's: less to import.
_BOOT = (
    "for p in /usr/bin/python3 /usr/local/bin/python3 /opt/venv/bin/python python3; do "
    'command -v "$p" >/dev/null && exec "$p" -I -S -c "$0"; done; '
    'echo "the image has no python3" >&2; exit 127'
)
_alive: weakref.WeakSet[DockerSandbox] = weakref.WeakSet()


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


class DockerSandbox(LinkedSandbox):
    """Runs commands in a container of `image`; `tree`, a scratch copy, is sent there and removed.

    Users: "server" is the container's root without any right but to become somebody else and to
    send signals, "code" is nobody. The tree's files belong to "server"; its folders are sticky, so
    that tests may make files beside them but not change them. `client` is a docker-py client,
    `host` an engine's address (`engine.connect`), `runtime` another OCI runtime than the engine's
    default, such as runsc.
    """

    def __init__(
        self,
        tree: Path,
        *,
        image: str,
        client: Any = None,
        limits: Limits | None = None,
        runtime: str | None = None,
        host: str = "",
    ) -> None:
        super().__init__(tree)
        self._image = image
        self._client, self._own_client = client, client is None
        self._limits = limits or Limits()
        self._runtime, self._host = runtime, host
        self._container = ""
        self._stream: AttachedStream | None = None
        self._note = ""

    @property
    def capabilities(self) -> Capabilities:
        name = f"docker+{self._runtime}" if self._runtime else "docker"
        note = self._note or ("" if self._runtime else "shares the kernel with the host")
        return Capabilities(name, True, True, True, True, note, CODE)

    def start(self) -> None:
        if self._closed:
            raise SandboxUnavailable("the sandbox is closed")
        if self._link is not None:
            return
        if not self._source.is_dir():
            raise SandboxUnavailable(f"the scratch tree {self._source} is not there")
        from docker.errors import DockerException, ImageNotFound
        from requests.exceptions import RequestException

        self._client = self._client or engine.connect(self._host)
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
        upload(link, self._source)
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
            "environment": {"DIFFUFIX_INTERNAL_AGENT": json.dumps(agent_settings(self._limits))},
            "labels": {reap.LABEL: reap.owner(), reap.USER: str(os.getuid())},
            "healthcheck": {"test": ["NONE"]},
            "use_config_proxy": False,
            "host_config": host,
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


def _size(folder: Path) -> int:
    """Bytes that its files take on a disk of pages."""
    paths = (os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size + 4096 for path in paths)
