"""The local sandbox, with and without bubblewrap: one set of promises for both."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.sandbox.local import bubblewrap_works

WAYS = [
    pytest.param(False, id="plain"),
    pytest.param(
        True,
        id="bubblewrap",
        marks=pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here"),
    ),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "a.py").write_text("print('a')\n")
    return tree


@pytest.fixture(params=WAYS)
def sandbox(request: pytest.FixtureRequest, tree: Path) -> Iterator[LocalSandbox]:
    sandbox = LocalSandbox(tree, python=sys.executable, bubblewrap=request.param)
    with sandbox:
        yield sandbox
    sandbox.close()
    assert not tree.exists()


def python(sandbox: Sandbox, code: str, **options: object):  # type: ignore[no-untyped-def]
    return sandbox.exec([sys.executable, "-c", code], **options)  # type: ignore[arg-type]


def marked(sandbox: LocalSandbox) -> list[str]:
    needle = f"DIFFUFIX_INTERNAL_SANDBOX={Path(sandbox.private).parent.name}".encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if needle in Path(f"/proc/{name}/environ").read_bytes():
                found.append(name)
        except OSError:
            continue
    return found


def test_it_is_a_sandbox(sandbox: LocalSandbox) -> None:
    assert isinstance(sandbox, Sandbox)
    assert sandbox.alive()
    sandbox.start()  # again: nothing happens
    assert "note" in sandbox.capabilities.__dataclass_fields__
    assert sandbox.capabilities.boundary == sandbox.capabilities.no_network


def test_exec(sandbox: LocalSandbox) -> None:
    result = sandbox.exec(["sh", "-c", "cat; pwd; echo err >&2; exit 3"], stdin=b"in\n")
    assert result.returncode == 3
    assert result.stdout == f"in\n{sandbox.tree}\n".encode()
    assert result.stderr == b"err\n"
    assert not result.timed_out
    assert sandbox.exec(["sh", "-c", "kill -9 $$"]).returncode != 0
    assert sandbox.exec(["no-such-command-at-all"]).returncode != 0


def test_no_secret_is_handed_on(sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hunter2")
    result = python(sandbox, "import os; print(sorted(os.environ))", env={"EXTRA": "1"})
    assert b"API_TOKEN" not in result.stdout
    assert b"EXTRA" in result.stdout
    result = python(sandbox, "import os, tempfile; print(os.path.expanduser('~'))")
    assert Path(result.stdout.decode().strip()).parent == Path(sandbox.private).parent


def test_a_time_out_ends_everything(sandbox: LocalSandbox) -> None:
    began = time.monotonic()
    result = sandbox.exec(["sh", "-c", "(setsid sleep 987 &); echo on; sleep 987"], timeout=0.5)
    assert result.timed_out
    assert result.stdout == b"on\n"
    assert time.monotonic() - began < 20
    time.sleep(0.1)
    assert not marked(sandbox)


def test_a_daemon_does_not_outlive_its_command(sandbox: LocalSandbox) -> None:
    result = sandbox.exec(["sh", "-c", "setsid sleep 987 & echo done"], timeout=30)
    assert not result.timed_out
    time.sleep(0.1)
    assert not marked(sandbox)


def test_output_is_bounded(sandbox: LocalSandbox) -> None:
    result = python(sandbox, "print('x' * 10**6)", max_output=1000)
    assert result.truncated
    assert len(result.stdout) == 1000


def test_files(sandbox: LocalSandbox) -> None:
    sandbox.write_files({"pkg/b.py": b"1", f"{sandbox.private}/deep/x": b"2"})
    assert sandbox.read_file("pkg/b.py") == b"1"
    assert sandbox.exec(["cat", f"{sandbox.private}/deep/x"]).stdout == b"2"
    with pytest.raises(FileNotFoundError):
        sandbox.read_file("nothing")
    for path in ("../x", "/etc/passwd"):
        with pytest.raises(ValueError, match="outside"):
            sandbox.write_files({path: b""})
    os.symlink("/etc", Path(sandbox.tree) / "link")
    with pytest.raises(ValueError, match="outside"):
        sandbox.read_file("link/passwd")


def test_reset_puts_everything_back(sandbox: LocalSandbox) -> None:
    process = sandbox.spawn(["sleep", "987"])
    sandbox.exec(["sh", "-c", "rm -r pkg; echo 1 > new; echo 2 > $TMPDIR/t; echo 3 > $HOME/h"])
    sandbox.reset()
    assert sandbox.read_file("pkg/a.py") == b"print('a')\n"
    assert sorted(os.listdir(sandbox.tree)) == ["pkg"]
    assert not os.listdir(sandbox.temporary)
    assert process.wait(10) != 0
    assert sandbox.alive()


def test_spawn_is_a_conversation(sandbox: LocalSandbox) -> None:
    process = sandbox.spawn(["sh", "-c", "echo trouble >&2; exec cat"])
    process.send(b"hello" * 1000)
    assert process.receive(5000, 30) == b"hello" * 1000
    with pytest.raises(TimeoutError):
        process.receive(1, 0.05)
    process.kill()
    process.kill()
    with pytest.raises(SandboxUnavailable):
        process.receive(1, 30)
    with pytest.raises(SandboxUnavailable):
        process.send(b"x" * 10**6)
    assert process.diagnosis == "trouble"


def test_limits(sandbox: LocalSandbox) -> None:
    code = (
        "import resource as r; print(r.getrlimit(r.RLIMIT_CORE)[0], r.getrlimit(r.RLIMIT_CPU)[0])"
    )
    assert python(sandbox, code).stdout.split() == [b"0", b"600"]
    result = python(sandbox, "open('big', 'wb').truncate(10**12)")
    assert result.returncode != 0


def test_bubblewrap_isolates(sandbox: LocalSandbox, tmp_path: Path) -> None:
    if not sandbox.capabilities.boundary:
        pytest.skip("plain processes isolate nothing, and say so")
    outside = tmp_path / "outside"
    outside.write_text("secret")
    code = f"""
