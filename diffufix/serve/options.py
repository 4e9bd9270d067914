"""How a server is run: where it listens, who may ask, how much is taken on."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffufix.errors import UsageError
from diffufix.sandbox.bubblewrap import bubblewrap_works

TOKEN_VARIABLE = "DIFFUFIX_SERVE_TOKEN"
MIB = 1 << 20


def default_folder() -> Path:
    """Where projects are kept between two starts."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "diffufix" / "serve"


def read_token(path: Path) -> str:
    """The secret in a file. Raises UsageError."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "Put the token into it.") from error
    if not token:
        raise UsageError(f"{path} is empty.", "Put the token into it.")
    return token


@dataclass(frozen=True)
class ServeOptions:
    """`settings` are the `Settings` of every project; sizes in MiB, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8730
    token: str = field(default="", repr=False)
    folder: Path = field(default_factory=default_folder)
    settings: Mapping[str, Any] = field(default_factory=dict)
    running: int = 0  # requests at once; 0: two for each worker
    waiting: int = 256  # requests in the queue
    warm: int = 4  # projects that are kept ready
    stored: int = 64  # projects on disk
    body: int = 64  # of a request
    memory: int = 2048  # of a candidate, and of a run
    seconds: float = 600.0  # of a request
    grace: float = 20.0  # for what is open when the server is told to end

    @property
    def slots(self) -> int:
        return self.running or 2 * (self.settings.get("workers") or os.cpu_count() or 1)

    def check(self) -> None:
        """Raises UsageError where everybody could ask, or others could run code in no sandbox."""
        bare = self.settings.get("sandbox") == "local" and not bubblewrap_works()
        if bare and not _loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached by others, and there is no sandbox around their code.",
                "Install bubblewrap, use --sandbox docker, or listen on 127.0.0.1.",
            )
        if not self.token and not _loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached by others, and there is no token.",
                f"Put a secret into {TOKEN_VARIABLE} or --token-file, or listen on 127.0.0.1.",
            )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
