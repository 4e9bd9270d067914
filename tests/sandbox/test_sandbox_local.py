"""The local sandbox beyond what every backend promises (test_conformance.py)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from diffufix.errors import SandboxUnavailable
from diffufix.sandbox import LocalSandbox, mounts
from diffufix.sandbox.bubblewrap import bubblewrap_works

WAYS = [
    pytest.param(False, id="plain"),
    pytest.param(
        True,
        id="bubblewrap",
        marks=pytest.mark.skipif(not bubblewrap_works(), reason="bubblewrap does not work here"),
    ),
]


@pytest.mark.parametrize("wrapped", WAYS)
def test_what_runs_dies_with_its_host(tmp_path: Path, tree: Path, wrapped: bool) -> None:
    """A fork server reads its stdin: the end of the stream is the end of it."""
    code = f"""
import sys, os
from pathlib import Path
from diffufix.sandbox import LocalSandbox, mounts
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


@pytest.mark.parametrize("wrapped", WAYS)
def test_closing_ends_a_command_that_is_waited_for(tree: Path, wrapped: bool) -> None:
    """Its exit status is our doing, so it is none of the command's."""
    sandbox = LocalSandbox(tree, bubblewrap=wrapped)
    sandbox.start()
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(sandbox.exec, ["sh", "-c", "echo > begun; exec sleep 60"])
        while not (tree / "begun").exists():
            time.sleep(0.01)
        sandbox.close()
        with pytest.raises(SandboxUnavailable, match="closed"):
            ending.result(timeout=10)


def test_a_folder_of_packages_is_one_mount(tmp_path: Path) -> None:
    """As of an environment that another one builds upon by a .pth file."""
    for folder in ("site-packages", "work"):
        for package in ("one", "two"):
            (tmp_path / folder / package).mkdir(parents=True)
            (tmp_path / folder / package / "__init__.py").touch()
    assert mounts.importable(str(tmp_path / "site-packages")) == [str(tmp_path / "site-packages")]
    assert len(mounts.importable(str(tmp_path / "work"))) == 2
