"""Texts of the project's files near the suspects; reads files below the project's root only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

FILES = 40
BYTES = 200_000  # of one file


def texts_near(root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Relative path -> text: the suspects' own files, then their neighbours', the nearest first.

    Tests are left out, as is what cannot be read as UTF-8.
    """
    found: dict[str, str] = {}
    for path in dict.fromkeys([*paths, *_around(root, paths)]):
        if len(found) >= FILES:
            break
        try:
            file = root / path
            if file.is_file() and file.stat().st_size <= BYTES:
                found[path] = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return found


def _around(root: Path, paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        folder = PurePosixPath(path).parent
        for place in (folder, *folder.parents):
            if place == PurePosixPath(".") and folder != place:
                break  # the root holds what is no part of the package
            for file in sorted((root / place).glob("*.py")):
                name = file.name
                if not name.startswith("test_") and name not in ("conftest.py", "setup.py"):
                    yield file.relative_to(root).as_posix()
