"""A real disk that can be filled, so that it is the kernel that says there is no room."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class SmallDisk:
    path: Path

    def fill(self, left: int = 0) -> None:
        """All but `left` bytes are taken, to the page."""
        room = shutil.disk_usage(self.path).free - left
        with (self.path / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, room))

    def free(self) -> None:
        (self.path / "filler").unlink()


@contextlib.contextmanager
def mounted(path: Path, mib: int) -> Iterator[SmallDisk]:
    """Skips the test where mounting is not permitted."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk of its own needs the right to mount")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
