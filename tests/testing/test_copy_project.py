"""`copy_project`: what a scratch copy holds, with git and without."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from diffufix.errors import ProjectError
from diffufix.testing import copy, copy_project, fresh_copy

FILES = (
    "src/shop/__init__.py",
    "src/shop/_version.py",
    "src/shop/fast.so",
    "src/shop/prices.json",
    "src/build/__init__.py",
    "tests/test_shop.py",
    "notes.txt",
    "pkg.egg-info/PKG-INFO",
)
LEFT = (
    ".venv/pyvenv.cfg",
    ".venv/lib/site.py",
    "other-env/pyvenv.cfg",
    "other-env/lib/x.py",
    "node_modules/a.js",
    "src/shop/__pycache__/x.pyc",
    "src/shop/old.pyc",
    ".diffufix/runs.db",
    ".pytest_cache/x",
    ".tox/x.py",
    "dist/a.whl",
    "cache/CACHEDIR.TAG",
    "cache/data.json",
)


def fill(root: Path) -> Path:
    for path in (*FILES, *LEFT):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    (root / "empty").mkdir()
    return root


def files(root: Path) -> set[str]:
    return {
        str(Path(folder, name).relative_to(root))
        for folder, _, names in os.walk(root)
        for name in names
        if ".git" not in Path(folder).relative_to(root).parts
    }


def git(root: Path, *args: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", *args],
        cwd=root,
        check=True,
        capture_output=True,
    )


def test_without_git(tmp_path: Path) -> None:
    root = fill(tmp_path / "project")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    os.utime(root / "notes.txt", (1_000_000_000, 1_000_000_000))
    copied = copy_project(root, tmp_path / "copy")
    assert copied == tmp_path / "copy"
    assert files(copied) == {*FILES, "run.sh"}
    assert (copied / "empty").is_dir()
    assert os.access(copied / "run.sh", os.X_OK)
    assert (copied / "notes.txt").stat().st_mtime == 1_000_000_000


def test_with_git_ignored_code_and_small_data_come_along(tmp_path: Path) -> None:
    root = fill(tmp_path / "project")
    ignore = ["_version.py", "*.so", "*.json", "dist/", ".venv/", "big.*", "build/", "media/"]
    (root / ".gitignore").write_text("\n".join(ignore))
    git(root, "init")
    git(root, "add", "notes.txt", "src/shop/__init__.py")
    git(root, "commit", "-m", "first")
    (root / "big.bin").write_bytes(b"0" * (2 << 20))
    (root / "kept.bin").write_bytes(b"0" * (2 << 20))
    (root / "media").mkdir()
    (root / "media/tool.py").write_text("")
    (root / "media/film.bin").write_bytes(b"0" * (2 << 20))
    copied = copy_project(root, tmp_path / "copy")
    assert files(copied) == {*FILES, ".gitignore", "kept.bin", "media/tool.py"}


def ask_git(root: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def test_the_copy_has_a_repository_of_its_own(tmp_path: Path) -> None:
    root = fill(tmp_path / "project")
    git(root, "init", "-b", "main")
    git(root, "remote", "add", "origin", "https://user:secret@example.org/x.git")
    git(root, "add", "notes.txt")
    git(root, "commit", "-m", "first")
    git(root, "tag", "-a", "v1", "-m", "one")
    (root / ".git" / "hooks" / "post-commit").write_text("#!/bin/sh\ntouch hooked\n")
    before = ask_git(root, "log", "--all", "--format=%H %s")
    copied = copy_project(root, tmp_path / "copy")
    assert ask_git(copied, "rev-parse", "--show-toplevel").strip() == str(copied)
    assert ask_git(copied, "ls-files") == "notes.txt\n"
    assert ask_git(copied, "describe") == "v1\n"
    assert ask_git(copied, "log", "--format=%s") == "first\n"
    assert ask_git(copied, "branch", "--show-current") == "main\n"
    assert ask_git(copied, "diff", "HEAD", "--name-only") == ""
    assert "secret" not in (copied / ".git" / "config").read_text()
    (copied / "notes.txt").write_text("other")
    git(copied, "commit", "-am", "second")
    assert not (copied / "hooked").exists()
    assert ask_git(root, "log", "--all", "--format=%H %s") == before
    assert ask_git(root, "status", "--porcelain", "notes.txt") == ""


def test_a_work_tree_of_another_repository(tmp_path: Path) -> None:
    root = fill(tmp_path / "project")
    git(root, "init", "-b", "main")
    git(root, "add", "notes.txt")
    git(root, "commit", "-m", "first")
    git(root, "worktree", "add", str(tmp_path / "second"))
    copied = copy_project(tmp_path / "second", tmp_path / "copy")
    assert ask_git(copied, "ls-files") == "notes.txt\n"
    assert ask_git(copied, "branch", "--show-current") == "second\n"


def test_a_fresh_copy_is_alone_and_called_the_same(tmp_path: Path) -> None:
    root = fill(tmp_path / "lamp")
    (tmp_path / "scratch").mkdir()
    one, two = (fresh_copy(root, tmp_path / "scratch") for _ in range(2))
    assert one.name == two.name == "lamp"
    assert one != two
    assert list(one.parent.iterdir()) == [one]


def test_read_only_files_can_be_written_in_the_copy(tmp_path: Path) -> None:
    root = fill(tmp_path / "project")
    (root / "notes.txt").chmod(0o444)
    copied = copy_project(root, tmp_path / "copy")
    assert (copied / "notes.txt").stat().st_mode & 0o777 == 0o644


def test_a_project_in_a_folder_that_git_ignores(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / ".gitignore").write_text("inner/\n")
    root = fill(tmp_path / "inner")
    (root / "data.bin").write_bytes(b"0" * (2 << 20))
    copied = copy_project(root, tmp_path / "copy")
    assert files(copied) == {*FILES, "data.bin"}


def test_links(tmp_path: Path) -> None:
    root, outside = fill(tmp_path / "project"), tmp_path / "outside"
    outside.mkdir()
    (outside / "data").write_text("far")
    (root / "relative").symlink_to("notes.txt")
    (root / "src" / "up").symlink_to("../tests")
    (root / "absolute").symlink_to(root / "notes.txt")
    (root / "away").symlink_to("../outside/data")
    (root / "far").symlink_to(outside)
    (root / "broken").symlink_to("nowhere")
    (root / "loop").symlink_to(".")
    copied = copy_project(root, tmp_path / "a" / "copy")
    assert os.readlink(copied / "relative") == "notes.txt"
    assert os.readlink(copied / "src" / "up") == "../tests"
    assert os.readlink(copied / "absolute") == str(copied / "notes.txt")
    assert (copied / "away").read_text() == "far"
    assert (copied / "far" / "data").read_text() == "far"
    assert (copied / "broken").is_symlink()
    (copied / "absolute").write_text("changed")
    assert (root / "notes.txt").read_text() == "notes.txt"


def test_a_copy_inside_the_project_does_not_copy_itself(tmp_path: Path) -> None:
    root = fill(tmp_path / "project")
    copied = copy_project(root, root / "scratch")
    assert files(copied) == set(FILES)


def test_a_project_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path / "project")
    monkeypatch.setattr(copy, "_FILES", 3)
    with pytest.raises(ProjectError, match="too large"):
        copy_project(root, tmp_path / "copy")


def test_it_is_quick(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for number in range(1_000):
        path = root / f"p{number % 20}" / f"m{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")
    began = time.monotonic()
    copy_project(root, tmp_path / "copy")
    assert time.monotonic() - began < 10
