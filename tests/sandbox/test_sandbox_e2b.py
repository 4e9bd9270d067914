"""The E2B sandbox with the real SDK: what goes wrong in a cloud, against the stand-in; and live.

What every sandbox promises is in test_conformance.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.errors import PrerequisiteError, SandboxUnavailable
from diffufix.sandbox import Sandbox, e2b
from diffufix.sandbox.e2b import E2BSandbox
from diffufix.workspace.choice import choose
from diffufix.workspace.images import plan
from diffufix.workspace.images.template import template_for, template_name, write_context
from tests.support.e2b_standin import Factory, missing, standin

here = pytest.mark.skipif(bool(missing()), reason=f"no stand-in for E2B: {missing()}")


@pytest.fixture
def make() -> Iterator[Factory]:
    with standin() as factory:
        yield factory


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "a.py").write_text("print('a')\n")
    return tree


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("E2B_")]:
        monkeypatch.delenv(name)


@here
def test_what_the_service_is_asked_for(make: Factory, tree: Path) -> None:
    sandbox = make(tree, template="shop-1")
    assert isinstance(sandbox, Sandbox)
    sandbox.start()
    (asked,) = make.server.created
    assert asked["templateID"] == "shop-1"
    assert asked["allow_internet_access"] is False
    assert asked["timeout"] == e2b.LIFETIME
    assert asked["metadata"].keys() == {"diffufix.owner"}
    assert not asked["envVars"]
    assert sandbox.capabilities.no_network
    assert sandbox.exec(["python3", "-c", "print(open('pkg/a.py').read())"]).returncode == 0
    sandbox.close()
    assert not make.server.machines


@here
def test_a_machine_lives_as_long_as_it_is_renewed(
    make: Factory, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(e2b, "LIFETIME", 4)
    monkeypatch.setattr(e2b, "RENEW", 0.5)
    sandbox = make(tree)
    sandbox.start()
    time.sleep(5)
    assert sandbox.alive()
    assert sandbox.exec(["true"]).returncode == 0
    sandbox._stopped.set()  # as if we were gone
    deadline = time.monotonic() + 60
    while make.server.machines and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not make.server.machines


@here
@pytest.mark.parametrize("statuses", [[429], [502, 503], [500, 500]])
def test_a_busy_service_is_asked_again(make: Factory, tree: Path, statuses: list[int]) -> None:
    make.server.faults.create = list(statuses)
    sandbox = make(tree)
    sandbox.start()
    assert sandbox.exec(["echo", "here"]).stdout == b"here\n"


@here
def test_a_service_that_stays_away_is_infrastructure(make: Factory, tree: Path) -> None:
    make.server.faults.create = [502] * 50
    sandbox = make(tree, retries=0)
    with pytest.raises(SandboxUnavailable, match="502"):
        sandbox.start()
    assert len(make.server.faults.create) == 50 - e2b.ATTEMPTS
    assert tree.exists()  # another sandbox may take it
    make.server.faults.create = []
    sandbox.start()  # and this one may try again
    assert sandbox.alive()


@here
def test_machines_that_vanish_early_are_replaced(make: Factory, tree: Path) -> None:
    make.server.faults.vanish = e2b.ATTEMPTS - 1
    sandbox = make(tree)
    sandbox.start()
    assert len(make.server.created) == e2b.ATTEMPTS
    assert sandbox.exec(["cat", "pkg/a.py"]).stdout == b"print('a')\n"
    assert len(make.server.machines) == 1


@here
def test_a_machine_that_vanishes_at_work_is_infrastructure(make: Factory, tree: Path) -> None:
    sandbox = make(tree)
    sandbox.start()
    process = sandbox.spawn(["sleep", "98765"])
    make.server.kill(next(iter(make.server.machines)))
    with pytest.raises(SandboxUnavailable, match="gone"):
        process.receive(1, 60)
    assert not sandbox.alive()
    for attempt in (
        lambda: sandbox.exec(["true"]),
        lambda: sandbox.write_files({"x": b""}),
        lambda: sandbox.read_file("pkg/a.py"),
        sandbox.reset,
    ):
        with pytest.raises(SandboxUnavailable):
            attempt()
    sandbox.close()


@here
def test_an_input_that_does_not_arrive_is_infrastructure(make: Factory, tree: Path) -> None:
    sandbox = make(tree)
    sandbox.start()
    make.server.faults.input = [429]
    with pytest.raises(SandboxUnavailable, match="RateLimit"):
        sandbox.exec(["true"], timeout=20)
    assert not sandbox.alive()


@here
def test_a_slow_stream_loses_nothing(make: Factory, tree: Path) -> None:
    sandbox = make(tree)
    sandbox.start()
    make.server.faults.slow = 0.02
    process = sandbox.spawn(["cat"])
    message = bytes(range(256)) * 2000
    process.send(message)
    assert process.receive(len(message), 120) == message
    with pytest.raises(TimeoutError):
        process.receive(1, 0.05)


@here
def test_without_a_key(tree: Path) -> None:
    with pytest.raises(PrerequisiteError, match="E2B_API_KEY is not set") as error:
        E2BSandbox(tree).start()
    assert "--sandbox docker" in error.value.hint


@here
def test_with_a_key_that_is_refused(make: Factory, tree: Path) -> None:
    with pytest.raises(PrerequisiteError, match="refuses the key"):
        make(tree, api_key="e2b_ffff").start()


@here
def test_without_the_template(make: Factory, tree: Path) -> None:
    with pytest.raises(PrerequisiteError, match="no-such-template") as error:
        make(tree, template="no-such-template").start()
    assert "--image" in error.value.hint


@here
def test_a_service_that_does_not_answer(tree: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(SandboxUnavailable):
        E2BSandbox(tree, api_key="e2b_0", api_url=nowhere, sandbox_url=nowhere, retries=0).start()


@here
def test_it_is_what_the_settings_choose(
    make: Factory, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = make.server.options
    monkeypatch.setenv("E2B_API_KEY", options["api_key"])
    monkeypatch.setenv("E2B_API_URL", options["api_url"])
    monkeypatch.setenv("E2B_SANDBOX_URL", options["sandbox_url"])
    place = choose(Settings(root=tree, sandbox="e2b", image="named-template"))
    assert place.enclosed
    with place.make(tree) as sandbox:  # type: ignore[attr-defined]
        assert sandbox.exec(["pwd"]).stdout == b"/work/tree\n"
    assert make.server.created[0]["templateID"] == "named-template"


@here
def test_what_a_killed_process_leaves_ends_by_itself(make: Factory, tree: Path) -> None:
    options = make.server.options
    code = f"""
