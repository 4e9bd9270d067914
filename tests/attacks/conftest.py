"""The backends on which every hostile candidate is tried."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from diffufix.sandbox import Sandbox
from diffufix.sandbox.bubblewrap import bubblewrap_works
from tests.attacks import arena as arenas

# Not below /tmp, which bubblewrap replaces; nothing else looks into it.
ROOT = Path(__file__).resolve().parents[2]
BACKENDS = [
    pytest.param(
        "local+bubblewrap",
        marks=pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here"),
    ),
    pytest.param("docker", marks=pytest.mark.docker),
]


@pytest.fixture(scope="module", params=BACKENDS)
def arena(request: pytest.FixtureRequest) -> Iterator[arenas.Arena]:
    make: Callable[[Path], Sandbox]
    if request.param == "docker":
        from diffufix.sandbox.docker import DockerSandbox

        image = request.getfixturevalue("test_image")
        make, python = partial(DockerSandbox, image=image), "python3"
    else:
        make, python = arenas.local, sys.executable
    with (
        arenas.arena(request.param, make, python, ROOT / "build") as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("HOME", str(made.folder / "home"))
        patch.setenv(arenas.SECRET_VARIABLE, "token")
        yield made


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before + 4, "descriptors leak"
