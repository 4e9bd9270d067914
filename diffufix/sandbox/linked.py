"""The working half of a sandbox whose first process is `inside/agent.py`, however it is reached.

Touches only its link to the agent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox.docker import PRIVATE, START, TEMPORARY, TREE, _check
from diffufix.sandbox.link import Channel, Link, LinkedProcess, run_to_end
from diffufix.sandbox.protocol import ExecResult, User


class LinkedSandbox:
    """Commands and files over `_link`; who starts it and what it isolates is the backend's."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._closed = False

    @property
    def tree(self) -> str:
        return TREE

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
