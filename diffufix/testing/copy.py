"""A scratch copy of a project to run its tests in; reads the project, writes `destination`.

What is copied: everything but environments, caches and build products. Files that git ignores are
copied too if tests may need them: code (a generated `_version.py`, a built extension) and small
data. A git repository becomes one of the copy's own (repository.py).
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from diffufix.errors import ProjectError, TooLate
from diffufix.sandbox.repository import lay_repository
from diffufix.source.repository import ignored

log = logging.getLogger(__name__)

_NEVER = frozenset(
    {".git", ".hg", ".svn", ".jj", "__pycache__", "__pypackages__", "node_modules", ".diffufix"}
    | {".tox", ".nox", ".pixi", ".eggs", ".idea", ".vscode", ".ipynb_checkpoints", ".hypothesis"}
    | {".pytest_cache", ".mypy_cache", ".ruff_cache"}
)
_PRODUCTS = frozenset({"build", "dist", "htmlcov"})  # at the root, if ignored
_CODE = frozenset({".py", ".pyi", ".pyx", ".so", ".pyd", ".dylib", ".dll", ".typed"})
_STALE = frozenset({".pyc", ".pyo"})
_MB = 1 << 20
_LARGE = 50 * _MB  # of a file that may be no part of the project: there is no git to say so
_SMALL = 1 * _MB  # of an ignored file
_TOTAL = 4096 * _MB
_FILES = 200_000


@dataclass
class _Copy:
    """One copy: where from, where to, what git ignores, until when, how much so far."""

    root: Path
    destination: Path
    ignored: frozenset[str] | None  # POSIX paths relative to the root; None without git
    until: float | None = None  # monotonic seconds
    files: int = 0
    size: int = 0

    def folder(self, path: str, ignored: bool) -> None:
        """Copy the folder at `path` (relative to the root, "" for the root itself)."""
        (self.destination / path).mkdir(parents=True, exist_ok=True)
        try:
            entries = sorted(os.scandir(self.root / path), key=lambda entry: entry.name)
        except PermissionError:
            log.warning("%s cannot be read and is left out", path)
            return
        for entry in entries:
            if self.until is not None and time.monotonic() > self.until:
                raise TooLate(f"{self.files:,} files, {self.size // _MB:,} MB so far")
            inner = f"{path}/{entry.name}" if path else entry.name
            hidden = ignored or inner in (self.ignored or ())
            if entry.is_symlink():
                self.link(inner)
            elif entry.is_dir():
                if not self.passed_over(entry, inner, hidden):
                    self.folder(inner, hidden)
            elif entry.name != ".git" and entry.is_file() and self.takes(entry, hidden):
                self.file(inner, entry.stat().st_size)

    def passed_over(self, entry: os.DirEntry[str], path: str, ignored: bool) -> bool:
        if entry.name in _NEVER:
            return True
        if Path(self.root, path) == self.destination:  # a copy inside the project
            return True
        if any(
            os.path.lexists(os.path.join(entry.path, mark))
            for mark in ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG")
        ):
            return True
        product = "/" not in path and entry.name in _PRODUCTS
        return product and (ignored or self.ignored is None) and not _is_package(entry.path)

    def takes(self, entry: os.DirEntry[str], ignored: bool) -> bool:
        suffix = os.path.splitext(entry.name)[1].lower()
        if suffix in _CODE or suffix in _STALE:
            return suffix in _CODE
        if not ignored and self.ignored is not None:
            return True
        return entry.stat().st_size <= (_SMALL if ignored else _LARGE)

    def file(self, path: str, size: int) -> None:
        self.files += 1
        self.size += size
        if self.files > _FILES or self.size > _TOTAL:
            raise ProjectError(
                f"{self.root} is too large to copy (over {_FILES:,} files or {_TOTAL // _MB} MB).",
                "Run diffufix in the project's own folder.",
            )
        try:
            shutil.copy2(self.root / path, self.destination / path)
            mode = os.stat(self.destination / path).st_mode
            if not mode & stat.S_IWUSR:  # some keep their sources read-only
                os.chmod(self.destination / path, stat.S_IMODE(mode) | stat.S_IWUSR)
        except PermissionError:
            log.warning("%s cannot be read and is left out", path)

    def link(self, path: str) -> None:
        """A link inside the project stays one inside the copy; others lead where they led."""
        source, text = self.root / path, os.readlink(self.root / path)
        target = os.path.normpath(os.path.join(source.parent, text))
        if target != str(self.root) and not target.startswith(str(self.root) + os.sep):
            text = os.path.join(os.path.realpath(source.parent), text)
        elif os.path.isabs(text):
            text = str(self.destination) + target[len(str(self.root)) :]
        os.symlink(text, self.destination / path)


def copy_project(root: Path, destination: Path, until: float | None = None) -> Path:
    """Copy the project in `root` into the folder `destination`, made if missing; returns it.

    Times and modes are kept, but that everything can be written. Raises ProjectError where the
    project is too large to copy or cannot be read, TooLate after the moment `until` (monotonic
    seconds).
    """
    root, destination = root.resolve(), destination.resolve()
    copy = _Copy(root, destination, ignored(root), until)
    try:
        copy.folder("", False)
        lay_repository(root, destination)
    except OSError as error:
        raise ProjectError(
            f"The project cannot be copied: {error.strerror} ({error.filename}).",
            "Make room, or point TMPDIR at a disk with more.",
        ) from error
    return destination


def fresh_copy(root: Path, scratch: Path, until: float | None = None) -> Path:
    """`copy_project` into a new folder below `scratch`, alone in it and of the same name: where
    the root is a package, its name is how the tests import it. Raises ProjectError, TooLate."""
    name = root.resolve().name
    if not name or any(sign in name for sign in "*?[]{},"):  # read as a pattern by coverage.py
        name = "project"
    return copy_project(root, Path(tempfile.mkdtemp(dir=scratch)) / name, until)


def _is_package(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, "__init__.py"))
