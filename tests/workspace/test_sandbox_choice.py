"""Which sandbox is taken, and what is said where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.errors import PrerequisiteError
from diffufix.sandbox import LocalSandbox, engine
from diffufix.sandbox.bubblewrap import bubblewrap_works
from diffufix.sandbox.docker import DockerSandbox
from diffufix.workspace.choice import choose

NOWHERE = "unix:///nowhere/engine.sock"
needs_bubblewrap = pytest.mark.skipif(
    not bubblewrap_works(), reason="bubblewrap does not work here"
)
CHOOSE = """
import sys
from pathlib import Path
from diffufix.config import Settings
from diffufix.errors import DiffufixError
from diffufix.workspace.choice import choose
try:
    place = choose(Settings(root=Path(sys.argv[1]), sandbox=sys.argv[2], python=sys.executable))
    print(place.kind, place.enclosed, place.note)
except DiffufixError as error:
    print(error.message, error.hint)
"""


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    return tree


@pytest.mark.usefixtures("no_engine")
def test_looking_for_an_engine_costs_nothing() -> None:
    began = time.process_time()
    assert engine.find_engine() is None
    assert time.process_time() - began < 0.3
    with pytest.raises(PrerequisiteError, match="No container engine") as caught:
        engine.connect()
    assert "--sandbox local" in caught.value.hint


@pytest.mark.usefixtures("no_engine")
@needs_bubblewrap
def test_without_an_engine_bubblewrap_is_taken(tree: Path) -> None:
    place = choose(Settings(root=tree, sandbox="auto", python=sys.executable))
    assert (place.kind, place.enclosed, place.note) == ("local", True, "")
    with place.make(tree) as sandbox:  # type: ignore[attr-defined]
        assert isinstance(sandbox, LocalSandbox)
        assert sandbox.capabilities.boundary


@pytest.mark.usefixtures("no_engine")
def test_docker_by_name_wants_an_engine(tree: Path) -> None:
    with pytest.raises(PrerequisiteError, match="engine"):
        choose(Settings(root=tree, sandbox="docker", image="x:1"))


@pytest.mark.parametrize(
    ("sandbox", "said"),
    [
        ("auto", ("There is no sandbox here", "install bubblewrap", "--sandbox local")),
        ("local", ("local False no security boundary",)),
    ],
)
def test_no_boundary_only_when_asked_for(tree: Path, sandbox: str, said: tuple[str, ...]) -> None:
    env = {**os.environ, "DOCKER_HOST": NOWHERE, "PATH": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", CHOOSE, str(tree), sandbox], env=env, capture_output=True, text=True
    )
    for text in said:
        assert text in done.stdout, done.stderr


@pytest.mark.docker
def test_an_engine_with_an_image_is_taken(tree: Path, test_image: str) -> None:
    place = choose(Settings(root=tree, sandbox="auto", image=test_image))
    assert (place.kind, place.enclosed, place.note) == ("docker", True, "")
    with place.make(tree) as sandbox:  # type: ignore[attr-defined]
        assert isinstance(sandbox, DockerSandbox)
        assert sandbox.exec([place.python, "-c", "print(1)"]).stdout == b"1\n"


@pytest.mark.docker
@needs_bubblewrap
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_without_the_image_is_passed_over(tree: Path) -> None:
    place = choose(Settings(root=tree, sandbox="auto", image="diffufix-no-such-image:1"))
    assert place.kind == "local"
    assert "diffufix-no-such-image:1" in place.note
