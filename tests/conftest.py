"""Markers that need something of the machine, and what several rooms' tests share."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Children of the tests find this checkout, installed or not; nothing of the user's leaks in.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]
)
#: The container image that the tests' projects run in: Python and pytest, nothing else.
TEST_IMAGE = os.environ.get("DIFFUFIX_TEST_IMAGE") or "diffufix-test-base:bookworm"
for _variable in [name for name in os.environ if name.startswith("DIFFUFIX_")]:
    if not _variable.startswith("DIFFUFIX_UPDATE_"):
        del os.environ[_variable]
os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # which `import diffufix` sets outside of tests
os.environ["DIFFUFIX_THRESHOLD"] = "0"  # how much speaks for a patch is a matter of tests/trust
os.environ["DIFFUFIX_SANDBOX"] = "local"  # no test builds an image unasked
# What the tests trust, the user need not.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="diffufix-tests-config-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)


def _no_gpu() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


def _no_docker() -> str:
    from diffufix.sandbox.engine import connect, find_engine

    if find_engine() is None:
        return "no container engine answers"
    with contextlib.closing(connect()) as client:
        there = client.images.list(TEST_IMAGE)
    return "" if there else f"the engine has no image {TEST_IMAGE}; .ci/run makes it"


def _no_e2b() -> str:
    return "" if os.environ.get("E2B_API_KEY") else "E2B_API_KEY is not set"


_NEEDS = {"gpu": _no_gpu, "docker": _no_docker, "e2b": _no_e2b}
_reasons: dict[str, str] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, missing in _NEEDS.items():
        if item.get_closest_marker(marker) is None:
            continue
        if marker not in _reasons:
            _reasons[marker] = missing()
        if _reasons[marker]:
            pytest.skip(f"{marker}: {_reasons[marker]}")


@pytest.fixture(scope="session", autouse=True)
def _few_plugins() -> Iterator[None]:
    """What the tests start loads no plugin that happens to be installed: it starts in half the
    time. Not said where xdist's own workers are started, which need theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


@pytest.fixture
def with_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this test starts loads all plugins that are installed, as a user's pytest does."""
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def test_image() -> str:
    """The image for tests marked `docker`."""
    return TEST_IMAGE


@pytest.fixture
def diffufix_cli(tmp_path: Path):
    """Run `diffufix ARGS` in a folder (default: an empty one) as a process of its own."""

    def run(*args: str, cwd: Path = tmp_path, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "diffufix", *args],
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run