import os
from pathlib import Path
from diffufix.sandbox import e2b
e2b.LIFETIME = 5
sandbox = e2b.E2BSandbox(Path({str(tree)!r}), **{options!r})
sandbox.start()
sandbox.spawn(["sleep", "98765"])
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=300)
    assert len(make.server.created) == 1
    deadline = time.monotonic() + 60
    while make.server.machines and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not make.server.machines


def test_a_template_has_the_name_of_what_decides(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("attrs\n")
    wanted = plan(tmp_path, Settings(root=tmp_path))
    name = template_name(wanted)
    assert name.startswith("diffufix-env-")
    write_context(wanted, tmp_path / "context")
    assert (tmp_path / "context" / "requirements.txt").read_text() == "attrs\n"
    assert "pip install -r" in (tmp_path / "context" / "e2b.Dockerfile").read_text()
    (tmp_path / "requirements.txt").write_text("attrs>=25\n")
    assert template_name(plan(tmp_path, Settings(root=tmp_path))) != name


def test_a_template_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="E2B_API_KEY is not set"):
        template_for(tmp_path, settings=Settings(root=tmp_path))


def test_a_projects_own_dockerfile_is_no_template(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(PrerequisiteError, match="no E2B template"):
        template_for(tmp_path, settings=Settings(root=tmp_path, dockerfile="Dockerfile"))


LIVE_KEY = os.environ.get("E2B_API_KEY", "")


@pytest.mark.e2b
def test_live(tree: Path) -> None:
    """A real machine of E2B's, from its base template."""
    with E2BSandbox(tree, api_key=LIVE_KEY) as sandbox:
        assert sandbox.exec(["cat", "pkg/a.py"]).stdout == b"print('a')\n"
        assert sandbox.exec(["sh", "-c", "echo err >&2; exit 3"]).returncode == 3
        process = sandbox.spawn(["cat"])
        process.send(bytes(range(256)))
        assert process.receive(256, 60) == bytes(range(256))
        code = "import socket; socket.create_connection(('1.1.1.1', 53), 3)"
        assert sandbox.exec(["python3", "-c", code]).returncode != 0
        assert sandbox.exec(["sleep", "98765"], timeout=1).timed_out
        sandbox.reset()
    assert not sandbox.alive()
