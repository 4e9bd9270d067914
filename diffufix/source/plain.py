"""Reading and writing the files of a tree that a stranger may have filled with links.

Touches what it is told to, and nothing outside of the tree.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from diffufix.errors import ProjectError

LARGEST = 1 << 26  # bytes of a file that is read


def within(tree: Path, path: Path) -> bool:
    """Whether a path, links followed, lies in the tree."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(tree))


def read_within(tree: Path, path: Path) -> bytes | None:
    """The content of a plain file in the tree; None of a link that leads out, a pipe, a giant."""
    if not within(tree, path):
        return None
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(handle, "rb") as file:
        info = os.fstat(file.fileno())
        return file.read() if stat.S_ISREG(info.st_mode) and info.st_size <= LARGEST else None


def write_within(tree: Path, relative: str, data: bytes) -> None:
    """Write a file of a scratch tree. A link that leads out of it is replaced by the file.

    Raises ProjectError where the folder lies outside; OSError.
    """
    path = tree / relative
    if not within(tree, path.parent):
        raise ProjectError(f"{relative} lies outside of the project, behind a link.")
    if path.is_symlink() and not within(tree, path):
        path.unlink()
    target = os.path.realpath(path)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with open(handle, "wb") as file:
        file.write(data)
