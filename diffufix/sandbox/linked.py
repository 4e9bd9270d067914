"""The working half of a sandbox whose first process is `inside/agent.py`, however it is reached.

Touches only its link to the agent.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox.archive import package_name, write_archive
from diffufix.sandbox.link import Channel, Link, LinkedProcess, run_to_end
from diffufix.sandbox.protocol import FIXED, LARGEST_FILE, ExecResult, Limits, User

TREE, PRIVATE, HOME, TEMPORARY, SHARED = (
    *("/work/tree", "/work/private", "/work/home"),
    *("/tmp", "/dev/shm"),
)
#: git answers in a tree that belongs to another user, which it else takes for an attack.
_GIT = {
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "GIT_CONFIG_VALUE_0": "*",
}
CODE = 65534  # nobody, in every distribution: tests that ask who they are find a name
START = 60.0  # seconds for the agent to answer, or to put everything back
SILENCE = 45.0  # seconds without a word from us after which the agent ends


@functools.cache
def agent_source() -> str:
    """The agent with the modules it is made of, as one text for `python -c`."""
    folder = resources.files("diffufix.sandbox") / "inside"
    lines = ["import sys, types"]
    for name in ("removal", "files", "container", "commands"):
        text = (folder / f"{name}.py").read_text("utf-8")
        lines += [
            f"m = sys.modules[{name!r}] = types.ModuleType({name!r})",
            f"exec(compile({text!r}, {name!r}, 'exec'), m.__dict__)",
        ]
    text = (folder / "agent.py").read_text("utf-8")
    return "\n".join([*lines, f"exec(compile({text!r}, 'agent', 'exec'))", ""])


def agent_settings(limits: Limits, **more: int | None) -> dict[str, Any]:
    """What the agent is told; `more` are further limits of every command."""
    bounds = {"RLIMIT_CPU": limits.cpu, "RLIMIT_FSIZE": limits.file_size, **more}
    return {
        "tree": TREE,
        "private": PRIVATE,
        "open": [TEMPORARY, HOME, SHARED],
        "code": CODE,
        "largest": LARGEST_FILE,
        "silence": SILENCE,
        "limits": {name: value for name, value in bounds.items() if value is not None},
        "env": {**FIXED, **_GIT, "HOME": HOME, "TMPDIR": TEMPORARY, "LANG": "C.UTF-8"},
    }


class LinkedSandbox:
    """Commands and files over `_link`; who starts it and what it isolates is the backend's.

    Users: "server" is the agent's root, without any right but to become somebody else and to send
    signals, "code" is nobody.
    """

    def __init__(self, source: Path) -> None:
        self._source = Path(source).resolve()
        self._link: Link | None = None
        self._closed = False
        self._name = package_name(self._source)

    @property
    def tree(self) -> str:
        return f"{TREE}/{self._name}" if self._name else TREE

    @property
    def private(self) -> str:
        return PRIVATE

    @property
    def temporary(self) -> str:
        return TEMPORARY

    def alive(self) -> bool:
        return self._link is not None and not self._closed and self._link.lost is None

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
        **more: object,
    ) -> Channel:
        where = os.path.join(self.tree, cwd or "")
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
        channel = self._run("exec", argv, cwd, env, user, timeout=timeout, max_output=max_output)
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
        inside = {self._inside(path): data for path, data in files.items()}
        asked = []
        for path, data in inside.items():
            channel = link.ask(op="write", path=path)
            channel.send(data)
            channel.end()
            asked.append(channel)
        for channel in asked:
            channel.result()

    def read_file(self, path: str) -> bytes:
        channel = self._linked().ask(op="read", path=self._inside(path))
        channel.result()
        return bytes(channel.stdout)

    def reset(self) -> None:
        self._linked().ask(op="reset").result(START)

    def _inside(self, path: str) -> str:
        """The absolute path. Raises: ValueError where it is outside by its letters; the agent
        sees the links."""
        target = os.path.normpath(os.path.join(self.tree, path))
        if not target.startswith(tuple(f"{root}/" for root in (TREE, PRIVATE, HOME, TEMPORARY))):
            raise ValueError(f"{path} is outside the sandbox")
        return target


class _Sending(io.RawIOBase):
    """A file for `tarfile` whose content goes to a channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.channel.send(bytes(data))
        return len(data)


def upload(link: Link, source: Path) -> None:
    """Send the tree as an archive."""
    channel = link.ask(op="load")
    write_archive(source, _Sending(channel), package_name(source) or ".")
    channel.end()
    channel.result()
