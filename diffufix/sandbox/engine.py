"""Find the container engine and talk to it; touches its socket only.

In this order: DOCKER_HOST (ssh:// by `tunnel`), the current Docker context, the sockets where
Docker, Docker Desktop, Colima, Rancher, OrbStack and Podman listen. Looking costs milliseconds
where there is none.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from diffufix.errors import PrerequisiteError

if TYPE_CHECKING:
    from docker import DockerClient

SECONDS = 60.0  # for one answer of the engine
_KNOCK = 2.0  # for its first one
_HOME = (
    *(".docker/run/docker.sock", ".docker/desktop/docker.sock", ".colima/default/docker.sock"),
    *(".rd/docker.sock", ".orbstack/run/docker.sock"),
    ".local/share/containers/podman/machine/podman.sock",
)


def find_engine() -> str | None:
    """The address of an engine, None where none answers; "" leaves finding it to docker-py."""
    host = os.environ.get("DOCKER_HOST", "")
    with contextlib.suppress(PrerequisiteError):
        host = _here(host)
    if host.startswith("unix://"):
        return host if _answers(host.removeprefix("unix://")) == "" else None
    if host.startswith("ssh://"):
        return None
    if host or _context() not in ("", "default"):
        return "" if _reachable() else None
    for path in _sockets():
        if _answers(str(path)) == "":
            return f"unix://{path}"
    return None


def _here(host: str) -> str:
    """The address by which this machine gets to an engine. Raises: PrerequisiteError."""
    if not host.startswith("ssh://"):
        return host
    from diffufix.sandbox.tunnel import tunnel

    return f"unix://{tunnel(host)}"


def connect(host: str = "") -> DockerClient:
    """A client of the engine at `host` (ssh://, tcp://, unix://), else of the one that is found.
    Raises: PrerequisiteError where none answers."""
    url = _here(host) or find_engine()
    if url is None or (host and _silent(url)):
        raise PrerequisiteError(f"No container engine answers{host and f' at {host}'}.", _hint())
    import docker
    from docker.errors import DockerException

    try:
        client = docker.DockerClient(base_url=url, timeout=SECONDS) if url else docker.from_env()
        if host:
            client.ping()
        return client
    except DockerException as error:
        raise PrerequisiteError(f"The container engine fails: {error}", _hint()) from error


def _silent(url: str) -> bool:
    return url.startswith("unix://") and _answers(url.removeprefix("unix://")) != ""


def _hint() -> str:
    denied = [path for path in _sockets() if _answers(str(path)) == "denied"]
    if denied and not os.environ.get("DOCKER_HOST"):
        return f"You may not use {denied[0]}: join its group (docker), or use --sandbox local."
    return "Start Docker or Podman, or set DOCKER_HOST; or use --sandbox local."


def _sockets() -> list[Path]:
    found = [Path("/var/run/docker.sock")]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        found += [Path(runtime, "docker.sock"), Path(runtime, "podman/podman.sock")]
    found.append(Path("/run/podman/podman.sock"))
    with contextlib.suppress(RuntimeError):  # no home
        found += [Path.home() / name for name in _HOME]
    return found


def _answers(path: str) -> str:
    """ "" when an engine answers on this socket, else why not: absent, denied, silent."""
    if not os.path.exists(path):
        return "absent"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_KNOCK)
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n")
            return "" if b" 200 " in connection.recv(100) else "silent"
    except PermissionError:
        return "denied"
    except (OSError, AttributeError):  # no such sockets on this system
        return "silent"


def _context() -> str:
    """The name of the current Docker context."""
    named = os.environ.get("DOCKER_CONTEXT")
    if named:
        return named
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        return str(json.loads(Path(folder, "config.json").read_text()).get("currentContext") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def _reachable() -> bool:
    import docker
    from docker.errors import DockerException

    with (
        contextlib.suppress(DockerException, OSError),
        contextlib.closing(docker.from_env(timeout=5)) as client,
    ):
        return bool(client.ping())
    return False
