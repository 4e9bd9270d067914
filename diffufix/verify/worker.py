"""The host's end of one fork server: start it in a sandbox, ask it, start it again.

Touches one sandbox. Talks in the frames of `verify/inside/frames.py`.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from diffufix.errors import ProjectError, SandboxUnavailable, TooLate
from diffufix.sandbox import Process, Sandbox
from diffufix.testing.environment import (
    import_names,
    inherited_environment,
    moved,
    moved_args,
)
from diffufix.verify.deadlines import Deadlines
from diffufix.verify.inside.launch import LAUNCH
from diffufix.verify.route import Place

#: Per child; memory is on top of what the server has mapped.
LIMITS = {"memory": 2 * 2**30, "file_size": 64 * 2**20, "cpu": 300}
START_TIMEOUT = 600.0  # seconds for a suite to be imported and collected
SILENCE = 30.0  # seconds without a sign of life from a server that works on a candidate
#: Directories that belong to the sandbox alone wherever it is a boundary.
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run/lock")
_PACKAGE = "_diffufix_inside"


@dataclass(frozen=True)
class Setup:
    """What every worker of a screen is started with; `root` is where the tree was copied from,
    `ids` are the names of all tests in the baseline (see `_diffufix_ids`), `folder` is where in
    the tree pytest is started, `imports` are what of the tree is on PYTHONPATH."""

    python: str
    args: Sequence[str]
    root: Path
    env: Mapping[str, str]
    limits: Mapping[str, int]
    ids: Sequence[str] = ()
    folder: str = ""
    imports: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        python: str | Path,
        args: Sequence[str],
        root: Path,
        env: Mapping[str, str] | None,
        limits: Mapping[str, int] | None,
        ids: Sequence[str] = (),
        folder: str = "",
        source: Path | None = None,
    ) -> Setup:
        """With the defaults: our own pytest and path variables, `LIMITS`. `source` is a copy that
        can be read, where `root` is on another machine."""
        env = inherited_environment() if env is None else env
        limits = {**LIMITS, **(limits or {})}
        imports = import_names(source or Path(root), folder)
        return cls(str(python), tuple(args), Path(root), env, limits, tuple(ids), folder, imports)


def inside_files() -> dict[str, bytes]:
    """The fork server's own sources and what it shares with others inside, by file name."""
    folder = resources.files("diffufix.verify.inside")
    testing = resources.files("diffufix.testing") / "inside"
    shared = [testing / f"_diffufix_{name}.py" for name in ("ids", "calm", "pipe")]
    shared.append(resources.files("diffufix.sandbox.inside") / "removal.py")
    own = [entry for entry in folder.iterdir() if entry.name.endswith(".py")]
    return {entry.name: entry.read_bytes() for entry in (*own, *shared)}


def make_request(
    tests: Sequence[str],
    required: Sequence[str],
    deadlines: Deadlines,
    *,
    files: Mapping[str, str],
    swaps: Mapping[str, Sequence[tuple[str, int, int]]] | None,
    way: str | None = None,
    stop: bool = True,
    start: float = 1.0,
    exact: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    places: Sequence[Place] = (),
    words: Sequence[str] = (),
    patience: tuple[float, float] = (0.0, 0.0),
    hasty: bool = False,
    least: int = 1,
) -> dict[str, Any]:
    """One question to a fork server: do `tests`, run in order, end as `required`?

    `files` are bytes as latin-1 text. `stop` ends the run at the first unwanted outcome, once the
    first `least` tests were run; `start` is the seconds to put the code in place. `exact` are the
    ids that must be collected, no more and no fewer; `env` is added in a cold run. `places` are to
    be executed, `words` are what the original texts name of `route.WORDS`. `patience` is what
    failing tests may use beyond their deadlines, as `Patience` offers it. `hasty`: functions that
    were called before the tests may get their new code all the same (the report says so), and
    nobody looks whether the edit is executed.
    """
    place = secrets.choice((1, len(tests)))  # after the test that most candidates fail, or last
    return {
        "files": dict(files),
        "edited": list(files),
        "swaps": swaps,
        "way": way,
        "narrow": exact is None,
        "exact": exact and list(exact),
        "env": dict(env or {}),
        "tests": list(tests),
        "required": list(required),
        "stop": stop,
        "least": least,
        "start": start,
        "setup": deadlines.setup(tests),
        "call": [deadlines.call(test) for test in tests],
        "patient": [at for at, test in enumerate(tests) if test in deadlines.failing],
        "patience": list(patience),
        "hasty": hasty,
        "nonce": secrets.token_hex(16),
        "sentinel": place,
        "places": [list(place) for place in places],
        "words": list(words),
    }


