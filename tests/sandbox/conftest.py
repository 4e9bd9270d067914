"""The backends that the conformance suite is run on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.sandbox.bubblewrap import bubblewrap_works
from diffufix.sandbox.docker import DockerSandbox
from diffufix.sandbox.protocol import Limits
from tests.support.e2b_standin import missing, standin

Make = Callable[[Path, Limits | None], Sandbox]


@dataclass
class Backend:
    """How to make a sandbox of one kind, and what its interpreter is called."""

    name: str
    make: Make
    python: str
    made: list[Sandbox] = field(default_factory=list)

    def sandbox(self, tree: Path, limits: Limits | None = None) -> Sandbox:
        self.made.append(self.make(tree, limits))
        return self.made[-1]


NAMES = [
    pytest.param("plain"),
    pytest.param(
        "bubblewrap",
        marks=pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here"),
    ),
    pytest.param("docker", marks=pytest.mark.docker),
    pytest.param(
        "e2b",  # the real SDK against a stand-in for the service
        marks=pytest.mark.skipif(bool(missing()), reason=f"no stand-in for E2B: {missing()}"),
    ),
]


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest, test_image: str) -> Iterator[Backend]:
    if request.param == "e2b":
        with standin() as make:
            yield Backend("e2b", lambda tree, limits: make(tree, limits=limits), "python3")
        return
    if request.param == "docker":
        made = Backend(
            "docker",
            lambda tree, limits: DockerSandbox(tree, image=test_image, limits=limits),
            "python3",
        )
    else:
        wrapped = request.param == "bubblewrap"
        made = Backend(
            request.param,
            lambda tree, limits: LocalSandbox(
                tree, python=sys.executable, limits=limits, bubblewrap=wrapped
            ),
            sys.executable,
        )
    yield made
    for sandbox in made.made:
        sandbox.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "pkg").mkdir(parents=True)
    (tree / "pkg" / "a.py").write_text("print('a')\n")
    return tree


@pytest.fixture
def sandbox(backend: Backend, tree: Path) -> Sandbox:
    sandbox = backend.sandbox(tree)
    sandbox.start()
    return sandbox
