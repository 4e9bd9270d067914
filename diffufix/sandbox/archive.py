"""A scratch tree as one archive, to be laid elsewhere; reads the tree, writes a stream."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import IO, Any

from diffufix.sandbox.repository import BORROWED, portable_objects


def package_name(source: Path) -> str:
    """The name that a tree must have to be imported: its root is a package. Else empty."""
    return source.name if (source / "__init__.py").is_file() else ""


def write_archive(source: Path, file: IO[bytes] | Any, top: str) -> None:
    """The tree `source` under the name `top`; links into it stay links into it.

    Objects that its repository borrows come along where they are few; the tree then borrows no
    more. Owners, and times that only say when the copy was made, are left out: equal trees make
    equal archives.
    """

    def portable(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.ischr() or member.isblk() or member.isfifo():
            return None
        if member.linkname == str(source) or member.linkname.startswith(f"{source}/"):
            at = os.path.dirname(os.path.relpath(member.name, top))
            member.linkname = os.path.relpath(member.linkname, source / at)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        if not member.isreg() or "/.git/" in f"/{member.name}":
            member.mtime = 0
        return member

    objects = portable_objects(source)
    if objects is not None:
        (source / BORROWED).unlink()
    with tarfile.open(mode="w|", fileobj=file, format=tarfile.PAX_FORMAT) as archive:
        archive.add(source, arcname=top, filter=portable)
        if objects is not None:
            archive.add(objects, arcname=f"{top}/.git/objects", filter=portable)
