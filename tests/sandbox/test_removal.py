"""Removing what code under test left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from diffufix.sandbox.inside.removal import remove


def test_deeper_than_a_path_can_be_long(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 50, dir_fd=at)
        below = os.open("d" * 50, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    remove(str(tmp_path / ("d" * 50)))
    assert os.listdir(tmp_path) == []


def test_closed_folders_and_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    tree = tmp_path / "tree"
    (tree / "closed" / "inner").mkdir(parents=True)
    (tree / "closed" / "inner" / "file").write_text("x")
    (tree / "link").symlink_to(outside)
    (tmp_path / "tree.0").mkdir()  # the name that a folder would be moved to
    os.chmod(tree / "closed" / "inner", 0)
    os.chmod(tree / "closed", 0)
    remove(str(tree))
    assert sorted(os.listdir(tmp_path)) == ["outside", "tree.0"]
    assert (outside / "kept").read_text() == "x"


def test_a_file_a_link_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    remove(str(tmp_path / "file"))
    remove(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        remove(str(tmp_path / "file"))
