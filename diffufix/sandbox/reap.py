"""Who owns what: names that tell it, and the removal of what dead processes left behind.

Touches `diffufix-*` folders of this user in the system's temporary directory and containers with
our label, both only if the process that made them is gone. An owner is a host (with its namespace
of processes), a process id and the moment that process started, so that a reused id is no alibi.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from diffufix.sandbox.inside import removal

LABEL = "diffufix.owner"
USER = "diffufix.user"
_NAME = re.compile(r"diffufix-([0-9a-f]{8}-\d+-\d+)-")


def owner(pid: int | None = None) -> str:
    """`HOST-PID-STARTED` of a process, by default of this one."""
    pid = os.getpid() if pid is None else pid
    return f"{_host()}-{pid}-{_started(pid) or 0}"


def scratch_prefix() -> str:
    """For `tempfile`: the beginning of a folder's name that says whose it is."""
    return f"diffufix-{owner()}-"


def is_gone(name: str) -> bool:
    """Whether that owner was a process of this host and runs no more."""
    host, pid, started = name.split("-")
    if host != _host():
        return False
    now = _started(int(pid))
    return now is None or (now != int(started) and 0 not in (now, int(started)))


def reap_folders() -> list[Path]:
    """Remove the scratch folders of dead processes; what was removed."""
    removed = []
    place = Path(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        for entry in os.scandir(place):
            match = _NAME.match(entry.name)
            if match is None or not entry.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == os.getuid() and is_gone(match[1]):
                    removal.remove(entry.path)
                    removed.append(Path(entry.path))
    return removed


def reap_containers(client: Any) -> int:
    """Remove the containers of dead processes of this user and host; how many.

    Raises: docker.errors.DockerException.
    """
    count = 0
    for found in client.api.containers(all=True, filters={"label": LABEL}):
        labels = found.get("Labels") or {}
        if labels.get(USER) != str(os.getuid()) or not re.fullmatch(
            r"[0-9a-f]{8}-\d+-\d+", labels[LABEL]
        ):
            continue
        if is_gone(labels[LABEL]):
            remove_container(client, found["Id"])
            count += 1
    return count


def remove_container(client: Any, name: str) -> None:
    """Kill and remove it; that it is gone already is no error."""
    from docker.errors import APIError

    try:
        client.api.remove_container(name, force=True, v=True)
    except APIError as error:
        if error.response is not None:
            error.response.close()  # docker-py leaves that to the garbage collector
        if error.status_code not in (404, 409):  # 409: it is being removed
            raise


def remove(path: Path) -> None:
    """Remove a file or a tree; what cannot be removed stays, and is no error."""
    with contextlib.suppress(OSError):
        removal.remove(path)


@functools.cache
def _host() -> str:
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.blake2b(f"{socket.gethostname()} {space}".encode(), digest_size=4).hexdigest()


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot; 0 where that is not told; None: no such one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        fields = stat.rpartition(b")")[2].split()
        return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except FileNotFoundError:
        if os.path.exists("/proc/self/stat"):
            return None
    except (OSError, ValueError, IndexError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return 0