class Worker:
    """One sandbox with its fork server. Used by one thread at a time.

    A `cold` one collects nothing by itself and takes requests for cold runs only. `stale`: it has
    to be restarted before it is asked again.
    """

    def __init__(self, factory: Callable[[], Sandbox], setup: Setup, cold: bool = False) -> None:
        self._factory = factory
        self._setup = setup
        self._cold = cold
        self.stale = False
        self._sandbox: Sandbox | None = None
        self._process: Process | None = None
        self.ready: dict[str, Any] = {}

    @property
    def collected(self) -> frozenset[str]:
        """The ids that pytest collected there."""
        return frozenset(self.ready["ids"])

    @property
    def root(self) -> Path:
        """Where the tree was copied from."""
        return self._setup.root

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            raise SandboxUnavailable("the worker is not started")
        return self._sandbox

    @property
    def sandbox_alive(self) -> bool:
        """Whether there is a sandbox that still works, with or without a server in it."""
        return self._sandbox is not None and self._sandbox.alive()

    def start(self) -> None:
        """Make the sandbox and the server ready.

        Raises: SandboxUnavailable; ProjectError when pytest gets nowhere with these arguments.
        """
        sandbox = self._sandbox = self._sandbox or self._factory()
        sandbox.start()
        # A folder that no earlier candidate knew of.
        base = f"{sandbox.private}/{secrets.token_hex(8)}"
        files = {f"{base}/{_PACKAGE}/{name}": data for name, data in inside_files().items()}
        sandbox.write_files(files)
        self._spawn(base)

    def _spawn(self, base: str) -> None:
        sandbox, setup = self.sandbox, self._setup
        able = sandbox.capabilities
        command = [setup.python, "-c", LAUNCH, base]
        where = f"{sandbox.tree}/{setup.folder}".rstrip("/")
        self._process = sandbox.spawn(command, cwd=where, env=self._environment(), user="server")
        self._send(
            {
                "tree": sandbox.tree,
                "root": str(setup.root),
                "cold": self._cold,
                "ids": list(setup.ids),
                "temporary": sandbox.temporary,
                "scratch": SCRATCH if able.boundary else (),
                "code": able.child_uid,
                "args": moved_args(setup.args, setup.root, Path(sandbox.tree)),
                "limits": dict(setup.limits),
            }
        )
        try:
            self.ready = self._receive(START_TIMEOUT)
        except TimeoutError as error:
            self._process.kill()
            raise SandboxUnavailable("the test suite was not collected in time") from error
        if "failed" in self.ready or self.ready.get("ids") is None:
            reason = self.ready.get("failed") or "collecting the tests ended the process"
            tail = self._process.diagnosis
            raise ProjectError(f"pytest cannot start in the sandbox: {reason}", tail[-2000:])

    def _environment(self) -> dict[str, str]:
        setup, tree = self._setup, self.sandbox.tree
        given = setup.env.get("PYTHONPATH", "").split(os.pathsep)
        paths = [f"{tree}/{name}".rstrip("/") for name in setup.imports]
        paths += [moved(path, setup.root, Path(tree)) for path in given if path]
        env = {**setup.env, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
        home = Path(setup.python).parent
        here = home.is_absolute()  # not a name on some image's PATH
        if here and (home.parent / "pyvenv.cfg").is_file():  # as if it were activated
            env["PATH"] = str(home) + os.pathsep + os.environ.get("PATH", os.defpath)
            env["VIRTUAL_ENV"] = str(home.parent)
        return env

    def ask(self, request: Mapping[str, Any], until: float | None = None) -> dict[str, Any]:
        """The server's report. Raises: SandboxUnavailable when it is gone, silent, or answers
        something else than was asked; TooLate where there is none at the moment `until`
        (monotonic seconds): then it is to be started again."""
        number = secrets.token_hex(16)
        self._send({**request, "number": number})
        report: dict[str, Any] = {"beat": 0}
        while "beat" in report:
            left = SILENCE if until is None else min(SILENCE, until - time.monotonic())
            try:
                report = self._receive(max(0.0, left))
            except TimeoutError as error:
                if left < SILENCE:
                    raise TooLate from None
                raise SandboxUnavailable("the fork server does not answer") from error
        if report.pop("number", None) != number:
            raise SandboxUnavailable("the fork server answers another question")
        return report

    def freshen(self) -> None:
        """Start it, or start it again where that is due. Raises what `start` raises."""
        if self._process is None and not self.stale:
            self.start()
        elif self.stale:
            self.restart()
        self.stale = False

    def restart(self) -> None:
        """A new server on the tree as it was at first; a new sandbox where the old one is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._sandbox is not None and self._sandbox.alive():
            try:
                self._sandbox.reset()
            except (SandboxUnavailable, OSError):
                self._discard()
        else:
            self._discard()
        self.start()

    def _discard(self) -> None:
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            sandbox.close()

    def interrupt(self) -> None:
        """From another thread: end the server, so that a pending `ask` fails at once."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None
        self._discard()

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._process is None:
            raise SandboxUnavailable("the fork server is not running")
        data = json.dumps(message).encode()
        self._process.send(struct.pack(">I", len(data)) + data)

    def _receive(self, timeout: float) -> dict[str, Any]:
        assert self._process is not None
        (size,) = struct.unpack(">I", self._process.receive(4, timeout))
        answer = json.loads(self._process.receive(size, timeout))
        if not isinstance(answer, dict):
            raise SandboxUnavailable("the fork server answers nonsense")
        return answer
