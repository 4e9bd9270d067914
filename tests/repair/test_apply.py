"""Writing a patch: all files or none, exactly those bytes, and a way back."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from diffufix.config import Settings
from diffufix.errors import ApplyError
from diffufix.repair.apply import apply, refused, undo
from diffufix.source.file import SourceFile
from diffufix.source.patch import make_patch
from diffufix.types import Patch


def patch_of(root: Path, changes: dict[str, tuple[str, str]]) -> Patch:
    sources = {path: SourceFile.read(root / path) for path in changes}
    return make_patch(
        sources, {path: sources[path].text.replace(*pair) for path, pair in changes.items()}
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/a.py").write_bytes(b"\xef\xbb\xbfx = 1  # \xc3\xa9\r\ny = 2\r\n")
    (tmp_path / "b.py").write_bytes(b"# coding: latin-1\nz = '\xe9'\nw = 1")
    return tmp_path


def leftovers(root: Path) -> list[str]:
    return [str(p) for p in root.rglob("*.diffufix") if p.name != ".diffufix"]


def git(root: Path, *args: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *args], cwd=root, check=True, capture_output=True)


def test_apply_keeps_encoding_newlines_and_mode_and_undo_restores(project: Path) -> None:
    os.chmod(project / "pkg/a.py", 0o755)
    before = {name: (project / name).read_bytes() for name in ("pkg/a.py", "b.py")}
    patch = patch_of(project, {"pkg/a.py": ("x = 1", "x = 'é'"), "b.py": ("w = 1", "w = 2")})
    assert apply(patch, project, 1) == ("b.py", "pkg/a.py")
    after = (project / "pkg/a.py").read_bytes()
    assert after == before["pkg/a.py"].replace(b"x = 1", b"x = '\xc3\xa9'")
    assert (project / "b.py").read_bytes() == before["b.py"].replace(b"w = 1", b"w = 2")
    assert (project / "pkg/a.py").stat().st_mode & 0o777 == 0o755
    assert leftovers(project) == []
    assert undo(project) == ("b.py", "pkg/a.py")
    assert {name: (project / name).read_bytes() for name in before} == before
    with pytest.raises(ApplyError, match="no applied patch"):
        undo(project)


def test_diff_is_what_apply_writes(project: Path, tmp_path_factory) -> None:
    patch = patch_of(project, {"pkg/a.py": ("y = 2", "y = 3")})
    copy = tmp_path_factory.mktemp("copy")
    (copy / "pkg").mkdir()
    (copy / "pkg/a.py").write_bytes((project / "pkg/a.py").read_bytes())
    subprocess.run(["git", "apply", "-"], cwd=copy, input=patch.diff.encode(), check=True)
    apply(patch, project, 1)
    assert (copy / "pkg/a.py").read_bytes() == (project / "pkg/a.py").read_bytes()


def test_undo_by_run_and_in_order(project: Path) -> None:
    apply(patch_of(project, {"b.py": ("w = 1", "w = 2")}), project, 1)
    apply(patch_of(project, {"b.py": ("w = 2", "w = 3")}), project, 2)
    with pytest.raises(ApplyError, match="changed after"):
        undo(project, 1)
    undo(project)
    undo(project)
    assert (project / "b.py").read_bytes().endswith(b"w = 1")


def test_undo_refuses_later_changes_unless_forced(project: Path) -> None:
    apply(patch_of(project, {"b.py": ("w = 1", "w = 2")}), project, 1)
    (project / "b.py").write_text("mine = 1\n")
    with pytest.raises(ApplyError, match="changed after") as caught:
        undo(project)
    assert "--force" in caught.value.hint
    undo(project, force=True)
    assert (project / "b.py").read_bytes().endswith(b"w = 1")


def test_apply_refuses_a_file_that_changed(project: Path) -> None:
    patch = patch_of(project, {"b.py": ("w = 1", "w = 2")})
    (project / "b.py").write_text("w = 9\n")
    with pytest.raises(ApplyError, match="changed while"):
        apply(patch, project, 1, force=True)
    assert (project / "b.py").read_text() == "w = 9\n"


def test_apply_refuses_uncommitted_changes_in_those_files_only(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "start")
    (project / "b.py").write_bytes((project / "b.py").read_bytes() + b"\nmine = 1\n")
    apply(patch_of(project, {"pkg/a.py": ("y = 2", "y = 3")}), project, 1)  # b.py is not its affair
    patch = patch_of(project, {"b.py": ("w = 1", "w = 2")})
    with pytest.raises(ApplyError, match=r"b\.py has changes") as caught:
        apply(patch, project, 2)
    assert "--force" in caught.value.hint
    apply(patch, project, 2, force=True)
    assert b"w = 2\nmine = 1" in (project / "b.py").read_bytes()


def test_what_would_not_be_written_is_told_before_a_search(project: Path) -> None:
    both, asked = ["b.py", "pkg/a.py"], Settings(project, apply=True)
    assert refused(asked, both) == ""  # no repository
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "start")
    assert refused(asked, both) == ""
    (project / "b.py").write_bytes(b"mine = 1\n")
    assert "b.py has changes that are not committed: a patch there is" in refused(asked, both)
    with pytest.raises(ApplyError, match=r"b\.py has .*Nothing was searched") as caught:
        refused(asked, ["b.py"])
    assert "--force" in caught.value.hint
    assert refused(Settings(project), ["b.py"]) == ""
    assert refused(replace(asked, force=True), ["b.py"]) == ""
    with pytest.raises(ApplyError) as caught:
        refused(replace(asked, force=True, commit=True), ["b.py"])
    assert "--force" not in caught.value.hint


def test_git_never_sees_the_undo_record(project: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "start")
    apply(patch_of(project, {"b.py": ("w = 1", "w = 2")}), project, 1)
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=project, capture_output=True, text=True, check=True
    )
    assert status.stdout == " M b.py\n"


def test_read_only_file_is_refused(project: Path) -> None:
    os.chmod(project / "b.py", 0o444)
    with pytest.raises(ApplyError, match="read-only"):
        apply(patch_of(project, {"b.py": ("w = 1", "w = 2")}), project, 1)
    assert not (project / ".diffufix/undo").exists()


def test_unencodable_text_is_refused(project: Path) -> None:
    with pytest.raises(ApplyError, match="iso-8859-1"):
        apply(patch_of(project, {"b.py": ("w = 1", "w = '→'")}), project, 1)


@pytest.mark.parametrize("name", ["../out.py", "link.py"])
def test_paths_out_of_the_project_are_refused(project: Path, tmp_path_factory, name: str) -> None:
    outside = tmp_path_factory.mktemp("out") / "out.py"
    outside.write_text("w = 1\n")
    (project / "link.py").symlink_to(outside)
    name = name if name == "link.py" else os.path.relpath(outside, project)
    with pytest.raises(ApplyError, match="outside"):
        apply(patch_of(project, {name: ("w = 1", "w = 2")}), project, 1)
    assert outside.read_text() == "w = 1\n"


def test_failed_roll_back_says_so_and_undo_helps(project: Path, monkeypatch) -> None:
    before = {name: (project / name).read_bytes() for name in ("pkg/a.py", "b.py")}
    patch = patch_of(project, {"pkg/a.py": ("y = 2", "y = 3"), "b.py": ("w = 1", "w = 2")})
    replace, calls = os.replace, []

    def dying_disk(source, target):
        calls.append(target)
        if len(calls) > 1:
            raise OSError(5, "Input/output error", str(target))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", dying_disk)
        with pytest.raises(ApplyError, match="in part") as caught:
            apply(patch, project, 1)
    assert "diffufix undo" in caught.value.hint
    undo(project)
    assert {name: (project / name).read_bytes() for name in before} == before
    assert leftovers(project) == []


def test_failure_half_way_rolls_back(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: (project / name).read_bytes() for name in ("pkg/a.py", "b.py")}
    patch = patch_of(project, {"pkg/a.py": ("y = 2", "y = 3"), "b.py": ("w = 1", "w = 2")})
    replace = os.replace

    def full_disk(source, target):
        if str(target).endswith("a.py") and b"y = 3" in Path(source).read_bytes():
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(ApplyError, match=r"No space left.*Nothing was changed"):
        apply(patch, project, 1)
    assert {name: (project / name).read_bytes() for name in before} == before
    assert leftovers(project) == []
    assert list((project / ".diffufix/undo").iterdir()) == []
