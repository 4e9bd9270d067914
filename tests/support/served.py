"""A small project to judge, and `diffufix serve` in a process of its own, on a real socket."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from diffufix.sandbox.bubblewrap import bubblewrap_works
from diffufix.serve.client import VerifyClient
from tests.attacks.arena import PROJECT, WRONG

TOKEN = "a secret"
_NEEDED = ("fastapi", "prometheus_client", "uvicorn")


def why_not() -> str:
    """Why no server can be had here; empty where one can."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        return f"{missing[0]} is not installed: pip install 'diffufix[serve]'"
    return "" if bubblewrap_works() else "bubblewrap does not work here"


@dataclass
class Shop:
    """The project of tests/attacks: `total` is wrong, and three of four tests say so."""

    root: Path
    path: str = "shop/price.py"

    def with_body(self, body: str) -> dict[str, str]:
        return {self.path: (self.root / self.path).read_text().replace(WRONG, body)}

    @property
    def right(self) -> dict[str, str]:
        return self.with_body("return sum(prices) * count")

    @property
    def wrong(self) -> dict[str, str]:
        return self.with_body("return sum(prices) * count + 1")


class Served:
    """`diffufix serve` on a port of its own."""

    def __init__(self, folder: Path, *options: str, token: str = TOKEN, port: int = 0) -> None:
        command = [sys.executable, "-m", "diffufix", "serve", "--port", str(port)]
        command += ["--folder", str(folder), "--sandbox", "local", "--workers", "1", *options]
        env = {**os.environ, "DIFFUFIX_SERVE_TOKEN": token}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rpartition(":")[2])
        self.token = token

    def client(self, **options: float) -> VerifyClient:
        return VerifyClient(self.url, self.token, **options)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


def make_shop(folder: Path) -> Shop:
    for path, text in PROJECT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(textwrap.dedent(text).lstrip("\n"))
    return Shop(folder)
