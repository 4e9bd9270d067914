"""A project as one archive with a content hash: `pack`, `unpack`, `content_hash`.

The hash is over what a scratch copy of the project holds (names, contents, which files may be
executed), so it is the same for the same project on every machine, however the archive was made.
Left out are what `testing/copy.py` leaves out, the git repository, and links that lead outside.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from diffufix.errors import SandboxUnavailable, UsageError
from diffufix.sandbox.reap import scratch_prefix
from diffufix.testing import fresh_copy

MOST_FILES = 100_000
LARGEST = 1 << 30  # bytes of a project, unpacked
_NO_ARCHIVE = (
    *(tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, ValueError),
    *(FileExistsError, NotADirectoryError, IsADirectoryError),  # one path in another, or twice
)


@dataclass(frozen=True)
class PackedProject:
    """A project's content hash (64 hexadecimal digits) and its archive."""

    hash: str
    archive: bytes


def pack(root: Path) -> PackedProject:
    """The project in `root`, which is only read. Raises ProjectError where it cannot be copied."""
    with tempfile.TemporaryDirectory(prefix=scratch_prefix()) as scratch:
        copy = fresh_copy(root, Path(scratch))
        shutil.rmtree(copy / ".git", ignore_errors=True)
        for path in list(_walk(copy)):
            if path.is_symlink() and not _stays(copy, path):
                path.unlink()
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=3) as archive:
            for path in _walk(copy):
                name = path.relative_to(copy.parent).as_posix()
                archive.add(path, name, recursive=False, filter=_plain)
        return PackedProject(content_hash(copy.parent), buffer.getvalue())


def unpack(archive: BinaryIO, expected: str, folder: Path) -> None:
    """Lay out an archive in the empty `folder`: one folder, of the project's name.

    Raises UsageError for what is no such archive, is too large, has a path outside, or has another
    hash than the `expected` one; SandboxUnavailable where it cannot be written.
    """
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as source:
            _lay(source, folder)
    except _NO_ARCHIVE as error:
        raise UsageError(f"That is no snapshot of a project: {error}") from error
    except OSError as error:
        raise SandboxUnavailable(f"a project cannot be laid out: {error}") from error
    found = content_hash(folder)
    if found != expected:
        raise UsageError(
            f"The content of this project has the hash {found}.", "Send it under that name."
        )


def content_hash(folder: Path) -> str:
    """A hash over the files and links below a folder."""
    digest = hashlib.sha256()
    for path in _walk(folder):
        name = os.fsencode(path.relative_to(folder).as_posix())
        if path.is_symlink():
            kind, content = b"l", os.fsencode(os.readlink(path))
        else:
            kind = b"x" if path.stat().st_mode & stat.S_IXUSR else b"f"
            content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(b"%b %d %b %d %b" % (kind, len(name), name, len(content), content))
    return digest.hexdigest()


def _walk(folder: Path) -> Iterator[Path]:
    """Files and links below a folder, in an order that no file system decides."""
    for name in sorted(os.listdir(folder), key=os.fsencode):
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_symlink() or path.is_file():
            yield path


def _stays(root: Path, link: Path) -> bool:
    """Whether a link leads to something inside the root, by a relative path."""
    target = os.readlink(link)
    there = os.path.normpath(link.parent / target)
    return not os.path.isabs(target) and Path(there).is_relative_to(root)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without times, owners and hard links, which say nothing of the project."""
    member.mtime, member.uid, member.gid, member.uname, member.gname = 0, 0, 0, "", ""
    return member


def _lay(source: tarfile.TarFile, folder: Path) -> None:
    """Files first and links after them, so that nothing is written through a link."""
    links: list[tarfile.TarInfo] = []
    files = size = 0
    for member in source:
        files, size = files + 1, size + member.size
        if files > MOST_FILES or size > LARGEST:
            raise ValueError("it is too large")
        if member.issym():
            links.append(member)
        elif member.isreg():
            path = _inside(folder, member.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            content = source.extractfile(member)
            assert content is not None
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
            path.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
        elif not member.isdir():
            raise ValueError(f"{member.name} is neither a file nor a link")
    tops = list(folder.iterdir())
    if len(tops) != 1 or not tops[0].is_dir():
        raise ValueError("there is not one folder at its top")
    for member in links:
        path = _inside(folder, member.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(member.linkname)
        if not _stays(tops[0], path):
            raise ValueError(f"{member.name} leads outside")


def _inside(folder: Path, name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or len(path.parts) < 2 or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is no path of a project")
    return folder / path
