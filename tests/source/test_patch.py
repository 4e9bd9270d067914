"""Reading sources and making diffs: what comes out is what `git apply` takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from diffufix.errors import ProjectError
from diffufix.source.difference import edit_size
from diffufix.source.file import SourceFile
from diffufix.source.patch import make_patch, unified_diff

SOURCES = {
    "plain": (b"x = 1\n", "utf-8"),
    "crlf": (b"x = 1\r\ny = 2\r\n", "utf-8"),
    "mixed newlines": (b"x = 1\r\ny = 2\nz = 3\r", "utf-8"),
    "byte order mark": (b"\xef\xbb\xbfx = '\xc3\xa9'\n", "utf-8-sig"),
    "cookie": (b"# -*- coding: latin-1 -*-\nx = '\xe9'\n", "iso-8859-1"),
    "empty": (b"", "utf-8"),
    "no final newline": (b"x = 1", "utf-8"),
}


@pytest.mark.parametrize(("data", "encoding"), SOURCES.values(), ids=SOURCES.keys())
def test_sources_round_trip(tmp_path: Path, data: bytes, encoding: str) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    source = SourceFile.read(path)
    assert source.encoding == encoding
    assert source.encode(source.text) == data
    assert "\ufeff" not in source.text


@pytest.mark.parametrize("data", [b"x = '\xe9'\n", b"# coding: klingon\n"])
def test_undecodable_source_is_a_project_error(data: bytes) -> None:
    with pytest.raises(ProjectError, match=r"a\.py cannot be decoded"):
        SourceFile.decode(data, "a.py")


def test_unreadable_source_is_a_project_error(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="cannot be read"):
        SourceFile.read(tmp_path / "missing.py")


def test_diff_reads_like_git() -> None:
    old = "".join(f"line {n}\n" for n in range(1, 10))
    new = old.replace("line 5\n", "line five\n")
    assert unified_diff("pkg/a.py", old, new) == (
        "--- a/pkg/a.py\n+++ b/pkg/a.py\n@@ -2,7 +2,7 @@\n line 2\n line 3\n line 4\n"
        "-line 5\n+line five\n line 6\n line 7\n line 8\n"
    )
    assert unified_diff("a.py", old, old) == ""


def test_missing_final_newline_is_marked() -> None:
    assert unified_diff("a.py", "x", "x\n").endswith("-x\n\\ No newline at end of file\n+x\n")


def test_patch_leaves_out_equal_files() -> None:
    patch = make_patch({"a.py": "x < 1\n", "b.py": "y\n"}, {"a.py": "x <= 1\n", "b.py": "y\n"})
    assert list(patch.files) == ["a.py"]
    assert patch.edit_size == 1


@pytest.mark.parametrize(
    ("old", "new", "size"),
    [
        ("a = b\n", "a = b\n", 0),
        ("a < b\n", "a > b\n", 2),
        ("f(a)\n", "f(a, b)\n", 2),
        ("if a:\n    b\n", "b\n", 3),
        ("    b\n", "b\n", 1),  # white space alone is still an edit
    ],
)
def test_edit_size_counts_tokens(old: str, new: str, size: int) -> None:
    assert edit_size(old, new) == size


lines = st.lists(st.sampled_from(["a", "b", "  c", "", "d\r", "\x0ce", "é"]), max_size=14)
texts = st.builds(lambda rows, end: "\n".join(rows) + end, lines, st.sampled_from(["", "\n"]))


@settings(max_examples=40, deadline=None)
@example(old="a\nb\nb\nb\nb\na", new="b\nb\nb\na")  # what is the same could be matched otherwise
@given(old=texts, new=texts)
def test_git_applies_every_diff(old: str, new: str, tmp_path_factory: pytest.TempPathFactory):
    if not old or not new or old == new:
        return  # creating and deleting files is not a patch of ours
    folder = tmp_path_factory.mktemp("diff")
    (folder / "a b.py").write_bytes(old.encode())
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    subprocess.run(command, cwd=folder, input=unified_diff("a b.py", old, new).encode(), check=True)
    assert (folder / "a b.py").read_bytes() == new.encode()
