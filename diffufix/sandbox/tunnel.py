"""A container engine behind ssh as a socket on this machine: OpenSSH forwards the engine's own.

Touches one scratch folder and one `ssh` process for each host, which end with this process. Keys
and hosts are those of the user's ssh; it is never asked for a password.
"""

from __future__ import annotations

import atexit
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from diffufix.errors import PrerequisiteError
from diffufix.sandbox import reap

SECONDS = 30.0  # for ssh to connect
SOCKET = "/var/run/docker.sock"
_OPTIONS = ("BatchMode=yes", "ExitOnForwardFailure=yes", "ServerAliveInterval=15")
_open: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
_turn = threading.Lock()


def tunnel(address: str) -> Path:
    """The socket that leads to the engine at ssh://[USER@]HOST[:PORT][/SOCKET]; opened once.

    Raises: PrerequisiteError where ssh does not get there.
    """
    with _turn:
        process, path = _open.get(address, (None, Path()))
        if process is None or process.poll() is not None:
            process, path = _open[address] = _opened(address)
        return path


def _opened(address: str) -> tuple[subprocess.Popen[bytes], Path]:
    url = urlsplit(address)
    path = Path(tempfile.mkdtemp(prefix=reap.scratch_prefix())) / "engine.sock"
    command = ["ssh", "-nNT", "-L", f"{path}:{url.path.rstrip('/') or SOCKET}"]
    command += [word for option in _OPTIONS for word in ("-o", option)]
    command += ["-p", str(url.port)] if url.port else []
    command += ["--", f"{url.username}@{url.hostname}" if url.username else url.hostname or ""]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except OSError as error:
        raise PrerequisiteError(f"{address} needs ssh, which is not here.") from error
    atexit.register(_close, process, path)
    deadline = time.monotonic() + SECONDS
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if not path.exists():
        said = _close(process, path).strip().splitlines()
        raise PrerequisiteError(
            f"{address} is not reached: {said[-1] if said else 'ssh does not get there'}",
            "`ssh HOST docker version` must work without a password.",
        )
    return process, path


def _close(process: subprocess.Popen[bytes], path: Path) -> str:
    """What ssh has said of itself."""
    process.terminate()
    try:
        _, said = process.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        _, said = process.communicate()
    except ValueError:  # it was closed already
        said = b""
    reap.remove(path.parent)
    return said.decode("utf-8", "replace")
