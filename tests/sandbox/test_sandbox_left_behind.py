"""Nothing is left behind: not by close, not by a killed diffufix, not in the temporary folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from diffufix.sandbox import link, linked, reap
from diffufix.sandbox.docker import DockerSandbox

STARTED = """
import os, sys, time
from pathlib import Path
from diffufix.sandbox import linked
from diffufix.sandbox.docker import DockerSandbox
SETUP
sandbox = DockerSandbox(Path(sys.argv[1]), image=sys.argv[2])
sandbox.start()
sandbox.spawn(["sh", "-c", "setsid sleep 98765 & sleep 98765"])
print(sandbox._container, flush=True)
END
"""


@pytest.fixture
def engine() -> Iterator[Any]:
    from diffufix.sandbox.engine import connect

    with contextlib.closing(connect()) as client:
        yield client


def start(tree: Path, image: str, end: str, setup: str = "") -> tuple[subprocess.Popen[str], str]:
    """A process with a sandbox, and its container."""
    script = STARTED.replace("END", end).replace("SETUP", setup)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tree), image],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert name
    return process, name


def exists(engine: Any, name: str) -> bool:
    return bool(engine.api.containers(all=True, filters={"id": name}))


def waits(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.docker
def test_a_killed_process_leaves_no_container(tree: Path, test_image: str, engine: Any) -> None:
    process, name = start(tree, test_image, "time.sleep(1000)")
    assert exists(engine, name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()  # type: ignore[union-attr]
    assert waits(lambda: not exists(engine, name), 60)


@pytest.mark.docker
def test_a_process_that_stands_still_loses_its_container(
    tree: Path, test_image: str, engine: Any
) -> None:
    """Its connection stays open, as over a network that is cut: only the silence tells."""
    assert link.PULSE * 3 <= linked.SILENCE <= 50
    process, name = start(tree, test_image, "time.sleep(1000)", "linked.SILENCE = 12.0")
    process.send_signal(signal.SIGSTOP)
    try:
        assert waits(lambda: not exists(engine, name), 60)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.docker
def test_a_process_that_ends_takes_its_container_along(
    tree: Path, test_image: str, engine: Any
) -> None:
    process, name = start(tree, test_image, "raise SystemExit(3)")
    process.communicate(timeout=60)
    assert process.returncode == 3
    assert not exists(engine, name)


@pytest.mark.docker
def test_containers_of_the_dead_are_reaped(
    tree: Path, test_image: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(owner: str) -> str:
        labels = {reap.LABEL: owner, reap.USER: str(os.getuid())}
        return str(engine.api.create_container(test_image, "true", labels=labels)["Id"])

    gone = subprocess.Popen(["true"])
    owner = reap.owner(gone.pid)
    gone.wait()
    dead, alive, foreign = create(owner), create(reap.owner()), create("00000000-1-1")
    try:
        assert reap.reap_containers(engine) >= 1
        assert not exists(engine, dead)
        assert exists(engine, alive)
        assert exists(engine, foreign)
    finally:
        for name in (alive, foreign):
            engine.api.remove_container(name)


@pytest.mark.docker
def test_a_lost_container_is_infrastructure(tree: Path, test_image: str, engine: Any) -> None:
    from diffufix.errors import SandboxUnavailable

    with DockerSandbox(tree, image=test_image) as sandbox:
        process = sandbox.spawn(["sleep", "98765"])
        engine.api.kill(sandbox._container)
        with pytest.raises(SandboxUnavailable):
            process.receive(1, 60)
        assert not sandbox.alive()
        with pytest.raises(SandboxUnavailable):
            sandbox.exec(["true"])


@pytest.mark.docker
def test_a_missing_image_is_told(tree: Path) -> None:
    from diffufix.errors import PrerequisiteError

    with pytest.raises(PrerequisiteError, match="no image"):
        DockerSandbox(tree, image="diffufix-no-such-image:1").start()
    assert tree.exists()


@pytest.mark.docker
def test_memory_and_processes_have_a_limit(tree: Path, test_image: str) -> None:
    from diffufix.sandbox.protocol import Limits

    limits = Limits(memory=128 << 20, processes=64)
    with DockerSandbox(tree, image=test_image, limits=limits) as sandbox:
        server = sandbox.spawn(["cat"], user="server")
        eaten = sandbox.exec(["python3", "-c", "x = b'x' * 10**9"], timeout=120)
        assert eaten.returncode != 0
        assert eaten.oom
        bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
        result = sandbox.exec(["python3", "-c", bomb], timeout=2)
        assert result.timed_out
        assert sandbox.exec(["sh", "-c", "ls /proc | grep -c '^[0-9]'"]).stdout in (b"5\n", b"6\n")
        server.send(b"still here")
        assert server.receive(10, 60) == b"still here"
        flood = sandbox.exec(["sh", "-c", "cat /dev/zero > $TMPDIR/x"], timeout=120)
        assert flood.returncode != 0
        sandbox.reset()
        assert sandbox.exec(["sh", "-c", "ls $TMPDIR"]).stdout == b""


def test_folders_of_the_dead_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen(["true"])
    prefix = f"diffufix-{reap.owner(gone.pid)}-"
    gone.wait()
    dead, alive = tmp_path / f"{prefix}x", Path(tempfile.mkdtemp(prefix=reap.scratch_prefix()))
    foreign = tmp_path / "diffufix-00000000-1-1-x"
    (dead / "locked").mkdir(parents=True)
    (dead / "locked" / "file").touch()
    (dead / "locked").chmod(0)
    foreign.mkdir()
    (tmp_path / "diffufix-other").mkdir()
    (tmp_path / "link").symlink_to(alive)
    assert reap.reap_folders() == [dead]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {alive.name, foreign.name, "diffufix-other", "link"}


def test_owners_are_told_apart() -> None:
    host, pid, started = reap.owner().split("-")
    assert pid == str(os.getpid())
    assert not reap.is_gone(reap.owner())
    assert not reap.is_gone(f"00000000-{pid}-1")  # another host's
    if started != "0":
        assert reap.is_gone(f"{host}-{pid}-1")  # the same number, another process
