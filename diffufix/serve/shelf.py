"""Snapshots of projects on disk, by their hash: the least recently used ones go first.

Touches its own folder only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from diffufix.serve.snapshot import unpack

HASH = re.compile(r"[0-9a-f]{64}")
_COMING = "coming-"  # before the name of what is not whole yet


class Shelf:
    """At most `most` projects in `folder`. For several threads."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self._most = folder, most
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.glob(_COMING + "*"):
            shutil.rmtree(left, ignore_errors=True)

    def find(self, hash: str) -> Path | None:
        """The root of a project; None where it is not here."""
        place = self.folder / hash
        if not HASH.fullmatch(hash) or not place.is_dir():
            return None
        with contextlib.suppress(OSError):
            os.utime(place)
            return next(place.iterdir())
        return None

    def add(self, hash: str, archive: BinaryIO, in_use: Collection[str] = ()) -> bool:
        """Take in a snapshot; False where it is here already. Those `in_use` stay.

        Raises UsageError for an archive that is none, or not of that hash.
        """
        if self.find(hash) is not None:
            return False
        coming = Path(tempfile.mkdtemp(prefix=_COMING, dir=self.folder))
        try:
            unpack(archive, hash, coming)
            with contextlib.suppress(OSError):  # another request was faster
                os.rename(coming, self.folder / hash)
        finally:
            shutil.rmtree(coming, ignore_errors=True)
        self._trim({hash, *in_use})
        return True

    def _trim(self, kept: Collection[str]) -> None:
        there = [path for path in self.folder.iterdir() if HASH.fullmatch(path.name)]
        there.sort(key=lambda path: path.stat().st_mtime)
        for path in there[: max(0, len(there) - self._most)]:
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
