"""Several backends as one, and engines behind ssh, with a stand-in for ssh."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from diffufix.config import load_settings
from diffufix.errors import PrerequisiteError, SandboxUnavailable, UsageError
from diffufix.sandbox import LocalSandbox, Sandbox, engine, tunnel
from diffufix.sandbox.several import Backend, Several
from diffufix.workspace.choice import choose

SSH = """\
#!{python}
import os, socket, sys
words = sys.argv[1:]
with open(os.environ["SAID"], "a") as file:
    print(*words, file=file)
if "nowhere" in words[-1]:
    sys.exit("ssh: Could not resolve hostname nowhere")
server = socket.socket(socket.AF_UNIX)
server.bind(words[words.index("-L") + 1].partition(":")[0])
server.listen()
while True:
    connection, _ = server.accept()
    connection.recv(1000)
    connection.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nOK")
    connection.close()
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "scratch" / "tree"
    tree.mkdir(parents=True)
    (tree / "a.py").write_text("print('a')\n")
    return tree


def working(tree: Path) -> Sandbox:
    return LocalSandbox(tree, python=sys.executable, bubblewrap=False)


class Broken(LocalSandbox):
    def start(self) -> None:
        raise SandboxUnavailable("the machine is gone")


def test_one_that_fails_is_passed_over(tree: Path) -> None:
    several = Several([Backend("bad", partial(Broken, bubblewrap=False)), Backend("ok", working)])
    sandbox = several(tree)
    assert Path(sandbox.tree).name == "tree"
    done = sandbox.exec([sys.executable, "a.py"])
    assert done.stdout == b"a\n"
    assert [backend.rank[0] for backend in several.backends] == [True, False]
    sandbox.close()
    assert not list(tree.parent.rglob("a.py"))  # neither the tree nor a copy is left behind


def test_where_all_fail_it_says_why(tree: Path) -> None:
    several = Several([Backend(name, partial(Broken, bubblewrap=False)) for name in "ab"])
    with pytest.raises(SandboxUnavailable, match="the machine is gone"):
        several(tree)
    assert not list(tree.parent.rglob("a.py"))


def test_they_get_equally_many(tmp_path: Path) -> None:
    several = Several([Backend(name, working) for name in "abc"])
    made = []
    for number in range(6):
        tree = tmp_path / str(number) / "tree"
        tree.mkdir(parents=True)
        made.append(several(tree))
    assert [backend.rank for backend in several.backends] == [(False, 2)] * 3
    for sandbox in made:
        sandbox.close()


# -- addresses -------------------------------------------------------------------------------------


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the stand-in was called with."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "ssh").write_text(SSH.format(python=sys.executable))
    (tools / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SAID", str(tmp_path / "said"))
    yield tmp_path / "said"
    for address in list(tunnel._open):
        tunnel._close(*tunnel._open.pop(address))


def test_an_engine_behind_ssh_is_found(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://me@build:2222/run/engine.sock")
    found = engine.find_engine()
    assert found is not None
    assert found.startswith("unix:///")
    assert engine.find_engine() == found  # by the same connection
    (said,) = ssh.read_text().splitlines()
    assert ":/run/engine.sock" in said
    assert said.endswith("-p 2222 -- me@build")


def test_one_that_ended_is_opened_again(ssh: Path) -> None:
    tunnel.tunnel("ssh://build")
    process, _ = tunnel._open["ssh://build"]
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()
    assert tunnel.tunnel("ssh://build").exists()
    assert len(ssh.read_text().splitlines()) == 2


@pytest.mark.usefixtures("ssh")
def test_a_host_that_is_not_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrerequisiteError, match="Could not resolve hostname nowhere"):
        engine.connect("ssh://nowhere")
    monkeypatch.setenv("DOCKER_HOST", "ssh://nowhere")
    assert engine.find_engine() is None


@pytest.mark.usefixtures("ssh")
def test_where_no_place_is_to_be_had_the_first_is_named(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path, (), {"sandbox": "ssh://nowhere,unix:///nowhere.sock", "image": "x:1"}, {}
    )
    with pytest.raises(PrerequisiteError, match="ssh://nowhere is not reached"):
        choose(settings)


@pytest.mark.parametrize("sandbox", ["ssh://", "docker,local", "http://x", "docker,,e2b"])
def test_what_is_no_place_is_told(tmp_path: Path, sandbox: str) -> None:
    with pytest.raises(UsageError, match="`sandbox` cannot be"):
        load_settings(tmp_path, (), {"sandbox": sandbox}, {})


def test_a_project_cannot_choose_the_machines(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.diffufix]\nsandbox = "tcp://192.0.2.1"\n')
    with pytest.raises(UsageError, match="machines that code would be sent to"):
        load_settings(tmp_path, (), {}, {})
