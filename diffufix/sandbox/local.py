"""The local sandbox: bubblewrap where it works, else a process group with limits.

Touches: the scratch tree it is given (and removes at the end), one directory of its own under the
system's temporary directory, and processes it started. With bubblewrap a command sees the whole
file system read-only, a private /tmp and /run, no network and only its own processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox import mounts, reap, seccomp
from diffufix.sandbox.bubblewrap import bubblewrap, bubblewrap_works, interpreter_paths, user_base
from diffufix.sandbox.inside import removal
from diffufix.sandbox.processes import LocalProcess, ancestry, collect, kill_group, marked
from diffufix.sandbox.protocol import (
    FIXED,
    LARGEST_FILE,
    Capabilities,
    ExecResult,
    Limits,
    User,
)
from diffufix.sandbox.repository import borrowed_objects

#: The only variables of ours that a command may see; everything else could be a secret.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "SYSTEMROOT", "LD_LIBRARY_PATH")
MARKER = "DIFFUFIX_INTERNAL_SANDBOX"

# sh is everywhere and sets limits without a second interpreter start.
_LIMITER = (
    'ulimit -c 0; [ "$1" = - ] || ulimit -t "$1"; [ "$2" = - ] || ulimit -v "$2"; '
    '[ "$3" = - ] || ulimit -f "$3"; '
    '[ "$4" = - ] || ulimit -u "$4" 2>/dev/null || ulimit -p "$4" 2>/dev/null; '
    'shift 4; exec "$@"'
)


class LocalSandbox:
    """Runs commands on this machine in `tree`, a scratch copy which it owns and removes.

    `python` is the interpreter that must stay visible, `readable` further paths; `bubblewrap`
    None means: where it works; `home` are files for its home (relative path -> file); `before` is
    what the interpreter is asked behind where its paths lie. The caller's thread must outlive what
    it starts, because the kernel's parent-death signal goes by thread.
    """

    def __init__(
        self,
        tree: Path,
        *,
        python: str | Path | None = None,
        readable: Sequence[Path] = (),
        limits: Limits | None = None,
        bubblewrap: bool | None = None,
        home: Mapping[str, Path] | None = None,
        before: Sequence[str] = (),
    ) -> None:
        self._tree = Path(tree).resolve()
        self._python = None if python is None else str(python)
        self._before = tuple(before)
        self._readable = tuple(str(Path(path).absolute()) for path in readable)
        self._limits = limits or Limits()
        self._home = dict(home or {})
        self._wrapped = bubblewrap_works() if bubblewrap is None else bubblewrap
        self._base: Path | None = None
        self._closed = False
        self._running: set[LocalProcess] = set()
        self._executing: set[int] = set()
        self._lock = threading.RLock()

    @property
    def capabilities(self) -> Capabilities:
        if self._wrapped:
            return Capabilities(
                "local+bubblewrap", True, True, True, True,
                "shares the kernel and the user with the host",
            )  # fmt: skip
        return Capabilities(
            "local", False, False, False, True,
            "no security boundary: code under test runs with your rights; install bubblewrap",
        )  # fmt: skip

    @property
    def tree(self) -> str:
        return str(self._tree)

    @property
    def private(self) -> str:
        return str(self._home_base() / "private")

    @property
    def temporary(self) -> str:
        return str(self._home_base() / "tmp")

    def _home_base(self) -> Path:
        if self._base is None or self._closed:
            raise SandboxUnavailable("the sandbox is not started")
        return self._base

    def start(self) -> None:
        if self._closed:
            raise SandboxUnavailable("the sandbox is closed")
        if self._base is not None:
            return
        if not self._tree.is_dir():
            raise SandboxUnavailable(f"the scratch tree {self._tree} is not there")
        try:
            base = Path(tempfile.mkdtemp(prefix=reap.scratch_prefix())).resolve()
            for name in ("private", "tmp", "home"):
                (base / name).mkdir()
            shutil.copytree(self._tree, base / "pristine", symlinks=True)
            self._furnish(base / "home")
        except OSError as error:
            raise SandboxUnavailable(f"cannot prepare a sandbox: {error}") from error
        self._base = base

    def _furnish(self, home: Path) -> None:
        for relative, source in self._home.items():
            target = home / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        base = self._home_base()
        env = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        env.update(FIXED, HOME=str(base / "home"), TMPDIR=str(base / "tmp"))
        env[MARKER] = base.name
        env.setdefault("LANG", "C.UTF-8")
        if self._python is not None and (user := user_base(self._python, self._before)):
            env["PYTHONUSERBASE"] = user
            del env["PYTHONNOUSERSITE"]
        env.update(extra or {})
        return env

    def _command(self, argv: Sequence[str], cwd: str, first: bool = False) -> list[str]:
        limits = self._limits
        in_kib = None if limits.memory is None else limits.memory // 1024
        in_blocks = None if limits.file_size is None else limits.file_size // 512
        # Outside a namespace the kernel would count all of the user's processes.
        processes = limits.processes if self._wrapped else None
        values = (limits.cpu, in_kib, in_blocks, processes)
        limited = ["/bin/sh", "-c", _LIMITER, "limits"]
        limited += ["-" if value is None else str(value) for value in values]
        limited += argv
        return [*self._prefix(cwd, first), *limited] if self._wrapped else limited

    def _prefix(self, cwd: str, first: bool) -> list[str]:
        """bubblewrap's arguments; `first`: the command is the namespace's first process, so that
        no other holds its pipes."""
        base = self._home_base()
        writable = [str(self._tree), *(str(base / name) for name in ("private", "tmp", "home"))]
        shown = [
            *(interpreter_paths(self._python, self._before) if self._python else ()),
            *self._readable,
        ]
        if (objects := borrowed_objects(self._tree)) is not None:
            shown.append(str(objects))
        shown += os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
        tools = os.environ.get("PATH", os.defpath).split(os.pathsep)
        shown += [path for path in tools if not Path(path).is_relative_to(Path.home())]
        words = [bubblewrap(), *mounts.arguments(writable, filter(os.path.isabs, shown))]
        words += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
        words += ["--unshare-user-try", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        words += ["--as-pid-1"] if first else []
        return [*words, "--chdir", cwd, "--"]

    def spawn(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User = "code",
    ) -> LocalProcess:
        where = cwd or self.tree  # there is one user only: the server is first among processes
        with self._lock, self._filter() as passed:
            command = self._filtered(self._command(argv, where, user == "server"), passed)
            process = LocalProcess(command, where, self._environment(env), passed)
            self._running.add(process)
        return process

    @contextlib.contextmanager
    def _filter(self) -> Iterator[tuple[int, ...]]:
        """The descriptor from which bubblewrap reads its filter of system calls, if it is to."""
        program = seccomp.program() if self._wrapped else b""
        if not program:
            yield ()
            return
        with tempfile.TemporaryFile() as file:
            file.write(program)
            file.seek(0)
            yield (file.fileno(),)

    @staticmethod
    def _filtered(command: list[str], passed: tuple[int, ...]) -> list[str]:
        return [command[0], "--seccomp", str(passed[0]), *command[1:]] if passed else command

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
        del user
        where = cwd or self.tree
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            with self._lock:
                popen = self._popen(argv, where, env, source)
                self._executing.add(popen.pid)
        try:
            stdout, stderr, truncated, timed_out = collect(popen, timeout, max_output)
        finally:
            kill_group(popen)
            with self._lock:
                self._executing.discard(popen.pid)
                if not self._executing:
                    self._sweep()
        if self._closed:
            raise SandboxUnavailable("the sandbox was closed while a command ran")
        return ExecResult(popen.returncode, stdout, stderr, truncated, timed_out)

    def _popen(
        self, argv: Sequence[str], where: str, env: Mapping[str, str] | None, source: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        try:
            with self._filter() as passed:
                return subprocess.Popen(
                    self._filtered(self._command(argv, where), passed), cwd=where,
                    env=self._environment(env), stdin=source, stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE, start_new_session=True, pass_fds=passed,
                )  # fmt: skip
        except OSError as error:
            raise SandboxUnavailable(f"cannot start {argv[0]}: {error}") from error

    def _sweep(self) -> None:
        """Kill what outlived its group. Inside bubblewrap the kernel has done so already."""
        if self._wrapped or self._base is None:
            return
        needle = f"{MARKER}={self._base.name}".encode()
        with self._lock:
            kept = {process.pid for process in self._running}
        for _ in range(20):
            strays = [pid for pid in marked(needle) if not kept & ancestry(pid)]
            if not strays:
                return
            for pid in strays:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    def _inside(self, path: str) -> Path:
        base = self._home_base()
        target = Path(os.path.normpath(self._tree / path))
        real = Path(os.path.realpath(target))
        roots = (self._tree, base / "private", base / "tmp", base / "home")
        if not any(real.is_relative_to(root) for root in roots):
            raise ValueError(f"{path} is outside the sandbox")
        return target

    def write_files(self, files: Mapping[str, bytes]) -> None:
        targets = {self._inside(path): data for path, data in files.items()}
        try:
            for target, data in targets.items():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
        except OSError as error:
            raise SandboxUnavailable(f"cannot write into the sandbox: {error}") from error

    def read_file(self, path: str) -> bytes:
        target = self._inside(path)
        if not target.is_file():
            raise FileNotFoundError(path)
        if target.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{path} is too large to be read")
        return target.read_bytes()

    def _end_processes(self) -> None:
        with self._lock:
            running, self._running = self._running, set()
        for process in running:
            process.dispose()
        self._sweep()

    def reset(self) -> None:
        base = self._home_base()
        self._end_processes()
        try:
            for folder in (base / "tmp", base / "home", self._tree):
                _empty(folder)
            shutil.copytree(base / "pristine", self._tree, symlinks=True, dirs_exist_ok=True)
            self._furnish(base / "home")
        except OSError as error:
            raise SandboxUnavailable(f"cannot reset the sandbox: {error}") from error

    def alive(self) -> bool:
        return self._base is not None and not self._closed and self._base.is_dir()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._lock:
            executing = set(self._executing)
        for pid in executing:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        self._end_processes()
        for folder in (self._tree, self._base):
            if folder is not None:
                reap.remove(folder)

    def __enter__(self) -> LocalSandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _empty(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        removal.remove(entry)
