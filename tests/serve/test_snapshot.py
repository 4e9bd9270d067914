"""Projects as archives: the same hash for the same content, nothing outside, nothing forged."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from diffufix.errors import UsageError
from diffufix.serve.shelf import Shelf
from diffufix.serve.snapshot import content_hash, pack, unpack


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "thing"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "a.py").write_text("x = 1\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("pkg/a.py")
    (root / "out").symlink_to("/etc/passwd")
    (root / ".venv").mkdir()
    (root / ".venv" / "pyvenv.cfg").touch()
    return root


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for member, data in members:
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    buffer.seek(0)
    return buffer


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_there_and_back(project: Path, tmp_path: Path) -> None:
    packed = pack(project)
    folder = tmp_path / "there"
    folder.mkdir()
    unpack(io.BytesIO(packed.archive), packed.hash, folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert found == {"thing", *(f"thing/{n}" for n in ("pkg", "pkg/a.py", "run.sh", "link"))}
    assert os.access(folder / "thing" / "run.sh", os.X_OK)
    assert (folder / "thing" / "link").read_text() == "x = 1\n"


def test_the_hash_is_of_the_content(project: Path) -> None:
    before = pack(project).hash
    os.utime(project / "run.sh", (0, 0))
    assert pack(project).hash == before
    (project / "run.sh").chmod(0o644)
    assert pack(project).hash != before


@pytest.mark.parametrize(
    "members",
    [
        [(entry("../a"), b"x")],
        [(entry("/a/b"), b"x")],
        [(entry("p/../../a"), b"x")],
        [(entry("a"), b"x")],
        [(entry("p/a", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(entry("p/a", tarfile.SYMTYPE, "../../../etc"), b"")],
        [(entry("p/x"), b""), (entry("p/l", tarfile.SYMTYPE, "../.."), b"")],
        [(entry("p/d", tarfile.SYMTYPE, ".."), b""), (entry("p/d/x"), b"y")],
        [(entry("p/x"), b"y"), (entry("p/h", tarfile.LNKTYPE, "p/x"), b"")],
        [(entry("p/fifo", tarfile.FIFOTYPE), b"")],
        [(entry("p/a"), b"x"), (entry("p/a"), b"y")],
        [(entry("p/a"), b"x"), (entry("p/a/b"), b"y")],
        [(entry("p/a"), b"x"), (entry("q/a"), b"y")],
        [(entry("p/a"), b"x")],  # another hash
    ],
)
def test_what_is_no_snapshot(members: list[tuple[tarfile.TarInfo, bytes]], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", 2)
    with pytest.raises(UsageError):
        shelf.add("0" * 64, archive(*members))
    assert [path.name for path in tmp_path.rglob("*")] == ["shelf"]


def test_half_an_archive_is_none(project: Path, tmp_path: Path) -> None:
    packed = pack(project)
    with pytest.raises(UsageError):
        Shelf(tmp_path / "shelf", 2).add(
            packed.hash, io.BytesIO(packed.archive[: len(packed.archive) // 2])
        )


def test_the_shelf_keeps_what_was_used_last(project: Path, tmp_path: Path) -> None:
    shelf, hashes = Shelf(tmp_path / "shelf", 2), []
    for number in range(3):
        (project / "run.sh").write_text(f"{number}")
        packed = pack(project)
        assert shelf.add(packed.hash, io.BytesIO(packed.archive))
        assert not shelf.add(packed.hash, io.BytesIO(packed.archive))
        os.utime(shelf.folder / packed.hash, (number, number))
        hashes.append(packed.hash)
    assert [shelf.find(hash) is not None for hash in hashes] == [False, True, True]
    root = shelf.find(hashes[1])
    assert root is not None
    assert root.name == "thing"
    assert content_hash(root.parent) == hashes[1]