import os, socket
print(os.path.exists({str(outside)!r}))
open({str(outside)!r}, "w").write("changed")  # a private /tmp takes it
try:
    open("/etc/diffufix-was-here", "w"); print("wrote")
except OSError: pass
try:
    socket.create_connection(("127.0.0.1", {listening_port()}), 2); print("connected")
except OSError: pass
print(len([n for n in os.listdir("/proc") if n.isdigit()]) < 10)
"""
    assert python(sandbox, code).stdout == b"False\nTrue\n"
    assert outside.read_text() == "secret"


def listening_port() -> int:
    import socket

    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    KEPT.append(server)
    return int(port)


KEPT: list[object] = []


@pytest.fixture(autouse=True)
def close_kept() -> Iterator[None]:
    yield
    while KEPT:
        KEPT.pop().close()  # type: ignore[attr-defined]


def test_close_is_final(tree: Path) -> None:
    sandbox = LocalSandbox(tree)
    assert not sandbox.alive()
    with pytest.raises(SandboxUnavailable):
        sandbox.exec(["true"])
    sandbox.start()
    process = sandbox.spawn(["sleep", "987"])
    (tree / "pkg").chmod(0o500)
    base = Path(sandbox.private).parent
    sandbox.close()
    sandbox.close()
    assert process.wait(5) != 0
    assert not base.exists()
    assert not tree.exists()
    assert not sandbox.alive()
    with pytest.raises(SandboxUnavailable):
        sandbox.start()


@pytest.mark.parametrize("wrapped", WAYS)
def test_what_runs_dies_with_its_host(tmp_path: Path, tree: Path, wrapped: bool) -> None:
    """A fork server reads its stdin: the end of the stream is the end of it."""
    code = f"""
import sys, os
from pathlib import Path
from diffufix.sandbox import LocalSandbox
sandbox = LocalSandbox(Path({str(tree)!r}), bubblewrap={wrapped})
sandbox.start()
sandbox.spawn(["cat"])
print(Path(sandbox.private).parent, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    base = Path(done.stdout.strip())
    assert base.name.startswith("diffufix-"), done.stderr
    needle = f"DIFFUFIX_INTERNAL_SANDBOX={base.name}".encode()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        alive = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if needle in Path(f"/proc/{name}/environ").read_bytes():
                    alive.append(name)
            except OSError:
                continue
        if not alive:
            break
        time.sleep(0.05)
    subprocess.run(["rm", "-r", str(base)], check=True)
    assert not alive
